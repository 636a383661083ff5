"""The test client's own IPv6: scapy reads what it sends, and it comes to terms with our link."""

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptPrefixInfo, IPv6

from bng.ipv6.actions import Action, Install, SendPacket
from tests.support.client.flows import Flow, numbered
from tests.support.client.ipv6 import Ipv6Host, Wants, options, parse_advertisement
from tests.support.client.layer import Profile
from tests.support.client.subscriber import Subscriber
from tests.unit.ipv6.dhcp_client import LINK
from tests.unit.ipv6.test_ipv6_link import link

INTERFACE_ID = bytes.fromhex("0200000000000007")
OWN = IPv6Address("fe80::200:0:0:7")


def host(**wants: object) -> tuple[Ipv6Host, list[bytes]]:
    sent: list[bytes] = []
    return Ipv6Host(7, INTERFACE_ID, Wants(**wants), sent.append), sent  # type: ignore[arg-type]


def converse(client: Ipv6Host, sent: list[bytes]) -> list[bytes]:
    """Let the client and our link talk until both are silent; return what the client said."""
    core, said, now = link(), [], 0.0
    actions: list[Action] = core.start(LINK, now)
    client.start(now)
    while actions or sent:
        now += 1.0
        for action in actions:
            if isinstance(action, SendPacket):
                assert client.receive(action.packet, now)
        installs = [action for action in actions if isinstance(action, Install)]
        actions = [a for i in installs for a in core.installed(i.request, True, now)]
        while sent:
            said.append(sent.pop(0))
            actions += core.receive(said[-1], now)
    return said


def test_its_solicitations_are_read_by_scapy() -> None:
    client, sent = host(address=True)
    client.start(0.0)
    router, server = map(IPv6, sent)
    assert (router.src, router.dst, router.hlim) == (str(OWN), "ff02::2", 255)
    assert ICMPv6ND_RS in router
    assert (server.dst, server[UDP].sport, server[UDP].dport) == ("ff02::1:2", 546, 547)
    assert server[dhcp6.DHCP6OptIAPrefix].plen == 56
    assert dhcp6.DHCP6OptRapidCommit in server
    assert dhcp6.DHCP6OptIA_NA in server
    for packet, layer, field in ((router, ICMPv6ND_RS, "cksum"), (server, UDP, "chksum")):
        again = IPv6(bytes(packet))
        again[layer].delfieldval(field)
        assert bytes(again) == bytes(packet)


@pytest.mark.parametrize("rapid", [True, False])
def test_it_gets_address_and_prefix_from_our_link(rapid: bool) -> None:
    client, sent = host(address=True, rapid=rapid)
    said = converse(client, sent)
    assert len(said) == (2 if rapid else 3)
    assert client.complete
    assert client.deadline is None
    assert client.address == IPv6Address(LINK.network_address.packed[:8] + INTERFACE_ID)
    assert client.delegated is not None
    assert client.delegated.prefixlen == 56
    assert client.leased is not None


def test_who_wants_no_prefix_is_complete_with_an_address() -> None:
    client, sent = host(delegate=0)
    assert len(converse(client, sent)) == 1
    assert client.complete
    assert client.delegated is None


def test_it_asks_again_five_times_and_then_no_more() -> None:
    client, sent = host()
    client.start(0.0)
    times = []
    while client.deadline is not None:
        times.append(client.deadline)
        client.tick(client.deadline)
    assert times == [1.0, 3.0, 7.0, 15.0, 31.0]
    assert len(sent) == 10


def damaged(change: Callable[[bytearray], None]) -> bytes:
    prefix = ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64)
    data = bytearray(bytes(IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_RA() / prefix))
    assert parse_advertisement(bytes(data)).prefix == IPv6Network("2001:db8::/64")
    change(data)
    return bytes(data)


@pytest.mark.parametrize("at", [7, 8, 40 + 2, 40 + 20])
def test_an_advertisement_that_a_host_must_discard_is_an_error(at: int) -> None:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    with pytest.raises(ValueError, match="discards"):
        parse_advertisement(damaged(change))


def test_an_option_that_reaches_past_the_message_is_refused() -> None:
    assert list(options(bytes.fromhex("000e0000"))) == [(14, b"")]
    for bad in ("000e00", "000e0001"):
        with pytest.raises(ValueError, match="option"):
            list(options(bytes.fromhex(bad)))


@pytest.mark.parametrize(
    ("source", "server"), [("100.64.0.9", "192.0.2.2"), ("2001:db8::9", "2001:db8:1::2")]
)
def test_numbered_packets_have_right_checksums_and_are_read_back(source: str, server: str) -> None:
    frames: list[bytes] = []
    line = Subscriber(
        5, bytes(6), "u", "p", profile=Profile(), send=frames.append, report=lambda *_: None
    )
    line.head = b"\x11" * 16
    flow = Flow(line, ip_address(source), ip_address(server), 7007, 100)
    for number in range(3):
        packet = flow.next()[16 + 4 :]
        assert numbered(packet) == (5, number, ip_address(server).packed)
        kind = IP if ip_address(source).version == 4 else IPv6
        seen, again = kind(packet), kind(packet)
        del again[UDP].chksum
        assert bytes(again) == bytes(seen) == packet
