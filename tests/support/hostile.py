"""Frames that a hostile subscriber, or a host of the network, fills the line with, kind by kind.

Each kind is a list of frames to be repeated; `reasons` are drops of which some must have counted
them: "node reason" as in ``bngctl show counters``, a prefix is enough.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tests.support.client import wire

TCP, UDP, ICMP, GRE, ESP = 6, 17, 1, 47, 50
COUNT, MANY = 1024, 8192
"""Frames of a kind; of one that must differ in more than that to fill a table."""
_MORE, DF = 0x2000, 0x4000
MTU = 1492
MOST = 1500
"""What fits into a session without RFC 4638, and what into one with it, or on an Ethernet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Who is there: the hostile subscriber's frame head, addresses, MACs of our ports."""

    head: bytes  # through the PPPoE session id
    own: IPv4Address
    neighbours: list[IPv4Address]
    public: IPv4Network
    remote: IPv4Address
    forwards: list[tuple[IPv4Address, int]]  # public ends that lead to others
    owned: IPv4Network  # addresses that are one session's each; not all of them are given
    access_mac: bytes
    routed_mac: bytes
    # of IPv6
    link6: IPv6Network
    home6: IPv6Network
    gateway6: IPv6Address
    neighbour6: IPv6Network
    pools6: tuple[IPv6Network, IPv6Network]
    remote6: IPv6Address
    box6: IPv6Address


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of hostile traffic."""

    name: str
    build: Callable[[Scene, random.Random], Iterator[bytes]]
    reasons: tuple[str, ...]
    count: int = COUNT
    sender: str = "shared"
    """Upstream: how the hostile one is translated: shared, forwarded, own."""

    def frames(self, scene: Scene) -> list[bytes]:
        """Return the frames, the same in every run."""
        return [frame for frame, _ in zip(self._all(scene), range(self.count), strict=False)]

    def _all(self, scene: Scene) -> Iterator[bytes]:
        chance = random.Random(self.name)
        while True:
            yield from self.build(scene, chance)


def ip4(
    source: IPv4Address,
    destination: IPv4Address,
    protocol: int,
    payload: bytes,
    *,
    fragment: int = 0,
    ident: int = 0,
    options: bytes = b"",
    wrong_sum: bool = False,
) -> bytes:
    """Return an IPv4 packet; *fragment* is the word of flags and offset."""
    ihl = 5 + len(options) // 4
    length = ihl * 4 + len(payload)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | ihl, 0, length, ident, fragment, 64, protocol, 0, source.packed, destination.packed,
    ) + options  # fmt: skip
    total = wire.checksum(head) ^ 0xFFFF ^ (0x1234 if wrong_sum else 0)
    return head[:10] + struct.pack("!H", total) + head[12:] + payload


def udp(source: int, destination: int, body: bytes = b"hostile!") -> bytes:
    """Return a datagram without checksum."""
    return struct.pack("!HHHH", source, destination, 8 + len(body), 0) + body


def tcp(source: int, destination: int, flags: int = 2) -> bytes:
    """Return a segment; its checksum is anything."""
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, 0x50, flags, 1024, 0x5555, 0)


def icmp(kind: int, code: int, body: bytes, *, wrong_sum: bool = False) -> bytes:
    """Return an ICMP message; *body* is what is behind the checksum."""
    whole = struct.pack("!BBH", kind, code, 0) + body
    total = wire.checksum(whole + bytes(len(whole) & 1)) ^ 0xFFFF ^ (1 if wrong_sum else 0)
    return whole[:2] + struct.pack("!H", total) + whole[4:]


def up(scene: Scene, packet: bytes) -> bytes:
    """Put a packet into the hostile subscriber's session."""
    return scene.head + struct.pack("!HH", len(packet) + 2, 0x0021) + packet


def down(scene: Scene, packet: bytes) -> bytes:
    """Put a packet on the network's side."""
    frame = scene.routed_mac + b"\x02\x09\x09\x09\x09\x09\x08\x00" + packet
    return frame.ljust(60, b"\0")


def any_public(scene: Scene, chance: random.Random) -> IPv4Address:
    return scene.public[chance.randrange(scene.public.num_addresses)]


def a_port(chance: random.Random) -> int:
    return chance.randrange(1, 65536)


# ---- from a subscriber ----


def fragments_of(
    source: IPv4Address, target: IPv4Address, chance: random.Random
) -> Iterator[bytes]:
    """Yield fragments of every bad kind: late, first and never more, overlapping, tiny."""
    ident = chance.randrange(65536)
    data = udp(a_port(chance), a_port(chance), bytes(24))
    protocol = chance.choice((UDP, TCP, ICMP, GRE))
    yield ip4(source, target, protocol, bytes(24), fragment=chance.randrange(1, 8191), ident=ident)
    yield ip4(source, target, UDP, data, fragment=_MORE, ident=chance.randrange(65536))
    yield ip4(source, target, UDP, data, fragment=_MORE, ident=ident)
    yield ip4(source, target, UDP, bytes(24), fragment=_MORE | 1, ident=ident)
    yield ip4(source, target, TCP, tcp(1, 80)[:8], fragment=_MORE, ident=ident)
    yield ip4(source, target, TCP, bytes(8), fragment=1, ident=ident)
    yield ip4(source, target, TCP, b"", fragment=_MORE, ident=ident)


def _up_fragments(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in fragments_of(scene.own, scene.remote, chance):
        yield up(scene, packet)


def _up_bad_sums(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    body = udp(a_port(chance), 7010)
    yield up(scene, ip4(scene.own, scene.remote, UDP, body, wrong_sum=True))
    echo = icmp(8, 0, struct.pack("!HH", 7, 1) + b"ping", wrong_sum=True)
    yield up(scene, ip4(scene.own, scene.remote, ICMP, echo, wrong_sum=True))


def _up_bad_icmp_sums(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    quote = ip4(scene.remote, scene.own, UDP, udp(7010, a_port(chance)))
    bad = icmp(3, 3, bytes(4) + quote, wrong_sum=True)
    yield up(scene, ip4(scene.own, scene.remote, ICMP, bad))


def _up_land(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    port = a_port(chance)
    yield up(scene, ip4(scene.own, scene.own, TCP, tcp(port, port)))
    yield up(scene, ip4(scene.own, scene.own, UDP, udp(port, port)))
    public = any_public(scene, chance)
    yield up(scene, ip4(public, public, TCP, tcp(port, port)))


def _up_tiny(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for protocol in (TCP, UDP, ICMP):
        yield up(scene, ip4(scene.own, scene.remote, protocol, bytes(chance.randrange(4))))
    whole = ip4(scene.own, scene.remote, UDP, udp(1, 2))
    yield up(scene, whole[: chance.randrange(20)])
    yield up(scene, bytes((0x40 | chance.randrange(5),)) + whole[1:])
    yield up(scene, bytes((0x4F,)) + whole[1:])
    yield up(scene, b"\x65" + whole[1:])
    yield up(scene, whole)[: 22 + chance.randrange(20)]


def _up_options(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    options = chance.randbytes(4 * chance.randrange(1, 11))
    yield up(scene, ip4(scene.own, scene.remote, UDP, udp(1025, 7010), options=options))
    cut = ip4(scene.own, scene.remote, UDP, udp(1025, 7010), options=options)
    yield up(scene, cut[: chance.randrange(20, len(cut))])


def _up_too_big(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send what is longer than any session of the port may carry."""
    body = udp(a_port(chance), 7010, bytes(MOST - 28 + chance.randrange(1, 9)))
    yield up(scene, ip4(scene.own, scene.remote, UDP, body, fragment=chance.choice((0, DF, _MORE))))


def _up_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for source in (
        chance.choice(scene.neighbours),
        any_public(scene, chance),
        IPv4Address(chance.randrange(1 << 24, 1 << 31)),
        scene.remote,
    ):
        yield up(scene, ip4(source, scene.remote, UDP, udp(a_port(chance), 7010)))


def _up_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Scan the pool from inside (hairpin), from one port."""
    target = any_public(scene, chance)
    yield up(scene, ip4(scene.own, target, TCP, tcp(1025, a_port(chance))))
    yield up(scene, ip4(scene.own, target, UDP, udp(1025, a_port(chance))))


def _up_all_ports(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Ask for a mapping of every port there is."""
    yield up(scene, ip4(scene.own, scene.remote, UDP, udp(a_port(chance), 7010)))
    yield up(scene, ip4(scene.own, scene.remote, TCP, tcp(a_port(chance), 7010)))
    ping = icmp(8, 0, struct.pack("!HH", a_port(chance), 1))
    yield up(scene, ip4(scene.own, scene.remote, ICMP, ping))


def _up_all_remotes(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Talk from one port to the whole world: each address is an entry with filtering."""
    target = IPv4Address(int(IPv4Address("198.18.0.0")) + chance.randrange(1 << 16))
    yield up(scene, ip4(scene.own, target, UDP, udp(1025, 7010)))


def _up_tunnels(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Open tunnels, GRE and ESP, to the whole world."""
    target = IPv4Address(int(IPv4Address("198.18.0.0")) + chance.randrange(1 << 16))
    yield up(scene, ip4(scene.own, target, GRE, b"\0\0\x08\0" + bytes(20)))
    yield up(scene, ip4(scene.own, target, ESP, chance.randbytes(24)))


def _padi(chance: random.Random, tags: bytes = b"") -> bytes:
    source = b"\x02" + chance.randbytes(5)
    body = wire.tag(wire.TAG_SERVICE_NAME, b"") + wire.tag(wire.TAG_HOST_UNIQ, chance.randbytes(4))
    head = b"\xff" * 6 + source + tags + wire.ETH_DISCOVERY
    return head + struct.pack("!BBHH", 0x11, wire.PADI, 0, len(body)) + body


def _padi_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    yield _padi(chance)


def _padi_vlan_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    yield _padi(chance, struct.pack("!HH", 0x8100, chance.randrange(1, 4095)))


def _padr_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    body = wire.tag(wire.TAG_SERVICE_NAME, b"") + wire.tag(0x0104, chance.randbytes(24))
    head = scene.access_mac + b"\x02" + chance.randbytes(5) + wire.ETH_DISCOVERY
    yield head + struct.pack("!BBHH", 0x11, wire.PADR, 0, len(body)) + body


def _padt_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Hang up every session there may be, from other stations."""
    head = scene.access_mac + b"\x02" + chance.randbytes(5) + wire.ETH_DISCOVERY
    yield head + struct.pack("!BBHH", 0x11, wire.PADT, chance.randrange(1, 65535), 0)


def _lcp_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    body = wire.option(1, b"\x05\xd4") + wire.option(5, chance.randbytes(4))
    packet = wire.ppp(wire.P_LCP, chance.choice((1, 2, 3, 4, 9)), chance.randrange(256), body)
    yield scene.head + struct.pack("!H", len(packet)) + packet


def _ppp_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for protocol in (0xC023, 0xC223, 0x8021, 0x8057, 0x80FD, chance.randrange(65536) | 1):
        if protocol not in (0x0021, 0xC021):
            packet = wire.ppp(protocol, chance.randrange(14), 1, chance.randbytes(24))
            yield scene.head + struct.pack("!H", len(packet)) + packet


def _unknown_sessions(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send data in sessions that are somebody else's, or nobody's."""
    head = scene.access_mac + b"\x02" + chance.randbytes(5) + wire.ETH_SESSION
    packet = ip4(scene.own, scene.remote, UDP, udp(1, 2))
    session = chance.randrange(1, 65535)
    yield head + struct.pack("!BBHHH", 0x11, 0, session, len(packet) + 2, 0x0021) + packet


# ---- from the network ----


def _down_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    source = IPv4Address(chance.randrange(1 << 24, 0x0A000000))
    target = any_public(scene, chance)
    yield down(scene, ip4(source, target, TCP, tcp(a_port(chance), a_port(chance))))
    yield down(scene, ip4(source, target, UDP, udp(a_port(chance), a_port(chance))))
    ping = icmp(8, 0, struct.pack("!HH", a_port(chance), 1))
    yield down(scene, ip4(source, target, ICMP, ping))


def _down_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Claim to be the pool, a subscriber, or the target itself."""
    target = any_public(scene, chance)
    port = a_port(chance)
    for source in (target, any_public(scene, chance), chance.choice(scene.neighbours)):
        yield down(scene, ip4(source, target, TCP, tcp(port, port)))
        yield down(scene, ip4(source, target, UDP, udp(port, port)))


def _down_tunnels(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    source = IPv4Address(chance.randrange(1 << 24, 0x0A000000))
    target = any_public(scene, chance)
    yield down(scene, ip4(source, target, GRE, b"\0\0\x08\0" + bytes(20)))
    yield down(scene, ip4(source, target, ESP, chance.randbytes(24)))


def _down_fragments(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    source = IPv4Address(chance.randrange(1 << 24, 0x0A000000))
    for packet in fragments_of(source, any_public(scene, chance), chance):
        yield down(scene, packet)


def _down_bad_sums(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    body = udp(7009, a_port(chance))
    yield down(scene, ip4(scene.remote, any_public(scene, chance), UDP, body, wrong_sum=True))


def _down_tiny(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = any_public(scene, chance)
    for protocol in (TCP, UDP, ICMP):
        yield down(scene, ip4(scene.remote, target, protocol, bytes(chance.randrange(4))))
    whole = ip4(scene.remote, target, UDP, udp(1, 2))
    yield down(scene, bytes((0x40 | chance.randrange(5),)) + whole[1:])
    yield down(scene, b"\x4f" + whole[1:])
    yield down(scene, b"\x65" + whole[1:])


def _down_options(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    options = chance.randbytes(4 * chance.randrange(1, 11))
    target = any_public(scene, chance)
    packet = ip4(scene.remote, target, UDP, udp(7010, a_port(chance)), options=options)
    yield down(scene, packet)


def _down_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send ICMP errors about packets that nobody sent, and with cut or lying quotes."""
    source = IPv4Address(chance.randrange(1 << 24, 0x0A000000))
    target = any_public(scene, chance)
    quote = ip4(target, source, chance.choice((UDP, TCP, ICMP)), udp(a_port(chance), 7010))
    kind, code = chance.choice(((3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0), (5, 1)))
    yield down(scene, ip4(source, target, ICMP, icmp(kind, code, bytes(4) + quote)))
    cut = quote[: chance.randrange(len(quote))]
    yield down(scene, ip4(source, target, ICMP, icmp(kind, code, bytes(4) + cut)))
    other = ip4(source, target, UDP, udp(1, 2), fragment=1)
    yield down(scene, ip4(source, target, ICMP, icmp(kind, code, bytes(4) + other)))


UPSTREAM = (
    Kind("fragments", _up_fragments, ("nat44_in2out",)),
    Kind("wrong-checksums", _up_bad_sums, ("pppoe_input ip4-checksum-wrong",)),
    Kind("wrong-checksums-of-errors", _up_bad_icmp_sums, ("nat44_in2out bad-checksum",)),
    Kind("land", _up_land, ("antispoof4 source-spoofed",)),
    Kind("tiny-headers", _up_tiny, ("pppoe_input ip4-",)),
    Kind("options", _up_options, ("pppoe_input ip4-",)),
    Kind("too-big", _up_too_big, ("pppoe_input packet-too-big",)),
    Kind("spoofed-sources", _up_spoofed, ("antispoof4 source-spoofed",)),
    Kind("scan-of-the-pool", _up_scan, ("nat44_out2in no-mapping",)),
    Kind("all-ports", _up_all_ports, ("nat44_in2out",), MANY),
    Kind("all-remotes", _up_all_remotes, ("nat44_in2out",), MANY),
    Kind("tunnels", _up_tunnels, ("nat44_in2out",), MANY),
    Kind("padi", _padi_flood, ("punt svlan-share-used-up",)),
    Kind("padi-on-every-vlan", _padi_vlan_flood, ("punt",)),
    Kind("padr-with-forged-cookies", _padr_flood, ("punt",)),
    Kind("padt-for-every-session", _padt_flood, ("punt",)),
    Kind("ppp-control", _ppp_flood, ("punt session-share-used-up",)),
    Kind("unknown-sessions", _unknown_sessions, ("pppoe_padt",)),
    Kind("lcp", _lcp_flood, ("punt", "lcp_echo")),  # the last: it ends the session
)
DOWNSTREAM = (
    Kind("scan-of-the-pool", _down_scan, ("nat44_out2in no-mapping",)),
    Kind("spoofed-sources", _down_spoofed, ("nat44_out2in",)),
    Kind("tunnels", _down_tunnels, ("nat44_out2in",)),
    Kind("fragments", _down_fragments, ("nat44_out2in",)),
    Kind("wrong-checksums", _down_bad_sums, ("ip4_input ip4-checksum-wrong",)),
    Kind("tiny-headers", _down_tiny, ("ip4_input ip4-",)),
    Kind("options", _down_options, ("nat44_out2in",)),
    Kind("icmp-errors", _down_errors, ("nat44_out2in",)),
)
