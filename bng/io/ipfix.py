"""NAT events as IPFIX messages (RFC 7011) of the events of RFC 8158; no sockets here.

Without destinations (RFC 6888 REQ-12) a mapping is a BIB entry: NAT44 BIB create and delete, not a
session. Blocks are port block allocation and de-allocation, whole addresses are address binding
create and delete.
"""

import struct
from collections.abc import Iterator

from dataplane.binding import NAT_LOG, NatLogType

VERSION = 10
HEADER = struct.Struct(">HHIII")
SET = struct.Struct(">HH")
TEMPLATE_SET = 2
BIB, BLOCK, BINDING = 256, 257, 258

_TIME, _INNER, _OUTER, _EVENT = (323, 8), (8, 4), (225, 4), (230, 1)
TEMPLATES = {
    BIB: (_TIME, _INNER, _OUTER, (4, 1), (7, 2), (227, 2), _EVENT),
    BLOCK: (_TIME, _INNER, _OUTER, (361, 2), (362, 2), _EVENT),
    BINDING: (_TIME, _INNER, _OUTER, _EVENT),
}
"""(information element, bytes): observationTimeMilliseconds, sourceIPv4Address,
postNATSourceIPv4Address; protocolIdentifier, sourceTransportPort, postNAPTSourceTransportPort;
portRangeStart, portRangeEnd; natEvent."""
RECORDS = {
    BIB: struct.Struct(">Q4s4sBHHB"),
    BLOCK: struct.Struct(">Q4s4sHHB"),
    BINDING: struct.Struct(">Q4s4sB"),
}
EVENTS = {
    NatLogType.BLOCK_ALLOCATED: (BLOCK, 16),
    NatLogType.BLOCK_RELEASED: (BLOCK, 17),
    NatLogType.MAPPING_CREATED: (BIB, 8),
    NatLogType.MAPPING_DELETED: (BIB, 9),
    NatLogType.FORWARD_ADDED: (BIB, 8),
    NatLogType.FORWARD_REMOVED: (BIB, 9),
    NatLogType.STATIC_ADDED: (BINDING, 14),
    NatLogType.STATIC_REMOVED: (BINDING, 15),
}
"""Template and natEvent (IANA registry "NAT Event Type")."""
_BY_NUMBER = {int(kind): event for kind, event in EVENTS.items()}


def template_set() -> bytes:
    """Return the template set: every template, nothing else."""
    body = b"".join(
        SET.pack(number, len(fields)) + b"".join(SET.pack(*field) for field in fields)
        for number, fields in TEMPLATES.items()
    )
    return SET.pack(TEMPLATE_SET, SET.size + len(body)) + body


class Encoder:
    """Makes messages of at most *most_bytes* for one observation domain.

    The templates are in the first message and again when *refresh_s* have passed, as a collector
    over UDP needs (RFC 7011 section 8.4).
    """

    def __init__(self, domain: int, most_bytes: int, refresh_s: float) -> None:
        self._domain = domain
        self._most = most_bytes
        self._refresh_s = refresh_s
        self._told_at: float | None = None
        self._sequence = 0  # data records in earlier messages
        self._set = 0  # the set that is open
        self._body = bytearray()
        self._set_at = 0
        self._count = 0

    def add(self, records: bytes, now: float) -> Iterator[tuple[bytes, int]]:
        """Take NAT log records; yield messages that are full, and how many records each has."""
        for (
            _,
            wall_ns,
            kind,
            protocol,
            inner_port,
            _,
            _,
            inner,
            outer,
            first,
            last,
        ) in NAT_LOG.iter_unpack(records):
            if kind not in _BY_NUMBER:
                continue
            template, event = _BY_NUMBER[kind]
            milliseconds = wall_ns // 1_000_000
            fields = {BIB: (protocol, inner_port, first), BLOCK: (first, last), BINDING: ()}[
                template
            ]
            data = RECORDS[template].pack(milliseconds, inner, outer, *fields, event)
            if HEADER.size + len(self._body) + SET.size + len(data) > self._most:
                yield from self.finish(now)
            self._begin(template, now)
            self._body += data
            self._count += 1

    def finish(self, now: float) -> Iterator[tuple[bytes, int]]:
        """Yield the message that is begun; also one without data when templates are due."""
        if not self._body and self._is_due(now):
            self._tell(now)
        if not self._body:
            return
        self._close()
        length = HEADER.size + len(self._body)
        sequence = self._sequence & 0xFFFFFFFF
        head = HEADER.pack(VERSION, length, int(now) & 0xFFFFFFFF, sequence, self._domain)
        message, count = head + bytes(self._body), self._count
        self._sequence += count
        self._body.clear()
        self._count = 0
        yield message, count

    def _is_due(self, now: float) -> bool:
        return self._told_at is None or not 0 <= now - self._told_at < self._refresh_s

    def _tell(self, now: float) -> None:
        self._body += template_set()
        self._told_at = now

    def _begin(self, template: int, now: float) -> None:
        """Have a set of this template open at the end of the message."""
        if not self._body and self._is_due(now):
            self._tell(now)
        if self._set != template:
            self._close()
            self._set, self._set_at = template, len(self._body)
            self._body += SET.pack(template, 0)

    def _close(self) -> None:
        if self._set:
            length = len(self._body) - self._set_at
            SET.pack_into(self._body, self._set_at, self._set, length)
        self._set = 0
