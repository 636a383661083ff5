"""Admission that follows what can be served: PADOs leave at the pace of session set-up.

After a power cut every client asks at once. A client that got its PADO too early would wait for
LCP in vain and begin again; so what exceeds the pace waits here, and a client that asks again keeps
its place. VLANs take turns, so that one of them, however loud, costs the others nothing but its
turn. Bounded: in number, by VLAN, and in time.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bng.ethernet import AccessLine, Mac
from bng.pppoe.packet import Request
from bng.pppoe.table import Port

MAX_WAITING: Final = 65_536
MAX_WAIT_S: Final = 30.0  # pppd gives up after 5 + 10 + 20 s
BURST_S: Final = 0.1  # so much of the pace may be used at once after a quiet time


@dataclass(slots=True)
class Waiting:
    """A PADI that will be answered."""

    port: Port
    client: int
    line: AccessLine
    src: Mac
    request: Request
    arrived_at: float


class Admission:
    """PADIs by client; one queue for each VLAN, the VLANs in rotation."""

    __slots__ = ("_by_client", "_next", "_queues", "_turns")

    def __init__(self, now: float) -> None:
        self._next = now - BURST_S
        self._by_client: dict[int, Waiting] = {}
        self._queues: dict[int, deque[int]] = {}
        self._turns: deque[int] = deque()  # VLANs that have somebody waiting

    def __len__(self) -> int:
        return len(self._by_client)

    def offer(self, vlan: int, padi: Waiting) -> bool:
        """Let *padi* wait for its turn; False when there is no room for it.

        A VLAN may fill half of the room that is left, so no VLAN can take it all.
        """
        if padi.client in self._by_client:  # asks again, perhaps with another Host-Uniq
            padi.arrived_at = self._by_client[padi.client].arrived_at
            self._by_client[padi.client] = padi
            return True
        queue = self._queues.get(vlan)
        if queue is None:
            if len(self._by_client) >= MAX_WAITING:
                return False
            queue = self._queues[vlan] = deque()
            self._turns.append(vlan)
        elif len(queue) * 2 >= MAX_WAITING - (len(self._by_client) - len(queue)):
            return False
        queue.append(padi.client)
        self._by_client[padi.client] = padi
        return True

    def due(self, per_s: int, now: float) -> Iterator[Waiting]:
        """Take out the PADIs whose time has come, at most *per_s* a second."""
        self._next = max(self._next, now - BURST_S)
        while self._turns and self._next <= now:
            padi = self._take()
            if now - padi.arrived_at <= MAX_WAIT_S:
                self._next += 1 / per_s
                yield padi

    def next_deadline(self) -> float | None:
        """Return when `due` will have something."""
        return self._next if self._turns else None

    def _take(self) -> Waiting:
        vlan = self._turns.popleft()
        queue = self._queues[vlan]
        client = queue.popleft()
        if queue:
            self._turns.append(vlan)
        else:
            del self._queues[vlan]
        return self._by_client.pop(client)
