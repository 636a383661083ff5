"""From the dataplane's rings into the core, and back: the packet-in edge and the one timer."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable

import structlog

from bng.access.pppoe import PppoeAccess
from bng.ethernet import AccessLine, Mac, VlanTag
from bng.io.executor import Executor
from bng.session.manager import SessionManager
from bng.session.model import Counters
from dataplane.binding import Completion, Dataplane, Event, EventType, Punt, PuntCause

STALE_DISCOVERY_S = 4.0
"""A discovery packet that waited longer is dropped: the client has sent another by now."""
RETRY_S = 0.002
"""When a command ring was full: how soon to try again."""
LATENESS_S = 0.0005
"""Timers this close are run at once."""


class PuntLoop:
    """Runs the core on an event loop: records in, actions out, one `call_at`.

    *on_port* is told of ports that go up and down, *on_lost* once when the dataplane is gone.
    """

    def __init__(
        self,
        *,
        dataplane: Dataplane,
        manager: SessionManager,
        access: PppoeAccess,
        executor: Executor,
        on_port: Callable[[int, bool], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.dataplane = dataplane
        self.manager = manager
        self.access = access
        self.executor = executor
        self.counters: Counter[str] = Counter()
        self._on_port = on_port
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._log = structlog.get_logger("punt")
        self._lines: dict[tuple[int, int, int, int, int], AccessLine] = {}

    def start(self, fresh: list[Punt]) -> None:
        """Begin to wait for records; *fresh* are punts from before the attach."""
        for punt in fresh:
            self._punt(punt, time.monotonic())
        self._loop.add_reader(self.dataplane.event_fd, self._wake)
        if self.dataplane.fileno() >= 0:
            self._loop.add_reader(self.dataplane.fileno(), self._lease_lost)
        self.settle()
        self._schedule()

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._loop.remove_reader(self.dataplane.event_fd)
        if self.dataplane.fileno() >= 0:
            self._loop.remove_reader(self.dataplane.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def now(self) -> float:
        """Return the time by which the core runs."""
        return self._loop.time()

    def settle(self) -> None:
        """Carry out what the core decided, push it, set the timer. After every event."""
        self.executor.run(self.manager.take())
        flushed = self.dataplane.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if flushed else self._loop.time() + RETRY_S
        for at in (self.manager.next_deadline(), self.access.next_deadline()):
            if at is not None and (due is None or at < due):
                due = at
        if due is not None:
            self._timer = self._loop.call_at(due, self._expire)

    # The event loop's clock and time.monotonic() are the same clock.

    def _expire(self) -> None:
        now = self._loop.time() + LATENESS_S
        self.manager.tick(now)
        self.access.tick_discovery(now)
        self.settle()

    def _wake(self) -> None:
        os.eventfd_read(self.dataplane.event_fd)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._process)

    def _process(self) -> None:
        """Take one batch from every ring, then wait, or come back for the next."""
        self._scheduled = False
        dataplane = self.dataplane
        dataplane.awake()
        more = False
        for group in range(dataplane.n_workers + 1):
            now = time.monotonic()
            for completion in dataplane.completions(group):
                self._complete(completion, now)
            for event in dataplane.events(group):
                self._event(event, now)
            if group < dataplane.n_workers:
                for punt in dataplane.punts(group):
                    more = True
                    self._punt(punt, now)
        self.settle()
        if more or not dataplane.sleep():
            self._schedule()

    def _punt(self, punt: Punt, now: float) -> None:
        try:
            if punt.cause == PuntCause.DISCOVERY:
                self._discovery(punt, now)
            else:
                self.manager.frame(punt.session, punt.generation, punt.data, now)
        except Exception:
            # The packet-in edge: a defect of ours must cost one packet, not the box.
            self.counters["packet_error"] += 1
            self._log.exception("packet-error", cause=punt.cause, data=punt.data[:128].hex())

    def _discovery(self, punt: Punt, now: float) -> None:
        if now - punt.monotonic_ns * 1e-9 > STALE_DISCOVERY_S:
            self.counters["discovery_stale"] += 1
            return
        line = self._line(punt)
        source, destination = Mac(punt.source), Mac(punt.destination)
        self.access.discover(line, source, destination, punt.data, now)

    def _line(self, punt: Punt) -> AccessLine:
        key = (punt.port, punt.outer_tpid, punt.outer_vid, punt.inner_tpid, punt.inner_vid)
        line = self._lines.get(key)
        if line is None:
            tags = (VlanTag(key[1], key[2]), VlanTag(key[3], key[4]))
            line = AccessLine(punt.port, tuple(tag for tag in tags if tag.tpid))
            if len(self._lines) >= 65_536:
                self._lines.clear()
            self._lines[key] = line
        return line

    def _complete(self, completion: Completion, now: float) -> None:
        if completion.cookie:
            self.manager.completed(completion.cookie, completion.status, self._counters, now)
        elif completion.status:
            self.counters["command_failed"] += 1
            self._log.error("command-failed", type=completion.type, status=completion.status)

    def _event(self, event: Event, now: float) -> None:
        match event.type:
            case EventType.ECHO_LOST:
                self.manager.echo_lost(event.session, event.generation, now)
            case EventType.IDLE:
                self.manager.idle(event.session, event.generation, now)
            case EventType.LOOP:
                self.counters["echo_loop"] += 1
            case EventType.PORT_UP | EventType.PORT_DOWN:
                self._on_port(event.session, event.type == EventType.PORT_UP)
            case _:
                self.counters["event_unknown"] += 1

    def _counters(self, index: int) -> Counters:
        session_in = self.dataplane.session_in[index]
        session_out = self.dataplane.session_out[index]
        return Counters(
            in_packets=session_in.packets,
            in_bytes=session_in.bytes,
            out_packets=session_out.packets,
            out_bytes=session_out.bytes,
        )

    def _lease_lost(self) -> None:
        self._loop.remove_reader(self.dataplane.fileno())
        self._on_lost()
