"""The user file: templates, every attribute, every error with file, line and key."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from bng.aaa.model import FramedIpv6Route, FramedRoute, PortForward, RatePolicy, SubscriberProfile
from bng.aaa.password import ClearText
from bng.aaa.users import Known, Users, load
from bng.errors import ConfigError

ALL_ATTRIBUTES = """
[user."alice@example.net"]
password = "secret"
ipv4_address = "203.0.113.10"
ipv4_pool = "main"
routes = [{ prefix = "10.1.0.0/16" }, { prefix = "10.2.0.0/16", gateway = "10.1.0.1", metric = 5 }]
ipv4_dns = ["192.0.2.1", "192.0.2.2"]
ipv4_nbns = ["192.0.2.3"]
ipv6_interface_id = "0:1:2:aBcD"
ipv4 = false
ipv6 = true
ipv6_prefix = "2001:db8::/64"
ipv6_pool = "links"
ipv6_address = "2001:db8::7"
ipv6_address_pool = "hosts"
delegated_prefix = "2001:db8:1::/56"
delegated_pool = "nets"
ipv6_routes = [
    { prefix = "2001:db8:2::/48" },
    { prefix = "2001:db8:3::/48", gateway = "fe80::1", metric = 5 },
]
ipv6_dns = ["2001:db8::53", "fd00::53"]
ipv6_announced_routes = ["2001:db8::/32"]
ipv6_profile = "gold"
acl_in = "outgoing"
acl_out = "incoming"
rate_up = { cir_bps = 100_000_000_000, cbs_bytes = 2048, ebs_bytes = 7 }
rate_down = { cir_bps = 1000, cbs_bytes = 9000, pir_bps = 2000, pbs_bytes = 8000 }
mtu = 1480
mss_clamp = false
nat_profile = "public"
nat_address = "198.51.100.7"
port_forwards = ["tcp 80 8080"]
session_timeout_s = 3600
idle_timeout_s = 600
simultaneous_use = 1
reply_message = "hello"
classes = ["gold", "0xC0ffee"]
interim_interval_s = 60
"""


def users(tmp_path: Path, text: str, known: Known | None = None) -> Users:
    path = tmp_path / "users.toml"
    path.write_text(text)
    return load(path, known)


def profile(tmp_path: Path, text: str, name: str = "a") -> SubscriberProfile:
    return users(tmp_path, text).by_name[name].profile


def refusal(tmp_path: Path, text: str, known: Known | None = None) -> list[str]:
    """Return the lines of the error that *text* draws, without the folder."""
    with pytest.raises(ConfigError) as caught:
        users(tmp_path, text, known)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).split("\n")]


def test_every_attribute_arrives_in_the_profile(tmp_path: Path) -> None:
    user = users(tmp_path, ALL_ATTRIBUTES).by_name["alice@example.net"]
    assert user.password == ClearText(b"secret")
    assert user.profile == SubscriberProfile(
        user_name="alice@example.net",
        ipv4_address=IPv4Address("203.0.113.10"),
        ipv4_pool="main",
        routes=(
            FramedRoute(prefix=IPv4Network("10.1.0.0/16")),
            FramedRoute(
                prefix=IPv4Network("10.2.0.0/16"), gateway=IPv4Address("10.1.0.1"), metric=5
            ),
        ),
        ipv4_dns=(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
        ipv4_nbns=(IPv4Address("192.0.2.3"),),
        ipv6_interface_id=0x0000_0001_0002_ABCD,
        ipv4=False,
        ipv6=True,
        ipv6_prefix=IPv6Network("2001:db8::/64"),
        ipv6_pool="links",
        ipv6_address=IPv6Address("2001:db8::7"),
        ipv6_address_pool="hosts",
        delegated_prefix=IPv6Network("2001:db8:1::/56"),
        delegated_pool="nets",
        ipv6_routes=(
            FramedIpv6Route(prefix=IPv6Network("2001:db8:2::/48")),
            FramedIpv6Route(
                prefix=IPv6Network("2001:db8:3::/48"), gateway=IPv6Address("fe80::1"), metric=5
            ),
        ),
        ipv6_dns=(IPv6Address("2001:db8::53"), IPv6Address("fd00::53")),
        ipv6_announced_routes=(IPv6Network("2001:db8::/32"),),
        ipv6_profile="gold",
        acl_in="outgoing",
        acl_out="incoming",
        rate_up=RatePolicy(cir_bps=100_000_000_000, cbs_bytes=2048, ebs_bytes=7),
        rate_down=RatePolicy(cir_bps=1000, cbs_bytes=9000, pir_bps=2000, pbs_bytes=8000),
        mtu=1480,
        mss_clamp=False,
        nat_profile="public",
        nat_address=IPv4Address("198.51.100.7"),
        port_forwards=(PortForward(6, 80, 8080),),
        session_timeout_s=3600,
        idle_timeout_s=600,
        simultaneous_use=1,
        reply_message="hello",
    )


def test_what_accounting_is_told_stands_beside_the_profile(tmp_path: Path) -> None:
    user = users(tmp_path, ALL_ATTRIBUTES).by_name["alice@example.net"]
    assert (user.classes, user.interim_interval_s) == ((b"gold", b"\xc0\xff\xee"), 60)


def test_the_file_can_say_every_field_of_the_model(tmp_path: Path) -> None:
    said = profile(tmp_path, ALL_ATTRIBUTES, "alice@example.net")
    nothing = SubscriberProfile(user_name="")
    for name in SubscriberProfile.__slots__:
        assert getattr(said, name) != getattr(nothing, name), name


@pytest.mark.parametrize(
    ("rate_bps", "burst_bytes"),
    [
        (1_000, 15_000),
        (600_000, 15_000),
        (600_041, 15_001),
        (1_000_000_000, 25_000_000),
        (400_000_000_000, 10_000_000_000),
        ((1 << 63) - 1, 1 << 34),
    ],
)
def test_a_rate_without_a_burst_gets_200_ms_of_it_or_ten_packets(
    tmp_path: Path, rate_bps: int, burst_bytes: int
) -> None:
    found = profile(
        tmp_path,
        f"""
        [user.a]
        password = "x"
        rate_up = {{ cir_bps = {rate_bps} }}
        rate_down = {{ cir_bps = 1000, pir_bps = {rate_bps} }}
        """,
    )
    assert found.rate_up == RatePolicy(cir_bps=rate_bps, cbs_bytes=burst_bytes)
    assert found.rate_down == RatePolicy(
        cir_bps=1000, cbs_bytes=15_000, pir_bps=rate_bps, pbs_bytes=burst_bytes
    )


def test_a_user_who_says_nothing_leaves_all_to_the_configuration(tmp_path: Path) -> None:
    assert profile(tmp_path, '[user.a]\npassword = "x"') == SubscriberProfile(user_name="a")


def test_own_keys_go_over_the_profile_and_the_profile_over_the_default(tmp_path: Path) -> None:
    found = profile(
        tmp_path,
        """
        [default]
        mtu = 1000
        simultaneous_use = 2
        ipv4_pool = "d"
        [profile.gold]
        simultaneous_use = 3
        ipv4_pool = "p"
        [user.a]
        password = "x"
        profile = "gold"
        ipv4_pool = "u"
        """,
    )
    assert (found.mtu, found.simultaneous_use, found.ipv4_pool) == (1000, 3, "u")


def test_the_default_profile_is_for_users_that_name_none(tmp_path: Path) -> None:
    text = """
        default.profile = "silver"
        profile.silver.mtu = 1001
        profile.gold.mtu = 1002
        user.a.password = "x"
        user.b = { password = "x", profile = "gold" }
        """
    assert profile(tmp_path, text, "a").mtu == 1001
    assert profile(tmp_path, text, "b").mtu == 1002


def test_an_empty_file_has_no_users(tmp_path: Path) -> None:
    assert len(users(tmp_path, "")) == 0


def test_names_of_the_configuration_are_accepted_when_they_exist(tmp_path: Path) -> None:
    known = Known(pools={"main"}, nat_profiles={"always"}, acls={"mail"})
    text = """
        default = { ipv4_pool = "main", acl_in = "mail" }
        user.a = { password = "x", nat_profile = "always" }
        """
    assert len(users(tmp_path, text, known)) == 1
    assert len(users(tmp_path, '[user.a]\npassword = "x"\nnat_profile = "none"', known)) == 1


def test_one_user_may_have_an_address_of_his_prefix_and_pools_that_fit(tmp_path: Path) -> None:
    known = Known(ipv6_pools={"links": 64, "nets": 56, "hosts": 128})
    text = """
        default = { ipv6_pool = "links", ipv6_address_pool = "hosts", delegated_pool = "nets" }
        [user.a]
        password = "x"
        ipv6_prefix = "2001:db8:0:1::/64"
        ipv6_address = "2001:db8:0:1::7"
        [user.b]
        password = "x"
        ipv6_prefix = "2001:db8:0:2::/64"
        delegated_prefix = "2001:db8:1::/48"
        delegated_pool = "links"
        """
    assert len(users(tmp_path, text, known)) == 2


USER = '[user.a]\npassword = "x"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[users]", "1: users: unknown key"),
        ("[user]\na = 5", "2: user.a: must be a table"),
        ("[user.a]", "1: user.a.password: missing key"),
        ('[user.a]\npasword = "x"\npassword = "x"', "2: user.a.pasword: unknown key"),
        ("[user.a]\npassword = 5", "2: user.a.password: must be a string"),
        (
            '[user.a]\npassword = ""',
            "2: user.a.password: must have 1 to 255 bytes",
        ),
        (USER + "mtu = 575", "3: user.a.mtu: must be at least 576, not 575"),
        (USER + "mtu = 1e3", "3: user.a.mtu: must be an integer"),
        (USER + "mss_clamp = 1", "3: user.a.mss_clamp: must be true or false"),
        (USER + "ipv4_address = 5", "3: user.a.ipv4_address: must be an IPv4 address"),
        (USER + 'ipv4_address = "::1"', "3: user.a.ipv4_address: must be an IPv4 address"),
        (
            USER + 'ipv4_dns = [\n"1.1.1.1",\n"1.1.1.2",\n"1.1.1.3"]',
            "3: user.a.ipv4_dns: must have at most 2 entries",
        ),
        (USER + 'ipv4_dns = [\n"1.1.1.1",\n"x"]', "5: user.a.ipv4_dns[1]: must be an IPv4 address"),
        (
            USER + 'routes = [\n{ prefix = "10.0.0.0/8" },\n{ prefix = "10.0.0.1/8" }]',
            "5: user.a.routes[1].prefix: must be an IPv4 prefix, host bits zero: 192.0.2.0/24",
        ),
        (USER + "routes = [{}]", "3: user.a.routes[0].prefix: missing key"),
        *(
            (
                USER + f'ipv6_interface_id = "{wrong}"',
                "3: user.a.ipv6_interface_id: must be four groups of hexadecimal digits, "
                'not all zero: "0:0:0:1"',
            )
            for wrong in ("0:0:0:0", "1:2:3", "1:2:3:4:5", "1:2:3:12345", "::1", "x:0:0:0")
        ),
        (USER + "rate_up = 5", "3: user.a.rate_up: must be a table"),
        (
            USER + "rate_up = { cir_bps = 999, cbs_bytes = 9000 }",
            "3: user.a.rate_up.cir_bps: must be at least 1000, not 999",
        ),
        (
            USER + "[user.a.rate_down]\ncir_bps = 8000\ncbs_bytes = 2047",
            "5: user.a.rate_down.cbs_bytes: must be at least 2048, not 2047",
        ),
        (
            USER + "rate_up = { cir_bps = 8000, pir_bps = 7999 }",
            "3: user.a.rate_up: pir_bps must be at least cir_bps",
        ),
        (
            USER + "rate_up = { cir_bps = 8000, pbs_bytes = 9000 }",
            "3: user.a.rate_up: pbs_bytes is the burst of a pir_bps, which is missing",
        ),
        (
            USER + "rate_up = { cir_bps = 8000, pir_bps = 9000, ebs_bytes = 9000 }",
            "3: user.a.rate_up: ebs_bytes is of RFC 2697, pir_bps of RFC 2698: one of them",
        ),
        (
            USER + "simultaneous_use = 0",
            "3: user.a.simultaneous_use: must be at least 1, not 0",
        ),
        (
            USER + 'classes = ["gold", "0x1"]',
            '3: user.a.classes[1]: must be 1 to 253 bytes: text, or octets as "0x0102"',
        ),
        (
            USER + "interim_interval_s = 59",
            "3: user.a.interim_interval_s: must be at least 60, not 59",
        ),
        (USER + 'profile = "x"', "3: user.a.profile: there is no [profile.x]"),
        (USER + "profile = 5", "3: user.a.profile: must be a string"),
        (USER + '[default]\nprofile = "x"', "4: default.profile: there is no [profile.x]"),
        ("[default]\npassword = 'x'", "2: default.password: unknown key"),
        ("[profile.p]\nipv4_address = '10.0.0.1'", "2: profile.p.ipv4_address: unknown key"),
        ("[profile.p]\nprofile = 'p'", "2: profile.p.profile: unknown key"),
        ("[profile.p]\nmtu = 1", "2: profile.p.mtu: must be at least 576, not 1"),
        (
            '[user.""]\npassword = "x"',
            '1: user."": a user name has 1 to 253 bytes, all printable',
        ),
        (
            '[user."a@b"]\npassword = "x"\nmtu = 1',
            '3: user."a@b".mtu: must be at least 576, not 1',
        ),
        (
            USER + "ipv4_address = '10.0.0.1'\nsimultaneous_use = 2",
            "3: user.a.ipv4_address: a static address allows one session: "
            "simultaneous_use must be 1",
        ),
        (
            USER + "ipv4_address = '10.0.0.1'\n[user.b]\npassword = 'x'\nipv4_address = '10.0.0.1'",
            "6: user.b.ipv4_address: 10.0.0.1 belongs to user a, too",
        ),
        (
            "[user]\na = { password = 'x', routes = [{ prefix = '10.0.0.0/8' }] }\n"
            "b = { password = 'x', routes = [{ prefix = '10.0.0.0/8' }] }",
            "3: user.b.routes[0].prefix: 10.0.0.0/8 belongs to user a, too",
        ),
        (USER + "ipv6 = 1", "3: user.a.ipv6: must be true or false"),
        *(
            (
                USER + f'ipv6_prefix = "{wrong}"',
                "3: user.a.ipv6_prefix: must be a unicast IPv6 prefix of length 64: "
                "2001:db8:0:1::/64",
            )
            for wrong in ("2001:db8::/63", "2001:db8::1/64", "fe80::/64", "ff02::/64", "::/64")
        ),
        (
            USER + 'delegated_prefix = "2001:db8::/65"',
            "3: user.a.delegated_prefix: must be a unicast IPv6 prefix, /64 or shorter: "
            "2001:db8:1::/56",
        ),
        (
            USER + 'ipv6_address = "fe80::1"',
            "3: user.a.ipv6_address: must be a unicast IPv6 address: 2001:db8:0:1::2",
        ),
        (
            USER + 'ipv6_routes = [{ prefix = "::/0" }]',
            "3: user.a.ipv6_routes[0].prefix: must be a unicast IPv6 prefix, host bits zero: "
            "2001:db8:2::/48",
        ),
        (
            USER + 'ipv6_routes = [{ prefix = "2001:db8::" }]',
            "3: user.a.ipv6_routes[0].prefix: must be a unicast IPv6 prefix, host bits zero: "
            "2001:db8:2::/48",
        ),
        (USER + 'ipv6_dns = ["fe80::1%1"]', "3: user.a.ipv6_dns[0]: must be an IPv6 address"),
        (
            USER + 'ipv6_announced_routes = ["2001:db8::"]',
            "3: user.a.ipv6_announced_routes[0]: must be an IPv6 prefix, host bits zero: "
            "2001:db8::/32",
        ),
        (
            USER + 'delegated_prefix = "2001:db8::/56"\nsimultaneous_use = 2',
            "3: user.a.delegated_prefix: is for one session alone: simultaneous_use must be 1",
        ),
        (
            USER + 'delegated_prefix = "2001:db8::/56"\n'
            "[user.b]\npassword = 'x'\nipv6_prefix = '2001:db8:0:1::/64'",
            "6: user.b.ipv6_prefix: 2001:db8:0:1::/64 is a part of 2001:db8::/56, which belongs to "
            "user a, too",
        ),
        (
            USER + 'ipv6_address = "2001:db8::1"\n'
            "[user.b]\npassword = 'x'\nipv6_routes = [{ prefix = '2001:db8::1/128' }]",
            "6: user.b.ipv6_routes[0].prefix: 2001:db8::1/128 belongs to user a, too",
        ),
        ("[profile.p]\nipv6_prefix = '2001:db8::/64'", "2: profile.p.ipv6_prefix: unknown key"),
        ("[user.a", "1: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_wrong_key_is_refused_with_file_line_and_name(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert refusal(tmp_path, text) == [f"users.toml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            USER + 'ipv4_pool = "x"',
            '3: user.a.ipv4_pool: there is no [[pool]] named "x" in the configuration',
        ),
        (
            USER + 'nat_profile = "x"',
            "3: user.a.nat_profile: there is no [nat.profile.x] in the configuration",
        ),
        (
            USER + 'acl_out = "x"',
            '3: user.a.acl_out: there is no [[acl]] named "x" in the configuration',
        ),
        (
            USER + '[default]\nipv4_pool = "x"',
            '4: default.ipv4_pool: there is no [[pool]] named "x" in the configuration',
        ),
        (
            USER + 'profile = "p"\n[profile.p]\nipv4_pool = "x"',
            '5: profile.p.ipv4_pool: there is no [[pool]] named "x" in the configuration',
        ),
        (
            USER + 'ipv4_address = "192.0.2.1"',
            "3: user.a.ipv4_address: 192.0.2.1 is an address of this box",
        ),
        (
            USER + 'delegated_prefix = "2001:db8::/56"',
            "3: user.a.delegated_prefix: 2001:db8::1 is an address of this box",
        ),
        (
            USER + 'delegated_pool = "x"',
            '3: user.a.delegated_pool: there is no [[ipv6.pool]] named "x" in the configuration',
        ),
        (
            USER + 'ipv6_pool = "nets"',
            "3: user.a.ipv6_pool: the pool has prefixes of length 56, not 64 to 64",
        ),
        (
            USER + '[default]\nipv6_address_pool = "nets"',
            "4: default.ipv6_address_pool: the pool has prefixes of length 56, not 128 to 128",
        ),
    ],
)
def test_what_the_configuration_lacks_is_refused_where_it_is_named(
    tmp_path: Path, text: str, expected: str
) -> None:
    own = {IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")}
    known = Known(pools={"main"}, ipv6_pools={"nets": 56}, own_addresses=own)
    assert refusal(tmp_path, text, known) == [f"users.toml:{expected}"]


def test_no_error_repeats_a_password(tmp_path: Path) -> None:
    text = '[user.a]\npassword = "{md5}hunter2"\n[user.b]\npassword = ["hunter2"]\n'
    lines = refusal(tmp_path, text + '[user.c]\npassword = "x"\nhunter = "hunter2"')
    assert len(lines) == 3
    assert "hunter2" not in "".join(lines)


def test_one_wrong_user_refuses_the_whole_file(tmp_path: Path) -> None:
    text = "".join(f'[user.u{n}]\npassword = "x"\n' for n in range(100)) + "[user.bad]\n"
    assert refusal(tmp_path, text) == ["users.toml:201: user.bad.password: missing key"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file or directory$"):
        load(tmp_path / "none.toml")


def test_twenty_thousand_users_load_and_the_last_one_is_found(tmp_path: Path) -> None:
    text = '[profile.gold]\nipv4_pool = "main"\n' + "".join(
        f'[user."user{n}@example.net"]\npassword = "secret{n}"\nprofile = "gold"\n'
        for n in range(20_000)
    )
    found = users(tmp_path, text)
    assert len(found) == 20_000
    assert found.by_name["user19999@example.net"].password == ClearText(b"secret19999")


NAT = Known(
    nat_profiles={"open", "fixed"},
    nat_addresses={
        IPv4Address("198.51.100.1"): "shared",
        IPv4Address("198.51.100.2"): "own",
        IPv4Address("198.51.100.3"): "computed",
    },
    nat_pools={"shared": "port-blocks", "own": "one-to-one", "computed": "deterministic"},
    nat_pool_of_profile={"fixed": "own"},
)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('nat_address = "198.51.100.9"', "198.51.100.9 is in no [[nat.pool]] of the configuration"),
        (
            'nat_address = "198.51.100.3"',
            "198.51.100.3 is of pool computed, whose ports go by the inner address",
        ),
        (
            'nat_address = "198.51.100.2"\nsimultaneous_use = 2',
            "198.51.100.2 is for one session alone: simultaneous_use must be 1",
        ),
        (
            'nat_address = "198.51.100.1"\nnat_profile = "none"',
            "nat_profile none says that nothing is translated",
        ),
        (
            'nat_address = "198.51.100.1"\nnat_profile = "open"',
            "nat_profile open says that nothing is translated",
        ),
        (
            'nat_address = "198.51.100.1"\nnat_profile = "fixed"',
            "198.51.100.1 is of pool shared, nat_profile fixed takes own",
        ),
    ],
)
def test_a_public_address_that_cannot_be_had_is_refused(
    tmp_path: Path, keys: str, expected: str
) -> None:
    found = refusal(tmp_path, USER + keys, NAT)
    assert found == [f"users.toml:3: user.a.nat_address: {expected}"]


def test_a_one_to_one_address_is_one_users_and_a_shared_one_many_users(tmp_path: Path) -> None:
    text = """
        user.a = { password = "x", nat_address = "ADDRESS" }
        user.b = { password = "x", nat_address = "ADDRESS" }
    """
    own, shared = text.replace("ADDRESS", "198.51.100.2"), text.replace("ADDRESS", "198.51.100.1")
    assert refusal(tmp_path, own, NAT) == [
        "users.toml:3: user.b.nat_address: 198.51.100.2 belongs to user a, too"
    ]
    assert len(users(tmp_path, shared, NAT)) == 2
