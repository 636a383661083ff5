"""The journal: what is on disk when, and what a broken disk costs."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bng.io.journal import Journal, JournalError


def on_disk(path: Path) -> dict[str, bytes]:
    with sqlite3.connect(path) as db:
        return dict(db.execute("SELECT acct_session_id, record FROM session"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


def test_what_was_put_is_there_after_a_flush_and_for_the_next_bngd(path: Path) -> None:
    journal = Journal(path)
    journal.put("a", b"1")
    journal.put("b", b"2")
    assert (len(journal), on_disk(path)) == (2, {})
    asyncio.run(journal.flush())
    assert (len(journal), on_disk(path)) == (0, {"a": b"1", "b": b"2"})
    assert Journal(path).read() == {"a": b"1", "b": b"2"}


def test_the_last_of_a_batch_wins(path: Path) -> None:
    journal = Journal(path)
    for record in (b"1", b"2"):
        journal.put("a", record)
    asyncio.run(journal.flush())
    journal.put("a", b"3")
    journal.delete("a")
    asyncio.run(journal.close())
    assert on_disk(path) == {}


def test_what_came_and_went_between_two_flushes_leaves_nothing_to_do(path: Path) -> None:
    journal = Journal(path)
    journal.put("a", b"1")
    journal.delete("a")
    assert len(journal) == 0


def test_what_a_former_bngd_left_can_be_deleted(path: Path) -> None:
    former = Journal(path)
    former.put("a", b"1")
    asyncio.run(former.close())
    journal = Journal(path)
    for key in journal.read():
        journal.delete(key)
    asyncio.run(journal.flush())
    assert on_disk(path) == {}


def test_a_batch_that_cannot_be_written_is_kept_and_said(path: Path) -> None:
    journal = Journal(path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE session RENAME TO away")
    journal.put("a", b"1")
    with capture_logs() as logs:
        asyncio.run(journal.flush())
    assert (journal.errors, len(journal)) == (1, 1)
    assert [(log["event"], log["path"]) for log in logs] == [("journal-not-written", str(path))]
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE away RENAME TO session")
    asyncio.run(journal.flush())
    assert on_disk(path) == {"a": b"1"}


def test_a_change_during_a_flush_is_part_of_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    write = Journal._write

    def slowly(db: sqlite3.Connection, *batches: Any) -> None:
        journal.put("b", b"2")
        journal.delete("a")
        journal.put_past("10.0.0.1/32", ("bob", 1.0, True))
        write(db, *batches)

    monkeypatch.setattr(Journal, "_write", staticmethod(slowly))
    journal.put("a", b"1")
    asyncio.run(journal.flush())
    assert on_disk(path) == {"a": b"1"}
    monkeypatch.undo()
    asyncio.run(journal.flush())
    assert on_disk(path) == {"b": b"2"}
    assert journal.pasts() == {"10.0.0.1/32": ("bob", 1.0, True)}


def test_a_file_that_is_no_journal_is_an_error_that_names_it(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("something else, and long enough to be no empty database file" * 20)
    with pytest.raises(JournalError, match=r"journal .*journal\.sqlite: "):
        Journal(path)


def test_without_a_file_nothing_is_kept() -> None:
    journal = Journal(None)
    journal.put("a", b"1")
    journal.delete("b")
    asyncio.run(journal.close())
    assert (len(journal), journal.read()) == (0, {})


def test_a_journal_with_a_broken_page_is_named(path: Path) -> None:
    journal = Journal(path)
    journal.put("a", b"1")
    asyncio.run(journal.flush())
    asyncio.run(journal.close())
    raw = bytearray(path.read_bytes())
    assert len(raw) == 3 * 4096
    raw[4096:] = b"\xee" * 8192
    path.write_bytes(raw)
    for read in (Journal(path).read, Journal(path).pasts):
        with pytest.raises(JournalError, match=r"journal .*journal\.sqlite: .*malformed"):
            read()
