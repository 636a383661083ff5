"""Sessions that end at a pace: those that the operator drains, and those behind a dead port."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bng.session.model import Cause, Session

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

TICK_S = 0.02
MAX_BATCH = 100
"""Sessions ended at a time, however fast: takes some 3 ms."""


class Drain:
    """Ends sessions of *manager* at drain_per_s; gives a port that went down port_grace_s."""

    def __init__(self, manager: "SessionManager") -> None:
        self._manager = manager
        self._waiting: list[tuple[Session, Cause, str]] = []
        self._at = 0.0
        self._down_at: dict[int, float] = {}

    def __len__(self) -> int:
        """Return how many sessions have yet to end."""
        return len(self._waiting)

    def begin(self, sessions: Iterable[Session], cause: Cause, detail: str, now: float) -> None:
        """End *sessions*, the first of them at once."""
        self._waiting += [(session, cause, detail) for session in sessions]
        self._at = now

    def port_down(self, port: int, now: float) -> None:
        """Begin the grace time of *port*: echoes are not counted, nobody can come back."""
        self._down_at.setdefault(port, now)

    def port_up(self, port: int) -> None:
        """Keep the sessions of *port* that are still there: LCP Echo finds those that are not."""
        self._down_at.pop(port, None)
        self._waiting = [
            (session, cause, detail)
            for session, cause, detail in self._waiting
            if cause is not Cause.LOST_CARRIER or session.line.port != port
        ]

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        due = [at + self._manager.settings.port_grace_s for at in self._down_at.values()]
        if self._waiting:
            due.append(self._at)
        return min(due, default=None)

    def tick(self, now: float) -> None:
        """End what is due."""
        grace_s = self._manager.settings.port_grace_s
        for port in [port for port, at in self._down_at.items() if at + grace_s <= now]:
            del self._down_at[port]
            lost = [session for session in self._manager.table if session.line.port == port]
            self.begin(lost, Cause.LOST_CARRIER, "access port down", now)
        if self._waiting and self._at <= now:
            self._end_some(now)

    def _end_some(self, now: float) -> None:
        per_s = self._manager.settings.drain_per_s
        batch = min(max(1, int(per_s * TICK_S)), MAX_BATCH)
        for _ in range(min(batch, len(self._waiting))):
            self._manager.end(*self._waiting.pop(), now)
        self._at = now + batch / per_s
