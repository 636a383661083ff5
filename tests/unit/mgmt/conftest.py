"""A box in memory with two sessions: user00001 untagged, user00002 in VLAN 100.7."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.managed_box import Managed, managed_box


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Managed]]:
    """Yield an empty box and its runner."""
    with managed_box(tmp_path) as (runner, managed):
        yield runner, managed


@pytest.fixture
def dialled(bed: tuple[asyncio.Runner, Managed]) -> Managed:
    """Return a box that the test may change."""
    return dial(bed[1])


@pytest.fixture(scope="package")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    """Yield a box for tests that ask and change nothing."""
    with managed_box(tmp_path_factory.mktemp("still")) as (_, managed):
        yield dial(managed)


def dial(managed: Managed) -> Managed:
    memory = managed.memory
    memory.dial(memory.subscriber(1), memory.subscriber(2, vlan="100.7"))
    assert memory.manager.table.count == 2
    return managed
