"""Hostile traffic at full rate, kind by kind, leaves established flows untouched.

The lab of tests/support/soak.py: two workers, data made and checked in memory. Thirty subscribers
and the network exchange numbered packets at a steady rate, ten of them through a forwarded port,
ten with a public address of their own; one more subscriber of any kind, or a host of the network,
fills every vector beside them, as fast as the workers take it. Every packet of the others, of IPv4
and from both their IPv6 prefixes, short or full-size, must arrive, in order and undamaged; every
hostile one must be counted, and none leave with an inner address; no table may grow beyond what the
hostile ones may have; and bngd must go on answering.
"""

import itertools
import os
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from tests.bench.setup import cpu_s
from tests.bench.soak import Population
from tests.support import hostile, hostile6, hostile_public, soak
from tests.support.client.subscriber import Subscriber
from tests.support.hostile import Kind, Scene
from tests.support.lab import load_users, merged
from tests.support.lab6 import BOX6, DELEGATED, LINKS
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FLOWS_EACH, REMOTES, TRANSLATED_EACH, UP, Count

_FORWARDED, _OWN = range(10), range(10, 20)  # the others share ports
_HOSTILE = {"shared": 30, "own": 31, "forwarded": 32}
_COUNT, _RATE = 33, 20_000
_OWNED = IPv4Network("198.51.100.128/28")
_FORWARD_PORT = 4000  # inside; outside one for each
_SECONDS, _SETTLE_S = 0.5, 0.1
_MOST_TURNS = 10
_STILL_S = 2
"""A machine short of processors may take so long for what is under way."""
_UNCOUNTED = 4096
"""Hostile packets that may wait somewhere for more: in rings, as fragments."""
_PUNTED_MOST, _PUNTED_PER_S = 40_000, 20_000
"""What may reach bngd: DISCOVERY_BURST and DISCOVERY_RATE of dataplane/src/node/limits.h."""
_TUNNELS = 64  # [nat] protocol_flows_per_subscriber


def _forward(index: int) -> tuple[IPv4Address, int]:
    """Return the public end of a subscriber's forward; of three addresses, of both workers."""
    return IPv4Address("198.51.100.0") + index % 3, 100 + index


def _users() -> dict[str, Any]:
    users = load_users(_COUNT)
    for index in (*_FORWARDED, _HOSTILE["forwarded"]):
        address, port = _forward(index)
        users[f"user{index:05d}"] |= {
            "nat_address": str(address),
            "port_forwards": [f"{name} {port} {_FORWARD_PORT}" for name in ("udp", "tcp")],
        }
    for index in (*_OWN, _HOSTILE["own"]):
        users[f"user{index:05d}"] |= {"nat_profile": "own"}
    return users


def _config(directory: Path) -> dict[str, Any]:
    config = soak.config(directory, _COUNT)
    own = {"name": "own", "mode": "one-to-one", "addresses": [str(_OWNED)]}
    return merged(
        config,
        {
            "nat": {
                "pool": [*config["nat"]["pool"], own],
                "profile": {"own": {"translate": True, "pool": "own"}},
            },
        },
    )


class People(Population):
    """The first flow of whom a port leads to comes from that port."""

    def port_of(self, flow: int, number: int) -> int:
        """Return the inner port of a flow."""
        forwarded = flow // FLOWS_EACH in _FORWARDED and not number
        return _FORWARD_PORT if forwarded else super().port_of(flow, number)


class Siege:
    """The lab, its subscribers, and the hostile ones."""

    def __init__(self, lab: SoakLab) -> None:
        self.lab, self.area = lab, lab.area
        self.people = People(lab, _COUNT, 0)
        self.people.fill(_COUNT)
        self.people.run(0.5, 0)
        self._by_index = {s.index: s for s in self.people.here}
        for index in _HOSTILE.values():
            self.people.silence(self._by_index[index])
        self.scenes = {name: self._scene(self._by_index[i]) for name, i in _HOSTILE.items()}
        self.area.rate(_RATE, _RATE)
        self.people.run(0.2, 0)  # every flow has its mapping
        for index in _FORWARDED:
            assert self.area.public(index * FLOWS_EACH) == _forward(index)

    def _scene(self, sender: Subscriber) -> Scene:
        hostile = _HOSTILE.values()
        own, neighbour = sender.v6, self._by_index[0].v6
        assert own is not None and own.advertised is not None and own.delegated is not None
        assert neighbour is not None and neighbour.advertised is not None
        assert own.advertised.prefix is not None and neighbour.advertised.prefix is not None
        ports = {row["port"]: row for row in self.lab.ask("show ports")}
        return Scene(
            head=sender.head,
            own=sender.address,
            neighbours=[s.address for i, s in self._by_index.items() if i not in hostile],
            public=IPv4Network("198.51.100.0/26"),
            remote=REMOTES[0],
            forwards=[_forward(index) for index in _FORWARDED],
            owned=_OWNED,
            access_mac=bytes.fromhex(ports["acc0"]["mac"].replace(":", "")),
            routed_mac=bytes.fromhex(ports["wan0"]["mac"].replace(":", "")),
            link6=own.advertised.prefix,
            home6=own.delegated,
            gateway6=own.advertised.router,
            neighbour6=neighbour.advertised.prefix,
            pools6=(LINKS, DELEGATED),
            remote6=IPv6Address("2a00::10"),
            box6=IPv6Address(BOX6),
        )

    def counters(self) -> tuple[dict[str, int], int, int]:
        """Return drops by reason, all that was punted, and all that the kernel was given."""
        counters = self.lab.ask("show counters")
        edges = counters["edges"]
        return counters["drops"], edges["punt consumed"], edges["twin_output port_output"]

    def still(self) -> tuple[Count, Count]:
        """Return what came of the established flows when all has arrived, or nothing does."""
        self.area.rate(0, 0)
        arrived, last = (-1, -1), time.monotonic()
        while time.monotonic() < last + _STILL_S:
            self.people.run(_SETTLE_S, 0)
            up, down = self.area.total(UP), self.area.total(DOWN)
            if up.sent == up.received and down.sent == down.received:
                break
            if (up.received, down.received) != arrived:
                arrived, last = (up.received, down.received), time.monotonic()
        return up, down

    def sent_of_each(self) -> list[int]:
        """Return how many packets the flows of each kind have sent, up and down."""
        ways = itertools.product(range(FLOWS_EACH), (UP, DOWN))
        return [self.area.of_kind(kind, direction).sent for kind, direction in ways]

    def attack(self, direction: int, kind: Kind) -> tuple[int, dict[str, int], int, int]:
        """Send until the hostile ones are more than the others, as a flood has it.

        Returns hostile packets, drops by reason, what was punted, and what left the box or
        went to its kernel.
        """
        frames = kind.frames(self.scenes[kind.sender])
        before, punted, twin = self.counters()
        start, other = self.area.offered(direction), self.area.other()
        self.area.rate(_RATE, _RATE)
        self.area.hostile(direction, frames)
        for _ in range(_MOST_TURNS):
            self.people.run(_SECONDS, 0)
            sent = self.area.offered(direction)
            if sent.hostile - start.hostile > 2 * (sent.sent - start.sent):
                break
        self.area.hostile(direction, [])
        assert sent.hostile - start.hostile > sent.sent - start.sent, "not the rate of a flood"
        self.people.run(_SETTLE_S, 0)
        drops, now_punted, now_twin = self.counters()
        moved = {name: n - before[name] for name, n in drops.items() if n != before[name]}
        hostile = self.area.offered(direction).hostile - start.hostile
        passed = self.area.other() - other + now_twin - twin
        return hostile, moved, now_punted - punted, passed


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    directory: Path = tmp_path_factory.mktemp("siege")
    with SoakLab(
        f"t{os.getpid()}h",
        directory,
        soak.program(),
        flows=_COUNT * FLOWS_EACH,
        config=_config(directory),
        users=_users(),
    ) as lab:
        siege = Siege(lab)
        yield siege
        siege.people.close()


def _is_withstood(siege: Siege, direction: int, kind: Kind) -> None:
    of_each = siege.sent_of_each()
    bngd = siege.lab.process("bngd").pid
    cpu, start = cpu_s(bngd), time.monotonic()
    hostile, drops, punted, passed = siege.attack(direction, kind)
    seconds = time.monotonic() - start
    up, down = siege.still()
    told = f"{kind.name}: {hostile} hostile packets, {drops}, punted {punted}, passed {passed}"
    print(f"{told}, bngd {(cpu_s(bngd) - cpu) / seconds:.0%} of a processor")
    beside = [now - then for now, then in zip(siege.sent_of_each(), of_each, strict=True)]
    assert min(beside) > 0, ("nothing was sent beside it", beside)
    assert up.whole, (up, told)
    assert down.whole, (down, told)
    assert siege.area.stray() == 0, told
    assert sum(drops.values()) + punted + passed >= hostile - _UNCOUNTED, told
    assert punted <= _PUNTED_MOST + seconds * _PUNTED_PER_S, told
    assert siege.area.inner() == 0, told
    assert not kind.reasons or any(name.startswith(kind.reasons) for name in drops), told
    assert not any(name.endswith("ring-full") and "handoff" in name for name in drops), told
    tables = siege.lab.ask("show counters")["tables"]
    assert tables["sessions"] == _COUNT, tables
    nat = siege.lab.ask("show nat")
    assert tables["nat_blocks"] <= _COUNT + len(_HOSTILE) * nat["blocks_per_subscriber"], tables
    most = 3 * nat["block_size"] * nat["blocks_per_subscriber"] + _TUNNELS
    assert tables["nat_mappings"] <= _COUNT * TRANSLATED_EACH + len(_HOSTILE) * most, tables


@pytest.mark.parametrize(
    "kind",
    [*hostile6.UPSTREAM, *hostile_public.UPSTREAM, *hostile.UPSTREAM],
    ids=lambda kind: kind.name,
)
def test_a_flood_of_a_subscriber_leaves_established_flows_untouched(
    siege: Siege, kind: Kind
) -> None:
    _is_withstood(siege, UP, kind)


@pytest.mark.parametrize(
    "kind",
    [*hostile.DOWNSTREAM, *hostile_public.DOWNSTREAM, *hostile6.DOWNSTREAM],
    ids=lambda kind: kind.name,
)
def test_a_flood_from_the_network_leaves_established_flows_untouched(
    siege: Siege, kind: Kind
) -> None:
    _is_withstood(siege, DOWN, kind)
