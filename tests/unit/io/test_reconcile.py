"""After a start: every Start and every Stop that is owed is said, once, and with true times."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bng.aaa.model import SubscriberProfile
from bng.aaa.requests import AccountStatus, Nas
from bng.io.radius import RadiusAccounting
from bng.io.reconcile import Box, Owed, reconcile
from bng.session.access import AccessMethod
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
CARRIED6 = replace(CARRIED, in6_packets=2, in6_bytes=(4 << 32) + 1, out6_packets=5, out6_bytes=9)
OF_IPV6: dict[str, object] = {
    "ERX-IPv6-Acct-Input-Octets": 1,
    "ERX-IPv6-Acct-Input-Gigawords": 4,
    "ERX-IPv6-Acct-Input-Packets": 2,
    "ERX-IPv6-Acct-Output-Octets": 9,
    "ERX-IPv6-Acct-Output-Gigawords": 0,
    "ERX-IPv6-Acct-Output-Packets": 5,
}
NO_IPV6: dict[str, object] = dict.fromkeys(OF_IPV6)
BEFORE_IPV6 = (60, 5 << 32, 3, 11, 7)
"""What an account had of a session of 60 s before there was IPv6."""
A, B, C = 0, 1, 2
"""Three sessions, up for 100 s."""


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
        adopted: Sequence[Session] = (),
        ended: Sequence[Ended] = (),
        arena: int = ARENA,
        method: AccessMethod | None = None,
    ) -> Owed:
        owed = reconcile(
            self.accounting,
            Reconciled(list(adopted), list(ended)),
            Box(arena, f"box{self.lives}"),
            time.monotonic(),
            method,
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


def ended(session: Session, cause: Cause = Cause.NAS_REQUEST, *, recorded: bool = False) -> Ended:
    return Ended(
        acct_session_id=session.acct_session_id,
        handle=session.handle,
        record=read(encode(session) or b"") if recorded else {},
        counters=CARRIED,
        cause=cause,
    )


def ident(session: Session) -> str:
    return session.acct_session_id


Step = Callable[[Books, list[Session]], None]


def start(who: int) -> Step:
    return lambda books, sessions: books.say(sessions[who], AccountStatus.START)


def interim(who: int, seconds: int) -> Step:
    return lambda books, sessions: books.say(sessions[who], AccountStatus.INTERIM, seconds)


def stop(who: int, seconds: int) -> Step:
    return lambda books, sessions: books.say(sessions[who], AccountStatus.STOP, seconds)


def carried(who: int, counters: Counters) -> Step:
    return lambda books, sessions: books.counters.update({sessions[who].index: counters})


def checkpoint(who: int) -> Step:
    return lambda books, sessions: books.accounting.checkpoint(sessions[who], time.monotonic())


def raw_checkpoint(who: int, numbers: tuple[int, ...], ago_s: float) -> Step:
    return lambda books, sessions: books.accounting.accounting.spool.checkpoint(
        ident(sessions[who]), time.time() - ago_s, numbers
    )


def flush(books: Books, _: list[Session]) -> None:
    books.flush()


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a bngd *did* before it died, what the next one *finds*, and what that one says then.

    What is not flushed is lost. Then bngd dies again, and nothing more is *owed*.
    """

    did: tuple[Step, ...] = ()
    first: bool = True
    """Accounting-On was said before all that; False: by a version that did not write that down."""
    down: frozenset[int] = frozenset()
    """Sessions that were never up."""
    adopted: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    recorded: bool = False
    """The arena has the records of those that ended."""
    arena: int = ARENA
    owed: Owed = field(default_factory=Owed)
    said: tuple[tuple[int, int], ...]
    """All Starts, Stops and updates on disk, in order."""
    on_again: bool = False
    """Accounting-On is said after them."""
    attributes: dict[tuple[int, int], dict[str, object]] = field(default_factory=dict)
    """Of those records; None: it has none such. *ago*: how long before bngd came back it was."""


CASES = {
    "who goes on has one Start, one that was lost with the time when it came up": Case(
        did=(start(A), flush, start(B)),
        adopted=(A, B),
        owed=Owed(starts=1),
        said=((A, START), (B, START)),
        attributes={(B, START): {"ago": 100}},
    ),
    "who is adopted before it was up has no Start": Case(
        down=frozenset({A}), adopted=(A,), said=()
    ),
    "no Accounting-On is said over living sessions": Case(
        first=False,
        adopted=(A, B, C),
        owed=Owed(starts=3),
        said=((A, START), (B, START), (C, START)),
    ),
    "who has ended gets his Stop with what the arena counted, unless he has it": Case(
        did=(start(A), start(B), stop(B, 50), flush),
        ended=(A, B, C),
        owed=Owed(stops=1),
        said=((A, START), (B, START), (B, STOP), (A, STOP)),
        attributes={
            (A, STOP): {
                "ago": 0,
                "User-Name": b"user00001",
                "Framed-IP-Address": IPv4Address("100.64.0.10"),
                "Acct-Input-Octets": 0,
                "Acct-Input-Gigawords": 5,
                "Acct-Input-Packets": 3,
                "Acct-Output-Packets": 7,
                "Acct-Terminate-Cause": Cause.NAS_REQUEST.acct_terminate_cause,
            }
        },
    ),
    "who ended before his Start was on disk gets both, who was never up none": Case(
        did=(start(A), stop(A, 100)),
        down=frozenset({B}),
        ended=(A, B),
        recorded=True,
        owed=Owed(starts=1, stops=1),
        said=((A, START), (A, STOP)),
        attributes={
            (A, START): {"ago": 100},
            (A, STOP): {
                "ago": 0,
                "Acct-Session-Time": 100,
                "Acct-Terminate-Cause": Cause.NAS_REQUEST.acct_terminate_cause,
            },
        },
    ),
    "who is nowhere gets a Stop with what was known last, before the box begins anew": Case(
        did=(start(A), start(B), flush, carried(A, CARRIED), checkpoint(A), flush),
        arena=ARENA + 1,
        owed=Owed(stops=2, last_known=2),
        said=((A, START), (B, START), (A, STOP), (B, STOP)),
        on_again=True,
        attributes={
            (A, STOP): {
                "ago": 0,
                "Acct-Session-Time": pytest.approx(100, abs=1),
                "Acct-Input-Gigawords": 5,
                "Acct-Output-Octets": 11,
                "Acct-Terminate-Cause": Cause.NAS_REBOOT.acct_terminate_cause,
            },
            (B, STOP): {"Acct-Session-Time": 0},
        },
    ),
    "a session whose entry is lost in a living arena is an error of ours": Case(
        did=(start(A), interim(A, 60), flush),
        owed=Owed(stops=1, last_known=1),
        said=((A, START), (A, INTERIM), (A, STOP)),
        attributes={
            (A, STOP): {
                "Acct-Session-Time": 60,
                "Acct-Terminate-Cause": Cause.NAS_ERROR.acct_terminate_cause,
            }
        },
    ),
    "what was IPv6 is told apart, also of a session that is nowhere": Case(
        did=(start(A), carried(A, CARRIED6), interim(A, 60), flush),
        arena=ARENA + 1,
        owed=Owed(stops=1, last_known=1),
        said=((A, START), (A, INTERIM), (A, STOP)),
        on_again=True,
        attributes={
            (A, START): NO_IPV6,
            (A, INTERIM): OF_IPV6,
            (A, STOP): {**OF_IPV6, "Acct-Input-Gigawords": 5, "Acct-Output-Octets": 11},
        },
    ),
    "an account of before there was IPv6 is still read": Case(
        did=(start(A), flush, raw_checkpoint(A, BEFORE_IPV6, 30), flush),
        arena=ARENA + 1,
        owed=Owed(stops=1, last_known=1),
        said=((A, START), (A, STOP)),
        on_again=True,
        attributes={
            (A, STOP): {
                "ago": 30,
                "Acct-Session-Time": 60,
                "Acct-Input-Gigawords": 5,
                "Acct-Output-Packets": 7,
                **NO_IPV6,
            }
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_owed_is_said_once(case: Case, books: Books, sessions: list[Session]) -> None:
    for who in case.down:
        sessions[who].up_at = None
    if case.first:
        books.reconcile()
    for step in case.did:
        step(books, sessions)
    left = [ended(sessions[who], recorded=case.recorded) for who in case.ended]
    adopted = [sessions[who] for who in case.adopted]
    method = sessions[A].method if case.recorded else None
    boxes = [("box1", ON)] if case.first else []
    starts = [(ident(sessions[who]), status) for who, status in case.said]
    again = [("box2", ON)] if case.on_again else []
    came_back = 0.0
    for owed in (case.owed, Owed()):
        books.restart()
        came_back = came_back or time.time()
        assert books.reconcile(adopted, left, case.arena, method) == owed
        assert books.said() == [*boxes, *starts, *again]
    for session in adopted:
        assert session.accounted == (session.up_at is not None)
    for record in books.records():
        assert record["Event-Timestamp"] == int(float(str(record["event_at"])))
        key = (record["Acct-Session-Id"], record["Acct-Status-Type"])
        (wanted,) = [
            wanted
            for (who, status), wanted in case.attributes.items()
            if key == (ident(sessions[who]), status)
        ] or [{}]
        found = {**record, "ago": pytest.approx(came_back - float(str(record["event_at"])), abs=1)}
        assert {name: found.get(name) for name in wanted} == wanted
    for stored in asyncio.run(books.accounting.accounting.spool.load("main", 0, 10)):
        names = [name for name, _ in stored.record.attributes]
        assert len(names) == len(set(names)), "no attribute is there twice"


def test_a_start_and_a_stop_that_were_lost_together_are_as_far_apart_as_they_were(
    books: Books, sessions: list[Session]
) -> None:
    books.reconcile()
    left = [ended(sessions[A], recorded=True)]
    books.reconcile(ended=left, method=sessions[A].method)
    start, stop = books.records()[1:]
    assert int(str(stop["Event-Timestamp"])) - int(str(start["Event-Timestamp"])) == 100


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
