"""The IPv6 side of a subscriber without I/O: RS and RA, SLAAC, DHCPv6 for prefix and address.

It behaves as a home router does (RFC 7084): as soon as IPv6CP is open it solicits a router (RFC
4861 §6.3.7) and, when its profile says so, a delegated prefix and an address in one exchange (RFC
8415 §18.2). Written apart from the server, as `wire` is: what the server sends must hold here by
its own merit. What it does not do: duplicate address detection, Renew (leases outlive the tests).
"""

import ipaddress
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.client import wire

_HEADER = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_OPTION = struct.Struct("!HH")
_PREFIX = struct.Struct("!BBBBIII16s")
_IA_PREFIX = struct.Struct("!IIB16s")
_IA_ADDRESS = struct.Struct("!16sII")
_TCP, _DATAGRAM, ICMPV6 = 6, 17, 58
CLIENT_PORT, SERVER_PORT = 546, 547
ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
ALL_ROUTERS = ipaddress.IPv6Address("ff02::2").packed
ALL_SERVERS = ipaddress.IPv6Address("ff02::1:2").packed
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
SOLICIT, ADVERTISE, REQUEST, REPLY, RELEASE = 1, 2, 3, 7, 8
O_CLIENT, O_SERVER, O_IA_NA, O_ADDRESS, O_REQUEST, O_ELAPSED = 1, 2, 3, 5, 6, 8
O_STATUS, O_RAPID, O_DNS, O_IA_PD, O_PREFIX = 13, 14, 23, 25, 26
_RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a subscriber asks for beside a router's advertisements.

    *delegate* is the length it would like its delegated prefix to have; 0: it wants none.
    *address* asks for one by DHCPv6, *rapid* for the exchange of two messages.
    """

    delegate: int = 56
    address: bool = False
    rapid: bool = True

    @property
    def dhcp(self) -> bool:
        """Whether it speaks DHCPv6 at all."""
        return bool(self.delegate) or self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """What a Router Advertisement said."""

    router: ipaddress.IPv6Address
    lifetime_s: int
    managed: bool
    other: bool
    prefix: ipaddress.IPv6Network | None
    preferred_s: int
    mtu: int


def packet(source: bytes, destination: bytes, kind: int, payload: bytes, hops: int) -> bytes:
    """Build an IPv6 packet (RFC 8200 §3)."""
    return _HEADER.pack(6 << 28, len(payload), kind, hops, source, destination) + payload


def checksum(source: bytes, destination: bytes, kind: int, payload: bytes) -> int:
    """Compute the checksum over pseudo-header and *payload* (RFC 8200 §8.1)."""
    pseudo = source + destination + struct.pack("!II", len(payload), kind)
    return wire.checksum(pseudo + payload + bytes(len(payload) & 1)) ^ 0xFFFF


def udp(source: bytes, destination: bytes, ports: tuple[int, int], data: bytes) -> bytes:
    """Build a UDP datagram for an IPv6 packet, its checksum in place."""
    length = 8 + len(data)
    total = checksum(source, destination, _DATAGRAM, _UDP.pack(*ports, length, 0) + data)
    return _UDP.pack(*ports, length, total or 0xFFFF) + data


def options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of each DHCPv6 option. Raises: ValueError on a bad length."""
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ValueError("an option is cut")
        code, length = _OPTION.unpack_from(data, at)
        at += 4
        if at + length > len(data):
            raise ValueError("an option reaches past the message")
        yield code, data[at : at + length]
        at += length


def option(code: int, value: bytes) -> bytes:
    """Build one DHCPv6 option."""
    return _OPTION.pack(code, len(value)) + value


def parse_advertisement(data: bytes) -> Advertised:
    """Read a Router Advertisement that came in an IPv6 packet. Raises: ValueError."""
    _, length, kind, hops, source, destination = _HEADER.unpack_from(data)
    body = data[40 : 40 + length]
    router = ipaddress.IPv6Address(source)
    if kind != ICMPV6 or body[0] != ROUTER_ADVERTISEMENT or len(body) < 16:
        raise ValueError("no Router Advertisement")
    if hops != 255 or not router.is_link_local or checksum(source, destination, ICMPV6, body):
        raise ValueError("a Router Advertisement that RFC 4861 §6.1.2 discards")
    prefix, preferred_s, mtu, at = None, 0, 0, 16
    while at < len(body):
        option_type, size = body[at], body[at + 1] * 8
        if not size or at + size > len(body):
            raise ValueError("an option of the Router Advertisement is cut")
        if option_type == 3:
            _, _, bits, flags, _, preferred, _, packed = _PREFIX.unpack_from(body, at)
            if flags & 0x40 and preferred:  # autonomous, not deprecated
                prefix, preferred_s = ipaddress.IPv6Network((packed, bits)), preferred
        elif option_type == 5:
            mtu = int.from_bytes(body[at + 4 : at + 8], "big")
        at += size
    return Advertised(
        router=router,
        lifetime_s=int.from_bytes(body[6:8], "big"),
        managed=bool(body[5] & 0x80),
        other=bool(body[5] & 0x40),
        prefix=prefix,
        preferred_s=preferred_s,
        mtu=mtu,
    )


class Ipv6Host:
    """The IPv6 side of one subscriber; *send* takes whole IPv6 packets.

    ``deadline`` says when `tick` is due; ``complete`` whether it has all that it wants.
    """

    __slots__ = (
        "address", "advertised", "deadline", "delegated", "dns", "index", "interface_id",
        "leased", "send", "server", "soliciting", "source", "status", "tries", "wants",
    )  # fmt: skip

    def __init__(
        self, index: int, interface_id: bytes, wants: Wants, send: Callable[[bytes], None]
    ) -> None:
        self.index = index
        self.interface_id = interface_id
        self.wants = wants
        self.send = send
        self.source = b"\xfe\x80" + bytes(6) + interface_id
        self.advertised: Advertised | None = None
        self.address: ipaddress.IPv6Address | None = None
        self.delegated: ipaddress.IPv6Network | None = None
        self.leased: ipaddress.IPv6Address | None = None
        self.dns: list[ipaddress.IPv6Address] = []
        self.status = 0
        self.server = b""
        self.soliciting = False
        self.tries = 0
        self.deadline: float | None = None

    @property
    def complete(self) -> bool:
        """Whether it has a router, an address of its own, and all that it asked for."""
        return (
            self.address is not None
            and (self.delegated is not None or not self.wants.delegate)
            and (self.leased is not None or not self.wants.address)
        )

    @property
    def _transaction(self) -> bytes:
        return (self.index + 1).to_bytes(3, "big")

    def start(self, now: float) -> None:
        """IPv6CP is open: solicit a router and a server."""
        self.tick(now)

    def tick(self, now: float) -> None:
        """Ask again for what has not come; ``deadline`` says when to call next."""
        self.deadline = None
        if self.complete or self.tries == len(_RETRY_S):
            return
        self.deadline = now + _RETRY_S[self.tries]
        self.tries += 1
        if self.advertised is None:
            self._solicit_router()
        if self.wants.dhcp and self.delegated is None and self.leased is None:
            self.soliciting = True
            self._ask(SOLICIT, option(O_RAPID, b"") if self.wants.rapid else b"")

    def receive(self, data: bytes, now: float) -> bool:
        """Take an IPv6 packet; say whether it was for us and not data. Raises: ValueError."""
        if len(data) < 48:
            raise ValueError("an IPv6 packet is cut")
        _, length, kind, _, source, destination = _HEADER.unpack_from(data)
        if kind == ICMPV6 and data[40] == ROUTER_ADVERTISEMENT:
            self._advertised(parse_advertisement(data))
        elif kind == _DATAGRAM and data[42:44] == CLIENT_PORT.to_bytes(2, "big"):
            body = data[40 : 40 + length]
            if destination != self.source or checksum(source, destination, _DATAGRAM, body):
                raise ValueError("a DHCPv6 message that is not for us, or damaged")
            self._answered(body[8:])
        else:
            return False
        if self.complete:
            self.deadline = None
        return True

    def forget(self, now: float) -> None:
        """Lose all that it was given, as a router that starts anew, and solicit again."""
        self.advertised = self.address = self.delegated = self.leased = None
        self.tries = 0
        self.tick(now)

    def release(self) -> None:
        """Give back what DHCPv6 gave (RFC 8415 §18.2.7)."""
        if self.server:
            self._ask(RELEASE, option(O_SERVER, self.server))
            self.delegated = self.leased = None

    def _solicit_router(self) -> None:
        body = bytes([ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
        total = checksum(self.source, ALL_ROUTERS, ICMPV6, body)
        body = body[:2] + total.to_bytes(2, "big") + body[4:]
        self.send(packet(self.source, ALL_ROUTERS, ICMPV6, body, 255))

    def _ask(self, kind: int, more: bytes) -> None:
        duid = b"\x00\x03\x00\x01\x02\xb6" + self.index.to_bytes(4, "big")
        message = bytes([kind]) + self._transaction
        message += option(O_CLIENT, duid) + option(O_ELAPSED, b"\0\0") + more
        message += option(O_REQUEST, struct.pack("!H", O_DNS))
        if self.wants.delegate:
            held = self.delegated or ipaddress.IPv6Network((0, self.wants.delegate))
            value = _IA_PREFIX.pack(0, 0, held.prefixlen, held.network_address.packed)
            message += option(O_IA_PD, struct.pack("!III", 1, 0, 0) + option(O_PREFIX, value))
        if self.wants.address:
            inner = _IA_ADDRESS.pack(self.leased.packed, 0, 0) if self.leased else b""
            inner = option(O_ADDRESS, inner) if inner else b""
            message += option(O_IA_NA, struct.pack("!III", 2, 0, 0) + inner)
        data = udp(self.source, ALL_SERVERS, (CLIENT_PORT, SERVER_PORT), message)
        self.send(packet(self.source, ALL_SERVERS, _DATAGRAM, data, 1))

    def _advertised(self, found: Advertised) -> None:
        self.advertised = found
        if found.prefix is not None and found.prefix.prefixlen == 64:
            network = found.prefix.network_address.packed[:8]
            self.address = ipaddress.IPv6Address(network + self.interface_id)
        else:
            self.address = None

    def _answered(self, message: bytes) -> None:
        kind, transaction = message[0], message[1:4]
        if transaction != self._transaction or kind not in {ADVERTISE, REPLY}:
            return
        self.status, given = 0, {}
        for code, value in options(message[4:]):
            given[code] = value
            if code == O_DNS:
                self.dns = [
                    ipaddress.IPv6Address(value[at : at + 16]) for at in range(0, len(value), 16)
                ]
        self.server = given.get(O_SERVER, b"")
        if kind == ADVERTISE:
            if self.soliciting:  # the first one is as good as any
                self.soliciting = False
                self._ask(REQUEST, option(O_SERVER, self.server))
            return
        for code, value in options(given.get(O_IA_PD, bytes(12))[12:]):
            if code == O_PREFIX:
                _, valid_s, length, packed = _IA_PREFIX.unpack_from(value)
                network = ipaddress.IPv6Network((packed, length))
                self.delegated = network if valid_s else None
            elif code == O_STATUS:
                self.status = int.from_bytes(value[:2], "big")
        for code, value in options(given.get(O_IA_NA, bytes(12))[12:]):
            if code == O_ADDRESS:
                packed, _, valid_s = _IA_ADDRESS.unpack_from(value)
                self.leased = ipaddress.IPv6Address(packed) if valid_s else None
