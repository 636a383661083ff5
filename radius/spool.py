"""The accounting spool: every record is on disk before it is sent, and leaves when it is answered.

SQLite in WAL mode, one row for a record and a group of servers that must get it. Rows are written
and deleted in batches, in a thread, with an fsync each (RFC 2866 §2: nothing that was reported is
lost). Records of one session go out in order, one at a time; those of different sessions overtake
each other freely.

Beside them stand the open accounts: sessions whose Start was written and whose Stop was not, with
what is known of them last; and sessions whose Stop was written, until nothing else is left of them.
They change in the transaction of the records that change them, so that after a death at any instant
they say which Stops are owed, and which Starts.
"""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from radius import rows
from radius.dictionary import Value
from radius.errors import SpoolError

P = ParamSpec("P")
T = TypeVar("T")
VERSION = 1
"""Of the schema, in the file's ``user_version``. 0: before there were open accounts."""
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    session TEXT NOT NULL,
    event_at REAL NOT NULL,
    attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_target ON record (target, id);
CREATE TABLE IF NOT EXISTS account (
    session TEXT PRIMARY KEY,
    seen_at REAL NOT NULL,
    counters TEXT NOT NULL,
    attributes TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stopped (
    session TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS box (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""
LOAD = """
SELECT id, session, event_at, attributes FROM record
WHERE target = ? AND id > ? ORDER BY id LIMIT ?
"""
ACCOUNTS = "SELECT session, seen_at, counters, attributes FROM account"
DAMAGED = """
CREATE TABLE IF NOT EXISTS damaged (why TEXT NOT NULL, target, session, at, attributes)
"""
SET_RECORD_ASIDE = """
INSERT INTO damaged SELECT ?, target, session, event_at, attributes FROM record WHERE id = ?
"""
SET_ACCOUNT_ASIDE = """
INSERT INTO damaged SELECT ?, NULL, session, seen_at, attributes FROM account WHERE session = ?
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


@dataclass(frozen=True, slots=True)
class Account:
    """The open account of a session, as it was known at the wall time *seen_at*.

    *counters* are what whoever writes them says they are; *text* is the `dump` of its last record.
    """

    session: str
    seen_at: float
    counters: tuple[int, ...]
    text: str

    @property
    def attributes(self) -> tuple[tuple[str, Value], ...]:
        """Those of its last record. Raises: ValueError."""
        return rows.restore(self.text)


@dataclass(frozen=True, slots=True)
class _Open:
    """An account that is to be open: its last record, and what is known since."""

    record: Record
    seen_at: float
    counters: tuple[int, ...]


@dataclass(slots=True)
class _Batch:
    """What waits for the next transaction."""

    put: list[tuple[str, Stored]] = field(default_factory=list)
    delete: list[int] = field(default_factory=list)
    accounts: dict[str, _Open | None] = field(default_factory=dict)
    """None: closed."""
    seen: dict[str, tuple[float, tuple[int, ...]]] = field(default_factory=dict)
    """Newer counters of accounts that are on disk."""
    released: list[str] = field(default_factory=list)
    box: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        said = self.put or self.delete or self.accounts or self.seen or self.released
        return bool(said or self.box)

    def before(self, later: "_Batch") -> "_Batch":
        """Return this batch and *later*, which came after it, as one."""
        still = {key: seen for key, seen in self.seen.items() if key not in later.accounts}
        merged = _Batch(
            self.put + later.put,
            self.delete + later.delete,
            self.accounts | later.accounts,
            still,
            self.released + later.released,
            self.box | later.box,
        )
        for session, (at, counters) in later.seen.items():
            merged.checkpoint(session, at, counters)
        return merged

    def checkpoint(self, session: str, at: float, counters: tuple[int, ...]) -> None:
        if session not in self.accounts:
            self.seen[session] = (at, counters)
        elif (account := self.accounts[session]) is not None:
            self.accounts[session] = replace(account, seen_at=at, counters=counters)


class Spool:
    """The records that *targets*, groups of servers by name, have not answered yet.

    Raises: SpoolError when the file cannot be opened, is no spool, or is one of a newer version.
    """

    def __init__(self, path: Path, targets: Iterable[str]) -> None:
        self.path = path
        self.targets = tuple(targets)
        self.errors = 0
        self.last_error = ""
        self.depth: dict[str, int] = {}
        """Records on disk, by target."""
        self.strays: dict[str, int] = {}
        """Records on disk for targets that there are no more: nobody sends them."""
        self.damaged: list[str] = []
        """Rows that were set aside, and why; whoever tells of them empties it."""
        self._batch = _Batch()
        self._busy = threading.Lock()  # a thread goes on when whoever awaits it is cancelled
        self._writing = _Batch()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"accounting spool {path}: {error}") from None

    def _open(self) -> None:
        db = self._db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            db.close()
            raise SpoolError(
                f"accounting spool {self.path}: of a newer version: schema {version}, "
                f"this bngd knows {VERSION}"
            )
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if version < VERSION:
            db.executescript(SCHEMA)
        counts = dict(db.execute("SELECT target, count(*) FROM record GROUP BY target"))
        self.depth = {target: int(counts.pop(target, 0)) for target in self.targets}
        self.strays = counts
        found = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence")
        self._last_row = int(found.fetchone()[0])
        self._box: dict[str, str] = dict(db.execute("SELECT key, value FROM box"))
        self._on_disk = {session for (session,) in db.execute("SELECT session FROM account")}
        self._stopped = {session for (session,) in db.execute("SELECT session FROM stopped")}

    # ---- records ----

    def put(
        self,
        record: Record,
        tag: object = None,
        *,
        counters: Sequence[int] | None = None,
        closes: bool = False,
    ) -> None:
        """Write *record* for every target with the next `flush`; *tag* goes with the last one.

        *counters*: its session's account is open, from now on with these; *closes*: no more, and it
        is one of `stopped` until it is `released`.
        """
        for target in self.targets:
            self._last_row += 1
            last = target == self.targets[-1]
            stored = Stored(self._last_row, record, tag if last else None)
            self._batch.put.append((target, stored))
        if not self.targets or (counters is None and not closes):
            return
        self._batch.seen.pop(record.session, None)
        self._batch.accounts[record.session] = (
            None if counters is None else _Open(record, record.event_at, tuple(counters))
        )

    def done(self, row: int, target: str) -> None:
        """Delete a record that was answered with the next `flush`."""
        self._batch.delete.append(row)
        self.depth[target] -= 1

    @property
    def waiting(self) -> int:
        """Records that are not on disk yet."""
        return len(self._batch.put)

    # ---- accounts ----

    def checkpoint(self, session: str, at: float, counters: Sequence[int]) -> None:
        """Write newer counters of an open account with the next `flush`; another is left alone."""
        self._batch.checkpoint(session, at, tuple(counters))

    def accounts(self) -> dict[str, Account]:
        """Return the accounts that are open on disk, by session; damaged ones are set aside.

        Raises: SpoolError.
        """
        found: dict[str, Account] = {}
        damaged = []
        try:
            for row in self._db.execute(ACCOUNTS):
                try:
                    account = _account(*row)
                except ValueError as why:
                    damaged.append((row[0], str(why)))
                else:
                    found[account.session] = account
            if damaged:
                self._set_aside(damaged, SET_ACCOUNT_ASIDE, "DELETE FROM account WHERE session = ?")
                self._on_disk -= {session for session, _ in damaged}
        except sqlite3.Error as error:
            raise SpoolError(f"accounting spool {self.path}: {error}") from None
        return found

    def is_open(self, session: str) -> bool:
        """Say whether the account of *session* is open, as far as was put."""
        if session in self._batch.accounts:
            return self._batch.accounts[session] is not None
        if session in self._writing.accounts:
            return self._writing.accounts[session] is not None
        return session in self._on_disk

    def stopped(self) -> set[str]:
        """Return the sessions whose Stop is on disk and that are not known to be gone."""
        return set(self._stopped)

    def released(self, session: str) -> None:
        """Forget with the next `flush` that *session* has its Stop: nothing is left of it."""
        if session in self._stopped:
            self._stopped.discard(session)
            self._batch.released.append(session)

    @property
    def open_accounts(self) -> int:
        """How many accounts are open on disk."""
        return len(self._on_disk)

    def remember(self, key: str, value: str) -> None:
        """Write a fact about the box with the next `flush`, in the transaction of what was put."""
        self._box[key] = self._batch.box[key] = value

    def recall(self, key: str) -> str | None:
        """Return what `remember` was told last; None: nothing."""
        return self._box.get(key)

    # ---- the disk ----

    async def flush(self) -> list[tuple[str, Stored]] | None:
        """Bring what waits to the disk; return what is new there, by target, in order.

        None: it could not be written, and waits on. One at a time: call it again only when it has
        returned. When it is cancelled, it ends nevertheless when that is known.
        """
        batch, self._batch = self._batch, _Batch()
        if not batch:
            return []
        self._writing = batch
        writing = asyncio.ensure_future(asyncio.to_thread(self._locked, self._write, batch))
        cancelled = False
        while not writing.done():
            try:
                await asyncio.wait({writing})
            except asyncio.CancelledError:
                cancelled = True
        self._writing = _Batch()
        written = self._written(batch, writing)
        if cancelled:
            raise asyncio.CancelledError
        return batch.put if written else None

    def _written(self, batch: _Batch, writing: asyncio.Future[None]) -> bool:
        """Take down what came of *batch*: on disk, or to be written again."""
        try:
            writing.result()
        except sqlite3.Error as error:
            self.errors += 1
            self.last_error = str(error)
            self._batch = batch.before(self._batch)
            return False
        for target, _ in batch.put:
            self.depth[target] += 1
        for session, account in batch.accounts.items():
            if account is None:
                self._on_disk.discard(session)
                self._stopped.add(session)
            else:
                self._on_disk.add(session)
        return True

    async def load(self, target: str, after: int, limit: int) -> list[Stored]:
        """Return records of *target* on disk after row *after*, oldest first.

        A row that is damaged is set aside, in the table ``damaged``, and told in `damaged`.
        Raises: SpoolError.
        """
        before = len(self.damaged)
        try:
            return await asyncio.to_thread(self._locked, self._load, target, after, limit)
        except sqlite3.Error as error:
            raise SpoolError(f"accounting spool {self.path}: {error}") from None
        finally:
            self.depth[target] -= len(self.damaged) - before

    def oldest_at(self, target: str) -> float | None:
        """Return the wall time of the oldest record of *target* on disk, None without one."""
        found = self._db.execute(
            "SELECT event_at FROM record WHERE target = ? AND typeof(event_at) = 'real' "
            "ORDER BY id LIMIT 1",
            (target,),
        ).fetchone()
        return None if found is None else float(found[0])

    def close(self) -> None:
        """Close the file, after what is being written; what was not flushed is lost."""
        with self._busy:
            self._db.close()

    def _locked(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._busy:
            return act(*args, **kwargs)

    def _write(self, batch: _Batch) -> None:
        db = self._db
        texts: dict[int, str] = {}
        for _, stored in batch.put:
            if id(stored.record) not in texts:
                texts[id(stored.record)] = rows.dump(stored.record.attributes)
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
                (
                    (stored.row, target, record.session, record.event_at, texts[id(record)])
                    for target, stored in batch.put
                    for record in (stored.record,)
                ),
            )
            db.executemany("DELETE FROM record WHERE id = ?", ((row,) for row in batch.delete))
            _write_accounts(db, batch, texts)
            db.executemany("INSERT OR REPLACE INTO box VALUES (?, ?)", batch.box.items())
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _load(self, target: str, after: int, limit: int) -> list[Stored]:
        while True:
            stored, damaged = [], []
            for row, *columns in self._db.execute(LOAD, (target, after, limit)):
                try:
                    stored.append(Stored(row, _record(*columns)))
                except ValueError as why:
                    damaged.append((row, str(why)))
            if not damaged:
                return stored
            self._set_aside(damaged, SET_RECORD_ASIDE, "DELETE FROM record WHERE id = ?")

    def _set_aside(self, damaged: Sequence[tuple[object, str]], keep: str, delete: str) -> None:
        """Move rows, named by their keys, with why, to where they are in nobody's way."""
        db = self._db
        db.execute(DAMAGED)
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(keep, ((why, key) for key, why in damaged))
            db.executemany(delete, ((key,) for key, _ in damaged))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self.damaged += [f"{key!r}: {why}" for key, why in damaged]


def _record(session: object, event_at: object, attributes: object) -> Record:
    return Record(rows.session_of(session), rows.time_of(event_at), rows.restore(attributes))


def _account(session: object, seen_at: object, counters: object, text: object) -> Account:
    return Account(
        rows.session_of(session), rows.time_of(seen_at), rows.counters_of(counters), str(text)
    )


def _write_accounts(db: sqlite3.Connection, batch: _Batch, texts: Mapping[int, str]) -> None:
    opened = [account for account in batch.accounts.values() if account is not None]
    db.executemany(
        "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?)",
        (
            (a.record.session, a.seen_at, json.dumps(a.counters), texts[id(a.record)])
            for a in opened
        ),
    )
    closed = [(session,) for session, account in batch.accounts.items() if account is None]
    db.executemany("DELETE FROM account WHERE session = ?", closed)
    db.executemany("INSERT OR REPLACE INTO stopped VALUES (?)", closed)
    released = ((session,) for session in batch.released)
    db.executemany("DELETE FROM stopped WHERE session = ?", released)
    db.executemany(
        "UPDATE account SET seen_at = ?, counters = ? WHERE session = ?",
        ((at, json.dumps(counters), session) for session, (at, counters) in batch.seen.items()),
    )
