"""Codec of Neighbor Discovery: RFC 4861 §4, §6.1, §7.1; DNS: RFC 8106; routes: RFC 4191 §2.3.

A message parses only if its validity rules hold: hop limit 255, checksum, code 0, no option of
length 0, and the rules on addresses. Redirects are neither sent nor taken. What is sent, and when,
is `bng.ipv6.advertise`'s business.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from bng.errors import MalformedPacket
from bng.ethernet import Mac
from bng.ipv6.names import decode_names, encode_names
from bng.ipv6.packet import Ipv6Packet, NextHeader, build, checksum, ends_of
from bng.values import value
from bng.wire import u16, u32

HOP_LIMIT: Final = 255
INFINITY: Final = 0xFFFF_FFFF
MAX_OPTIONS: Final = 64
SOLICITED_NODE: Final = IPv6Network("ff02::1:ff00:0/104")

_ROUTER_ADVERTISEMENT = struct.Struct("!BBHBBHII")
_NEIGHBOR = struct.Struct("!BBHI16s")
_PREFIX = struct.Struct("!BBBBIII16s")
_UNSPECIFIED: Final = IPv6Address("::")
_LENGTHS: Final = {133: 8, 134: 16, 135: 24, 136: 24}  # of a message without options


class Type(IntEnum):
    """ICMPv6 types of Neighbor Discovery."""

    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136


class OptionType(IntEnum):
    """Option types (RFC 4861 §4.6, RFC 4191 §2.3, RFC 8106 §5)."""

    SOURCE_LINK_LAYER = 1
    TARGET_LINK_LAYER = 2
    PREFIX_INFORMATION = 3
    MTU = 5
    ROUTE_INFORMATION = 24
    RDNSS = 25
    DNSSL = 31


@value(kw_only=True)
class PrefixInformation:
    """A prefix of the link; *on_link* is L, *autonomous* A, lifetimes are seconds."""

    prefix: IPv6Network
    valid_s: int
    preferred_s: int
    on_link: bool = True
    autonomous: bool = True


@value(kw_only=True)
class RouterSolicitation:
    """A host asks for advertisements."""

    source_mac: Mac | None = None


@value(kw_only=True)
class RouterAdvertisement:
    """What a router says of itself and the link; of RDNSS and DNSSL, one option each.

    *managed* is M, *other* O. A *lifetime_s* of 0 says that it is no default router; 0 in
    *hop_limit*, *reachable_ms* or *retrans_ms* says nothing. *routes* lead through the router,
    with medium preference. *routes_s*, *rdnss_s* and *dnssl_s* are how long these, the servers and
    the search list may be used.
    """

    hop_limit: int = 64
    managed: bool = False
    other: bool = False
    lifetime_s: int = 1800
    reachable_ms: int = 0
    retrans_ms: int = 0
    source_mac: Mac | None = None
    mtu: int | None = None
    prefixes: tuple[PrefixInformation, ...] = ()
    routes: tuple[IPv6Network, ...] = ()
    routes_s: int = 1800
    rdnss: tuple[IPv6Address, ...] = ()
    rdnss_s: int = 1800
    dnssl: tuple[str, ...] = ()
    dnssl_s: int = 1800


@value(kw_only=True)
class NeighborSolicitation:
    """Somebody looks for the owner of *target*, or checks that there is none."""

    target: IPv6Address
    source_mac: Mac | None = None


@value(kw_only=True)
class NeighborAdvertisement:
    """The owner of *target* answers; the flags are R, S and O."""

    target: IPv6Address
    router: bool = False
    solicited: bool = False
    override: bool = False
    target_mac: Mac | None = None


Message = RouterSolicitation | RouterAdvertisement | NeighborSolicitation | NeighborAdvertisement
Frame = tuple[bytes, bytes]
"""An advertisement without its prefixes: what stands before them, checksum 0, and behind."""


def parse(packet: Ipv6Packet) -> Message | None:
    """Read a message of Neighbor Discovery; None when it is another ICMPv6 message.

    Raises: MalformedPacket when it has to be discarded silently (§6.1, §7.1).
    """
    data = packet.payload
    if packet.next_header != NextHeader.ICMPV6:
        raise MalformedPacket(f"next header {packet.next_header} is not ICMPv6")
    if len(data) < 4 or checksum(packet.ends, NextHeader.ICMPV6, data):
        raise MalformedPacket("ICMPv6 message cut, or its checksum wrong")
    length = _LENGTHS.get(data[0])
    if length is None:
        return None
    if packet.hop_limit != HOP_LIMIT:
        raise MalformedPacket(f"hop limit {packet.hop_limit}: it was forwarded")
    if data[1] or len(data) < length:
        raise MalformedPacket(f"type {data[0]} with code {data[1]} and {len(data)} bytes")
    options = list(_options(data, length))
    match data[0]:
        case Type.ROUTER_SOLICITATION:
            return _router_solicitation(packet, options)
        case Type.ROUTER_ADVERTISEMENT:
            return _router_advertisement(packet, options)
        case Type.NEIGHBOR_SOLICITATION:
            return _neighbor_solicitation(packet, options)
        case _:
            return _neighbor_advertisement(packet, options)


def build_message(source: IPv6Address, destination: IPv6Address, message: Message) -> bytes:
    """Build the IPv6 packet of *message*."""
    match message:
        case RouterSolicitation():
            body = bytes([Type.ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
            body += _mac(OptionType.SOURCE_LINK_LAYER, message.source_mac)
        case RouterAdvertisement():
            return build_advertisement(source, destination, frame_of(message), message.prefixes)
        case NeighborSolicitation():
            packed = message.target.packed
            body = _NEIGHBOR.pack(Type.NEIGHBOR_SOLICITATION, 0, 0, 0, packed)
            body += _mac(OptionType.SOURCE_LINK_LAYER, message.source_mac)
        case NeighborAdvertisement():
            flags = message.router << 31 | message.solicited << 30 | message.override << 29
            packed = message.target.packed
            body = _NEIGHBOR.pack(Type.NEIGHBOR_ADVERTISEMENT, 0, 0, flags, packed)
            body += _mac(OptionType.TARGET_LINK_LAYER, message.target_mac)
    return _packet(source, destination, body)


def build_advertisement(
    source: IPv6Address,
    destination: IPv6Address,
    frame: Frame,
    prefixes: Iterable[PrefixInformation],
) -> bytes:
    """Build the packet of an advertisement of *prefixes*, whose rest is *frame*."""
    before, behind = frame
    body = b"".join((before, *[_build_prefix(item) for item in prefixes], behind))
    return _packet(source, destination, body)


def _packet(source: IPv6Address, destination: IPv6Address, body: bytes) -> bytes:
    ends = ends_of(source, destination)
    check = checksum(ends, NextHeader.ICMPV6, body)
    body = body[:2] + check.to_bytes(2) + body[4:]
    return build(ends, NextHeader.ICMPV6, body, HOP_LIMIT)


# ---- parsing


def _options(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and whole option, header included."""
    for _ in range(MAX_OPTIONS):
        if offset == len(data):
            return
        size = (u16(data, offset) & 0xFF) * 8
        if not size:
            raise MalformedPacket("an option of length 0")  # §4.6: MUST silently discard
        if offset + size > len(data):
            raise MalformedPacket(f"option {data[offset]} runs past the end")
        yield data[offset], data[offset : offset + size]
        offset += size
    if offset != len(data):
        raise MalformedPacket(f"more than {MAX_OPTIONS} options")


def _find_mac(kind: OptionType, options: list[tuple[int, bytes]]) -> Mac | None:
    for option_type, option in options:
        if option_type == kind and len(option) == 8:  # Ethernet (RFC 2464 §6)
            return Mac(option[2:8])
    return None


def _router_solicitation(
    packet: Ipv6Packet, options: list[tuple[int, bytes]]
) -> RouterSolicitation:
    mac = _find_mac(OptionType.SOURCE_LINK_LAYER, options)
    if packet.source == _UNSPECIFIED and mac is not None:  # §6.1.1
        raise MalformedPacket("a link-layer address of an unspecified source")
    return RouterSolicitation(source_mac=mac)


def _router_advertisement(
    packet: Ipv6Packet, options: list[tuple[int, bytes]]
) -> RouterAdvertisement:
    if not packet.source.is_link_local:  # §6.1.2
        raise MalformedPacket(f"an advertisement from {packet.source}")
    _, _, _, hop_limit, flags, lifetime, reachable, retrans = _ROUTER_ADVERTISEMENT.unpack_from(
        packet.payload
    )
    prefixes: list[PrefixInformation] = []
    routes: list[IPv6Network] = []
    rdnss: list[IPv6Address] = []
    dnssl: list[str] = []
    timed = OptionType.ROUTE_INFORMATION, OptionType.RDNSS, OptionType.DNSSL
    seconds = dict.fromkeys(timed, 1800)
    mtu = None
    for option_type, option in options:
        match option_type:
            case OptionType.PREFIX_INFORMATION if len(option) == _PREFIX.size:
                prefixes.append(_prefix(option))
            case OptionType.MTU if len(option) == 8:
                mtu = u32(option, 4)
            case OptionType.ROUTE_INFORMATION if len(option) <= 24 and _preference(option):
                seconds[OptionType.ROUTE_INFORMATION] = u32(option, 4)
                routes.append(_route(option))
            case OptionType.RDNSS if len(option) >= 24 and len(option) % 16 == 8:
                seconds[OptionType.RDNSS] = u32(option, 4)
                rdnss += [IPv6Address(option[at : at + 16]) for at in range(8, len(option), 16)]
            case OptionType.DNSSL if len(option) >= 16:
                seconds[OptionType.DNSSL] = u32(option, 4)
                dnssl += decode_names(option[8:])
            case _:
                pass  # §6.1.2: what is unknown or of no use is ignored
    return RouterAdvertisement(
        hop_limit=hop_limit,
        managed=bool(flags & 0x80),
        other=bool(flags & 0x40),
        lifetime_s=lifetime,
        reachable_ms=reachable,
        retrans_ms=retrans,
        source_mac=_find_mac(OptionType.SOURCE_LINK_LAYER, options),
        mtu=mtu,
        prefixes=tuple(prefixes),
        routes=tuple(routes),
        routes_s=seconds[OptionType.ROUTE_INFORMATION],
        rdnss=tuple(rdnss),
        rdnss_s=seconds[OptionType.RDNSS],
        dnssl=tuple(dnssl),
        dnssl_s=seconds[OptionType.DNSSL],
    )


def _prefix(option: bytes) -> PrefixInformation:
    _, _, length, flags, valid, preferred, _, packed = _PREFIX.unpack(option)
    if length > 128:
        raise MalformedPacket(f"prefix length {length}")
    return PrefixInformation(
        prefix=IPv6Network((packed, length), strict=False),
        valid_s=valid,
        preferred_s=preferred,
        on_link=bool(flags & 0x80),
        autonomous=bool(flags & 0x40),
    )


def _preference(option: bytes) -> bool:
    """Say whether the preference of a route is one (RFC 4191 §2.3: 10 MUST be ignored)."""
    return option[3] >> 3 & 3 != 2


def _route(option: bytes) -> IPv6Network:
    length = option[2]
    if length > (len(option) - 8) * 8:
        raise MalformedPacket(f"route of length {length} in {len(option)} bytes")
    return IPv6Network((option[8:].ljust(16, b"\0"), length), strict=False)


def _target(packet: Ipv6Packet) -> IPv6Address:
    target = IPv6Address(packet.payload[8:24])
    if target.is_multicast:
        raise MalformedPacket(f"target {target} is multicast")
    return target


def _neighbor_solicitation(
    packet: Ipv6Packet, options: list[tuple[int, bytes]]
) -> NeighborSolicitation:
    mac = _find_mac(OptionType.SOURCE_LINK_LAYER, options)
    target = _target(packet)
    wrong = packet.destination not in SOLICITED_NODE or mac is not None
    if packet.source == _UNSPECIFIED and wrong:  # §7.1.1: duplicate address detection
        raise MalformedPacket("an unspecified source asks for a neighbour")
    return NeighborSolicitation(target=target, source_mac=mac)


def _neighbor_advertisement(
    packet: Ipv6Packet, options: list[tuple[int, bytes]]
) -> NeighborAdvertisement:
    flags = packet.payload[4]
    if packet.destination.is_multicast and flags & 0x40:  # §7.1.2
        raise MalformedPacket("a solicited answer to a multicast address")
    return NeighborAdvertisement(
        target=_target(packet),
        router=bool(flags & 0x80),
        solicited=bool(flags & 0x40),
        override=bool(flags & 0x20),
        target_mac=_find_mac(OptionType.TARGET_LINK_LAYER, options),
    )


# ---- building


def frame_of(message: RouterAdvertisement) -> Frame:
    """Return what of an advertisement stands before its prefixes, and what behind them."""
    flags = message.managed << 7 | message.other << 6
    before = [
        _ROUTER_ADVERTISEMENT.pack(
            Type.ROUTER_ADVERTISEMENT,
            0,
            0,
            message.hop_limit,
            flags,
            message.lifetime_s,
            message.reachable_ms,
            message.retrans_ms,
        ),
        _mac(OptionType.SOURCE_LINK_LAYER, message.source_mac),
    ]
    if message.mtu is not None:
        before.append(struct.pack("!BBHI", OptionType.MTU, 1, 0, message.mtu))
    behind = [_build_route(route, message.routes_s) for route in message.routes]
    if message.rdnss:
        packed = b"".join([server.packed for server in message.rdnss])
        behind.append(_option(OptionType.RDNSS, message.rdnss_s, packed))
    if message.dnssl:
        behind.append(_option(OptionType.DNSSL, message.dnssl_s, encode_names(message.dnssl)))
    return b"".join(before), b"".join(behind)


def _build_route(route: IPv6Network, seconds: int) -> bytes:
    """RFC 4191 §2.3: 0, 8 or 16 bytes of the prefix."""
    units = (route.prefixlen + 63) // 64
    head = struct.pack(
        "!BBBBI", OptionType.ROUTE_INFORMATION, 1 + units, route.prefixlen, 0, seconds
    )
    return head + route.network_address.packed[: 8 * units]


def _build_prefix(item: PrefixInformation) -> bytes:
    return _PREFIX.pack(
        OptionType.PREFIX_INFORMATION,
        4,
        item.prefix.prefixlen,
        item.on_link << 7 | item.autonomous << 6,
        item.valid_s,
        item.preferred_s,
        0,
        item.prefix.network_address.packed,
    )


def _option(kind: OptionType, seconds: int, value: bytes) -> bytes:
    """Build an option of RFC 8106: a lifetime, then *value* padded to 8 bytes."""
    value += bytes(-len(value) % 8)
    return struct.pack("!BBHI", kind, 1 + len(value) // 8, 0, seconds) + value


def _mac(kind: OptionType, mac: Mac | None) -> bytes:
    return b"" if mac is None else bytes([kind, 1]) + bytes(mac)
