"""Builds of the C core that tests need, each in a folder of ``build`` of its own."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(name: str, *targets: str, options: tuple[str, ...] = (), compiler: str = "gcc") -> Path:
    """Build *targets*, none for all, in ``build/NAME`` and return that folder.

    Workers of pytest that want the same folder wait for each other.
    """
    directory = ROOT / "build" / name
    directory.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", str(ROOT / "dataplane"), "-B", str(directory), "-G", "Ninja"]
    configure += [*options, f"-DPython_EXECUTABLE={sys.executable}"]
    env = os.environ | {"CC": compiler}
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL, env=env)
        ninja = ["ninja", "-C", str(directory), "--quiet", *targets]
        subprocess.run(ninja, check=True, stdout=subprocess.DEVNULL)
    return directory


def sanitized(*targets: str) -> Path:
    """Build *targets* with ASan and UBSan; return the folder."""
    options = ("-DSANITIZE=ON", "-DBENCH=ON", "-DCMAKE_BUILD_TYPE=Debug")
    return build("asan", *targets, options=options)
