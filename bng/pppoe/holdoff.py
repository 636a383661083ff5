"""Hold-off of clients with a wrong password: growing, per (port, VLANs, MAC).

Each failure doubles the time for which discovery ignores the client. It is forgotten when the
client has been quiet for the longest hold-off after its own has passed.
"""

import heapq
from dataclasses import dataclass
from typing import Final

from bng.ethernet import AccessLine, Mac
from bng.pppoe.place import client_of

MAX_CLIENTS: Final = 65_536  # the one that failed longest ago makes room


@dataclass(slots=True)
class HoldOff:
    """A client that failed *failures* times and is ignored until *until*."""

    line: AccessLine
    mac: Mac
    failures: int
    until: float
    forget_at: float


class HoldOffs:
    """Who is held off, and until when."""

    __slots__ = ("_clients", "_forget")

    def __init__(self) -> None:
        self._clients: dict[int, HoldOff] = {}  # the one that failed last is last
        self._forget: list[tuple[float, int]] = []  # heap: not later than forget_at, client

    def holds(self, client: int, now: float) -> bool:
        """Say whether *client* (`client_of`) is to be ignored."""
        entry = self._clients.get(client)
        return entry is not None and now < entry.until

    def penalize(
        self, line: AccessLine, mac: Mac, now: float, initial_s: float, maximum_s: float
    ) -> None:
        """Count a failure: hold off for *initial_s*, doubled each time up to *maximum_s*."""
        if initial_s <= 0:
            return
        client = client_of(line, mac)
        known = self._clients.pop(client, None)
        entry = known or HoldOff(line, mac, 0, now, now)
        doublings = min(entry.failures, 32)  # 2 ** 32 s is past any maximum
        entry.failures += 1
        entry.until = now + min(initial_s * 2**doublings, maximum_s)
        entry.forget_at = entry.until + maximum_s
        self._clients[client] = entry
        if known is None:
            self._admit(client, entry)

    def _admit(self, client: int, entry: HoldOff) -> None:
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        heapq.heappush(self._forget, (entry.forget_at, client))
        if len(self._forget) > 2 * MAX_CLIENTS:  # mostly clients forgiven or pushed out
            self._forget = [(known.forget_at, key) for key, known in self._clients.items()]
            heapq.heapify(self._forget)

    def forgive(self, line: AccessLine, mac: Mac) -> None:
        """Forget a client's failures: it knew its password."""
        self._clients.pop(client_of(line, mac), None)

    def clear(self, line: AccessLine | None, mac: Mac | None) -> int:
        """Forget all clients of *line* and with *mac*, None being any; return how many."""
        gone = [
            client
            for client, entry in self._clients.items()
            if (line is None or client_of(line, entry.mac) == client)
            and (mac is None or entry.mac == mac)
        ]
        for client in gone:
            del self._clients[client]
        return len(gone)

    def expire(self, now: float) -> None:
        """Forget clients that have been quiet long enough."""
        while self._forget and self._forget[0][0] <= now:
            _, client = heapq.heappop(self._forget)
            entry = self._clients.get(client)
            if entry is None:
                continue
            if entry.forget_at <= now:
                del self._clients[client]
            else:
                heapq.heappush(self._forget, (entry.forget_at, client))

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to look at."""
        return self._forget[0][0] if self._forget else None

    def entries(self) -> list[HoldOff]:
        """Return all clients whose failures are remembered."""
        return list(self._clients.values())
