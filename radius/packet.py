"""RADIUS packets (RFC 2865, 2866, 2869, 5176, 5997), built and checked.

A `Request` says what is asked; it is encoded anew for each server that it goes to, for the
secret, and with it User-Password, differ. A reply counts only when it is the answer to that very
packet: identifier, Response Authenticator, and Message-Authenticator (RFC 2869 §5.14, demanded of
replies to Access-Request).
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from radius.dictionary import Dictionary, Key, Value
from radius.errors import MalformedPacket, MalformedValue

HEADER_BYTES = 20
LENGTH_BYTES = 4
"""Code, identifier and length: what must be read of a packet to know where it ends."""
MAX_BYTES = 4096
"""RFC 2865 §3."""
USER_PASSWORD = 2
STATE = 24
PROXY_STATE = 33
MESSAGE_AUTHENTICATOR = 80
VENDOR_SPECIFIC = 26
MAX_PASSWORD_BYTES = 128
SIGNATURE = bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16)
"""A Message-Authenticator (RFC 2869 §5.14) that is still to be computed."""


class Code(IntEnum):
    """Packet types (RFC 2865 §4, 2866 §4, 5176 §3, 5997 §3)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


ANSWERS = {
    Code.ACCESS_REQUEST: {Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE},
    Code.ACCOUNTING_REQUEST: {Code.ACCOUNTING_RESPONSE},
    Code.STATUS_SERVER: {Code.ACCESS_ACCEPT, Code.ACCOUNTING_RESPONSE},
}
"""What may answer a request. Status-Server: RFC 5997 §3."""
SIGNED = {Code.ACCESS_REQUEST, Code.STATUS_SERVER}
"""Requests that carry a Message-Authenticator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. *password* is PAP's, hidden with each server's secret (RFC 2865 §5.2).

    *event_at* is the wall time in seconds of what an Accounting-Request reports: with it goes
    Acct-Delay-Time (RFC 2866 §5.2).
    """

    code: Code
    attributes: tuple[tuple[str, Value], ...] = ()
    password: bytes | None = None
    event_at: float | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet from the network that has proved who sent it."""

    code: Code
    identifier: int
    attributes: tuple[tuple[Key, bytes], ...]
    dictionary: Dictionary

    def raw(self, key: Key) -> Iterator[bytes]:
        """Return the values of *key* as they came, in order."""
        return (data for found, data in self.attributes if found == key)

    def all(self, name: str) -> list[Value]:
        """Return the values of attribute *name*, in order. Raises: MalformedValue."""
        key = self.dictionary[name].key
        return [self.dictionary.decode(key, data) for data in self.raw(key)]

    def first(self, name: str) -> Value | None:
        """Return the first value of attribute *name*, None without one. Raises: MalformedValue."""
        key = self.dictionary[name].key
        for data in self.raw(key):
            return self.dictionary.decode(key, data)
        return None

    def lines(self) -> Iterator[tuple[str, str]]:
        """Return all attributes as (name, text), for people."""
        for key, data in self.attributes:
            try:
                value = self.dictionary.decode(key, data)
            except MalformedValue:
                value = data
            yield self.dictionary.name(key), self.dictionary.text(key, value)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request as it goes to one server. *data* is sent again unchanged (RFC 2865 §2.5)."""

    data: bytes
    code: Code
    identifier: int
    secret: bytes
    authenticator: bytes


def encode(
    dictionary: Dictionary,
    request: Request,
    *,
    identifier: int,
    secret: bytes,
    entropy: Callable[[int], bytes],
    delay_s: int = 0,
) -> Encoded:
    """Encode *request* for one server; *entropy* gives random bytes for its authenticator.

    Raises: DictionaryError, MalformedValue.
    """
    signed = request.code in SIGNED
    authenticator = entropy(16) if signed else b""  # RFC 2865 §3
    parts = [SIGNATURE] if signed else []  # the first attribute
    wire = dictionary.wire
    said = ((name, value) for name, value in request.attributes if value or value == 0)
    parts += [wire(name, value) for name, value in said]  # RFC 2865 §5: nothing is said of no bytes
    if request.password is not None:
        hidden = hide(request.password, secret, authenticator)
        parts.append(bytes((USER_PASSWORD, len(hidden) + 2)) + hidden)
    if request.event_at is not None:
        parts.append(dictionary.wire("Acct-Delay-Time", delay_s))
    body = b"".join(parts)
    size = HEADER_BYTES + len(body)
    if size > MAX_BYTES:
        raise MalformedValue(f"a request of {size} bytes, at most {MAX_BYTES} fit")
    head = bytes((request.code, identifier)) + size.to_bytes(2, "big")
    if signed:
        mac = hmac.digest(secret, head + authenticator + body, "md5")
        body = body[:2] + mac + body[len(SIGNATURE) :]
    else:  # RFC 2866 §3: over the packet with zeros in its place
        authenticator = hashlib.md5(head + bytes(16) + body + secret).digest()  # noqa: S324
    data = head + authenticator + body
    return Encoded(data, request.code, identifier, secret, authenticator)


def hide(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Return the value of User-Password (RFC 2865 §5.2). Raises: MalformedValue."""
    if len(password) > MAX_PASSWORD_BYTES:
        raise MalformedValue(f"User-Password: more than {MAX_PASSWORD_BYTES} bytes")
    padded = password.ljust(max(16, -len(password) % 16 + len(password)), b"\0")
    hidden, last = b"", authenticator
    for at in range(0, len(padded), 16):
        pad = hashlib.md5(secret + last).digest()  # noqa: S324
        last = bytes(a ^ b for a, b in zip(padded[at : at + 16], pad, strict=True))
        hidden += last
    return hidden


def split(data: bytes) -> list[tuple[Key, bytes]]:
    """Return the attributes of a packet in order, those of vendors with their own type.

    A Vendor-Specific that does not have the recommended form (RFC 2865 §5.26) is given whole.
    Raises: MalformedPacket.
    """
    length = _length(data)
    found: list[tuple[Key, bytes]] = []
    at = HEADER_BYTES
    while at < length:
        size = data[at + 1] if at + 1 < length else 0
        if size < 2 or at + size > length:
            raise MalformedPacket(f"attribute at byte {at}: length {size}")
        value = data[at + 2 : at + size]
        if data[at] == VENDOR_SPECIFIC:
            found += _vendor(value)
        else:
            found.append((data[at], value))
        at += size
    return found


def _length(data: bytes) -> int:
    """Return how long the packet in *data* is. Raises: MalformedPacket."""
    length = int.from_bytes(data[2:4], "big")
    if not HEADER_BYTES <= length <= min(len(data), MAX_BYTES):
        raise MalformedPacket(f"{len(data)} bytes, length field {length}")
    return length


def take_packets(buffer: bytearray) -> list[bytes]:
    """Take whole packets off the front of what came over a stream (RFC 6613 §2.6.4).

    Raises: MalformedPacket when there is none: the stream has to be closed.
    """
    found = []
    at, end = 0, len(buffer)
    while end - at >= LENGTH_BYTES:
        length = int.from_bytes(buffer[at + 2 : at + 4], "big")
        if not HEADER_BYTES <= length <= MAX_BYTES:
            raise MalformedPacket(f"a packet of {length} bytes")
        if end - at < length:
            break
        found.append(bytes(buffer[at : at + length]))
        at += length
    del buffer[:at]
    return found


def _vendor(value: bytes) -> list[tuple[Key, bytes]]:
    vendor = int.from_bytes(value[:4], "big")
    found: list[tuple[Key, bytes]] = []
    at = 4
    while at < len(value):
        size = value[at + 1] if at + 1 < len(value) else 0
        if size < 2 or at + size > len(value):
            return [(VENDOR_SPECIFIC, value)]
        found.append(((vendor, value[at]), value[at + 2 : at + size]))
        at += size
    return found or [(VENDOR_SPECIFIC, value)]


class BadReply(Exception):
    """A reply that is none to the request: wrong authenticator, unsigned, of a wrong type."""


def verify_reply(
    dictionary: Dictionary, sent: Encoded, data: bytes, *, demand_signature: bool
) -> Packet:
    """Return the reply in *data* to what was *sent*.

    *demand_signature*: replies to Access-Request without a Message-Authenticator are refused. Those
    to Status-Server, which many servers do not sign, let nobody in. Raises: MalformedPacket,
    BadReply.
    """
    length = _length(data)
    data = data[:length]
    if data[0] not in ANSWERS[sent.code]:
        raise BadReply(f"code {data[0]} to {sent.code.name}")
    if data[1] != sent.identifier:
        raise BadReply("wrong identifier")
    digest = hashlib.md5(  # noqa: S324 - RFC 2865 §3
        data[:4] + sent.authenticator + data[HEADER_BYTES:] + sent.secret
    ).digest()
    if not hmac.compare_digest(digest, data[4:HEADER_BYTES]):
        raise BadReply("wrong authenticator")
    code, attributes = Code(data[0]), split(data)
    signatures = [value for key, value in attributes if key == MESSAGE_AUTHENTICATOR]
    if signatures:
        if len(signatures) > 1 or not _signed(data, sent, signatures[0]):
            raise BadReply("wrong Message-Authenticator")
    elif demand_signature and sent.code is Code.ACCESS_REQUEST:
        raise BadReply("no Message-Authenticator")
    if sent.code in SIGNED and any(key == PROXY_STATE for key, _ in attributes):
        raise BadReply("a Proxy-State that was not sent")  # how Blast-RADIUS makes its collision
    return Packet(code, data[1], tuple(attributes), dictionary)


def _signed(data: bytes, sent: Encoded, signature: bytes) -> bool:
    """Check a reply's Message-Authenticator (RFC 2869 §5.14, RFC 5997 §3)."""
    accounting = data[0] == Code.ACCOUNTING_RESPONSE and sent.code is Code.ACCOUNTING_REQUEST
    authenticator = bytes(16) if accounting else sent.authenticator
    return hmac.compare_digest(signature, message_authenticator(data, authenticator, sent.secret))


def message_authenticator(data: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """Return the HMAC-MD5 of a packet with *authenticator*, its own value taken as zeros."""
    at = HEADER_BYTES
    zeroed = bytearray(data)
    while at + 1 < len(data):
        if data[at] == MESSAGE_AUTHENTICATOR:
            zeroed[at + 2 : at + data[at + 1]] = bytes(data[at + 1] - 2)
        at += max(data[at + 1], 2)
    zeroed[4:HEADER_BYTES] = authenticator
    return hmac.digest(secret, zeroed, "md5")
