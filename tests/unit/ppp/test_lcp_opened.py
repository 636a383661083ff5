"""LCP in Opened, at its end and when it is negotiated again (RFC 1661 §3.7, §5.5 to §5.8)."""

import pytest

from bng.ppp.actions import (
    DownReason,
    LcpLeftOpened,
    LinkDown,
    NetworkDown,
)
from bng.ppp.config import AuthMethod
from bng.ppp.link import Phase
from bng.ppp.table import State
from tests.unit.ppp.peer import (
    ACK,
    ADDRESS,
    CCP,
    CHAP,
    CODEREJ,
    ECHOREP,
    ECHOREQ,
    IPCP,
    IPV6CP,
    LCP,
    MAGIC,
    MRU_1492,
    NAK,
    PROTREJ,
    REQ,
    TACK,
    TREQ,
    Peer,
    config,
    packet,
)


def our_magic(peer: Peer) -> bytes:
    return peer.last(LCP, REQ)[3][-6:]


# -- Opened --------------------


def test_no_configure_request_is_sent_unasked_after_lcp_opened() -> None:
    peer = Peer().open_all()
    peer.take()
    assert peer.wait(3600) == []


def test_echo_is_answered_in_opened_only_with_our_magic_and_the_data() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MAGIC)
    assert peer.send(LCP, ECHOREQ, MAGIC[2:]) == []
    peer.ack(LCP)
    (reply,) = peer.send(LCP, ECHOREQ, MAGIC[2:] + b"data", 200)
    assert reply == (LCP, ECHOREP, 200, our_magic(peer)[2:] + b"data")


@pytest.mark.parametrize("code", [10, 11, 12, 13])
def test_echo_reply_discard_identification_and_time_remaining_are_tolerated(code: int) -> None:
    peer = Peer()
    peer.open_lcp()
    assert peer.send(LCP, code, MAGIC[2:] + b"text") == []
    assert peer.link.lcp.state is State.OPENED
    assert peer.link.malformed == 0


def test_an_unknown_code_is_rejected_with_the_packet_and_a_new_identifier_each_time() -> None:
    peer = Peer()
    peer.open_lcp()
    (first,) = peer.send(LCP, 99, b"what", 7)
    assert first[:2] == (LCP, CODEREJ)
    assert first[3] == bytes.fromhex("63070008") + b"what"
    (second,) = peer.send(LCP, 0, b"", 8)
    assert second[2] != first[2]


def test_rejected_packets_are_cut_to_the_peer_s_mru() -> None:
    peer = Peer()
    peer.open_lcp(bytes.fromhex("010400c8"))
    peer.accept(peer.respond())
    (code_reject,) = peer.send(LCP, 99, bytes(600))
    (protocol_reject,) = peer.send(CCP, REQ, bytes(600))
    assert len(code_reject[3]) == len(protocol_reject[3]) == 200 - 4


@pytest.mark.parametrize(("code", "survives"), [(1, False), (7, False), (9, True), (12, True)])
def test_a_code_reject_is_fatal_for_fundamental_codes_only(code: int, survives: bool) -> None:
    peer = Peer()
    peer.open_lcp()
    peer.send(LCP, CODEREJ, bytes((code, 1, 0, 4)))
    peer.wait(5)
    assert peer.down == ([] if survives else [LinkDown(DownReason.PROTOCOL_ERROR)])


def test_an_empty_code_or_protocol_reject_is_malformed() -> None:
    peer = Peer()
    peer.open_lcp()
    peer.send(LCP, CODEREJ)
    peer.send(LCP, PROTREJ, b"\x80")
    assert peer.link.malformed == 2
    assert peer.link.lcp.state is State.OPENED


def test_a_protocol_reject_of_lcp_is_fatal() -> None:
    peer = Peer()
    peer.open_lcp()
    peer.send(LCP, PROTREJ, b"\xc0\x21")
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.PROTOCOL_ERROR)]


def test_a_protocol_reject_of_our_authentication_ends_the_link() -> None:
    peer = Peer()
    peer.open_lcp()
    peer.send(LCP, PROTREJ, b"\xc2\x23\x01")
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.AUTH_REFUSED)]


def test_a_protocol_reject_outside_opened_is_silently_discarded() -> None:
    peer = Peer()
    peer.wait(0.1)
    assert peer.send(LCP, PROTREJ, b"\xc0\x21") == []
    assert peer.link.lcp.state is State.REQ_SENT
    assert peer.link.discarded == 1


def test_other_protocols_are_protocol_rejected_in_the_network_phase_only() -> None:
    peer = Peer()
    assert peer.send(CCP, REQ) == []
    peer.open_lcp()
    peer.accept(peer.respond())
    for protocol in (CCP, 0x8053, 0x8281, 0xC025, 0x0022):
        (rejected,) = peer.send(protocol, REQ, b"x", 3)
        assert rejected[:2] == (LCP, PROTREJ)
        assert rejected[3] == packet(protocol, REQ, 3, b"x")
    assert peer.link.discarded == 1


# -- lengths --------------------


@pytest.mark.parametrize(
    "frame", ["", "c0", "c021", "c0210101", "c02109010003", "c0210901000c00000000", "c0210901ffff"]
)
def test_a_bad_length_is_silently_discarded_and_counted(frame: str) -> None:
    peer = Peer()
    peer.open_lcp()
    assert peer.raw(bytes.fromhex(frame)) == []
    assert peer.link.malformed == 1
    assert peer.link.lcp.state is State.OPENED


def test_octets_after_length_are_padding() -> None:
    peer = Peer()
    peer.raw(packet(LCP, REQ, 1, MAGIC) + bytes(30))
    assert peer.last(LCP, ACK)[3] == MAGIC


def test_65535_octets_do_no_harm() -> None:
    peer = Peer()
    peer.open_lcp()
    (reply,) = peer.send(LCP, ECHOREQ, MAGIC[2:] + bytes(65000))
    assert len(reply[3]) == 1492 - 4


# -- the end --------------------


def test_a_terminate_request_with_data_is_acknowledged_and_the_link_ends_after_a_pause() -> None:
    peer = Peer().open_all()
    peer.take()
    (ack,) = peer.send(LCP, TREQ, b"User request", 42)
    assert ack == (LCP, TACK, 42, b"")
    assert peer.of(NetworkDown) == [NetworkDown(4), NetworkDown(6)]
    (again,) = peer.send(LCP, TREQ, b"User request", 43)
    assert again[1:3] == (TACK, 43)
    assert peer.wait(5) == []
    assert peer.down == [LinkDown(DownReason.PEER_TERMINATED)]


def test_close_sends_two_terminate_requests_and_then_gives_up() -> None:
    peer = Peer().open_all()
    peer.take()
    peer.note(peer.link.close(peer.now))
    peer.wait(10)
    assert [s[:2] for s in peer.take()] == [(LCP, TREQ)] * 2
    assert peer.down == [LinkDown(DownReason.ADMIN)]


def test_close_ends_at_once_when_it_is_acknowledged() -> None:
    peer = Peer().open_all()
    peer.note(peer.link.close(peer.now, DownReason.ADMIN))
    peer.send(LCP, TACK, b"", peer.last(LCP, TREQ)[2])
    assert peer.down == [LinkDown(DownReason.ADMIN)]
    assert peer.actions[-1] == LinkDown(DownReason.ADMIN)


def test_close_before_the_first_request_ends_silently() -> None:
    peer = Peer()
    peer.note(peer.link.close(peer.now))
    assert peer.down == [LinkDown(DownReason.ADMIN)]
    assert peer.sent == []


def test_lower_down_ends_all_at_once_and_sends_nothing() -> None:
    peer = Peer().open_all()
    peer.take()
    actions = peer.note(peer.link.lower_down(peer.now))
    assert actions == [
        NetworkDown(4),
        NetworkDown(6),
        LcpLeftOpened(),
        LinkDown(DownReason.LOWER_DOWN),
    ]
    assert peer.link.next_deadline() is None


def test_nothing_happens_after_the_end() -> None:
    peer = Peer().open_all()
    peer.note(peer.link.lower_down(peer.now))
    link, now = peer.link, peer.now
    assert link.lower_down(now) == link.close(now) == link.lower_up(now) == link.tick(now) == []
    assert link.reject(1, now, message="") == link.installed(1, now) == []
    assert link.receive(packet(LCP, REQ, 1, MAGIC), now) == []


def test_a_negotiation_that_never_converges_is_ended() -> None:
    peer = Peer()
    for _ in range(40):
        peer.send(LCP, REQ, bytes.fromhex("050600000000"))
        if peer.link.lcp.state is State.REQ_SENT:
            peer.ack(LCP)
        peer.wait(1.0)
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.NOT_CONVERGING)]


# -- renegotiation --------------------


def test_a_request_in_opened_pauses_a_live_session_and_authenticates_again() -> None:
    peer = Peer().open_all()
    first = peer.last(CHAP, 1)
    peer.actions.clear()
    sent = peer.send(LCP, REQ, MRU_1492 + MAGIC)
    assert [s[:2] for s in sent] == [(LCP, REQ), (LCP, ACK)]
    assert peer.actions[:3] == [NetworkDown(4), NetworkDown(6), LcpLeftOpened()]
    peer.ack(LCP)
    challenge = peer.last(CHAP, 1)
    assert challenge[2] != first[2]
    assert challenge[3] != first[3]
    asked = peer.respond()
    assert asked.request_id > 1
    peer.accept(asked)
    for protocol, options in ((IPCP, ADDRESS), (IPV6CP, bytes.fromhex("010a0000000000000005"))):
        peer.send(protocol, REQ, options)
        peer.installed()
        peer.ack(protocol)
    assert peer.link.phase is Phase.NETWORK
    assert not peer.down


def test_an_answer_from_before_the_renegotiation_is_ignored() -> None:
    peer = Peer()
    peer.open_lcp()
    stale = peer.respond()
    peer.send(LCP, REQ, MAGIC)
    peer.ack(LCP)
    assert peer.accept(stale) == []
    assert peer.link.phase is Phase.AUTHENTICATE


def test_an_unsolicited_terminate_ack_in_opened_renegotiates() -> None:
    peer = Peer()
    peer.open_lcp()
    (again,) = peer.send(LCP, TACK)
    assert again[:2] == (LCP, REQ)
    assert peer.of(LcpLeftOpened) == [LcpLeftOpened()]


def test_a_renegotiation_begins_with_our_preferred_method_and_mru_again() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5, AuthMethod.PAP))
    peer.wait(0.1)
    first = peer.last(LCP, REQ)
    peer.send(LCP, NAK, bytes.fromhex("010404b0 0304c023"), first[2])
    peer.open_lcp()
    assert peer.last(LCP, REQ)[3][:8] == bytes.fromhex("010404b0 0304c023")
    peer.send(LCP, REQ, MAGIC)
    assert peer.last(LCP, REQ)[3][:9] == first[3][:9]
