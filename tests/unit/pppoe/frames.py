"""Discovery payloads built and read by scapy, which shares nothing with our codec."""

from collections.abc import Sequence

from scapy.layers.ppp import PPPoED, PPPoED_Tags, PPPoETag

SERVICE_NAME, AC_NAME, HOST_UNIQ, AC_COOKIE = 0x0101, 0x0102, 0x0103, 0x0104
VENDOR, RELAY, MAX_PAYLOAD = 0x0105, 0x0110, 0x0120
SERVICE_NAME_ERROR, AC_SYSTEM_ERROR, GENERIC_ERROR = 0x0201, 0x0202, 0x0203
PADI, PADO, PADR, PADS, PADT = 0x09, 0x07, 0x19, 0x65, 0xA7

Tag = tuple[int, bytes]


def frame(code: int, tags: Sequence[Tag] = (), session_id: int = 0) -> bytes:
    """Build a discovery payload with scapy."""
    body = b"".join(bytes(PPPoETag(tag_type=tag_type, tag_value=value)) for tag_type, value in tags)
    return bytes(PPPoED(code=code, sessionid=session_id, len=len(body))) + body


def read(payload: bytes) -> tuple[int, int, list[Tag]]:
    """Read a discovery payload with scapy: code, session id, tags."""
    head = PPPoED(payload)
    assert (head.version, head.type) == (1, 1)
    assert head.len == len(payload) - 6
    tags: list[Tag] = []
    if head.len:
        for item in PPPoED_Tags(payload[6:]).tag_list:
            tags.append((item.tag_type, bytes(item.tag_value or b"")))
    return head.code, head.sessionid, tags


def values(tags: Sequence[Tag], tag_type: int) -> list[bytes]:
    """Return the values of all tags of one type."""
    return [value for kind, value in tags if kind == tag_type]
