"""Fuzz RADIUS from the network: replies, CoA requests, what their attributes mean.

Input: a flag byte, then a packet. Flags: 1 a request for us (RFC 5176), else a reply; 2 its
authenticators are made right, so that what is behind them is reached.
"""

import hashlib
import hmac
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_network

from bng.aaa import attributes
from bng.aaa.extra import extra_row
from bng.aaa.reading import Offered
from bng.io.radius import values
from radius.dictionary import Dictionary
from radius.dynauth import DynAuth, DynAuthClient, Order, Reply
from radius.errors import MalformedPacket, MalformedValue
from radius.packet import BadReply, Code, Encoded, Packet, Request, encode, verify_reply

SECRET = b"fuzz"
DICTIONARY = Dictionary()
OFFERED = Offered(
    pools={"main"},
    acls={"clean"},
    nat_profiles={"static"},
    ipv6_pools={"links": 64, "nets": 56, "hosts": 128},
    own_addresses={IPv4Address("192.0.2.1"), IPv6Address("2001:db8:ffff::1")},
    extra={
        name: extra_row(name, field, lambda name: DICTIONARY[name].type)
        for name, field in (("Connect-Info", "rate_down"), ("Login-IP-Host", "ipv4_dns"))
    },
)
SENT = {
    code: encode(
        DICTIONARY,
        Request(
            code=code,
            attributes=(("User-Name", b"user"), ("NAS-Port", 7)),
            password=b"a password of two blocks" if code is Code.ACCESS_REQUEST else None,
            event_at=1.0 if code is Code.ACCOUNTING_REQUEST else None,
        ),
        identifier=7,
        secret=SECRET,
        entropy=bytes,
    )
    for code in (Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER)
}
PEER = ("192.0.2.9", 3799)


def made_right(data: bytes, authenticator: bytes) -> bytes:
    """Return *data* with authenticators for SECRET; *authenticator* is the request's, or zeros."""
    if len(data) < 20:
        return data
    length = min(int.from_bytes(data[2:4], "big"), len(data))
    body = bytearray(data[20:length])
    at, places = 0, []
    while at + 1 < len(body) and body[at + 1] >= 2:
        if body[at] == 80 and body[at + 1] == 18 and at + 18 <= len(body):
            body[at + 2 : at + 18] = bytes(16)
            places.append(at + 2)
        at += body[at + 1]
    for place in places[:1]:
        mac = hmac.new(SECRET, data[:4] + authenticator + body, "md5").digest()
        body[place : place + 16] = mac
    digest = hashlib.md5(data[:4] + authenticator + body + SECRET).digest()
    return data[:4] + digest + bytes(body) + data[length:]


def read(packet: Packet) -> None:
    """Take its attributes for an Access-Accept's."""
    reading = attributes.read(values(packet), OFFERED)
    assert all("\n" not in warning for warning in reading.warnings)
    profile = attributes.profile(reading, "user")
    assert profile.user_name
    assert len(list(packet.lines())) == len(packet.attributes)
    with suppress(MalformedValue):
        texts = packet.all("Reply-Message")
        assert packet.first("Reply-Message") == (texts[0] if texts else None)


def reply_to(sent: Encoded, data: bytes, *, right: bool) -> None:
    """Take *data* for a reply."""
    zeros = sent.code is Code.ACCOUNTING_REQUEST
    data = made_right(data, bytes(16) if zeros else sent.authenticator) if right else data
    try:
        packet = verify_reply(DICTIONARY, sent, data, demand_signature=True)
    except (MalformedPacket, BadReply):
        return
    assert packet.identifier == 7
    read(packet)


def request(data: bytes, *, right: bool) -> None:
    """Take *data* for a CoA-Request or Disconnect-Request."""
    server = DynAuth(
        [DynAuthClient(name="oss", prefix=ip_network("192.0.2.0/24"), secret=SECRET)], DICTIONARY
    )
    data = made_right(data, bytes(16)) if right else data
    order = server.receive(data, PEER, 1.0, 2.0)
    if order is None:
        return
    assert isinstance(order, Order)
    read(order.packet)
    reply = server.answer(order, 404, 1.0)
    assert server.receive(data, PEER, 1.0, 2.0) == Reply(PEER, reply.data)


def test_one_input(data: bytes) -> None:
    """Run one input."""
    flags, packet = (data[0], data[1:]) if data else (0, b"")
    if flags & 1:
        request(packet, right=bool(flags & 2))
        return
    for sent in SENT.values():
        reply_to(sent, packet, right=bool(flags & 2))
