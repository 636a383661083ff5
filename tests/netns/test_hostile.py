"""Hostile traffic at full rate, kind by kind, leaves established flows untouched.

The lab of tests/support/soak.py: two workers, data made and checked in memory. Thirty subscribers
and the network exchange numbered packets at a steady rate; one more subscriber, or a host of the
network, fills every vector beside them, as fast as the workers take it. Every packet of the others
must arrive, in order and undamaged; every hostile one must be counted; no table may grow beyond
what the hostile one may have; and bngd must go on answering.
"""

import os
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.bench.setup import cpu_s
from tests.bench.soak import FLOWS_EACH, Population
from tests.support import soak
from tests.support.hostile import DOWNSTREAM, UPSTREAM, Kind, Scene
from tests.support.lab import load_users
from tests.support.soak import DOWN, REMOTES, UP, Count, SoakLab

_COUNT, _RATE = 31, 20_000
_SECONDS, _SETTLE_S = 0.5, 0.1
_UNCOUNTED = 4096
"""Hostile packets that may wait somewhere for more: in rings, as fragments."""
_PUNTED_MOST, _PUNTED_PER_S = 40_000, 20_000
"""What may reach bngd: DISCOVERY_BURST and DISCOVERY_RATE of dataplane/src/node/limits.h."""
_TUNNELS = 64  # [nat] protocol_flows_per_subscriber


class Siege:
    """The lab, its subscribers, and the hostile one."""

    def __init__(self, lab: SoakLab) -> None:
        self.lab, self.area = lab, lab.area
        self.people = Population(lab, _COUNT, 0)
        self.people.fill(_COUNT)
        hostile = self.people.here[-1]
        self.people.silence(hostile)
        others = [s.address for s in self.people.here if s is not hostile]
        ports = {row["port"]: row for row in lab.ask("show ports")}
        self.scene = Scene(
            head=hostile.head,
            own=hostile.address,
            neighbours=others,
            public=IPv4Network("198.51.100.0/26"),
            remote=REMOTES[0],
            access_mac=bytes.fromhex(ports["acc0"]["mac"].replace(":", "")),
            routed_mac=bytes.fromhex(ports["wan0"]["mac"].replace(":", "")),
        )
        self.area.rate(_RATE, _RATE)
        self.people.run(0.2, 0)  # every flow has its mapping

    def counters(self) -> tuple[dict[str, int], int]:
        """Return drops by reason, and all that was punted."""
        counters = self.lab.ask("show counters")
        return counters["drops"], counters["edges"]["punt consumed"]

    def still(self) -> tuple[Count, Count]:
        """Return what came of the established flows, with nothing under way."""
        self.area.rate(0, 0)
        self.people.run(_SETTLE_S, 0)
        return self.area.total(UP), self.area.total(DOWN)

    def attack(self, direction: int, kind: Kind) -> tuple[int, dict[str, int], int, int]:
        """Send; return hostile packets, drops by reason, what was punted and what left the box."""
        before, punted = self.counters()
        hostile, other = self.area.offered(direction).hostile, self.area.other()
        self.area.rate(_RATE, _RATE)
        self.area.hostile(direction, kind.frames(self.scene))
        self.people.run(_SECONDS, 0)
        self.area.hostile(direction, [])
        self.people.run(_SETTLE_S, 0)
        drops, now_punted = self.counters()
        moved = {name: n - before[name] for name, n in drops.items() if n != before[name]}
        sent = self.area.offered(direction).hostile - hostile
        return sent, moved, now_punted - punted, self.area.other() - other


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    directory: Path = tmp_path_factory.mktemp("siege")
    with SoakLab(
        f"t{os.getpid()}h",
        directory,
        soak.program(),
        flows=_COUNT * FLOWS_EACH,
        config=soak.config(directory, _COUNT),
        users=load_users(_COUNT),
    ) as lab:
        siege = Siege(lab)
        yield siege
        siege.people.close()


def _is_withstood(siege: Siege, direction: int, kind: Kind) -> None:
    ours = siege.area.offered(direction).sent
    bngd = siege.lab.process("bngd").pid
    cpu, start = cpu_s(bngd), time.monotonic()
    hostile, drops, punted, passed = siege.attack(direction, kind)
    seconds = time.monotonic() - start
    up, down = siege.still()
    told = f"{kind.name}: {hostile} hostile packets, {drops}, punted {punted}, passed {passed}"
    print(f"{told}, bngd {(cpu_s(bngd) - cpu) / seconds:.0%} of a processor")
    assert siege.area.offered(direction).sent > ours, "nothing was sent beside it"
    assert up.whole, (up, told)
    assert down.whole, (down, told)
    assert siege.area.stray() == 0, told
    assert hostile > siege.area.offered(direction).sent - ours, "not the rate of a flood"
    assert sum(drops.values()) + punted + passed >= hostile - _UNCOUNTED, told
    assert punted <= _PUNTED_MOST + seconds * _PUNTED_PER_S, told
    assert any(name.startswith(kind.reasons) for name in drops), told
    assert not any(name.endswith("ring-full") and "handoff" in name for name in drops), told
    tables = siege.lab.ask("show counters")["tables"]
    assert tables["sessions"] == _COUNT, tables
    nat = siege.lab.ask("show nat")
    assert tables["nat_blocks"] <= _COUNT - 1 + nat["blocks_per_subscriber"], tables
    most = 3 * nat["block_size"] * nat["blocks_per_subscriber"] + _TUNNELS
    assert tables["nat_mappings"] <= (_COUNT - 1) * FLOWS_EACH + most, tables


@pytest.mark.parametrize("kind", UPSTREAM, ids=lambda kind: kind.name)
def test_a_flood_of_a_subscriber_leaves_established_flows_untouched(
    siege: Siege, kind: Kind
) -> None:
    _is_withstood(siege, UP, kind)


@pytest.mark.parametrize("kind", DOWNSTREAM, ids=lambda kind: kind.name)
def test_a_flood_from_the_network_leaves_established_flows_untouched(
    siege: Siege, kind: Kind
) -> None:
    _is_withstood(siege, DOWN, kind)
