"""Attributes of an Access-Accept: what each sets, refuses, or is warned about."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from bng.aaa import attributes
from bng.aaa.model import FramedIpv6Route, FramedRoute, PortForward, RatePolicy
from bng.aaa.reading import Offered, Reading, Value
from radius.dictionary import Dictionary

OFFERED = Offered(
    pools={"main"},
    acls={"clean", "a.in"},
    nat_profiles={"static"},
    ipv6_profiles={"gold"},
    ipv6_pools={"links": 64, "nets": 56, "hosts": 128},
    own_addresses={IPv4Address("100.64.0.1"), IPv6Address("2001:db8:ffff::1")},
)
ADDRESS6 = IPv6Address("2001:db8::7")
LINK, NET = IPv6Network("2001:db8:0:1::/64"), IPv6Network("2001:db8:1::/56")
ADDRESS = IPv4Address("203.0.113.7")


def read(*pairs: tuple[str, Value]) -> Reading:
    return attributes.read(pairs, OFFERED)


def test_every_row_is_in_the_dictionary() -> None:
    dictionary = Dictionary()
    assert [row.name for row in attributes.ROWS if row.name not in dictionary] == []


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("User-Name", "alice", {"user_name": "alice"}),
        ("Service-Type", 2, {}),
        ("Framed-Protocol", 1, {}),
        ("Framed-IP-Address", ADDRESS, {"ipv4_address": ADDRESS}),
        ("Framed-IP-Address", IPv4Address("255.255.255.254"), {}),
        ("Framed-IP-Address", IPv4Address("255.255.255.255"), {}),
        ("Framed-IP-Netmask", IPv4Address("255.255.255.255"), {}),
        ("Framed-Routing", 0, {}),
        ("Framed-Compression", 0, {}),
        ("Filter-Id", "clean", {"acl_in": "clean", "acl_out": "clean"}),
        ("Filter-Id", "clean.in", {"acl_in": "clean"}),
        ("Filter-Id", "clean.out", {"acl_out": "clean"}),
        ("Filter-Id", "a.in", {"acl_in": "a.in", "acl_out": "a.in"}),
        ("Filter-Id", "a.in.out", {"acl_out": "a.in"}),
        ("Framed-MTU", 1400, {"mtu": 1400}),
        ("Framed-Pool", "main", {"ipv4_pool": "main"}),
        ("State", b"\x01", {}),
        ("Session-Timeout", 3600, {"session_timeout_s": 3600}),
        ("Idle-Timeout", 600, {"idle_timeout_s": 600}),
        ("Termination-Action", 0, {}),
        ("Port-Limit", 2, {"simultaneous_use": 2}),
        ("Framed-Interface-Id", bytes(7) + b"\x05", {"ipv6_interface_id": 5}),
        ("Framed-IPv6-Prefix", LINK, {"ipv6_prefix": LINK}),
        ("Framed-IPv6-Pool", "links", {"ipv6_pool": "links"}),
        ("Framed-IPv6-Address", ADDRESS6, {"ipv6_address": ADDRESS6}),
        ("Stateful-IPv6-Address-Pool", "hosts", {"ipv6_address_pool": "hosts"}),
        ("Delegated-IPv6-Prefix", NET, {"delegated_prefix": NET}),
        ("Delegated-IPv6-Prefix", LINK, {"delegated_prefix": LINK}),
        ("Delegated-IPv6-Prefix-Pool", "nets", {"delegated_pool": "nets"}),
        ("Framed-IPv6-Route", str(NET), {"ipv6_routes": (FramedIpv6Route(prefix=NET),)}),
        ("Framed-IPv6-Route", f"{NET} :: 1", {"ipv6_routes": (FramedIpv6Route(prefix=NET),)}),
        (
            "Framed-IPv6-Route",
            "2001:db8::7 fe80::1 5 6",
            {
                "ipv6_routes": (
                    FramedIpv6Route(
                        prefix=IPv6Network(ADDRESS6), gateway=IPv6Address("fe80::1"), metric=5
                    ),
                )
            },
        ),
        ("DNS-Server-IPv6-Address", ADDRESS6, {"ipv6_dns": (ADDRESS6,)}),
        ("Route-IPv6-Information", NET, {"ipv6_announced_routes": (NET,)}),
        ("Bng-Ipv6-Profile", "gold", {"ipv6_profile": "gold"}),
        ("Bng-Ipv4", 0, {"ipv4": False}),
        ("Bng-Ipv6", 1, {"ipv6": True}),
        ("MS-Primary-DNS-Server", ADDRESS, {"ipv4_dns": (ADDRESS,)}),
        ("MS-Primary-NBNS-Server", ADDRESS, {"ipv4_nbns": (ADDRESS,)}),
        ("Cisco-AVPair", "ip:addr-pool=main", {"ipv4_pool": "main"}),
        ("Cisco-AVPair", "ip:dns-servers=203.0.113.7", {"ipv4_dns": (ADDRESS,)}),
        ("Bng-Acl-In", "clean", {"acl_in": "clean"}),
        ("Bng-Acl-Out", "clean", {"acl_out": "clean"}),
        ("Bng-Nat-Profile", "static", {"nat_profile": "static"}),
        ("Bng-Nat-Profile", "none", {"nat_profile": "none"}),
        ("Bng-Nat-Address", ADDRESS, {"nat_address": ADDRESS}),
        ("Bng-Nat-Port-Forward", "tcp 80 8080", {"port_forwards": (PortForward(6, 80, 8080),)}),
        ("Bng-Mss-Clamp", 0, {"mss_clamp": False}),
    ],
)
def test_what_an_attribute_sets(name: str, value: Value, fields: dict[str, object]) -> None:
    reading = read((name, value))
    assert (reading.fields, reading.refusal, reading.warnings) == (fields, None, [])
    assert reading.sources == dict.fromkeys(fields, name)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("WISPr-Bandwidth-Max-Up", 1_000_000, "rate_up"),
        ("WISPr-Bandwidth-Max-Down", 1_000_000, "rate_down"),
        ("Bng-Rate-Up", "1M", "rate_up"),
        ("Bng-Rate-Down", "1M", "rate_down"),
    ],
)
def test_rates_of_one_direction(name: str, value: Value, field: str) -> None:
    assert read((name, value)).fields == {field: RatePolicy(cir_bps=10**6, cbs_bytes=25_000)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Filter-Id", "1000/1000"),
        ("Mikrotik-Rate-Limit", "1M/1M"),
        ("Mikrotik-Rate-Limit", "1M"),
    ],
)
def test_rates_of_both_directions(name: str, value: str) -> None:
    rate = RatePolicy(cir_bps=10**6, cbs_bytes=25_000)
    assert read((name, value)).fields == {"rate_up": rate, "rate_down": rate}


def test_a_cisco_rate_limit_sets_its_direction() -> None:
    tail = "conform-action transmit exceed-action drop"
    text = f"lcp:interface-config#1=rate-limit input 1000000 25000 25000 {tail}"
    assert read(("Cisco-AVPair", text)).fields == {
        "rate_up": RatePolicy(cir_bps=10**6, cbs_bytes=25_000)
    }


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("198.51.100.0/24 0.0.0.0 1", FramedRoute(prefix=IPv4Network("198.51.100.0/24"))),
        ("198.51.100.0/24", FramedRoute(prefix=IPv4Network("198.51.100.0/24"))),
        ("198.51.100.0", FramedRoute(prefix=IPv4Network("198.51.100.0/24"))),
        ("10.0.0.0", FramedRoute(prefix=IPv4Network("10.0.0.0/8"))),
        ("172.16.0.0", FramedRoute(prefix=IPv4Network("172.16.0.0/16"))),
        (
            "198.51.100.0/24 203.0.113.7 5 6 -1",
            FramedRoute(prefix=IPv4Network("198.51.100.0/24"), gateway=ADDRESS, metric=5),
        ),
    ],
)
def test_framed_routes(text: str, route: FramedRoute) -> None:
    """RFC 2865 §5.22."""
    assert read(("Framed-Route", text)).fields == {"routes": (route,)}


def test_cisco_routes_may_have_a_mask() -> None:
    wanted = {"routes": (FramedRoute(prefix=IPv4Network("198.51.100.0/24")),)}
    assert read(("Cisco-AVPair", "ip:route=198.51.100.0 255.255.255.0")).fields == wanted
    assert read(("Cisco-AVPair", "ip:route#1=198.51.100.0/24")).fields == wanted


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Service-Type", 1, "1 is not served, only Framed"),
        ("Framed-Protocol", 2, "2 is not served, only PPP"),
        ("Framed-IP-Address", IPv4Address("224.0.0.1"), "224.0.0.1 is no address for a subscriber"),
        ("Framed-IP-Address", IPv4Address("0.0.0.0"), "0.0.0.0 is no address for a subscriber"),
        ("Framed-IP-Address", IPv4Address("100.64.0.1"), "100.64.0.1 is an address of this box"),
        ("Framed-Pool", "other", "there is no pool other"),
        ("Framed-Route", "", "empty"),
        ("Framed-Route", "198.51.100.1/24", "198.51.100.1/24 has host bits set"),
        ("Framed-Route", "198.51.100.0/24 0.0.0.0 -1", "metric -1"),
        ("Filter-Id", "other", "there is no ACL other"),
        ("Filter-Id", "clean.up", "there is no ACL clean.up"),
        ("Filter-Id", b"\xff", "b'\\xff' is no str"),
        ("Callback-Number", "1", "callback is not served"),
        ("Tunnel-Type", b"\0", "a tunnel is not served"),
        ("EAP-Message", b"\0", "EAP is not served"),
        ("Framed-Interface-Id", bytes(8), "0x0000000000000000 is no interface identifier"),
        ("Framed-IPv6-Prefix", NET, f"{NET} is no /64; a network is delegated or routed"),
        (
            "Framed-IPv6-Prefix",
            IPv6Network("fe80::/64"),
            "fe80::/64 is no prefix for a subscriber",
        ),
        ("Framed-IPv6-Prefix", b"\0\x40", "b'\\x00@' is no IPv6Network"),
        (
            "Framed-IPv6-Prefix",
            IPv6Network("2001:db8:ffff::/64"),
            "2001:db8:ffff::1 is an address of this box",
        ),
        (
            "Framed-IPv6-Address",
            IPv6Address("2001:db8:ffff::1"),
            "2001:db8:ffff::1 is an address of this box",
        ),
        ("Framed-IPv6-Address", IPv6Address("::1"), "::1/128 is no prefix for a subscriber"),
        (
            "Delegated-IPv6-Prefix",
            IPv6Network("2001:db8::/65"),
            "2001:db8::/65 is longer than /64",
        ),
        ("Delegated-IPv6-Prefix", IPv6Network("::/0"), "::/0 is no prefix for a subscriber"),
        ("Framed-IPv6-Route", "", "empty"),
        ("Framed-IPv6-Route", "::/0", "::/0 is no prefix for a subscriber"),
        ("Framed-IPv6-Route", "2001:db8::1/64", "2001:db8::1/64 has host bits set"),
        ("Framed-IPv6-Route", "2001:db8::/64 :: -1", "metric -1"),
        (
            "Framed-IPv6-Route",
            "2001:db8:ffff::/48",
            "2001:db8:ffff::1 is an address of this box",
        ),
        ("Framed-IPv6-Pool", "other", "there is no pool other"),
        ("Framed-IPv6-Pool", "nets", "the pool has prefixes of length 56, not 64 to 64"),
        (
            "Stateful-IPv6-Address-Pool",
            "links",
            "the pool has prefixes of length 64, not 128 to 128",
        ),
        (
            "Delegated-IPv6-Prefix-Pool",
            "hosts",
            "the pool has prefixes of length 128, not 1 to 64",
        ),
        ("Bng-Acl-In", "other", "there is no ACL other"),
        ("Bng-Nat-Profile", "other", "there is no NAT profile other"),
        ("Bng-Ipv6-Profile", "other", "there is no IPv6 profile other"),
        ("Bng-Rate-Up", "fast", "'fast' is no rate"),
        ("Cisco-AVPair", "ip:vrf-id=red", "a VRF is not served"),
    ],
)
def test_what_cannot_be_given_refuses_the_session(name: str, value: Value, why: str) -> None:
    """RFC 2865 §1.1: an unavailable service makes of an Access-Accept a reject."""
    assert read((name, value)).refusal == f"{name}: {why}"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("User-Name", "", "empty"),
        ("Framed-IP-Netmask", IPv4Address("255.255.255.0"), "a netmask, use Framed-Route for "),
        ("Framed-Routing", 3, "routing with the client is not served"),
        ("Framed-Compression", 1, "header compression is not served"),
        ("Framed-MTU", 60, "60 is not 576 to 1912"),
        ("Session-Timeout", 0, "0 is not 1 to 4294967295"),
        ("Termination-Action", 1, "asking again is not served"),
        ("Acct-Interim-Interval", 5, "5 s: raised to 60"),
        ("DNS-Server-IPv6-Address", IPv6Address("ff02::1"), "ff02::1 is no address of a server"),
        ("Cisco-AVPair", "shell:priv-lvl=15", "'shell:priv-lvl=15' is not served"),
    ],
)
def test_what_has_no_effect_is_warned_about(name: str, value: Value, why: str) -> None:
    reading = read((name, value))
    assert reading.refusal is None
    (warning,) = reading.warnings
    assert warning.startswith(f"{name}: {why}")


def test_what_is_for_accounting_is_kept_apart() -> None:
    reading = read(("Class", b"\x01"), ("Class", b"\x02"), ("Acct-Interim-Interval", 300))
    assert (reading.classes, reading.interim_interval_s) == ([b"\x01", b"\x02"], 300)
    assert read(("Acct-Interim-Interval", 5)).interim_interval_s == 60


def test_unknown_attributes_are_ignored_by_name() -> None:
    assert read(("Attr-250", b"\0")).ignored == ["Attr-250"]


def test_too_many_routes_refuse_and_too_many_classes_are_warned_about() -> None:
    route = ("Framed-Route", "198.51.100.0/24")
    assert read(*[route] * 16).refusal is None
    assert read(*[route] * 17).refusal == "Framed-Route: more than 16 routes"
    assert read(*[("Class", b"c")] * 9).warnings == ["Class: more than 8"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Framed-IPv6-Prefix", LINK),
        ("Framed-IPv6-Address", ADDRESS6),
        ("Delegated-IPv6-Prefix", NET),
    ],
)
def test_a_second_prefix_that_would_be_left_out_refuses_the_session(
    name: str, value: Value
) -> None:
    assert read((name, value), (name, value)).refusal == f"{name}: more than one is not served"


def test_what_ipv6_has_several_of_is_kept_in_its_order_up_to_a_limit() -> None:
    servers = [IPv6Address(f"2001:db8::{n}") for n in (3, 1, 2, 4)]
    reading = read(*(("DNS-Server-IPv6-Address", server) for server in servers))
    assert reading.fields == {"ipv6_dns": tuple(servers[:3])}
    assert reading.warnings == ["DNS-Server-IPv6-Address: more than 3"]
    told = read(*[("Route-IPv6-Information", NET)] * 17)
    assert told.warnings == ["Route-IPv6-Information: more than 16"]
    route = ("Framed-IPv6-Route", str(NET))
    assert read(*[route] * 16).refusal is None
    assert read(*[route] * 17).refusal == "Framed-IPv6-Route: more than 16 routes"


def test_the_profile_has_what_was_read_and_the_name_that_was_given() -> None:
    reading = read(
        ("MS-Secondary-DNS-Server", IPv4Address("192.0.2.2")),
        ("MS-Primary-DNS-Server", IPv4Address("192.0.2.1")),
        ("Reply-Message", "one"),
        ("Reply-Message", "two"),
    )
    made = attributes.profile(reading, "bob")
    assert (made.user_name, made.reply_message) == ("bob", "one\ntwo")
    assert made.ipv4_dns == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    assert attributes.profile(read(("User-Name", "alice")), "bob").user_name == "alice"


def test_port_forwards_add_up_and_those_that_are_none_are_left_out() -> None:
    name = "Bng-Nat-Port-Forward"
    texts = [*(f"udp {n} {n}" for n in range(1, 34)), "udp 0 1"]
    reading = read(*((name, text) for text in texts))
    assert reading.fields == {"port_forwards": tuple(PortForward(17, n, n) for n in range(1, 33))}
    assert reading.refusal is None
    assert len(reading.warnings) == 2
    assert read((name, "sctp 1 1")).fields == {}
