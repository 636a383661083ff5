"""IPv6 packets that the box itself sends and takes: header, checksum, UDP (RFC 8200, RFC 768).

Only what link-local control needs: no fragments, no Routing header, no jumbograms. Forwarding is
the dataplane's business.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final

from bng.errors import MalformedPacket
from bng.wire import u16

HEADER_BYTES: Final = 40
ALL_NODES: Final = IPv6Address("ff02::1")
ALL_ROUTERS: Final = IPv6Address("ff02::2")
MAX_EXTENSIONS: Final = 4

_HEADER = struct.Struct("!IHBB16s16s")
_BEGIN = struct.Struct("!IHBB")  # of the header: the ends follow
_PSEUDO = struct.Struct("!II")  # of the pseudo-header: they stand before
_UDP = struct.Struct("!HHHH")
_VERSION: Final = 6


class NextHeader(IntEnum):
    """Next Header values that matter here (IANA)."""

    HOP_BY_HOP = 0
    UDP = 17
    ICMPV6 = 58
    DESTINATION_OPTIONS = 60


@dataclass(slots=True)
class Ipv6Packet:
    """A packet behind its extension headers: *next_header* says what *payload* is."""

    source: IPv6Address
    destination: IPv6Address
    next_header: int
    hop_limit: int
    payload: bytes
    ends: bytes
    """Source and destination as they stood in the header."""


@dataclass(slots=True)
class Datagram:
    """A UDP datagram."""

    source: IPv6Address
    destination: IPv6Address
    source_port: int
    destination_port: int
    payload: bytes


def parse(data: bytes) -> Ipv6Packet:
    """Read the header, and options headers behind it; bytes behind Payload Length are cut off.

    Raises: MalformedPacket when it is no IPv6, does not fit, or has more than MAX_EXTENSIONS.
    """
    if len(data) < HEADER_BYTES:
        raise MalformedPacket(f"IPv6 header cut to {len(data)} bytes")
    first, length, next_header, hop_limit, source, destination = _HEADER.unpack_from(data)
    if first >> 28 != _VERSION:
        raise MalformedPacket(f"IP version {first >> 28}")
    if HEADER_BYTES + length > len(data):
        raise MalformedPacket(f"Payload Length {length} runs past {len(data)} bytes")
    payload = data[HEADER_BYTES : HEADER_BYTES + length]
    for _ in range(MAX_EXTENSIONS):
        if next_header not in {NextHeader.HOP_BY_HOP, NextHeader.DESTINATION_OPTIONS}:
            break
        fields = u16(payload, 0)
        size = ((fields & 0xFF) + 1) * 8
        if size > len(payload):
            raise MalformedPacket(f"extension header {next_header} runs past the end")
        next_header, payload = fields >> 8, payload[size:]
    else:
        raise MalformedPacket("too many extension headers")
    return Ipv6Packet(
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        next_header=next_header,
        hop_limit=hop_limit,
        payload=payload,
        ends=source + destination,
    )


def ends_of(source: IPv6Address, destination: IPv6Address) -> bytes:
    """Return both addresses as they stand in the header: `build` and `checksum` take them so."""
    return source.packed + destination.packed


def build(ends: bytes, next_header: int, payload: bytes, hop_limit: int = 255) -> bytes:
    """Build a packet without extension headers; traffic class CS6 (RFC 4594 §3.2), no flow."""
    first = _VERSION << 28 | 0xC0 << 20
    return _BEGIN.pack(first, len(payload), next_header, hop_limit) + ends + payload


def checksum(ends: bytes, next_header: int, payload: bytes) -> int:
    """Return the upper-layer checksum (RFC 8200 §8.1): 0 over a payload that has a right one."""
    words = ends + _PSEUDO.pack(len(payload), next_header) + payload + bytes(len(payload) % 2)
    # The one's complement sum of 16-bit words is what remains modulo 2^16 - 1, never +0 (RFC 1071).
    total = int.from_bytes(words) % 0xFFFF or 0xFFFF
    return ~total & 0xFFFF


def parse_udp(packet: Ipv6Packet) -> Datagram:
    """Read a UDP datagram; its checksum is mandatory (RFC 8200 §8.1).

    Raises: MalformedPacket when it is cut, or its checksum is wrong or missing.
    """
    data = packet.payload
    if len(data) < _UDP.size:
        raise MalformedPacket(f"UDP header cut to {len(data)} bytes")
    source_port, destination_port, length, check = _UDP.unpack_from(data)
    if not _UDP.size <= length <= len(data):
        raise MalformedPacket(f"UDP length {length} in {len(data)} bytes")
    data = data[:length]
    if not check or checksum(packet.ends, NextHeader.UDP, data):
        raise MalformedPacket("UDP checksum wrong")
    return Datagram(
        packet.source, packet.destination, source_port, destination_port, data[_UDP.size :]
    )


def build_udp(datagram: Datagram) -> bytes:
    """Build the packet of *datagram*."""
    length = _UDP.size + len(datagram.payload)
    ends = ends_of(datagram.source, datagram.destination)
    ports = datagram.source_port, datagram.destination_port
    blank = _UDP.pack(*ports, length, 0) + datagram.payload
    check = checksum(ends, NextHeader.UDP, blank) or 0xFFFF
    return build(ends, NextHeader.UDP, _UDP.pack(*ports, length, check) + datagram.payload)
