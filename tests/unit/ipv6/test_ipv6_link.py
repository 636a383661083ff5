"""One door for all of IPv6: a client of scapy that comes up, from RS to prefix."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    IPv6,
)
from scapy.packet import Packet, Raw

from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket, ToServer
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.counters import new_counters
from bng.ipv6.link import Ipv6Link, link_local
from bng.ipv6.messages import RelayMessage
from bng.ipv6.relay import Relay, RelayConfig
from bng.ipv6.server import Server
from tests.unit.ipv6.dhcp_client import CONFIG, LINK, PREFIXES, US, Shelf, given, na, pd

SOLICIT = dhcp6.DHCP6_Solicit(trid=1) / dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL())
SOLICIT = SOLICIT / dhcp6.DHCP6OptRapidCommit() / na() / pd()
RELAY = RelayConfig(link_address=IPv6Address("::"), interface_id=b"7")


def link(kind: str = "server") -> Ipv6Link:
    counters = new_counters()
    dhcp: dict[str, Server | Relay | None] = {
        "server": Server(CONFIG, Shelf(), US, counters, on_link=(LINK,)),
        "relay": Relay(RELAY, US, counters),
        "none": None,
    }
    return Ipv6Link(Advertiser(AdvertiseConfig(), US, bytes), dhcp[kind], US, counters)


def counted(core: Ipv6Link) -> dict[str, int]:
    return {name: n for name, n in core._counters.items() if n}


def icmpv6(message: Packet, source: str = "fe80::2", to: str = "ff02::2") -> bytes:
    return bytes(IPv6(src=source, dst=to, hlim=255) / message)


def udp(message: Packet, port: int = 547) -> bytes:
    head = IPv6(src="fe80::2", dst="ff02::1:2", hlim=1) / UDP(sport=546, dport=port)
    return bytes(head / message)


def read(action: Action) -> Packet:
    assert isinstance(action, SendPacket)
    return IPv6(action.packet)


def test_our_link_local_address_is_that_of_our_interface_identifier() -> None:
    assert link_local(0x1234_5678_9ABC_DEF0) == IPv6Address("fe80::1234:5678:9abc:def0")


def test_a_client_comes_up_and_goes() -> None:
    core = link()
    assert core.next_deadline() is None
    (first,) = core.start(LINK, 0.0)
    assert read(first)[ICMPv6ND_RA].routerlifetime == 1800
    assert core.receive(icmpv6(ICMPv6ND_RS()), 1.0) == []
    assert core.next_deadline() == 3.0
    assert core.tick(2.9) == []
    (answer,) = core.tick(3.0)
    assert ICMPv6ND_RA in read(answer)
    (install,) = core.receive(udp(SOLICIT), 4.0)
    assert isinstance(install, Install)
    (reply,) = core.installed(install.request, True, 4.0)
    assert [iaid for _, iaid in given(read(reply)[2])] == [1, 1]
    last, removed = core.close(5.0)
    assert read(last)[ICMPv6ND_RA].routerlifetime == 0
    assert removed == Remove(install.leases)
    assert core.next_deadline() is None
    assert counted(core) == {
        "router_advertisement_sent": 3,
        "router_solicitation": 1,
        "solicit": 1,
        "reply_sent": 1,
    }


def test_dhcpv6_is_answered_before_the_first_advertisement() -> None:
    core = link()
    (install,) = core.receive(udp(SOLICIT), 0.0)
    assert isinstance(install, Install)


def test_leases_outlive_ipv6cp_that_is_closed_and_opened_again() -> None:
    core = link()
    core.start(LINK, 0.0)
    (install,) = core.receive(udp(SOLICIT), 0.0)
    assert isinstance(install, Install)
    core.installed(install.request, True, 0.0)
    assert len(core.pause(1.0)) == 1
    assert core.next_deadline() == 2000.0
    assert len(core.start(LINK, 2.0)) == 1
    assert core.tick(2000.0)[-1] == Remove(install.leases)


def test_an_external_server_answers_through_the_link() -> None:
    core = link("relay")
    (asked,) = core.receive(udp(SOLICIT), 0.0)
    assert isinstance(asked, ToServer)
    reply = dhcp6.DHCP6_Reply(trid=1) / pd(1, PREFIXES[0])
    reply[dhcp6.DHCP6OptIA_PD].iapdopt[0].validlft = 60
    relayed = RelayMessage(
        kind=13,
        hop_count=0,
        link_address=IPv6Address("::"),
        peer_address=IPv6Address("fe80::2"),
        message=bytes(reply),
    )
    assert core.from_server(relayed, 0.0) == [Install(1, (Lease(PREFIXES[0], True),), 60.0)]
    assert len(core.installed(1, True, 0.0)) == 1
    assert core.next_deadline() == 60.0
    assert link().from_server(relayed, 0.0) == []


def test_without_dhcpv6_there_are_advertisements_only() -> None:
    core = link("none")
    assert len(core.start(LINK, 0.0)) == 1
    assert core.receive(udp(SOLICIT), 0.0) == []
    assert core.installed(1, True, 0.0) == []
    assert core.next_deadline() == 16.0
    assert len(core.tick(16.0)) == 1
    assert len(core.close(17.0)) == 1


@pytest.mark.parametrize(
    ("source", "to", "solicited"), [("fe80::2", "fe80::2", 1), ("::", "ff02::1", 0)]
)
def test_who_looks_for_our_address_finds_it(source: str, to: str, solicited: int) -> None:
    core = link()
    asked = icmpv6(ICMPv6ND_NS(tgt=str(US)), source, "ff02::1:ff00:1")
    (answer,) = core.receive(asked, 0.0)
    packet = read(answer)
    assert (packet.src, packet.dst, packet.hlim) == (str(US), to, 255)
    said = packet[ICMPv6ND_NA]
    assert (said.tgt, said.R, said.S, said.O) == (str(US), 1, solicited, 0)


@pytest.mark.parametrize(
    ("packet", "counter"),
    [
        (b"", "malformed"),
        (icmpv6(ICMPv6ND_RS(code=1)), "malformed"),
        (udp(SOLICIT)[:-1], "malformed"),
        (icmpv6(ICMPv6ND_NS(tgt="fe80::9")), "not_for_us"),
        (icmpv6(ICMPv6ND_RA()), "not_for_us"),
        (icmpv6(ICMPv6EchoRequest()), "not_for_us"),
        (udp(SOLICIT, port=546), "not_for_us"),
        (bytes(IPv6(nh=6) / Raw(bytes(20))), "not_for_us"),
        (udp(Raw(b"\1")), "malformed"),
    ],
)
def test_everything_else_is_counted(packet: bytes, counter: str) -> None:
    core = link()
    core.start(LINK, 0.0)
    assert core.receive(packet, 1.0) == []
    assert counted(core) == {"router_advertisement_sent": 1, counter: 1}


def test_a_link_prefix_that_changes_is_told() -> None:
    core = link()
    core.start(LINK, 0.0)
    core.advertiser.reconfigure(replace(AdvertiseConfig(), managed=True), 1.0)
    core.advertiser.renumber(IPv6Network("2001:db8:0:2::/64"), 1.0)
    assert core.next_deadline() == 3.0
    (told,) = core.tick(3.0)
    assert read(told)[ICMPv6ND_RA].M == 1
