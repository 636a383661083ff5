"""Labs and namespace pairs for the tests that send packets between real processes."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import ROOT, Lab
from tests.support.netns import command, run

_LOG_TAIL_BYTES = 6000
_numbers = itertools.count()

MakeLab = Callable[..., Lab]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, visibly, what needs root."""
    if os.geteuid() == 0:
        return
    for item in items:
        if "netns" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes network namespaces"))


def _prefix() -> str:
    return f"t{os.getpid()}n{next(_numbers)}"


@contextlib.contextmanager
def running_lab(directory: Path, kind: type[Lab] = Lab, **options: Any) -> Iterator[Lab]:
    """Run one lab; its logs are printed at the end, which pytest shows when a test failed."""
    lab = kind(_prefix(), directory, **options)
    try:
        with lab:
            yield lab
    finally:
        for path in sorted((directory / "log").glob("*.log")):
            print(f"--- {path.name}\n{path.read_text(errors='replace')[-_LOG_TAIL_BYTES:]}")


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    """Build labs with ``make_lab(config=..., users=...)``; they end with the test."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Lab:
            directory = tmp_path / f"lab{next(_numbers)}"
            return stack.enter_context(running_lab(directory, **options))

        yield make


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run one lab for the whole module; ``LAB_OPTIONS`` of the module are its options."""
    options = getattr(request.module, "LAB_OPTIONS", {})
    with running_lab(tmp_path_factory.mktemp("lab"), **options) as lab:
        yield lab


class StubPair:
    """Two namespaces, one veth: the client's c0 and s0 of a stub server, which is not a BNG."""

    def __init__(self) -> None:
        prefix = _prefix()
        self.client, self.server = f"{prefix}-c", f"{prefix}-s"
        self._stub: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Make the namespaces and start the stub."""
        for netns in (self.client, self.server):
            run(None, "ip", "netns", "add", netns)
        pair = ("link", "add", "c0", "netns", self.client, "type", "veth")
        run(None, "ip", *pair, "peer", "name", "s0", "netns", self.server)
        run(self.client, "ip", "link", "set", "c0", "up")
        run(self.server, "ip", "link", "set", "s0", "up")
        argv = [sys.executable, "-m", "tests.support.stub_server", "s0"]
        self._stub = subprocess.Popen(command(self.server, argv), cwd=ROOT)
        end = time.monotonic() + 10
        while len(run(self.server, "cat", "/proc/net/packet").stdout.splitlines()) < 2:
            assert time.monotonic() < end, "the stub server did not start"
            time.sleep(0.02)

    def down(self) -> None:
        """Undo it all."""
        if self._stub is not None:
            self._stub.kill()
            self._stub.wait()
        for netns in (self.client, self.server):
            run(None, "ip", "netns", "del", netns, check=False)


@pytest.fixture
def stub() -> Iterator[StubPair]:
    """Run a stub server for tests of the client itself."""
    pair = StubPair()
    try:
        pair.up()
        yield pair
    finally:
        pair.down()


def interface_mac(netns: str, interface: str) -> str:
    """Return the Ethernet address of *interface* in *netns*."""
    return run(netns, "cat", f"/sys/class/net/{interface}/address").stdout.strip()
