"""Attributes that the configuration maps to fields; what a user file and RADIUS can both say."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from bng.aaa import attributes
from bng.aaa.attributes import BY_NAME, ROWS
from bng.aaa.extra import READ_AS, extra_row
from bng.aaa.model import FramedRoute, PortForward, RatePolicy
from bng.aaa.reading import Offered, Value
from bng.aaa.users import _User
from bng.config import Config, load
from bng.daemon import EXIT_CONFIG, main
from bng.errors import ConfigError
from bng.io.radius_service import read_dictionaries
from radius.dictionary import Dictionary
from tests.support.freeradius import EXTRA
from tests.unit.test_config_errors import BASE

TEN_MEGABITS = RatePolicy(cir_bps=10_000_000, cbs_bytes=250_000)


def config(directory: Path, attributes: str) -> Config:
    """Return a configuration whose ``attributes`` are an inline table, with Sample's dictionary."""
    (directory / "extra").write_text(EXTRA.read_text())
    path = directory / "bng.toml"
    path.write_text(f'{BASE}\n[radius]\ndictionaries = ["extra"]\nattributes = {attributes}\n')
    return load(path)


def test_dictionaries_stand_relative_to_the_configuration(tmp_path: Path) -> None:
    assert config(tmp_path, "{}").radius.dictionaries == (tmp_path / "extra",)
    dictionary, extra = read_dictionaries(config(tmp_path, "{}"))
    assert dictionary["Sample-Policy"].key == (9999999, 3)
    assert extra == {}


def test_an_attribute_of_a_vendor_sets_the_field_that_it_is_mapped_to(tmp_path: Path) -> None:
    mapped = (
        '{ "Sample-Rate-Down" = "rate_down", "Sample-Rate-Up" = "rate_up",'
        ' "Sample-Policy" = "acl_in", "Sample-Account" = "classes" }'
    )
    _, extra = read_dictionaries(config(tmp_path, mapped))
    pairs: list[tuple[str, Value]] = [
        ("Sample-Rate-Down", "10M"),
        ("Sample-Rate-Up", 10_000_000),
        ("Sample-Policy", "clean"),
        ("Sample-Account", b"gold"),
    ]
    reading = attributes.read(pairs, Offered(acls={"clean"}, extra=extra))
    assert (reading.refusal, reading.warnings, reading.ignored) == (None, [], [])
    assert reading.fields == {
        "rate_down": TEN_MEGABITS,
        "rate_up": TEN_MEGABITS,
        "acl_in": "clean",
    }
    assert reading.classes == [b"gold"]
    assert reading.sources == {
        "rate_down": "Sample-Rate-Down",
        "rate_up": "Sample-Rate-Up",
        "acl_in": "Sample-Policy",
        "classes": "Sample-Account",
    }
    assert attributes.read(pairs, Offered()).ignored == [name for name, _ in pairs]


def test_what_a_mapped_attribute_cannot_give_is_said_in_its_name(tmp_path: Path) -> None:
    _, extra = read_dictionaries(config(tmp_path, '{ "Sample-Policy" = "acl_out" }'))
    reading = attributes.read([("Sample-Policy", "none")], Offered(extra=extra))
    assert reading.refusal == "Sample-Policy: there is no ACL none"


def test_a_coa_may_change_by_it_what_it_may_change_by_the_attribute_that_it_is_read_as() -> None:
    policy, pool = (
        extra_row(name, field, lambda name: "string")
        for name, field in (("Sample-Policy", "acl_in"), ("Sample-Pool", "ipv4_pool"))
    )
    assert (policy.live, pool.live) == (True, False)
    assert policy.source == "radius.attributes, as Bng-Acl-In"


@pytest.mark.parametrize(
    ("mapped", "error"),
    [
        (
            '{ "Sample-Rate" = "rate_up" }',
            "Sample-Rate: no attribute Sample-Rate in any dictionary",
        ),
        ('{ "Filter-Id" = "acl_in" }', "Filter-Id: has a meaning already: RFC 2865 §5.11"),
        (
            '{ "Sample-Key" = "rate_up" }',
            "Sample-Key: is octets, rate_up takes string or integer",
        ),
        ('{ "Sample-Policy" = "mtu" }', "Sample-Policy: is string, mtu takes integer"),
    ],
)
def test_an_attribute_that_cannot_be_mapped_is_refused_by_name(
    tmp_path: Path, mapped: str, error: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^radius\.attributes\.{error}$"):
        read_dictionaries(config(tmp_path, mapped))


def test_bngd_finds_it_without_being_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users.toml").write_text("")
    check = ["--check", "--config", str(tmp_path / "bng.toml")]
    config(tmp_path, '{ "Sample-Policy" = "acl_in" }')
    assert main(check) == 0
    config(tmp_path, '{ "Sample-Police" = "acl_in" }')
    assert main(check) == EXIT_CONFIG
    at = f"{tmp_path}/bng.toml:{len(BASE.splitlines()) + 4}: radius.attributes.Sample-Police"
    error = f"bngd: {at}: no attribute Sample-Police in any dictionary\n"
    assert capsys.readouterr().err == error


def test_a_field_that_there_is_not_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, '{ "Sample-Policy" = "speed" }')
    line = len(BASE.splitlines()) + 4
    start = (
        f"{tmp_path}/bng.toml:{line}: radius.attributes.Sample-Policy: must be one of user_name, "
    )
    assert str(caught.value).startswith(start)


def test_a_dictionary_that_is_not_there_is_refused(tmp_path: Path) -> None:
    found = config(tmp_path, "{}")
    (tmp_path / "extra").unlink()
    with pytest.raises(ConfigError, match=r"^radius\.dictionaries: .*/extra: No such file"):
        read_dictionaries(found)


# ---- what RADIUS can say, a file can say

SAMPLES: dict[str, Value] = {
    "User-Name": "alice",
    "Framed-IP-Address": IPv4Address("203.0.113.7"),
    "Filter-Id": "clean",
    "Framed-MTU": 1400,
    "Reply-Message": "hello",
    "Framed-Route": "198.51.100.0/24",
    "Class": b"gold",
    "Session-Timeout": 60,
    "Idle-Timeout": 60,
    "Port-Limit": 2,
    "Acct-Interim-Interval": 300,
    "Framed-Pool": "main",
    "Framed-Interface-Id": bytes(7) + b"\1",
    "Framed-IPv6-Prefix": IPv6Network("2001:db8::/64"),
    "Framed-IPv6-Route": "2001:db8:1::/48",
    "Framed-IPv6-Pool": "links",
    "Delegated-IPv6-Prefix": IPv6Network("2001:db8:2::/56"),
    "Framed-IPv6-Address": IPv6Address("2001:db8::7"),
    "DNS-Server-IPv6-Address": IPv6Address("2001:db8::53"),
    "Route-IPv6-Information": IPv6Network("2001:db8::/32"),
    "Delegated-IPv6-Prefix-Pool": "nets",
    "Stateful-IPv6-Address-Pool": "hosts",
    "Bng-Ipv6-Profile": "gold",
    "Bng-Ipv4": 0,
    "Bng-Ipv6": 1,
    "MS-Primary-DNS-Server": IPv4Address("192.0.2.1"),
    "MS-Secondary-DNS-Server": IPv4Address("192.0.2.2"),
    "MS-Primary-NBNS-Server": IPv4Address("192.0.2.3"),
    "MS-Secondary-NBNS-Server": IPv4Address("192.0.2.4"),
    "Cisco-AVPair": "ip:addr-pool=main",
    "Mikrotik-Rate-Limit": "10M/10M",
    "WISPr-Bandwidth-Max-Up": 10_000_000,
    "WISPr-Bandwidth-Max-Down": 10_000_000,
    "Bng-Rate-Up": "10M",
    "Bng-Rate-Down": "10M",
    "Bng-Acl-In": "clean",
    "Bng-Acl-Out": "clean",
    "Bng-Nat-Profile": "none",
    "Bng-Nat-Address": IPv4Address("198.51.100.1"),
    "Bng-Nat-Port-Forward": "tcp 80 8080",
    "Bng-Mss-Clamp": 1,
}
"""A value for each attribute that sets something."""
WITHOUT_FIELD = {
    *("Service-Type", "Framed-Protocol", "Framed-IP-Netmask", "Framed-Routing", "State"),
    *("Framed-Compression", "Callback-Number", "Callback-Id", "Termination-Action"),
    *("Tunnel-Type", "EAP-Message"),
}
"""Those that only refuse, warn or are for others."""
OFFERED = Offered(
    pools={"main"},
    acls={"clean"},
    ipv6_pools={"links": 64, "nets": 56, "hosts": 128},
    ipv6_profiles={"gold"},
)


def test_every_attribute_sets_a_field_or_is_known_to_set_none() -> None:
    assert {row.name for row in ROWS} == {*SAMPLES, *WITHOUT_FIELD}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_an_attribute_sets_has_a_key_in_the_user_file(name: str) -> None:
    found = attributes.read([(name, SAMPLES[name])], OFFERED)
    assert (found.refusal, found.warnings) == (None, [])
    assert found.sources
    assert set(found.sources) <= READ_AS.keys()


def test_the_fields_of_radius_are_the_keys_of_the_user_file() -> None:
    only_there = {"password", "profile"}
    assert {"user_name", *_User.model_fields} - only_there == READ_AS.keys()


def test_a_field_is_set_by_the_attributes_that_others_for_it_are_read_as() -> None:
    dictionary = Dictionary()
    for name, wanted in READ_AS.items():
        assert len({dictionary[twin].type for twin in wanted}) == len(wanted)
        for twin in wanted:
            assert set(attributes.read([(twin, SAMPLES[twin])], OFFERED).sources) == {name}
            assert twin in BY_NAME


def test_the_documentation_names_every_attribute_and_field() -> None:
    section = (Path(__file__).parents[3] / "radius" / "radius.md").read_text()
    missing = {name for name in (*BY_NAME, *READ_AS) if f"`{name}`" not in section}
    assert missing == {"user_name"}


def test_values_of_several_attributes_name_them_all() -> None:
    reading = attributes.read(
        [
            ("MS-Secondary-DNS-Server", IPv4Address("192.0.2.2")),
            ("MS-Primary-DNS-Server", IPv4Address("192.0.2.1")),
            ("Framed-Route", "198.51.100.0/24"),
            ("Framed-Route", "203.0.113.0/24"),
            ("Bng-Nat-Port-Forward", "tcp 80 8080"),
            ("Filter-Id", "10000/10000"),
            ("Bng-Rate-Up", "5M"),
        ],
        OFFERED,
    )
    assert reading.fields["routes"] == (
        FramedRoute(prefix=IPv4Network("198.51.100.0/24")),
        FramedRoute(prefix=IPv4Network("203.0.113.0/24")),
    )
    assert reading.fields["port_forwards"] == (PortForward(6, 80, 8080),)
    assert reading.sources == {
        "ipv4_dns": "MS-Secondary-DNS-Server, MS-Primary-DNS-Server",
        "routes": "Framed-Route",
        "port_forwards": "Bng-Nat-Port-Forward",
        "rate_up": "Bng-Rate-Up",  # the last word
        "rate_down": "Filter-Id",
    }
