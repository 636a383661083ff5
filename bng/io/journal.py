"""Journal of living sessions: SQLite in WAL mode, written in batches.

The arena is the truth while the dataplane lives; the journal is for the death of the dataplane and
of the machine. What was put last within a batch wins, so one that came and went costs nothing.
"""

import asyncio
import sqlite3
from pathlib import Path

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
        self._db: sqlite3.Connection | None = None
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
        if self._db is not None:
            self._pending[acct_session_id] = None

    def read(self) -> dict[str, bytes]:
        """Return all records that are on disk."""
        if self._db is None:
            return {}
        return dict(self._db.execute("SELECT acct_session_id, record FROM session"))

    def flush(self) -> None:
        """Write what waits, in one transaction. A failure is counted; the batch is kept."""
        if self._db is None or not self._pending:
            return
        batch, self._pending = self._pending, {}
        try:
            self._write(batch)
        except sqlite3.Error:
            self.errors += 1
            self._pending = {**batch, **self._pending}

    async def flush_later(self) -> None:
        """Flush in a thread, so that a slow disk stops no packet."""
        if self._pending:
            await asyncio.to_thread(self.flush)

    def _write(self, batch: dict[str, bytes | None]) -> None:
        assert self._db is not None  # noqa: S101 - flush looked
        put = [(key, record) for key, record in batch.items() if record is not None]
        gone = [(key,) for key, record in batch.items() if record is None]
        self._db.execute("BEGIN")
        try:
            self._db.executemany("INSERT OR REPLACE INTO session VALUES (?, ?)", put)
            self._db.executemany("DELETE FROM session WHERE acct_session_id = ?", gone)
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._db is not None:
            self._db.close()
            self._db = None
