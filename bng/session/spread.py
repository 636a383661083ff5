"""Which worker the next session goes to: by how many each has, and by how busy each is.

A session's worth is not known when it begins, so numbers come first. But a worker may be busy with
more than its sessions, as one is that receives a port, or with heavy ones: while it is busier than
the idlest by `BUSIER` of its time, its sessions count `WEIGHT` times, until that is less than
`LEVEL`. So it gets fewer of the new ones, and never so few that all are on another worker when the
load has gone.
"""

from collections.abc import Callable, Sequence

INTERVAL_S = 5.0
"""What load is measured over, at least: longer than a burst."""
BUSIER, LEVEL = 0.25, 0.10
WEIGHT = 4


class Spread:
    """Counts sessions of workers. *busy_s* reads how long each has been busy so far, in seconds."""

    def __init__(self, workers: int, busy_s: Callable[[], Sequence[float]] | None = None) -> None:
        self.sessions = [0] * workers
        self.busy: list[bool] = [False] * workers
        """Whose sessions count more."""
        self._busy_s = busy_s
        self._since: tuple[float, Sequence[float]] | None = None

    def choose(self, now: float) -> int:
        """Return the worker for a new session."""
        if self._busy_s is not None and len(self.sessions) > 1:
            self._measure(self._busy_s, now)
        cost = [
            (count + 1) * (WEIGHT if busy else 1)
            for count, busy in zip(self.sessions, self.busy, strict=True)
        ]
        return cost.index(min(cost))

    def _measure(self, busy_s: Callable[[], Sequence[float]], now: float) -> None:
        then, before = self._since or (now, ())
        if self._since is None:
            self._since = now, busy_s()
        elif now - then >= INTERVAL_S:
            after = busy_s()
            self._since = now, after
            load = [(b - a) / (now - then) for a, b in zip(before, after, strict=True)]
            for worker, share in enumerate(load):
                over = share - min(load)
                self.busy[worker] = over > (LEVEL if self.busy[worker] else BUSIER)
