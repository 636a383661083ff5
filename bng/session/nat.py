"""Choice of the public address of a session; its ports are the owner worker's business."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from bng.pool.deterministic import Deterministic


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
    ports: Deterministic | None = None
    """Who has which, with mode deterministic."""
    block_size: int = 1
    """Ports in a block of the dataplane."""


@dataclass(frozen=True, slots=True)
class NatPlace:
    """Where a session's ports are: index of the address; deterministic: *first* block, *count*."""

    address: int
    first: int = 0
    count: int = 0


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
        self._pools = {pool.name: pool for pool in pools}
        pool_of = {
            host: pool
            for pool in self._pools.values()
            for prefix in pool.addresses
            for host in prefix
        }
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

    def text(self, place: NatPlace | None) -> str:
        """Return the address as logs and bngctl show it, "" for none."""
        return "" if place is None else str(self.entries[place.address].address)

    def pin(self, address: IPv4Address) -> NatPlace | None:
        """Return the place on *address*, however full it is; None: there is no such address."""
        entry = self._by_address.get(address)
        return None if entry is None or entry.pool is None else _used(entry)

    def find(self, worker: int, pool: str | None, inner: IPv4Address) -> NatPlace | None:
        """Return a place for *inner* in *pool*, None: where there is one.

        A deterministic pool that serves *inner* comes before those with port blocks; of these,
        addresses of *worker* before others'. None: nothing there has room for it.
        """
        for candidate in self._pools.values() if pool is None else (self._pools.get(pool),):
            if candidate is not None and candidate.ports is not None:
                place = self._computed(candidate, inner)
                if place is not None:
                    return place
        return self._take(worker, pool)

    def _computed(self, pool: NatPool, inner: IPv4Address) -> NatPlace | None:
        found = None if pool.ports is None else pool.ports.range_of(inner)
        entry = None if found is None else self._by_address.get(found.address)
        if found is None or entry is None:
            return None
        count = (found.last + 1 - found.first) // pool.block_size
        return replace(_used(entry), first=found.first // pool.block_size, count=count)

    def _take(self, worker: int, pool: str | None) -> NatPlace | None:
        others = (number for number in range(self._workers) if number != worker)
        for number in (worker, *others):
            turn = self._turns.get((number, pool))
            entry = None if turn is None or turn.full else self._next(turn)
            if entry is not None:
                return _used(entry)
        return None

    def _next(self, turn: _Turn) -> NatEntry | None:
        for step in range(len(turn.members)):
            entry = turn.members[(turn.at + step) % len(turn.members)]
            if self._free_blocks(entry.index):
                turn.at += step + 1
                return entry
        turn.full = True
        return None

    def give_back(self, place: NatPlace) -> None:
        """Say that a session no longer uses the place."""
        entry = self.entries[place.address]
        entry.sessions -= 1
        for key in _keys(entry):
            self._turns[key].full = False


def _used(entry: NatEntry) -> NatPlace:
    entry.sessions += 1
    return NatPlace(entry.index)


def _keys(entry: NatEntry) -> Iterable[tuple[int, str | None]]:
    """Return the turns that an address takes part in."""
    if entry.pool is not None and entry.pool.mode is NatMode.PORT_BLOCKS:
        yield entry.owner, entry.pool.name
        yield entry.owner, None
