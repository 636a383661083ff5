"""bngd's end of the NAT logs: one ring for each worker, read in batches.

Many records cross in one call, those of mappings as lines of text (``binding_natlog.c``).
"""

from typing import NamedTuple

from dataplane.binding import NAT_LOG, Dataplane, NatLogRecord, Ring, ffi, lib


class NatLogBatch(NamedTuple):
    """Records of a worker's NAT log, *n* of them, 40 bytes each in *records*.

    *text* has a line for each but the last one when that is not a mapping's: then it is *other*.
    """

    n: int
    text: bytes
    records: bytes
    other: NatLogRecord | None


class NatLogReader:
    """Reads a worker's NAT log; its only reader, in any thread, and one at a time.

    What was read stays in the ring until :meth:`commit`.
    """

    BATCH = 4_096

    def __init__(self, dataplane: Dataplane, worker: int, following: int) -> None:
        """Read the log of *worker* from sequence *following* on."""
        self.worker = worker
        self._binding = dataplane.handle
        self._records = ffi.new("struct nat_log_record[]", self.BATCH)
        self._text = ffi.new("char[]", self.BATCH * lib.NAT_LOG_LINE)
        position = int(dataplane.rings[worker * lib.RINGS_PER_GROUP + Ring.NAT_LOG].tail)
        self._now = ffi.new("struct nat_log_batch *", {"position": position, "next": following})
        self._safe = ffi.new("struct nat_log_batch *", self._now[0])

    @property
    def following(self) -> int:
        """The sequence of the record that comes after those committed."""
        return int(self._safe.next)

    @property
    def lost(self) -> int:
        """How many sequences were missing in what was committed."""
        return int(self._safe.lost)

    def waiting_bytes(self) -> int:
        """Return how much of the ring is in use."""
        return int(lib.binding_pending(self._binding, self.worker, Ring.NAT_LOG))

    def read(self) -> NatLogBatch:
        """Return what comes next; none: there is no more."""
        n = lib.binding_nat_log(
            self._binding, self.worker, self._now, self._records, self.BATCH, self._text
        )
        records = bytes(ffi.buffer(self._records, n * NAT_LOG.size))
        other = None
        if self._now.other:
            other = NatLogRecord(*NAT_LOG.unpack_from(records, (n - 1) * NAT_LOG.size))
        return NatLogBatch(n, bytes(ffi.buffer(self._text, self._now.text)), records, other)

    def commit(self) -> None:
        """Let the dataplane reuse the room of what was read: it is safe now."""
        self._safe[0] = self._now[0]
        lib.binding_consume(self._binding, self.worker, Ring.NAT_LOG, self._now.position)

    def rewind(self) -> None:
        """Read again what was not committed."""
        self._now[0] = self._safe[0]
