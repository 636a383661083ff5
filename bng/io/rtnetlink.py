"""Blackhole routes of ours in the kernel, many at a time (rtnetlink(7), netlink(7)).

Written by hand for its speed: a host route for each of thousands of sessions must not cost the
event loop's thread, which shares the interpreter, more than it costs the kernel.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

PROTOCOL = 200
"""Our rtm_protocol (RTPROT_BNG of mirror.h): the dataplane does not follow these routes."""
BATCH = 256
"""Messages sent at a time; their acknowledgements fit into any receive buffer."""
TIMEOUT_S = 10.0

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr
_NUMBER = struct.Struct("=I")
_NEWROUTE, _DELROUTE, _GETROUTE, _ERROR, _DONE = 24, 25, 26, 2, 3
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_DST, _PRIORITY, _TABLE = 1, 6, 15
_BLACKHOLE = 6
_SOL_NETLINK, _CAP_ACK, _STRICT_CHECK = 270, 10, 12

Prefix = IPv4Network | IPv6Network


class Route(NamedTuple):
    """A route of ours: where it leads is nowhere."""

    prefix: Prefix
    table: int
    metric: int


class Change(NamedTuple):
    """A route that is to come, or to go."""

    route: Route
    add: bool


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def encode(change: Change, sequence: int) -> bytes:
    """Return the netlink message of a change, which the kernel acknowledges."""
    (prefix, table, metric), add = change
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    body = b"".join(
        (
            _ROUTE.pack(family, prefix.prefixlen, 0, 0, 0, PROTOCOL, 0, _BLACKHOLE, 0),
            _attribute(_DST, prefix.network_address.packed),
            _attribute(_TABLE, _NUMBER.pack(table)),
            _attribute(_PRIORITY, _NUMBER.pack(metric)),
        )
    )
    kind = _NEWROUTE if add else _DELROUTE
    flags = _REQUEST | _ACK | (_CREATE | _EXCL if add else 0)
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, sequence, payload) of each message."""
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        yield kind, sequence, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _route(payload: bytes) -> tuple[int, Route]:
    """Return protocol and route of a route message."""
    family, length, _, _, table, protocol, *_ = _ROUTE.unpack_from(payload)
    found = {_DST: bytes(4 if family == socket.AF_INET else 16)}
    at = _ROUTE.size
    while at + 4 <= len(payload):
        size, kind = _ATTRIBUTE.unpack_from(payload, at)
        found[kind] = payload[at + 4 : at + size]
        at += (size + 3) & ~3
    number = {kind: _NUMBER.unpack(found[kind])[0] for kind in (_TABLE, _PRIORITY) if kind in found}
    prefix = ip_network((found[_DST], length))
    return protocol, Route(prefix, number.get(_TABLE, table), number.get(_PRIORITY, 0))


class RouteSocket:
    """A socket of rtnetlink. Methods raise OSError when the kernel refuses or is silent."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.bind((0, 0))
        for option in (_CAP_ACK, _STRICT_CHECK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def dump(self) -> set[Route]:
        """Return all routes of ours, of both families and all tables."""
        return {route for family in (socket.AF_INET, socket.AF_INET6) for route in self._of(family)}

    def _of(self, family: int) -> Iterator[Route]:
        self._sequence += 1
        body = _ROUTE.pack(family, 0, 0, 0, 0, PROTOCOL, 0, 0, 0)  # strict: the kernel filters
        flags, size = _REQUEST | _DUMP, _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(size, _GETROUTE, flags, self._sequence, 0) + body)
        while True:
            for kind, sequence, payload in _messages(self._socket.recv(1 << 17)):
                if sequence != self._sequence:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise _error(payload)
                protocol, route = _route(payload)
                if protocol == PROTOCOL:
                    yield route

    def apply(self, changes: Iterable[Change]) -> dict[Route, int]:
        """Carry out *changes*; return the errno of each that was refused.

        A route that is to go and is not there is no refusal.
        """
        refused: dict[Route, int] = {}
        todo = list(changes)
        for at in range(0, len(todo), BATCH):
            refused |= self._batch(todo[at : at + BATCH])
        return refused

    def _batch(self, changes: Sequence[Change]) -> dict[Route, int]:
        first = self._sequence + 1
        self._sequence += len(changes)
        self._socket.send(b"".join(encode(c, first + i) for i, c in enumerate(changes)))
        refused: dict[Route, int] = {}
        answered = 0
        while answered < len(changes):
            for kind, sequence, payload in _messages(self._socket.recv(1 << 17)):
                if kind != _ERROR or not first <= sequence < first + len(changes):
                    continue
                answered += 1
                code, change = -struct.unpack_from("=i", payload)[0], changes[sequence - first]
                if code and (change.add or code != errno.ESRCH):
                    refused[change.route] = code
        return refused


def _error(payload: bytes) -> OSError:
    code = -struct.unpack_from("=i", payload)[0]
    return OSError(code, os.strerror(code))
