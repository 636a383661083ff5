"""Accounting of sessions (RFC 2866): Start, Interim-Update, Stop; what is said, and when. Sans-IO.

A session's entry in the dataplane is released only when its Stop is on disk: `accounted` says so.
Counters of an interim update are read when the action is carried out, those of a Stop are frozen.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bng.aaa.requests import AccountStatus
from bng.session.actions import Account
from bng.session.model import Counters, Session

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

JITTER = 0.1
"""Of the interval, either way: sessions that came up together report apart (RFC 5080 §2.2.1)."""


class Accounts:
    """What accounting is told; a part of *manager*. *entropy* returns random bytes."""

    def __init__(self, manager: "SessionManager", entropy: Callable[[int], bytes]) -> None:
        self._manager = manager
        self._entropy = entropy

    def started(self, session: Session, now: float) -> None:
        """A session's first network protocol is up."""
        if not self._manager.settings.accounting:
            return
        session.accounted = True
        self._say(session, AccountStatus.START, None, now)
        self._schedule(session, now)

    def _schedule(self, session: Session, now: float) -> None:
        """Set when the next interim update is due."""
        said = session.accept.interim_interval_s if session.accept is not None else None
        interval = self._manager.settings.interim_interval_s if said is None else said
        session.interim_at = now + interval * self._spread() if interval else None

    def tick(self, session: Session, now: float) -> None:
        """Send the interim update that is due."""
        if session.interim_at is not None and session.interim_at <= now:
            self._say(session, AccountStatus.INTERIM, None, now)
            self._schedule(session, now)

    def stopped(self, session: Session, counters: Counters, now: float) -> bool:
        """A session is closed; True: its entry stays until `SessionManager.accounted`."""
        session.interim_at = None
        if session.accounted:
            self._say(session, AccountStatus.STOP, counters, now)
        return session.accounted

    def _say(
        self, session: Session, status: AccountStatus, counters: Counters | None, now: float
    ) -> None:
        assert session.up_at is not None  # noqa: S101 - it has started
        self._manager.counters[f"accounting_{status.name.lower()}"] += 1
        self._manager.emit(Account(session, status, counters, int(now - session.up_at)))

    def _spread(self) -> float:
        """Return 1 and a jitter."""
        return 1 + JITTER * (int.from_bytes(self._entropy(2), "big") / 32768 - 1)
