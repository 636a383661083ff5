"""Export: what sessions and settings lead to in the kernel, with the box in memory."""

import asyncio
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from bng.io import export
from bng.io.rtnetlink import Change, Route
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Phase, Profile
from tests.support.client.subscriber import Subscriber
from tests.support.managed_box import Managed, managed_box
from tests.unit.session.test_lifecycle import leave

POOL = {
    "name": "public",
    "ranges": ["203.0.113.0/25"],
    "exclude": ["203.0.113.1"],
    "gateway": "203.0.113.1",
}
CGNAT = {
    "name": "cgnat",
    "ranges": ["100.64.0.0/20"],
    "exclude": ["100.64.0.1"],
    "gateway": "100.64.0.1",
}
USERS: dict[str, Any] = {
    "user00000": {"password": "secret", "ipv4_pool": "public"},
    "user00001": {"password": "secret", "ipv4_pool": "public", "ipv4_address": "192.88.99.7"},
    "user00002": {
        "password": "secret",
        "ipv4_pool": "public",
        "routes": [{"prefix": "198.18.5.0/24"}],
    },
    "user00003": {"password": "secret", "ipv4_pool": "cgnat"},
    "user00004": {"password": "secret", "ipv4_pool": "cgnat"},
}
AGGREGATE, NAT = ("203.0.113.0/25", "pool"), ("198.51.100.0/29", "nat")
STATIC, FRAMED = ("192.88.99.7/32", "static"), ("198.18.5.0/24", "framed")


class FakeKernel:
    """Routes in a set; *refuses* by prefix, *broken* answers nothing."""

    def __init__(self, *there: Route) -> None:
        self.there = set(there)
        self.refuses: dict[str, int] = {}
        self.broken = False
        self.closed = False
        self.batches: list[list[Change]] = []

    def dump(self) -> set[Route]:
        if self.broken:
            raise OSError(105, "No buffer space available")
        return set(self.there)

    def apply(self, changes: Iterable[Change]) -> dict[Route, int]:
        todo = list(changes)
        self.batches.append(todo)
        refused = {}
        for route, add in todo:
            if add and (code := self.refuses.get(str(route.prefix))):
                refused[route] = code
            else:
                (self.there.add if add else self.there.discard)(route)
        return refused

    def close(self) -> None:
        self.closed = True

    @property
    def prefixes(self) -> set[str]:
        return {str(route.prefix) for route in self.there}


def route(prefix: str, table: int = 254, metric: int = 50) -> Route:
    return Route(ip_network(prefix), table, metric)


class Case:
    """A managed box whose exporter writes into *kernel*; *clients* by user."""

    def __init__(self, runner: asyncio.Runner, managed: Managed) -> None:
        self.runner, self.managed, self.box = runner, managed, managed.box
        self.memory = managed.memory
        self.kernel = FakeKernel()
        self.clients: dict[str, Subscriber] = {}

    def start(self) -> None:
        async def start() -> None:
            self.box._tell_export()
            self.box.exporter.start(self.kernel)

        self.runner.run(start())
        self.settle()

    def settle(self) -> None:
        """Let the exporter do what there is to do."""
        self.runner.run(asyncio.sleep(0.1))

    def dial(self, *numbers: int) -> None:
        clients = {number: self.memory.subscriber(number) for number in numbers}
        self.memory.dial(*clients.values())
        assert all(client.phase is Phase.UP for client in clients.values())
        self.clients |= clients
        self.settle()

    def leave(self, *numbers: int) -> None:
        leave(self.memory, [self.clients.pop(number) for number in numbers])
        self.settle()

    def export(self, **keys: Any) -> None:
        """Reload with ``[export]`` changed."""
        users = (self.managed.directory / "users.toml").read_bytes()
        self.managed.write(export=keys)
        (self.managed.directory / "users.toml").write_bytes(users)
        assert self.managed.ask("reload")["ok"]
        self.settle()

    def rows(self) -> set[tuple[str, str]]:
        """Return (prefix, kind) of what is exported; the kernel has just that."""
        shown = self.managed.ask("show export")["data"]
        assert {row["state"] for row in shown} <= {"installed"}
        assert {row["prefix"] for row in shown} == self.kernel.prefixes
        return {(row["prefix"], row["kind"]) for row in shown}


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """Yield a box whose exporter has not begun."""
    with managed_box(tmp_path, pool=[POOL, CGNAT], ipv6={"enabled": False}) as (runner, managed):
        managed.write_users(**USERS)
        assert managed.ask("reload")["ok"]
        case = Case(runner, managed)
        yield case
        runner.run(managed.box.exporter.stop(withdraw=False))


@pytest.fixture
def started(case: Case) -> Case:
    case.start()
    return case


# ---- what is exported


def test_aggregates_stand_for_pools_that_are_not_translated(started: Case) -> None:
    assert started.rows() == {AGGREGATE}


def test_what_is_a_users_own_comes_and_goes_with_his_session(started: Case) -> None:
    started.dial(0, 1, 2)
    assert started.rows() == {AGGREGATE, STATIC, FRAMED}
    started.leave(1)
    assert started.rows() == {AGGREGATE, FRAMED}
    started.leave(0, 2)
    assert started.rows() == {AGGREGATE}


def test_public_addresses_are_exported_while_somebody_uses_one(started: Case) -> None:
    started.dial(3, 4)
    assert started.rows() == {AGGREGATE, NAT}
    started.leave(3)
    assert started.rows() == {AGGREGATE, NAT}
    started.leave(4)
    assert started.rows() == {AGGREGATE}


def test_host_routes_are_a_matter_of_policy(started: Case) -> None:
    started.dial(0, 3)
    started.export(host_routes=True)
    address = next(s.ipv4_address for s in started.memory.manager.table if s.nat_place is None)
    assert started.rows() == {AGGREGATE, NAT, (f"{address}/32", "host")}
    started.export(host_routes=False, static_routes=False, nat=False)
    assert started.rows() == {AGGREGATE}


def test_pools_can_be_named(started: Case) -> None:
    started.export(pools=["cgnat"])
    assert started.rows() == {("100.64.0.0/20", "pool")}
    started.export(pools=[])
    assert started.rows() == set()


def test_turned_off_everything_is_withdrawn_and_turned_on_it_comes_back(started: Case) -> None:
    started.dial(1, 3)
    started.export(enabled=False)
    assert started.rows() == set()
    started.export(enabled=True)
    assert started.rows() == {AGGREGATE, STATIC, NAT}


def test_table_and_metric_change_live(started: Case) -> None:
    started.export(table=100, metric=7)
    assert started.kernel.there == {route(AGGREGATE[0], 100, 7)}


def test_a_profile_that_changes_changes_what_is_exported(started: Case) -> None:
    started.dial(2)
    started.managed.write_users(**USERS | {"user00002": USERS["user00000"]})
    assert started.managed.ask("reload")["ok"]
    started.memory.turn()
    started.settle()
    assert started.rows() == {AGGREGATE}


def test_prefixes_of_ipv6_are_aggregates_and_a_users_own(tmp_path: Path) -> None:
    pools6 = [
        {"name": "links", "prefixes": ["2001:db8:a000::/36"], "length": 64},
        {"name": "delegated", "prefixes": ["2001:db8:d000::/36"], "length": 56},
    ]
    own = {"ipv6_prefix": "2001:db8:1:2::/64", "ipv6_routes": [{"prefix": "2001:db8:77::/48"}]}
    aggregates = {AGGREGATE, ("2001:db8:a000::/36", "pool"), ("2001:db8:d000::/36", "pool")}
    tables = {"pool": [POOL, CGNAT], "ipv6": {"pool": pools6}}
    with managed_box(tmp_path, **tables) as (runner, managed):
        managed.write_users(**{"user00000": USERS["user00000"] | own})
        assert managed.ask("reload")["ok"]
        case = Case(runner, managed)
        case.start()
        case.dial(0, 1)
        static = {("2001:db8:1:2::/64", "static"), ("2001:db8:77::/48", "framed")}
        assert case.rows() == aggregates | static
        case.export(host_routes=True, pools=[])
        kinds = [kind for prefix, kind in case.rows() if ":" in prefix]
        assert sorted(kinds) == ["framed", "host", "static"]
        case.leave(0, 1)
        assert case.rows() == set()
        runner.run(managed.box.exporter.stop(withdraw=False))


def test_what_is_left_of_a_pool_that_is_gone_is_exported_until_it_is_over(tmp_path: Path) -> None:
    """Links and a prefix that is deprecated, a delegated one before it is renewed."""
    links = {"name": "links", "prefixes": ["2001:db8:a000::/36"], "length": 64}
    homes = {"name": "delegated", "prefixes": ["2001:db8:d000::/36"], "length": 56}
    others = {"name": "others", "prefixes": ["2001:db8:b000::/36"], "length": 64}
    tables = {"pool": [POOL, CGNAT], "ipv6": {"pool": [links, homes]}}
    with managed_box(tmp_path, **tables) as (runner, managed):
        memory = managed.memory
        managed.box.loop.now = lambda: memory.now  # type: ignore[method-assign]
        case = Case(runner, managed)
        case.start()
        client = memory.subscriber(3, profile=Profile(auth=("chap",), wants=Wants(delegate=56)))
        memory.dial(client)
        memory.run(1.0)
        case.clients[3] = client
        case.settle()
        assert {prefix for prefix, kind in case.rows() if kind != "nat"} == {
            *(AGGREGATE[0], "2001:db8:a000::/36", "2001:db8:d000::/36")
        }
        managed.write(ipv6={"pool": [others]})
        assert managed.ask("reload")["ok"]
        memory.run(1.0)
        case.settle()
        left = {("2001:db8:a000::/64", "static"), ("2001:db8:d000::/56", "static")}
        six = {(prefix, kind) for prefix, kind in case.rows() if ":" in prefix}
        assert six == {("2001:db8:b000::/36", "pool")} | left
        memory.run(5500.0, step=5.0)
        case.settle()
        six = {(prefix, kind) for prefix, kind in case.rows() if ":" in prefix}
        assert six == {("2001:db8:b000::/36", "pool"), ("2001:db8:d000::/56", "static")}
        case.leave(3)
        assert {prefix for prefix, _ in case.rows() if ":" in prefix} == {"2001:db8:b000::/36"}
        runner.run(managed.box.exporter.stop(withdraw=False))


# ---- what withdraws it


def test_a_dead_access_side_withdraws_all_and_brings_it_back(started: Case) -> None:
    started.dial(1, 3)
    started.runner.run(_port(started, up=False))
    assert started.rows() == set()
    started.runner.run(_port(started, up=True))
    assert started.rows() == {AGGREGATE, STATIC, NAT}


async def _port(case: Case, *, up: bool) -> None:
    case.box.port_changed(case.box.ports["acc0"], up)
    await asyncio.sleep(0.1)


def test_drained_the_aggregates_go_with_the_last_session(started: Case) -> None:
    started.dial(0)
    started.box.exporter.drain(True)
    started.settle()
    assert started.rows() == {AGGREGATE}
    started.leave(0)
    assert started.rows() == set()
    started.box.exporter.drain(False)
    started.settle()
    assert started.rows() == {AGGREGATE}


# ---- the kernel


def test_a_start_compares_and_touches_only_what_differs(case: Case) -> None:
    case.kernel.there = {route(AGGREGATE[0]), route("192.0.2.64/26"), route(AGGREGATE[0], 254, 9)}
    case.dial(1)
    assert case.kernel.batches == [], "nothing before it is started"
    case.start()
    assert case.rows() == {AGGREGATE, STATIC}
    touched = {change.route for batch in case.kernel.batches for change in batch}
    assert route(AGGREGATE[0]) not in touched


def test_a_stop_leaves_the_routes_of_kept_sessions_and_else_takes_them(started: Case) -> None:
    started.dial(1)
    started.runner.run(started.box.exporter.stop(withdraw=False))
    assert started.kernel.closed
    assert started.kernel.prefixes == {AGGREGATE[0], STATIC[0]}
    started.start()
    started.runner.run(started.box.exporter.stop(withdraw=True))
    assert started.kernel.prefixes == set()


def test_what_the_kernel_refuses_is_shown_and_tried_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "RETRY_S", 0.05)
    case.kernel.refuses[AGGREGATE[0]] = 17
    case.start()
    [row] = case.managed.ask("show export")["data"]
    assert row["state"] == "refused: File exists"
    assert case.box.exporter.counters["refused"] >= 1
    case.kernel.refuses.clear()
    case.settle()
    assert case.rows() == {AGGREGATE}


def test_a_kernel_that_fails_is_asked_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "RETRY_S", 0.05)
    case.kernel.broken = True
    case.start()
    [row] = case.managed.ask("show export")["data"]
    assert row["state"] == "pending"
    assert case.box.exporter.counters["kernel_errors"] >= 1
    case.kernel.broken = False
    case.settle()
    assert case.rows() == {AGGREGATE}


def test_many_sessions_are_written_together(started: Case) -> None:
    started.export(host_routes=True)
    before = len(started.kernel.batches)
    clients = [started.memory.subscriber(n, user="user00000") for n in range(20)]
    started.managed.write_users(user00000=USERS["user00000"] | {"simultaneous_use": 20})
    assert started.managed.ask("reload")["ok"]
    started.memory.dial(*clients)
    started.settle()
    assert len(started.rows()) == 21
    assert len(started.kernel.batches) <= before + 2
