"""Requests as servers see them, and replies that are believed or not."""

import hashlib
import hmac
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius.dictionary import Dictionary
from radius.errors import DictionaryError, MalformedPacket, MalformedValue
from radius.packet import BadReply, Code, Encoded, Request, encode, split, verify_reply
from tests.unit.radius.wire import DICTIONARY, SECRET, attributes, reply, tlv

AUTHENTICATOR = bytes(range(16))


def encoded(request: Request, *, delay_s: int = 0) -> Encoded:
    return encode(
        DICTIONARY,
        request,
        identifier=7,
        secret=SECRET,
        entropy=lambda size: AUTHENTICATOR,
        delay_s=delay_s,
    )


ACCESS = Request(
    code=Code.ACCESS_REQUEST,
    attributes=(("User-Name", "alice"), ("NAS-Port-Type", 34), ("Framed-IP-Address", "10.0.0.1")),
    password=b"correct horse battery staple",
)


def test_an_access_request_begins_with_its_message_authenticator() -> None:
    sent = encoded(ACCESS)
    assert sent.data[:2] == bytes((1, 7))
    assert int.from_bytes(sent.data[2:4], "big") == len(sent.data)
    assert sent.data[4:20] == sent.authenticator == AUTHENTICATOR
    (kind, mac), *rest = attributes(sent.data)
    zeroed = sent.data[:20] + tlv(80, bytes(16)) + sent.data[38:]
    assert (kind, mac) == (80, hmac.new(SECRET, zeroed, "md5").digest())
    assert [kind for kind, _ in rest] == [1, 61, 8, 2]
    assert rest[1][1] == bytes((0, 0, 0, 34))


def test_a_password_is_hidden_block_by_block() -> None:
    """RFC 2865 §5.2."""
    hidden = dict(attributes(encoded(ACCESS).data))[2]
    assert len(hidden) == 32
    clear, last = b"", AUTHENTICATOR
    for at in (0, 16):
        pad = hashlib.md5(SECRET + last).digest()
        clear += bytes(a ^ b for a, b in zip(hidden[at : at + 16], pad, strict=True))
        last = hidden[at : at + 16]
    assert clear.rstrip(b"\0") == ACCESS.password


def test_an_accounting_request_proves_itself_and_says_its_delay() -> None:
    """RFC 2866 §3, §5.2."""
    request = Request(
        code=Code.ACCOUNTING_REQUEST,
        attributes=(("Acct-Status-Type", 1), ("Class", b"\x00c"), ("Class", b"0xff")),
        event_at=1.0,
    )
    sent = encoded(request, delay_s=5)
    digest = hashlib.md5(sent.data[:4] + bytes(16) + sent.data[20:] + SECRET).digest()
    assert sent.data[4:20] == sent.authenticator == digest
    assert attributes(sent.data) == [
        (40, bytes((0, 0, 0, 1))),
        (25, b"\x00c"),
        (25, b"0xff"),  # octets are what they are, whatever they look like
        (41, bytes((0, 0, 0, 5))),
    ]


def test_vendor_attributes_go_inside_vendor_specific() -> None:
    sent = encoded(Request(code=Code.ACCESS_REQUEST, attributes=(("MS-CHAP-Challenge", b"abc"),)))
    assert attributes(sent.data)[1] == (26, bytes((0, 0, 1, 55, 11, 5)) + b"abc")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("NAS-Port", "one", "NAS-Port: 'one' is no integer"),
        ("NAS-Port", 1 << 32, "NAS-Port: 4294967296 is no integer"),
        ("Framed-IP-Address", "10.0.0.300", "Framed-IP-Address: '10.0.0.300' is no ipaddr"),
        ("User-Name", "x" * 254, "User-Name: 254 bytes, at most 253 fit"),
        ("Cisco-AVPair", "x" * 248, "Cisco-AVPair: 248 bytes, at most 247 fit"),
        ("Class", "text", "Class: 'text' is no octets"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, value: str | int, text: str) -> None:
    with pytest.raises(MalformedValue, match=text.replace(".", r"\.")):
        encoded(Request(code=Code.ACCESS_REQUEST, attributes=((name, value),)))


def test_a_request_over_4096_bytes_is_refused() -> None:
    many = tuple(("Class", bytes(253)) for _ in range(17))
    with pytest.raises(MalformedValue, match="at most 4096 fit"):
        encoded(Request(code=Code.ACCOUNTING_REQUEST, attributes=many))


def test_an_unknown_attribute_is_named() -> None:
    with pytest.raises(DictionaryError, match="no attribute Frobnicate in any dictionary"):
        encoded(Request(code=Code.ACCESS_REQUEST, attributes=(("Frobnicate", 1),)))


def test_a_dictionary_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dictionary"
    path.write_text("ATTRIBUTE Broken one string\n")
    with pytest.raises(DictionaryError, match=str(path)):
        Dictionary([path])
    with pytest.raises(DictionaryError, match="No such file"):
        Dictionary([tmp_path / "none"])


# ---- replies ----


def accept(body: bytes = b"", **options: object) -> bytes:
    return reply(encoded(ACCESS).data, 2, body, **options)  # type: ignore[arg-type]


def check(data: bytes, *, demand: bool = True) -> list[tuple[str, str]]:
    return list(verify_reply(DICTIONARY, encoded(ACCESS), data, demand_signature=demand).lines())


def test_a_reply_is_read_in_order_with_vendors_and_unknown_attributes() -> None:
    body = (
        tlv(8, bytes((10, 1, 2, 3)))
        + tlv(97, bytes((0, 56)) + bytes.fromhex("20010db8000100"))
        + tlv(26, bytes((0, 0, 0, 9)) + tlv(1, b"a=b") + tlv(1, b"c=d"))
        + tlv(250, b"\x01")
        + tlv(6, bytes((0, 0, 0, 2)))
    )
    assert check(accept(body) + b"padding")[1:] == [
        ("Framed-IP-Address", "10.1.2.3"),
        ("Framed-IPv6-Prefix", "2001:db8:1::/56"),
        ("Cisco-AVPair", "a=b"),
        ("Cisco-AVPair", "c=d"),
        ("Attr-250", "0x01"),
        ("Service-Type", "Framed-User"),
    ]


def test_values_come_typed_and_wrong_ones_are_named() -> None:
    body = (
        tlv(8, bytes((10, 1, 2, 3))) + tlv(97, bytes((0, 129))) + tlv(27, b"\1") + tlv(18, b"\xff")
    )
    packet = verify_reply(DICTIONARY, encoded(ACCESS), accept(body), demand_signature=True)
    assert packet.first("Framed-IP-Address") == IPv4Address("10.1.2.3")
    assert packet.first("Idle-Timeout") is None
    assert packet.all("Reply-Message") == [b"\xff"]
    with pytest.raises(MalformedValue, match="Framed-IPv6-Prefix: 0x0081 is no ipv6prefix"):
        packet.all("Framed-IPv6-Prefix")
    with pytest.raises(MalformedValue, match="Session-Timeout: 0x01 is no integer"):
        packet.first("Session-Timeout")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (accept(secret=b"other"), "wrong authenticator"),
        (accept(signed=False), "no Message-Authenticator"),
        (accept(identifier=8), "wrong identifier"),
        (reply(encoded(ACCESS).data, 5), "code 5 to ACCESS_REQUEST"),
        (reply(encoded(ACCESS).data, 77), "code 77 to ACCESS_REQUEST"),
        (accept(tlv(80, bytes(16))), "wrong Message-Authenticator"),
        (accept(tlv(33, b"state")), "a Proxy-State that was not sent"),
    ],
)
def test_what_is_no_reply_to_this_request_is_not_believed(data: bytes, why: str) -> None:
    with pytest.raises(BadReply, match=why):
        check(data)


def test_a_bad_signature_is_not_believed_even_where_none_is_demanded() -> None:
    request = encoded(ACCESS).data
    body = tlv(80, bytes(16))
    head = bytes((2, 7, 0, 38))
    digest = hashlib.md5(head + request[4:20] + body + SECRET).digest()
    with pytest.raises(BadReply, match="wrong Message-Authenticator"):
        check(head + digest + body, demand=False)
    assert check(accept(signed=False), demand=False) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(19),
        bytes((2, 7, 0, 19)) + bytes(16),
        bytes((2, 7, 0, 30)) + bytes(16),
        bytes((2, 7, 0, 21)) + bytes(17),
        bytes((2, 7, 0, 22)) + bytes(16) + b"\x01\x01",
        bytes((2, 7, 0, 22)) + bytes(16) + b"\x01\x03",
        bytes((2, 7, 0x20, 0)) + bytes(8188),
    ],
)
def test_bytes_that_are_no_packet_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        split(data)


def test_a_vendor_specific_of_another_form_is_kept_whole() -> None:
    values = [b"\0\0", bytes((0, 0, 0, 9)), bytes((0, 0, 0, 9, 1, 9, 1)), bytes((0, 0, 0, 9, 1, 1))]
    body = b"".join(tlv(26, value) for value in values)
    data = bytes((2, 7)) + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body
    assert split(data) == [(26, value) for value in values]


@given(st.binary(max_size=120))
def test_any_bytes_split_into_what_they_held_or_are_malformed(body: bytes) -> None:
    data = bytes((2, 7)) + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body
    try:
        found = split(data)
    except MalformedPacket:
        return
    assert all(value in body for _, value in found)
    for key, value in found:
        with suppress(MalformedValue):
            DICTIONARY.decode(key, value)


@given(st.integers(0, 128), st.integers(0, (1 << 128) - 1))
def test_ipv6_prefixes_survive_the_wire(length: int, bits: int) -> None:
    prefix = IPv6Network((bits, length), strict=False)
    key, data = DICTIONARY.encode("Delegated-IPv6-Prefix", prefix)
    assert DICTIONARY.decode(key, data) == prefix


def test_what_has_no_bytes_is_left_out_and_a_zero_is_not() -> None:
    """RFC 2865 §5: of length zero nothing is sent; a client may have a name of no letters."""
    request = Request(
        code=Code.ACCESS_REQUEST,
        attributes=(("User-Name", ""), ("Class", b""), ("NAS-Port", 0), ("Reply-Message", "0")),
    )
    sent = encoded(request)
    assert attributes(sent.data)[1:] == [(5, bytes(4)), (18, b"0")]
