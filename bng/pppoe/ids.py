"""PPPoE session ids: one set of 65,534 per domain (port, outer VID).

A freed id rests before it is given out again, first in first out, so that late frames of the
old session do not meet a new one. A domain without ids in use or at rest takes no memory. A restart
forgets who rests: ids then begin elsewhere, and a frame also has to come from the session's client.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Final

IDS: Final = 0xFFFE  # RFC 2516 §4, §5.1: 0x0000 and 0xFFFF are no session ids


@dataclass(slots=True)
class _Domain:
    fresh: int = 0  # how many ids the cursor has passed
    out: int = 0  # ids in use or at rest
    rested: deque[int] | None = None  # ready to be given out again
    adopted: set[int] | None = None  # occupied ahead of the cursor


class SessionIds:
    """Gives out session ids; *seed* is where every domain starts."""

    __slots__ = ("_domains", "_resting", "_seed", "_sequence")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._domains: dict[int, _Domain] = {}
        self._resting: list[tuple[float, int, int, int]] = []  # heap: until, order, domain, id
        self._sequence = 0

    def allocate(self, domain: int, now: float) -> int | None:
        """Return an id that is neither in use nor at rest, or None when there is none.

        Rested ids go first: tables indexed by the id then stay small.
        """
        self.expire(now)
        ids = self._domains.get(domain)
        if ids is None:
            ids = self._domains[domain] = _Domain()
        if ids.rested:
            ids.out += 1
            return ids.rested.popleft()
        while ids.fresh < IDS:
            session_id = (self._seed + ids.fresh) % IDS + 1
            ids.fresh += 1
            if ids.adopted is None or session_id not in ids.adopted:
                ids.out += 1
                return session_id
        return None

    def occupy(self, domain: int, session_id: int) -> None:
        """Mark an id as in use that lives since before a restart.

        Raises: ValueError when it is no id, or was given out already.
        """
        if not 1 <= session_id <= IDS:
            raise ValueError(f"{session_id} is no session id")
        ids = self._domains.setdefault(domain, _Domain())
        if ids.adopted is None:
            ids.adopted = set()
        if (session_id - 1 - self._seed) % IDS < ids.fresh or session_id in ids.adopted:
            raise ValueError(f"session id {session_id} was given out already")
        ids.adopted.add(session_id)
        ids.out += 1

    def release(self, domain: int, session_id: int, until: float) -> None:
        """Let an id that is in use rest until *until*."""
        self._sequence += 1
        heapq.heappush(self._resting, (until, self._sequence, domain, session_id))

    def expire(self, now: float) -> None:
        """Make ids ready whose rest is over."""
        resting = self._resting
        while resting and resting[0][0] <= now:
            _, _, domain, session_id = heapq.heappop(resting)
            ids = self._domains[domain]
            ids.out -= 1
            if not ids.out:
                del self._domains[domain]
                continue
            if ids.rested is None:
                ids.rested = deque()
            ids.rested.append(session_id)

    def next_deadline(self) -> float | None:
        """Return when the next rest ends."""
        return self._resting[0][0] if self._resting else None

    def resting(self) -> int:
        """Return how many ids are at rest."""
        return len(self._resting)

    def __len__(self) -> int:
        """Return how many domains hold ids in use or at rest."""
        return len(self._domains)
