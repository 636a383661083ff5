"""Open accounts in the spool: true after a death at any instant."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radius.errors import SpoolError
from radius.spool import VERSION, Record, Spool

START, INTERIM, STOP = "start", "interim", "stop"
OLD_SCHEMA = """
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    session TEXT NOT NULL,
    event_at REAL NOT NULL,
    attributes TEXT NOT NULL
);
CREATE INDEX record_target ON record (target, id);
INSERT INTO record VALUES (7, 'a', 's1', 901.0, '[["NAS-Port", 1]]');
"""
"""Of the spool before there were open accounts, with a record."""


@dataclass
class Books:
    """What a spool must hold: on disk, and when the next flush has succeeded."""

    open: dict[str, tuple[float, tuple[int, ...]]] = field(default_factory=dict)
    records: list[tuple[str, float]] = field(default_factory=list)
    box: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "Books":
        return Books(dict(self.open), list(self.records), dict(self.box))


def books_of(spool: Spool) -> Books:
    found = asyncio.run(spool.load("a", 0, 10_000))
    return Books(
        {name: (account.seen_at, account.counters) for name, account in spool.accounts().items()},
        [(stored.record.session, stored.record.event_at) for stored in found],
        dict(spool._box),
    )


def put(spool: Spool, books: Books, session: str, what: str, at: float) -> None:
    """Put a record of *session* into both."""
    counters = (int(at), 2 * int(at))
    record = Record(session, at, (("Acct-Session-Id", session), ("NAS-Port", int(at))))
    books.records.append((session, at))
    if what == STOP:
        spool.put(record, closes=True)
        books.open.pop(session, None)
    else:
        spool.put(record, counters=counters)
        books.open[session] = (at, counters)


def checkpoint(spool: Spool, books: Books, session: str, at: float) -> None:
    counters = (int(at), 3 * int(at))
    spool.checkpoint(session, at, counters)
    if session in books.open:
        books.open[session] = (at, counters)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([START, INTERIM, STOP, "checkpoint"]), st.sampled_from("pqr")),
        st.sampled_from([("flush", ""), ("disk full", ""), ("killed", ""), ("remember", "")]),
    ),
    max_size=30,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_what_is_on_disk_is_what_was_told_before_the_last_flush_that_succeeded(
    steps: list[tuple[str, str]],
) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "spool"
        spool = Spool(path, ["a"])
        disk, told = Books(), Books()
        for at, (what, session) in enumerate(steps):
            match what:
                case "flush":
                    assert asyncio.run(spool.flush()) is not None
                    disk = told.copy()
                case "disk full":
                    written = asyncio.run(_flush_in_vain(spool))
                    assert written is None or disk == told
                case "killed":
                    spool.close()
                    spool = Spool(path, ["a"])
                    told = disk.copy()
                case "remember":
                    spool.remember("arena", str(at))
                    told.box["arena"] = str(at)
                case "checkpoint":
                    checkpoint(spool, told, session, float(at))
                case _:
                    put(spool, told, session, what, float(at))
            assert books_of(spool).records == disk.records
            assert books_of(spool).open == disk.open
            assert spool.open_accounts == len(disk.open)
        spool.close()
        again = Spool(path, ["a"])
        assert books_of(again) == disk
        again.close()


async def _flush_in_vain(spool: Spool) -> object:
    """Flush while another has the file; nothing to write is written all the same."""
    lock = sqlite3.connect(spool.path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    spool._db.execute("PRAGMA busy_timeout = 0")
    try:
        return await spool.flush()
    finally:
        lock.execute("ROLLBACK")
        lock.close()


def test_a_kill_between_any_two_steps_of_a_transaction_leaves_all_of_it_or_nothing(
    tmp_path: Path,
) -> None:
    spool, told = Spool(tmp_path / "spool", ["a"]), Books()
    for session in ("p", "q", "r"):
        put(spool, told, session, START, 1.0)
    asyncio.run(spool.flush())
    before = told.copy()
    put(spool, told, "p", STOP, 2.0)
    put(spool, told, "q", INTERIM, 3.0)
    checkpoint(spool, told, "r", 4.0)
    put(spool, told, "s", START, 5.0)
    spool.remember("arena", "7")
    told.box["arena"] = "7"
    pictures = pictures_of(spool, tmp_path)
    assert len(pictures) > 8, "one picture of the disk for each statement"
    found = [books_of(Spool(picture / "spool", ["a"])) for picture in pictures]
    assert all(books == before for books in found[:-1])
    assert found[-1] == told


def pictures_of(spool: Spool, directory: Path) -> list[Path]:
    """Flush; return copies of the files as they stood before each statement, and after the last."""
    pictures: list[Path] = []

    def picture(_statement: str) -> None:
        to = directory / f"picture{len(pictures)}"
        to.mkdir()
        for path in directory.glob("spool*"):
            shutil.copy(path, to)
        pictures.append(to)

    spool._db.set_trace_callback(picture)
    asyncio.run(spool.flush())
    spool._db.set_trace_callback(None)
    picture("")
    return pictures


def test_an_account_says_what_the_last_record_of_its_session_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", ["a", "b"])
    record = Record("s", 5.0, (("User-Name", "anna"), ("Class", b"\xc0")))
    spool.put(record, counters=(1, 2))
    asyncio.run(spool.flush())
    (account,) = spool.accounts().values()
    assert (account.session, account.seen_at, account.counters) == ("s", 5.0, (1, 2))
    assert account.attributes == record.attributes


def test_a_checkpoint_opens_no_account(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path / "spool", ["a"]), Books()
    put(spool, told, "s", START, 1.0)
    asyncio.run(spool.flush())
    put(spool, told, "s", STOP, 2.0)
    checkpoint(spool, told, "s", 3.0)
    checkpoint(spool, told, "never", 3.0)
    asyncio.run(spool.flush())
    assert spool.accounts() == {}


@pytest.mark.parametrize("version", [0, VERSION])
def test_a_spool_of_an_older_version_is_upgraded_and_keeps_its_records(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "spool"
    if version == 0:
        db = sqlite3.connect(path)
        db.executescript(OLD_SCHEMA)
        db.close()
    else:
        spool = Spool(path, ["a"])
        spool.put(Record("s1", 901.0, (("NAS-Port", 1),)))
        asyncio.run(spool.flush())
        spool.close()
    spool = Spool(path, ["a"])
    assert (spool.depth, spool.accounts(), spool.recall("arena")) == ({"a": 1}, {}, None)
    (stored,) = asyncio.run(spool.load("a", 0, 10))
    assert stored.record == Record("s1", 901.0, (("NAS-Port", 1),))
    spool.put(Record("s1", 902.0, (("NAS-Port", 1),)), counters=(1,))
    asyncio.run(spool.flush())
    assert spool.accounts().keys() == {"s1"}
    assert spool.depth == {"a": 2}


def test_a_spool_of_a_newer_version_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    Spool(path, ["a"]).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(SpoolError, match=rf"{path}.*schema {VERSION + 1}.* knows {VERSION}"):
        Spool(path, ["a"])
    assert path.read_bytes() == before


def test_what_could_not_be_written_does_not_overtake_what_came_later(tmp_path: Path) -> None:
    orders: list[Callable[[Spool, Books], None]] = [
        lambda spool, told: put(spool, told, "s", INTERIM, 2.0),
        lambda spool, told: checkpoint(spool, told, "s", 3.0),
        lambda spool, told: put(spool, told, "s", STOP, 4.0),
    ]
    for first in orders:
        for second in orders:
            path = tmp_path / f"{orders.index(first)}{orders.index(second)}"
            spool, told = Spool(path, ["a"]), Books()
            put(spool, told, "s", START, 1.0)
            asyncio.run(spool.flush())
            first(spool, told)
            assert asyncio.run(_flush_in_vain(spool)) is None
            second(spool, told)
            asyncio.run(spool.flush())
            assert books_of(spool).open == told.open
            assert replace(books_of(spool), box={}) == replace(told, box={})


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("full", [False, True])
def test_a_flush_that_is_cancelled_loses_nothing(tmp_path: Path, turns: int, full: bool) -> None:
    async def scenario() -> None:
        spool, told = Spool(tmp_path / "spool", ["a"]), Books()
        put(spool, told, "s", START, 1.0)
        lock = sqlite3.connect(spool.path, isolation_level=None)
        if full:
            spool._db.execute("PRAGMA busy_timeout = 0")
            lock.execute("BEGIN EXCLUSIVE")
        flush = asyncio.create_task(spool.flush())
        for _ in range(turns):
            await asyncio.sleep(0)
        flush.cancel()
        with suppress(asyncio.CancelledError):
            await flush
        lock.close()
        waits = turns == 0 or full  # it had not begun, or could not be written
        assert (spool.waiting, spool.open_accounts) == ((1, 0) if waits else (0, 1))
        await spool.flush()
        found = await spool.load("a", 0, 10)
        assert [(s.record.session, s.record.event_at) for s in found] == told.records
        assert spool.accounts().keys() == {"s"}

    asyncio.run(scenario())
