"""``show fib``: the numbers of the mirror; ``explain`` of IPv6 addresses."""

from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dataplane.binding import CommandType, lib, route_record
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.managed_box import Managed, managed_box
from tests.support.memory_box import CONFIG


def test_show_fib_says_how_full_it_is(dialled: Managed) -> None:
    dialled.memory.run(0.3)
    fib = dialled.ask("show fib")["data"]
    header = dialled.memory.dataplane.header
    assert fib["pages"]["total"] == header.max_fib4_pages
    assert 0 < fib["pages"]["free"] < fib["pages"]["total"]
    assert fib["nodes_ipv6"]["total"] == header.max_fib6_nodes
    assert 0 < fib["nodes_ipv6"]["free"] < fib["nodes_ipv6"]["total"]
    assert fib["routes"]["installed_ipv6"] >= len(("0::/64", "fe80::/10", "ff00::/8"))
    assert fib["routes"]["installed"] > len(list(dialled.box.manager.table))
    assert fib["routes"]["waiting_for_room"] == fib["routes"]["unsupported"] == 0
    assert fib["kernel"] == dict.fromkeys(fib["kernel"], 0), "no kernel is embedded"


def add(box: Managed, kind: CommandType, prefix: str, session: int = 0) -> None:
    network = IPv6Network(prefix)
    record = route_record(kind, network.network_address.packed, network.prefixlen, session=session)
    assert box.memory.embedded.control(record) == 0


def explained(box: Managed, address: str) -> dict[str, object]:
    found = box.ask("explain", address=address)["data"]
    assert isinstance(found, dict)
    return found


def test_explain_finds_the_session_of_a_delegated_prefix(dialled: Managed) -> None:
    add(dialled, CommandType.ROUTE6_ADD, "2001:db8:0:100::/56")
    out = dialled.memory.dataplane.session_out[0]
    out.features = int(out.features) & ~(1 << lib.FEATURE_OUT_IP6)
    answer = explained(dialled, "2001:db8:0:1ff::1")
    assert str(answer["route"]).startswith("2001:db8:0:100::/56 session 0 ")
    assert "is not served IPv6" in str(answer["verdict"])
    out.features = int(out.features) | 1 << lib.FEATURE_OUT_IP6
    assert str(explained(dialled, "2001:db8:0:1ff::1")["verdict"]).startswith("to session 0 of ")


@pytest.mark.parametrize(
    ("address", "route"),
    [
        ("100.64.9.9", "100.64.8.0/22 unreachable"),
        ("198.51.100.2", "198.51.100.2/32 nat-pool"),
        ("2001:db8:1:9999::1", "2001:db8:1::/48 unreachable"),
        ("2001:db8:1ff::1", "2001:db8:100::/40 unreachable"),
    ],
)
def test_what_is_nobodys_of_a_pool_goes_nowhere(dialled: Managed, address: str, route: str) -> None:
    answer = explained(dialled, address)
    assert str(answer["route"]).startswith(route)


def test_a_pool_that_is_one_prefix_is_unreachable_without_its_session(tmp_path: Path) -> None:
    whole = {"name": "whole", "prefixes": ["2001:db8:5::/64"], "length": 64, "hold_down_s": 0}
    with managed_box(tmp_path, ipv6={**CONFIG["ipv6"], "pool": [whole]}) as (_, box):
        assert explained(box, "2001:db8:5::1")["route"] == "2001:db8:5::/64 unreachable"
        client = box.memory.subscriber(1, profile=Profile(auth=("chap",), wants=Wants()))
        box.memory.dial(client)
        box.memory.run(0.5)
        assert str(explained(box, "2001:db8:5::1")["route"]).startswith("2001:db8:5::/64 session 0")


@pytest.mark.parametrize(
    ("address", "route", "verdict"),
    [
        ("2001:db8::1", "2001:db8::/40 unreachable", "dropped with ICMPv6 1/3 to the sender"),
        ("2a00::1", "no route", "no route: dropped with ICMPv6 1/0 to the sender"),
        ("fe80::1", "fe80::/10 blackhole", "dropped: blackhole"),
    ],
)
def test_explain_says_where_ipv6_goes(
    dialled: Managed, address: str, route: str, verdict: str
) -> None:
    add(dialled, CommandType.UNREACHABLE6_ADD, "2001:db8::/40")
    answer = explained(dialled, address)
    assert (answer["route"], answer["verdict"]) == (route, verdict)
