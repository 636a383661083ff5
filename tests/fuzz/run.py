"""Run one Python fuzz target under atheris: ``python -m tests.fuzz.run TARGET [ARGUMENTS]``.

The arguments are libFuzzer's: corpus directories, ``-max_total_time=60``, a file to run once.
"""

import importlib
import sys
from importlib.machinery import PathFinder

import atheris

from tests.fuzz.replay import quiet


def main() -> None:
    """Instrument what the target imports of ours, and fuzz it."""
    program, target, *arguments = sys.argv
    sys.meta_path.insert(0, PathFinder)  # what the finder of an editable install loads stays bare
    with atheris.instrument_imports(include=["bng", "tests.fuzz"]):
        module = importlib.import_module(f"tests.fuzz.fuzz_{target}")
    quiet()
    atheris.Setup([program, *arguments], module.test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
