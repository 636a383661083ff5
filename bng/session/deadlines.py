"""The one deadline heap: at most one live entry a session, no timer handle, no task."""

import heapq
from collections.abc import Iterator
from math import inf

from bng.session.model import Session


class Deadlines:
    """Sessions by the time they next want to be woken.

    A deadline that moves later is left in place and looked at when it comes; one that moves earlier
    gets a new entry, and `Session.due` tells the entries apart.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, Session]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, session: Session, at: float | None) -> None:
        """Wake *session* no later than *at*; None: it needs no waking."""
        if at is not None and at < session.due:
            session.due = at
            heapq.heappush(self._heap, (at, session))

    def next(self) -> float | None:
        """Return the earliest deadline."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Iterator[Session]:
        """Take out the sessions that are due; each must be scheduled again."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, session = heapq.heappop(heap)
            if session.due == at:
                session.due = inf
                yield session
