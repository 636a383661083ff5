"""Which worker gets the next session: numbers, and measured load with hysteresis."""

from collections.abc import Iterator

import pytest

from bng.session.spread import BUSIER, INTERVAL_S, LEVEL, WEIGHT, Spread
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box


class Clocks:
    """Workers of which each is busy for its share of the time."""

    def __init__(self, *shares: float) -> None:
        self.shares = shares
        self.busy = [0.0] * len(shares)
        self.now = 100.0
        self.reads = 0

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.busy = [b + s * seconds for b, s in zip(self.busy, self.shares, strict=True)]

    def read(self) -> list[float]:
        self.reads += 1
        return list(self.busy)


def take(spread: Spread, clocks: Clocks, count: int) -> list[int]:
    """Place *count* sessions; return how many each worker has then."""
    for _ in range(count):
        worker = spread.choose(clocks.now)
        spread.sessions[worker] += 1
    return spread.sessions


def measured(*shares: float) -> tuple[Spread, Clocks]:
    """Return a spread that knows these shares."""
    clocks = Clocks(*shares)
    spread = Spread(len(shares), clocks.read)
    spread.choose(clocks.now)
    clocks.pass_s(INTERVAL_S)
    return spread, clocks


def test_without_a_measure_numbers_decide() -> None:
    spread = Spread(3)
    assert take(spread, Clocks(), 9) == [3, 3, 3]


def test_workers_that_are_busy_alike_get_alike() -> None:
    spread, clocks = measured(0.9, 0.9 - BUSIER + 0.01)
    assert take(spread, clocks, 10) == [5, 5]


def test_the_busy_worker_gets_fewer_but_not_none() -> None:
    spread, clocks = measured(0.9, 0.1)
    assert take(spread, clocks, 100) == [20, 80]
    assert spread.busy == [True, False]
    clocks.pass_s(INTERVAL_S)
    assert max(take(spread, clocks, 100)) <= WEIGHT * min(spread.sessions)


def test_it_counts_as_busy_until_it_is_level_again() -> None:
    spread, clocks = measured(0.6, 0.1)
    spread.choose(clocks.now)
    for share, busy in ((0.1 + LEVEL + 0.05, True), (0.1 + LEVEL - 0.05, False), (0.3, False)):
        clocks.shares = (share, 0.1)
        clocks.pass_s(INTERVAL_S)
        spread.choose(clocks.now)
        assert spread.busy == [busy, False], share
    spread.sessions[:] = [20, 80]
    assert take(spread, clocks, 60) == [80, 80]


def test_load_is_read_once_an_interval_and_a_burst_shorter_than_it_changes_nothing() -> None:
    spread, clocks = measured(0.0, 0.0)
    take(spread, clocks, 1000)
    assert clocks.reads == 2
    clocks.shares = (1.0, 0.0)
    clocks.pass_s(INTERVAL_S / 10)
    take(spread, clocks, 1000)
    clocks.shares = (0.0, 0.0)
    clocks.pass_s(INTERVAL_S)
    take(spread, clocks, 2)
    assert clocks.reads == 3
    assert spread.busy == [False, False]


def test_one_worker_is_not_measured() -> None:
    spread, clocks = measured(1.0)
    assert take(spread, clocks, 5) == [5]
    assert clocks.reads == 0


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box(args=("--workers=-,-",)) as box:
        yield box


def test_sessions_of_a_box_go_where_there_is_time(box: MemoryBox) -> None:
    clocks = Clocks(0.1, 0.8)
    box.manager.table.spread = Spread(2, clocks.read)
    box.manager.table.spread.choose(box.now)
    clocks.pass_s(2 * INTERVAL_S)
    box.run(2 * INTERVAL_S, step=1.0)
    clients = [box.subscriber(number) for number in range(10)]
    box.dial(*clients)
    assert all(client.phase is Phase.UP for client in clients)
    owners = [session.handle.worker for session in box.manager.table]
    assert (owners.count(0), owners.count(1)) == (8, 2)
    assert [int(w.sessions) for w in box.dataplane.workers[0:2]] == [8, 2]
