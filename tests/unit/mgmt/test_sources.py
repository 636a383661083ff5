"""``show session`` says where each value came from."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from bng.aaa.model import FramedRoute, RatePolicy
from bng.session.model import Session
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.managed_box import Managed, managed_box

ACLS = [{"name": "web", "default": "deny", "rules": ["permit ip any any"]}]


def shown(box: Managed, user: str = "user00001") -> dict[str, tuple[Any, str]]:
    """Return value and source by the name of the field."""
    rows = box.ask("show session", session=user)["data"]["sources"]
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: (row["value"], row["source"]) for row in rows}


def session_of(box: Managed, user: str = "user00001") -> Session:
    (found,) = box.memory.manager.grants.by_user[user]
    assert found.accept is not None
    assert found.profile is not None
    return found


def test_what_nobody_says_is_of_the_pool_and_of_the_configuration(still: Managed) -> None:
    assert shown(still) == {
        "user_name": ("user00001", "client"),
        "ipv4_address": ("100.64.0.10", "pool subscribers"),
        "ipv4_pool": ("subscribers", "default: session.default_pool"),
        "gateway": ("100.64.0.1", "pool subscribers"),
        "ipv4_dns": (["192.0.2.53"], "pool subscribers"),
        "ipv6_interface_id": (shown(still)["ipv6_interface_id"][0], "negotiated"),
        "ipv6_prefix": ("2001:db8:1::/64", "pool links"),
        "ipv6_pool": ("links", "default: ipv6.link_pool"),
        "ipv6_dns": (["2001:db8::53"], "default: ipv6.dns"),
        "mtu": (1492, "negotiated"),
        "mss_clamp": (True, "default: session.mss_clamp"),
        "simultaneous_use": (1, "default"),
        "nat_address": ("198.51.100.0", "NAT pool public"),
    }


def test_what_the_user_file_says_is_of_the_user_file(tmp_path: Path) -> None:
    with managed_box(tmp_path, acl=ACLS) as (_, box):
        box.memory.dial(box.memory.subscriber(1))
        box.write_users(
            user00001={
                "password": "secret",
                "acl_in": "web",
                "rate_down": {"cir_bps": 2_000_000, "cbs_bytes": 50_000},
                "idle_timeout_s": 600,
                "mss_clamp": False,
            }
        )
        assert "error" not in box.ask("reload")
        found = shown(box)
        assert found["acl_in"] == ("web", "user file")
        assert found["rate_down"] == ({"cir_bps": 2_000_000, "cbs_bytes": 50_000}, "user file")
        assert found["idle_timeout_s"] == (600, "user file")
        assert found["mss_clamp"] == (False, "user file")
        assert "acl_out" not in found


def answered(box: Managed, source: str) -> None:
    """Have a server have said everything of the session of user00001."""
    session = session_of(box)
    assert session.accept is not None
    assert session.profile is not None
    said = {
        "user_name": "user00001",
        "ipv4_address": session.ipv4_address,
        "routes": (FramedRoute(prefix=IPv4Network("203.0.113.0/24")),),
        "rate_up": RatePolicy(cir_bps=1_000_000, cbs_bytes=25_000),
        "ipv4_dns": (IPv4Address("9.9.9.9"),),
        "mtu": 1492,
        "simultaneous_use": 3,
        "nat_profile": "always",
        "nat_address": IPv4Address("198.51.100.0"),
        "session_timeout_s": 3600,
        "reply_message": "hello",
    }
    session.profile = replace(session.profile, **said)  # type: ignore[arg-type]
    session.accept = replace(
        session.accept,
        profile=session.profile,
        classes=(b"gold", b"\xff"),
        interim_interval_s=300,
        source=source,
        sources={name: f"Attr-{name}" for name in (*said, "classes", "interim_interval_s")},
    )
    settings = replace(box.memory.manager.settings, accounting=True, interim_interval_s=900)
    box.memory.manager.settings = settings


def test_what_a_server_said_names_the_server_and_the_attribute(dialled: Managed) -> None:
    answered(dialled, "RADIUS server aaa1")
    found = shown(dialled)
    values = {
        "user_name": "user00001",
        "ipv4_address": "100.64.0.10",
        "routes": [{"prefix": "203.0.113.0/24", "metric": 1}],
        "rate_up": {"cir_bps": 1_000_000, "cbs_bytes": 25_000},
        "ipv4_dns": ["9.9.9.9"],
        "mtu": 1492,
        "simultaneous_use": 3,
        "nat_profile": "always",
        "nat_address": "198.51.100.0",
        "session_timeout_s": 3600,
        "reply_message": "hello",
        "classes": ["gold", "0xff"],
        "interim_interval_s": 300,
    }
    assert {name: found[name] for name in values} == {
        name: (value, f"RADIUS server aaa1: Attr-{name}") for name, value in values.items()
    }
    assert found["gateway"] == ("100.64.0.1", "pool subscribers")
    assert "ipv4_pool" not in found  # no pool had a part in it


def test_who_got_in_without_a_server_has_it_from_his_last_answer(dialled: Managed) -> None:
    answered(dialled, "last good answer, 12 s old")
    assert shown(dialled)["mtu"] == (1492, "last good answer, 12 s old: Attr-mtu")


def test_what_a_coa_changed_names_the_coa(dialled: Managed) -> None:
    answered(dialled, "RADIUS server aaa1")
    session = session_of(dialled)
    assert session.accept is not None
    sources = {**session.accept.sources, "rate_up": "CoA of oss: Bng-Rate-Up"}
    session.accept = replace(session.accept, sources=sources)
    found = shown(dialled)
    assert found["rate_up"][1] == "CoA of oss: Bng-Rate-Up"
    assert found["ipv4_dns"][1] == "RADIUS server aaa1: Attr-ipv4_dns"


def test_what_a_reload_takes_back_is_of_the_user_file_again(tmp_path: Path) -> None:
    with managed_box(tmp_path) as (_, box):
        box.memory.dial(box.memory.subscriber(1))
        session = session_of(box)
        assert session.accept is not None
        assert session.profile is not None
        rate = RatePolicy(cir_bps=1_000_000, cbs_bytes=25_000)
        session.profile = replace(session.profile, rate_up=rate)
        sources = {"rate_up": "CoA of oss: Bng-Rate-Up", "classes": "CoA of oss: Class"}
        session.accept = replace(session.accept, classes=(b"gold",), sources=sources)
        assert shown(box)["rate_up"][1] == "CoA of oss: Bng-Rate-Up"
        rates = {"cir_bps": 2_000_000, "cbs_bytes": 50_000}
        box.write_users(user00001={"password": "secret", "rate_up": rates})
        assert "error" not in box.ask("reload")
        assert shown(box)["rate_up"] == (rates, "user file")
        assert "classes" not in shown(box), "the file names none"
        session.accept = replace(session.accept, classes=(b"gold",), sources=sources)
        box.write_users(user00001={"password": "secret", "rate_up": rates, "classes": ["silver"]})
        assert "error" not in box.ask("reload")
        assert shown(box)["classes"] == (["silver"], "user file")


def test_who_got_in_by_the_fallback_has_it_from_there(dialled: Managed) -> None:
    session = session_of(dialled)
    assert session.accept is not None
    assert session.profile is not None
    session.profile = replace(session.profile, session_timeout_s=60)
    session.accept = replace(
        session.accept, profile=session.profile, source="fallback profile", degraded=True
    )
    manager = dialled.memory.manager
    manager.settings = replace(manager.settings, accounting=True, interim_interval_s=900)
    found = shown(dialled)
    assert found["session_timeout_s"] == (60, "fallback profile")
    assert found["interim_interval_s"] == (900, "default: radius.accounting.interim_interval_s")


def test_a_session_that_has_not_got_in_has_nothing_of_it(dialled: Managed) -> None:
    session = session_of(dialled)
    session.profile = session.accept = None
    assert shown(dialled) == {}


IPV6_USER = {
    "password": "secret",
    "ipv6_prefix": "2001:db8:f000:1::/64",
    "delegated_pool": "homes",
    "ipv6_routes": [{"prefix": "2001:db8:f002::/48"}],
    "ipv6_announced_routes": ["2001:db8::/32"],
    "ipv6_dns": ["2001:db8::54"],
    "ipv4": True,
}


def test_what_a_session_has_of_ipv6_has_a_source(tmp_path: Path) -> None:
    with managed_box(tmp_path) as (_, box):
        box.write_users(user00001=IPV6_USER)
        assert "error" not in box.ask("reload")
        settings = box.memory.manager.settings
        from_link = replace(settings.ipv6, addresses_from_link=True)
        box.memory.manager.settings = replace(settings, ipv6=from_link)
        wants = Wants(delegate=56, address=True)
        box.memory.dial(box.memory.subscriber(1, profile=Profile(auth=("chap",), wants=wants)))
        box.memory.run(1.0)
        found = shown(box)
        side = session_of(box).ipv6
        assert side is not None
        assert {name: found[name] for name in found if "6" in name or "deleg" in name} == {
            "ipv6_interface_id": (found["ipv6_interface_id"][0], "negotiated"),
            "ipv6_prefix": ("2001:db8:f000:1::/64", "user file"),
            "ipv6_address": (str(side.addresses[0]), "the link's prefix"),
            "delegated_prefix": (str(side.delegated[0]), "pool homes"),
            "delegated_pool": ("homes", "user file"),
            "ipv6_routes": ([{"prefix": "2001:db8:f002::/48", "metric": 1}], "user file"),
            "ipv6_announced_routes": (["2001:db8::/32"], "user file"),
            "ipv6_dns": (["2001:db8::54"], "user file"),
        }
        assert found["ipv4"] == (True, "user file")
