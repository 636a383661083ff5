"""The kernel's filter of control frames: each frame passes it or its opposite, never both or none.

It runs in the kernel, on a pair of sockets; what it must say is what node/control_class.h says.
"""

import ctypes
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, IPOption_Router_Alert

from tests.support.control_frames import CONTROL_FRAMES, DATA_FRAMES, eth

ROOT = Path(__file__).parents[2]
DATA, CONTROL = 1, 2
LONG = 100
"""Bytes of a frame in which all of its headers have room."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("filter") / "filter.so"
    dataplane = ROOT / "dataplane"
    subprocess.run(
        [
            *("cc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-o", out),
            *("-D_GNU_SOURCE", "-I", dataplane / "include", "-I", dataplane / "src"),
            dataplane / "src/io/packet_filter.c",
            ROOT / "tests/support/c/packet_filter_shim.c",
        ],
        check=True,
    )
    return ctypes.CDLL(str(out))


class Filters:
    """Two sockets, one for each of the two sorts."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.pairs = {}
        for name, which in (("data", DATA), ("control", CONTROL)):
            to, of = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            assert library.packet_filter_set(of.fileno(), which) == 0
            of.setblocking(False)
            self.pairs[name] = to, of

    def close(self) -> None:
        for pair in self.pairs.values():
            for end in pair:
                end.close()

    def takers(self, frame: bytes) -> list[str]:
        """Return which of the two take the frame, whole."""
        found = []
        for name, (to, of) in self.pairs.items():
            to.send(frame)
            try:
                assert of.recv(65536) == frame
            except BlockingIOError:
                continue
            found.append(name)
        return found

    def model(self, frame: bytes) -> str:
        """Return what control_class.h says of a frame without tags."""
        return "control" if self.library.shim_is_control(frame, len(frame)) else "data"


@pytest.fixture(scope="module")
def filters(library: ctypes.CDLL) -> Filters:
    return Filters(library)


@pytest.mark.parametrize("name", CONTROL_FRAMES)
def test_control_has_the_ring_of_its_own(filters: Filters, name: str) -> None:
    assert filters.takers(CONTROL_FRAMES[name]) == ["control"]


def test_options_of_ipv4_are_stepped_over(filters: Filters) -> None:
    ospf = (
        eth()
        / IP(src="192.0.2.2", dst="192.0.2.1", options=[IPOption_Router_Alert()], proto=89)
        / bytes(44)
    )
    assert filters.takers(bytes(ospf)) == ["control"]


@pytest.mark.parametrize("name", DATA_FRAMES)
def test_all_else_is_data(filters: Filters, name: str) -> None:
    assert filters.takers(DATA_FRAMES[name]) == ["data"]


EVERY = [*CONTROL_FRAMES.values(), *DATA_FRAMES.values()]


@pytest.mark.parametrize("frame", EVERY)
def test_a_frame_that_ends_early_is_one_of_the_two(filters: Filters, frame: bytes) -> None:
    for end in range(14, len(frame)):
        assert len(filters.takers(frame[:end])) == 1, end


@given(st.data())
@settings(deadline=None)
def test_filter_and_node_agree(filters: Filters, data: st.DataObject) -> None:
    frame = bytearray(data.draw(st.sampled_from(EVERY)).ljust(LONG, b"\0"))
    for at in data.draw(st.lists(st.integers(12, LONG - 1), max_size=3)):
        frame[at] = data.draw(st.integers(0, 255))
    takers = filters.takers(bytes(frame))
    assert len(takers) == 1
    if bytes(frame[12:14]) not in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
        assert takers == [filters.model(bytes(frame))]
