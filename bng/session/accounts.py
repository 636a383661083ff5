"""Accounting of sessions (RFC 2866): Start, Interim-Update, Stop; what is said, and when. Sans-IO.

A session's entry in the dataplane is released only when its Stop is on disk: `accounted` says so.
Counters of an interim update are read when the action is carried out, those of a Stop are frozen.
"""

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from bng.aaa.requests import AccountStatus
from bng.session import logs
from bng.session.actions import Account
from bng.session.model import Cause, Counters, Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

JITTER = 0.1
"""Of the interval, either way: sessions that came up together report apart (RFC 5080 §2.2.1)."""
Said = tuple[tuple[bytes, ...], int | None]
"""Class, and the interval of interim updates in seconds, None: nothing is said of it."""
GATHER_S = 0.1
"""Updates that are due within this time are due at its end: bngd wakes once for all of them."""
SETTLE_S = 2.0
"""How long what has changed waits for more of it."""


class Accounts:
    """What accounting is told; a part of *manager*. *entropy* returns random bytes."""

    def __init__(self, manager: "SessionManager", entropy: Callable[[int], bytes]) -> None:
        self._manager = manager
        self._entropy = entropy

    def started(self, session: Session, now: float) -> None:
        """A session's first network protocol is up; the Start waits a moment for the other one.

        Whatever ends the session or us meanwhile, the Start is said before its Stop, with the time
        at which the session began.
        """
        settings = self._manager.settings
        if not session.accounted:
            return
        if settings.start_delay_s and settings.serves_both(session.profile):
            session.interim_at = _gathered(now + settings.start_delay_s)
        else:
            self._begin(session, now)

    def _begin(self, session: Session, now: float) -> None:
        assert session.up_at is not None  # noqa: S101 - it has started
        session.begun = True
        self._say(session, AccountStatus.START, None, session.up_at)
        self._schedule(session, now)

    def changed(self, session: Session) -> None:
        """What is said of a session has changed: an interim update is due at once."""
        if session.begun:
            session.interim_at = 0.0
            self._manager.reschedule(session)

    def changed_soon(self, session: Session, now: float) -> None:
        """The same, but more may change in a moment, as at a sign-up: one update for all of it."""
        if session.begun:
            at = now + SETTLE_S
            session.interim_at = at if session.interim_at is None else min(session.interim_at, at)
            self._manager.reschedule(session)

    def adopted(self, session: Session, now: float) -> None:
        """A session goes on that was begun before a restart: updates come at any moment again."""
        session.begun = session.accounted  # else its Start is said by who brings this up to date
        if session.begun:
            self._spread_out(session, now)

    def follow(self, session: Session, said: Said, default_s: int, now: float) -> bool:
        """Take what is *said* now of a living session's accounting; say whether anything changes.

        *default_s* is what the interval was so far where nothing is said.
        """
        accept = session.accept
        if accept is None or session.state is State.ENDING:
            return False
        classes, interval_s = said
        before_s = default_s if accept.interim_interval_s is None else accept.interim_interval_s
        sources = dict(accept.sources)  # of CoA, of what is said no more
        if classes != accept.classes:
            sources.pop("classes", None)
        if interval_s != accept.interim_interval_s:
            sources.pop("interim_interval_s", None)
        new = replace(accept, classes=classes, interim_interval_s=interval_s, sources=sources)
        if new != accept:
            session.accept = new
            self._manager.write_down(session)
        if self._interval(session) == before_s:
            return new != accept
        if session.begun:
            self._spread_out(session, now)
            self._manager.reschedule(session)
        return True

    def _spread_out(self, session: Session, now: float) -> None:
        """Have the next update come at any moment of an interval: many begin theirs at once."""
        interval = self._interval(session)
        share = int.from_bytes(self._entropy(2), "big") / 65536
        session.interim_at = _gathered(now + interval * share) if interval else None

    def _interval(self, session: Session) -> int:
        """Return the seconds between interim updates, 0: there are none."""
        said = session.accept.interim_interval_s if session.accept is not None else None
        return self._manager.settings.interim_interval_s if said is None else said

    def _schedule(self, session: Session, now: float) -> None:
        """Set when the next interim update is due."""
        interval = self._interval(session)
        session.interim_at = _gathered(now + interval * self._spread()) if interval else None

    def reschedule(self, session: Session, now: float) -> None:
        """The session's interval has changed: it is counted from *now*."""
        if session.begun:
            self._schedule(session, now)

    def tick(self, session: Session, now: float) -> None:
        """Send the Start or the interim update that is due."""
        if session.interim_at is None or session.interim_at > now:
            return
        if not session.begun:
            self._begin(session, now)
        else:
            self._say(session, AccountStatus.INTERIM, None, now)
            self._schedule(session, now)

    def harvest(self, read: Callable[[int], Counters], now: float) -> int:
        """The dataplane is gone: say the Stop of every session that owes one; returns how many.

        *read* reads the last counters of a session index. The cause is NAS Error (RFC 2866 §5.10):
        an error of ours, not on the port, ended the session; nobody's carrier was lost, and the box
        does not boot. A session that was ending keeps the cause of its end.
        """
        manager = self._manager
        owing = [session for session in manager.table if session.accounted and not session.stopped]
        for session in owing:
            session.state = State.ENDING
            session.cause = session.cause or Cause.NAS_ERROR
            session.detail = session.detail or "dataplane lost"
            counters = read(session.index)
            manager.counters["stopped"] += 1
            manager.emit(logs.ended(session, counters, manager.nat, now))
            self.stopped(session, counters, now)
            session.accounted = False  # there is no entry to release, and its client is to be told
        return len(owing)

    def stopped(self, session: Session, counters: Counters, now: float) -> bool:
        """A session is closed; True: its entry stays until `SessionManager.accounted`."""
        if session.accounted and not session.begun:
            self._begin(session, now)
        session.interim_at = None
        session.stopped = True
        if session.accounted:
            self._say(session, AccountStatus.STOP, counters, now)
        return session.accounted

    def _say(
        self, session: Session, status: AccountStatus, counters: Counters | None, now: float
    ) -> None:
        assert session.up_at is not None  # noqa: S101 - it has started
        self._manager.counters[f"accounting_{status.name.lower()}"] += 1
        self._manager.emit(Account(session, status, counters, int(now - session.up_at), now))

    def _spread(self) -> float:
        """Return 1 and a jitter."""
        return 1 + JITTER * (int.from_bytes(self._entropy(2), "big") / 32768 - 1)


def _gathered(at: float) -> float:
    return ceil(at / GATHER_S) * GATHER_S
