"""One RADIUS server as the client sees it: alive or dead, its identifiers, its statistics."""

from collections import Counter, deque
from dataclasses import dataclass, field

from radius.settings import Server

IDENTIFIERS = 256
"""Of one source port (RFC 2865 §3)."""
SAMPLES = 1024


@dataclass(slots=True)
class ServerState:
    """A server's state. *sent_at* and *heard_at*: None before the first packet."""

    settings: Server
    dead_until: float | None = None
    """None: alive. A dead server is asked again from then on, or when a probe is answered."""
    heard_at: float | None = None
    probe_at: float | None = None
    probed_at: float | None = None
    credit: int = 0
    """Of the smooth weighted round robin."""
    counters: Counter[str] = field(default_factory=Counter)
    outstanding: int = 0
    _free: deque[tuple[int, int]] = field(default_factory=deque)
    patience_s: float = 0.0
    """How long answers may well take: smoothed answer time and four deviations (RFC 6298 §2), a
    quarter at least: the jitter of our waits is more than that of a server which is always late."""
    _smoothed_s: float | None = None
    _deviation_s: float = 0.0
    _sockets: int = 0
    _answer_s: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def alive(self, now: float) -> bool:
        """Say whether requests go to it."""
        return self.dead_until is None or self.dead_until <= now

    @property
    def full(self) -> bool:
        """Whether it has as many requests under way as it may."""
        return self.outstanding >= self.settings.max_outstanding

    def take_identifier(self) -> tuple[int, int]:
        """Return (source port number, identifier), the one that rested longest.

        One more source port is opened when all are in use, so a late answer to an old request finds
        its identifier given away as seldom as can be.
        """
        if not self._free:
            self._free.extend((self._sockets, i) for i in range(IDENTIFIERS))
            self._sockets += 1
        self.outstanding += 1
        return self._free.popleft()

    def free_identifier(self, place: tuple[int, int]) -> None:
        """Give back what `take_identifier` gave."""
        self.outstanding -= 1
        self._free.append(place)

    def answered(self, after_s: float, now: float) -> None:
        """Count an answer that came *after_s*."""
        self.heard_at = now
        self.dead_until = None
        self._answer_s.append(after_s)
        if self._smoothed_s is None:
            self._smoothed_s, self._deviation_s = after_s, after_s / 2
        else:
            error = after_s - self._smoothed_s
            self._smoothed_s += error / 8
            self._deviation_s += (abs(error) - self._deviation_s) / 4
        self.patience_s = self._smoothed_s + max(self._smoothed_s / 4, 4 * self._deviation_s)

    def answer_s(self, share: float) -> float | None:
        """Return the answer time that *share* of the last 1,024 were within, None without any."""
        if not self._answer_s:
            return None
        ordered = sorted(self._answer_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
