"""A dynamic authorisation client (RFC 5176): requests built and answers checked from the RFC."""

import hashlib
import hmac
import struct
from ipaddress import IPv4Address

from radius.dictionary import Dictionary

SECRET = b"testing123"
DICTIONARY = Dictionary()
ERROR_CAUSE, MESSAGE_AUTHENTICATOR, VENDOR_SPECIFIC = 101, 80, 26
COA_REQUEST = 43
HEADER_BYTES = 20

Value = int | str | bytes | IPv4Address


class Request:
    """One request; *raw* is appended to its attributes."""

    def __init__(
        self,
        *pairs: tuple[str, Value],
        code: int = COA_REQUEST,
        identifier: int = 1,
        secret: bytes = SECRET,
        sign: bool = False,
        raw: bytes = b"",
    ) -> None:
        self.pairs, self.code, self.identifier = pairs, int(code), identifier
        self.secret, self.sign, self.raw = secret, sign, raw

    def encode(self) -> bytes:
        """Return the packet, its authenticators made with the secret (§2.3, §3.4)."""
        body = b"".join(_attribute(name, value) for name, value in self.pairs) + self.raw
        if self.sign:
            body = bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16) + body
        head = struct.pack("!BBH", self.code, self.identifier, HEADER_BYTES + len(body))
        if self.sign:
            mac = hmac.new(self.secret, head + bytes(16) + body, "md5").digest()
            body = body[:2] + mac + body[18:]
        return head + hashlib.md5(head + bytes(16) + body + self.secret).digest() + body


def _attribute(name: str, value: Value) -> bytes:
    key, data = DICTIONARY.encode(name, value)
    if isinstance(key, int):
        return bytes((key, len(data) + 2)) + data
    vendor, kind = key
    inner = vendor.to_bytes(4, "big") + bytes((kind, len(data) + 2)) + data
    return bytes((VENDOR_SPECIFIC, len(inner) + 2)) + inner


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """Return what follows the header, as (type, value)."""
    found, at = [], HEADER_BYTES
    while at < len(data):
        found.append((data[at], data[at + 2 : at + data[at + 1]]))
        at += data[at + 1]
    return found


def verified(answer: bytes, asked: bytes, secret: bytes = SECRET) -> None:
    """Check that *answer* is a genuine one to *asked*."""
    assert int.from_bytes(answer[2:4], "big") == len(answer)
    assert answer[1] == asked[1]
    assert answer[0] in {asked[0] + 1, asked[0] + 2}
    digest = hashlib.md5(answer[:4] + asked[4:20] + answer[20:] + secret).digest()
    assert digest == answer[4:20]


def cause_of(answer: bytes) -> int | None:
    """Return the Error-Cause of a NAK, None for an ACK."""
    acknowledged = answer[0] in {41, 44}
    causes = [int.from_bytes(v, "big") for kind, v in attributes(answer) if kind == ERROR_CAUSE]
    assert len(causes) == (0 if acknowledged else 1)
    return None if acknowledged else causes[0]
