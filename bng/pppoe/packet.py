"""Codec of PPPoE discovery packets (RFC 2516 §4, §5). The DSL line tag: `bng.pppoe.line`.

A payload here starts after the ethertype. Nothing is decided here: what a packet means is
`bng.pppoe.discovery`'s business. The Session stage (ethertype 0x8864) is not parsed here.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bng.errors import MalformedPacket
from bng.wire import u16, u32

VER_TYPE: Final = 0x11
HEADER_BYTES: Final = 6
MAX_TAGS_BYTES: Final = 1500 - HEADER_BYTES  # of an Ethernet payload
MAX_PADI_BYTES: Final = 1484  # RFC 2516 §5.1: leaves room for a relay agent's tag
DEFAULT_MRU: Final = 1492  # RFC 2516 §7
DSL_FORUM: Final = 0x00000DE9  # RFC 4679 §3: vendor 3561

_HEADER = struct.Struct("!BBHH")
_TAG = struct.Struct("!HH")


class Code(IntEnum):
    """CODE of a discovery packet (RFC 2516 §5)."""

    PADO = 0x07
    PADI = 0x09
    PADR = 0x19
    PADS = 0x65
    PADT = 0xA7


class TagType(IntEnum):
    """TAG_TYPE (RFC 2516 Appendix A, RFC 4638)."""

    END_OF_LIST = 0x0000
    SERVICE_NAME = 0x0101
    AC_NAME = 0x0102
    HOST_UNIQ = 0x0103
    AC_COOKIE = 0x0104
    VENDOR_SPECIFIC = 0x0105
    RELAY_SESSION_ID = 0x0110
    PPP_MAX_PAYLOAD = 0x0120
    SERVICE_NAME_ERROR = 0x0201
    AC_SYSTEM_ERROR = 0x0202
    GENERIC_ERROR = 0x0203


# The parsing loop compares plain integers: an IntEnum costs three times as much there.
_END_OF_LIST: Final = int(TagType.END_OF_LIST)
_SERVICE_NAME: Final = int(TagType.SERVICE_NAME)
_HOST_UNIQ: Final = int(TagType.HOST_UNIQ)
_AC_COOKIE: Final = int(TagType.AC_COOKIE)
_VENDOR_SPECIFIC: Final = int(TagType.VENDOR_SPECIFIC)
_RELAY_SESSION_ID: Final = int(TagType.RELAY_SESSION_ID)
_PPP_MAX_PAYLOAD: Final = int(TagType.PPP_MAX_PAYLOAD)


@dataclass(slots=True)
class Packet:
    """A discovery packet: *code* as received, *tags* the bytes that LENGTH covers."""

    code: int
    session_id: int
    tags: bytes


@dataclass(slots=True)
class Request:
    """The tags of a PADI or PADR that an Access Concentrator looks at; None when not sent."""

    service_names: list[bytes]
    host_uniq: bytes | None = None
    ac_cookie: bytes | None = None
    relay_session_id: bytes | None = None
    max_payload: int | None = None
    line: bytes | None = None  # sub-options of the DSL Forum's Vendor-Specific tag

    def echo(self, max_payload: int | None = None) -> bytes:
        """Build what must come back unmodified (RFC 2516 Appendix A), and PPP-Max-Payload."""
        echo = b""
        if self.host_uniq is not None:
            echo = tag(TagType.HOST_UNIQ, self.host_uniq)
        if self.relay_session_id is not None:
            echo += tag(TagType.RELAY_SESSION_ID, self.relay_session_id)
        if max_payload is not None:
            echo += tag(TagType.PPP_MAX_PAYLOAD, max_payload.to_bytes(2))
        return echo


def parse(payload: bytes) -> Packet:
    """Read the header (RFC 2516 §4); padding behind LENGTH is cut off.

    Raises: MalformedPacket on a short header, another VER or TYPE, or LENGTH past the end.
    """
    if len(payload) < _HEADER.size:
        raise MalformedPacket(f"PPPoE header cut to {len(payload)} bytes")
    ver_type, code, session_id, length = _HEADER.unpack_from(payload)
    if ver_type != VER_TYPE:
        raise MalformedPacket(f"VER/TYPE is 0x{ver_type:02x}")
    end = _HEADER.size + length
    if end > len(payload):
        raise MalformedPacket(f"LENGTH {length} runs past {len(payload)} bytes")
    return Packet(code, session_id, payload[_HEADER.size : end])


def build(code: Code, session_id: int, tags: bytes = b"") -> bytes:
    """Build a discovery packet around encoded *tags*."""
    return _HEADER.pack(VER_TYPE, code, session_id, len(tags)) + tags


def tag(tag_type: TagType, value: bytes = b"") -> bytes:
    """Encode one TAG."""
    return _TAG.pack(tag_type, len(value)) + value


def split_tags(tags: bytes) -> list[tuple[int, bytes]]:
    """Split *tags* into (TAG_TYPE, TAG_VALUE); End-Of-List ends them.

    Raises: MalformedPacket when a TAG does not fit.
    """
    found = []
    offset, end = 0, len(tags)
    while offset < end:
        if end - offset < _TAG.size:
            raise MalformedPacket(f"{end - offset} bytes left where a TAG should start")
        tag_type, length = _TAG.unpack_from(tags, offset)
        if tag_type == _END_OF_LIST:
            break
        offset += _TAG.size
        if length > end - offset:
            raise MalformedPacket(f"TAG 0x{tag_type:04x} runs past the end")
        found.append((tag_type, tags[offset : offset + length]))
        offset += length
    return found


def parse_request(tags: bytes) -> Request:
    """Read the tags of a PADI or PADR; unknown ones are ignored (RFC 2516 §5).

    Of a repeated tag the first counts, but for the line tag the last: an Access Node that does
    not strip a client's own puts its own behind. A PPP-Max-Payload that has not two bytes is
    no PPP-Max-Payload.

    Raises: MalformedPacket when a TAG does not fit.
    """
    names: list[bytes] = []
    line = None
    first: dict[int, bytes] = {}
    for tag_type, value in split_tags(tags):
        if tag_type == _SERVICE_NAME:
            names.append(value)
        elif tag_type == _VENDOR_SPECIFIC:
            if len(value) >= 4 and u32(value, 0) == DSL_FORUM:
                line = value[4:]
        else:
            first.setdefault(tag_type, value)
    max_payload = first.get(_PPP_MAX_PAYLOAD, b"")
    return Request(
        service_names=names,
        host_uniq=first.get(_HOST_UNIQ),
        ac_cookie=first.get(_AC_COOKIE),
        relay_session_id=first.get(_RELAY_SESSION_ID),
        max_payload=u16(max_payload, 0) if len(max_payload) == 2 else None,
        line=line,
    )
