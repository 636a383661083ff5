"""Tests are shared out between workers as `tests.support.sharing` says."""

from typing import Any

import pytest

from tests.support.sharing import Sharing, give_way


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """Share tests out so that those that need the machine do not disturb each other."""
    return Sharing(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that want the machine to themselves go first."""
    if hasattr(item.config, "workerinput"):
        give_way(item.nodeid)
