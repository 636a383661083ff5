"""A link that goes on where another was open: what the peer may send it, and what it answers."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bng.ppp.actions import Authenticate, DownReason, Install, LinkDown, NetworkDown, SendPpp
from bng.ppp.config import AuthMethod, Ipv4Params, Ipv6Params, LinkConfig, Negotiated
from bng.ppp.link import REAUTH_SPREAD_S, Link, Phase
from bng.ppp.packet import Code, Protocol, build_frame
from bng.ppp.table import State

CONFIG = LinkConfig(auth_methods=(AuthMethod.CHAP_MD5,), ac_name=b"bng", mru=1492)
SETTLED = Negotiated(
    auth_method=AuthMethod.CHAP_MD5, our_magic=0x11111111, peer_magic=0x22222222, peer_mru=1480
)
IPV4 = Ipv4Params(local=IPv4Address("100.64.0.1"), peer=IPv4Address("100.64.0.10"))
IPV6 = Ipv6Params(local_interface_id=1)


def link_with(settled: Negotiated = SETTLED, config: LinkConfig = CONFIG, seed: int = 77) -> Link:
    link = Link(config, lambda size: bytes([seed]) * size)
    link.go_on(settled, IPV4, IPV6, 100.0)
    return link


def test_it_is_open_and_waits_for_nothing() -> None:
    link = link_with(replace(SETTLED, ipv6_open=True, peer_interface_id=9))
    assert link.phase is Phase.NETWORK
    assert link.next_deadline() is None
    assert link.tick(1e9) == []
    assert link.settled == replace(SETTLED, ipv6_open=True, peer_interface_id=9)
    assert (link.ipcp and link.ipcp.state, link.ipv6cp and link.ipv6cp.state) == (State.OPENED,) * 2


@pytest.mark.parametrize("identifier", [0, 1, 77, 78, 255])
def test_no_response_proves_anything_without_a_challenge(identifier: int) -> None:
    """A Response that is repeated after the restart was an answer to a Challenge of before."""
    link = link_with()
    body = bytes([16]) + bytes(16) + b"user"
    frame = build_frame(int(Protocol.CHAP), 2, identifier, body)
    assert link.receive(frame, 101.0) == []


def test_a_repeated_pap_request_is_acknowledged_again() -> None:
    link = link_with(replace(SETTLED, auth_method=AuthMethod.PAP))
    frame = build_frame(int(Protocol.PAP), 1, 5, b"\x04user\x06secret")
    (ack,) = link.receive(frame, 101.0)
    assert ack == SendPpp(build_frame(int(Protocol.PAP), 2, 5, b"\0"))


def test_answers_to_requests_of_before_are_ignored() -> None:
    link = link_with()
    for protocol in (Protocol.LCP, Protocol.IPCP):
        for code in (Code.CONFIGURE_ACK, Code.CONFIGURE_NAK, Code.CONFIGURE_REJECT):
            for identifier in (1, 77, 255):
                frame = build_frame(int(protocol), code, identifier, b"\x05\x06\0\0\0\1")
                assert link.receive(frame, 101.0) == []


def test_a_terminate_request_ends_it() -> None:
    link = link_with()
    out = link.receive(build_frame(int(Protocol.LCP), Code.TERMINATE_REQUEST, 3), 101.0)
    assert SendPpp(build_frame(int(Protocol.LCP), Code.TERMINATE_ACK, 3)) in out
    assert NetworkDown(4) in out
    out += link.tick(105.0)
    assert LinkDown(DownReason.PEER_TERMINATED) in out


def test_an_echo_request_is_answered_with_its_magic_and_a_rejected_one_with_none() -> None:
    request = build_frame(int(Protocol.LCP), Code.ECHO_REQUEST, 4, bytes(4) + b"data")
    for magic in (SETTLED.our_magic, 0):
        (reply,) = link_with(replace(SETTLED, our_magic=magic)).receive(request, 101.0)
        body = magic.to_bytes(4) + b"data"
        assert reply == SendPpp(build_frame(int(Protocol.LCP), Code.ECHO_REPLY, 4, body))


def test_ipv6cp_that_was_not_open_says_nothing_until_the_peer_does() -> None:
    link = link_with()
    assert link.ipv6cp is not None
    assert link.ipv6cp.state is State.STOPPED
    option = b"\x01\x0a" + (9).to_bytes(8)
    out = link.receive(build_frame(int(Protocol.IPV6CP), Code.CONFIGURE_REQUEST, 8, option), 101.0)
    assert out == [Install(1, 6, 9)]
    ack = link.installed(1, 101.0)
    assert [action.payload[2] for action in ack if isinstance(action, SendPpp)] == [
        Code.CONFIGURE_REQUEST,
        Code.CONFIGURE_ACK,
    ]
    assert link.ipv6cp.state.name == "ACK_SENT"


@pytest.mark.parametrize(
    ("settled", "protocol"),
    [
        (replace(SETTLED, ipv6_begun=True), Protocol.IPV6CP),
        (replace(SETTLED, ipv4_open=False, ipv4_begun=True, ipv6_open=True), Protocol.IPCP),
    ],
)
def test_what_was_being_negotiated_begins_anew_for_the_peer_may_think_it_open(
    settled: Negotiated, protocol: Protocol
) -> None:
    link = link_with(settled)
    assert link.settled == settled
    assert link.next_deadline() == 100.0
    for tries in range(CONFIG.max_configure):
        (request,) = link.tick(100.0 + CONFIG.restart_s * tries)
        assert isinstance(request, SendPpp)
        assert request.payload[:3] == int(protocol).to_bytes(2) + bytes([Code.CONFIGURE_REQUEST])
    link.tick(200.0)
    assert link.next_deadline() is None
    ncp = link.ipcp if protocol is Protocol.IPCP else link.ipv6cp
    assert ncp is not None
    assert ncp.state is State.STOPPED


@pytest.mark.parametrize(
    ("due", "earliest", "latest", "different"),
    [(150.0, 150.0, 150.0, 1), (90.0, 100.0, 100.0 + REAUTH_SPREAD_S, 3)],
)
def test_a_challenge_comes_when_it_is_due_and_overdue_ones_not_all_at_once(
    due: float, earliest: float, latest: float, different: int
) -> None:
    config = replace(CONFIG, reauth_interval_s=600.0)
    times = set()
    for seed in (0, 100, 254):
        link = link_with(replace(SETTLED, reauth_at=due), config, seed)
        at = link.next_deadline()
        assert at is not None
        assert earliest <= at <= latest
        times.add(at)
        (challenge,) = link.tick(at)
        assert isinstance(challenge, SendPpp)
        identifier = challenge.payload[3]
        response = bytes([16]) + bytes(16) + b"user"
        frame = build_frame(int(Protocol.CHAP), 2, identifier, response)
        (asked,) = link.receive(frame, at + 1)
        assert isinstance(asked, Authenticate)
    assert len(times) == different


def test_a_peer_without_authentication_goes_on_without() -> None:
    link = link_with(replace(SETTLED, auth_method=None), replace(CONFIG, auth_methods=()))
    assert link.settled.auth_method is None
    assert link.next_deadline() is None
