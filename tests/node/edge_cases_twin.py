"""Edge cases of twin_output: what the kernel gets of each class, and when it is too much."""

from collections.abc import Callable

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6ND_Redirect, IPv6
from scapy.layers.l2 import ARP

from . import lab
from .edges import Case, case
from .harness import WAN, Dataplane, Frame

ALL_ROUTERS = bytes.fromhex("01005e000005")
ALL_ISS = bytes.fromhex("0180c2000015")


def frame(packet: bytes, ethertype: int = 0x0800, *, destination: bytes = lab.WAN_MAC) -> bytes:
    """Build a frame from the neighbour to the routed port."""
    return lab.ethernet(packet, ethertype, source=lab.NEIGHBOUR, destination=destination)


def bgp(source: str, flags: str = "A") -> bytes:
    """Build a BGP segment from far away."""
    return frame(bytes(IP(src=source, dst=lab.SERVER, ttl=60) / TCP(sport=179, flags=flags)))


def on_link_bgp(source: str) -> bytes:
    """Build a BGP segment that no router has passed (RFC 5082)."""
    return frame(bytes(IP(src=source, dst=lab.SERVER, ttl=255) / TCP(sport=179, flags="A")))


def bfd(source: str) -> bytes:
    """Build a BFD packet of a neighbour (RFC 5881)."""
    return frame(bytes(IP(src=source, dst=lab.SERVER, ttl=255) / UDP(sport=49152, dport=3784)))


def ospf(source: str) -> bytes:
    """Build an OSPF packet to the routers of the link."""
    packet = IP(src=source, dst="224.0.0.5", ttl=1, proto=89) / bytes(44)
    return frame(bytes(packet), destination=ALL_ROUTERS)


def isis(source: str) -> bytes:
    """Build a frame of IS-IS, which has no address but that of Ethernet: the end of *source*."""
    host = int(source.rsplit(".", 1)[1]) + 1
    frame = lab.ethernet(b"\xfe\xfe\x03\x83" + bytes(40), 44, source=bytes(5) + bytes([host]))
    return ALL_ISS + frame[6:]


def rip(source: str) -> bytes:
    """Build a packet of RIP, one of the other routing protocols."""
    packet = IP(src=source, dst="224.0.0.9", ttl=1) / UDP(sport=520, dport=520)
    return frame(bytes(packet), destination=bytes.fromhex("01005e000009"))


def other(source: str) -> bytes:
    """Build a packet of none of the classes."""
    return frame(lab.udp(source, lab.SERVER))


def solicitation(source: str) -> bytes:
    """Build a Neighbor Solicitation (RFC 4861)."""
    return frame(bytes(IPv6(src=source, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS()), 0x86DD)


def redirect(version: int) -> bytes:
    """Build a Redirect of ICMP (RFC 792), or of ND (RFC 4861)."""
    if version == 4:
        return frame(bytes(IP(src="192.0.2.77", dst=lab.SERVER) / ICMP(type=5, gw="192.0.2.66")))
    return frame(bytes(IPv6(src="fe80::1", dst="fe80::2", hlim=255) / ICMPv6ND_Redirect()), 0x86DD)


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
case("twin_output/drop: bgp-share-used-up")(_flood(on_link_bgp("198.18.0.1"), count=20_001))
case("twin_output/drop: bgp-policed")(_flood(*map(on_link_bgp, SOURCES[:8]), count=50_008))
PROTOCOLS: dict[str, Callable[[str], bytes]] = {
    "bfd": bfd,
    "ospf": ospf,
    "isis": isis,
    "routing": rip,
}
for _name, _build in PROTOCOLS.items():
    _one, _all = "share-used-up", "policed"
    case(f"twin_output/drop: {_name}-{_one}")(_flood(_build("198.18.0.1"), count=4_001))
    case(f"twin_output/drop: {_name}-{_all}")(_flood(*map(_build, SOURCES[:8]), count=10_008))
case("twin_output/drop: redirect")(_flood(redirect(4), redirect(6), count=2))


@case(
    "twin_output/address_claim",
    "address_claim/control_output",
    "address_claim/drop: address-claimed",
)
def _(dp: Dataplane) -> None:
    lab.furnish(dp)
    claim = ARP(op=2, hwsrc=lab.NEIGHBOUR.hex(":"), psrc=lab.WAN_IP, pdst=lab.WAN_IP)
    dp.receive(WAN, *[frame(bytes(claim), 0x0806, destination=lab.BROADCAST)] * 2)
