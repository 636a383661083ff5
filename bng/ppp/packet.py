"""PPP packets: codes, protocol numbers and the option codec shared by LCP and the NCPs.

RFC 1661 §2 (protocol field), §5 (packet format) and §6 (option format). A frame here is what
PPPoE carries: two octets of protocol and the information field, no address, control or FCS
(RFC 2516 §4). This module knows no state; what a packet means is decided elsewhere.
"""

from enum import IntEnum
from struct import Struct

from bng.errors import MalformedPacket
from bng.wire import u32

FRAME_HEADER = Struct("!HBBH")  # protocol, code, identifier, length
_PACKET_HEADER = Struct("!BBH")
_PROTOCOL_BYTES = 2
_HEADER_BYTES = 4

DEFAULT_MRU = 1500
"""Octets a PPP peer must always be able to receive (RFC 1661 §6.1)."""

Option = tuple[int, bytes]
"""Type and value of one Configuration Option."""


class Protocol(IntEnum):
    """PPP protocol field values that this server knows (IANA, RFC 1661 §2)."""

    IP = 0x0021
    IPV6 = 0x0057
    IPCP = 0x8021
    IPV6CP = 0x8057
    LCP = 0xC021
    PAP = 0xC023
    CHAP = 0xC223


class Code(IntEnum):
    """Code field values (RFC 1661 §5, RFC 1570 §1); the NCPs use 1 to 7."""

    CONFIGURE_REQUEST = 1
    CONFIGURE_ACK = 2
    CONFIGURE_NAK = 3
    CONFIGURE_REJECT = 4
    TERMINATE_REQUEST = 5
    TERMINATE_ACK = 6
    CODE_REJECT = 7
    PROTOCOL_REJECT = 8
    ECHO_REQUEST = 9
    ECHO_REPLY = 10
    DISCARD_REQUEST = 11
    IDENTIFICATION = 12
    TIME_REMAINING = 13


def parse_protocol(frame: bytes) -> int:
    """Return the protocol field of *frame*.

    Raises: MalformedPacket when there is none.
    """
    if len(frame) < _PROTOCOL_BYTES:
        raise MalformedPacket(f"a PPP frame of {len(frame)} bytes has no protocol field")
    return frame[0] << 8 | frame[1]


def parse_packet(frame: bytes) -> tuple[int, int, bytes]:
    """Return (code, identifier, data) of the packet in *frame*, after its protocol field.

    Octets after Length are padding and are dropped (RFC 1661 §5).

    Raises: MalformedPacket when Length is below 4 or runs past the frame.
    """
    end = len(frame)
    if end < _PROTOCOL_BYTES + _HEADER_BYTES:
        raise MalformedPacket(f"a control frame of {end} bytes is shorter than its header")
    code, identifier, length = _PACKET_HEADER.unpack_from(frame, _PROTOCOL_BYTES)
    if not _HEADER_BYTES <= length <= end - _PROTOCOL_BYTES:
        raise MalformedPacket(f"Length {length} in {end - _PROTOCOL_BYTES} bytes of information")
    return code, identifier, frame[_PROTOCOL_BYTES + _HEADER_BYTES : _PROTOCOL_BYTES + length]


def build_frame(protocol: int, code: int, identifier: int, data: bytes = b"") -> bytes:
    """Return the frame of one control packet, protocol field first."""
    return FRAME_HEADER.pack(protocol, code, identifier, _HEADER_BYTES + len(data)) + data


def parse_options(data: bytes) -> list[Option]:
    """Return the options in *data* as (type, value), in the order of the wire.

    Raises: MalformedPacket when an option's length is below 2 or runs past the end.
    """
    options = []
    offset, end = 0, len(data)
    while offset < end:
        if offset + 2 > end:
            raise MalformedPacket("an option without a length octet")
        after = offset + data[offset + 1]
        if after < offset + 2 or after > end:
            raise MalformedPacket(f"option {data[offset]} claims {data[offset + 1]} octets")
        options.append((data[offset], data[offset + 2 : after]))
        offset = after
    return options


def build_option(option_type: int, value: bytes) -> bytes:
    """Return one option: type, length, value."""
    return bytes((option_type, 2 + len(value))) + value


def parse_magic(data: bytes) -> int:
    """Return the Magic-Number that opens an Echo or Discard packet (RFC 1661 §5.8).

    Raises: MalformedPacket when *data* is shorter than 4 octets.
    """
    return u32(data, 0)
