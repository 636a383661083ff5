"""Two workers near capacity and at it, subscribers coming and going: nothing lost or leaked.

A short run of ``packaging/bench soak``, and a shorter one of a build with sanitizers. The lab is
drawn in tests/support/soak.py.
"""

import os
from pathlib import Path

import pytest

from tests.bench import soak
from tests.support import soak as ports
from tests.support.lab import load_users
from tests.support.soak import DOWN, UNLIMITED, UP, SoakLab


def _run(directory: Path, *words: str) -> soak.Result:
    args = soak.arguments(list(words))
    return soak.soak_run(args, directory, prefix=f"t{os.getpid()}s")


@pytest.mark.timeout(180)
def test_joins_and_leaves_near_capacity_lose_and_leak_nothing(tmp_path: Path) -> None:
    result = _run(tmp_path, "--subscribers", "1000", "--churn", "200", "--seconds", "10")
    assert not result.problems()
    assert result.joined > 500, "hardly anybody joined"
    assert result.left > 1500
    assert result.handed_off > result.up.received // 3, "workers handed hardly anything over"
    assert result.after["sessions"] == result.after["nat_slot_bytes"] == 0


@pytest.mark.timeout(300)
def test_the_same_with_sanitizers(tmp_path: Path) -> None:
    words = ("--subscribers", "200", "--churn", "40", "--seconds", "3", "--sanitize")
    result = _run(tmp_path, *words)
    assert not result.problems()
    assert result.joined > 20
    log = (tmp_path / "log" / "bng-dataplane.log").read_text()
    assert "Sanitizer" not in log
    assert "runtime error" not in log


def test_two_workers_at_full_load_lose_and_reorder_nothing_of_any_flow(tmp_path: Path) -> None:
    count = 64
    with SoakLab(
        f"t{os.getpid()}f",
        tmp_path,
        ports.program(),
        flows=count * soak.FLOWS_EACH,
        config=ports.config(tmp_path, count),
        users=load_users(count),
    ) as lab:
        people = soak.Population(lab, count, 0)
        people.fill(count)
        workers = lab.ask("show counters")["workers"]
        assert [worker["sessions"] for worker in workers] == [count // 2, count // 2]
        lab.area.rate(UNLIMITED, UNLIMITED)
        people.run(2, 0)
        lab.area.rate(0, 0)
        people.run(0.2, 0)
        counters = lab.ask("show counters")
        for direction, node in ((UP, "pppoe_input"), (DOWN, "nat44_out2in")):
            total = lab.area.total(direction)
            assert total.whole, total
            handed_off = counters["edges"][f"{node} handoff"]
            assert handed_off == pytest.approx(total.sent // 2, rel=0.05)
            each = [lab.area.count(flow, direction).sent for flow in range(lab.area.n_flows)]
            assert max(each) <= 1.5 * min(each), (min(each), max(each))
        assert not lab.area.stray()
        people.close()
