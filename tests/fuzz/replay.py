"""Run Python fuzz targets over their corpora, without atheris: ``python -m tests.fuzz.replay``."""

import importlib
import logging
import sys
from pathlib import Path

import structlog

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def quiet() -> None:
    """Log errors only: sessions come and go by the thousand."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def replay(target: str) -> int:
    """Run every input of a target once; returns how many there were."""
    run = importlib.import_module(f"tests.fuzz.fuzz_{target}").test_one_input
    inputs = sorted((CORPUS / target).iterdir())
    for path in inputs:
        run(path.read_bytes())
    return len(inputs)


if __name__ == "__main__":
    quiet()
    for name in sys.argv[1:] or TARGETS:
        print(name, replay(name))
