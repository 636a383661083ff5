"""A RADIUS server's side of the wire, written from the RFCs and not from our own code."""

import hashlib
import hmac
import struct
from ipaddress import IPv4Address
from itertools import count

from radius.client import Client
from radius.dictionary import Dictionary
from radius.packet import Code, Request
from radius.settings import Group, Server

ACCOUNTING_REQUEST = 4
SECRET = b"testing123"
DICTIONARY = Dictionary()
STATUS_SERVER = Request(code=Code.STATUS_SERVER, attributes=(("NAS-Identifier", "bng"),))


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """Return what follows the header, as (type, value)."""
    found, at = [], 20
    while at < len(data):
        found.append((data[at], data[at + 2 : at + data[at + 1]]))
        at += data[at + 1]
    return found


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def reply(
    request: bytes,
    code: int,
    body: bytes = b"",
    *,
    secret: bytes = SECRET,
    signed: bool = True,
    identifier: int | None = None,
) -> bytes:
    """Return the answer to *request*, with a Message-Authenticator first when *signed*."""
    if signed:
        body = tlv(80, bytes(16)) + body
    identifier = request[1] if identifier is None else identifier
    head = struct.pack("!BBH", code, identifier, 20 + len(body))
    if signed:
        vector = bytes(16) if request[0] == ACCOUNTING_REQUEST else request[4:20]
        mac = hmac.new(secret, head + vector + body, "md5").digest()
        body = tlv(80, mac) + body[18:]
    return head + hashlib.md5(head + request[4:20] + body + secret).digest() + body


def server(name: str, **settings: object) -> Server:
    fields: dict[str, object] = {
        "name": name,
        "address": IPv4Address("192.0.2.1"),
        "port": 1812,
        "secret": SECRET,
    }
    return Server(**{**fields, **settings})  # type: ignore[arg-type]


def client(*servers: Server, jitter: float = 0.0, wall: float = 1000.0, **group: object) -> Client:
    """Return a client whose random bytes count up and whose jitter is always the same."""
    numbers = count(1)
    return Client(
        Group(servers=servers, **group),  # type: ignore[arg-type]
        DICTIONARY,
        entropy=lambda n: next(numbers).to_bytes(n, "big"),
        jitter=lambda: jitter,
        wall=lambda: wall,
        probe=STATUS_SERVER,
    )
