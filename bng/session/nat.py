"""Choice of the public address of a session; its ports are the owner worker's business."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address


class NatAddresses:
    """The public addresses of each worker, dealt out in turn; *addresses* are (address, owner).

    *free_blocks* says how many port blocks an address index has left. A worker whose addresses are
    all full is not searched again before a session gave one back.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[IPv4Address, int]],
        workers: int,
        free_blocks: Callable[[int], int],
    ) -> None:
        self.addresses = addresses
        self.sessions = [0] * len(addresses)
        self._free_blocks = free_blocks
        self._of_worker: list[list[int]] = [
            [i for i, (_, owner) in enumerate(addresses) if owner == w] for w in range(workers)
        ]
        self._turn = [0] * workers
        self._full = [not mine for mine in self._of_worker]

    def text(self, index: int | None) -> str:
        """Return the address as logs and bngctl show it, "" for none."""
        return "" if index is None else str(self.addresses[index][0])

    def take(self, worker: int) -> int | None:
        """Return the index of the next address of *worker* that has room, None when none has."""
        if self._full[worker]:
            return None
        mine = self._of_worker[worker]
        for step in range(len(mine)):
            index = mine[(self._turn[worker] + step) % len(mine)]
            if self._free_blocks(index):
                self._turn[worker] += step + 1
                self.sessions[index] += 1
                return index
        self._full[worker] = True
        return None

    def give_back(self, index: int) -> None:
        """Say that a session no longer uses the address."""
        self.sessions[index] -= 1
        self._full[self.addresses[index][1]] = False
