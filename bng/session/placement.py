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
        nat.emit = manager.emit
        self._manager = manager

    def find(self, session: Session, now: float) -> bool:
        """Say whether the session is where its public address is, if it is translated.

        False: it moves, and `SessionManager.go_live` will be called; or there is no address for it
        and it has been ended.
        """
        if session.moving_to is not None:
            return False
        wanted = session.nat_place is None and install.translated(self._manager.settings, session)
        if wanted and not self._choose(session):
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
        full = session.nat_place
        if full is None or full.count or session.nat_tried == NAT_TRIES or _pinned(session):
            return False
        session.nat_tried += 1
        self._manager.ipv6.untold(session)
        found = self._choose(session)
        self.nat.give_back(full)
        if not found:
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
        elif session.install_request is not None or self._manager.ipv6.asked(session):
            self._manager.go_live(session, now)

    def leave(self, session: Session) -> None:
        """Give the session's address back."""
        if session.nat_place is not None:
            self.nat.give_back(session.nat_place)

    def _choose(self, session: Session) -> bool:
        pinned, inner = _pinned(session), session.ipv4_address
        assert inner is not None  # noqa: S101 - granted
        if pinned is not None:
            session.nat_place = self.nat.pin(pinned)
        else:
            pool = install.nat_pool(self._manager.settings, session)
            session.nat_place = self.nat.find(session.handle.worker, pool, inner)
        return session.nat_place is not None

    def _is_home(self, session: Session) -> bool:
        """Say whether the session's worker owns its address; begin to move it when not."""
        if session.nat_place is None:
            return True
        owner = self.nat.entries[session.nat_place.address].owner
        if owner == session.handle.worker:
            return True
        session.moving_to = owner
        session.install_pending += 1
        self._manager.emit(MoveSession(session.handle, owner))
        return False


def _pinned(session: Session) -> IPv4Address | None:
    return session.profile.nat_address if session.profile is not None else None
