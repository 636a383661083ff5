"""One packet trace at a time: asks the workers for it, keeps it alive, takes what it left.

The dataplane ends a trace when its lease runs out. It is renewed by whoever reads, so it ends with
its reader, with bngd, and after its time.
"""

import os

from dataplane.binding import Dataplane, lib
from dataplane.sight import TraceFilter, TraceRecord, trace_off_record, trace_records

LEASE_S = 3.0
MAX_COUNT = int(lib.TRACE_MAX_COUNT)
MAX_NUMBER = int(lib.TRACE_MAX)
MAX_TIMEOUT_S = 600.0


class TraceError(Exception):
    """There is another trace, or no such one. The text says which."""


class Tracer:
    """Starts, reads and ends the trace of a dataplane; times are monotonic seconds."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        # Not that of a trace which an earlier bngd may have left.
        self._number = int.from_bytes(os.urandom(2), "big") % MAX_NUMBER
        self._filter = TraceFilter()
        self._count = 0
        self._read_by = 0.0
        self._end_at = 0.0
        self._refused = 0

    def start(self, wanted: TraceFilter, count: int, timeout_s: float, now: float) -> int:
        """Start a trace and return its number. Raises: TraceError."""
        if now < self._read_by:
            raise TraceError("there is a trace already; it ends with its reader")
        self._number = self._number % MAX_NUMBER + 1
        self._filter = wanted
        self._count = count
        self._end_at = now + timeout_s
        for worker in range(self._dataplane.n_workers):
            while trace_records(self._dataplane, worker):
                pass  # of an earlier trace
        self._refused = self._full()
        self._renew(now)
        return self._number

    def read(self, number: int, now: float) -> list[TraceRecord]:
        """Take what there is, at most a batch of each worker. Raises: TraceError."""
        self._check(number)
        if now < self._end_at:
            self._renew(now)
        records: list[TraceRecord] = []
        for worker in range(self._dataplane.n_workers):
            records += trace_records(self._dataplane, worker)
        return [record for record in records if record.number == number]

    def stop(self, number: int) -> None:
        """End a trace. Raises: TraceError."""
        self._check(number)
        self._read_by = 0.0
        self._tell(trace_off_record())

    @property
    def lost(self) -> int:
        """Records that found no room since the start."""
        return self._full() - self._refused

    def is_on(self, number: int) -> bool:
        """Whether a worker traces still: not without its session, nor after its time."""
        workers = self._dataplane.workers
        return any(workers[w].tracing == number for w in range(self._dataplane.n_workers))

    def _check(self, number: int) -> None:
        if number != self._number or not self._read_by:
            raise TraceError("there is no such trace any more")

    def _renew(self, now: float) -> None:
        self._read_by = min(now + LEASE_S, self._end_at)
        lease_ms = max(1, round((self._read_by - now) * 1000))
        self._tell(self._filter.record(self._number, self._count, lease_ms))

    def _tell(self, record: bytes) -> None:
        for worker in range(self._dataplane.n_workers):
            self._dataplane.command(worker, record)
        self._dataplane.flush()

    def _full(self) -> int:
        rings = self._dataplane.rings
        return sum(
            int(rings[worker * lib.RINGS_PER_GROUP + lib.RING_TRACE].full)
            for worker in range(self._dataplane.n_workers)
        )
