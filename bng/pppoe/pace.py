"""Admission that follows what can be served: PADOs leave at the pace of session set-up.

After a power cut every client asks at once. A client that got its PADO too early would wait for
LCP in vain and begin again; so PADOs are spread, and a PADI that would wait longer than its sender
does is dropped: the sender asks again.
"""

from typing import Final

MAX_WAIT_S: Final = 4.0  # pppd sends its next PADI after 5 s
BURST_S: Final = 0.1  # so much of the pace may be used at once after a quiet time


class Pace:
    """Deals out the instants at which PADOs may leave."""

    __slots__ = ("_next",)

    def __init__(self, now: float) -> None:
        self._next = now - BURST_S

    def slot(self, per_s: int, now: float) -> float | None:
        """Return when the next PADO may leave, not before *now*; None when that is too late."""
        at = max(self._next, now - BURST_S)
        if at - now > MAX_WAIT_S:
            return None
        self._next = at + 1 / per_s
        return max(at, now)
