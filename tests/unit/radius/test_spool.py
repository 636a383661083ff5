"""The accounting spool: on disk before it is sent, in order, once, through crashes."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from radius.accounting import MAX_RETRY_S, Accounting
from radius.client import Client
from radius.errors import SpoolError
from radius.packet import split
from radius.rows import dump, restore
from radius.spool import Record, Spool
from tests.unit.radius.wire import client, reply, server


def record(session: str, number: int) -> Record:
    return Record(session, 900.0 + number, (("Acct-Session-Id", session), ("NAS-Port", number)))


def test_every_kind_of_value_survives_the_disk() -> None:
    attributes = (
        ("NAS-Port", 7),
        ("User-Name", "jos\u00e9"),
        ("Class", b"\x00\xff"),
        ("Framed-IP-Address", IPv4Address("10.0.0.1")),
        ("NAS-IPv6-Address", IPv6Address("2001:db8::1")),
        ("Framed-IPv6-Prefix", IPv6Network("2001:db8::/64")),
    )
    assert restore(dump(attributes)) == attributes


def test_a_file_that_is_no_spool_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"no database, certainly not one of SQLite" * 10)
    with pytest.raises(SpoolError, match=str(path)):
        Spool(path, ["a"])


def test_records_are_there_after_a_crash_until_they_are_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = Spool(tmp_path / "spool", ["a", "b"])
        spool.put(record("s1", 1))
        assert (spool.depth, spool.waiting) == ({"a": 0, "b": 0}, 2)
        written = await spool.flush()
        assert written is not None
        assert [(target, stored.row) for target, stored in written] == [("a", 1), ("b", 2)]
        spool.done(1, "a")
        assert await spool.flush() == []
        again = Spool(tmp_path / "spool", ["a", "b"])  # the first one was not closed
        assert again.depth == {"a": 0, "b": 1}
        (stored,) = await again.load("b", 0, 10)
        assert stored.record == record("s1", 1)
        assert (again.oldest_at("a"), again.oldest_at("b")) == (None, 901.0)
        again.put(record("s2", 2))
        written = await again.flush()
        assert written is not None
        assert [stored.row for _, stored in written] == [3, 4]  # no row is used twice

    asyncio.run(scenario())


def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = Spool(tmp_path / "spool", ["a"])
        lock = sqlite3.connect(tmp_path / "spool", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        spool._db.execute("PRAGMA busy_timeout = 10")
        spool.put(record("s1", 1))
        assert await spool.flush() is None
        assert (spool.errors, spool.waiting, spool.depth) == (1, 1, {"a": 0})
        lock.execute("ROLLBACK")
        spool.put(record("s1", 2))
        written = await spool.flush()
        assert written is not None
        assert [stored.record for _, stored in written] == [record("s1", 1), record("s1", 2)]

    asyncio.run(scenario())


class Wire:
    """A server at the client's end: records what is sent, and answers when told to."""

    def __init__(self, core: Client) -> None:
        self.core = core
        self.requests: list[tuple[int, int, bytes]] = []

    def send(self, number: int, data: bytes) -> None:
        self.requests.append((0, number, data))

    def said(self) -> list[tuple[str, int]]:
        found = [dict(split(data)) for _, _, data in self.requests]
        return [(fields[44].decode(), int.from_bytes(fields[5], "big")) for fields in found]


def run(path: Path, scenario: Callable[[Accounting, Wire, list[float]], Awaitable[None]]) -> None:
    """Run *scenario* on an `Accounting` whose one server is a `Wire`; the list is the time."""

    async def body() -> None:
        core = client(server("a"), timeout_s=1, tries=1, dead_s=5, probe_s=None)
        now = [0.0]
        accounting = Accounting(Spool(path, ["main"]), {"main": core}, lambda: now[0])
        wire = Wire(core)
        link = accounting._targets[0].link
        link._port = lambda of, number: _Port(wire, number)  # type: ignore[method-assign,return-value,assignment]
        await scenario(accounting, wire, now)
        accounting.spool.close()

    asyncio.run(body())


class _Port:
    def __init__(self, wire: Wire, number: int) -> None:
        self.wire, self.number = wire, number

    def send(self, data: bytes) -> None:
        self.wire.send(self.number, data)


def answer(accounting: Accounting, wire: Wire) -> None:
    """Answer everything that was sent."""
    requests, wire.requests = wire.requests, []
    for of, number, data in requests:
        accounting._targets[0].link.received(of, number, reply(data, 5))


def test_records_of_a_session_wait_for_each_other_and_sessions_do_not(tmp_path: Path) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        for session, number in (("s1", 1), ("s1", 2), ("s2", 1)):
            accounting.put(record(session, number))
        await accounting.step()
        assert wire.said() == [("s1", 1), ("s2", 1)]
        answer(accounting, wire)
        await accounting.step()
        assert wire.said() == [("s1", 2)]
        answer(accounting, wire)
        await accounting.step()
        assert (accounting.under_way, accounting.spool.depth) == (0, {"main": 0})

    run(tmp_path / "spool", scenario)


def test_a_record_of_no_session_waits_for_all_before_it_and_all_after_it_wait(
    tmp_path: Path,
) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        box = Record("", 900.0, (("Acct-Session-Id", "box"), ("NAS-Port", 0)))
        for item in (record("s1", 1), record("s2", 1), box, record("s3", 1), box, record("s4", 1)):
            accounting.put(item)
        for wanted in ([("s1", 1), ("s2", 1)], [("box", 0)], [("s3", 1)], [("box", 0)]):
            for _ in range(2):  # an answer makes room, a step loads what is behind
                await accounting.step()
            assert wire.said() == wanted
            answer(accounting, wire)
        await accounting.step()
        assert wire.said() == [("s4", 1)]

    run(tmp_path / "spool", scenario)


def test_without_an_answer_records_are_sent_again_and_order_is_kept(tmp_path: Path) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        for number in (1, 2):
            accounting.put(record("s1", number))
        await accounting.step()
        wire.requests.clear()
        now[0] = 1.0
        core = wire.core
        core.tick(now[0])
        accounting._targets[0].link.settle()
        assert not core.available(now[0])
        await accounting.step()
        assert wire.requests == []
        now[0] = 7.0  # the server is tried again
        await accounting.step()
        assert wire.said() == [("s1", 1)]
        answer(accounting, wire)
        await accounting.step()
        assert wire.said() == [("s1", 2)]

    run(tmp_path / "spool", scenario)


def test_a_server_that_answers_a_probe_gets_what_waits_at_once(tmp_path: Path) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        target, core = accounting.targets()[0], wire.core
        accounting.put(record("s1", 1))
        await accounting.step()
        while target.retry_s < MAX_RETRY_S or now[0] >= target.hold_until:
            now[0] += 0.5
            core.tick(now[0])
            target.link.settle()
            await accounting.step()
        held_until = target.hold_until
        wire.requests.clear()
        core.servers[0].answered(0.01, now[0] + 0.1)
        now[0] += 0.2
        assert now[0] < held_until
        await accounting.step()
        assert wire.said() == [("s1", 1)]

    run(tmp_path / "spool", scenario)


def test_after_a_crash_everything_that_was_not_answered_is_sent_in_order(tmp_path: Path) -> None:
    path = tmp_path / "spool"

    async def before(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        for number in range(3000):
            accounting.put(record(f"s{number % 1000}", number))
        await accounting.step()
        answer(accounting, wire)
        await accounting.spool.flush()

    async def after(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        seen: list[tuple[str, int]] = []
        for _ in range(40):
            await accounting.step()
            seen += wire.said()
            answer(accounting, wire)
        assert len(seen) == len(set(seen)) == 3000 - 512
        for session in {session for session, _ in seen}:
            numbers = [number for name, number in seen if name == session]
            assert numbers == sorted(numbers)
        await accounting.spool.flush()
        assert accounting.spool.depth == {"main": 0}

    run(path, before)
    run(path, after)


def test_memory_holds_a_part_of_a_deep_spool(tmp_path: Path) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        for number in range(10_000):
            accounting.put(record(f"s{number}", number))
        await accounting.step()
        target = accounting._targets[0]
        assert (len(wire.requests), target.loaded) == (512, 2048)
        assert accounting.spool.depth == {"main": 10_000}
        for _ in range(30):
            answer(accounting, wire)
            await accounting.step()
        assert accounting.spool.depth == {"main": 0}

    run(tmp_path / "spool", scenario)


def test_a_record_that_cannot_be_sent_does_not_stop_the_others(tmp_path: Path) -> None:
    async def scenario(accounting: Accounting, wire: Wire, now: list[float]) -> None:
        accounting.put(Record("s1", 900.0, (("NAS-Port", "none"),)))
        accounting.put(record("s1", 2))
        await accounting.step()
        await accounting.step()
        assert wire.said() == [("s1", 2)]
        assert accounting._targets[0].dropped == 1

    run(tmp_path / "spool", scenario)
