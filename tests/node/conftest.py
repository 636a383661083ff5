"""Fixtures of the node tests."""

from collections.abc import Iterator

import pytest

from .harness import DEFAULT_ARGS, Dataplane, dataplane


@pytest.fixture
def dp() -> Iterator[Dataplane]:
    """One worker, ports acc0, wan0 and its twin in memory; checks that no buffer leaks."""
    with dataplane(*DEFAULT_ARGS) as one:
        yield one
