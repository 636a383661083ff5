"""The accounting spool: every record is on disk before it is sent, and leaves when it is answered.

SQLite in WAL mode, one row for a record and a group of servers that must get it. Rows are written
and deleted in batches, in a thread, with an fsync each (RFC 2866 §2: nothing that was reported is
lost). Records of one session go out in order, one at a time; those of different sessions overtake
each other freely.
"""

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

from radius.dictionary import Value
from radius.errors import SpoolError

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    session TEXT NOT NULL,
    event_at REAL NOT NULL,
    attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_target ON record (target, id);
"""
LOAD = """
SELECT id, session, event_at, attributes FROM record
WHERE target = ? AND id > ? ORDER BY id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One Accounting-Request: *session* orders it, *event_at* is the wall time of its event."""

    session: str
    event_at: float
    attributes: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record on disk, by its row."""

    row: int
    record: Record
    tag: object = None
    """Whoever put it wants to know, with this, when it is on disk; None: not."""


class Spool:
    """The records that *targets*, groups of servers by name, have not answered yet.

    Raises: SpoolError when the file cannot be opened or is no spool.
    """

    def __init__(self, path: Path, targets: Iterable[str]) -> None:
        self.path = path
        self.targets = tuple(targets)
        self.errors = 0
        self.last_error = ""
        self.depth: dict[str, int] = {}
        """Records on disk, by target."""
        self._put: list[tuple[str, Stored]] = []
        self._delete: list[int] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
            for target in self.targets:
                found = self._db.execute("SELECT count(*) FROM record WHERE target = ?", (target,))
                self.depth[target] = int(found.fetchone()[0])
            found = self._db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence")
            self._last_row = int(found.fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"accounting spool {path}: {error}") from None

    def put(self, record: Record, tag: object = None) -> None:
        """Write *record* for every target with the next `flush`; *tag* goes with the last one."""
        for target in self.targets:
            self._last_row += 1
            last = target == self.targets[-1]
            self._put.append((target, Stored(self._last_row, record, tag if last else None)))

    def done(self, row: int, target: str) -> None:
        """Delete a record that was answered with the next `flush`."""
        self._delete.append(row)
        self.depth[target] -= 1

    @property
    def waiting(self) -> int:
        """Records that are not on disk yet."""
        return len(self._put)

    async def flush(self) -> list[tuple[str, Stored]] | None:
        """Bring what waits to the disk; return what is new there, by target, in order.

        None: it could not be written, and waits on. One at a time: call it again only when it has
        returned.
        """
        put, self._put = self._put, []
        deleted, self._delete = self._delete, []
        if not put and not deleted:
            return []
        try:
            await asyncio.to_thread(self._write, put, deleted)
        except sqlite3.Error as error:
            self.errors += 1
            self.last_error = str(error)
            self._put = put + self._put
            self._delete = deleted + self._delete
            return None
        for target, _ in put:
            self.depth[target] += 1
        return put

    async def load(self, target: str, after: int, limit: int) -> list[Stored]:
        """Return records of *target* on disk after row *after*, oldest first.

        Raises: SpoolError.
        """
        try:
            rows = await asyncio.to_thread(self._load, target, after, limit)
        except (sqlite3.Error, ValueError) as error:
            raise SpoolError(f"accounting spool {self.path}: {error}") from None
        return rows

    def oldest_at(self, target: str) -> float | None:
        """Return the wall time of the oldest record of *target* on disk, None without one."""
        found = self._db.execute(
            "SELECT event_at FROM record WHERE target = ? ORDER BY id LIMIT 1", (target,)
        ).fetchone()
        return None if found is None else float(found[0])

    def close(self) -> None:
        """Close the file; what was not flushed is lost."""
        self._db.close()

    def _write(self, put: Iterable[tuple[str, Stored]], deleted: Iterable[int]) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
                (
                    (stored.row, target, record.session, record.event_at, dump(record.attributes))
                    for target, stored in put
                    for record in (stored.record,)
                ),
            )
            db.executemany("DELETE FROM record WHERE id = ?", ((row,) for row in deleted))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _load(self, target: str, after: int, limit: int) -> list[Stored]:
        return [
            Stored(row, Record(session, event_at, restore(attributes)))
            for row, session, event_at, attributes in self._db.execute(LOAD, (target, after, limit))
        ]


def dump(attributes: Iterable[tuple[str, Value]]) -> str:
    """Return attributes as JSON; what is neither number nor text carries its type."""
    return json.dumps([(name, _dumped(value)) for name, value in attributes])


def _dumped(value: Value) -> int | str | list[str]:
    match value:
        case int() | str():
            return value
        case bytes():
            return ["x", value.hex()]
        case IPv6Network():
            return ["p", str(value)]
        case _:
            return ["a", str(value)]


def restore(text: str) -> tuple[tuple[str, Value], ...]:
    """Return what `dump` wrote. Raises: ValueError."""
    return tuple((name, _restored(value)) for name, value in json.loads(text))


def _restored(value: int | str | list[str]) -> Value:
    if not isinstance(value, list):
        return value
    kind, text = value
    match kind:
        case "x":
            return bytes.fromhex(text)
        case "p":
            return IPv6Network(text)
        case "a":
            return IPv6Address(text) if ":" in text else IPv4Address(text)
        case _:
            raise ValueError(f"a value of kind {kind}")
