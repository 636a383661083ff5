"""Journal of living sessions: SQLite in WAL mode, written in batches.

The arena is the truth while the dataplane lives; the journal is for the death of the dataplane and
of the machine. What was put last within a batch wins; what came and went in one costs nothing.
"""

import asyncio
import sqlite3
from pathlib import Path

import structlog

SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    acct_session_id TEXT PRIMARY KEY,
    record BLOB NOT NULL
) WITHOUT ROWID
"""


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
            self._db.execute(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"journal {path}: {error}") from None

    def __len__(self) -> int:
        """Return how many changes wait for the next flush."""
        return len(self._pending)

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

    async def flush(self) -> None:
        """Write what waits, in one transaction, in a thread: a slow disk stops no packet.

        A failure is counted; the batch is kept.
        """
        if self._db is None or not self._pending:
            return
        batch, self._pending = self._pending, {}
        self._written |= batch.keys()
        try:
            await asyncio.to_thread(self._write, self._db, batch)
        except sqlite3.Error as error:
            self.errors += 1
            self._pending = {**batch, **self._pending}
            self._log.error("journal-not-written", path=str(self.path), error=str(error))
        else:
            self._written.difference_update(key for key in batch if batch[key] is None)

    @staticmethod
    def _write(db: sqlite3.Connection, batch: dict[str, bytes | None]) -> None:
        put = [(key, record) for key, record in batch.items() if record is not None]
        gone = [(key,) for key, record in batch.items() if record is None]
        db.execute("BEGIN")
        try:
            db.executemany("INSERT OR REPLACE INTO session VALUES (?, ?)", put)
            db.executemany("DELETE FROM session WHERE acct_session_id = ?", gone)
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
