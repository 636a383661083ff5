"""What tests of both families ask of each: packets, places in the lab, names of nodes."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet

from . import lab, lab6
from .harness import Dataplane, Frame


@dataclass(frozen=True, slots=True)
class Family:
    """One of them; `v` and `s` stand in names of nodes: ip{v}_lookup, session{s}_output."""

    v: str
    s: str
    furnish: Callable[..., int]
    at_ip: Callable[..., Frame]
    udp: Callable[..., bytes]
    ping: Callable[..., bytes]
    routed_frame: Callable[..., bytes]
    decoded: Callable[[bytes], Packet]
    leaf_of: Callable[[Dataplane, str], int]
    set_leaf: Callable[[Dataplane, int], None]
    """Has `group` lead there."""
    neighbour: str
    """A prefix of 16 bits that leads to one, as `leaf_of` takes it; the others too."""
    local: str
    lost: str
    client: str
    server: str
    box: str
    error_from: str
    """Where ICMP errors to the client come from."""
    group: str
    everywhere: tuple[str, ...]
    """Addresses that lead to an adjacency of each kind, to the session, and nowhere."""
    about_error: bytes
    hops: str
    """What scapy calls the TTL."""
    ppp: int
    """PPP's protocol number."""

    def name(self, text: str) -> str:
        return text.format(v=self.v, s=self.s)

    def node(self, dp: Dataplane, name: str, *packets: bytes, **metadata: int) -> list[Frame]:
        """Give packets, which begin at the IP header, to a node."""
        return dp.node(self.name(name), [self.at_ip(packet, **metadata) for packet in packets])

    @property
    def frame(self) -> bytes:
        """A packet of the client's to the server."""
        return self.udp(self.client, self.server)


def of_many(packet: bytes, n: int) -> list[bytes]:
    """Return a packet from n sources, which differ at the end of IPv4's, in the /64 of IPv6's."""
    return [packet[:14] + i.to_bytes(2, "big") + packet[16:] for i in range(n)]


IP4 = Family(
    v="4",
    s="",
    furnish=lab.furnish,
    at_ip=lab.at_ip,
    udp=lab.udp,
    ping=lab.ping,
    routed_frame=lab.routed_frame,
    decoded=lab.decoded,
    leaf_of=lab.leaf_of,
    set_leaf=lambda dp, leaf: lab.route16(dp, "203.0", leaf >> 28, leaf & (1 << 28) - 1),
    neighbour="192.0",
    local="10.1",
    lost="10.5",
    client=lab.CLIENT_IP,
    server=lab.SERVER,
    box="10.1.0.1",
    error_from=lab.GATEWAY,
    group="203.0.113.1",
    everywhere=tuple(f"{prefix}.0.1" for prefix in (*lab.ADJACENCIES, "100.64", "9.9")),
    about_error=bytes(IP(src=lab.SERVER) / ICMP(type=11) / lab.udp(lab.CLIENT_IP, lab.SERVER)),
    hops="ttl",
    ppp=lab.PPP_IP4,
)
IP6 = Family(
    v="6",
    s="6",
    furnish=lab6.furnish,
    at_ip=lab6.at_ip,
    udp=lab6.udp,
    ping=lab6.ping,
    routed_frame=lab6.routed_frame,
    decoded=lab6.decoded,
    leaf_of=lab6.leaf_of,
    set_leaf=lambda dp, leaf: lab6.route16(dp, "2a77", leaf),
    neighbour="2a02",
    local="2a03",
    lost="2a07",
    client=lab6.CLIENT,
    server=lab6.SERVER,
    box=lab6.BOX,
    error_from=lab6.BOX,
    group="2a77::1",
    everywhere=tuple(f"{prefix}::1" for prefix in (*lab6.ROUTES, "2a01", "2a99")),
    about_error=bytes(IPv6(src=lab6.SERVER, dst=lab6.CLIENT) / ICMPv6TimeExceeded() / bytes(8)),
    hops="hlim",
    ppp=lab6.PPP_IP6,
)
BOTH = (IP4, IP6)
FAMILIES = pytest.mark.parametrize("family", BOTH, ids=["ip4", "ip6"])
