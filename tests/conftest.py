"""How tests are shared out when there are several workers (``pytest -n 2``)."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

MACHINE = ("tests/bench/", "tests/netns/")
"""Tests with processes, namespaces and timings: one worker has them all, one after the other."""


class Sharing(LoadScopeScheduling):
    """Gives the tests of `MACHINE` to one worker, any other test to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return "machine" if nodeid.startswith(MACHINE) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """Share tests out so that those that need the machine do not disturb each other."""
    return Sharing(config, log)
