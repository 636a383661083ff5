"""Rules of ACLs as text."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from bng.aaa.acl import AclRule, parse_bypass, parse_rule

TEN = (IPv4Address("10.0.0.0"), IPv4Address("10.255.255.255"))
ONE = (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.1"))
DOCS = (IPv6Address("2001:db8::"), IPv6Address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"))
ONE6 = (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::1"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("permit ip any any", AclRule(action="permit")),
        ("reject 47 any  10.0.0.0/8", AclRule(action="reject", protocol=47, destination=TEN)),
        (
            "deny tcp 192.0.2.1 port 1024-65535 10.0.0.0/8 port 25",
            AclRule(
                action="deny",
                protocol=6,
                source=ONE,
                source_port=(1024, 65535),
                destination=TEN,
                destination_port=(25, 25),
            ),
        ),
        (
            "deny udp any port 0 192.0.2.1-192.0.2.1",
            AclRule(action="deny", protocol=17, source_port=(0, 0), destination=ONE),
        ),
        (
            "permit icmpv6 2001:db8::/32 2001:db8::1",
            AclRule(action="permit", protocol=58, source=DOCS, destination=ONE6),
        ),
        (
            "deny udp any port 53 2001:db8::1-2001:0db8::0001 port 1-2",
            AclRule(
                action="deny",
                protocol=17,
                source_port=(53, 53),
                destination=ONE6,
                destination_port=(1, 2),
            ),
        ),
    ],
)
def test_a_rule_says_what_it_fits(text: str, rule: AclRule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "permit ip any any",
        "reject gre any 10.0.0.0/8",
        "deny 99 192.0.2.1 192.0.2.3-192.0.2.4",
        "deny tcp 192.0.2.1 port 1024-65535 0.0.0.0/0 port 25",
        "reject tcp 2001:db8::1 port 1024-65535 ::/0 port 25",
        "deny icmpv6 2001:db8::3-2001:db8::4 fe80::/10",
    ],
)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_rule(text)) == text
    assert parse_rule(str(parse_rule(text))) == parse_rule(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a rule is: ACTION PROTOCOL SOURCE [port PORTS] DESTINATION [port PORTS]"),
        ("deny tcp any", "a rule is: ACTION PROTOCOL SOURCE [port PORTS] DESTINATION [port PORTS]"),
        ("drop ip any any", "'drop' is not permit, deny or reject"),
        (
            "deny 256 any any",
            "'256' is not ip, icmp, tcp, udp, gre, esp, icmpv6 or a number up to 255",
        ),
        (
            "deny ip6 any any",
            "'ip6' is not ip, icmp, tcp, udp, gre, esp, icmpv6 or a number up to 255",
        ),
        ("deny ip any port 25", "there is no destination"),
        ("deny ip any any port 25", "ports are those of tcp and udp"),
        ("deny tcp any any port", "there is no number behind port"),
        ("deny tcp any any port 65536", "'65536' is not a port up to 65535, or a range of them"),
        ("deny tcp any any port 9-8", "'9-8' is not a port up to 65535, or a range of them"),
        ("deny tcp any any port x", "'x' is not a port or FIRST-LAST"),
        ("deny tcp any any port 1-", "'1-' is not a port or FIRST-LAST"),
        ("deny ip 10.0.0.1/8 any", "'10.0.0.1/8' is not any, an address, a prefix or FIRST-LAST"),
        ("deny ip any ::1/64", "'::1/64' is not any, an address, a prefix or FIRST-LAST"),
        ("deny ip any fe80::1%1", "'fe80::1%1' is not any, an address, a prefix or FIRST-LAST"),
        ("deny ip any ::-1.2.3.4", "'::-1.2.3.4' is not any, an address, a prefix or FIRST-LAST"),
        ("deny ip any ::2-::1", "'::2-::1' ends before it begins"),
        ("deny ip 10.0.0.0/8 ::/0", "IPv4 and IPv6 in one rule: it would fit nothing"),
        ("deny icmp ::1 any", "IPv4 and IPv6 in one rule: it would fit nothing"),
        ("deny 58 any 0.0.0.0/0", "IPv4 and IPv6 in one rule: it would fit nothing"),
        ("deny ip any 10.0.0.2-10.0.0.1", "'10.0.0.2-10.0.0.1' ends before it begins"),
        (
            "deny tcp any any port 25 log",
            "'log' is too much: a rule is: ACTION PROTOCOL SOURCE [port PORTS] "
            "DESTINATION [port PORTS]",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_rule(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("deny tcp any any", set()),
        ("deny icmp any any", {4}),
        ("deny icmpv6 any any", {6}),
        ("deny ip any 0.0.0.0/0", {4}),
        ("deny ip ::/0 any", {6}),
    ],
)
def test_a_rule_without_addresses_is_of_both_versions(text: str, versions: set[int]) -> None:
    assert parse_rule(text).versions == versions


def test_what_nat_leaves_as_it_is_is_ipv4() -> None:
    with pytest.raises(ValueError, match="'2001:db8::/32' is IPv6, which is never translated"):
        parse_bypass("2001:db8::/32 tcp 80")
