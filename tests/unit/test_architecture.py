"""The shape of the house: who imports whom, what the core may not touch, how long things get.

Each rule is applied to the whole source, and shown to fail on a snippet that breaks it.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.support import rules

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 80

VALUES = ("bng.wire", "bng.ethernet", "bng.errors", "bng.values")
PROTOCOLS = ("bng.pppoe", "bng.ppp", "bng.ipv6", "bng.pool")
FILES = ("bng.tomlfile", "bng.tomltypes")
CORE = ("bng.aaa", "bng.session", "bng.access")
CONFIG = ("bng.config", "bng.settings")
NATLOG = ("bng.natlog",)
OUTSIDE = ("dataplane", "radius")

LAYERS: dict[str, tuple[str, ...]] = {
    "radius": (),
    "dataplane": (),
    "bng": (),
    **dict.fromkeys(VALUES, VALUES),
    **dict.fromkeys(PROTOCOLS, VALUES),
    **dict.fromkeys(FILES, (*FILES, "bng.pool", "bng.errors")),
    **dict.fromkeys(CORE, (*CORE, *PROTOCOLS, *VALUES)),
    "bng.aaa.users": (*CORE, *PROTOCOLS, *VALUES, *FILES),
    "bng.aaa.users6": (*CORE, *PROTOCOLS, *VALUES, *FILES),
    "bng.config": ("bng.aaa", "bng.pool", "bng.errors", *FILES),
    "bng.settings": ("bng.config", *CORE, *PROTOCOLS, *VALUES),
    "bng.natlog": (),
    "bng.io": (*NATLOG, *CONFIG, *CORE, *PROTOCOLS, *VALUES, *OUTSIDE),
    "bng.box": ("bng.io", *CONFIG, *CORE, *PROTOCOLS, *VALUES, *OUTSIDE),
    "bng.mgmt": ("bng.box", "bng.io", *NATLOG, *CONFIG, *CORE, *PROTOCOLS, *VALUES, *OUTSIDE),
    "bng.daemon": ("bng.box", "bng.io", "bng.mgmt", *CONFIG, *CORE, *VALUES, *OUTSIDE),
    "bng.dataplane_launch": (*CONFIG, "bng.errors", "dataplane"),
    "bng.cli": (),
    "bng.cli.natlookup": ("bng.cli", *NATLOG),
    "bng.cli.deterministic": ("bng.cli", "bng.config", "bng.pool", "bng.errors"),
}
"""Who may import whom of ours, beside itself. ``bng`` alone is the package's own docstring."""

SANS_IO = (*PROTOCOLS, *CORE)


def sources(*folders: str, suffix: str = ".py") -> list[Path]:
    """Return the files of *folders*; empty is a mistake in the test."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob(f"*{suffix}"))]
    assert found
    return found


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


MODULES = {rules.module_name(path, ROOT): path for path in sources("bng", "dataplane", "radius")}


# ---- imports point one way


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module: str) -> None:
    path = MODULES[module]
    package = path.name == "__init__.py"
    assert rules.wrong_imports(parse(path), module, LAYERS, package=package) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bng.ppp.link", "import bng.session.manager"),
        ("bng.ppp.link", "from bng.session import manager"),
        ("bng.ppp.link", "from ..session import manager"),
        ("bng.ppp.link", "from .. import box"),
        ("bng.ppp.link", "from bng import pppoe"),
        ("bng.ppp.link", "import dataplane.binding"),
        ("bng.ppp.link", "def f():\n    from bng.io import executor"),
        ("bng.session.manager", "from bng.tomlfile import TomlFile"),
        ("bng.aaa.model", "from bng.config import Config"),
        ("bng.config.model", "from bng.ppp import link"),
        ("bng.cli.main", "from bng.errors import ConfigError"),
        ("bng.cli.main", "import dataplane"),
        ("bng.mgmt.server", "from bng.cli import main"),
        ("bng.mgmt.server", "import bng.daemon"),
        ("bng.io.punt", "import bng.mgmt.server"),
        ("dataplane.binding", "from bng.errors import ConfigError"),
        ("radius.client", "import bng"),
        ("radius.client", "import dataplane"),
        ("bng.newcomer", "import json"),
    ],
)
def test_an_import_against_the_direction_is_found(module: str, line: str) -> None:
    layers = {key: value for key, value in LAYERS.items() if key != "bng"}
    assert len(rules.wrong_imports(ast.parse(line), module, layers)) == 1


def test_every_module_has_a_layer_of_its_own() -> None:
    layers = {key: value for key, value in LAYERS.items() if key != "bng"}
    homeless = [name for name in MODULES if name != "bng" and not rules.within(name, layers)]
    assert homeless == []


@pytest.mark.parametrize(
    "line", ["import json", "from . import fsm", "from .fsm import Fsm", "from bng.wire import x"]
)
def test_an_import_in_the_direction_is_none(line: str) -> None:
    assert rules.wrong_imports(ast.parse(line), "bng.ppp.link", LAYERS) == []


# ---- the core is sans-IO


def test_the_core_touches_no_socket_clock_log_or_entropy() -> None:
    found = [
        use
        for module, path in MODULES.items()
        if rules.within(module, SANS_IO)
        for use in rules.io_uses(parse(path), module)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        *(f"import {name}" for name in ("asyncio", "socket", "time", "logging", "structlog", "os")),
        "from os import urandom",
        "import os.path as p",
        "def f():\n    from time import monotonic",
        "open('x')",
        "print(1)",
        "[eval(x) for x in y]",
    ],
)
def test_a_core_module_that_reaches_out_is_found(line: str) -> None:
    assert len(rules.io_uses(ast.parse(line), "bng.ppp.link")) == 1


@pytest.mark.parametrize("line", ["from .time import x", "self.open(x)", "import hashlib"])
def test_what_only_looks_like_io_is_none(line: str) -> None:
    assert rules.io_uses(ast.parse(line), "bng.ppp.link") == []


# ---- lengths

PYTHON = sources("bng", "dataplane", "radius", "tests")
C = [
    *sources("dataplane/src", "dataplane/include", "tests", suffix=".c"),
    *sources("dataplane/src", "dataplane/include", "tests", suffix=".h"),
]


def test_no_file_is_longer_than_a_person_reads() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (*PYTHON, *C)}
    assert [str(p) for p, lines in lengths.items() if lines > MAX_FILE_LINES] == []


def test_no_python_function_is_too_long() -> None:
    found = [
        f"{path}: {name} has {lines} lines"
        for path in PYTHON
        for name, lines in rules.python_functions(parse(path))
        if lines > MAX_FUNCTION_LINES
    ]
    assert found == []


def test_no_c_function_is_too_long() -> None:
    found = [
        f"{path}: {name} has {lines} lines"
        for path in C
        for name, lines in rules.c_functions(path.read_text())
        if lines > MAX_FUNCTION_LINES
    ]
    assert found == []


def test_functions_are_measured_from_signature_to_last_line() -> None:
    python = "x = 1\n\nasync def f(\n    a\n):\n    def g():\n        pass\n    return g\n"
    assert list(rules.python_functions(ast.parse(python))) == [("f", 6), ("g", 2)]
    c = "struct s {\n\tint a;\n};\n\n/* Why. */\nstatic int f(int a,\n\tint b)\n{\n\treturn a;\n}\n"
    assert list(rules.c_functions(c)) == [("static int f(int a,", 5)]


def test_the_c_functions_of_the_dataplane_are_seen() -> None:
    graph = (ROOT / "dataplane/src/graph.c").read_text()
    assert any("graph_run" in name for name, _ in rules.c_functions(graph))


# ---- tests


def test_every_test_can_fail() -> None:
    trees = {path: parse(path) for path in sources("tests")}
    helpers = rules.asserting_helpers(trees.values())
    found = [
        f"{path}: {name}"
        for path, tree in trees.items()
        if path.name.startswith("test_")
        for name in rules.tests_that_assert_nothing(tree, helpers)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("body", "fails"),
    [
        ("assert f()", False),
        ("with pytest.raises(ValueError): f()", False),
        ("check_table(x)", False),
        ("bed.assert_empty()", False),
        ("lab.wait_for_sessions(0)", False),
        ("deep()", False),
        ("bed.deep()", False),
        ("f()", True),
        ("assert True", True),
        ("checked(x)", True),
        ("shallow()", True),
    ],
)
def test_a_test_that_cannot_fail_is_found(body: str, fails: bool) -> None:
    helpers = ast.parse("def deep(): lower()\ndef lower(): assert x\ndef shallow(): pass")
    tree = ast.parse(f"def test_x():\n    {body}\n")
    found = rules.tests_that_assert_nothing(tree, rules.asserting_helpers([helpers]))
    assert found == (["test_x"] if fails else [])


# ---- configuration

MODELS = [ROOT / "bng/config/model.py", ROOT / "bng/config/radius.py"]
KNOW_KEYS_ONLY = {
    f"bng.config.{name}"
    for name in ("model", "radius", "checks", "radius_checks", "vlan_checks", "reload")
}


def test_no_key_of_the_configuration_is_ignored() -> None:
    trees = {name: parse(path) for name, path in MODULES.items() if name not in KNOW_KEYS_ONLY}
    readers = [
        tree
        for name, tree in trees.items()
        if any(rules.within(used, ["bng.config"]) for used in rules.imports(tree, name))
    ]
    read = rules.attributes(readers)
    assert [key for model in MODELS for key in rules.ignored_keys(parse(model), read)] == []


def test_a_key_that_nobody_reads_is_found() -> None:
    model = ast.parse(
        "class Journal(Table):\n"
        "    path: str\n"
        "    depth: int = 1\n"
        "    width: int = 1\n"
        "    def where(self): return self.path\n"
        "    def unused(self): return self.width\n"
    )
    used = rules.attributes([ast.parse("open(config.where)\nconfig.depth = 1")])
    assert rules.ignored_keys(model, used) == ["Journal.depth", "Journal.width"]
