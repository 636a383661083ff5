"""The NAT44 table's C files alone, as a shared library: mappings, blocks, remotes, no packet."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cffi

ROOT = Path(__file__).parents[2]
SHIM = ROOT / "tests/support/c"
SOURCES = [SHIM / f"nat44_{name}.c" for name in ("table", "remotes")]
SOURCES += [
    ROOT / f"dataplane/src/table/nat44{name}.c"
    for name in ("", "_address", "_block", "_forward", "_log", "_protocol", "_remote")
]
COMPILE = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
SANITIZE = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]


@cache
def library() -> tuple[Any, Any]:
    """Build the table; its prototypes are read from the shim's header."""
    include = [f"-I{ROOT / 'dataplane/include'}", f"-I{ROOT / 'dataplane/src'}"]
    header = (SHIM / "nat44_table.h").read_text()
    prototypes = re.findall(r"^[a-z][^;{}=]*\btable_\w+\([^;{}]*\);", header, re.MULTILINE)
    ffi = cffi.FFI()
    ffi.cdef("struct table_test;\n" + "\n".join(prototypes))
    with tempfile.TemporaryDirectory() as directory:
        target = f"{directory}/nat44_table.so"
        command = [*COMPILE, *SANITIZE, *include, *map(str, SOURCES), "-o", target]
        subprocess.run(command, check=True)
        return ffi, ffi.dlopen(target)


@dataclass(slots=True)
class Table:
    """One table, and what it was made with."""

    lib: Any
    handle: Any
    block_size: int
    blocks_per_session: int

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.lib, f"table_{name}")
        return lambda *arguments: function(self.handle, *arguments)


@contextmanager
def nat44_table(
    *,
    block_size: int = 64,
    blocks: int = 4,
    addresses: int = 1,
    sessions: int = 8,
    port_min: int = 1024,
    seed: int = 1,
) -> Iterator[Table]:
    """Yield a table and free it."""
    _, lib = library()
    handle = lib.table_create(block_size, blocks, addresses, sessions, port_min, seed)
    try:
        yield Table(lib, handle, block_size, blocks)
    finally:
        lib.table_destroy(handle)
