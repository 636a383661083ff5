"""``bng-dataplane``: turn bng.toml into the command line of the C process, and become it.

The C process knows no TOML. This program checks the file, then replaces itself, so that
supervisors see one process with one pid.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import dataplane
from bng.config import dataplane_args, load
from bng.errors import ConfigError

BINARY_VARIABLE = "BNG_DATAPLANE_BIN"
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: a supervisor need not try again."""


def binary() -> Path:
    """Return where the C program is: next to its package, unless the environment says."""
    told = os.environ.get(BINARY_VARIABLE)
    return Path(told) if told else dataplane.program()


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the command that *arguments* of this program stand for. Raises: ConfigError."""
    parser = argparse.ArgumentParser(prog="bng-dataplane", description="The bng dataplane process.")
    parser.add_argument("--config", type=Path, default=Path("/etc/bng/bng.toml"), metavar="FILE")
    parser.add_argument("--check", action="store_true", help="check, print the arena's size, end")
    options = parser.parse_args(arguments)
    check = ["--check"] if options.check else []
    return [str(binary()), *dataplane_args(load(options.config)), *check]


def main() -> None:
    """Become the C process, or say on stderr why not and exit with `EXIT_CONFIG`."""
    try:
        command = command_line(sys.argv[1:])
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        raise SystemExit(os.EX_UNAVAILABLE) from None
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell: that is the point
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(os.EX_UNAVAILABLE) from None
