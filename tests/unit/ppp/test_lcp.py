"""LCP as a peer sees it: RFC 1661 §4 to §6, and what PPPoE asks of it."""

import pytest

from bng.ppp.actions import (
    DownReason,
    LcpOpened,
    LinkDown,
)
from bng.ppp.config import AuthMethod
from bng.ppp.link import Phase
from bng.ppp.table import State
from tests.unit.ppp.peer import (
    ACK,
    ECHOREP,
    ECHOREQ,
    LCP,
    MAGIC,
    MRU_1492,
    NAK,
    REJ,
    REQ,
    TACK,
    TREQ,
    Peer,
    config,
    packet,
)

PAP_OPTION = bytes.fromhex("0304c023")
MD5_OPTION = bytes.fromhex("0305c22305")
V2_OPTION = bytes.fromhex("0305c22381")


def request(peer: Peer) -> bytes:
    """The options of the link's latest LCP Configure-Request."""
    return peer.last(LCP, REQ)[3]


def our_magic(peer: Peer) -> bytes:
    return request(peer)[-6:]


# -- the first Configure-Request --------------------


def test_the_first_request_leaves_after_30_ms_and_again_within_a_second() -> None:
    peer = Peer()
    assert peer.wait(0.019) == []
    (first,) = peer.wait(0.031)
    assert first[:2] == (LCP, REQ)
    (again,) = peer.wait(1.0)
    assert again == first


def test_the_first_request_leaves_at_once_when_the_peer_is_first() -> None:
    peer = Peer()
    sent = peer.send(LCP, REQ, MAGIC)
    assert [s[:2] for s in sent] == [(LCP, REQ), (LCP, ACK)]


def test_our_request_has_mru_auth_and_magic_and_nothing_else() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5, mru=1500))
    peer.wait(0.1)
    assert request(peer)[:9] == bytes.fromhex("010405dc") + MD5_OPTION
    assert request(peer)[9:11] == b"\x05\x06"
    assert len(request(peer)) == 15


def test_ten_requests_without_an_answer_end_the_link() -> None:
    peer = Peer()
    assert len(peer.wait(60)) == 10
    assert peer.down == [LinkDown(DownReason.NO_ANSWER)]
    assert peer.link.next_deadline() is None


# -- the peer's options --------------------


def test_an_acceptable_request_is_acknowledged_unmodified_and_in_order() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MAGIC + MRU_1492, 77)
    assert peer.last(LCP, ACK) == (LCP, ACK, 77, MAGIC + MRU_1492)


def test_a_request_without_options_is_acknowledged_and_its_mru_is_1492() -> None:
    peer = Peer()
    peer.open_lcp(b"")
    (opened,) = peer.of(LcpOpened)
    assert isinstance(opened, LcpOpened)
    assert (opened.peer_magic, opened.peer_mru) == (0, 1492)


def test_opened_tells_both_magic_numbers_and_the_peer_s_mru() -> None:
    peer = Peer()
    peer.open_lcp(bytes.fromhex("01040578") + MAGIC)
    magic = int.from_bytes(our_magic(peer)[2:])
    assert peer.of(LcpOpened) == [LcpOpened(magic, 0xDEADBEEF, 1400)]


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("020600000000", "ACCM"),
        ("0304c023", "Auth-Protocol"),
        ("0408c02500000064", "Quality-Protocol"),
        ("0702", "PFC"),
        ("0802", "ACFC"),
        ("090302", "FCS-Alternatives"),
        ("0d0306", "Callback"),
        ("ee04abcd", "unknown"),
    ],
)
def test_other_options_are_rejected(option: str, name: str) -> None:
    peer = Peer()
    peer.send(LCP, REQ, MRU_1492 + bytes.fromhex(option) + MAGIC, 5)
    assert peer.last(LCP, REJ) == (LCP, REJ, 5, bytes.fromhex(option)), name


def test_a_reject_lists_only_the_unacceptable_options_in_the_peer_s_order() -> None:
    peer = Peer()
    peer.send(LCP, REQ, bytes.fromhex("0802") + MAGIC + bytes.fromhex("020600000000 0702"), 5)
    assert peer.last(LCP, REJ)[3] == bytes.fromhex("0802 020600000000 0702")


def test_reject_comes_before_nak() -> None:
    peer = Peer()
    peer.send(LCP, REQ, bytes.fromhex("010405dc 0702"))
    assert peer.last(LCP, REJ)[3] == bytes.fromhex("0702")
    assert not [s for s in peer.sent if s[1] == NAK]


def test_an_mru_above_ours_is_nakd_with_ours() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MAGIC + bytes.fromhex("010405dc"))
    assert peer.last(LCP, NAK)[3] == MRU_1492


def test_a_jumbo_mru_is_acknowledged_when_ours_permits_it() -> None:
    peer = Peer(config(AuthMethod.PAP, mru=1500))
    peer.send(LCP, REQ, bytes.fromhex("010405dc"))
    assert peer.last(LCP, ACK)[3] == bytes.fromhex("010405dc")


@pytest.mark.parametrize("mru", ["01040000", "01040040", "0103ff", "010505d400"])
def test_a_useless_or_mis_sized_mru_is_nakd(mru: str) -> None:
    peer = Peer()
    peer.send(LCP, REQ, bytes.fromhex(mru))
    assert peer.last(LCP, NAK)[3] == MRU_1492


def test_an_mru_is_never_rejected_but_acknowledged_after_max_failure() -> None:
    peer = Peer()
    replies = [peer.send(LCP, REQ, bytes.fromhex("010405dc"))[-1] for _ in range(6)]
    assert [reply[1] for reply in replies] == [NAK] * 5 + [ACK]
    peer.ack(LCP)
    (opened,) = peer.of(LcpOpened)
    assert isinstance(opened, LcpOpened)
    assert opened.peer_mru == 1492


def test_a_magic_of_zero_is_nakd_and_never_rejected() -> None:
    peer = Peer()
    for _ in range(8):
        reply = peer.send(LCP, REQ, bytes.fromhex("050600000000"))[-1]
        assert reply[1] == NAK
        assert reply[3][:2] == b"\x05\x06"
        assert any(reply[3][2:])


def test_an_option_listed_twice_is_rejected_the_second_time() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MRU_1492 + MRU_1492)
    assert peer.last(LCP, REJ)[3] == MRU_1492


@pytest.mark.parametrize("options", ["01", "0101", "0100", "010405", "05060000", "01ff05d4"])
def test_options_of_impossible_length_are_silently_discarded_and_counted(options: str) -> None:
    peer = Peer()
    peer.wait(0.1)
    assert peer.send(LCP, REQ, bytes.fromhex(options)) == []
    assert peer.link.malformed == 1


# -- loops --------------------


def test_our_own_magic_in_a_request_is_nakd_with_another() -> None:
    peer = Peer()
    peer.wait(0.1)
    (nak,) = peer.send(LCP, REQ, our_magic(peer))
    assert nak[1] == NAK
    assert nak[3] != our_magic(peer)
    assert peer.link.loops == 1


def test_a_looped_back_link_is_noticed_and_ended() -> None:
    peer = Peer()
    queue = [packet(*s) for s in peer.wait(0.1)]
    for _ in range(200):
        if not queue:
            queue = [packet(*s) for s in peer.wait(1.0)]
        if queue:
            queue += [packet(*s) for s in peer.raw(queue.pop(0))]
    assert peer.down == [LinkDown(DownReason.LOOPED)]
    assert peer.link.loops > 5


def test_our_own_magic_in_an_echo_request_is_counted_and_not_answered() -> None:
    peer = Peer()
    peer.open_lcp()
    assert peer.send(LCP, ECHOREQ, our_magic(peer)[2:]) == []
    assert peer.link.loops == 1
    assert peer.link.phase is Phase.AUTHENTICATE


# -- answers to our request --------------------


def test_an_ack_must_match_identifier_and_options_exactly() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MAGIC)
    _, _, identifier, data = peer.last(LCP, REQ)
    for wrong_identifier, wrong in (
        (identifier + 1, data),
        (identifier, data[:-6]),
        (identifier, data + MAGIC),
    ):
        assert peer.send(LCP, ACK, wrong, wrong_identifier) == []
    assert peer.link.discarded == 3
    assert peer.of(LcpOpened) == []
    peer.send(LCP, ACK, data, identifier)
    assert len(peer.of(LcpOpened)) == 1


@pytest.mark.parametrize("code", [NAK, REJ])
def test_stale_naks_and_rejects_are_silently_discarded(code: int) -> None:
    peer = Peer()
    peer.wait(0.1)
    _, _, identifier, _ = peer.last(LCP, REQ)
    assert peer.send(LCP, code, MRU_1492, identifier + 1) == []
    assert peer.link.discarded == 1


@pytest.mark.parametrize("options", [b"", bytes.fromhex("0702"), bytes.fromhex("010405d5")])
def test_a_reject_of_what_we_did_not_ask_is_silently_discarded(options: bytes) -> None:
    peer = Peer()
    peer.wait(0.1)
    assert peer.send(LCP, REJ, options, peer.last(LCP, REQ)[2]) == []
    assert peer.link.discarded == 1


def test_a_reject_out_of_our_order_is_silently_discarded() -> None:
    peer = Peer()
    peer.wait(0.1)
    mixed = our_magic(peer) + MRU_1492
    assert peer.send(LCP, REJ, mixed, peer.last(LCP, REQ)[2]) == []


def test_rejected_mru_and_magic_are_left_out_under_a_new_identifier() -> None:
    peer = Peer()
    peer.wait(0.1)
    first = peer.last(LCP, REQ)
    (again,) = peer.send(LCP, REJ, MRU_1492 + our_magic(peer), first[2])
    assert again[:2] == (LCP, REQ)
    assert again[2] != first[2]
    assert again[3] == MD5_OPTION


def test_a_peer_without_magic_gets_echo_replies_with_magic_zero() -> None:
    peer = Peer()
    peer.wait(0.1)
    peer.send(LCP, REJ, our_magic(peer), peer.last(LCP, REQ)[2])
    peer.open_lcp(b"")
    ((_, code, identifier, data),) = peer.send(LCP, ECHOREQ, bytes(4) + b"hello", 9)
    assert (code, identifier, data) == (ECHOREP, 9, bytes(4) + b"hello")


def test_a_nakd_magic_is_replaced_and_a_smaller_mru_adopted() -> None:
    peer = Peer()
    peer.wait(0.1)
    before = our_magic(peer)
    smaller = bytes.fromhex("01040578")
    peer.send(LCP, NAK, smaller + bytes.fromhex("050612345678"), peer.last(LCP, REQ)[2])
    assert request(peer)[:4] == smaller
    assert our_magic(peer) != before


def test_a_late_second_ack_to_a_repeated_request_does_no_harm() -> None:
    peer = Peer()
    peer.send(LCP, REQ, MAGIC)
    peer.wait(1.0)
    peer.ack(LCP)
    assert peer.ack(LCP) == []
    assert peer.link.lcp.state is State.OPENED


def test_a_contradicting_answer_in_opened_is_a_crossed_connection_and_renegotiates() -> None:
    peer = Peer()
    peer.open_lcp()
    _, _, identifier, _ = peer.last(LCP, REQ)
    (again,) = peer.send(LCP, NAK, MRU_1492, identifier)
    assert again[:2] == (LCP, REQ)
    assert again[2] != identifier
    assert peer.link.lcp.state is State.REQ_SENT


# -- the authentication protocol --------------------


def test_a_nak_of_our_method_is_followed_when_the_suggestion_is_permitted() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5, AuthMethod.MSCHAP_V2, AuthMethod.PAP))
    peer.wait(0.1)
    peer.send(LCP, NAK, PAP_OPTION, peer.last(LCP, REQ)[2])
    assert PAP_OPTION in request(peer)


def test_a_nak_with_a_forbidden_suggestion_leads_to_our_next_method() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5, AuthMethod.MSCHAP_V2))
    peer.wait(0.1)
    peer.send(LCP, NAK, PAP_OPTION, peer.last(LCP, REQ)[2])
    assert V2_OPTION in request(peer)


def test_no_method_left_ends_the_link() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5))
    peer.wait(0.1)
    (terminate,) = peer.send(LCP, NAK, PAP_OPTION, peer.last(LCP, REQ)[2])
    assert terminate[:2] == (LCP, TREQ)
    peer.send(LCP, TACK, b"", terminate[2])
    assert peer.down == [LinkDown(DownReason.AUTH_REFUSED)]


def test_a_reject_of_authentication_ends_the_link() -> None:
    peer = Peer()
    peer.wait(0.1)
    (terminate,) = peer.send(LCP, REJ, MD5_OPTION, peer.last(LCP, REQ)[2])
    assert terminate[:2] == (LCP, TREQ)
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.AUTH_REFUSED)]
