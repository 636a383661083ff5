"""IPCP (RFC 1332, 1877) and IPv6CP (RFC 5072) as a peer sees them, and the held Ack."""

from ipaddress import IPv4Address

import pytest

from bng.ppp.actions import DownReason, Install, LinkDown, NetworkDown, NetworkUp, SendPpp
from bng.ppp.config import Ipv4Params, Ipv6Params
from bng.ppp.link import Phase
from bng.ppp.table import State
from tests.unit.ppp.peer import (
    ACK,
    ADDRESS,
    ADDRESS_ZERO,
    CODEREJ,
    IFACE,
    IPCP,
    IPV4,
    IPV6CP,
    LCP,
    NAK,
    PROTREJ,
    REJ,
    REQ,
    TACK,
    TREQ,
    Peer,
)

DNS1, DNS2 = bytes.fromhex("810609090909"), bytes.fromhex("830601010101")
ASKED = [bytes.fromhex(f"{option:02x}0600000000") for option in (0x81, 0x82, 0x83, 0x84)]


@pytest.fixture
def peer() -> Peer:
    return Peer().authenticate()


def test_both_ncps_start_with_the_success_and_ask_for_our_own_addresses(peer: Peer) -> None:
    assert [s[:2] for s in peer.sent[-3:]] == [(0xC223, 3), (IPCP, REQ), (IPV6CP, REQ)]
    assert peer.last(IPCP, REQ)[3] == bytes.fromhex("03060a000001")
    assert peer.last(IPV6CP, REQ)[3] == bytes.fromhex("010a0000000000000001")


@pytest.mark.parametrize("address", [ADDRESS_ZERO, bytes.fromhex("0306c0a80001"), b"\x03\x03\x0a"])
def test_a_wrong_address_is_nakd_with_the_assigned_one(peer: Peer, address: bytes) -> None:
    peer.send(IPCP, REQ, address, 3)
    assert peer.sent[-1] == (IPCP, NAK, 3, ADDRESS)


def test_dns_is_nakd_with_ours_and_nbns_rejected_when_there_is_none(peer: Peer) -> None:
    peer.send(IPCP, REQ, ADDRESS_ZERO + b"".join(ASKED))
    assert peer.sent[-1][1:] == (REJ, peer.identifier, ASKED[1] + ASKED[3])
    peer.send(IPCP, REQ, ADDRESS_ZERO + ASKED[0] + ASKED[2])
    assert peer.sent[-1][1:] == (NAK, peer.identifier, ADDRESS + DNS1 + DNS2)
    peer.send(IPCP, REQ, ADDRESS + DNS1 + DNS2)
    (ack,) = peer.installed()
    assert ack[1:] == (ACK, peer.identifier, ADDRESS + DNS1 + DNS2)


def test_nbns_is_nakd_with_ours_when_there_is_one() -> None:
    nbns = (IPv4Address("10.0.0.5"), IPv4Address("10.0.0.6"))
    params = Ipv4Params(local=IPV4.local, peer=IPV4.peer, dns=IPV4.dns[:1], nbns=nbns)
    peer = Peer().authenticate(ipv4=params)
    peer.send(IPCP, REQ, ADDRESS + ASKED[2])
    assert peer.sent[-1][1::2] == (REJ, ASKED[2])
    peer.send(IPCP, REQ, ADDRESS + ASKED[1] + ASKED[3])
    assert peer.sent[-1][1::2] == (NAK, bytes.fromhex("82060a000005 84060a000006"))


@pytest.mark.parametrize("option", ["0206002d0f01", "010a0a0000010a000002", "ff02"])
def test_compression_ip_addresses_and_unknown_options_are_rejected(peer: Peer, option: str) -> None:
    peer.send(IPCP, REQ, ADDRESS_ZERO + bytes.fromhex(option))
    assert peer.sent[-1][1::2] == (REJ, bytes.fromhex(option))


def test_naks_become_rejects_after_max_failure(peer: Peer) -> None:
    codes = [peer.send(IPCP, REQ, ADDRESS_ZERO)[-1][1] for _ in range(7)]
    assert codes == [NAK] * 5 + [REJ] * 2
    assert peer.sent[-1][3] == ADDRESS_ZERO


def test_a_missing_address_is_prompted_for_until_max_failure(peer: Peer) -> None:
    for _ in range(5):
        assert peer.send(IPCP, REQ)[-1][1::2] == (NAK, ADDRESS)
    peer.send(IPCP, REQ)
    (ack,) = peer.installed()
    assert ack[1::2] == (ACK, b"")


@pytest.mark.parametrize("code", [NAK, REJ])
def test_our_address_is_dropped_when_the_peer_will_not_have_it(peer: Peer, code: int) -> None:
    _, _, identifier, data = peer.last(IPCP, REQ)
    (again,) = peer.send(IPCP, code, data, identifier)
    assert again[1::2] == (REQ, b"")
    assert again[2] != identifier


def test_the_ack_is_held_until_the_dataplane_is_ready(peer: Peer) -> None:
    assert peer.send(IPCP, REQ, ADDRESS, 9) == []
    (asked,) = peer.of(Install)
    assert isinstance(asked, Install)
    assert (asked.family, asked.peer_interface_id) == (4, None)
    peer.ack(IPCP)
    assert peer.of(NetworkUp) == []
    assert peer.installed() == [(IPCP, ACK, 9, ADDRESS)]
    assert peer.of(NetworkUp) == [NetworkUp(4)]


def test_repetitions_while_the_ack_is_held_ask_no_second_time_and_the_latest_is_answered(
    peer: Peer,
) -> None:
    peer.send(IPCP, REQ, ADDRESS, 9)
    peer.send(IPCP, REQ, ADDRESS + DNS1, 10)
    assert len(peer.of(Install)) == 1
    assert peer.installed() == [(IPCP, ACK, 10, ADDRESS + DNS1)]
    assert peer.installed() == []


def test_a_bad_request_replaces_the_held_one(peer: Peer) -> None:
    peer.send(IPCP, REQ, ADDRESS, 9)
    peer.send(IPCP, REQ, ADDRESS_ZERO, 10)
    assert peer.installed() == []
    peer.send(IPCP, REQ, ADDRESS, 11)
    assert peer.installed() == [(IPCP, ACK, 11, ADDRESS)]


def test_a_peer_that_terminates_while_the_ack_is_held_gets_none(peer: Peer) -> None:
    peer.send(IPCP, REQ, ADDRESS)
    assert peer.send(IPCP, TREQ, b"bye", 4) == [(IPCP, TACK, 4, b"")]
    assert peer.installed() == []


def test_a_renegotiation_with_the_same_outcome_needs_no_second_installation() -> None:
    peer = Peer().open_all()
    sent = peer.send(IPCP, REQ, ADDRESS)
    assert [s[1] for s in sent] == [REQ, ACK]
    assert len(peer.of(Install)) == 2  # one for each family, from before
    peer.ack(IPCP)
    assert peer.actions[-1] == NetworkUp(4)
    assert peer.of(NetworkDown) == [NetworkDown(4)]


def test_one_ncp_closing_does_not_end_the_link_and_it_can_come_back() -> None:
    peer = Peer().open_all()
    assert peer.send(IPV6CP, TREQ, b"", 7) == [(IPV6CP, TACK, 7, b"")]
    assert peer.of(NetworkDown) == [NetworkDown(6)]
    peer.wait(600)
    assert not peer.down
    assert peer.link.phase is Phase.NETWORK
    installs = len(peer.of(Install))
    peer.send(IPV6CP, REQ, IFACE)
    assert len(peer.of(Install)) == installs + 1
    peer.installed()
    peer.ack(IPV6CP)
    assert peer.actions[-1] == NetworkUp(6)


def test_an_ncp_that_is_never_answered_stops_alone(peer: Peer) -> None:
    peer.send(IPCP, REQ, ADDRESS)
    peer.installed()
    peer.ack(IPCP)
    peer.wait(3600)
    assert peer.link.ipv6cp is not None
    assert peer.link.ipv6cp.state is State.STOPPED
    assert not peer.down


def test_a_link_without_any_network_protocol_ends_after_a_minute(peer: Peer) -> None:
    peer.wait(59)
    assert not peer.down
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.NO_NETWORK)]


def test_the_last_network_protocol_closing_ends_the_link_after_a_minute() -> None:
    peer = Peer().open_all()
    peer.send(IPV6CP, TREQ)
    peer.send(IPCP, TREQ)
    peer.wait(59)
    assert not peer.down
    peer.wait(5)
    assert peer.down == [LinkDown(DownReason.NO_NETWORK)]


@pytest.mark.parametrize("protocol", [IPCP, IPV6CP])
def test_a_family_that_is_not_given_is_protocol_rejected(protocol: int) -> None:
    peer = Peer()
    peer.open_lcp()
    asked = peer.respond()
    peer.accept(asked, None if protocol == IPCP else IPV4, None)
    (rejected,) = peer.send(protocol, REQ, IFACE, 1)
    assert rejected[:2] == (LCP, PROTREJ)


def test_a_protocol_reject_silences_one_ncp_until_the_peer_speaks_it() -> None:
    peer = Peer().open_all()
    peer.take()
    assert peer.send(LCP, PROTREJ, bytes.fromhex("8057 0101000e")) == []
    assert peer.of(NetworkDown) == [NetworkDown(6)]
    assert peer.wait(600) == []
    assert not peer.down
    peer.send(IPV6CP, REQ, IFACE)
    assert [s[:2] for s in peer.take()] == [(IPV6CP, REQ)]
    assert peer.installed()[0][1] == ACK


def test_an_unknown_code_of_an_ncp_is_code_rejected(peer: Peer) -> None:
    (rejected,) = peer.send(IPCP, 9, b"x", 1)
    assert rejected[:2] == (IPCP, CODEREJ)
    assert rejected[3] == bytes.fromhex("0901000578")


def test_ip_data_that_strays_here_is_silently_discarded(peer: Peer) -> None:
    assert peer.raw(bytes.fromhex("0021450000")) == []
    assert peer.link.discarded == 1


# -- IPv6CP --------------------


@pytest.mark.parametrize("identifier", ["0000000000000000", "0000000000000001"])
def test_an_identifier_of_zero_or_ours_is_nakd_with_a_unique_one(
    peer: Peer, identifier: str
) -> None:
    for _ in range(2):
        nak = peer.send(IPV6CP, REQ, bytes.fromhex("010a" + identifier))[-1]
        assert nak[1] == NAK
        suggested = nak[3]
        assert suggested[:2] == b"\x01\x0a"
        assert any(suggested[2:])
        assert suggested[2:] != bytes.fromhex("0000000000000001")
        assert not suggested[2] & 2  # RFC 5072 §4.1: the "u" bit is zero
    peer.send(IPV6CP, REQ, suggested)
    assert peer.installed()[0][1::2] == (ACK, suggested)


def test_the_peer_s_own_identifier_is_told_to_the_dataplane(peer: Peer) -> None:
    peer.send(IPV6CP, REQ, IFACE)
    (asked,) = peer.of(Install)
    assert isinstance(asked, Install)
    assert (asked.family, asked.peer_interface_id) == (6, 0x021122FFFE334455)


def test_another_identifier_is_installed_anew() -> None:
    peer = Peer().open_all()
    assert peer.send(IPV6CP, REQ, bytes.fromhex("010a00000000000000aa")) == []
    asked = peer.of(Install)[-1]
    assert isinstance(asked, Install)
    assert asked.peer_interface_id == 0xAA
    assert [s[1] for s in peer.installed()] == [REQ, ACK]


def test_an_assigned_identifier_is_insisted_on_until_max_failure() -> None:
    params = Ipv6Params(local_interface_id=1, peer_interface_id=0x42)
    peer = Peer().authenticate(ipv6=params)
    for _ in range(5):
        nak = peer.send(IPV6CP, REQ, IFACE)[-1]
        assert nak[1::2] == (NAK, bytes.fromhex("010a0000000000000042"))
    peer.send(IPV6CP, REQ, IFACE)
    assert peer.installed()[0][1::2] == (ACK, IFACE)


def test_ipv6_compression_is_rejected(peer: Peer) -> None:
    option = bytes.fromhex("0204004f")
    assert peer.send(IPV6CP, REQ, IFACE + option)[-1][1::2] == (REJ, option)


def test_our_identifier_survives_naks_of_a_collision_but_not_a_reject(peer: Peer) -> None:
    _, _, identifier, data = peer.last(IPV6CP, REQ)
    (again,) = peer.send(IPV6CP, NAK, IFACE, identifier)
    assert again[3] == data
    (without,) = peer.send(IPV6CP, REJ, data, again[2])
    assert without[1::2] == (REQ, b"")


def test_a_missing_identifier_is_prompted_for_and_then_done_without(peer: Peer) -> None:
    for _ in range(5):
        nak = peer.send(IPV6CP, REQ)[-1]
        assert (nak[1], nak[3][:2]) == (NAK, b"\x01\x0a")
    peer.send(IPV6CP, REQ)
    asked = peer.of(Install)[-1]
    assert isinstance(asked, Install)
    assert asked.peer_interface_id is None
    assert peer.installed()[0][1::2] == (ACK, b"")


def test_ipv6cp_alone_keeps_a_link() -> None:
    peer = Peer().authenticate()
    peer.wait(30)
    peer.send(IPV6CP, REQ, IFACE)
    peer.installed()
    peer.ack(IPV6CP)
    assert peer.of(NetworkUp) == [NetworkUp(6)]
    peer.wait(600)
    assert peer.down == []
    peer.send(IPV6CP, TREQ)
    peer.wait(75)
    assert peer.down == [LinkDown(DownReason.NO_NETWORK)]


def test_a_family_that_is_not_to_be_had_after_all_is_protocol_rejected_from_then_on() -> None:
    peer = Peer().authenticate()
    peer.send(IPV6CP, REQ, IFACE, 21)
    asked = peer.of(Install)[-1]
    assert isinstance(asked, Install)
    mark = len(peer.actions)
    peer.actions += peer.link.refuse(asked.request_id, peer.now)
    request = bytes.fromhex("8057 01 15 000e") + IFACE
    (rejected,) = peer.actions[mark:]
    assert isinstance(rejected, SendPpp)
    assert rejected.payload[:3] == bytes.fromhex("c021 08")
    assert rejected.payload[6:] == request
    (again,) = peer.send(IPV6CP, REQ, IFACE, 22)
    assert again[:2] == (LCP, PROTREJ)
    assert peer.link.refuse(asked.request_id, peer.now) == []
    peer.send(IPCP, REQ, ADDRESS)
    peer.installed()
    peer.ack(IPCP)
    assert peer.of(NetworkUp) == [NetworkUp(4)]


def test_a_link_without_ipv4_lives_by_ipv6cp() -> None:
    peer = Peer().authenticate(ipv4=None)
    peer.send(IPV6CP, REQ, IFACE)
    peer.installed()
    peer.ack(IPV6CP)
    peer.wait(1000)
    assert peer.down == []


def test_an_ncp_that_stops_does_not_touch_the_other() -> None:
    peer = Peer().open_all()
    peer.send(IPCP, CODEREJ, bytes.fromhex("01010004"))
    assert peer.of(NetworkDown) == [NetworkDown(4)]
    assert peer.link.ipv6cp is not None
    assert peer.link.ipv6cp.state is State.OPENED


def test_an_ack_begins_the_count_of_naks_anew(peer: Peer) -> None:
    for _ in range(4):
        peer.send(IPCP, REQ, ADDRESS_ZERO)
    peer.send(IPCP, REQ, ADDRESS)
    peer.installed()
    codes = [peer.send(IPCP, REQ, ADDRESS_ZERO)[-1][1] for _ in range(6)]
    assert codes == [NAK] * 5 + [REJ]
