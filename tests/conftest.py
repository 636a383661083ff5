"""What holds for all tests: those that need the machine for themselves run one after the other."""

import pytest

MACHINE = ("bench", "netns")
"""Folders whose tests have processes, namespaces and timings: two at once would disturb each other.

The others run beside them, in the second worker (``packaging/test``).
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of `MACHINE` in one worker."""
    for item in items:
        if set(MACHINE) & set(item.path.parts):
            item.add_marker(pytest.mark.xdist_group("machine"))
