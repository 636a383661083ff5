"""Two workers near capacity and at it, subscribers coming and going: nothing lost or leaked.

A short run of ``packaging/bench soak``, and a shorter one of a build with sanitizers. The lab is
drawn in tests/support/soak.py.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import soak
from tests.support import soak as ports
from tests.support.lab import load_users
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FLOWS_EACH, IP4, KINDS, UNLIMITED, UP, FlowKind, Harm


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


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[soak.Population]:
    """Sixty-four subscribers who are there, and send nothing yet."""
    count, directory = 64, tmp_path_factory.mktemp("crowd")
    with SoakLab(
        f"t{os.getpid()}f",
        directory,
        ports.program(),
        flows=count * FLOWS_EACH,
        config=ports.config(directory, count),
        users=load_users(count),
    ) as lab:
        people = soak.Population(lab, count, 0)
        people.fill(count)
        yield people
        people.close()


def test_two_workers_at_full_load_lose_and_reorder_nothing_of_any_flow(
    crowd: soak.Population,
) -> None:
    lab, area, half = crowd.lab, crowd.area, crowd.count // 2
    workers = lab.ask("show counters")["workers"]
    assert [worker["sessions"] for worker in workers] == [half, half]
    area.rate(UNLIMITED, UNLIMITED)
    crowd.run(2, 0)
    area.rate(0, 0)
    crowd.run(0.2, 0)
    edges = lab.ask("show counters")["edges"]
    for direction in (UP, DOWN):
        assert area.total(direction).whole, area.total(direction)
        each = [area.count(flow, direction).sent for flow in range(area.n_flows)]
        assert max(each) <= 1.5 * min(each), (min(each), max(each))
    sent = [area.of_kind(number, DOWN).sent for number in range(FLOWS_EACH)]
    translated = sum(n for n, kind in zip(sent, KINDS, strict=True) if kind.family == IP4)
    for node, all_of_it in (
        ("pppoe_input", area.total(UP).sent),
        ("nat44_out2in", translated),
        ("session6_output", sum(sent) - translated),
    ):
        assert edges[f"{node} handoff"] == pytest.approx(all_of_it // 2, rel=0.05), node
    assert not area.stray()


def _harms(direction: int, kind: FlowKind) -> list[tuple[Harm, int]]:
    """Return what to do to packets of a flow: lose one, repeat one, flip a bit of any sort."""
    ip = (22, 14)[direction == UP]
    hops, addresses, udp = (8, 12, 20) if kind.family == IP4 else (7, 8, 40)
    places = {
        "Ethernet's source": 7,
        "the session id": 16,
        "the traffic class": ip + 1,
        "the hop limit": ip + hops,
        "the source": ip + addresses + 3,
        "the destination": ip + udp - 1,
        "the port": ip + udp + (1 if direction == UP else 3),
        "the UDP length": ip + udp + 5,
        "the UDP checksum": ip + udp + 6,
    }
    if direction == UP:
        del places["the session id"]
    return [(Harm.LOSE, 0), (Harm.REPEAT, 0), *((Harm.FLIP, at) for at in places.values())]


def test_one_packet_lost_repeated_or_changed_in_one_bit_is_seen(crowd: soak.Population) -> None:
    area = crowd.area
    area.rate(50_000, 50_000)
    crowd.run(0.2, 0)
    done: set[tuple[int, int]] = set()
    for number, kind in enumerate(KINDS):
        for direction in (UP, DOWN):
            for subscriber, (harm, at) in enumerate(_harms(direction, kind)):
                flow = subscriber * FLOWS_EACH + number
                area.harm(flow, direction, harm, at)
                while not area.harmed:
                    crowd.run(0.002, 0)
                done.add((flow, direction))
    area.rate(0, 0)
    crowd.run(0.2, 0)
    wrong = {
        (flow, direction)
        for flow in range(area.n_flows)
        for direction in (UP, DOWN)
        if not area.count(flow, direction).whole
    }
    assert wrong == done
