"""What accounting owes after a start (RFC 2866): open accounts against the sessions that are there.

The spool knows whose Start was written and whose Stop was not. So, whatever died when: a session
that goes on and has no account gets its Start, one that ended and has an account its Stop, an
account whose session is nowhere a Stop with what is known of it last. Accounting-On is said after
those Stops, once for each arena and never over living sessions: a server ends with it all that it
knows of (RFC 2866 §5.1).
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from bng.aaa.requests import AccountStatus
from bng.io.radius import End, RadiusAccounting
from bng.session.access import AccessMethod
from bng.session.model import Cause, Session
from bng.session.restart import Ended, Reconciled, restore
from radius.spool import Account

ARENA = "arena"
"""What the spool calls the arena that Accounting-On was said for."""


@dataclass(frozen=True, slots=True)
class Box:
    """What runs now: *arena* names the dataplane's memory, *session_id* is that of the box."""

    arena: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Owed:
    """How many records a start made up for; *last_known*: Stops with counters of earlier."""

    starts: int = 0
    stops: int = 0
    last_known: int = 0


def reconcile(
    accounting: RadiusAccounting,
    found: Reconciled,
    box: Box,
    now: float,
    method: AccessMethod | None = None,
) -> Owed:
    """Put every record that is owed; nothing is on disk before the next flush.

    *method*: by which those came of whom only a record is left; None: such a record is not used.
    Raises: SpoolError when the open accounts cannot be read.
    """
    spool = accounting.accounting.spool
    accounts, stopped = spool.accounts(), spool.stopped()
    accounting.accounting.tell_damaged()
    fresh = spool.recall(ARENA) != str(box.arena)
    starts = _go_on(accounting, found.adopted, accounts, now)
    stops = 0
    wall = time.time()
    for ended in found.ended:
        account = accounts.pop(ended.acct_session_id, None)
        if account is not None:
            accounting.stop(account, End(wall, ended.cause, ended.counters))
            stops += 1
        elif ended.acct_session_id not in stopped and (lost := _came_up(ended, method)):
            accounting.whole(lost, ended.counters, now)
            starts, stops = starts + 1, stops + 1
    for name in stopped - {ended.acct_session_id for ended in found.ended}:
        spool.released(name)
    _nowhere(accounting, accounts.values(), Cause.NAS_REBOOT if fresh else Cause.NAS_ERROR)
    if fresh:
        if not found.adopted:
            accounting.box(AccountStatus.ON, box.session_id)
        spool.remember(ARENA, str(box.arena))
    return Owed(starts, stops + len(accounts), len(accounts))


def _go_on(
    accounting: RadiusAccounting,
    adopted: Iterable[Session],
    accounts: dict[str, Account],
    now: float,
) -> int:
    """Take the accounts of sessions that go on out of *accounts*; say how many Starts were lost."""
    starts = 0
    for session in adopted:
        if session.up_at is None:
            continue
        session.accounted = session.begun = True
        known = accounts.pop(session.acct_session_id, None)
        if known is None and not session.stopped:
            accounting.start(session, now)
            starts += 1
    return starts


def _came_up(ended: Ended, method: AccessMethod | None) -> Session | None:
    """Return a session that was up, as its record has it: it died before its Start was on disk."""
    if method is None:
        return None
    with suppress(ValueError):
        session = restore(ended.record, ended.handle, method)
        session.cause = ended.cause
        return None if session.up_at is None else session
    return None


def _nowhere(accounting: RadiusAccounting, accounts: Iterable[Account], cause: Cause) -> None:
    """Say the Stops of sessions that left nothing but their accounts."""
    log, wall = structlog.get_logger("accounting"), time.time()
    for account in accounts:
        accounting.stop(account, End(account.seen_at, cause))
        log.warning(
            "account-of-no-session",
            session=account.session,
            cause=cause.word,
            last_known_s_ago=round(wall - account.seen_at, 1),
            counters=account.counters,
        )
