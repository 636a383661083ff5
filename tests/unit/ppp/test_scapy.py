"""What we send, read by scapy: an independent codec is the judge of our bytes."""

from typing import Any

import pytest
from scapy.layers.ppp import (
    PPP,
    PPP_IPCP,
    PPP_CHAP_ChallengeResponse,
    PPP_LCP_Auth_Protocol_Option,
    PPP_LCP_Configure,
    PPP_LCP_Echo,
    PPP_LCP_Magic_Number_Option,
    PPP_LCP_MRU_Option,
    PPP_LCP_Protocol_Reject,
    PPP_LCP_Terminate,
    PPP_PAP_Response,
)
from scapy.packet import Raw

from bng.ppp.actions import SendPpp
from bng.ppp.config import AuthMethod
from tests.unit.ppp.peer import (
    ADDRESS,
    CCP,
    ECHOREQ,
    IFACE,
    IPCP,
    IPV6CP,
    LCP,
    MAGIC,
    PAP,
    REQ,
    TREQ,
    Peer,
    config,
)


def payloads(peer: Peer) -> list[bytes]:
    return [action.payload for action in peer.actions if isinstance(action, SendPpp)]


def of(peer: Peer, layer: type) -> list[Any]:
    """The packets that scapy sees as *layer*."""
    found = [PPP(payload) for payload in payloads(peer)]
    return [packet[layer] for packet in found if packet.haslayer(layer)]


@pytest.fixture
def peer() -> Peer:
    peer = Peer().open_all()
    peer.send(LCP, ECHOREQ, MAGIC[2:] + b"ping")
    peer.send(CCP, REQ, b"\x12\x06\0\0\0\0")
    peer.send(IPCP, REQ, ADDRESS + bytes.fromhex("0206002d0f01"))
    peer.send(IPCP, REQ, bytes.fromhex("030600000000810600000000"))
    peer.send(LCP, TREQ, b"bye")
    return peer


def test_scapy_rebuilds_every_frame_of_a_session_to_the_same_octets(peer: Peer) -> None:
    assert len(payloads(peer)) >= 14
    for payload in payloads(peer):
        packet = PPP(payload)
        assert packet.proto == IPV6CP or not isinstance(packet.lastlayer(), Raw)
        packet.clear_cache()
        assert bytes(packet) == payload


def test_scapy_reads_our_lcp_request(peer: Peer) -> None:
    first = of(peer, PPP_LCP_Configure)[0]
    mru, auth, magic = first.options
    assert isinstance(mru, PPP_LCP_MRU_Option)
    assert mru.max_recv_unit == 1492
    assert isinstance(auth, PPP_LCP_Auth_Protocol_Option)
    assert (auth.auth_protocol, auth.algorithm) == (0xC223, 5)
    assert isinstance(magic, PPP_LCP_Magic_Number_Option)
    assert magic.magic_number != 0


def test_scapy_reads_our_challenge(peer: Peer) -> None:
    challenge = of(peer, PPP_CHAP_ChallengeResponse)[0]
    assert challenge.code == 1
    assert challenge.value_size == len(challenge.value) == 16
    assert challenge.optional_name == b"bng"


def test_scapy_reads_our_ipcp(peer: Peer) -> None:
    by_code = {packet.code: packet for packet in of(peer, PPP_IPCP)}
    assert by_code[1].options[0].data == "10.0.0.1"
    assert by_code[2].options[0].data == "100.64.0.9"
    address, dns = by_code[3].options
    assert (address.data, dns.data) == ("100.64.0.9", "9.9.9.9")
    assert by_code[4].options[0].type == 2


def test_scapy_reads_our_echo_reply_and_protocol_reject(peer: Peer) -> None:
    (echo,) = of(peer, PPP_LCP_Echo)
    assert (echo.code, echo.data) == (10, b"ping")
    (reject,) = of(peer, PPP_LCP_Protocol_Reject)
    assert reject.rejected_protocol == CCP
    (ack,) = of(peer, PPP_LCP_Terminate)
    assert (ack.code, ack.id) == (6, peer.identifier)


def test_scapy_reads_our_pap_answer() -> None:
    peer = Peer(config(AuthMethod.PAP))
    peer.open_lcp()
    peer.send(PAP, 1, b"\x01u\x01p", 3)
    peer.accept(peer.actions[-1])  # type: ignore[arg-type]
    (answer,) = of(peer, PPP_PAP_Response)
    assert (answer.code, answer.id, answer.message) == (2, 3, b"welcome")


def test_a_request_that_scapy_built_is_acknowledged() -> None:
    peer = Peer()
    options = [PPP_LCP_MRU_Option(max_recv_unit=1480), PPP_LCP_Magic_Number_Option(magic_number=7)]
    frame = bytes(PPP(proto=LCP) / PPP_LCP_Configure(code=1, id=5, options=options))
    assert peer.raw(frame)[-1][:3] == (LCP, 2, 5)


def test_the_frames_of_ipv6cp_are_built_by_the_same_rules(peer: Peer) -> None:
    sent = [payload for payload in payloads(peer) if payload[:2] == b"\x80\x57"]
    assert sent[0] == bytes.fromhex("80570101000e010a0000000000000001")
    assert sent[1][6:] == IFACE
