"""Writes the NAT log (`bng.natlog.lines`): nothing is lost, nothing is there twice.

Records leave the dataplane's ring only after they are on disk; while they cannot be written it
keeps them, and when the ring is full it gives out no more ports. What is on disk already after a
crash is known by its sequence and passed over. Every file stands alone: it begins with what is in
use when it begins (`bng.io.natlog_file` says how one follows another); one that was moved away is
begun anew.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

import structlog

from bng.io.natlog_file import LogFile, NatLogSettings
from bng.natlog.files import aside, open_log
from bng.natlog.lines import (
    EVENTS,
    MAX_LINE_BYTES,
    MAX_SEQUENCE,
    Header,
    Key,
    NatLogFormatError,
    Record,
    parse,
)
from bng.session import restart
from dataplane.binding import Dataplane, NatLogRecord
from dataplane.natlog import NatLogBatch, NatLogReader

FLUSH_BYTES = 4 << 20
"""Written at once, then made safe: what a crash may have to write again."""
TIDY_WAIT_S = 5.0


class NatLogError(Exception):
    """The NAT log cannot be opened. The text names the file."""


class Exporter(Protocol):
    """Takes what is on disk to somewhere else; never waits, never raises."""

    def export(self, worker: int, records: bytes, text: bytes) -> None:
        """Take records of 40 bytes, and the same as lines."""

    def flush(self, now: float) -> None:
        """Send what was taken; *now* in seconds since 1970."""

    def stats(self) -> dict[str, object]:
        """Return where to, and counters."""

    def close(self) -> None:
        """Let go."""


@dataclass(slots=True)
class Written:
    """What a file says: its age, the last run, what comes next by worker, what is given out."""

    begun_ns: int | None = None
    boot: int | None = None
    following: list[int] = field(default_factory=list)
    given: dict[Key, Record] = field(default_factory=dict)
    damaged: int = 0

    def take(self, line: bytes) -> None:
        """Take a line. Raises: NatLogFormatError when it is the first one and no header."""
        if self.boot is not None and self._mapping(line):
            return
        try:
            entry = parse(line.decode("ascii", "replace"))
        except NatLogFormatError:
            if self.boot is None:
                raise
            self.damaged += 1
            return
        if isinstance(entry, Header):
            self.begun_ns = self.begun_ns or entry.time_ns
            if entry.boot != self.boot:
                self.given.clear()
            self.boot, self.following = entry.boot, list(entry.following)
        elif self.boot is None:
            raise NatLogFormatError("the first line is no header of a NAT log")
        else:
            self._record(entry)

    def _mapping(self, line: bytes) -> bool:
        """Take the sequence of a mapping's line, and no more: there are many. False: none."""
        fields = line.split(b" ", 4)
        if len(fields) < 5 or fields[3] not in (b"+map", b"-map"):
            return False
        worker, sequence = fields[1], fields[2]
        if not (worker.isdigit() and sequence.isdigit() and len(worker) + len(sequence) < 30):
            return False
        if int(worker) < len(self.following) and int(sequence) <= MAX_SEQUENCE:
            self.following[int(worker)] = int(sequence) + 1
        return True

    def _record(self, record: Record) -> None:
        if record.event[0] != "=" and record.worker < len(self.following):
            self.following[record.worker] = record.sequence + 1
        account(self.given, record)


def account(given: dict[Key, Record], record: Record) -> None:
    """Enter a record in what is given out."""
    if record.event[0] == "-":
        given.pop(record.key, None)
    else:
        given[record.key] = record


class NatLog:
    """Moves NAT log records from the rings to the file. Raises: NatLogError."""

    def __init__(
        self, dataplane: Dataplane, settings: NatLogSettings, exporters: Sequence[Exporter] = ()
    ) -> None:
        self.path = settings.path
        self.exporters = exporters
        self._wanted = settings, exporters
        self.written = 0
        self.errors = 0
        self.given: dict[Key, Record] = {}
        """Blocks, forwards and whole addresses that are given out, as the file says."""
        self._dataplane = dataplane
        self._log = structlog.get_logger("natlog")
        self._flushing = threading.Lock()
        self._file = LogFile(settings)
        try:
            self._start()
        except OSError as error:
            raise NatLogError(f"NAT log {self.path}: {error.strerror or error}") from None
        except NatLogFormatError as error:
            raise NatLogError(f"NAT log {self.path}: {error}: move it away") from None
        self._file.tidy()

    def _start(self) -> None:
        present = self._file.prepare()
        found = self._read([self.path] if present else aside(self.path)[-1:])
        following = [0] * self._dataplane.n_workers
        known = found.boot == self._dataplane.boot()
        if known:
            self.given = found.given
            following = [*found.following, *following][: len(following)]
        self.readers = [NatLogReader(self._dataplane, w, n) for w, n in enumerate(following)]
        self._file.begun_at = (found.begun_ns or 0) / 1e9
        if not present:
            self._file.begin(self._head(), time.time())
        elif not known:
            self._file.append(self._head())

    def _read(self, newest: list[Path]) -> Written:
        found = Written()
        for path in newest:
            with open_log(path) as stream:
                while line := stream.readline(MAX_LINE_BYTES):
                    if line.endswith(b"\n"):
                        found.take(line[:-1])
                    else:
                        found.damaged += 1
            if found.damaged:
                self._log.error("nat-log-damaged", path=str(path), lines=found.damaged)
        return found

    @property
    def lost(self) -> int:
        """How many records the dataplane made that never came."""
        return sum(reader.lost for reader in self.readers)

    def stats(self) -> dict[str, object]:
        """Return the state of the log, of the rings and of the exporters."""
        return {
            "file": str(self.path),
            "written": self.written,
            "errors": self.errors,
            "lost": self.lost,
            "rotated": self._file.rotated,
            "waiting_bytes": sum(reader.waiting_bytes() for reader in self.readers),
            "exporters": [exporter.stats() for exporter in self.exporters],
        }

    async def flush_later(self) -> None:
        """Flush in a thread, so that a slow disk stops no packet."""
        await asyncio.to_thread(self.flush)

    def reconfigure(self, settings: NatLogSettings, exporters: Sequence[Exporter]) -> None:
        """Have other *settings*, but for the path, and other *exporters* from the next flush on.

        Every record goes to those of before or to these.
        """
        self._wanted = settings, exporters

    def _follow(self) -> None:
        """Do as told last; between flushes no exporter has anything that it has not sent."""
        settings, exporters = self._wanted
        gone = [exporter for exporter in self.exporters if exporter not in exporters]
        self.exporters = exporters
        for exporter in gone:
            exporter.close()
        self._file.reconfigure(settings)

    def flush(self) -> None:
        """Write what waits. A failure is counted and logged; the records stay in the rings."""
        with self._flushing:
            self._follow()
            try:
                while self._flush_once():
                    self._rotate()
                self._rotate()
            except OSError as error:
                self.errors += 1
                self._log.error("nat-log-not-written", path=str(self.path), error=str(error))
            for exporter in self.exporters:
                exporter.flush(time.time())

    def close(self) -> None:
        """Let go; what is being compressed goes on for a few seconds at most."""
        for exporter in self.exporters:
            exporter.close()
        self._file.wait(TIDY_WAIT_S)

    def _rotate(self) -> None:
        now = time.time()
        if self._file.is_due(now):
            self._file.rotate(self._head(), now)

    def _flush_once(self) -> bool:
        """Write up to some MiB and make it safe. False: there was nothing. Raises: OSError."""
        changes: dict[Key, Record | None] = {}
        taken: list[tuple[int, NatLogBatch, bytes]] = []
        lost = self.lost
        for reader in self.readers:
            size = 0
            while size < FLUSH_BYTES and (batch := reader.read()).n:
                text = batch.text
                if batch.other is not None:
                    text += self._line(reader.worker, batch.other, changes)
                taken.append((reader.worker, batch, text))
                size += len(text)
        try:
            self._append(b"".join(text for _, _, text in taken))
        except OSError:
            for reader in self.readers:
                reader.rewind()
            raise
        for reader in self.readers:
            reader.commit()
        self._settle(changes)
        self.written += sum(batch.n for _, batch, _ in taken)
        if self.lost > lost:
            self._log.error("nat-log-records-missing", count=self.lost - lost)
        for exporter in self.exporters:
            for worker, batch, text in taken:
                exporter.export(worker, batch.records, text)
        return bool(taken)

    def _settle(self, changes: dict[Key, Record | None]) -> None:
        for key, record in changes.items():
            if record is None:
                self.given.pop(key, None)
            else:
                self.given[key] = record

    def _append(self, data: bytes) -> None:
        try:
            if data:
                self._file.append(data)
        except FileNotFoundError:  # moved away
            self._file.begin(self._head(), time.time())
            self._file.append(data)

    def _head(self) -> bytes:
        """Return what a file begins with: its header, and what is given out."""
        following = tuple(reader.following for reader in self.readers)
        lines = [str(Header(time.time_ns(), self._dataplane.boot(), following))]
        lines += [str(replace(r, event=f"={r.kind}")) for r in self.given.values()]
        return "".join(f"{line}\n" for line in lines).encode()

    def _line(self, worker: int, record: NatLogRecord, changes: dict[Key, Record | None]) -> bytes:
        """Return the line of a record that is not a mapping's, and enter it in *changes*."""
        line = Record(
            time_ns=record.wall_ns // 1000 * 1000,
            worker=worker,
            sequence=record.sequence,
            event=EVENTS[record.type],
            session=record.session,
            generation=record.generation,
            inner=str(IPv4Address(record.inner)),
            inner_port=record.inner_port,
            outer=str(IPv4Address(record.outer)),
            first=record.port_first,
            last=record.port_last,
            protocol=record.protocol,
        )
        ends = line.event[0] == "-"
        begun = changes.get(line.key) or self.given.get(line.key)
        if ends and begun is not None:
            line = replace(line, acct_id=begun.acct_id, user=begun.user)
        else:
            acct_id, user = self._who(line.session, line.generation)
            line = replace(line, acct_id=acct_id, user=user)
        changes[line.key] = None if ends else line
        return f"{line}\n".encode()

    def _who(self, session: int, generation: int) -> tuple[str, str]:
        """Return Acct-Session-Id and user name as the arena remembers them, "" when it does not."""
        data = self._dataplane.remembered_control(session, generation)
        with suppress(ValueError):
            fields = restart.read(data or b"{}")
            return str(fields.get("id") or ""), str(fields.get("user") or "")
        return "", ""
