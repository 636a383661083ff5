"""Tests are shared out between workers as `tests.support.sharing` says."""

from typing import Any

import pytest

from tests.support.sharing import Sharing


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """Share tests out so that those that need the machine do not disturb each other."""
    return Sharing(config, log)
