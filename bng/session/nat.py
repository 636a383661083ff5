"""Choice of the public address of a session; its ports are the owner worker's business."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network


class NatMode(StrEnum):
    """What subscribers get of the addresses of a pool (``enum nat_mode`` of nat44_shared.h)."""

    PORT_BLOCKS = "port-blocks"
    DETERMINISTIC = "deterministic"
    ONE_TO_ONE = "one-to-one"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatPool:
    """A ``[[nat.pool]]``."""

    name: str
    mode: NatMode
    addresses: tuple[IPv4Network, ...]


@dataclass(slots=True)
class NatEntry:
    """A public address: an entry of the dataplane's table, its owner worker, who uses it."""

    index: int
    address: IPv4Address
    owner: int
    pool: NatPool | None
    """None: the configuration has it no longer."""
    sessions: int = 0


@dataclass(slots=True)
class _Turn:
    """Addresses that are dealt out in turn."""

    members: list[NatEntry] = field(default_factory=list)
    at: int = 0
    full: bool = False


class NatAddresses:
    """The public addresses of each pool and worker, dealt out in turn.

    *addresses* are (address, owner) by index of the dataplane's table. *free_blocks* says how many
    port blocks an address index has left. Addresses that are all full are not searched again before
    a session gave one back.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[IPv4Address, int]],
        pools: Iterable[NatPool],
        workers: int,
        free_blocks: Callable[[int], int],
    ) -> None:
        pool_of = {host: pool for pool in pools for prefix in pool.addresses for host in prefix}
        self.entries = {
            index: NatEntry(index, address, owner, pool_of.get(address))
            for index, (address, owner) in enumerate(addresses)
        }
        self._workers = workers
        self._free_blocks = free_blocks
        self._by_address = {entry.address: entry for entry in self.entries.values()}
        self._turns: dict[tuple[int, str | None], _Turn] = {}
        for entry in self.entries.values():
            for key in _keys(entry):
                self._turns.setdefault(key, _Turn()).members.append(entry)

    def text(self, index: int | None) -> str:
        """Return the address as logs and bngctl show it, "" for none."""
        return "" if index is None else str(self.entries[index].address)

    def pin(self, address: IPv4Address) -> int | None:
        """Return the index of *address*, however full it is; None when there is no such address."""
        entry = self._by_address.get(address)
        if entry is None or entry.pool is None:
            return None
        entry.sessions += 1
        return entry.index

    def take(self, worker: int, pool: str | None) -> int | None:
        """Return the index of the next address with room, None when there is none.

        Of *pool*, None: of any pool with port blocks; one of *worker* before those of others.
        """
        others = (number for number in range(self._workers) if number != worker)
        for number in (worker, *others):
            turn = self._turns.get((number, pool))
            entry = None if turn is None or turn.full else self._next(turn)
            if entry is not None:
                entry.sessions += 1
                return entry.index
        return None

    def _next(self, turn: _Turn) -> NatEntry | None:
        for step in range(len(turn.members)):
            entry = turn.members[(turn.at + step) % len(turn.members)]
            if self._free_blocks(entry.index):
                turn.at += step + 1
                return entry
        turn.full = True
        return None

    def give_back(self, index: int) -> None:
        """Say that a session no longer uses the address."""
        entry = self.entries[index]
        entry.sessions -= 1
        for key in _keys(entry):
            self._turns[key].full = False


def _keys(entry: NatEntry) -> Iterable[tuple[int, str | None]]:
    """Return the turns that an address takes part in."""
    if entry.pool is not None:
        yield entry.owner, entry.pool.name
        if entry.pool.mode is NatMode.PORT_BLOCKS:
            yield entry.owner, None
