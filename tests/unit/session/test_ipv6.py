"""IPv6 of sessions, through real graph and rings: prefix, RA, DHCPv6, both families apart, restart.

Packets are judged by scapy.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    IPv6,
)
from scapy.packet import Packet

from bng.ipv6.actions import Lease
from bng.ipv6.dhcpv6 import build_relay, parse_relay
from bng.ipv6.messages import RelayMessage
from bng.session import ipv6_side
from bng.session.ipv6_side import Ipv6Side
from bng.session.model import IPV4, IPV6, Cause, Session, State
from bng.session.packing import pack
from dataplane.binding import lib
from tests.support.client import wire
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Phase, Profile
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import CONFIG, DUID, MemoryBox, memory_box
from tests.unit.session.test_lifecycle import assert_empty

IPV6CP, IPCP = 0x8057, 0x8021
LINKS, HOMES = IPv6Network("2001:db8:1::/48"), IPv6Network("2001:db8:100::/40")
DUID_CLIENT = dhcp6.DUID_LL(lladdr="02:00:5e:00:00:01")


class Listener:
    """Keeps the IPv6 packets that a box sends to its clients, by their MAC."""

    def __init__(self, box: MemoryBox) -> None:
        self.packets: list[tuple[bytes, Packet]] = []
        handle = box._dialer._handle

        def note(frame: bytes) -> None:
            at = frame.find(b"\x88\x64") + 8
            if frame[at : at + 2] == b"\x00\x57":
                self.packets.append((frame[:6], IPv6(frame[at + 2 :])))
            handle(frame)

        box._dialer._handle = note  # type: ignore[method-assign]

    def take(self, client: Subscriber, layer: type[Packet] | None = None) -> list[Packet]:
        """Return what a client was sent since it was asked last."""
        mine = [packet for mac, packet in self.packets if mac == client.mac]
        self.packets = [(mac, packet) for mac, packet in self.packets if mac != client.mac]
        return [packet for packet in mine if layer is None or layer in packet]


Made = Callable[..., tuple[MemoryBox, Listener]]


@pytest.fixture
def make() -> Iterator[Made]:
    boxes = []

    def make(*, users: Mapping[str, Any] | None = None, **changes: Any) -> Any:
        config = deepcopy(CONFIG)
        config["ipv6"] |= changes.pop("ipv6", {})
        config |= changes
        with_box = memory_box(config=config, user_table=users)
        boxes.append(with_box)
        box = with_box.__enter__()
        return box, Listener(box)

    yield make
    for box in boxes:
        box.__exit__(None, None, None)


def of(box: MemoryBox, client: Subscriber) -> Session:
    (session,) = (s for s in box.manager.table if s.mac == client.mac)
    return session


def side(box: MemoryBox, client: Subscriber) -> Ipv6Side:
    found = of(box, client).ipv6
    assert found is not None
    return found


def dial(box: MemoryBox, number: int = 1, **options: Any) -> Subscriber:
    client = box.subscriber(number, **options)
    box.dial(client)
    assert client.phase is Phase.UP
    return client


def send(box: MemoryBox, client: Subscriber, packet: Packet) -> None:
    """Have a client send an IPv6 packet."""
    client.send_ppp(b"\x00\x57" + bytes(packet))
    box.turn()


def ask(message: Packet, *more: Packet, duid: Any = DUID_CLIENT, trid: int = 7) -> Packet:
    message.trid = trid
    message = message / dhcp6.DHCP6OptClientId(duid=duid)
    for part in more:
        message = message / part
    return IPv6(src="fe80::2", dst="ff02::1:2") / UDP(sport=546, dport=547) / message


def pd(iaid: int = 1, hint: str | None = None) -> Packet:
    options = []
    if hint is not None:
        address, length = hint.split("/")
        options = [dhcp6.DHCP6OptIAPrefix(prefix=address, plen=int(length))]
    return dhcp6.DHCP6OptIA_PD(iaid=iaid, iapdopt=options)


def na(iaid: int = 1) -> Packet:
    return dhcp6.DHCP6OptIA_NA(iaid=iaid)


SOON = {"hold_down_s": 1, "sticky_s": 80}
SERVER_ID = dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(DUID))
RAPID = dhcp6.DHCP6OptRapidCommit()


def delegated(answer: Packet) -> list[IPv6Network]:
    found = answer[dhcp6.DHCP6OptIA_PD].iapdopt
    return [
        IPv6Network((option.prefix, option.plen))
        for option in found
        if isinstance(option, dhcp6.DHCP6OptIAPrefix) and option.validlft
    ]


def given_address(answer: Packet) -> IPv6Address:
    (option,) = answer[dhcp6.DHCP6OptIA_NA].ianaopts
    return IPv6Address(option.addr)


def get_prefix(box: MemoryBox, heard: Listener, client: Subscriber, **kw: Any) -> IPv6Network:
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd(**kw)))
    (answer,) = heard.take(client, dhcp6.DHCP6_Reply)
    (prefix,) = delegated(answer)
    return prefix


def prefixes(advertisement: Packet) -> dict[IPv6Network, tuple[int, int]]:
    """Return valid and preferred lifetimes by prefix."""
    found, option = {}, advertisement.getlayer(ICMPv6NDOptPrefixInfo, 1)
    number = 1
    while option is not None:
        net = IPv6Network((option.prefix, option.prefixlen))
        found[net] = option.validlifetime, option.preferredlifetime
        number += 1
        option = advertisement.getlayer(ICMPv6NDOptPrefixInfo, number)
    return found


def gone(box: MemoryBox, *clients: Subscriber) -> None:
    """End all sessions, and check that in the end nothing is left of them."""
    for client in clients:
        client.terminate("terminate", box.now)
    box.run(1.0)
    box.run(70.0, step=0.5)
    assert_empty(box)


# ---- prefix and RA ----


def test_a_client_has_a_prefix_when_ipv6cp_opens_and_is_told_of_it_at_once(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    session, mine = of(box, client), side(box, client)
    assert session.families == IPV4 | IPV6
    assert mine.prefix is not None
    assert mine.prefix.subnet_of(LINKS)
    entry = box.dataplane.session_ip6[session.index]
    assert int(entry.link_prefix) == int(mine.prefix.network_address) >> 64
    assert int(entry.interface_id) == session.local_interface_id
    (advertised,) = heard.take(client, ICMPv6ND_RA)
    assert advertised.src == str(IPv6Address(0xFE80 << 112 | int(entry.interface_id)))
    assert (advertised.hlim, advertised.dst) == (255, "ff02::1")
    assert prefixes(advertised) == {mine.prefix: (5400, 2700)}
    assert advertised[ICMPv6NDOptRDNSS].dns == ["2001:db8::53"]
    assert (advertised.M, advertised.O) == (0, 1)
    box.run(40.0, step=0.1)
    assert len(heard.take(client, ICMPv6ND_RA)) == 2, "three initial ones"
    send(box, client, IPv6(src="fe80::2", dst="ff02::2", hlim=255) / ICMPv6ND_RS())
    box.run(1.0)
    assert len(heard.take(client, ICMPv6ND_RA)) == 1
    gone(box, client)


def test_the_routes_of_a_session_lead_to_it_and_go_with_it(make: Made) -> None:
    users = {"user00001": {"password": "secret", "ipv6_routes": [{"prefix": "2001:db8:f::/48"}]}}
    box, heard = make(users=users)
    client = dial(box)
    home = get_prefix(box, heard, client)
    link = side(box, client).prefix
    assert link is not None
    assert side(box, client).routes() == [link, IPv6Network("2001:db8:f::/48"), home]
    gone(box, client)
    assert not box.manager.pools6.used_outside()


# ---- DHCPv6 ----


@pytest.mark.parametrize("rapid", [True, False])
def test_a_message_that_comes_the_moment_ipv6cp_opens_is_answered(make: Made, rapid: bool) -> None:
    box, _ = make()
    wants = Wants(delegate=56, address=False, rapid=rapid)
    client = dial(box, profile=Profile(auth=("chap",), wants=wants))
    box.run(0.5)  # less than until it asks again
    assert client.v6 is not None
    assert (client.v6.complete, client.v6.tries) == (True, 1)
    assert client.v6.delegated in side(box, client).delegated
    assert client.v6.address in (side(box, client).prefix or ())
    gone(box, client)


def test_address_and_prefix_in_one_exchange_of_four_messages(make: Made) -> None:
    box, heard = make(ipv6={"address_from_link": True, "domains": ["example.net"]})
    client = dial(box)
    assert heard.take(client, ICMPv6ND_RA)[0].M == 1
    want = dhcp6.DHCP6OptOptReq(reqopts=[23, 24])
    send(box, client, ask(dhcp6.DHCP6_Solicit(), want, na(), pd()))
    (offer,) = heard.take(client, dhcp6.DHCP6_Advertise)
    before = side(box, client)
    assert (before.delegated, before.addresses) == ([], [])
    send(box, client, ask(dhcp6.DHCP6_Request(), SERVER_ID, want, na(), pd()))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert delegated(reply) == delegated(offer) == before.delegated
    assert [given_address(reply)] == before.addresses
    assert before.prefix is not None
    assert given_address(reply) in before.prefix
    assert reply[dhcp6.DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
    session = of(box, client)
    entry = box.dataplane.session_ip6[session.index]
    assert int(entry.delegated) == int(before.delegated[0].network_address) >> 64
    gone(box, client)


def test_release_takes_the_route_away_and_expiry_does(make: Made) -> None:
    box, heard = make(ipv6={"server": {"preferred_s": 20, "valid_s": 40}})
    client = dial(box)
    home = get_prefix(box, heard, client)
    send(box, client, ask(dhcp6.DHCP6_Release(), SERVER_ID, pd(hint=str(home))))
    assert len(heard.take(client, dhcp6.DHCP6_Reply)) == 1
    assert side(box, client).delegated == []
    session = of(box, client)
    assert not int(box.dataplane.session_ip6[session.index].delegated)
    assert get_prefix(box, heard, client) == home
    box.run(25.0, step=0.5)
    send(box, client, ask(dhcp6.DHCP6_Renew(), SERVER_ID, pd(hint=str(home))))
    box.run(25.0, step=0.5)
    assert side(box, client).delegated == [home]
    box.run(20.0, step=0.5)
    assert side(box, client).delegated == []
    assert box.manager.ipv6.counters["lease_expired"] == 1
    gone(box, client)


def test_a_declined_address_is_given_to_nobody_for_a_day(make: Made) -> None:
    hosts = {"name": "hosts", "prefixes": ["2001:db8:5::/120"], "length": 128, **SOON}
    box, heard = make(ipv6={"pool": [*CONFIG["ipv6"]["pool"], hosts]})
    client = dial(box)

    def address_of(who: Subscriber) -> IPv6Address:
        send(box, who, ask(dhcp6.DHCP6_Solicit(), RAPID, na()))
        (reply,) = heard.take(who, dhcp6.DHCP6_Reply)
        return given_address(reply)

    used = address_of(client)
    leased = dhcp6.DHCP6OptIA_NA(iaid=1, ianaopts=[dhcp6.DHCP6OptIAAddress(addr=str(used))])
    send(box, client, ask(dhcp6.DHCP6_Decline(), SERVER_ID, leased))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert reply[dhcp6.DHCP6OptStatusCode].statuscode == 0
    assert not side(box, client).leases
    second = address_of(client)
    client.terminate("padt", box.now)
    box.run(70.0, step=0.5)
    client, other = dial(box), dial(box, 2)
    assert address_of(client) == second
    assert len({used, second, address_of(other)}) == 3
    for one in (client, other):
        one.terminate("padt", box.now)
    box.run(70.0, step=0.5)
    assert box.tables()["pool6_used"] == 3, "two wait for who had them"
    box.run(86_400.0, step=600.0)
    assert_empty(box)


def test_the_same_prefixes_again_also_for_another_iaid_and_duid(make: Made) -> None:
    box, heard = make(ipv6={"address_from_link": True})
    client = dial(box)
    link, home = side(box, client).prefix, get_prefix(box, heard, client)
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na()))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    address = given_address(reply)
    other = dial(box, 2)
    get_prefix(box, heard, other)
    client.terminate("terminate", box.now)
    box.run(3.0)
    client = dial(box, user="user00001", number=3)
    assert side(box, client).prefix == link
    assert get_prefix(box, heard, client, iaid=99) == home
    duid = dhcp6.DUID_LL(lladdr="02:00:5e:00:00:77")
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd(5), duid=duid))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert (given_address(reply), delegated(reply)) == (address, [home])
    gone(box, client, other)


def test_a_prefix_that_is_not_to_be_had_again_is_deprecated(make: Made) -> None:
    pool = CONFIG["ipv6"]["pool"][0] | {"prefixes": ["2001:db8:1::/63"], "hold_down_s": 0}
    users = {
        f"user0000{n}": {"password": "secret", **extra}
        for n, extra in ((1, {}), (2, {"ipv6_prefix": "2001:db8:1::/64"}))
    }
    box, heard = make(users=users, ipv6={"pool": [pool]})
    client = dial(box)
    first = side(box, client).prefix
    assert first == IPv6Network("2001:db8:1::/64")
    client.terminate("terminate", box.now)
    box.run(1.5)
    thief = dial(box, 2)
    assert side(box, thief).prefix == first
    client = dial(box, 3, user="user00001")
    heard.take(client)
    box.run(17.0, step=0.1)
    advertised = heard.take(client, ICMPv6ND_RA)[0]
    second = side(box, client).prefix
    assert second == IPv6Network("2001:db8:1:1::/64")
    gone(box, client, thief)
    assert prefixes(advertised)[second] == (5400, 2700)


def test_what_aaa_says_is_what_the_client_gets(make: Made) -> None:
    users = {
        "user00001": {
            "password": "secret",
            "ipv6_prefix": "2001:db8:aaaa:1::/64",
            "ipv6_address": "2001:db8:aaaa:1::7",
            "delegated_prefix": "2001:db8:bbbb::/48",
            "ipv6_dns": ["2001:db8::aa"],
        }
    }
    box, heard = make(users=users)
    client = dial(box)
    (advertised,) = heard.take(client, ICMPv6ND_RA)
    assert list(prefixes(advertised)) == [IPv6Network("2001:db8:aaaa:1::/64")]
    assert advertised[ICMPv6NDOptRDNSS].dns == ["2001:db8::aa"]
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd()))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert delegated(reply) == [IPv6Network("2001:db8:bbbb::/48")]
    assert given_address(reply) == IPv6Address("2001:db8:aaaa:1::7")
    assert reply[dhcp6.DHCP6OptDNSServers].dnsservers == ["2001:db8::aa"]
    gone(box, client)


PROFILE = {
    "dns": ["2001:db8::bb"],
    "domains": ["gold.example.net"],
    "ra": {
        **{"managed": True, "other": False, "autonomous": False, "mtu": 1400, "hop_limit": 9},
        **{"lifetime_s": 900, "preferred_s": 100, "valid_s": 200},
    },
    "server": {"preferred_s": 50, "valid_s": 70, "aftr_name": "aftr.example.net"},
}


def flags_and_times(ra: Packet) -> tuple[object, ...]:
    """Return M, O, A, hop limit, MTU, and the lifetimes of router and prefix."""
    router, (lifetimes,) = ra[ICMPv6ND_RA], prefixes(ra).values()
    mtu = ra[ICMPv6NDOptMTU].mtu if ICMPv6NDOptMTU in ra else None
    flags = router.M, router.O, ra[ICMPv6NDOptPrefixInfo].A
    return (*flags, router.chlim, mtu, router.routerlifetime, lifetimes)


def names(packet: Packet) -> tuple[object, ...]:
    """Return resolvers and search list of an advertisement."""
    dnssl = packet[ICMPv6NDOptDNSSL].searchlist if ICMPv6NDOptDNSSL in packet else []
    return packet[ICMPv6NDOptRDNSS].dns, dnssl


def test_what_a_profile_says_its_users_are_told_and_nobody_else(make: Made) -> None:
    gold = {"password": "secret", "ipv6_profile": "gold"}
    users = {"user00001": gold, "user00002": {"password": "secret"}}
    users["user00003"] = {**gold, "ipv6_dns": ["2001:db8::aa"]}
    box, heard = make(users=users, ipv6={"profile": {"gold": PROFILE}})
    clients = [dial(box, number) for number in (1, 2, 3)]
    ras = [heard.take(client, ICMPv6ND_RA)[0] for client in clients]
    special, common = (1, 0, 0, 9, 1400, 900, (200, 100)), (0, 1, 1, 64, None, 1800, (5400, 2700))
    assert [flags_and_times(ra) for ra in ras] == [special, common, special]
    domains = ["gold.example.net."]
    resolvers = [["2001:db8::bb"], ["2001:db8::53"], ["2001:db8::aa"]]
    searched = [domains, [], domains]
    assert [names(ra) for ra in ras] == list(zip(resolvers, searched, strict=True))
    said = []
    for client in clients:
        options = dhcp6.DHCP6OptOptReq(reqopts=[23, 64])
        send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd(), options))
        (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
        (lease,) = reply[dhcp6.DHCP6OptIA_PD].iapdopt
        aftr = b"\4aftr\7example\3net\0" in bytes(reply)
        dns = reply[dhcp6.DHCP6OptDNSServers].dnsservers
        said.append((lease.preflft, lease.validlft, aftr, dns))
    assert [answer[3] for answer in said] == resolvers
    assert [answer[:3] for answer in said] == [(50, 70, True), (3600, 7200, False), (50, 70, True)]
    gone(box, *clients)


# ---- both families apart ----


def terminate(box: MemoryBox, client: Subscriber, protocol: int) -> None:
    client.send_ppp(wire.ppp(protocol, wire.TERM_REQ, 9, b""))
    box.turn()


def features(box: MemoryBox, client: Subscriber) -> tuple[bool, bool]:
    """Return whether the dataplane forwards IPv4 and IPv6 for a client."""
    entry = box.dataplane.session_in[of(box, client).index]
    live = entry.state == lib.SESSION_LIVE
    bits = int(entry.features)
    return live and not bits & 1 << lib.FEATURE_IN_IP4_OFF, live and bool(bits & 1 << 2)


def test_ipv6cp_closed_and_opened_again_leaves_ipv4_alone(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    home = get_prefix(box, heard, client)
    link = side(box, client).prefix
    terminate(box, client, IPV6CP)
    assert features(box, client) == (True, False)
    session = of(box, client)
    assert (session.state, session.families) == (State.UP, IPV4)
    assert not int(box.dataplane.session_ip6[session.index].link_prefix)
    box.run(60.0, step=0.1)
    heard.take(client)
    client.ipv6cp.reset()
    client._request(client.ipv6cp, box.now)
    box.run(1.0)
    assert features(box, client) == (True, True)
    assert side(box, client).prefix == link
    assert side(box, client).delegated == [home]
    assert int(box.dataplane.session_ip6[session.index].delegated)
    assert list(prefixes(heard.take(client, ICMPv6ND_RA)[0])) == [link]
    gone(box, client)


def test_ipcp_closed_and_opened_again_leaves_ipv6_alone(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    session, address = of(box, client), of(box, client).ipv4_address
    terminate(box, client, IPCP)
    assert features(box, client) == (False, True)
    assert (session.state, session.families) == (State.UP, IPV6)
    box.run(100.0, step=0.5)
    assert client.phase is Phase.UP
    get_prefix(box, heard, client)
    client.ipcp.reset()
    client._request(client.ipcp, box.now)
    box.run(1.0)
    assert features(box, client) == (True, True)
    assert session.ipv4_address == address
    terminate(box, client, IPCP)
    terminate(box, client, IPV6CP)
    assert features(box, client) == (False, False)
    assert session.state is State.PAUSED
    gone(box, client)


def test_a_client_that_never_asks_for_ipv6_takes_nothing_of_it(make: Made) -> None:
    box, _ = make()
    client = dial(box, profile=Profile(auth=("chap",), ipv6=False))
    assert of(box, client).ipv6 is None
    assert features(box, client) == (True, False)
    box.run(120.0, step=0.5)
    assert client.phase is Phase.UP
    assert box.tables()["pool6_used"] == 0
    gone(box, client)


@pytest.mark.parametrize("changes", [{"ipv6": {"enabled": False}}, {}])
def test_who_has_no_ipv6_is_told_so_and_has_ipv4(make: Made, changes: dict[str, Any]) -> None:
    users = {"user00001": {"password": "secret"} | ({} if changes else {"ipv6": False})}
    box, heard = make(users=users, **changes)
    client = dial(box)
    assert of(box, client).families == IPV4
    assert not client.ipv6cp.open
    assert features(box, client) == (True, False)
    assert heard.take(client) == []
    gone(box, client)


def test_an_exhausted_pool_costs_ipv6_alone(make: Made) -> None:
    pool = CONFIG["ipv6"]["pool"][0] | {"prefixes": ["2001:db8:1::/64"]}
    box, _ = make(ipv6={"pool": [pool]})
    first, second = dial(box, 1), dial(box, 2)
    assert of(box, first).families == IPV4 | IPV6
    assert of(box, second).families == IPV4
    assert box.manager.counters["ipv6_pool_exhausted"] == 1
    gone(box, first, second)


def test_an_ipv6_only_subscriber_has_no_ipv4_address(make: Made) -> None:
    users = {"user00001": {"password": "secret", "ipv4": False}}
    box, heard = make(users=users)
    client = dial(box)
    session = of(box, client)
    assert (session.families, session.ipv4_address) == (IPV6, None)
    assert features(box, client) == (False, True)
    assert get_prefix(box, heard, client).subnet_of(HOMES)
    assert box.tables()["pool_used"] == 0
    assert box.tables()["nat_sessions"] == 0
    box.run(120.0, step=0.5)
    came = box.restart()
    assert (len(came.adopted), came.ended) == (1, [])
    assert features(box, client) == (False, True)
    gone(box, client)


def test_a_box_without_ipv4_pools_serves_ipv6(make: Made) -> None:
    box, heard = make(pool=[], nat={})
    client = dial(box)
    assert of(box, client).families == IPV6
    get_prefix(box, heard, client)
    gone(box, client)


def test_a_renegotiated_lcp_brings_both_back_with_the_same(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    link, home = side(box, client).prefix, get_prefix(box, heard, client)
    local = of(box, client).local_interface_id
    client.lcp.reset()
    client.names = {wire.P_LCP: client.lcp}
    client.phase = Phase.LCP
    client._request(client.lcp, box.now)
    box.run(3.0, until=lambda: client.phase is Phase.UP)
    assert client.phase is Phase.UP
    assert features(box, client) == (True, True)
    assert (side(box, client).prefix, side(box, client).delegated) == (link, [home])
    assert of(box, client).local_interface_id == local
    gone(box, client)


def test_an_end_is_announced_to_the_client(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    heard.take(client)
    link = side(box, client).prefix
    box.manager.close(of(box, client), Cause.ADMIN_RESET, "test", box.now)
    box.run(2.0)
    (advertised,) = heard.take(client, ICMPv6ND_RA)
    assert advertised.routerlifetime == 0
    assert prefixes(advertised) == {link: (0, 0)}
    box.run(70.0, step=0.5)
    assert_empty(box)


# ---- restart ----


def test_after_a_restart_the_client_notices_nothing_and_keeps_all(make: Made) -> None:
    box, heard = make(ipv6={"address_from_link": True})
    clients = [dial(box, number) for number in (1, 2, 3)]
    for client in clients:
        send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd()))
    box.run(40.0, step=0.1)
    before = [
        (side(box, c).prefix, side(box, c).delegated, side(box, c).addresses) for c in clients
    ]
    tables, leases = box.tables(), [dict(side(box, c).leases) for c in clients]
    for client in clients:
        heard.take(client)
    with box.only_server():
        came = box.restart()
        assert not box.embedded.sent(0)
    assert (len(came.adopted), came.ended) == (3, [])
    assert box.tables() == tables
    after = [(side(box, c).prefix, side(box, c).delegated, side(box, c).addresses) for c in clients]
    assert after == before
    for client, old in zip(clients, leases, strict=True):
        assert side(box, client).leases == pytest.approx(old, abs=0.1)
        assert features(box, client) == (True, True)
        home = side(box, client).delegated[0]
        send(box, client, ask(dhcp6.DHCP6_Renew(), SERVER_ID, na(), pd(hint=str(home))))
        (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
        assert delegated(reply) == [home]
    box.run(201.0, step=0.5)
    for client in clients:
        assert len(heard.take(client, ICMPv6ND_RA)) in (1, 2)
    gone(box, *clients)


def test_a_record_that_is_too_long_goes_without_duids_and_is_good_enough(make: Made) -> None:
    users = {"user00001": {"password": "secret", "acl_in": "in"}}
    box, heard = make(users=users, acl=[{"name": "in", "default": "permit"}])
    client = dial(box)
    session = of(box, client)
    session.circuit_id = bytes(range(48, 112))
    session.accept = replace(
        session.accept, sources={f"name{n}": f"{hash(n * 7.3):x}" * 3 for n in range(20)}
    )
    duid = dhcp6.DUID_LL(lladdr="02:00:5e:00:00:77")
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd(), duid=duid))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    came = box.restart()
    assert (len(came.adopted), came.ended) == (1, [])
    renew = ask(dhcp6.DHCP6_Renew(), SERVER_ID, pd(hint=str(delegated(reply)[0])), duid=duid)
    send(box, client, renew)
    (again,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert delegated(again) == delegated(reply)
    gone(box, client)


def test_one_that_died_between_the_routes_and_the_record_leaves_none(make: Made) -> None:
    box, _ = make()
    client = dial(box)
    session, link = of(box, client), side(box, client).prefix
    session.ipv6, kept = None, session.ipv6
    session.families = IPV4
    box.manager.write_down(session)  # as it was before IPv6CP
    box.dispatcher.settle()
    box.turn()
    assert kept is not None
    came = box.restart()
    assert (len(came.adopted), came.ended) == (1, [])
    assert features(box, client) == (True, False)
    assert box.manager.pools6.owner(link or LINKS) is None
    assert of(box, client).ipv6 is None


def test_what_cannot_be_adopted_leaves_no_prefix(make: Made) -> None:
    box, heard = make()
    client = dial(box)
    get_prefix(box, heard, client)
    box.dataplane.clear_control(of(box, client).index)
    came = box.restart()
    assert (came.adopted, len(came.ended)) == ([], 1)
    box.run(70.0, step=0.5)
    assert box.tables()["ipv6_sessions"] == 0
    assert box.tables()["pool6_used"] == 0


# ---- an external server ----

EXTERNAL = {
    "dhcpv6": "external",
    "external": {"servers": ["2001:db8:5::5"], "source": "2001:db8:5::1"},
}


def answer_of(box: MemoryBox, sent: bytes, message: Packet) -> None:
    """Be the server: answer a relayed message."""
    asked = parse_relay(sent)
    reply = RelayMessage(
        kind=13,
        hop_count=0,
        link_address=asked.link_address,
        peer_address=asked.peer_address,
        message=bytes(message),
        interface_id=asked.interface_id,
    )
    box.manager.ipv6.from_server(parse_relay(build_relay(reply)), box.now)
    box.turn()


def test_an_external_server_s_lease_is_forwarded_before_the_client_gets_it(make: Made) -> None:
    box, heard = make(ipv6=EXTERNAL)
    relayed: list[bytes] = []
    box.executor.relay = relayed.append
    client = dial(box)
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd()))
    (sent,) = relayed
    asked = parse_relay(sent)
    assert asked.interface_id == of(box, client).acct_session_id.encode()
    assert asked.link_address == IPv6Address("2001:db8:5::1")
    assert dict(asked.options) == {38: b"user00001"}
    home, address = IPv6Network("2001:db8:7700::/56"), IPv6Address("2001:db8:66::6")
    reply = dhcp6.DHCP6_Reply(trid=7) / dhcp6.DHCP6OptClientId(duid=DUID_CLIENT)
    reply /= dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(lladdr="02:00:00:00:00:99")) / RAPID
    inner = dhcp6.DHCP6OptIAPrefix(prefix="2001:db8:7700::", plen=56, preflft=60, validlft=100)
    reply /= dhcp6.DHCP6OptIA_PD(iaid=1, iapdopt=[inner])
    inner = dhcp6.DHCP6OptIAAddress(addr=str(address), preflft=60, validlft=100)
    reply /= dhcp6.DHCP6OptIA_NA(iaid=1, ianaopts=[inner])
    answer_of(box, sent, reply)
    assert len(heard.take(client, dhcp6.DHCP6_Reply)) == 1
    mine = side(box, client)
    assert (mine.delegated, mine.addresses) == ([home], [address])
    assert box.manager.pools6.owner(home) == of(box, client).acct_session_id
    other = dial(box, 2)
    send(box, other, ask(dhcp6.DHCP6_Solicit(), RAPID, pd()))
    answer_of(box, relayed[1], reply)
    assert heard.take(other, dhcp6.DHCP6_Reply) == [], "it is another's"
    assert side(box, other).delegated == []
    came = box.restart()
    assert len(came.adopted) == 2
    assert (side(box, client).delegated, side(box, client).addresses) == ([home], [address])
    box.run(101.0, step=0.5)
    assert (side(box, client).delegated, side(box, client).addresses) == ([], [])
    gone(box, client, other)


def test_an_answer_for_nobody_is_counted(make: Made) -> None:
    box, _ = make(ipv6=EXTERNAL)
    lost = RelayMessage(
        kind=13,
        hop_count=0,
        link_address=IPv6Address("::"),
        peer_address=IPv6Address("fe80::2"),
        message=b"\x07\0\0\1",
        interface_id=b"nobody",
    )
    box.manager.ipv6.from_server(lost, box.now)
    assert box.manager.counters["ipv6_answer_for_no_session"] == 1


def test_what_is_recorded_by_hand_is_what_packing_would_make(make: Made) -> None:
    users = {"user00001": {"password": "secret", "ipv6_routes": [{"prefix": "2001:db8:f::/48"}]}}
    box, heard = make(users=users, ipv6={"address_from_link": True})
    client = dial(box)
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd()))
    assert heard.take(client, dhcp6.DHCP6_Reply)
    mine = side(box, client)
    mine.link.advertiser.deprecate(IPv6Network("2001:db8:77::/64"), box.now)
    mine.recorded = None
    recorded = ipv6_side.read({ipv6_side.KEY: ipv6_side.describe(mine)})
    assert recorded is not None
    assert pack(recorded) == ipv6_side.describe(mine)
    assert recorded.prefix == mine.prefix
    assert {Lease(one.network, one.delegated) for one in recorded.leases} == set(mine.leases)
    assert all(one.client_id == bytes(DUID_CLIENT) for one in recorded.leases)
    assert recorded.framed == (IPv6Network("2001:db8:f::/48"),)
    assert [net for net, _ in recorded.deprecated] == [IPv6Network("2001:db8:77::/64")]
    short = ipv6_side.read({ipv6_side.KEY: ipv6_side.describe(mine, clients=False)})
    assert short is not None
    assert [one.network for one in short.leases] == [one.network for one in recorded.leases]
    assert all(one.client_id == b"" for one in short.leases)
