"""Numbered UDP packets of subscribers, over IPv4 and IPv6: building them fast, and reading them.

A datagram is "BNGT", the subscriber's index (32 bits), a number (64 bits), padding; `traffic.c`
has the same.
"""

import ipaddress
import struct

from tests.support.client import ipv6, wire
from tests.support.client.subscriber import Subscriber

MAGIC = b"BNGT"
ECHO_PORT = 7007
_SOURCE_PORT = 40000
_NUMBERED = struct.Struct("!4sIQ")
_UDP_KIND = 17
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def numbered(packet: bytes) -> tuple[int, int, bytes] | None:
    """Return subscriber, number and destination of a numbered packet; None when it is another."""
    if packet[0] >> 4 == 6:
        kind, at, destination = packet[6], 48, packet[24:40]
    else:
        kind, at, destination = packet[9], (packet[0] & 15) * 4 + 8, packet[16:20]
    if kind != _UDP_KIND or packet[at : at + 4] != MAGIC:
        return None
    _, flow, number = _NUMBERED.unpack_from(packet, at)
    return flow, number, destination


class Flow:
    """Numbered packets of one subscriber from *source*; only number and checksum change.

    *size* is that of the IP packet.
    """

    def __init__(
        self, subscriber: Subscriber, source: Address, server: Address, port: int, size: int
    ) -> None:
        self.index = subscriber.index
        self.number = 0
        four = source.version == 4
        bare = 44 if four else 64
        size = max(size, bare) & ~1
        length = size - bare + 24
        addresses = source.packed + server.packed
        if four:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, _UDP_KIND, 0) + addresses
            ip = ip[:10] + struct.pack("!H", wire.checksum(ip) ^ 0xFFFF) + ip[12:]
        else:
            ip = ipv6.packet(source.packed, server.packed, _UDP_KIND, bytes(length), 64)[:40]
        udp = struct.pack("!HHH", _SOURCE_PORT, port, length)
        mark = MAGIC + struct.pack("!I", subscriber.index)
        self._pad = bytes(size - bare)
        self._sum = wire.checksum(addresses + struct.pack("!HH", _UDP_KIND, length) + udp + mark)
        protocol = wire.P_IP if four else wire.P_IPV6
        self._before = subscriber.head + struct.pack("!HH", size + 2, protocol) + ip + udp
        self._mark = mark

    def next(self) -> bytes:
        """Build the next frame."""
        number = self.number
        self.number = number + 1
        total = self._sum + (number & 0xFFFF) + (number >> 16 & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF or 0xFFFF
        return b"".join(
            (
                self._before,
                total.to_bytes(2, "big"),
                self._mark,
                number.to_bytes(8, "big"),
                self._pad,
            )
        )
