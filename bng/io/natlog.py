"""The NAT log: who had which public address and ports, and when (RFC 6888 REQ-12).

One JSON object a line: ``time`` (RFC 3339, UTC, stamped by the dataplane), ``event``
(``block-allocated``, ``block-released`` and the others of `NatLogType`), ``protocol`` (of IP, 0 for
all), ``inner``, ``inner_port`` (0 where there is none), ``outer``, ``port_first``, ``port_last``,
``worker``, ``sequence`` (of the worker: a gap is a loss), ``session`` and ``generation`` (of the
dataplane's table). Records leave the dataplane's ring only after they are on disk; while they
cannot be written it keeps them, and when the ring is full it gives out no more ports. The file is
opened anew when it was moved away.
"""

import asyncio
import errno
import json
import os
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from dataplane.binding import Dataplane, NatLogRecord, NatLogType


class NatLogError(Exception):
    """The NAT log cannot be opened. The text names the file."""


class NatLog:
    """Moves NAT log records from the rings to the file. Raises: NatLogError."""

    def __init__(self, dataplane: Dataplane, path: Path) -> None:
        self.path = path
        self.written = 0
        self.errors = 0
        self._dataplane = dataplane
        self._log = structlog.get_logger("natlog")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o640)
        except OSError as error:
            raise NatLogError(f"NAT log {path}: {error.strerror}") from None

    async def flush_later(self) -> None:
        """Flush in a thread, so that a slow disk stops no packet."""
        await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write what waits. A failure is counted and logged; the records stay in the rings."""
        for worker in range(self._dataplane.n_workers):
            while True:
                records, position = self._dataplane.peek_nat_log(worker)
                if not records:
                    break
                try:
                    self._append("".join(_line(worker, record) for record in records))
                except OSError as error:
                    self.errors += 1
                    self._log.error("nat-log-not-written", path=str(self.path), error=str(error))
                    return
                self._dataplane.consume_nat_log(worker, position)
                self.written += len(records)

    def _append(self, lines: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                if file.write(data := lines.encode()) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)  # no half a line, no record twice
                raise


def _line(worker: int, record: NatLogRecord) -> str:
    seconds, nanoseconds = divmod(record.wall_ns, 1_000_000_000)
    when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return (
        json.dumps(
            {
                "time": when.isoformat(timespec="microseconds"),
                "event": NatLogType(record.type).name.lower().replace("_", "-"),
                "protocol": record.protocol,
                "inner": str(IPv4Address(record.inner)),
                "inner_port": record.inner_port,
                "outer": str(IPv4Address(record.outer)),
                "port_first": record.port_first,
                "port_last": record.port_last,
                "worker": worker,
                "sequence": record.sequence,
                "session": record.session,
                "generation": record.generation,
            }
        )
        + "\n"
    )
