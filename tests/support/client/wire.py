"""Frames of a PPPoE client: numbers, builders and parsers (RFC 2516, 1661, 1332, 5072).

Written apart from the server on purpose: a mistake in the server's codec cannot hide behind the
same mistake here. Parsers raise ``ValueError``; this is a test tool, not a judge of conformance.
"""

import struct
from collections.abc import Iterator

ETH_DISCOVERY = b"\x88\x63"
ETH_SESSION = b"\x88\x64"
TPIDS = frozenset({b"\x81\x00", b"\x88\xa8", b"\x91\x00"})

PADI, PADO, PADR, PADS, PADT = 0x09, 0x07, 0x19, 0x65, 0xA7

TAG_END = 0x0000
TAG_SERVICE_NAME = 0x0101
TAG_AC_NAME = 0x0102
TAG_HOST_UNIQ = 0x0103
TAG_AC_COOKIE = 0x0104
TAG_VENDOR_SPECIFIC = 0x0105
TAG_RELAY_SESSION_ID = 0x0110
TAG_PPP_MAX_PAYLOAD = 0x0120
TAG_ERRORS = {0x0201: "service-name-error", 0x0202: "ac-system-error", 0x0203: "generic-error"}

P_IP, P_IPV6 = 0x0021, 0x0057
P_IPCP, P_IPV6CP = 0x8021, 0x8057
P_LCP, P_PAP, P_CHAP = 0xC021, 0xC023, 0xC223

CONF_REQ, CONF_ACK, CONF_NAK, CONF_REJ = 1, 2, 3, 4
TERM_REQ, TERM_ACK, CODE_REJ, PROTO_REJ = 5, 6, 7, 8
ECHO_REQ, ECHO_REP = 9, 10

CHAP_MD5, CHAP_MS2 = 0x05, 0x81
AUTH_VALUES = {
    "pap": b"\xc0\x23",
    "chap": b"\xc2\x23\x05",
    "mschapv2": b"\xc2\x23\x81",
}

_HEAD = struct.Struct("!HBBH")
_TAG = struct.Struct("!HH")


def tag(kind: int, value: bytes) -> bytes:
    """Build one discovery tag."""
    return _TAG.pack(kind, len(value)) + value


def tags(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of each discovery tag. Raises: ValueError on a bad length."""
    at, end = 0, len(payload)
    while at + 4 <= end:
        kind, length = _TAG.unpack_from(payload, at)
        at += 4
        if kind == TAG_END:
            return
        if at + length > end:
            raise ValueError("a tag reaches past the payload")
        yield kind, payload[at : at + length]
        at += length


def options(body: bytes) -> list[tuple[int, bytes]]:
    """Split the options of a Configure packet. Raises: ValueError on a bad length."""
    found = []
    at, end = 0, len(body)
    while at < end:
        if at + 2 > end or body[at + 1] < 2 or at + body[at + 1] > end:
            raise ValueError("an option reaches past the packet")
        found.append((body[at], body[at + 2 : at + body[at + 1]]))
        at += body[at + 1]
    return found


def option(kind: int, value: bytes) -> bytes:
    """Build one configuration option."""
    return bytes((kind, len(value) + 2)) + value


def ppp(protocol: int, code: int, ident: int, body: bytes) -> bytes:
    """Build a control packet with its protocol field."""
    return _HEAD.pack(protocol, code, ident, len(body) + 4) + body


def vlan_bytes(text: str | None, outer_tpid: int = 0x88A8) -> bytes:
    """Turn ``None``, ``"7"`` or ``"100.7"`` into the tag bytes that follow the addresses.

    One tag is 802.1Q (0x8100); of two, the outer one has *outer_tpid*.
    """
    if not text:
        return b""
    vids = [int(vid) for vid in text.split(".")]
    if len(vids) == 1:
        return struct.pack("!HH", 0x8100, vids[0])
    return struct.pack("!HHHH", outer_tpid, vids[0], 0x8100, vids[1])


def checksum(data: bytes) -> int:
    """Sum *data* (even length) as RFC 1071 says, folded but not inverted."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)
