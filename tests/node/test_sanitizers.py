"""The C core under ASan and UBSan: the node tests once more, against a build with both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cmake import ROOT, sanitized

SUITES = {
    "nat44": ("tests/node", "-k", "nat44"),
    "nodes": ("tests/node", "-k", "not nat44"),
    "tables": (
        "tests/property/test_fib.py",
        "tests/property/test_nat44_table.py",
        "tests/property/test_ring.py",
    ),
}


def build() -> Path:
    """Build ``dataplane._arena`` with sanitizers and return it."""
    (module,) = sanitized("_arena").glob("_arena.*.so")
    return module


def run(code: list[str], module: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers' runtime in front and *module* as ``dataplane._arena``."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    env = os.environ | {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "BNG_ARENA": str(module),
    }
    return subprocess.run(
        [sys.executable, *code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_passes_under_asan_and_ubsan(suite: str) -> None:
    pytest_args = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--ignore={__file__}"]
    done = run([*pytest_args, *SUITES[suite]], build())
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


def test_the_sanitizers_are_really_on() -> None:
    # A frame longer than the room after it, pushed into a ring with a length that lies.
    overrun = (
        "import tests.node; from tests.node.harness import *\n"
        "dp = Dataplane(*DEFAULT_ARGS)\n"
        "lib.binding_push(dp._binding, 0, 4, ffi.new('uint8_t[8]'), 4096, 1)\n"
    )
    done = run(["-c", overrun], build())
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr
