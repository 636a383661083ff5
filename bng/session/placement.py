"""Where a session's public ports are, and so which worker owns it.

A worker owns public addresses, and translates for its own sessions only. A session whose address
is another worker's is handed to that one before anything is forwarded for it.
"""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from bng.session import install
from bng.session.actions import CloseSession, MoveSession
from bng.session.model import Cause, Session, State
from bng.session.nat import NatAddresses

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

NAT_TRIES = 4


class Placement:
    """Chooses public addresses, and moves sessions to their owners; a part of *manager*."""

    def __init__(self, manager: "SessionManager", nat: NatAddresses) -> None:
        self.nat = nat
        self._manager = manager

    def find(self, session: Session, now: float) -> bool:
        """Say whether the session is where its public address is, if it is translated.

        False: it moves, and `SessionManager.placed` will be called; or there is no address for it
        and it has been ended.
        """
        if session.moving_to is not None:
            return False
        if session.nat_address is None and install.translated(self._manager.settings, session):
            session.nat_address = self._choose(session)
            if session.nat_address is None:
                self._manager.counters["install_failed"] += 1
                pinned = _pinned(session)
                detail = "no NAT address" if pinned is None else f"no NAT address {pinned}"
                self._manager.end(session, Cause.NAS_ERROR, f"install: {detail}", now)
                return False
        return self._is_home(session)

    def find_other(self, session: Session) -> bool:
        """Choose another address after one whose last block went to another session meanwhile.

        False: there is none. The session is installed again, at once or when it has moved.
        """
        if session.nat_address is None or session.nat_tried == NAT_TRIES:
            return False
        session.nat_tried += 1
        if _pinned(session) is not None:
            return False
        full = session.nat_address
        session.nat_address = self._choose(session)
        self.nat.give_back(full)
        if session.nat_address is None:
            return False
        if self._is_home(session):
            self._manager.placed(session)
        return True

    def moved(self, session: Session, status: int, now: float) -> None:
        """Take the end of a hand-over to another worker."""
        worker, session.moving_to = session.moving_to, None
        session.install_pending -= 1
        if not status and worker is not None:
            self._manager.table.move(session.handle, worker)
            session.handle = replace(session.handle, worker=worker)
        if session.state is State.ENDING:
            self._manager.emit(CloseSession(session.handle))
        elif status:
            self._manager.counters["install_failed"] += 1
            self._manager.end(session, Cause.NAS_ERROR, f"move: errno {-status}", now)
        elif session.install_request is not None:
            self._manager.placed(session)

    def leave(self, session: Session) -> None:
        """Give the session's address back."""
        if session.nat_address is not None:
            self.nat.give_back(session.nat_address)

    def _choose(self, session: Session) -> int | None:
        pinned = _pinned(session)
        if pinned is not None:
            return self.nat.pin(pinned)
        pool = install.nat_pool(self._manager.settings, session)
        return self.nat.take(session.handle.worker, pool)

    def _is_home(self, session: Session) -> bool:
        """Say whether the session's worker owns its address; begin to move it when not."""
        if session.nat_address is None:
            return True
        owner = self.nat.entries[session.nat_address].owner
        if owner == session.handle.worker:
            return True
        session.moving_to = owner
        session.install_pending += 1
        self._manager.emit(MoveSession(session.handle, owner))
        return False


def _pinned(session: Session) -> IPv4Address | None:
    return session.profile.nat_address if session.profile is not None else None
