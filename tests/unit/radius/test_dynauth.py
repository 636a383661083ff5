"""CoA-Request and Disconnect-Request (RFC 5176): who is believed, what is answered, and once."""

import hashlib
import hmac
import struct
from ipaddress import ip_network

import pytest

from radius import dynauth
from radius.dynauth import DynAuth, DynAuthClient, Order, Reply
from radius.packet import Code
from tests.unit.radius.wire import DICTIONARY, SECRET, attributes, tlv

PEER = ("192.0.2.9", 40000)
NOW, WALL = 100.0, 1_700_000_000.0


def request(
    code: int = 43,
    body: bytes = b"",
    *,
    secret: bytes = SECRET,
    identifier: int = 3,
    sign: bool = False,
) -> bytes:
    """Return a request with a right authenticator for *secret* (RFC 5176 §2.3)."""
    if sign:
        body = tlv(80, bytes(16)) + body
    head = struct.pack("!BBH", code, identifier, 20 + len(body))
    if sign:
        body = tlv(80, hmac.new(secret, head + bytes(16) + body, "md5").digest()) + body[18:]
    return head + hashlib.md5(head + bytes(16) + body + secret).digest() + body


def server(**options: object) -> DynAuth:
    fields: dict[str, object] = {
        "name": "oss",
        "prefix": ip_network("192.0.2.0/24"),
        "secret": SECRET,
    }
    return DynAuth([DynAuthClient(**{**fields, **options})], DICTIONARY)  # type: ignore[arg-type]


def stamp(at: float) -> bytes:
    return tlv(55, int(at).to_bytes(4, "big"))


def order(core: DynAuth, data: bytes, now: float = NOW) -> Order:
    found = core.receive(data, PEER, now, WALL)
    assert isinstance(found, Order)
    return found


def verified(reply: Reply, asked: bytes) -> list[tuple[int, bytes]]:
    """Check a reply as its client would; return its attributes without the signature."""
    data = reply.data
    assert int.from_bytes(data[2:4], "big") == len(data)
    digest = hashlib.md5(data[:4] + asked[4:20] + data[20:] + SECRET).digest()
    assert (data[1], data[4:20]) == (asked[1], digest)
    (kind, mac), *rest = attributes(data)
    zeroed = data[:4] + asked[4:20] + tlv(80, bytes(16)) + data[38:]
    assert (kind, mac) == (80, hmac.new(SECRET, zeroed, "md5").digest())
    return rest


@pytest.mark.parametrize(("code", "ack", "nak"), [(43, 44, 45), (40, 41, 42)])
def test_orders_are_acknowledged_or_refused_with_a_cause_and_proxy_states(
    code: int, ack: int, nak: int
) -> None:
    states = tlv(33, b"one") + tlv(33, b"two")
    core, asked = server(), request(code, tlv(44, b"0001") + states)
    got = order(core, asked)
    assert (got.packet.code, got.client) == (Code(code), "oss")
    assert got.packet.first("Acct-Session-Id") == "0001"
    reply = core.answer(got, None, NOW)
    assert (reply.peer, reply.data[0]) == (PEER, ack)
    assert verified(reply, asked) == [(33, b"one"), (33, b"two")]
    asked = request(code, states, identifier=4)
    reply = core.answer(order(core, asked), 503, NOW)
    assert reply.data[0] == nak
    assert verified(reply, asked) == [(101, (503).to_bytes(4, "big")), (33, b"one"), (33, b"two")]
    assert core.counters == {"requests": 2, "acks": 1, "naks": 1, "nak_503": 1}
    assert core.by_client == {"oss": core.counters}


def test_state_comes_back_unchanged() -> None:
    """RFC 5176 §3.3."""
    core, asked = server(), request(43, tlv(33, b"proxy") + tlv(24, b"state"))
    reply = core.answer(order(core, asked), 405, NOW)
    assert verified(reply, asked)[1:] == [(24, b"state"), (33, b"proxy")]


def test_an_answer_has_room_for_all_that_it_gives_back() -> None:
    core = server()
    states = tlv(33, bytes(253)) * 15
    assert len(core.answer(order(core, request(43, states)), 404, NOW).data) == 20 + 24 + 15 * 255
    assert core.receive(request(43, states + tlv(33, bytes(230))), PEER, NOW, WALL) is None
    assert core.counters["malformed"] == 1


@pytest.mark.parametrize(
    ("data", "peer", "counter"),
    [
        (request(), ("198.51.100.1", 1), "unknown_client"),
        (request(secret=b"guess"), PEER, "wrong_authenticator"),
        (request(1), PEER, "unexpected_code"),
        (request(99), PEER, "unexpected_code"),
        (request(43, b"\x2c\x01"), PEER, "malformed"),
        (b"", PEER, "malformed"),
        (request()[:-1], PEER, "malformed"),
        (request(43, tlv(80, bytes(16))), PEER, "wrong_signature"),
        (request(43, stamp(WALL - 301)), PEER, "stale"),
        (request(43, stamp(WALL + 301)), PEER, "stale"),
        (request(43, tlv(55, b"\1")), PEER, "stale"),
    ],
)
def test_what_is_not_genuine_is_dropped_without_a_word(
    data: bytes, peer: tuple[str, int], counter: str
) -> None:
    core = server()
    assert core.receive(data, peer, NOW, WALL) is None
    assert core.counters == {counter: 1}


def test_signature_and_timestamp_can_be_demanded() -> None:
    core = server(demand_signature=True, demand_timestamp=True)
    assert core.receive(request(43, stamp(WALL)), PEER, NOW, WALL) is None
    assert core.receive(request(43, sign=True), PEER, NOW, WALL) is None
    assert core.counters == {"wrong_signature": 1, "stale": 1}
    order(core, request(43, stamp(WALL), sign=True))


def test_a_repetition_gets_the_same_answer_and_is_not_carried_out_again() -> None:
    """RFC 5176 §2.3."""
    core, asked = server(), request()
    got = order(core, asked)
    assert core.receive(asked, PEER, NOW + 1, WALL) is None  # still being carried out
    reply = core.answer(got, None, NOW + 2)
    assert core.receive(asked, PEER, NOW + 3, WALL) == reply
    assert core.counters["duplicates"] == 2
    order(core, asked, NOW + 99)  # kept for half a minute


def test_the_same_identifier_with_another_body_is_another_request() -> None:
    core = server()
    order(core, request(43, tlv(44, b"1")))
    order(core, request(43, tlv(44, b"2")))
    assert core.counters == {"requests": 2}


def test_the_longest_prefix_says_whose_secret_counts() -> None:
    wide = DynAuthClient(name="wide", prefix=ip_network("192.0.0.0/8"), secret=b"wide")
    near = DynAuthClient(name="near", prefix=ip_network("192.0.2.9/32"), secret=SECRET)
    core = DynAuth([wide, near], DICTIONARY)
    assert order(core, request()).client == "near"
    found = core.receive(request(), ("::ffff:192.0.2.9", 5), NOW, WALL)
    assert isinstance(found, Order)
    assert found.client == "near"


def test_no_more_answers_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynauth, "MAX_CACHED", 100)
    core = server()
    for number in range(120):
        asked = request(43, tlv(44, str(number).encode()))
        core.answer(order(core, asked), None, NOW)
    assert len(core._plain) == 100


def test_a_request_that_carries_its_time_is_known_again_from_anywhere() -> None:
    """RFC 5176 §6.3: who overheard it gets the answer, and nothing is done again."""
    core, asked = server(), request(43, stamp(WALL))
    reply = core.answer(order(core, asked), None, NOW)
    other = ("192.0.2.77", 1)
    assert core.receive(asked, other, NOW + 299, WALL + 299) == Reply(other, reply.data)
    assert core.receive(asked, PEER, NOW + 301, WALL + 301) == reply
    assert core.receive(asked, PEER, NOW + 601, WALL + 601) is None
    assert core.counters["stale"] == 1


def test_without_a_time_the_same_bytes_from_another_port_are_another_request() -> None:
    core, asked = server(), request()
    order(core, asked)
    assert isinstance(core.receive(asked, (PEER[0], 1), NOW, WALL), Order)


def test_clients_change_and_what_was_answered_stays_known() -> None:
    core, asked = server(), request()
    got = order(core, asked)
    core.reconfigure([])
    assert core.receive(request(identifier=4), PEER, NOW, WALL) is None
    assert core.answer(got, None, NOW).data[0] == Code.COA_ACK  # of a client that is gone
    net = ip_network("192.0.0.0/16")
    core.reconfigure([DynAuthClient(name="new", prefix=net, secret=SECRET)])
    assert isinstance(core.receive(asked, PEER, NOW, WALL), Reply)
    assert core.by_client == {"new": {"duplicates": 1}}


def test_addresses_of_strangers_take_a_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynauth, "MAX_SOURCES", 8)
    core = server()
    for number in range(20):
        assert core.receive(b"", (f"198.51.100.{number}", 1), NOW, WALL) is None
    assert core.counters == {"unknown_client": 20}
    assert len(core._sources) <= 8
    assert isinstance(core.receive(request(), PEER, NOW, WALL), Order)
