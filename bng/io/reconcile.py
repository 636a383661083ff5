"""What accounting owes after a start (RFC 2866): open accounts against the sessions that are there.

The spool knows whose Start was written and whose Stop was not. So, whatever died when: a session
that goes on and has no account gets its Start, one that ended and has an account its Stop, an
account whose session is nowhere a Stop with what is known of it last. Accounting-On is said after
those Stops, once for each arena and never over living sessions: a server ends with it all that it
knows of (RFC 2866 §5.1).
"""

import time
from dataclasses import dataclass

import structlog

from bng.aaa.requests import AccountStatus
from bng.io.radius import End, RadiusAccounting
from bng.session.model import Cause
from bng.session.restart import Reconciled

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


def reconcile(accounting: RadiusAccounting, found: Reconciled, box: Box, now: float) -> Owed:
    """Put every record that is owed; nothing is on disk before the next flush.

    Raises: SpoolError when the open accounts cannot be read.
    """
    spool = accounting.accounting.spool
    accounts = spool.accounts()
    fresh = spool.recall(ARENA) != str(box.arena)
    starts = stops = 0
    for session in found.adopted:
        if session.up_at is None:
            continue
        session.accounted = True
        if accounts.pop(session.acct_session_id, None) is None:
            accounting.start(session, now)
            starts += 1
    wall = time.time()
    for ended in found.ended:
        account = accounts.pop(ended.acct_session_id, None)
        if account is not None:
            accounting.stop(account, End(wall, ended.cause, ended.counters))
            stops += 1
    cause = Cause.NAS_REBOOT if fresh else Cause.NAS_ERROR
    log = structlog.get_logger("accounting")
    for account in accounts.values():
        accounting.stop(account, End(account.seen_at, cause))
        log.warning(
            "account-of-no-session",
            session=account.session,
            cause=cause.word,
            last_known_s_ago=round(wall - account.seen_at, 1),
            counters=account.counters,
        )
    if fresh:
        if not found.adopted:
            accounting.box(AccountStatus.ON, box.session_id)
        spool.remember(ARENA, str(box.arena))
    return Owed(starts, stops + len(accounts), len(accounts))
