"""Session indexes, their generations and owners."""

from collections import deque
from collections.abc import Callable, Iterator

from bng.session.actions import Handle
from bng.session.model import Session

INDEX_REST_S = 1.0
"""A freed index rests this long when it can, so that packets still in hand-off meet it free."""


class SessionTable:
    """Sessions by index of the dataplane's table.

    *generation_of* reads the generation that an entry had last, from the arena: it goes on from
    there after a restart.
    """

    def __init__(
        self, size: int, workers: int, generation_of: Callable[[int], int] = lambda _: 0
    ) -> None:
        self.size = size
        self._sessions: list[Session | None] = [None] * size
        self._generation_of = generation_of
        self._fresh = 0
        self._freed: deque[tuple[float, int]] = deque()
        self._load = [0] * workers
        self.count = 0

    def __iter__(self) -> Iterator[Session]:
        return (session for session in self._sessions[: self._fresh] if session is not None)

    def take(self, now: float) -> Handle | None:
        """Return a handle for a new session on the least loaded worker, None when full."""
        rested = self._freed and self._freed[0][0] <= now
        if rested or (self._freed and self._fresh == self.size):
            index = self._freed.popleft()[1]
        elif self._fresh < self.size:
            index = self._fresh
            self._fresh += 1
        else:
            return None
        worker = self._load.index(min(self._load))
        self._load[worker] += 1
        self.count += 1
        generation = self._generation_of(index) + 1 & 0xFFFFFFFF
        return Handle(index, generation or 1, worker)

    def put(self, session: Session) -> None:
        """Enter a session under its handle."""
        self._sessions[session.handle.index] = session

    def get(self, index: int, generation: int) -> Session | None:
        """Return the session of an index, None when that generation of it is gone."""
        if index >= self.size:
            return None
        session = self._sessions[index]
        return session if session is not None and session.handle.generation == generation else None

    def free(self, handle: Handle, now: float) -> None:
        """Give the index of a released session back."""
        self._sessions[handle.index] = None
        self._freed.append((now + INDEX_REST_S, handle.index))
        self._load[handle.worker] -= 1
        self.count -= 1
