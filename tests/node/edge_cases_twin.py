"""Edge cases of twin_output: what the kernel gets of each class, and when it is too much."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6

from . import lab
from .edges import Case, case
from .harness import WAN, Dataplane, Frame

ALL_NODES = bytes.fromhex("01005e000005")


def frame(packet: bytes, ethertype: int = 0x0800, *, destination: bytes = lab.WAN_MAC) -> bytes:
    """Build a frame from the neighbour to the routed port."""
    return lab.ethernet(packet, ethertype, source=lab.NEIGHBOUR, destination=destination)


def bgp(source: str, flags: str = "A") -> bytes:
    """Build a BGP segment from far away."""
    return frame(bytes(IP(src=source, dst=lab.SERVER, ttl=60) / TCP(sport=179, flags=flags)))


def bfd(source: str) -> bytes:
    """Build a BFD packet of a neighbour (RFC 5881)."""
    return frame(bytes(IP(src=source, dst=lab.SERVER, ttl=255) / UDP(sport=49152, dport=3784)))


def other(source: str) -> bytes:
    """Build a packet of none of the classes."""
    return frame(lab.udp(source, lab.SERVER))


def solicitation(source: str) -> bytes:
    """Build a Neighbor Solicitation (RFC 4861)."""
    return frame(bytes(IPv6(src=source, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS()), 0x86DD)


def send(dp: Dataplane, frames: list[bytes], *, port: int = WAN) -> list[str]:
    """Hand frames to the node; return the edges that they took."""
    edges: list[str] = []
    for at in range(0, len(frames), 256):
        batch = [Frame(data=data, rx_port=port) for data in frames[at : at + 256]]
        edges += [done.edge_name for done in dp.node("twin_output", batch)]
    return edges


def _flood(*frames: bytes, count: int) -> Case:
    def run(dp: Dataplane) -> None:
        send(dp, list(frames) * (count // len(frames)))

    return run


SOURCES = [f"198.18.{i >> 8}.{i & 255}" for i in range(512)]
case("twin_output/drop: other-share-used-up")(_flood(other("198.18.0.1"), count=20_001))
case("twin_output/drop: other-policed")(_flood(*map(other, SOURCES[:8]), count=40_008))
case("twin_output/drop: neighbour-share-used-up")(_flood(solicitation("fe80::1"), count=201))
case("twin_output/drop: neighbour-policed")(
    _flood(*(solicitation(f"fe80::{i:x}") for i in range(1, 257)), count=4096)
)
case("twin_output/drop: stranger-share-used-up")(_flood(bgp("198.18.0.1"), count=21))
case("twin_output/drop: stranger-policed")(_flood(*map(bgp, SOURCES[:256]), count=768))
case("twin_output/drop: routing-share-used-up")(_flood(bfd("198.18.0.1"), count=20_001))
case("twin_output/drop: routing-policed")(_flood(*map(bfd, SOURCES[:8]), count=50_008))
