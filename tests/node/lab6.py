"""What the node tests of IPv6 share: addresses, packets built by scapy, a session that has IPv6."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet

from dataplane.ip6 import ip6_record

from . import lab
from .harness import WAN, Dataplane, Frame, ffi, lib

PPP_IP6 = 0x0057
IP6 = 16  # PKT_IP6
LINK = IPv6Network("2a01:1:1:1::/64")
DELEGATED = IPv6Network("2a01:1:100::/56")
INTERFACE_ID = 0x0200_5EFF_FE00_0001
GATEWAY = str(IPv6Address(0xFE80 << 112 | INTERFACE_ID))
CLIENT = "2a01:1:1:1::5"
CLIENT_LINK_LOCAL = "fe80::2"
BEHIND = "2a01:1:100:2::7"  # in the delegated prefix
FRAMED = "2a01:2::9"  # in a prefix routed to the client's session
SERVER = "2a02::1"  # behind the neighbour
BOX = "2a03::1"  # the kernel's
NOBODYS = "2a05::1"  # of an aggregate that is ours
ROUTES = {
    "2a02": "192.0",
    "2a03": "10.1",
    "2a04": "10.2",
    "2a05": "10.3",
    "2a06": "10.4",
    "2a07": "10.5",
    "2a08": "10.6",
    "2a09": "10.7",
}
"""The adjacencies are those that `lab.furnish` has made for IPv4."""


def leaf_of(dp: Dataplane, prefix: str) -> int:
    """Return the leaf that the lab gave a prefix of 16 bits."""
    return int(dp.section(lib.SECTION_FIB6_ROOT, "uint32_t")[int(prefix, 16)])


def route16(dp: Dataplane, prefix: str, leaf: int) -> None:
    """Write the leaf of a prefix of 16 bits."""
    dp.section(lib.SECTION_FIB6_ROOT, "uint32_t")[int(prefix, 16)] = leaf


def serve(
    dp: Dataplane,
    generation: int,
    *,
    index: int = 0,
    on: bool = True,
    link: IPv6Network | None = LINK,
    delegated: IPv6Network | None = DELEGATED,
    worker: int = 0,
) -> None:
    """Turn IPv6 of a session on, or off."""
    record = ip6_record(
        index,
        generation,
        1,
        on=on,
        link_prefix=int(link.network_address) >> 64 if link else 0,
        delegated=int(delegated.network_address) >> 64 if delegated else 0,
        delegated_length=delegated.prefixlen if delegated else 0,
        interface_id=INTERFACE_ID,
    )
    assert dp.command(record, group=worker) == 0


def furnish(dp: Dataplane, **options: Any) -> int:
    """Do what `lab.furnish` does, and serve session 0 IPv6; return its generation."""
    generation = lab.furnish(dp, **options)
    serve(dp, generation, worker=options.get("worker", 0))
    set_address(dp, WAN, BOX)
    for prefix, other in ROUTES.items():
        route16(dp, prefix, lab.leaf_of(dp, other))
    route16(dp, "2a01", lib.LEAF_SESSION << 28)
    return generation


def set_address(dp: Dataplane, port: int, address: str) -> None:
    """Give a port the address that its ICMPv6 errors come from."""
    number = int(IPv6Address(address))
    dp.port(port).ip6_prefix = number >> 64
    dp.port(port).ip6_interface_id = number & (1 << 64) - 1


def session_ip6(dp: Dataplane, index: int) -> Any:
    """Return the IPv6 entry of a session."""
    return dp.section(lib.SECTION_SESSION_IP6, "struct session_ip6")[index]


def udp(source: str, destination: str, size: int = 8, **ip: Any) -> bytes:
    """Build an IPv6 UDP packet with *size* bytes of data; *ip* are fields of scapy's IPv6."""
    data = bytes(i % 256 for i in range(size))
    return bytes(IPv6(src=source, dst=destination, **ip) / UDP(sport=4000, dport=53) / data)


def syn(source: str, destination: str, options: list[Any], *between: Packet) -> bytes:
    """Build a TCP SYN with these options, *between* it and IPv6 these headers."""
    packet: Packet = IPv6(src=source, dst=destination)
    for header in between:
        packet /= header
    return bytes(packet / TCP(flags="S", options=options))


def ping(source: str, destination: str, size: int = 16, **ip: Any) -> bytes:
    """Build an ICMPv6 Echo Request."""
    return bytes(
        IPv6(src=source, dst=destination, **ip) / ICMPv6EchoRequest(id=9, seq=1, data=bytes(size))
    )


def at_ip(packet: bytes, **metadata: Any) -> Frame:
    """Hand an IPv6 packet to a node that starts at its header."""
    metadata.setdefault("flags", 0)
    metadata["flags"] |= IP6
    return Frame(data=packet, **metadata)


def routed_frame(packet: bytes, *, destination: bytes = lab.WAN_MAC) -> bytes:
    """Build a frame from the neighbour."""
    return lab.ethernet(packet, 0x86DD, source=lab.NEIGHBOUR, destination=destination)


def decoded(packet: bytes) -> Packet:
    """Let scapy decode an IPv6 packet; assert that its length and checksum are right."""
    ip = IPv6(packet)
    fresh = ip.copy()
    del fresh.plen
    layer = fresh.payload
    while layer:
        for name in ("cksum", "chksum"):
            if name in layer.fields:
                delattr(layer, name)
        layer = layer.payload if not layer.name.startswith("ICMPv6") else None
    assert bytes(fresh) == packet
    return ip


def copy_of(struct: Any) -> bytes:
    """Return the bytes of a struct of the arena."""
    return bytes(ffi.buffer(ffi.addressof(struct)))


FRAME = udp(CLIENT, SERVER)
"""Of the session, to the world."""
