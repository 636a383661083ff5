"""The kernel's filter of control frames: each frame is of one sort, never of two or of none.

It runs in the kernel, on pairs of sockets; what it must say is what node/control_class.h says.
"""

import ctypes
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, IPOption_Router_Alert

from tests.support.control_frames import (
    CONTROL_FRAMES,
    CONTROL_SORTS,
    DATA_FRAMES,
    TWICE_TAGGED,
    eth,
)

ROOT = Path(__file__).parents[2]
SORTS = {"data": 1, "routing": 2, "neighbour": 4, "stream": 8}
"""As in enum packet_sort."""
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
    """Sockets, one for each sort."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.pairs = {}
        for name, sort in SORTS.items():
            self.pairs[name] = self.pair(sort)

    def pair(self, sorts: int) -> tuple[socket.socket, socket.socket]:
        """Return a socket that sends, and one that takes *sorts*."""
        to, of = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        assert self.library.packet_filter_set(of.fileno(), sorts) == 0
        of.setblocking(False)
        return to, of

    def close(self) -> None:
        for pair in self.pairs.values():
            for end in pair:
                end.close()

    def takers(self, frame: bytes) -> list[str]:
        """Return which of them take the frame, whole."""
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
        found = self.library.shim_sort(frame, len(frame))
        return next(name for name, sort in SORTS.items() if sort == found)


@pytest.fixture(scope="module")
def filters(library: ctypes.CDLL) -> Filters:
    return Filters(library)


@pytest.mark.parametrize("name", CONTROL_FRAMES)
def test_each_sort_of_control_has_a_ring_of_its_own(filters: Filters, name: str) -> None:
    assert filters.takers(CONTROL_FRAMES[name]) == [CONTROL_SORTS[name]]


@pytest.mark.parametrize("name", CONTROL_FRAMES)
def test_two_tags_are_stepped_over_when_the_kernel_knows_not_the_outer_one(
    filters: Filters, name: str
) -> None:
    """It takes an outer 802.1Q or 802.1ad tag out of a frame, never 0x9100."""
    for inner in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
        frame = CONTROL_FRAMES[name]
        if frame[12:14] in TPIDS:
            frame = frame[:12] + frame[16:]
        tagged = frame[:12] + b"\x91\x00\x00\x07" + inner + b"\x00\x05" + frame[12:]
        assert filters.takers(tagged) == [CONTROL_SORTS[name]]


def test_a_ring_may_take_several_sorts(filters: Filters) -> None:
    to, of = filters.pair(SORTS["data"] | SORTS["routing"])
    with to, of:
        for name, frame in (CONTROL_FRAMES | DATA_FRAMES).items():
            to.send(frame)
            if CONTROL_SORTS.get(name, "data") in ("data", "routing"):
                assert of.recv(65536) == frame
            else:
                with pytest.raises(BlockingIOError):
                    of.recv(65536)


def test_options_of_ipv4_are_stepped_over(filters: Filters) -> None:
    ospf = (
        eth()
        / IP(src="192.0.2.2", dst="192.0.2.1", options=[IPOption_Router_Alert()], proto=89)
        / bytes(44)
    )
    assert filters.takers(bytes(ospf)) == ["routing"]


@pytest.mark.parametrize("name", DATA_FRAMES)
def test_all_else_is_data(filters: Filters, name: str) -> None:
    assert filters.takers(DATA_FRAMES[name]) == ["data"]


EVERY = [*CONTROL_FRAMES.values(), *DATA_FRAMES.values()]
TPIDS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


@pytest.mark.parametrize("frame", [*EVERY, TWICE_TAGGED])
def test_a_frame_that_ends_early_is_of_one_sort(filters: Filters, frame: bytes) -> None:
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
    if bytes(frame[12:14]) not in TPIDS:
        assert takers == [filters.model(bytes(frame))]
