"""From the dataplane's rings into the core, and back: the packet-in edge."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog

from bng.access.pppoe import PppoeAccess
from bng.ethernet import AccessLine, Mac, VlanTag
from bng.io.executor import Executor
from bng.session.manager import SessionManager
from bng.session.model import Counters
from dataplane.binding import (
    Completion,
    Dataplane,
    Event,
    EventType,
    NatRefusal,
    Punt,
    PuntCause,
)

T = TypeVar("T")

STALE_DISCOVERY_S = 4.0
"""A discovery packet that waited longer is dropped: the client has sent another by now."""
REFUSALS = {int(refusal): refusal.name.lower() for refusal in NatRefusal}
MAX_LINES = 65_536
"""Access lines kept, so that frames of one line share one object."""


class Dispatcher:
    """Takes records out of the rings, runs the core, pushes what it decided.

    Has no clock and waits for nothing: `bng.io.loop` calls it, and so do tests. *on_port* is told
    of ports that go up and down.
    """

    def __init__(
        self,
        *,
        dataplane: Dataplane,
        manager: SessionManager,
        access: PppoeAccess,
        executor: Executor,
        on_port: Callable[[int, bool], None],
    ) -> None:
        self.dataplane = dataplane
        self.manager = manager
        self.access = access
        self.executor = executor
        self.counters: Counter[str] = Counter()
        self._counters = partial(read_counters, dataplane)
        self._on_port = on_port
        self._log = structlog.get_logger("punt")
        self._lines: dict[tuple[int, int, int, int, int], AccessLine] = {}

    def process(self, now: float) -> bool:
        """Take one batch from every ring; False when there was no packet."""
        dataplane = self.dataplane
        packets = False
        for group in range(dataplane.n_workers + 1):
            self._each(self._complete, dataplane.completions(group), now)
            self._each(self._event, dataplane.events(group), now)
            if group < dataplane.n_workers and (punts := dataplane.punts(group)):
                packets = True
                self.access.discovery.late(now - punts[0].monotonic_ns * 1e-9, now)
                self.punted(punts, now)
        return packets

    def complete(self, now: float) -> None:
        """Take what was answered, and nothing else."""
        for group in range(self.dataplane.n_workers + 1):
            self._each(self._complete, self.dataplane.completions(group), now)

    def punted(self, punts: list[Punt], now: float) -> None:
        """Take punted packets."""
        self._each(self._punt, punts, now)

    def _each(self, take: Callable[[T, float], None], records: list[T], now: float) -> None:
        """Give *records* to *take*, one by one."""
        for record in records:
            try:
                take(record, now)
            except Exception:
                # The packet-in edge: a defect of ours must cost one record, not the box.
                self.counters["record_error"] += 1
                self._log.exception("record-error", **_described(record))

    def tick(self, now: float) -> None:
        """Run the timers that are due."""
        self.manager.tick(now)
        self.access.tick_discovery(now)

    def settle(self) -> bool:
        """Carry out what the core decided and push it; False: commands wait for room in a ring."""
        self.executor.run(self.manager.take())
        return self.dataplane.flush()

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        deadlines = (self.manager.next_deadline(), self.access.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def _punt(self, punt: Punt, now: float) -> None:
        if punt.cause == PuntCause.DISCOVERY:
            self._discovery(punt, now)
        else:
            self.manager.frame(punt.session, punt.generation, punt.data, now)

    def _discovery(self, punt: Punt, now: float) -> None:
        if not punt.keeps and now - punt.monotonic_ns * 1e-9 > STALE_DISCOVERY_S:
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
            if len(self._lines) >= MAX_LINES:
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
            case EventType.NAT_REFUSED if event.arg in REFUSALS:
                self.manager.nat_refused(event.session, event.generation, REFUSALS[event.arg])
            case EventType.PORT_UP:
                self.manager.drain.port_up(event.session)
                self._on_port(event.session, True)
            case EventType.PORT_DOWN:
                self.manager.drain.port_down(event.session, now)
                self._on_port(event.session, False)
            case _:
                self.counters["event_unknown"] += 1


def read_counters(dataplane: Dataplane, index: int) -> Counters:
    """Return what the session at *index* has carried so far."""
    session_in, session_out = dataplane.session_in[index], dataplane.session_out[index]
    ip6 = dataplane.session_ip6[index]
    return Counters(
        in_packets=int(session_in.packets),
        in_bytes=int(session_in.bytes),
        out_packets=int(session_out.packets),
        out_bytes=int(session_out.bytes),
        in6_packets=int(ip6.in_packets),
        in6_bytes=int(ip6.in_bytes),
        out6_packets=int(ip6.out_packets),
        out6_bytes=int(ip6.out_bytes),
    )


def _described(record: object) -> dict[str, object]:
    """Return what the log may say of a record; credentials stay out of it."""
    if not isinstance(record, Punt):
        return {"record": repr(record)}
    described: dict[str, object] = {"cause": record.cause, "session_index": record.session}
    if record.cause != PuntCause.AUTH:
        described["data"] = record.data[:128].hex()
    return described
