"""Rules of the source that a parser can check. Each returns what breaks it, one line each."""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

PROJECT = ("bng", "dataplane", "radius")

# ---- imports


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of the module in *path*."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str, *, package: bool = False) -> set[str]:
    """Return the dotted names that *tree* imports, a name taken from a module included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + package]
                base = ".".join([*kept, base] if base else kept)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def within(name: str, prefixes: Iterable[str]) -> bool:
    """Return whether *name* is one of *prefixes* or below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def wrong_imports(
    tree: ast.AST, module: str, layers: Mapping[str, Collection[str]], *, package: bool = False
) -> list[str]:
    """Return the imports of our own that *layers* do not grant to *module*.

    The longest key of *layers* that holds the module decides; each may import itself.
    """
    mine = max((key for key in layers if within(module, [key])), key=len, default=None)
    if mine is None:
        return [f"{module} is in no layer"]
    return [
        f"{module} imports {name}"
        for name in sorted(imports(tree, module, package=package))
        if within(name, PROJECT) and not within(name, (mine, *layers[mine]))
    ]


# ---- sans-IO

IO_MODULES = (
    *("asyncio", "concurrent", "ctypes", "datetime", "http", "io", "logging", "multiprocessing"),
    *("os", "pyroute2", "random", "secrets", "select", "shutil", "signal", "socket", "sqlite3"),
    *("ssl", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
    *("uvloop", "warnings"),
)
IO_CALLS = ("open", "print", "input", "breakpoint", "exec", "eval", "__import__")


def io_uses(tree: ast.AST, module: str) -> list[str]:
    """Return what reaches out of a module that must not: imports and calls."""
    found = [
        f"{module} imports {name}"
        for name in sorted(imports(tree, module))
        if within(name, IO_MODULES)
    ]
    return found + [
        f"{module}:{node.lineno} calls {node.func.id}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in IO_CALLS
    ]


# ---- lengths


def python_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield name and lines of every function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def c_functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield first line and lines of every function, as clang-format lays them out."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line != "{":
            continue
        start = index
        while start and lines[start - 1].strip() and lines[start - 1][-1] not in ";}/{":
            start -= 1
        end = lines.index("}", index)
        yield lines[start], end - start + 1


# ---- tests

CHECKS = ("assert_", "check_", "wait_for", "waits_for")
"""How the names of helpers begin that fail when what they look for is not so."""
FUZZ_ENTRIES = ("test_one_input", "run_one_input")
"""Fuzz targets: whatever they let out is a finding."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(trees: Iterable[ast.AST]) -> list[Function]:
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]


def asserting_helpers(trees: Iterable[ast.AST]) -> set[str]:
    """Return the names of functions, tests apart, that assert or call one that does."""
    helpers = [f for f in _functions(trees) if not f.name.startswith("test_")]
    found: set[str] = set()
    size = -1
    while size != len(found):
        size = len(found)
        found |= {f.name for f in helpers if _can_fail(f, found)}
    return found


def tests_that_assert_nothing(tree: ast.AST, helpers: Collection[str] = ()) -> list[str]:
    """Return the test functions in which nothing can fail on purpose."""
    tests = [f for f in _functions([tree]) if f.name.startswith("test_")]
    return [test.name for test in tests if not _can_fail(test, helpers)]


def _can_fail(function: Function, helpers: Collection[str]) -> bool:
    return any(_asserts(node, helpers) for node in ast.walk(function))


def _asserts(node: ast.AST, helpers: Collection[str]) -> bool:
    if isinstance(node, ast.Assert):
        return not (isinstance(node.test, ast.Constant) and node.test.value)
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Attribute(value=ast.Name("pytest"), attr=name):
            return name in ("raises", "fail")
        case ast.Attribute(attr=name) | ast.Name(name):
            return name.lstrip("_").startswith(CHECKS) or name in (*FUZZ_ENTRIES, *helpers)
    return False


# ---- configuration


def attributes(trees: Iterable[ast.AST]) -> set[str]:
    """Return the names of all attributes that are read."""
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def ignored_keys(model: ast.AST, used: Collection[str]) -> list[str]:
    """Return the keys of *model*'s tables that nobody reads.

    *used* are the attributes read elsewhere; a method of the model that is used uses what it reads.
    """
    functions = [node for node in ast.walk(model) if isinstance(node, ast.FunctionDef)]
    reached = set(used)
    size = -1
    while size != len(reached):
        size = len(reached)
        reached |= attributes(f for f in functions if f.name in reached)
    return [
        f"{table.name}.{line.target.id}"
        for table in ast.walk(model)
        if isinstance(table, ast.ClassDef)
        for line in table.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.target.id not in reached
    ]
