"""What bngd remembers of sessions that have ended is bounded: it does not grow with their number.

After a while it holds the ids at rest (`pppoe.id_rest_s`), the addresses held down and sticky, and
nothing else of who has left.
"""

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.binding import Ring
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box

EACH, REST_S = 10, 60
ROOT = Path(__file__).parents[3]
OURS = [tracemalloc.Filter(True, str(ROOT / name / "*")) for name in ("bng", "dataplane")]
BYTES_A_JOIN = 20


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def come_and_go(box: MemoryBox, turns: int) -> int:
    """Have *turns* groups of subscribers dial in and hang up; return how many sessions that was."""
    for turn in range(turns):
        clients = [box.subscriber((turn % 4) * EACH + number) for number in range(EACH)]
        box.dial(*clients)
        assert all(client.phase is Phase.UP for client in clients)
        for client in clients:
            client.terminate("terminate", box.now)
        box.run(REST_S / 10, step=0.5)
        box._by_mac.clear()
        while box.embedded.pop(0, Ring.NAT_LOG):
            pass
    return turns * EACH


def held_bytes() -> int:
    """Return what code of ours has allocated since tracing began, and has still."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(trace.size for trace in snapshot.traces)


def test_memory_is_level_once_ids_come_back_from_their_rest(box: MemoryBox) -> None:
    tracemalloc.start()
    try:
        come_and_go(box, 34)  # counters beyond the numbers that Python keeps, ids that came back
        before = held_bytes()
        joins = come_and_go(box, 20)
        grown = held_bytes() - before
    finally:
        tracemalloc.stop()
    assert before > 0, "nothing was traced"
    assert grown < BYTES_A_JOIN * joins, f"{grown / joins:.0f} bytes a join"
