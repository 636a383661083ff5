"""Sessions are spread over workers by load: one is busy with a flood, the other gets more of them.

The lab of tests/support/soak.py; worker 1 receives the network's port, where frames with a wrong
checksum come as fast as it takes them. It owns few of those who dial meanwhile, and when the flood
is over, of those who dial then it gets what levels the numbers.
"""

import os
from pathlib import Path

from bng.session.spread import INTERVAL_S
from tests.bench.soak import Population
from tests.support import soak
from tests.support.lab import load_users
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FLOWS_EACH

_FIRST, _ALL = 20, 60


def _garbage(lab: SoakLab) -> list[bytes]:
    ports = {row["port"]: row for row in lab.ask("show ports")}
    mac = bytes.fromhex(ports["wan0"]["mac"].replace(":", ""))
    return [mac + bytes(6) + b"\x08\x00" + b"\x45" + bytes(45)]


def _sessions(lab: SoakLab) -> list[int]:
    return [worker["sessions"] for worker in lab.ask("show runtime")["workers"]]


def _dial(people: Population, count: int) -> None:
    """Have one dial, which begins an interval, and the rest at its end."""
    people.fill(len(people.here) + 1)
    people.run(INTERVAL_S + 1, 0)
    people.fill(count)


def test_the_worker_that_is_busy_gets_fewer_sessions(tmp_path: Path) -> None:
    with SoakLab(
        f"t{os.getpid()}l",
        tmp_path,
        soak.program(),
        flows=_ALL * FLOWS_EACH,
        config=soak.config(tmp_path, _ALL),
        users=load_users(_ALL),
    ) as lab:
        people = Population(lab, _ALL, 0)
        lab.area.hostile(DOWN, _garbage(lab))
        _dial(people, _FIRST)
        idle, busy = _sessions(lab)
        assert idle + busy == _FIRST
        assert idle >= 2 * busy, (idle, busy)
        lab.area.hostile(DOWN, [])
        _dial(people, _ALL)
        assert _sessions(lab) == [_ALL // 2, _ALL // 2]
        people.close()
