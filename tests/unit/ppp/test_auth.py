"""PAP (RFC 1334), CHAP (RFC 1994), MS-CHAP (RFC 2433, 2759) and what races with them."""

import re

import pytest

from bng.ppp.actions import (
    Authenticate,
    DownReason,
    Install,
    LcpLeftOpened,
    LinkDown,
    NetworkDown,
    NetworkUp,
)
from bng.ppp.config import AuthMethod
from bng.ppp.credentials import (
    ChapCredentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
    encode_name,
)
from bng.ppp.link import Phase
from tests.unit.ppp.peer import (
    ACK,
    ADDRESS,
    ADDRESS_ZERO,
    CCP,
    CHAP,
    IFACE,
    IPCP,
    IPV6CP,
    LCP,
    MAGIC,
    NAK,
    PAP,
    PROTREJ,
    REQ,
    TACK,
    TREQ,
    Peer,
    config,
)

CHALLENGE, RESPONSE, SUCCESS, FAILURE = 1, 2, 3, 4
ALICE = b"\x05alice\x06secret"


def opened(*methods: AuthMethod, **changes: object) -> Peer:
    peer = Peer(config(*methods, **changes))
    peer.open_lcp()
    return peer


def asked(peer: Peer) -> Authenticate:
    (action,) = peer.of(Authenticate)
    assert isinstance(action, Authenticate)
    return action


def challenge_value(peer: Peer) -> bytes:
    value = peer.last(CHAP, CHALLENGE)[3]
    return value[1 : 1 + value[0]]


# -- none ----------------------------------------------------


def test_without_methods_none_is_requested_and_the_link_asks_who_it_is() -> None:
    peer = opened()
    assert peer.last(LCP, REQ)[3][4] == 5  # Magic-Number follows MRU
    assert asked(peer).credentials is None
    peer.accept(asked(peer))
    assert [s[:2] for s in peer.sent[-2:]] == [(IPCP, REQ), (IPV6CP, REQ)]


# -- PAP -----------------------------------------------------


def test_pap_hands_over_name_and_password_and_acknowledges() -> None:
    peer = opened(AuthMethod.PAP)
    assert peer.send(PAP, 1, ALICE, 9) == []
    assert asked(peer).credentials == PapCredentials(user_name="alice", password=b"secret")
    assert peer.accept(asked(peer))[0] == (PAP, 2, 9, b"\x07welcome")
    assert peer.link.phase is Phase.NETWORK


def test_a_repeated_pap_request_gets_the_same_answer_without_being_checked_again() -> None:
    peer = opened(AuthMethod.PAP)
    peer.send(PAP, 1, ALICE, 9)
    peer.send(PAP, 1, ALICE, 10)
    assert peer.accept(asked(peer))[0] == (PAP, 2, 10, b"\x07welcome")
    assert peer.send(PAP, 1, b"\x03bob\x01x", 11) == [(PAP, 2, 11, b"\x07welcome")]
    assert len(peer.of(Authenticate)) == 1


def test_a_refused_pap_peer_gets_nak_and_terminate_request() -> None:
    peer = opened(AuthMethod.PAP)
    peer.send(PAP, 1, ALICE, 9)
    peer.take()
    peer.note(peer.link.reject(asked(peer).request_id, peer.now, message="x" * 300))
    nak, terminate = peer.take()
    assert nak == (PAP, 3, 9, b"\xff" + b"x" * 255)
    assert terminate[:2] == (LCP, TREQ)
    peer.send(LCP, TACK, b"", terminate[2])
    assert peer.down == [LinkDown(DownReason.AUTH_FAILED)]


@pytest.mark.parametrize("data", [b"", b"\x05alic", b"\x05alice", b"\x05alice\x07secret"])
def test_a_truncated_pap_request_is_malformed(data: bytes) -> None:
    peer = opened(AuthMethod.PAP)
    assert peer.send(PAP, 1, data) == []
    assert peer.link.malformed == 1
    assert peer.of(Authenticate) == []


def test_pap_empty_name_and_password_are_credentials_too() -> None:
    peer = opened(AuthMethod.PAP)
    peer.send(PAP, 1, b"\0\0")
    assert asked(peer).credentials == PapCredentials(user_name="", password=b"")


def test_no_octet_of_a_name_is_lost() -> None:
    name = bytes(range(1, 256))[:200]
    peer = opened(AuthMethod.PAP)
    peer.send(PAP, 1, bytes((len(name),)) + name + b"\0")
    credentials = asked(peer).credentials
    assert isinstance(credentials, PapCredentials)
    assert encode_name(credentials.user_name) == name


def test_a_password_is_not_in_the_repr_of_credentials() -> None:
    assert "hunter2" not in repr(PapCredentials(user_name="u", password=b"hunter2"))


# -- CHAP-MD5 ------------------------------------------------


def test_the_challenge_is_16_octets_and_carries_our_name() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    _, _, _, data = peer.last(CHAP, CHALLENGE)
    assert data[0] == 16
    assert data[17:] == b"bng"


def test_a_response_hands_over_identifier_challenge_and_value() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    identifier = peer.last(CHAP, CHALLENGE)[2]
    assert peer.respond(b"bob").credentials == ChapCredentials(
        user_name="bob", identifier=identifier, challenge=challenge_value(peer), response=b"r" * 16
    )


def test_each_challenge_has_a_new_identifier_and_new_octets() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    peer.wait(20)
    challenges = [s for s in peer.sent if s[:2] == (CHAP, CHALLENGE)]
    assert len(challenges) == 5
    assert len({s[2] for s in challenges}) == len({s[3] for s in challenges}) == 5


def test_only_the_response_to_the_current_challenge_counts() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    old = peer.last(CHAP, CHALLENGE)[2]
    peer.wait(1.5)
    assert peer.send(CHAP, RESPONSE, b"\x10" + bytes(16) + b"u", old) == []
    assert peer.of(Authenticate) == []
    peer.respond()


def test_a_repeated_response_is_answered_alike_without_a_second_check() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    first = peer.respond()
    peer.respond()
    success = peer.accept(first)[0]
    assert success == (CHAP, SUCCESS, peer.last(CHAP, CHALLENGE)[2], b"welcome")
    peer.respond(b"mallory", b"x" * 16)
    assert peer.sent[-1] == success
    assert len(peer.of(Authenticate)) == 1


def test_a_refused_chap_peer_gets_failure_and_terminate_request() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    request = peer.respond()
    peer.take()
    peer.note(peer.link.reject(request.request_id, peer.now, message="go away"))
    failure, terminate = peer.take()
    assert failure[1::2] == (FAILURE, b"go away")
    assert terminate[:2] == (LCP, TREQ)
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.AUTH_FAILED)]


@pytest.mark.parametrize(
    "data", [b"", b"\x10short", b"\x0f" + bytes(15) + b"u", b"\x11" + bytes(20)]
)
def test_a_response_of_the_wrong_size_is_malformed(data: bytes) -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    assert peer.send(CHAP, RESPONSE, data, peer.last(CHAP, CHALLENGE)[2]) == []
    assert peer.link.malformed == 1


@pytest.mark.parametrize("method", [AuthMethod.PAP, AuthMethod.CHAP_MD5])
def test_a_peer_that_never_answers_is_ended_after_the_authentication_timeout(
    method: AuthMethod,
) -> None:
    peer = opened(method)
    peer.wait(29)
    assert not peer.down
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.AUTH_TIMEOUT)]


def test_packets_of_another_authentication_protocol_are_discarded() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    assert peer.send(PAP, 1, ALICE) == []
    assert peer.send(CHAP, CHALLENGE, b"\x10" + bytes(16) + b"u") == []
    assert peer.of(Authenticate) == []
    assert peer.link.discarded == 2


# -- re-challenge --------------------------------------------


def rechallenged() -> Peer:
    peer = Peer(config(AuthMethod.CHAP_MD5, reauth_interval_s=100.0)).open_all()
    peer.take()
    peer.actions.clear()
    peer.wait(100.5)
    return peer


def test_a_rechallenge_is_new_and_pauses_nothing() -> None:
    peer = rechallenged()
    assert [s[:2] for s in peer.sent] == [(CHAP, CHALLENGE)]
    (success,) = peer.accept(peer.respond())
    assert success[1] == SUCCESS
    assert not {LcpLeftOpened, NetworkDown, NetworkUp, Install} & set(map(type, peer.actions))
    peer.take()
    peer.wait(100)
    assert [s[:2] for s in peer.take()] == [(CHAP, CHALLENGE)]


def test_a_failed_or_unanswered_rechallenge_ends_the_link() -> None:
    failed, silent = rechallenged(), rechallenged()
    request = failed.respond()
    failed.note(failed.link.reject(request.request_id, failed.now, message="no"))
    failed.wait(5)
    assert failed.down == [LinkDown(DownReason.AUTH_FAILED)]
    silent.wait(40)
    assert silent.down == [LinkDown(DownReason.AUTH_TIMEOUT)]


# -- MS-CHAP -------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kind", "size"),
    [
        (AuthMethod.MSCHAP_V1, MsChap1Credentials, 8),
        (AuthMethod.MSCHAP_V2, MsChap2Credentials, 16),
    ],
)
def test_ms_chap_hands_over_49_octets(
    method: AuthMethod, kind: type[MsChap1Credentials], size: int
) -> None:
    peer = opened(method)
    assert len(challenge_value(peer)) == size
    value = bytes(range(49))
    assert peer.respond(b"DOM\\u", value).credentials == kind(
        user_name="DOM\\u",
        identifier=peer.last(CHAP, CHALLENGE)[2],
        challenge=challenge_value(peer),
        response=value,
    )


def test_ms_chap_v2_success_carries_the_authenticator_response() -> None:
    peer = opened(AuthMethod.MSCHAP_V2)
    proof = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
    sent = peer.accept(peer.respond(value=bytes(49)), response=proof)
    assert sent[0][3] == proof + b" M=welcome"


@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        (AuthMethod.MSCHAP_V1, rb"E=691 R=0 C=[0-9A-F]{16} V=2"),
        (AuthMethod.MSCHAP_V2, rb"E=691 R=0 C=[0-9A-F]{32} V=3 M=wrong password"),
    ],
)
def test_ms_chap_failure_has_the_rfc_s_format(method: AuthMethod, pattern: bytes) -> None:
    peer = opened(method)
    request = peer.respond(value=bytes(49))
    peer.note(peer.link.reject(request.request_id, peer.now, message="wrong password"))
    assert re.fullmatch(pattern, peer.last(CHAP, FAILURE)[3])


# -- races ---------------------------------------------------


def test_ncp_packets_in_the_same_instant_as_success_are_taken() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    peer.accept(peer.respond())
    assert peer.send(IPCP, REQ, ADDRESS_ZERO)[-1][1] == NAK


def test_ncp_requests_that_race_with_authentication_are_held_and_then_answered() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    assert peer.send(IPCP, REQ, ADDRESS, 1) == []
    assert peer.send(IPCP, REQ, ADDRESS_ZERO, 2) == []
    assert peer.send(IPV6CP, REQ, IFACE, 3) == []
    sent = peer.accept(peer.respond())
    assert [s[:2] for s in sent] == [(CHAP, SUCCESS), (IPCP, REQ), (IPV6CP, REQ), (IPCP, NAK)]
    assert sent[-1][2] == 2
    assert peer.installed() == [(IPV6CP, ACK, 3, IFACE)]


def test_a_held_request_of_a_family_that_is_not_given_is_protocol_rejected() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    peer.send(IPV6CP, REQ, IFACE)
    sent = peer.accept(peer.respond(), ipv6=None)
    assert [s[:2] for s in sent] == [(CHAP, SUCCESS), (IPCP, REQ), (LCP, PROTREJ)]


def test_a_held_request_that_is_malformed_is_counted_and_the_rest_goes_on() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    peer.send(IPCP, REQ, b"\x03\xff")
    peer.send(IPV6CP, REQ, IFACE)
    peer.accept(peer.respond())
    assert peer.link.malformed == 1
    assert len(peer.of(Install)) == 1


def test_held_requests_do_not_survive_a_renegotiation() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    peer.send(IPCP, REQ, ADDRESS_ZERO)
    peer.send(LCP, REQ, MAGIC)
    peer.ack(LCP)
    assert [s[:2] for s in peer.accept(peer.respond())] == [
        (CHAP, SUCCESS),
        (IPCP, REQ),
        (IPV6CP, REQ),
    ]


def test_everything_else_is_silently_discarded_during_authentication() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    assert peer.send(IPCP, ACK, ADDRESS) == []
    assert peer.send(CCP, REQ) == []
    assert peer.link.discarded == 2


def test_ncp_packets_before_lcp_opened_are_silently_discarded() -> None:
    peer = Peer(config(AuthMethod.CHAP_MD5))
    assert peer.send(IPCP, REQ, ADDRESS) == []
    peer.open_lcp()
    assert IPCP not in {s[0] for s in peer.accept(peer.respond()) if s[1] != REQ}


def test_answers_with_a_stale_request_id_are_ignored() -> None:
    peer = opened(AuthMethod.CHAP_MD5)
    request = peer.respond()
    for stale in (0, request.request_id - 1, request.request_id + 1):
        assert peer.link.reject(stale, peer.now, message="") == []
        assert peer.link.installed(stale, peer.now) == []
    peer.accept(request)
    assert peer.accept(request) == []
    assert peer.link.reject(request.request_id, peer.now, message="") == []
