"""Choice of the public address of a session; its ports are the owner worker's business."""

from collections.abc import Sequence
from ipaddress import IPv4Address


class NatAddresses:
    """The public addresses of each worker, dealt out in turn; *addresses* are (address, owner)."""

    def __init__(self, addresses: Sequence[tuple[IPv4Address, int]], workers: int) -> None:
        self.addresses = addresses
        self.sessions = [0] * len(addresses)
        self._of_worker: list[list[int]] = [
            [i for i, (_, owner) in enumerate(addresses) if owner == w] for w in range(workers)
        ]
        self._turn = [0] * workers

    def of_worker(self, worker: int) -> int:
        """Return how many addresses *worker* owns: as many are worth trying."""
        return len(self._of_worker[worker])

    def take(self, worker: int) -> int | None:
        """Return the index of the next address of *worker*, None when it has none."""
        mine = self._of_worker[worker]
        if not mine:
            return None
        index = mine[self._turn[worker] % len(mine)]
        self._turn[worker] += 1
        self.sessions[index] += 1
        return index

    def give_back(self, index: int) -> None:
        """Say that a session no longer uses the address."""
        self.sessions[index] -= 1
