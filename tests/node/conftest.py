"""Fixtures of the node tests."""

from collections.abc import Iterator

import pytest
from scapy.config import conf

from .harness import DEFAULT_ARGS, Dataplane, dataplane

conf.max_list_count = 4096  # as judge, scapy takes as many IP options as fit in a header


@pytest.fixture
def dp() -> Iterator[Dataplane]:
    """One worker, ports acc0, wan0 and its twin in memory; checks that no buffer leaks."""
    with dataplane(*DEFAULT_ARGS) as one:
        yield one
