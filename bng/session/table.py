"""Session indexes, their generations and owners."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from bng.session.actions import Handle
from bng.session.model import Session
from bng.session.spread import Spread

QUIET_EPOCHS = 2
"""A freed index waits until every worker has passed so many vector boundaries: then no packet that
met its old session is left in any graph or hand-off ring."""


class SessionTable:
    """Sessions by index of the dataplane's table.

    *generation_of* reads the generation that an entry had last, from the arena: it goes on from
    there after a restart. *epochs* reads each worker's count of vector boundaries, *busy_s* how
    long each has been busy.
    """

    def __init__(
        self,
        size: int,
        workers: int,
        generation_of: Callable[[int], int],
        epochs: Callable[[], Sequence[int]],
        busy_s: Callable[[], Sequence[float]] | None = None,
    ) -> None:
        self.size = size
        self.by_id: dict[str, Session] = {}
        """Sessions by Acct-Session-Id."""
        self._sessions: list[Session | None] = [None] * size
        self._generation_of = generation_of
        self._epochs = epochs
        self._fresh = 0
        self._freed: deque[tuple[int, Sequence[int]]] = deque()
        self.spread = Spread(workers, busy_s)
        self.count = 0

    def __iter__(self) -> Iterator[Session]:
        return (session for session in self._sessions[: self._fresh] if session is not None)

    def take(self, now: float) -> Handle | None:
        """Return a handle for a new session on the least loaded worker, None when full."""
        if self._freed and self._is_quiet(self._freed[0][1]):
            index = self._freed.popleft()[0]
        elif self._fresh < self.size:
            index = self._fresh
            self._fresh += 1
        else:
            return None
        worker = self.spread.choose(now)
        self.spread.sessions[worker] += 1
        self.count += 1
        generation = self._generation_of(index) + 1 & 0xFFFFFFFF
        return Handle(index, generation or 1, worker)

    def _is_quiet(self, since: Sequence[int]) -> bool:
        passed = zip(self._epochs(), since, strict=True)
        return all(now - then >= QUIET_EPOCHS for now, then in passed)

    def put(self, session: Session) -> None:
        """Enter a session under its handle."""
        self._sessions[session.handle.index] = session
        self.by_id[session.acct_session_id] = session

    def adopt(self, session: Session) -> None:
        """Enter a session that a former bngd began; by index, before any other.

        Raises: ValueError when it comes too late.
        """
        index, worker = session.handle.index, session.handle.worker
        if not self._fresh <= index < self.size:
            raise ValueError(f"index {index} is behind {self._fresh}")
        if index > self._fresh:
            epochs = self._epochs()
            self._freed.extend((gap, epochs) for gap in range(self._fresh, index))
        self._fresh = index + 1
        self.spread.sessions[worker] += 1
        self.count += 1
        self.put(session)

    def get(self, index: int, generation: int) -> Session | None:
        """Return the session of an index, None when that generation of it is gone."""
        if index >= self.size:
            return None
        session = self._sessions[index]
        return session if session is not None and session.handle.generation == generation else None

    def move(self, handle: Handle, worker: int) -> None:
        """Count a session as one of *worker*."""
        self.spread.sessions[handle.worker] -= 1
        self.spread.sessions[worker] += 1

    def free(self, handle: Handle) -> None:
        """Give the index of a released session back."""
        if (session := self._sessions[handle.index]) is not None:
            del self.by_id[session.acct_session_id]
        self._sessions[handle.index] = None
        self._freed.append((handle.index, self._epochs()))
        self.spread.sessions[handle.worker] -= 1
        self.count -= 1
