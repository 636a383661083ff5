"""Fragments through NAT44, both ways and in any order (RFC 4787 REQ-14, RFC 791, RFC 6864)."""

import random
from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet
from scapy.utils import checksum

from .fragments import (
    PAYLOAD,
    SECOND_IP,
    answer,
    cut,
    downstream,
    lone,
    question,
    to_sessions,
    translated,
    upstream,
    whole,
)
from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane
from .lab import CLIENT_IP, SERVER, furnish, routed_frame
from .nat44 import PUBLIC, nat_args

SECOND_PUBLIC = "203.0.113.2"
OTHER = "192.0.77.7"  # behind the same neighbour
HELD = "nat44_fragment/consumed"
TOO_LATE = "nat44_fragment/drop: first-came-too-late"
TOO_MANY = "nat44_fragment/drop: too-many-held"
GONE = "nat44_fragment/drop: session-not-live"
ORDERS = list(permutations(range(4)))
LAYERS = {
    "udp": UDP(sport=5000, dport=53) / PAYLOAD,
    "tcp": TCP(sport=5000, dport=80, flags="S", seq=7) / PAYLOAD,
    "echo": ICMP(type=8, id=5000, seq=3) / PAYLOAD,
}


@pytest.fixture
def box() -> Iterator[Dataplane]:
    with dataplane(*nat_args()) as dp:
        yield translated(dp)


# ---- from the subscriber ----


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_datagram_of_the_subscriber_arrives_whole(
    box: Dataplane, layer: Packet, order: tuple[int, ...]
) -> None:
    parts = cut(IP(src=CLIENT_IP, dst=SERVER, id=99) / layer)
    assert len(parts) == 4
    sent = upstream(box, *(parts[i] for i in order))
    assert {p.src for p in sent} == {PUBLIC}
    assert len({p.id for p in sent}) == 1
    packet = whole(sorted(sent, key=lambda p: int(p.frag)))
    assert bytes(packet)[-len(PAYLOAD) :] == PAYLOAD
    assert box.session_cold(0).nat_mappings == 1


def test_each_datagram_has_an_id_of_its_own_for_fifteen_seconds(box: Dataplane) -> None:
    parts = cut(IP(src=CLIENT_IP, dst=SERVER, id=99) / LAYERS["udp"])
    (first,) = upstream(box, parts[0])
    box.advance(14.9)
    (second,) = upstream(box, parts[1])
    assert second.id == first.id
    box.advance(0.2)
    (third,) = upstream(box, parts[2])
    assert third.id != first.id
    for change in ({"id": 98}, {"dst": OTHER}, {"proto": 6}):
        other = parts[0].copy()
        for name, value in change.items():
            setattr(other, name, value)
        del other.chksum
        (sent,) = upstream(box, other)
        assert (sent.id, sent.dst, sent.proto) != (first.id, first.dst, first.proto)


def test_whole_datagrams_keep_their_ids(box: Dataplane) -> None:
    (sent,) = upstream(box, IP(src=CLIENT_IP, dst=SERVER, id=99) / UDP(sport=5000, dport=53))
    assert sent.id == 99


def test_a_later_fragment_passes_without_a_first_and_opens_nothing(box: Dataplane) -> None:
    parts = cut(IP(src=CLIENT_IP, dst=SERVER, id=99) / LAYERS["udp"])
    (sent,) = upstream(box, parts[1])
    assert (sent.src, bytes(sent)[20:]) == (PUBLIC, bytes(parts[1])[20:])
    assert box.session_cold(0).nat_mappings == 0


@pytest.mark.parametrize("proto", [47, 50])
def test_a_tunnels_fragments_pass_in_any_order_both_ways(box: Dataplane, proto: int) -> None:
    parts = cut(IP(src=CLIENT_IP, dst=SERVER, id=99, proto=proto) / PAYLOAD)
    sent = upstream(box, *reversed(parts))
    assert len({p.id for p in sent}) == 1
    assert bytes(whole(sent[::-1]))[-len(PAYLOAD) :] == PAYLOAD
    back = cut(IP(src=SERVER, dst=PUBLIC, id=7, proto=proto) / PAYLOAD)
    home = downstream(box, *reversed(back))
    assert {session for session, _ in home} == {1}
    assert bytes(whole([p for _, p in home][::-1]))[-len(PAYLOAD) :] == PAYLOAD
    assert box.counters().get(HELD, 0) == 0  # no need: they have no ports


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP(proto=6, flags="MF") / bytes(16), "truncated-header"),
        (IP(proto=6, frag=1, flags="MF") / bytes(16), "fragment-overlaps-header"),
        (IP(proto=17, flags="MF") / bytes(7), "truncated-header"),
        (IP(proto=132, frag=1) / bytes(16), "protocol-not-translated"),
    ],
    ids=["tiny", "overlapping", "short", "sctp"],
)
def test_fragments_that_hide_or_overwrite_a_header_are_dropped_both_ways(
    box: Dataplane, packet: Packet, reason: str
) -> None:
    there, back = packet.copy(), packet.copy()
    there.src, there.dst = CLIENT_IP, SERVER
    back.src, back.dst = SERVER, PUBLIC
    assert upstream(box, there) == []
    assert downstream(box, back) == []
    counters = box.counters()
    assert counters[f"nat44_in2out/drop: {reason}"] == 1
    assert counters[f"nat44_out2in/drop: {reason}"] == 1


# ---- to the subscriber ----


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_datagram_to_the_subscriber_arrives_whole(
    box: Dataplane, layer: Packet, order: tuple[int, ...]
) -> None:
    parts = cut(answer(question(box, layer)))
    home: list[tuple[int, Packet]] = []
    for i in order:
        home += downstream(box, parts[i])
    assert {session for session, _ in home} == {1}
    assert {p.dst for _, p in home} == {CLIENT_IP}
    assert home[0][1].frag == 0, "none goes before the first"
    packet = whole(sorted((p for _, p in home), key=lambda p: int(p.frag)))
    assert bytes(packet)[-len(PAYLOAD) :] == PAYLOAD
    assert box.counters().get(HELD, 0) == order.index(0)
    assert box.buffers_in_use() == 0


def test_fragments_of_one_vector_arrive_in_the_order_they_came(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    home = downstream(box, parts[2], parts[1], parts[0], parts[3])
    assert [int(p.frag) for _, p in home] == [int(parts[i].frag) for i in (0, 3, 2, 1)]


def test_without_a_first_fragment_nothing_comes_through(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    assert downstream(box, *parts[1:]) == []
    assert box.buffers_in_use() == 3
    box.advance(1.98)
    assert box.buffers_in_use() == 3
    box.advance(0.04)
    assert box.buffers_in_use() == 0
    assert box.counters()[TOO_LATE] == 3
    assert [int(p.frag) for _, p in downstream(box, parts[0])] == [0]


def test_a_first_fragment_that_comes_in_time_takes_the_others_along(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    downstream(box, *parts[1:])
    box.advance(1.98)
    assert len(downstream(box, parts[0])) == 4


def test_fragments_of_what_is_not_let_in_are_dropped_with_it(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    for part in parts:
        part.dst = PUBLIC
        del part.chksum
    strange = parts[0].copy()
    strange[UDP].dport ^= 1
    assert downstream(box, parts[1], strange, parts[2], parts[3]) == []
    assert box.counters()["nat44_out2in/drop: no-mapping"] == 1
    box.advance(2.02)
    assert box.counters()[TOO_LATE] == 3


def test_later_fragments_get_the_filters_verdict_on_the_first() -> None:
    with dataplane(*nat_args(), "--nat-filtering=address-dependent") as dp:
        translated(dp)
        query = question(dp)
        stranger = answer(query)
        stranger.src = OTHER
        assert downstream(dp, *cut(stranger)) == []
        assert len(downstream(dp, *cut(answer(query)))) == 4
        assert dp.counters()["nat44_out2in/drop: filtered"] == 1
        dp.advance(2.02)
        assert dp.counters()[TOO_LATE] == 3


def test_datagrams_are_told_apart_by_source_address_protocol_and_id(box: Dataplane) -> None:
    query = question(box)
    parts = cut(answer(query))
    assert len(downstream(box, parts[0], parts[1])) == 2
    for change in ({"src": OTHER}, {"id": 4712}, {"proto": 6}):
        other = parts[2].copy()
        for name, value in change.items():
            setattr(other, name, value)
        del other.chksum
        assert downstream(box, other) == [], change
    assert len(downstream(box, parts[2])) == 1
    box.advance(2.02)


def test_what_was_let_in_is_remembered_for_fifteen_seconds(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    downstream(box, parts[0])
    box.advance(14.9)
    assert len(downstream(box, parts[1])) == 1
    box.advance(0.2)
    assert downstream(box, parts[2]) == []
    box.advance(2.02)


def test_an_id_that_comes_again_is_of_the_newest_first_fragment(box: Dataplane) -> None:
    mine = cut(answer(question(box)))
    theirs = cut(answer(question(box, src=SECOND_IP, session_id=2)))
    assert {s for s, _ in downstream(box, *mine)} == {1}
    assert {s for s, _ in downstream(box, *theirs)} == {2}
    assert {s for s, _ in downstream(box, *mine)} == {1}


def test_a_session_that_ends_gets_no_fragments_any_more(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    downstream(box, parts[0])
    other = cut(answer(question(box), id=4712))
    downstream(box, *other[1:])  # these are held
    assert box.buffers_in_use() == 3
    box.session_in(0).generation += 1  # another has the place
    box.session_out(0).generation += 1
    assert downstream(box, parts[1], other[0]) == []
    assert box.counters()[GONE] == 1
    assert box.counters()["nat44_out2in/drop: session-not-live"] == 1
    box.advance(2.02)
    assert box.buffers_in_use() == 0
    box.session_in(0).generation -= 1
    box.session_out(0).generation -= 1


# ---- bounds ----


@pytest.fixture
def large() -> Iterator[Dataplane]:
    with dataplane(*nat_args(), "--buffers=4096") as dp:
        yield translated(dp)


def test_a_worker_holds_so_many_and_the_oldest_give_way(large: Dataplane) -> None:
    box = large
    parts = cut(answer(question(box)))
    downstream(box, parts[1])
    for n in range(255):
        downstream(box, lone(n))
    assert (box.buffers_in_use(), box.counters().get(TOO_MANY, 0)) == (256, 0)
    for n in range(255, 265):
        downstream(box, lone(n))
    assert (box.buffers_in_use(), box.counters()[TOO_MANY]) == (256, 10)
    assert len(downstream(box, parts[0])) == 1  # that one gave way
    downstream(box, parts[2])
    box.advance(2.02)
    assert box.counters()[TOO_LATE] == 256
    assert box.buffers_in_use() == 0


def test_a_datagram_may_have_so_many_waiting(box: Dataplane) -> None:
    parts = [lone(1) for _ in range(60)]
    downstream(box, *parts)
    assert (box.buffers_in_use(), box.counters()[TOO_MANY]) == (48, 12)
    box.advance(2.02)


def test_the_pool_of_buffers_never_runs_dry() -> None:
    with dataplane(*nat_args(), "--buffers=512") as dp:
        translated(dp)
        for n in range(0, 600, 100):
            downstream(dp, *(lone(n + i) for i in range(100)))
        assert 0 < dp.buffers_in_use() <= 64  # an eighth
        dp.advance(2.02)


def test_a_flood_of_first_fragments_costs_only_the_oldest_their_place(box: Dataplane) -> None:
    parts = cut(answer(question(box)))
    header, rest = bytes(parts[0])[:20], bytes(parts[0])[20:]

    def numbered(n: int) -> bytes:
        blank = header[:4] + n.to_bytes(2, "big") + header[6:10] + b"\0\0" + header[12:]
        return blank[:10] + checksum(blank).to_bytes(2, "big") + blank[12:] + rest

    for start in range(0, 40_000, 200):
        box.receive(WAN, *(routed_frame(numbered(n)) for n in range(start, start + 200)))
        assert len(box.sent(ACC)) == 200
        box.advance(0.02)
    newest = parts[1].copy()
    newest.id = 39_999
    del newest.chksum
    assert len(downstream(box, newest)) == 1


# ---- two workers, two subscribers ----


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=str)
def test_the_worker_that_owns_the_address_puts_them_in_order(order: tuple[int, ...]) -> None:
    args = (*nat_args(), f"--nat-address={SECOND_PUBLIC}", "--workers=-,-")
    with dataplane(*args) as dp:
        furnish(dp, nat_address=2, features_in=FEATURE_IN_NAT44, worker=1)
        query = question(dp)
        assert query.src == SECOND_PUBLIC
        parts = cut(answer(query))
        home = downstream(dp, *(parts[i] for i in order))
        assert len(home) == 4
        assert dp.counters()["nat44_out2in/handoff"] == 4
        dp.advance(0.1)
        assert dp.buffers_in_use() == 0


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_subscribers_send_each_other_fragments(box: Dataplane, order: tuple[int, ...]) -> None:
    callee = question(box, UDP(sport=6000, dport=53), SECOND_IP, 2)[UDP].sport
    parts = cut(IP(src=CLIENT_IP, dst=PUBLIC, id=5) / UDP(sport=5000, dport=callee) / PAYLOAD)
    assert upstream(box, *(parts[i] for i in order)) == []
    home = to_sessions(box)
    assert {session for session, _ in home} == {2}
    packet = whole(sorted((p for _, p in home), key=lambda p: int(p.frag)))
    assert (packet.src, packet.dst, packet[UDP].dport) == (PUBLIC, SECOND_IP, 6000)
    assert bytes(packet)[-len(PAYLOAD) :] == PAYLOAD


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1 << 32))
def test_whatever_the_order_and_however_often_each_datagram_arrives_whole(seed: int) -> None:
    chance = random.Random(seed)
    with dataplane(*nat_args()) as dp:
        translated(dp)
        queries = [question(dp), question(dp, src=SECOND_IP, session_id=2)]
        there: list[Packet] = []
        for n in range(6):
            packet = answer(queries[n % 2], bytes([n]) * chance.randrange(1, 4000), id=1000 + n)
            there += cut(packet, chance.choice([200, 1400]))
        order = there + chance.choices(there, k=10)
        chance.shuffle(order)
        home = [arrived for part in order for arrived in downstream(dp, part)]
        for n in range(6):
            parts = {
                int(p.frag): bytes(p)[20:] for s, p in home if (p.id, s) == (1000 + n, 1 + n % 2)
            }
            wanted = {int(p.frag): len(p) - 20 for p in there if p.id == 1000 + n}
            assert {at: len(part) for at, part in parts.items()} == wanted
            assert set(b"".join(parts.values())[8:]) == {n}
        dp.advance(2.02)
