"""Port forwards: a public port that always leads to a subscriber's own, and the way back."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Packet

from dataplane import binding
from dataplane.binding import CommandType, NatLogType

from . import lab
from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane, lib
from .nat44 import PUBLIC, judge, nat_args
from .test_nat44_static import at_home, home, out

INNER, OTHER_INNER = "100.64.0.1", "100.64.0.2"
STRANGER = "192.0.2.77"
WEB, GAME = 443, 270
FORWARD = 1 << 8
EEXIST, EINVAL, ENOSPC = -17, -22, -28


def forward(
    dp: Dataplane, external: int, inner: int, *, protocol: int = 6, on: int = 1, session: int = 0
) -> int:
    body = binding.SESSION_FORWARD.pack(external, inner, protocol, on)
    generation = dp.session_in(session).generation
    return dp.command(lab.command(CommandType.SESSION_FORWARD, session, generation, body))


@pytest.fixture
def box() -> Iterator[Dataplane]:
    """Sessions 0 and 1 behind one public address; 443/tcp and 270/udp lead to session 0."""
    with dataplane(*nat_args()) as dp:
        lab.furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
        dp.up(1, dp.bind(1), OTHER_INNER, nat_address=1, features_in=FEATURE_IN_NAT44)
        assert forward(dp, WEB, 8443) == 0
        assert forward(dp, GAME, 27015, protocol=17) == 0
        yield dp


def syn(external: int = WEB, src: str = STRANGER, flags: str = "S") -> Packet:
    return IP(src=src, dst=PUBLIC) / TCP(sport=999, dport=external, flags=flags)


def reply(inner: int = 8443, dst: str = STRANGER) -> Packet:
    return IP(src=INNER, dst=dst) / TCP(sport=inner, dport=999, flags="SA")


def table(dp: Dataplane) -> int:
    """Return how many forwards there are; all that they hang on must be zero without them."""
    entries = dp.section(lib.SECTION_NAT_FORWARD, "struct nat_forward")
    n = int(dp.section(lib.SECTION_NAT_CONFIG, "struct nat_config")[0].forwards_per_worker)
    used = sum(bool(entries[i].session) for i in range(n))
    heads = sum(bool(entries[i].head) for i in range(n))
    assert heads <= used
    assert used or not heads
    return used


def log(dp: Dataplane) -> list[tuple[int, int, int, int]]:
    """Take the records of forwards: type, protocol, inner and external port."""
    records = [
        binding.NatLogRecord(*binding.NAT_LOG.unpack(raw))
        for raw in dp.pop(0, binding.Ring.NAT_LOG)
    ]
    kinds = NatLogType.FORWARD_ADDED, NatLogType.FORWARD_REMOVED
    assert all(r.port_first == r.port_last for r in records if r.type in kinds)
    return [(r.type, r.protocol, r.inner_port, r.port_first) for r in records if r.type in kinds]


@pytest.mark.parametrize("src", [STRANGER, lab.SERVER])
def test_whoever_asks_is_let_in_and_answered(box: Dataplane, src: str) -> None:
    got = judge(bytes(home(box, syn(src=src))))
    assert (got.src, got.dst, got[TCP].dport) == (src, INNER, 8443)
    back = judge(bytes(out(box, reply(dst=src))))
    assert (back.src, back[TCP].sport, back.dst) == (PUBLIC, WEB, src)
    assert box.session_cold(0).nat_mappings == 0


def test_what_the_subscriber_begins_from_there_has_the_same_port(box: Dataplane) -> None:
    ping = IP(src=INNER, dst=STRANGER) / UDP(sport=27015, dport=5) / b"hello"
    assert judge(bytes(out(box, ping)))[UDP].sport == GAME
    pong = IP(src=STRANGER, dst=PUBLIC) / UDP(sport=5, dport=GAME) / b"hello"
    assert judge(bytes(home(box, pong)))[UDP].dport == 27015


def test_protocols_are_apart_and_other_ports_are_mapped(box: Dataplane) -> None:
    udp = IP(src=INNER, dst=STRANGER) / UDP(sport=8443, dport=5)
    sport = out(box, udp)[UDP].sport
    assert sport != WEB
    assert sport >= 1024
    box.receive(WAN, lab.routed_frame(bytes(IP(src=STRANGER, dst=PUBLIC) / UDP(dport=WEB))))
    box.receive(WAN, lab.routed_frame(bytes(syn(WEB + 1))))
    assert box.sent(ACC) == []
    assert box.counters()["nat44_out2in/drop: no-mapping"] == 2


def test_a_subscriber_reaches_the_forward_of_another_and_his_own(box: Dataplane) -> None:
    packet = IP(src=OTHER_INNER, dst=PUBLIC) / TCP(sport=999, dport=WEB, flags="S")
    box.receive(ACC, lab.session_frame(bytes(packet), session_id=2))
    got = at_home(box)
    assert (got.src, got.dst, got[TCP].dport) == (PUBLIC, INNER, 8443)
    answer = IP(src=INNER, dst=PUBLIC) / TCP(sport=8443, dport=got[TCP].sport, flags="SA")
    box.receive(ACC, lab.session_frame(bytes(answer)))
    back = at_home(box, 2)
    assert (back.src, back[TCP].sport, back.dst, back[TCP].dport) == (PUBLIC, WEB, OTHER_INNER, 999)
    own = IP(src=INNER, dst=PUBLIC) / TCP(sport=7, dport=WEB, flags="S")
    box.receive(ACC, lab.session_frame(bytes(own)))
    assert at_home(box)[TCP].dport == 8443


def test_fragments_go_both_ways(box: Dataplane) -> None:
    whole = IP(src=INNER, dst=STRANGER, id=5) / UDP(sport=27015, dport=5) / bytes(range(64))
    sent = [out(box, part) for part in fragment(whole, 32)]
    assert {(part.src, part.id) for part in sent} == {(PUBLIC, sent[0].id)}
    assert UDP(bytes(sent[0].payload)).sport == GAME
    whole = IP(src=STRANGER, dst=PUBLIC, id=5) / UDP(sport=5, dport=GAME) / bytes(range(64))
    got = [home(box, part) for part in fragment(whole, 32)]
    assert {part.dst for part in got} == {INNER}
    assert UDP(bytes(got[0].payload)).dport == 27015


def error(src: str, dst: str, quote: bytes) -> Packet:
    return IP(src=src, dst=dst) / ICMP(type=3, code=1) / quote


def test_errors_quote_what_their_receiver_sent(box: Dataplane) -> None:
    sent = bytes(out(box, reply()))
    got = home(box, error("192.0.2.254", PUBLIC, sent[:28]))
    quote = bytes(got[ICMP].payload)
    assert (got.dst, IP(quote).src, int.from_bytes(quote[20:22], "big")) == (INNER, INNER, 8443)
    inside = bytes(home(box, syn()))
    there = out(box, error(INNER, STRANGER, inside[:28]))
    quote = bytes(there[ICMP].payload)
    assert (there.src, IP(quote).dst, int.from_bytes(quote[22:24], "big")) == (PUBLIC, PUBLIC, WEB)


def test_an_error_about_no_forward_goes_on_to_nat(box: Dataplane) -> None:
    box.receive(WAN, lab.routed_frame(bytes(error(STRANGER, PUBLIC, bytes(syn(WEB + 1))[:28]))))
    quote = bytes(IP(src=PUBLIC, dst=STRANGER) / TCP(sport=WEB + 1))
    box.receive(WAN, lab.routed_frame(bytes(error(STRANGER, PUBLIC, quote))))
    quote = bytes(IP(src=STRANGER, dst=INNER) / TCP(dport=99))
    for body in (quote, quote[:8], bytes(IP(src=STRANGER, dst=lab.FRAMED) / TCP(dport=8443))):
        frame = lab.session_frame(bytes(error(INNER, STRANGER, body)))
        box.receive(ACC, frame)
    assert (box.sent(ACC), box.sent(WAN)) == ([], [])


def test_sources_of_framed_routes_pass_as_they_are(box: Dataplane) -> None:
    packet = IP(src=lab.FRAMED, dst=STRANGER) / TCP(sport=8443)
    assert (out(box, packet).src, out(box, packet)[TCP].sport) == (lab.FRAMED, 8443)


def test_what_does_not_fit_is_answered_before_it_is_translated(box: Dataplane) -> None:
    for ttl, size, kind in ((1, 0, 11), (9, 1480, 3)):
        packet = syn() / bytes(size)
        packet.ttl, packet.flags = ttl, "DF"
        box.receive(WAN, lab.routed_frame(bytes(packet)))
        (frame,) = box.sent(WAN)
        assert IP(frame[14:])[ICMP].type == kind
        assert IP(frame[14 + 28 :]).dst == PUBLIC


def test_a_session_that_is_paused_gets_nothing(box: Dataplane) -> None:
    sent = bytes(out(box, reply()))
    generation = box.session_in(0).generation
    assert box.command(lab.command(CommandType.SESSION_PAUSE, 0, generation)) == 0
    for packet in (syn(), error(STRANGER, PUBLIC, sent)):
        box.receive(WAN, lab.routed_frame(bytes(packet)))
    assert box.counters()["nat44_out2in/drop: session-not-live"] == 2


def test_commands_are_checked_and_may_come_twice(box: Dataplane) -> None:
    assert forward(box, WEB, 8443) == 0
    assert forward(box, WEB, 8444) == EEXIST
    assert forward(box, WEB + 1, 8443) == EEXIST
    assert forward(box, WEB, 1, session=1) == EEXIST
    assert forward(box, 1024, 1) == EINVAL  # not kept for forwards
    for bad in ({"protocol": 1}, {"on": 2}):
        assert forward(box, 5, 5, **bad) == EINVAL
    assert forward(box, 0, 5) == forward(box, 5, 0) == EINVAL
    assert table(box) == 2
    assert forward(box, WEB, 8443, on=0) == 0
    assert forward(box, WEB, 8443, on=0) == 0
    assert table(box) == 1
    box.receive(WAN, lab.routed_frame(bytes(syn())))
    assert box.sent(ACC) == []
    assert out(box, reply())[TCP].sport != WEB
    assert forward(box, GAME, 27015, protocol=17, on=0) == 0
    assert box.session_in(0).features & FORWARD == table(box) == 0


def test_a_session_without_ports_has_none(box: Dataplane) -> None:
    box.up(2, box.bind(2), "100.66.0.1")
    assert forward(box, 5, 5, session=2) == EINVAL
    assert forward(box, 5, 5, session=2, on=0) == 0
    box.up(0, box.session_in(0).generation, INNER)
    assert box.session_in(0).features & FORWARD == table(box) == 0


def test_the_log_tells_of_each(box: Dataplane) -> None:
    added, removed = NatLogType.FORWARD_ADDED, NatLogType.FORWARD_REMOVED
    assert log(box) == [(added, 6, 8443, WEB), (added, 17, 27015, GAME)]
    generation = box.session_in(0).generation
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert box.command(lab.command(kind, 0, generation)) == 0
    assert sorted(log(box)) == [(removed, 6, 8443, WEB), (removed, 17, 27015, GAME)]
    assert table(box) == box.session_cold(0).nat_forwards == 0


def test_one_that_cannot_be_logged_is_not_made(box: Dataplane) -> None:
    ring = box.section(lib.SECTION_RING, "struct ring")[binding.Ring.NAT_LOG]
    ring.head += ring.size
    ring.tail = ring.head - ring.size + 4 * 48
    assert forward(box, 5, 5) == ENOSPC
    assert table(box) == 2


def test_a_session_has_no_more_than_32_and_a_worker_no_more_than_its_table() -> None:
    with dataplane(*nat_args(), "--nat-forwards=64") as dp:
        for session in range(3):
            generation = dp.bind(session)
            address = str(IPv4Address("100.64.1.0") + session)
            dp.up(session, generation, address, nat_address=1, features_in=FEATURE_IN_NAT44)
        for session in (0, 1):
            for n in range(1, 33):
                assert forward(dp, 100 * session + n, n, session=session) == 0
            assert forward(dp, 900, 900, session=session) == ENOSPC
        assert forward(dp, 900, 900, session=2) == ENOSPC
        assert table(dp) == 64
        for session in (1, 0):
            for n in range(32, 0, -1):
                assert forward(dp, 100 * session + n, n, session=session, on=0) == 0
        assert table(dp) == 0


@pytest.mark.parametrize(
    ("kept", "blocks"), [("0-0", 1008), ("1024-4095", 960), ("1100-1100", 1007)]
)
def test_blocks_with_ports_that_are_kept_are_not_given(kept: str, blocks: int) -> None:
    with dataplane(*nat_args(), f"--nat-forward-ports={kept}") as dp:
        assert dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0].free_blocks == blocks


@pytest.mark.parametrize("kept", ["7", "7-", "0-7", "9-7", "7-70000", "x-7"])
def test_ports_that_make_no_sense_are_refused(kept: str) -> None:
    with pytest.raises(RuntimeError):
        Dataplane(*nat_args(), f"--nat-forward-ports={kept}")


def test_a_session_without_it_visits_no_more_nodes_than_before(box: Dataplane) -> None:
    packet = IP(src=OTHER_INNER, dst=STRANGER) / UDP(sport=1, dport=2)
    out(box, packet, session_id=2)
    assert not [edge for edge in box.counters() if edge.startswith("nat44_forward/")]
