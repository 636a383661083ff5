"""Routes of ours in a real kernel: `bng.io.rtnetlink` in a namespace without anything else."""

import errno
import json
import os
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from bng.io.rtnetlink import Change, Route, RouteSocket
from tests.support.netns import inside, run

NETNS = f"ex{os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def netns() -> Iterator[None]:
    run(None, "ip", "netns", "add", NETNS)
    run(NETNS, "ip", "link", "set", "lo", "up")
    yield
    run(None, "ip", "netns", "del", NETNS)


@pytest.fixture
def kernel() -> Iterator[RouteSocket]:
    with inside(NETNS):
        kernel = RouteSocket()
    yield kernel
    kernel.apply([Change(route, add=False) for route in kernel.dump()])
    kernel.close()


def route(prefix: str, table: int = 254, metric: int = 50) -> Route:
    return Route(ip_network(prefix), table, metric)


def add(*routes: Route) -> list[Change]:
    return [Change(route, add=True) for route in routes]


def remove(*routes: Route) -> list[Change]:
    return [Change(route, add=False) for route in routes]


SOME = (
    route("198.51.100.0/24"),
    route("203.0.113.7/32"),
    route("0.0.0.0/0"),
    route("203.0.113.0/24", 1000, 7),
    route("2001:db8:1::/56"),
    route("2001:db8:2::/48", 100, 9),
)


def test_routes_of_both_families_come_and_go(kernel: RouteSocket) -> None:
    assert kernel.apply(add(*SOME)) == {}
    assert kernel.dump() == set(SOME)
    shown = json.loads(run(NETNS, "ip", "-json", "-N", "route", "show", "proto", "200").stdout)
    assert {row["type"] for row in shown} == {"6"}, "blackholes"
    assert kernel.apply(remove(SOME[1], SOME[4])) == {}
    assert kernel.dump() == set(SOME) - {SOME[1], SOME[4]}


def test_routes_of_others_are_neither_seen_nor_touched(kernel: RouteSocket) -> None:
    theirs = ("blackhole", "198.51.100.0/24", "proto", "bgp", "metric", "50")
    run(NETNS, "ip", "route", "add", *theirs)
    try:
        assert kernel.dump() == set()
        assert kernel.apply(add(*SOME[:2])) == {SOME[0]: errno.EEXIST}
        assert kernel.dump() == {SOME[1]}
        assert kernel.apply(remove(SOME[0])) == {}, "one that is not there is no refusal"
        assert "bgp" in run(NETNS, "ip", "route", "show", "198.51.100.0/24").stdout
    finally:
        run(NETNS, "ip", "route", "del", *theirs)


def test_what_comes_again_is_refused_by_name(kernel: RouteSocket) -> None:
    assert kernel.apply(add(*SOME)) == {}
    assert kernel.apply(add(*SOME[:3])) == dict.fromkeys(SOME[:3], errno.EEXIST)


def test_thousands_at_a_time(kernel: RouteSocket) -> None:
    many = [route(f"10.{i >> 8}.{i & 255}.0/24") for i in range(5000)]
    assert kernel.apply(add(*many)) == {}
    assert kernel.dump() == set(many)
    assert kernel.apply(remove(*many)) == {}
    assert kernel.dump() == set()
