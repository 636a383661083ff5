"""A spool whose rows were damaged: what cannot be read is set aside, and keeps nothing waiting."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius import rows
from radius.accounting import Accounting
from radius.errors import MalformedPacket
from radius.packet import take_packets
from radius.spool import Record, Spool
from tests.unit.radius.wire import client, server

DAMAGE = [
    ("attributes", "no JSON"),
    ("attributes", '[["NAS-Port", 1'),
    ("attributes", "5"),
    ("attributes", "{}"),
    ("attributes", "[5]"),
    ("attributes", '[["NAS-Port"]]'),
    ("attributes", '[["NAS-Port", null]]'),
    ("attributes", '[["NAS-Port", 1.5]]'),
    ("attributes", '[["NAS-Port", true]]'),
    ("attributes", "[[7, 7]]"),
    ("attributes", '[["Class", ["x", "zz"]]]'),
    ("attributes", '[["Class", ["y", "00"]]]'),
    ("attributes", '[["Class", ["a", "1.2.3.4.5"]]]'),
    ("attributes", "[" * 100_000),
    ("attributes", b"\xff\xfe"),
    ("session", b"\xff"),
    ("event_at", "yesterday"),
    ("event_at", float("inf")),
]


def spool_of(path: Path, count: int) -> Spool:
    """Return a spool with *count* records, each of its own session."""
    spool = Spool(path, ["a"])
    for number in range(count):
        spool.put(Record(f"s{number}", 900.0 + number, (("NAS-Port", number),)), counters=(1, 2))
    assert asyncio.run(spool.flush()) is not None
    return spool


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_a_damaged_record_is_set_aside_and_the_others_are_read(
    tmp_path: Path, column: str, value: object
) -> None:
    path = tmp_path / "spool"
    spool_of(path, 3).close()
    change(path, f"UPDATE record SET {column} = ? WHERE id = 2", value)
    spool = Spool(path, ["a"])
    assert spool.depth == {"a": 3}
    stored = asyncio.run(spool.load("a", 0, 3))
    assert [one.record.session for one in stored] == ["s0", "s2"]
    assert (len(spool.damaged), spool.depth) == (1, {"a": 2})
    assert spool.oldest_at("a") == 900.0
    spool.close()
    with closing(sqlite3.connect(path)) as db:
        [[why, kept]] = db.execute(
            f"SELECT why, {'at' if column == 'event_at' else column} FROM damaged"
        )
        assert why
        assert kept == value
    again = Spool(path, ["a"])
    assert again.depth == {"a": 2}
    again.close()


def test_records_behind_many_damaged_ones_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool_of(path, 5_000).close()
    change(path, "UPDATE record SET attributes = 'x' WHERE id <= 4999")

    async def scenario() -> None:
        spool, core = Spool(path, ["a"]), client(server("a"))
        accounting = Accounting(spool, {"a": core}, lambda: 1000.0)
        for _ in range(4):
            await accounting.step()
        assert core.servers[0].counters["requests"] == 1
        assert (accounting.damaged, spool.depth, spool.damaged) == (4999, {"a": 1}, [])
        spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("column", "value", "there"),
    [("counters", "[1", False), ("counters", "[null]", False), ("seen_at", "x", False),
     ("counters", "[-1]", False), ("attributes", "x", True)],
)  # fmt: skip
def test_a_damaged_account_does_not_keep_bngd_from_starting(
    tmp_path: Path, column: str, value: str, there: bool
) -> None:
    """Where only its attributes are damaged, its Stop can still be said."""
    path = tmp_path / "spool"
    spool_of(path, 2).close()
    change(path, f"UPDATE account SET {column} = ? WHERE session = 's1'", value)
    spool = Spool(path, ["a"])
    assert set(spool.accounts()) == ({"s0", "s1"} if there else {"s0"})
    assert len(spool.damaged) == (not there)
    if there:
        with pytest.raises(ValueError, match="Expecting value"):
            _ = spool.accounts()["s1"].attributes
    spool.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON.map(json.dumps) | st.text() | st.none() | st.binary() | st.integers() | st.floats())
def test_whatever_stands_in_a_column_is_a_value_or_a_value_error(value: object) -> None:
    readers: list[Callable[[object], object]] = [
        rows.restore, rows.counters_of, rows.session_of, rows.time_of,
    ]  # fmt: skip
    for read in readers:
        with suppress(ValueError):
            read(value)


@given(st.lists(st.integers(20, 60)), st.lists(st.integers(1, 30)))
def test_packets_of_a_stream_are_the_same_however_it_is_cut(
    sizes: list[int], cuts: list[int]
) -> None:
    """RFC 6613 §2.6.4."""
    sent = [bytes((2, at % 256)) + size.to_bytes(2, "big") + bytes(size - 4)
            for at, size in enumerate(sizes)]  # fmt: skip
    stream = b"".join(sent)
    got, buffer = [], bytearray()
    for cut in (*cuts, len(stream)):
        buffer += stream[:cut]
        stream = stream[cut:]
        got += take_packets(buffer)
    assert (got, buffer) == (sent, b"")


@pytest.mark.parametrize("length", [0, 19, 4097, 0xFFFF])
def test_a_length_that_no_packet_has_ends_a_stream(length: int) -> None:
    with pytest.raises(MalformedPacket):
        take_packets(bytearray(bytes((2, 1)) + length.to_bytes(2, "big")))
