"""Port forwards: public ports that always lead to a port of one subscriber.

They need the user's own choice of public address (``nat_address``), which he may share: a port of
it leads to one session. One that another session has is logged and left out; the rest is served.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bng.aaa.model import PortForward
from bng.session import logs
from bng.session.actions import ForwardPort
from bng.session.model import Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

Key = tuple[int, int, int]
"""Index of the public address, protocol, port there."""


class Forwards:
    """Who has which forwarded port; a part of *manager*."""

    def __init__(self, manager: "SessionManager") -> None:
        self.holders: dict[Key, str] = {}
        """Acct-Session-Id of the session that a port leads to."""
        self._waiting: dict[Key, tuple[Session, PortForward]] = {}
        self._manager = manager

    def tell(self, session: Session) -> bool:
        """Tell the dataplane what has changed, after UP; say whether anything has."""
        profile, place = session.profile, session.nat_place
        wanted: dict[PortForward, Key] = {}
        if profile is not None and profile.nat_address is not None and place is not None:
            wanted = {f: (place.address, f.protocol, f.external) for f in profile.port_forwards}
        gone = {f: key for f, key in session.forwarded.items() if wanted.get(f) != key}
        for forward, key in gone.items():
            del session.forwarded[forward]
            self._manager.emit(ForwardPort(session.handle, forward, on=False))
            self._free(key)
        new = [forward for forward in wanted if forward not in session.forwarded]
        for forward in new:
            self._add(session, forward, wanted[forward])
        return bool(gone or new)

    def adopt(self, session: Session, found: Iterable[tuple[PortForward, int]]) -> None:
        """Take over what the dataplane has of a session, with the index of the public address."""
        for forward, address in found:
            key = address, forward.protocol, forward.external
            self.holders[key] = session.acct_session_id
            session.forwarded[forward] = key

    def _add(self, session: Session, forward: PortForward, key: Key) -> None:
        holder = self.holders.setdefault(key, session.acct_session_id)
        if holder != session.acct_session_id:
            self._manager.counters["forward_refused"] += 1
            self._manager.emit(logs.forward_refused(session, str(forward), f"held by {holder}"))
            self._waiting[key] = session, forward
            return
        session.forwarded[forward] = key
        self._manager.emit(ForwardPort(session.handle, forward, on=True))

    def failed(self, session: Session, status: int) -> None:
        """Take the word of the dataplane that it could not add one."""
        self._manager.counters["forward_refused"] += 1
        self._manager.emit(logs.forward_refused(session, "", f"errno {-status}"))

    def leave(self, session: Session) -> None:
        """Let others have the session's ports."""
        forwarded, session.forwarded = session.forwarded, {}
        for key in forwarded.values():
            self._free(key)

    def _free(self, key: Key) -> None:
        """Give a port to the session that asked for it last, if it still wants it."""
        del self.holders[key]
        session, forward = self._waiting.pop(key, (None, None))
        if session is None or forward is None or session.state is State.ENDING:
            return
        wanted = session.profile is not None and forward in session.profile.port_forwards
        if wanted and session.nat_place is not None and forward not in session.forwarded:
            self._add(session, forward, key)
