"""IPv4 address pools: ranges, chaining, sticky addresses, hold-down and static addresses.

An address is in exactly one state: *fresh* (never given out, or long forgotten), *used* by one
owner, *held* (freed, and for `hold_down_s` not given to another), *sticky* (freed and remembered
for its last owner, given to others only when nothing else is left) or *ready* (freed, forgotten).
Fresh addresses take no memory, whatever the size of the pool: a cursor walks over them.

Who gets which pool, and routes for the pools, are not this module's business.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import pairwise
from typing import NamedTuple

from bng.pool.ranges import Ipv4Range, Segment, segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4PoolConfig:
    """Settings of a pool; *next_pool* serves what this one cannot.

    `sticky_s` 0 gives a returning user any address, `sticky_max` bounds how many users are
    remembered. Raises: ValueError when a value makes no sense.
    """

    ranges: tuple[Ipv4Range, ...]
    exclude: tuple[Ipv4Range, ...] = ()
    next_pool: str | None = None
    sticky_s: float = 86_400.0
    sticky_max: int = 100_000
    hold_down_s: float = 60.0

    def __post_init__(self) -> None:
        if self.sticky_s < 0 or self.hold_down_s < 0 or self.sticky_max < 0:
            raise ValueError("sticky_s, sticky_max and hold_down_s must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4PoolStats:
    """How many addresses are in which state; the last four add up to *size*."""

    size: int
    used: int
    held: int
    sticky: int
    free: int


class _Freed(NamedTuple):
    owner: str  # the last one
    released_at: float


class Ipv4Pool:
    """The addresses of one pool, as integers; which ones are in use is known to `Ipv4Pools`."""

    __slots__ = (
        "_cursor",
        "_held",
        "_ready",
        "_remembered",
        "_segment",
        "_sticky",
        "config",
        "name",
        "segments",
        "size",
        "used",
    )

    def __init__(self, name: str, config: Ipv4PoolConfig) -> None:
        self.name = name
        self.config = config
        self.segments = segments(config.ranges, config.exclude)
        self.size = sum(last - first + 1 for first, last in self.segments)
        self.used = 0
        self._segment = 0  # of the cursor, which stands before
        self._cursor = 0  # this many addresses of the segment are no longer fresh
        # All in the order of release, oldest first.
        self._held: OrderedDict[int, _Freed] = OrderedDict()
        self._sticky: OrderedDict[int, _Freed] = OrderedDict()
        self._ready: OrderedDict[int, None] = OrderedDict()
        self._remembered: OrderedDict[str, int] = OrderedDict()  # of held and sticky ones

    def remembered(self, owner: str) -> int | None:
        """Return the free address that *owner* had last."""
        return self._remembered.get(owner)

    def open_to(self, address: int, owner: str) -> bool:
        """Say whether *owner* may ask for *address*, which is not in use."""
        freed = self._held.get(address) or self._sticky.get(address)
        return freed is None or self._remembered.get(owner) == address

    def pick(self, in_use: Container[int]) -> int | None:
        """Return the best address for anybody, to be taken at once; None when there is none."""
        if self._ready:
            return next(iter(self._ready))
        while self._segment < len(self.segments):
            first, last = self.segments[self._segment]
            address = first + self._cursor
            if address > last:
                self._segment += 1
                self._cursor = 0
                continue
            self._cursor += 1
            if address not in in_use and address not in self._held and address not in self._sticky:
                return address
        return next(iter(self._sticky), None)

    def take(self, address: int) -> None:
        """Count an address as used and forget its past."""
        self.used += 1
        freed = self._held.pop(address, None) or self._sticky.pop(address, None)
        if freed is None:
            self._ready.pop(address, None)
        elif self._remembered.get(freed.owner) == address:
            del self._remembered[freed.owner]

    def give_back(self, address: int, owner: str, now: float) -> None:
        """Free an address that was used by *owner*."""
        self.used -= 1
        self.refile(address, _Freed(owner, now), remember=True)
        self.expire(now)

    def refile(self, address: int, freed: _Freed, *, remember: bool) -> None:
        """Add a freed address that is newer than all others."""
        self._held[address] = freed
        if not remember:
            return
        self._forget(freed.owner)
        self._remembered[freed.owner] = address
        if len(self._remembered) > self.config.sticky_max:
            self._forget(next(iter(self._remembered)))

    def freed(self) -> Iterator[tuple[int, _Freed, bool]]:
        """Yield the addresses with a past, and whether their owner is remembered."""
        for table in (self._held, self._sticky):
            for address, freed in table.items():
                yield address, freed, self._remembered.get(freed.owner) == address

    def expire(self, now: float) -> None:
        """End hold-downs and forget owners whose time has come."""
        while self._remembered:
            owner, address = next(iter(self._remembered.items()))
            if self._released_at(address) + self.config.sticky_s > now:
                break
            self._forget(owner)
        while self._held:
            address, freed = next(iter(self._held.items()))
            if freed.released_at + self.config.hold_down_s > now:
                break
            del self._held[address]
            if self._remembered.get(freed.owner) == address:
                self._sticky[address] = freed
            else:
                self._ready[address] = None
        if not self.used and not self._held and not self._sticky:
            self._ready.clear()  # all fresh again
            self._segment = self._cursor = 0

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        deadlines = []
        if self._held:
            deadlines.append(next(iter(self._held.values())).released_at + self.config.hold_down_s)
        if self._remembered:
            address = next(iter(self._remembered.values()))
            deadlines.append(self._released_at(address) + self.config.sticky_s)
        return min(deadlines, default=None)

    def stats(self) -> Ipv4PoolStats:
        """Return the gauges, as of the last event or `expire`."""
        held, sticky = len(self._held), len(self._sticky)
        free = self.size - self.used - held - sticky
        return Ipv4PoolStats(size=self.size, used=self.used, held=held, sticky=sticky, free=free)

    def _released_at(self, address: int) -> float:
        return (self._held.get(address) or self._sticky[address]).released_at

    def _forget(self, owner: str) -> None:
        address = self._remembered.pop(owner, None)
        if address is not None and self._sticky.pop(address, None) is not None:
            self._ready[address] = None


class Ipv4Pools:
    """All pools, and all addresses in use, in a pool or not: none ever has two owners."""

    def __init__(self, configs: Mapping[str, Ipv4PoolConfig]) -> None:
        """Take the pools by name. Raises: ValueError as `reconfigure` does."""
        self._owners: dict[int, str] = {}
        self._pools: dict[str, Ipv4Pool] = {}
        self._segments: list[tuple[Segment, Ipv4Pool]] = []  # of all pools, ascending
        self._starts: list[int] = []
        self.reconfigure(configs, 0.0)

    def __contains__(self, name: str) -> bool:
        """Say whether there is a pool *name*."""
        return name in self._pools

    def allocate(
        self, pool_name: str, owner_key: str, now: float, prefer: IPv4Address | None = None
    ) -> IPv4Address | None:
        """Give *owner_key* an address of the pool or of those chained behind it.

        In this order: *prefer* when it is free and nobody else's, the address that the owner
        had last, any other. None when all are taken or there is no such pool.
        """
        chain = list(self._chain(pool_name))
        for pool in chain:
            pool.expire(now)
        wanted = None if prefer is None else int(prefer)
        if wanted is not None and wanted not in self._owners:
            home = self._pool_of(wanted)
            if home in chain and home is not None and home.open_to(wanted, owner_key):
                return self._take(home, wanted, owner_key)
        for pool in chain:
            last = pool.remembered(owner_key)
            if last is not None:
                return self._take(pool, last, owner_key)
        for pool in chain:
            address = pool.pick(self._owners)
            if address is not None:
                return self._take(pool, address, owner_key)
        return None

    def claim(self, address: IPv4Address, owner_key: str, now: float) -> str | None:
        """Give *owner_key* exactly this address, in a pool or not, also one in hold-down.

        Returns the owner that holds it already, which may be *owner_key* itself with an older
        session; None when the claim is granted.
        """
        number = int(address)
        holder = self._owners.get(number)
        if holder is None:
            pool = self._pool_of(number)
            if pool is not None:
                pool.expire(now)
            self._take(pool, number, owner_key)
        return holder

    def adopt(self, address: IPv4Address, owner_key: str) -> None:
        """Take over an address in use since before a restart.

        Raises: ValueError when it has an owner.
        """
        number = int(address)
        if number in self._owners:
            raise ValueError(f"{address} of {owner_key} is in use by {self._owners[number]}")
        self._take(self._pool_of(number), number, owner_key)

    def release(self, address: IPv4Address, now: float) -> str | None:
        """Free an address; returns its owner, None when it was not in use."""
        number = int(address)
        owner = self._owners.pop(number, None)
        pool = self._pool_of(number)
        if owner is not None and pool is not None:
            pool.give_back(number, owner, now)
        return owner

    def pool_of(self, address: IPv4Address) -> str | None:
        """Return the name of the pool that *address* belongs to, None when it is in none."""
        pool = self._pool_of(int(address))
        return None if pool is None else pool.name

    def owner(self, address: IPv4Address) -> str | None:
        """Return who uses *address*."""
        return self._owners.get(int(address))

    def expire(self, now: float) -> None:
        """End hold-downs and forget sticky addresses whose time has come."""
        for pool in self._pools.values():
            pool.expire(now)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        deadlines = (pool.next_deadline() for pool in self._pools.values())
        return min((at for at in deadlines if at is not None), default=None)

    def reconfigure(self, configs: Mapping[str, Ipv4PoolConfig], now: float) -> None:
        """Take new pools; addresses in use outside of them stay until they are released.

        Hold-downs and sticky addresses are kept, also from one pool to another.

        Raises: ValueError when pools overlap, or a chain has a loop or an unknown pool; then
        nothing has changed.
        """
        pools = {name: Ipv4Pool(name, config) for name, config in configs.items()}
        _check_chains(configs)
        placed = sorted(
            ((segment, pool) for pool in pools.values() for segment in pool.segments),
            key=lambda item: item[0],
        )
        for ((_, last), one), ((first, _), other) in pairwise(placed):
            if first <= last:
                raise ValueError(f"pools {one.name} and {other.name} overlap")
        freed = [item for pool in self._pools.values() for item in pool.freed()]
        self._pools, self._segments = pools, placed
        self._starts = [first for (first, _), _ in placed]
        for address in self._owners:
            pool = self._pool_of(address)
            if pool is not None:
                pool.used += 1
        for address, past, remember in sorted(freed, key=lambda item: item[1].released_at):
            pool = self._pool_of(address)
            if pool is not None:
                pool.refile(address, past, remember=remember)
        self.expire(now)

    def stats(self) -> dict[str, Ipv4PoolStats]:
        """Return the gauges of all pools, as of the last event or `expire`."""
        return {name: pool.stats() for name, pool in self._pools.items()}

    def used_outside(self) -> int:
        """Return how many addresses are in use that are in no pool."""
        return len(self._owners) - sum(pool.used for pool in self._pools.values())

    def _take(self, pool: Ipv4Pool | None, address: int, owner: str) -> IPv4Address:
        if pool is not None:
            pool.take(address)
        self._owners[address] = owner
        return IPv4Address(address)

    def _pool_of(self, address: int) -> Ipv4Pool | None:
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        (_, last), pool = self._segments[at]
        return pool if address <= last else None

    def _chain(self, name: str | None) -> Iterator[Ipv4Pool]:
        while name is not None and name in self._pools:
            pool = self._pools[name]
            yield pool
            name = pool.config.next_pool


def _check_chains(configs: Mapping[str, Ipv4PoolConfig]) -> None:
    for start in configs:
        seen = {start}
        name = configs[start].next_pool
        while name is not None:
            if name not in configs:
                raise ValueError(f"pool {start} is chained to {name}, which does not exist")
            if name in seen:
                raise ValueError(f"the chain of pool {start} has a loop at {name}")
            seen.add(name)
            name = configs[name].next_pool
