"""A defect costs one record: the rest of its batch is served, and no secret gets into the log."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from bng.io.loop import CoreLoop
from bng.session.model import State
from dataplane.binding import Completion, Event, EventType, Punt, PuntCause
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box

PASSWORD = b"wonderland"
PAP_REQUEST = bytes.fromhex("c0230101") + b"\0\x15\5alice\x0a" + PASSWORD


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def once(taken: Any) -> Any:
    """Return *taken*, but with a defect that shows with the first call."""
    calls: list[object] = []

    def take(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise ZeroDivisionError
        return taken(*args)

    return take


@pytest.mark.parametrize("what", ["frame", "completed"])
def test_a_defect_costs_one_record_of_its_batch(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(box.manager, what, once(getattr(box.manager, what)))
    with capture_logs() as logs:
        box.dial(*(box.subscriber(i) for i in range(1, 9)), seconds=3.0)
    assert box.dispatcher.counters["record_error"] == 1
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["record-error"]
    assert sum(c.phase is Phase.UP for c in box._by_mac.values()) >= 7


def test_a_defect_in_an_event_does_not_lose_the_next(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box.manager, "echo_lost", once(box.manager.echo_lost))
    box.dial(box.subscriber(1))
    (session,) = box.manager.table
    lost = Event(EventType.ECHO_LOST, session.index, session.handle.generation, 0)
    monkeypatch.setattr(box.dataplane, "events", lambda group: [lost, lost] if group == 0 else [])
    with capture_logs():
        box.dispatcher.process(box.now)
    assert box.dispatcher.counters["record_error"] == 1
    assert session.state is State.ENDING


@pytest.mark.parametrize(
    ("cause", "logged"), [(PuntCause.AUTH, False), (PuntCause.LCP, True)], ids=["auth", "lcp"]
)
def test_a_packet_that_shows_a_defect_is_logged_unless_it_holds_a_password(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch, cause: PuntCause, logged: bool
) -> None:
    monkeypatch.setattr(box.manager, "frame", once(None))
    fields = (0, 7, 1, 0, 0, 0, 0, bytes(6), bytes(6), int(cause), 0, 20)
    with capture_logs() as logs:
        box.dispatcher.punted([Punt(*fields, PAP_REQUEST)], box.now)
    (log,) = logs
    assert (log["event"], log["cause"], log["session_index"]) == ("record-error", cause, 7)
    assert (PASSWORD.hex() in str(log)) is logged


def test_packets_that_are_read_late_slow_admission_down(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovery = box.access.discovery
    discovery.setup_per_s = 1_000

    def read(late_s: float) -> None:
        fields = (round((box.now - late_s) * 1e9), 7, 1, 0, 0, 0, 0, bytes(6), bytes(6), 2, 0, 20)
        monkeypatch.setattr(box.dataplane, "punts", lambda group: [Punt(*fields, b"")])
        box.dispatcher.process(box.now)
        monkeypatch.undo()

    def answered(seconds: float) -> int:
        before = discovery.counters["pado_sent"]
        box.run(seconds, step=0.005)
        return discovery.counters["pado_sent"] - before

    box.dial(*(box.subscriber(i) for i in range(400)), seconds=0)
    read(0.05)
    assert discovery.counters["behind"] == 0
    assert answered(0.1) >= 90
    read(0.15)
    assert discovery.counters["behind"] == 1
    assert 10 <= answered(0.15) <= 20
    assert answered(0.1) >= 90


def test_a_completion_is_described_as_it_is(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box.manager, "completed", once(None))
    monkeypatch.setattr(
        box.dataplane, "completions", lambda g: [Completion(5, -3, 2)] if g == 0 else []
    )
    with capture_logs() as logs:
        box.dispatcher.process(box.now)
    assert "status=-3" in logs[0]["record"]


def test_a_defect_in_a_timer_stops_no_other_timer(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[dict[str, Any]] = []
    ticks: list[float] = []

    def tick(now: float) -> None:
        ticks.append(now)
        if len(ticks) == 1:
            raise ZeroDivisionError

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        core = CoreLoop(box.dispatcher, lambda: None)
        monkeypatch.setattr(box.dispatcher, "tick", tick)
        monkeypatch.setattr(box.dispatcher, "next_deadline", lambda: core.now() + 0.001)
        core.settle()
        async with asyncio.timeout(5):
            while len(ticks) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
        core._stopped = True

    asyncio.run(run())
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


def test_a_stopped_loop_touches_the_dataplane_no_more(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        core = CoreLoop(box.dispatcher, lambda: None)
        core._stopped = True
        monkeypatch.delattr(box.dispatcher, "dataplane")
        core._process()
        core.settle()
        assert core._timer is None

    asyncio.run(run())
