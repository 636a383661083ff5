"""Journal of living sessions, and of who had which address: SQLite in WAL mode, in batches.

The arena is the truth of sessions while the dataplane lives; the journal is for the death of the
dataplane and of the machine, and for what is no session's any more. What was put last within a
batch wins; a session that came and went in one costs nothing.
"""

import asyncio
import sqlite3
from pathlib import Path

import structlog

SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    acct_session_id TEXT PRIMARY KEY,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS past (
    network TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    freed_at REAL NOT NULL,
    remembered INTEGER NOT NULL
) WITHOUT ROWID;
"""

Past = tuple[str, float, bool]
"""The last owner of a network, when it was freed (wall time), and whether it waits for him."""


class JournalError(Exception):
    """The journal cannot be used. The text names the file."""


class Journal:
    """Records by Acct-Session-Id. *path* None: nothing is kept.

    Raises: JournalError when the file cannot be opened or is no journal.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.errors = 0
        self._pending: dict[str, bytes | None] = {}
        self._pasts: dict[str, Past | None] = {}
        self._written: set[str] = set()  # on disk, or on the way there
        self._db: sqlite3.Connection | None = None
        self._log = structlog.get_logger("journal")
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"journal {path}: {error}") from None

    def __len__(self) -> int:
        """Return how many changes wait for the next flush."""
        return len(self._pending) + len(self._pasts)

    def put(self, acct_session_id: str, record: bytes) -> None:
        """Write a session's record with the next flush."""
        if self._db is not None:
            self._pending[acct_session_id] = record

    def delete(self, acct_session_id: str) -> None:
        """Delete a session's record with the next flush."""
        if acct_session_id in self._written:
            self._pending[acct_session_id] = None
        else:
            self._pending.pop(acct_session_id, None)

    def read(self) -> dict[str, bytes]:
        """Return all records that are on disk. Raises: JournalError when they cannot be read."""
        if self._db is None:
            return {}
        try:
            found = dict(self._db.execute("SELECT acct_session_id, record FROM session"))
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}") from None
        self._written |= found.keys()
        return found

    def put_past(self, network: str, past: Past | None) -> None:
        """Write with the next flush whose *network* was; None: nobody's that is remembered."""
        if self._db is not None:
            self._pasts[network] = past

    def pasts(self) -> dict[str, Past]:
        """Return whose each network was. Raises: JournalError when that cannot be read."""
        if self._db is None:
            return {}
        try:
            rows = self._db.execute("SELECT network, owner, freed_at, remembered FROM past")
            return {
                str(network): (str(owner), float(at), bool(kept))
                for network, owner, at, kept in rows
            }
        except (sqlite3.Error, ValueError) as error:
            raise JournalError(f"journal {self.path}: {error}") from None

    async def flush(self) -> None:
        """Write what waits, in one transaction, in a thread: a slow disk stops no packet.

        A failure is counted; the batch is kept.
        """
        if self._db is None or not (self._pending or self._pasts):
            return
        batch, self._pending = self._pending, {}
        pasts, self._pasts = self._pasts, {}
        self._written |= batch.keys()
        try:
            await asyncio.to_thread(self._write, self._db, batch, pasts)
        except sqlite3.Error as error:
            self.errors += 1
            self._pending = {**batch, **self._pending}
            self._pasts = {**pasts, **self._pasts}
            self._log.error("journal-not-written", path=str(self.path), error=str(error))
        else:
            self._written.difference_update(key for key in batch if batch[key] is None)

    @staticmethod
    def _write(
        db: sqlite3.Connection, batch: dict[str, bytes | None], pasts: dict[str, Past | None]
    ) -> None:
        put = [(key, record) for key, record in batch.items() if record is not None]
        gone = [(key,) for key, record in batch.items() if record is None]
        db.execute("BEGIN")
        try:
            db.executemany("INSERT OR REPLACE INTO session VALUES (?, ?)", put)
            db.executemany("DELETE FROM session WHERE acct_session_id = ?", gone)
            db.executemany(
                "INSERT OR REPLACE INTO past VALUES (?, ?, ?, ?)",
                ((network, *past) for network, past in pasts.items() if past is not None),
            )
            forgotten = ((network,) for network, past in pasts.items() if past is None)
            db.executemany("DELETE FROM past WHERE network = ?", forgotten)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """Flush and close."""
        await self.flush()
        if self._db is not None:
            self._db.close()
            self._db = None
