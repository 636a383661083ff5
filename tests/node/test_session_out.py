"""session_output, pppoe_output, icmp4_error, ip4_fragment: towards the subscriber and back.

RFC 791 section 3.2 (fragments), RFC 792 and RFC 1812 section 4.3 (errors), RFC 1191 (MTU).
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, IPerror, defragment
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE

from dataplane import binding

from . import lab
from .harness import ACC, CLIENT_MAC, WAN, Dataplane

TAGS = [(), ((0x8100, 7),), lab.QINQ]


def furnish(dp: Dataplane, tags: tuple[lab.Tag, ...] = (), **options: int) -> int:
    both = (*tags, (0, 0), (0, 0))
    return lab.furnish(dp, outer=both[0], inner=both[1], **options)


def forwarded(packet: bytes) -> bytes:
    """Return what the packet is one hop later."""
    ip = IP(packet)
    ip.ttl -= 1
    del ip.chksum
    return bytes(ip)


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("size", [0, 1, 18, 1464])
def test_a_packet_reaches_the_subscriber_byte_for_byte(
    dp: Dataplane, tags: tuple[lab.Tag, ...], size: int
) -> None:
    furnish(dp, tags)
    packet = lab.udp(lab.SERVER, lab.CLIENT_IP, size)
    dp.receive(WAN, lab.routed_frame(packet) + bytes(20))
    expected = lab.session_frame(
        forwarded(packet), source=lab.BOX, destination=CLIENT_MAC, tags=tags
    )
    assert dp.sent(ACC) == [expected]
    out = dp.session_out(0)
    assert (out.packets, out.bytes) == (1, len(packet))


def test_scapy_reads_the_session_header(dp: Dataplane) -> None:
    furnish(dp, lab.QINQ)
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP, 7)))
    frame = Ether(dp.sent(ACC)[0])
    assert frame[PPPoE].len == 2 + 20 + 8 + 7
    assert (frame[PPPoE].sessionid, frame[PPPoE].code, frame[PPPoE].version) == (1, 0, 1)
    assert frame[IP].dst == lab.CLIENT_IP


@pytest.mark.parametrize(
    ("kind", "reason"), [("PAUSE", "session-paused"), ("CLOSE", "session-not-live")]
)
def test_a_session_that_is_not_live_gets_nothing(dp: Dataplane, kind: str, reason: str) -> None:
    generation = furnish(dp)
    number = binding.CommandType[f"SESSION_{kind}"]
    assert dp.command(lab.command(number, 0, generation)) == 0
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
    assert dp.sent(ACC) == []
    assert dp.counters()[f"session_output/drop: {reason}"] == 1
    assert dp.session_out(0).packets == 0
    assert dp.drops(0, binding.Direction.OUT) == {"not-live": 1}


def test_df_and_too_big_draws_fragmentation_needed_with_the_mtu(dp: Dataplane) -> None:
    furnish(dp, mtu=1400)
    packet = lab.udp(lab.SERVER, lab.CLIENT_IP, 1373, flags="DF")
    dp.receive(WAN, lab.routed_frame(packet))
    assert dp.sent(ACC) == []
    (sent,) = dp.sent(WAN)
    error = lab.decoded(sent[14:])
    assert (error.src, error.dst, error.ttl, error.tos) == (lab.WAN_IP, lab.SERVER, 63, 0xC0)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1400)
    assert len(sent) - 14 == 576
    assert sent[14 + 28 :] == packet[: 576 - 28]


def test_df_at_the_mtu_passes(dp: Dataplane) -> None:
    furnish(dp, mtu=1400)
    packet = lab.udp(lab.SERVER, lab.CLIENT_IP, 1372, flags="DF")
    dp.receive(WAN, lab.routed_frame(packet))
    assert dp.sent(ACC)[0][22:] == forwarded(packet)


def test_a_traceroute_from_the_subscriber_sees_us(dp: Dataplane) -> None:
    furnish(dp)
    packet = lab.udp(lab.CLIENT_IP, lab.SERVER, ttl=1)
    dp.receive(ACC, lab.session_frame(packet))
    (sent,) = dp.sent(ACC)
    error = lab.decoded(sent[22:])
    assert (error.src, error.dst) == (lab.GATEWAY, lab.CLIENT_IP)
    assert (error[ICMP].type, error[ICMP].code) == (11, 0)
    assert error[IPerror].dst == lab.SERVER
    assert bytes(sent[22 + 28 :]) == packet


@pytest.mark.parametrize(("prefix", "code"), [("9.9", 0), ("10.3", 1), ("10.6", 13)])
def test_what_has_no_way_draws_unreachable(dp: Dataplane, prefix: str, code: int) -> None:
    furnish(dp)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, f"{prefix}.0.1")))
    error = lab.decoded(dp.sent(ACC)[0][22:])
    assert (error[ICMP].type, error[ICMP].code) == (3, code)


@pytest.mark.parametrize(
    ("kind", "answered"),
    [(0, True), (3, False), (4, False), (5, False), (8, True), (11, False), (12, False)],
)
def test_no_error_is_sent_about_an_icmp_error(dp: Dataplane, kind: int, *, answered: bool) -> None:
    furnish(dp)
    packet = bytes(IP(src=lab.CLIENT_IP, dst="9.9.0.1") / ICMP(type=kind))
    dp.receive(ACC, lab.session_frame(packet))
    assert len(dp.sent(ACC)) == answered


def test_errors_to_one_source_are_limited_and_others_still_get_theirs(dp: Dataplane) -> None:
    furnish(dp)
    dp.receive(ACC, *[lab.session_frame(lab.udp(lab.CLIENT_IP, "9.9.0.1"))] * 300)
    assert len(dp.sent(ACC)) == 50
    dp.receive(ACC, lab.session_frame(lab.udp(lab.FRAMED, "9.9.0.1")))
    assert len(dp.sent(ACC)) == 1


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(0, 1472), mtu=st.integers(68, 1500), ident=st.integers(0, 0xFFFF))
def test_scapy_puts_the_fragments_together_again(
    dp: Dataplane, size: int, mtu: int, ident: int
) -> None:
    lab.furnish_once(dp)
    dp.session_out(0).mtu = mtu
    packet = lab.udp(lab.SERVER, lab.CLIENT_IP, size, id=ident)
    dp.receive(WAN, lab.routed_frame(packet))
    pieces = [IP(frame[22:]) for frame in dp.sent(ACC)]
    for piece in pieces:
        lab.decoded_header(piece)
        assert len(piece) <= mtu
        assert piece.ttl == 63
        assert piece.flags == ("MF" if piece is not pieces[-1] else 0)
        assert piece is pieces[-1] or len(piece.payload) % 8 == 0
    (whole,) = defragment(pieces)  # type: ignore[no-untyped-call]
    assert (whole.id, bytes(whole.payload)) == (ident, packet[20:])


def test_options_are_copied_to_later_fragments_by_their_flag(dp: Dataplane) -> None:
    furnish(dp, mtu=100)
    record_route = bytes.fromhex("0707040000000001")  # not copied; then a NOP
    router_alert = bytes.fromhex("94040000")  # copied
    options = lab.raw_option(record_route + router_alert)
    packet = bytes(IP(src=lab.SERVER, dst=lab.CLIENT_IP, options=options) / UDP() / bytes(150))
    dp.receive(WAN, lab.routed_frame(packet))
    pieces = [frame[22:] for frame in dp.sent(ACC)]
    assert pieces[0][20:32] == record_route + router_alert
    assert {piece[20:24] for piece in pieces[1:]} == {router_alert}
    assert [piece[0] for piece in pieces] == [0x48, 0x46, 0x46]
    payload = pieces[0][32:] + b"".join(piece[24:] for piece in pieces[1:])
    assert payload == packet[32:]


def test_a_fragment_is_fragmented_at_its_place(dp: Dataplane) -> None:
    furnish(dp, mtu=100)
    packet = bytes(IP(src=lab.SERVER, dst=lab.CLIENT_IP, frag=10, flags="MF") / bytes(160))
    dp.receive(WAN, lab.routed_frame(packet))
    pieces = [IP(frame[22:]) for frame in dp.sent(ACC)]
    assert [(p.frag, str(p.flags), len(p.payload)) for p in pieces] == [
        (10, "MF", 80),
        (20, "MF", 80),
    ]


def test_the_mtu_of_the_next_hop_counts_upstream(dp: Dataplane) -> None:
    furnish(dp)
    lab.adjacency(dp, "192.0").mtu = 576
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 1000)))
    assert [len(frame) - 14 <= 576 for frame in dp.sent(WAN)] == [True, True]
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 1000, flags="DF")))
    error = lab.decoded(dp.sent(ACC)[0][22:])
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 576)
