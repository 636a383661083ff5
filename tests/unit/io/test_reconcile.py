"""After a start: every Start and every Stop that is owed is said, once, and with true times."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bng.aaa.model import SubscriberProfile
from bng.aaa.requests import AccountStatus, Nas
from bng.io.radius import RadiusAccounting
from bng.io.reconcile import Box, Owed, reconcile
from bng.session.actions import Account
from bng.session.model import Cause, Counters, Session, State
from bng.session.restart import Ended, Reconciled, encode, read
from radius.spool import Spool
from tests.support.memory_box import memory_box

NAS = Nas(identifier="lab")
ARENA = 1_700_000_000_000_000_001
START, STOP, INTERIM, ON = (
    int(status)
    for status in (
        AccountStatus.START,
        AccountStatus.STOP,
        AccountStatus.INTERIM,
        AccountStatus.ON,
    )
)
THIS = Box(ARENA, "box")
CARRIED = Counters(in_packets=3, in_bytes=5 << 32, out_packets=7, out_bytes=11)


@dataclass
class Books:
    """Accounting of one bngd after the other, on one spool."""

    path: Path
    lives: int = 0
    counters: dict[int, Counters] = field(default_factory=dict)
    committed: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What was not flushed is gone."""
        self.lives += 1
        self.accounting = RadiusAccounting(
            Spool(self.path, ["main"]),
            {},
            NAS,
            lambda index: self.counters.get(index, Counters()),
            lambda *handle: self.committed.append(handle),
        )

    def flush(self) -> None:
        asyncio.run(self.accounting.accounting.spool.flush())

    def say(self, session: Session, status: AccountStatus, seconds: int = 0) -> None:
        counters = CARRIED if status is AccountStatus.STOP else None
        self.accounting.account(Account(session, status, counters, seconds, time.monotonic()))

    def reconcile(
        self,
        adopted: tuple[Session, ...] = (),
        ended: tuple[Ended, ...] = (),
        arena: int = ARENA,
    ) -> Owed:
        owed = reconcile(
            self.accounting,
            Reconciled(list(adopted), list(ended)),
            Box(arena, f"box{self.lives}"),
            time.monotonic(),
        )
        self.flush()
        return owed

    def records(self) -> list[dict[str, object]]:
        stored = asyncio.run(self.accounting.accounting.spool.load("main", 0, 1000))
        return [{**dict(s.record.attributes), "event_at": s.record.event_at} for s in stored]

    def said(self) -> list[tuple[object, object]]:
        return [(r["Acct-Session-Id"], r["Acct-Status-Type"]) for r in self.records()]


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "spool")


@pytest.fixture(scope="module")
def sessions() -> Iterator[list[Session]]:
    with memory_box() as box:
        box.dial(*(box.subscriber(index) for index in range(1, 4)))
        yield list(box.manager.table)


@pytest.fixture(autouse=True)
def up(sessions: list[Session]) -> None:
    for session in sessions:
        session.up_at = time.monotonic() - 100
        session.accounted = False


def ended(session: Session, cause: Cause = Cause.NAS_REQUEST) -> Ended:
    return Ended(
        acct_session_id=session.acct_session_id,
        handle=session.handle,
        record={},
        counters=CARRIED,
        cause=cause,
    )


def ident(session: Session) -> str:
    return session.acct_session_id


def test_the_first_start_says_accounting_on_and_the_next_on_the_same_arena_does_not(
    books: Books,
) -> None:
    assert books.reconcile() == Owed()
    assert books.said() == [("box1", ON)]
    books.restart()
    books.reconcile()
    assert books.said() == [("box1", ON)]
    books.restart()
    books.reconcile(arena=ARENA + 1)
    assert books.said() == [("box1", ON), ("box3", ON)]


def test_a_kill_before_accounting_on_is_on_disk_has_it_said_by_the_next(books: Books) -> None:
    reconcile(books.accounting, Reconciled([], []), Box(ARENA, "lost"), 0.0)
    books.restart()
    books.reconcile()
    assert books.said() == [("box2", ON)]


def test_who_goes_on_has_one_start_however_often_bngd_dies(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    known, lost, _ = sessions
    books.say(known, AccountStatus.START)
    books.flush()
    books.say(lost, AccountStatus.START)
    books.restart()
    before = time.time()
    assert books.reconcile(adopted=(known, lost)) == Owed(starts=1)
    assert known.accounted and lost.accounted
    books.restart()
    assert books.reconcile(adopted=(known, lost)) == Owed()
    assert books.said() == [("box1", ON), (ident(known), START), (ident(lost), START)]
    late = books.records()[-1]
    assert late["event_at"] == pytest.approx(before - 100, abs=1), "when it came up"
    assert late["Event-Timestamp"] == int(float(str(late["event_at"])))


def test_who_is_adopted_before_it_was_up_has_no_start(
    books: Books, sessions: list[Session]
) -> None:
    sessions[0].up_at = None
    assert books.reconcile(adopted=(sessions[0],)) == Owed()
    assert not sessions[0].accounted


def test_no_accounting_on_is_said_over_living_sessions(
    books: Books, sessions: list[Session]
) -> None:
    """As after the upgrade from a version that did not write down for which arena it was said."""
    books.reconcile(adopted=tuple(sessions))
    assert books.said() == [(ident(session), START) for session in sessions]
    books.restart()
    books.reconcile(adopted=tuple(sessions))
    assert len(books.said()) == 3


def test_who_has_ended_gets_his_stop_with_what_the_arena_counted(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    session, stopped, never = sessions
    books.say(session, AccountStatus.START)
    books.say(stopped, AccountStatus.START)
    books.say(stopped, AccountStatus.STOP, 50)
    books.flush()
    books.restart()
    assert books.reconcile(ended=tuple(map(ended, (session, stopped, never)))) == Owed(stops=1)
    books.restart()
    assert books.reconcile(ended=tuple(map(ended, (session, stopped, never)))) == Owed()
    statuses = [status for name, status in books.said() if name == ident(session)]
    assert statuses == [START, STOP]
    stop = books.records()[-1]
    assert stop["User-Name"] == str(session.user_name).encode()
    assert stop["Framed-IP-Address"] == session.ipv4_address
    assert (stop["Acct-Input-Octets"], stop["Acct-Input-Gigawords"]) == (0, 5)
    assert (stop["Acct-Input-Packets"], stop["Acct-Output-Packets"]) == (3, 7)
    assert stop["Acct-Terminate-Cause"] == Cause.NAS_REQUEST.acct_terminate_cause
    assert stop["event_at"] == pytest.approx(time.time(), abs=2)


def test_who_ended_before_his_start_was_on_disk_gets_both(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    session, never, _ = sessions
    books.say(session, AccountStatus.START)
    books.say(session, AccountStatus.STOP, 100)
    never.up_at = None
    left = tuple(
        replace(ended(each), record=read(encode(each) or b"")) for each in (session, never)
    )
    books.restart()
    owed = reconcile(
        books.accounting, Reconciled([], list(left)), THIS, time.monotonic(), session.method
    )
    assert owed == Owed(starts=1, stops=1)
    books.flush()
    books.restart()
    again = reconcile(
        books.accounting, Reconciled([], list(left)), THIS, time.monotonic(), session.method
    )
    assert again == Owed(), "its Stop is known to be on disk, though nothing was released yet"
    assert books.said()[1:] == [(ident(session), START), (ident(session), STOP)]
    start, stop = books.records()[1:]
    assert int(str(stop["Event-Timestamp"])) - int(str(start["Event-Timestamp"])) == 100
    assert stop["Acct-Session-Time"] == 100
    assert stop["Acct-Terminate-Cause"] == Cause.NAS_REQUEST.acct_terminate_cause


def test_that_a_stop_is_on_disk_is_known_until_the_entry_is_released(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    session = sessions[0]
    books.say(session, AccountStatus.START)
    books.say(session, AccountStatus.STOP, 1)
    books.flush()
    books.restart()
    assert books.accounting.accounting.spool.stopped() == {ident(session)}
    books.reconcile(ended=(ended(session),))
    assert books.accounting.accounting.spool.stopped() == {ident(session)}
    books.reconcile()
    books.restart()
    assert books.accounting.accounting.spool.stopped() == set()
    asyncio.run(written_and_released(books, session))
    books.restart()
    assert books.accounting.accounting.spool.stopped() == set()
    handle = session.handle
    assert books.committed == [(handle.index, handle.generation)]


async def written_and_released(books: Books, session: Session) -> None:
    books.say(session, AccountStatus.START)
    books.say(session, AccountStatus.STOP, 1)
    spool = books.accounting.accounting.spool
    for _, stored in await spool.flush() or ():
        if stored.tag is not None:
            books.accounting._written(stored.tag)
    await spool.flush()


def test_a_stop_brings_the_start_along_that_was_lost(books: Books, sessions: list[Session]) -> None:
    """As when an adopted session ends before anything else was said of it."""
    books.reconcile()
    session = sessions[0]
    books.say(session, AccountStatus.STOP, 100)
    session.stopped = True
    try:
        assert books.reconcile(adopted=(session,)) == Owed()
    finally:
        session.stopped = False
    assert books.said()[1:] == [(ident(session), START), (ident(session), STOP)]
    start, stop = books.records()[1:]
    assert int(str(stop["Event-Timestamp"])) - int(str(start["Event-Timestamp"])) == 100


def test_who_is_nowhere_gets_a_stop_with_what_was_known_last_before_the_box_begins_anew(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    session, fresh, _ = sessions
    books.say(session, AccountStatus.START)
    books.say(fresh, AccountStatus.START)
    books.flush()
    books.counters[session.index] = CARRIED
    books.accounting.checkpoint(session, time.monotonic())
    books.flush()
    seen_at = time.time()
    books.restart()
    assert books.reconcile(arena=ARENA + 1) == Owed(stops=2, last_known=2)
    assert books.said()[-1] == ("box2", ON)
    stops = {r["Acct-Session-Id"]: r for r in books.records() if r["Acct-Status-Type"] == STOP}
    known = stops[ident(session)]
    assert known["event_at"] == pytest.approx(seen_at, abs=1)
    assert known["Acct-Session-Time"] == pytest.approx(100, abs=1)
    assert (known["Acct-Input-Gigawords"], known["Acct-Output-Octets"]) == (5, 11)
    assert known["Acct-Terminate-Cause"] == Cause.NAS_REBOOT.acct_terminate_cause
    assert stops[ident(fresh)]["Acct-Session-Time"] == 0
    books.restart()
    assert books.reconcile(arena=ARENA + 1) == Owed()


def test_a_session_whose_entry_is_lost_in_a_living_arena_is_an_error_of_ours(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    books.say(sessions[0], AccountStatus.START)
    books.say(sessions[0], AccountStatus.INTERIM, 60)
    books.flush()
    books.restart()
    assert books.reconcile().last_known == 1
    stop = books.records()[-1]
    assert stop["Acct-Terminate-Cause"] == Cause.NAS_ERROR.acct_terminate_cause
    assert stop["Acct-Session-Time"] == 60
    names = [
        name
        for name, _ in asyncio.run(books.accounting.accounting.spool.load("main", 0, 10))[
            -1
        ].record.attributes
    ]
    assert len(names) == len(set(names)), "no attribute of the interim update is there twice"


def test_a_public_address_of_his_own_is_told(books: Books, sessions: list[Session]) -> None:
    session = sessions[0]
    session.nat_public = IPv4Address("203.0.113.1")
    try:
        books.say(session, AccountStatus.INTERIM, 60)
    finally:
        session.nat_public = None
    books.flush()
    interim = books.records()[-1]
    assert interim["Bng-Nat-Address"] == IPv4Address("203.0.113.1")
    assert session.state is State.UP
    assert isinstance(session.profile, SubscriberProfile)


CARRIED6 = replace(CARRIED, in6_packets=2, in6_bytes=(4 << 32) + 1, out6_packets=5, out6_bytes=9)
OF_IPV6 = {
    "ERX-IPv6-Acct-Input-Octets": 1,
    "ERX-IPv6-Acct-Input-Gigawords": 4,
    "ERX-IPv6-Acct-Input-Packets": 2,
    "ERX-IPv6-Acct-Output-Octets": 9,
    "ERX-IPv6-Acct-Output-Gigawords": 0,
    "ERX-IPv6-Acct-Output-Packets": 5,
}


def of_ipv6(record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if name.startswith("ERX-")}


def test_what_was_ipv6_is_told_apart_also_of_a_session_that_is_nowhere(
    books: Books, sessions: list[Session]
) -> None:
    session = sessions[0]
    books.reconcile()
    books.say(session, AccountStatus.START)
    books.counters[session.index] = CARRIED6
    books.say(session, AccountStatus.INTERIM, 60)
    books.flush()
    books.restart()
    assert books.reconcile(arena=ARENA + 1).last_known == 1
    _, start, interim, stop, _ = books.records()
    assert of_ipv6(start) == {}
    assert of_ipv6(interim) == of_ipv6(stop) == OF_IPV6
    assert (stop["Acct-Input-Gigawords"], stop["Acct-Output-Octets"]) == (5, 11)


def test_an_account_of_before_there_was_ipv6_is_still_read(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    books.say(sessions[0], AccountStatus.START)
    books.flush()
    spool = books.accounting.accounting.spool
    spool.checkpoint(ident(sessions[0]), time.time(), (60, 5 << 32, 3, 11, 7))
    books.flush()
    books.restart()
    assert books.reconcile(arena=ARENA + 1).last_known == 1
    stop = books.records()[-2]
    assert (stop["Acct-Session-Time"], stop["Acct-Input-Gigawords"]) == (60, 5)
    assert (stop["Acct-Output-Packets"], of_ipv6(stop)) == (7, {})
