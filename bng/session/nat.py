"""The public addresses that subscribers share: which there are, and whose session gets which.

The ports of an address are its owner worker's business. Addresses come and go with the
configuration: a new one is entered in the table of its worker, then routed; one that is not wanted
any more takes no new session, and when its last one has ended it is removed, the route first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv4Network

from bng.pool.deterministic import Deterministic, PortRange

RETRY_S = 1.0


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


@dataclass(frozen=True, slots=True)
class NatPlace:
    """Where a session's ports are: index of the address; deterministic: *first* block, *count*."""

    address: int
    first: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class SetNatAddress:
    """Add an address of the dataplane's table, or remove it: *on*.

    At *worker*, which owns it; None: its route.
    """

    index: int
    address: IPv4Address
    worker: int | None
    mode: NatMode
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NatTable:
    """What the dataplane has: *addresses* are (index, address, owner, mode), *size* is their room.

    *free_blocks* says how many port blocks an address index has left.
    """

    addresses: Sequence[tuple[int, IPv4Address, int, NatMode]]
    size: int
    workers: int
    block_size: int
    free_blocks: Callable[[int], int]


class NatState(Enum):
    """What the dataplane has of an address; in between it has been told and has not answered."""

    ENTERING = "entering"
    ROUTING = "routing"
    READY = "ready"
    UNROUTING = "unrouting"
    LEAVING = "leaving"


@dataclass(slots=True)
class NatEntry:
    """A public address: an entry of the dataplane's table, its owner worker, who uses it."""

    index: int
    address: IPv4Address
    owner: int
    mode: NatMode
    pool: NatPool | None = None
    """None: the configuration has it no longer."""
    state: NatState = NatState.READY
    sessions: int = 0
    held: bool = False
    """The operator wants no new sessions on it."""

    @property
    def takes_sessions(self) -> bool:
        """Whether a session can get it now."""
        return self.state is NatState.READY and self.pool is not None and not self.held

    @property
    def shown(self) -> str:
        """The state as bngctl shows it."""
        if self.state is NatState.READY and not self.takes_sessions:
            return "draining" if self.sessions else "drained"
        return self.state.value


@dataclass(slots=True)
class _Turn:
    """Addresses that are dealt out in turn."""

    members: list[NatEntry] = field(default_factory=list)
    at: int = 0
    full: bool = False


class NatAddresses:
    """The public addresses of each pool and worker, dealt out in turn.

    Addresses that are all full are not searched again before a session gave one back. *emit* takes
    what the dataplane is to be told.
    """

    def __init__(self, table: NatTable, held: Iterable[IPv4Address] = ()) -> None:
        self.held = set(held)
        """What the operator wants no new sessions on, in a pool or not."""
        self.entries = {
            index: NatEntry(index, address, owner, mode, held=address in self.held)
            for index, address, owner, mode in table.addresses
        }
        self.size = table.size
        self.emit: Callable[[SetNatAddress], None] = lambda _: None
        self._table = table
        self._by_address = {entry.address: entry for entry in self.entries.values()}
        self._pools: dict[str, NatPool] = {}
        self._wanted: dict[IPv4Address, NatPool] = {}
        self._turns: dict[tuple[int, str | None], _Turn] = {}
        self._retries: dict[int, float] = {}
        """By index: when a removal is tried again, for something of the address was in use."""

    # ---- whose is which ----

    def text(self, place: NatPlace | None) -> str:
        """Return the address as logs and bngctl show it, "" for none."""
        return "" if place is None else str(self.entries[place.address].address)

    def address_of(self, place: NatPlace) -> IPv4Address | None:
        """Return the public address of a session, None when it is gone."""
        entry = self.entries.get(place.address)
        return None if entry is None else entry.address

    def pin(self, address: IPv4Address) -> NatPlace | None:
        """Return the place on *address*, however full it is; None: there is no such address."""
        entry = self._by_address.get(address)
        return _used(entry) if entry is not None and entry.takes_sessions else None

    def find(self, worker: int, pool: str | None, inner: IPv4Address) -> NatPlace | None:
        """Return a place for *inner* in *pool*, None: where there is one.

        A deterministic pool that serves *inner* comes before those with port blocks; of these,
        addresses of *worker* before others'. None: nothing there has room for it.
        """
        for candidate in self._pools.values() if pool is None else (self._pools.get(pool),):
            if candidate is not None and candidate.ports is not None:
                found = candidate.ports.range_of(inner)
                if found is not None:
                    return self._computed(found)
        return self._take(worker, pool)

    def _computed(self, found: PortRange) -> NatPlace | None:
        entry, size = self._by_address.get(found.address), self._table.block_size
        if entry is None or not entry.takes_sessions:
            return None
        count = (found.last + 1 - found.first) // size
        return replace(_used(entry), first=found.first // size, count=count)

    def _take(self, worker: int, pool: str | None) -> NatPlace | None:
        others = (number for number in range(self._table.workers) if number != worker)
        for number in (worker, *others):
            turn = self._turns.get((number, pool))
            entry = None if turn is None or turn.full else self._next(turn)
            if entry is not None:
                return _used(entry)
        return None

    def _next(self, turn: _Turn) -> NatEntry | None:
        for step in range(len(turn.members)):
            entry = turn.members[(turn.at + step) % len(turn.members)]
            if self._table.free_blocks(entry.index):
                turn.at += step + 1
                return entry
        turn.full = True
        return None

    def adopt(self, place: NatPlace) -> None:
        """Count a session that has been on the place since before a restart."""
        _used(self.entries[place.address])

    def give_back(self, place: NatPlace) -> None:
        """Say that a session no longer uses the place."""
        entry = self.entries[place.address]
        entry.sessions -= 1
        for key in _keys(entry):
            self._turns[key].full = False
        self._remove_unused(entry)

    # ---- which there are ----

    @property
    def waiting(self) -> int:
        """How many addresses of the configuration there is no room for yet."""
        return len(self._wanted.keys() - self._by_address.keys())

    def reconfigure(self, pools: Iterable[NatPool]) -> None:
        """Have these *pools* from now on; one-to-one pools are no business of this table."""
        shared = [pool for pool in pools if pool.mode is not NatMode.ONE_TO_ONE]
        self._pools = {pool.name: pool for pool in shared}
        self._wanted = {
            host: pool for pool in shared for prefix in pool.addresses for host in prefix
        }
        for entry in list(self.entries.values()):
            pool = self._wanted.get(entry.address)
            entry.pool = pool if pool is not None and pool.mode is entry.mode else None
            self._remove_unused(entry)
        self._add_wanted()
        self._deal()

    def hold(self, address: IPv4Address, on: bool) -> NatEntry | None:
        """Have *address* take no new sessions, or take them again, wherever it is meanwhile.

        None: it is in no pool any more. Raises: KeyError when it never was.
        """
        entry = self._by_address.get(address)
        if entry is None and address not in self.held:
            raise KeyError(address)
        (self.held.add if on else self.held.discard)(address)
        if entry is not None:
            entry.held = on
        self._deal()
        return entry

    def completed(self, index: int, status: int, now: float) -> None:
        """Take the dataplane's answer about an entry."""
        entry = self.entries.get(index)
        if entry is None:
            return
        match entry.state:
            case NatState.ENTERING if not status:
                self._go(entry, NatState.ROUTING)
            case NatState.ROUTING if not status:
                entry.state = NatState.READY
                self._remove_unused(entry)
                self._deal()
            case NatState.ENTERING:
                self._forget(entry)
            case NatState.ROUTING | NatState.UNROUTING:
                self._go(entry, NatState.LEAVING)
            case NatState.LEAVING if status:
                self._retries[index] = now + RETRY_S
            case NatState.LEAVING:
                self._forget(entry)
                self._add_wanted()

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        return min(self._retries.values(), default=None)

    def tick(self, now: float) -> None:
        """Try again what is due."""
        for index in [index for index, at in self._retries.items() if at <= now]:
            del self._retries[index]
            self._go(self.entries[index], NatState.LEAVING)

    def _remove_unused(self, entry: NatEntry) -> None:
        """Begin to remove an address that is not wanted and that no session has."""
        if entry.pool is None and not entry.sessions and entry.state is NatState.READY:
            self._go(entry, NatState.UNROUTING)

    def _add_wanted(self) -> None:
        """Begin to add what is wanted, as far as there is room."""
        free = [index for index in range(self.size) if index not in self.entries]
        missing = [address for address in self._wanted if address not in self._by_address]
        owned = Counter(entry.owner for entry in self.entries.values())
        for address, index in zip(missing, free, strict=False):
            owner = min(range(self._table.workers), key=owned.__getitem__)
            owned[owner] += 1
            pool = self._wanted[address]
            held = address in self.held
            entry = NatEntry(index, address, owner, pool.mode, pool, held=held)
            self.entries[index] = self._by_address[address] = entry
            self._go(entry, NatState.ENTERING)

    def _go(self, entry: NatEntry, state: NatState) -> None:
        """Tell the dataplane what brings the entry to the state after *state*."""
        entry.state = state
        worker = entry.owner if state in (NatState.ENTERING, NatState.LEAVING) else None
        on = state in (NatState.ENTERING, NatState.ROUTING)
        self.emit(SetNatAddress(entry.index, entry.address, worker, entry.mode, on))

    def _forget(self, entry: NatEntry) -> None:
        del self.entries[entry.index]
        del self._by_address[entry.address]

    def _deal(self) -> None:
        """Sort the addresses that take sessions into turns."""
        self._turns = {}
        for entry in self.entries.values():
            for key in _keys(entry):
                self._turns.setdefault(key, _Turn()).members.append(entry)


def _used(entry: NatEntry) -> NatPlace:
    entry.sessions += 1
    return NatPlace(entry.index)


def _keys(entry: NatEntry) -> Iterable[tuple[int, str | None]]:
    """Return the turns that an address takes part in."""
    if entry.takes_sessions and entry.pool is not None and entry.mode is NatMode.PORT_BLOCKS:
        yield entry.owner, entry.pool.name
        yield entry.owner, None
