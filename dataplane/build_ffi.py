"""Emit the C source of the cffi module ``dataplane._arena`` (API mode).

The declarations are the parts of the headers between their ``cdef begin`` and ``cdef end`` marks:
the headers are the one place that knows the layout.

Usage: python build_ffi.py OUTPUT.c
"""

import re
import sys
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
HEADERS = (
    "include/types.h",
    "include/session_features.h",
    "include/ip6_shared.h",
    "include/nat44_shared.h",
    "include/mirror_shared.h",
    "include/dataplane.h",
    "src/embedded.h",
    "src/binding.h",
)
CDEF = re.compile(r"/\* cdef begin \*/(.*?)/\* cdef end \*/", re.DOTALL)


def declarations(header: Path) -> str:
    """Return the marked declarations of *header*."""
    parts = CDEF.findall(header.read_text(encoding="utf-8"))
    if not parts:
        raise SystemExit(f"{header}: no cdef marks")
    return "\n".join(parts)


def main(output: str) -> None:
    """Write the module's C source to *output*."""
    ffi = cffi.FFI()
    for name in HEADERS:
        ffi.cdef(declarations(HERE / name))
    ffi.set_source(
        "dataplane._arena", "".join(f'#include "{Path(name).name}"\n' for name in HEADERS)
    )
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(sys.argv[1])
