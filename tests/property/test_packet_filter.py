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
from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

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


def ip4(**fields: object) -> Packet:
    return IP(src="192.0.2.2", dst="192.0.2.1", **fields)


def ip6(**fields: object) -> Packet:
    return IPv6(src="fe80::2", dst="fe80::1", **fields)


CONTROL_FRAMES = {
    "ospf": Ether() / ip4(ttl=1) / OSPF_Hdr() / OSPF_Hello(),
    "ospf, options": Ether() / ip4(options=[IPOption_Router_Alert()], proto=89) / bytes(44),
    "ospfv3": Ether() / ip6(nh=89, hlim=1) / bytes(40),
    "pim": Ether() / ip4(proto=103) / bytes(34),
    "vrrp": Ether() / ip4(proto=112) / bytes(20),
    "bfd": Ether() / ip4(ttl=255) / UDP(sport=49152, dport=3784) / bytes(24),
    "bfd, ipv6": Ether() / ip6(hlim=255) / UDP(sport=49152, dport=3784) / bytes(24),
    "bfd, multihop": Ether() / ip4() / UDP(sport=49152, dport=4784) / bytes(24),
    "bgp, from the server": Ether() / ip4() / TCP(sport=179, dport=40000, flags="PA") / bytes(19),
    "bgp, to the server": Ether() / ip6() / TCP(sport=40000, dport=179, flags="A"),
    "bgp, fin": Ether() / ip4() / TCP(dport=179, flags="FA"),
    "rip": Ether() / ip4(ttl=1) / UDP(sport=520, dport=520) / bytes(24),
    "ripng": Ether() / ip6(hlim=255) / UDP(sport=521, dport=521) / bytes(24),
    "ldp": Ether() / ip4(ttl=1) / UDP(sport=646, dport=646) / bytes(30),
    "arp": Ether() / ARP(),
    "isis": Ether(dst="01:80:c2:00:00:15", type=60) / (b"\xfe\xfe\x03\x83" + bytes(56)),
    "ns": Ether() / ip6(hlim=255) / ICMPv6ND_NS(),
    "na": Ether() / ip6(hlim=255) / ICMPv6ND_NA(),
    "bfd, in a vlan": Ether() / Dot1Q(vlan=5) / ip4(ttl=255) / UDP(dport=3784) / bytes(24),
    "arp, in a vlan": Ether(type=0x88A8) / Dot1Q(vlan=5) / ARP(),
    "ns, in a vlan": Ether(type=0x9100) / Dot1Q(vlan=5) / ip6(hlim=255) / ICMPv6ND_NS(),
}
DATA_FRAMES = {
    "udp": Ether() / ip4(ttl=255) / UDP(dport=9) / bytes(30),
    "tcp": Ether() / ip6() / TCP(dport=443, flags="PA") / bytes(30),
    "bgp, syn": Ether() / ip4() / TCP(dport=179, flags="S"),
    "bgp, reset": Ether() / ip6() / TCP(sport=179, flags="RA"),
    "a later fragment": Ether() / ip4(proto=89, frag=3) / bytes(40),
    "ping": Ether() / ip6(hlim=255) / ICMPv6EchoRequest(),
    "ns, from afar": Ether() / ip6(hlim=254) / ICMPv6ND_NS(),
    "stp": Ether(dst="01:80:c2:00:00:00", type=60) / (b"\x42\x42\x03" + bytes(57)),
    "pppoe": Ether(type=0x8864) / bytes(60),
    "three tags": Ether() / Dot1Q(vlan=5) / Dot1Q(vlan=6) / ARP(),
}


@pytest.mark.parametrize("name", CONTROL_FRAMES)
def test_control_has_the_ring_of_its_own(filters: Filters, name: str) -> None:
    assert filters.takers(bytes(CONTROL_FRAMES[name])) == ["control"]


@pytest.mark.parametrize("name", DATA_FRAMES)
def test_all_else_is_data(filters: Filters, name: str) -> None:
    assert filters.takers(bytes(DATA_FRAMES[name])) == ["data"]


EVERY = [bytes(frame) for frame in (*CONTROL_FRAMES.values(), *DATA_FRAMES.values())]


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
