"""What pools of addresses and pools of prefixes have in common: items that are kept by number.

An item is a block of addresses, known by its first one: a single IPv4 address, or an IPv6 prefix.
All items of a pool have the same size. An item is in exactly one state: *fresh* (never given out,
or long forgotten), *used* by one owner, *held* (freed, and for `hold_down_s` not given to another),
*sticky* (freed and remembered for its last owner, given to others only when nothing else is left)
or *ready* (freed, forgotten). Fresh items take no memory, whatever the size of the pool: a cursor
walks over them.

Who gets which pool, and routes for the pools, are not this module's business.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

from bng.pool.ranges import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Settings of any pool; *next_pool* serves what this one cannot.

    `sticky_s` 0 gives a returning user any item, `sticky_max` bounds how many users are
    remembered. Raises: ValueError when a value makes no sense.
    """

    next_pool: str | None = None
    sticky_s: float = 86_400.0
    sticky_max: int = 100_000
    hold_down_s: float = 60.0

    def __post_init__(self) -> None:
        if self.sticky_s < 0 or self.hold_down_s < 0 or self.sticky_max < 0:
            raise ValueError("sticky_s, sticky_max and hold_down_s must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """How many items are in which state; the last four add up to *size*."""

    size: int
    used: int
    held: int
    sticky: int
    free: int


class Freed(NamedTuple):
    """The past of an item that is held or sticky."""

    owner: str  # the last one
    released_at: float


class Past(NamedTuple):
    """What is remembered of an item of *size* addresses; *freed* None: nothing."""

    item: int
    size: int
    freed: Freed | None
    remembered: bool = False
    """It waits for its last owner."""


Occupied = Callable[[int], int | None]
"""Says of an item where what is in use there ends (its last address), None when nothing is."""


class Pool:
    """The items of one pool, as integers; which ones are in use is known to `Pools`.

    *segments* are the addresses, ascending and disjoint, each of a multiple of *item_size*.
    """

    __slots__ = (
        "_cursor",
        "_held",
        "_ready",
        "_remembered",
        "_segment",
        "_sticky",
        "config",
        "item_size",
        "name",
        "segments",
        "size",
        "touched",
        "used",
    )

    def __init__(
        self, name: str, config: PoolConfig, segments: list[Segment], item_size: int = 1
    ) -> None:
        self.name = name
        self.config = config
        self.segments = segments
        self.item_size = item_size
        self.size = sum(last - first + 1 for first, last in segments) // item_size
        self.used = 0
        self._segment = 0  # of the cursor, which stands before
        self._cursor = 0  # this many addresses of the segment are no longer fresh
        # All in the order of release, oldest first.
        self._held: OrderedDict[int, Freed] = OrderedDict()
        self._sticky: OrderedDict[int, Freed] = OrderedDict()
        self._ready: OrderedDict[int, None] = OrderedDict()
        self._remembered: OrderedDict[str, int] = OrderedDict()  # of held and sticky ones
        self.touched: set[int] = set()  # items whose past is another than it was

    def remembered(self, owner: str) -> int | None:
        """Return the free item that *owner* had last."""
        return self._remembered.get(owner)

    def open_to(self, item: int, owner: str) -> bool:
        """Say whether *owner* may ask for *item*, which is not in use."""
        freed = self._held.get(item) or self._sticky.get(item)
        return freed is None or self._remembered.get(owner) == item

    def pick(self, occupied: Occupied) -> int | None:
        """Return the best item for anybody, to be taken at once; None when there is none."""
        for item in self._ready:
            if occupied(item) is None:
                return item
        while self._segment < len(self.segments):
            first, last = self.segments[self._segment]
            item = first + self._cursor
            if item > last:
                self._segment += 1
                self._cursor = 0
                continue
            end = occupied(item)
            passed = 1 if end is None else -(-(end + 1 - item) // self.item_size)
            self._cursor += passed * self.item_size
            if end is None and item not in self._held and item not in self._sticky:
                return item
        return next((item for item in self._sticky if occupied(item) is None), None)

    def rewind(self, item: int) -> None:
        """Look again at everything from *item* on: something else that was there is gone."""
        for number, (first, last) in enumerate(self.segments[: self._segment + 1]):
            if item <= last:
                at = max(0, item - first) // self.item_size * self.item_size
                self._segment, self._cursor = min((self._segment, self._cursor), (number, at))
                return

    def take(self, item: int) -> None:
        """Count an item as used and forget its past."""
        self.used += 1
        freed = self._held.pop(item, None) or self._sticky.pop(item, None)
        if freed is None:
            self._ready.pop(item, None)
            return
        self.touched.add(item)
        if self._remembered.get(freed.owner) == item:
            del self._remembered[freed.owner]

    def give_back(self, item: int, owner: str, now: float, *, remember: bool = True) -> None:
        """Free an item that was used by *owner*."""
        self.used -= 1
        self.refile(item, Freed(owner, now), remember=remember)
        self.expire(now)

    def refile(self, item: int, freed: Freed, *, remember: bool) -> None:
        """Add a freed item that is newer than all others."""
        self._held[item] = freed
        self.touched.add(item)
        if not remember:
            return
        self._forget(freed.owner)
        self._remembered[freed.owner] = item
        if len(self._remembered) > self.config.sticky_max:
            self._forget(next(iter(self._remembered)))

    def freed(self) -> Iterator[tuple[int, Freed, bool]]:
        """Yield the items with a past, and whether their owner is remembered."""
        for table in (self._held, self._sticky):
            for item, freed in table.items():
                yield item, freed, self._remembered.get(freed.owner) == item

    def changes(self) -> Iterator[Past]:
        """Yield the items whose past is another than when this was asked last."""
        while self.touched:
            item = self.touched.pop()
            freed = self._held.get(item) or self._sticky.get(item)
            remembered = freed is not None and self._remembered.get(freed.owner) == item
            yield Past(item, self.item_size, freed, remembered)

    def expire(self, now: float) -> None:
        """End hold-downs and forget owners whose time has come."""
        while self._remembered:
            owner, item = next(iter(self._remembered.items()))
            if self._released_at(item) + self.config.sticky_s > now:
                break
            self._forget(owner)
        while self._held:
            item, freed = next(iter(self._held.items()))
            if freed.released_at + self.config.hold_down_s > now:
                break
            del self._held[item]
            if self._remembered.get(freed.owner) == item:
                self._sticky[item] = freed
            else:
                self._ready[item] = None
                self.touched.add(item)
        if not self.used and not self._held and not self._sticky:
            self._ready.clear()  # all fresh again
            self._segment = self._cursor = 0

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        deadlines = []
        if self._held:
            deadlines.append(next(iter(self._held.values())).released_at + self.config.hold_down_s)
        if self._remembered:
            item = next(iter(self._remembered.values()))
            deadlines.append(self._released_at(item) + self.config.sticky_s)
        return min(deadlines, default=None)

    def stats(self) -> PoolStats:
        """Return the gauges, as of the last event or `expire`."""
        held, sticky = len(self._held), len(self._sticky)
        free = self.size - self.used - held - sticky
        return PoolStats(size=self.size, used=self.used, held=held, sticky=sticky, free=free)

    def _released_at(self, item: int) -> float:
        return (self._held.get(item) or self._sticky[item]).released_at

    def _forget(self, owner: str) -> None:
        item = self._remembered.pop(owner, None)
        if item is None:
            return
        self.touched.add(item)
        if self._sticky.pop(item, None) is not None:
            self._ready[item] = None


C = TypeVar("C", bound=PoolConfig)


class Pools(ABC, Generic[C]):
    """All pools, and all that is in use, in a pool or not: nothing ever has two owners.

    This part knows first addresses and sizes; a subclass says what they are outside.
    """

    def __init__(self, configs: Mapping[str, C]) -> None:
        """Take the pools by name. Raises: ValueError as `reconfigure` does."""
        self._owners: dict[int, str] = {}  # by first address
        self._pools: dict[str, Pool] = {}
        self._segments: list[tuple[Segment, Pool]] = []  # of all pools, ascending
        self._starts: list[int] = []
        self.reconfigure(configs, 0.0)

    def __contains__(self, name: str) -> bool:
        """Say whether there is a pool *name*."""
        return name in self._pools

    def expire(self, now: float) -> None:
        """End hold-downs and forget sticky items whose time has come."""
        for pool in self._pools.values():
            pool.expire(now)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        deadlines = (pool.next_deadline() for pool in self._pools.values())
        return min((at for at in deadlines if at is not None), default=None)

    def reconfigure(self, configs: Mapping[str, C], now: float) -> None:
        """Take new pools; what is in use outside of them stays until it is released.

        Hold-downs and sticky items are kept, also from one pool to another.

        Raises: ValueError when pools overlap, or a chain has a loop or an unknown pool; then
        nothing has changed.
        """
        pools = {name: self._build(name, config) for name, config in configs.items()}
        _check_chains(configs)
        placed = sorted(
            ((segment, pool) for pool in pools.values() for segment in pool.segments),
            key=lambda item: item[0],
        )
        for ((_, last), one), ((first, _), other) in pairwise(placed):
            if first <= last:
                raise ValueError(f"pools {one.name} and {other.name} overlap")
        freed = [(*past, p.item_size) for p in self._pools.values() for past in p.freed()]
        self._pools, self._segments = pools, placed
        self._starts = [first for (first, _), _ in placed]
        for item in self._owners:
            pool = self._home(item, self._size(item))
            if pool is not None:
                pool.used += 1
        for item, past, remember, size in sorted(freed, key=lambda entry: entry[1].released_at):
            pool = self._home(item, size)
            if pool is not None:
                pool.refile(item, past, remember=remember)
        self.expire(now)

    def changes(self) -> Iterator[Past]:
        """Yield what has another past than when this was asked last; for `restore`."""
        for pool in self._pools.values():
            yield from pool.changes()

    def restore(self, pasts: Iterable[Past], now: float) -> None:
        """Remember *pasts* of before a restart, unless they are in use by now, or in no pool.

        Those that are remembered are among the `changes`.
        """
        known = [(past.freed, past) for past in pasts if past.freed is not None]
        for freed, past in sorted(known, key=lambda each: each[0].released_at):
            pool = self._home(past.item, past.size)
            if pool is not None and self._occupied(past.item, past.size) is None:
                pool.refile(past.item, freed, remember=past.remembered)
        self.expire(now)

    def stats(self) -> dict[str, PoolStats]:
        """Return the gauges of all pools, as of the last event or `expire`."""
        return {name: pool.stats() for name, pool in self._pools.items()}

    def used_outside(self) -> int:
        """Return how much is in use that is no item of a pool."""
        return len(self._owners) - sum(pool.used for pool in self._pools.values())

    # -- what a subclass says

    @abstractmethod
    def _build(self, name: str, config: C) -> Pool:
        """Make a pool."""

    @abstractmethod
    def _size(self, item: int) -> int:
        """Return how many addresses *item* has, which is in use."""

    @abstractmethod
    def _occupied(self, item: int, size: int) -> int | None:
        """Return the first address of what is in use among these, None when nothing is."""

    def _enter(self, item: int, size: int, owner: str) -> None:
        self._owners[item] = owner

    def _leave(self, item: int) -> str:
        return self._owners.pop(item)

    # -- what a subclass uses

    def _is_of(self, item: int, size: int, pool_name: str | None) -> bool:
        """Say whether there is such an item in a pool or in its chain; None: in any pool."""
        home = self._home(item, size)
        if home is None or pool_name is None:
            return home is not None
        return any(pool is home for pool in self._chain(pool_name))

    def _allocate(
        self,
        pool_name: str,
        owner: str,
        now: float,
        prefer: tuple[int, int] | None,
        size: int | None,
    ) -> tuple[int, int] | None:
        """Return item and size; *prefer* is both, pools of items of *size* come first."""
        chain = sorted(self._chain(pool_name), key=lambda pool: pool.item_size != (size or 0))
        for pool in chain:
            pool.expire(now)
        if prefer is not None and self._occupied(*prefer) is None:
            home = self._home(*prefer)
            if home in chain and home is not None and home.open_to(prefer[0], owner):
                return self._take(home, *prefer, owner)
        for pool in chain:
            last = pool.remembered(owner)
            if last is not None and self._occupied(last, pool.item_size) is None:
                return self._take(pool, last, pool.item_size, owner)
        for pool in chain:
            item = pool.pick(self._end_of(pool.item_size))
            if item is not None:
                return self._take(pool, item, pool.item_size, owner)
        return None

    def _claim(self, item: int, size: int, owner: str, now: float) -> str | None:
        """Take exactly this, unless some of it is in use: then return whose."""
        holder = self._occupied(item, size)
        if holder is not None:
            return self._owners[holder]
        pool = self._home(item, size)
        if pool is not None:
            pool.expire(now)
        self._take(pool, item, size, owner)
        return None

    def _release(self, item: int, size: int, now: float, *, remember: bool) -> str | None:
        if item not in self._owners or self._size(item) != size:
            return None
        owner = self._leave(item)
        pool = self._home(item, size)
        if pool is not None:
            pool.give_back(item, owner, now, remember=remember)
        else:
            self._vacated(item, size)
        return owner

    def _home(self, item: int, size: int) -> Pool | None:
        """Return the pool that *item* is an item of."""
        at = bisect_right(self._starts, item) - 1
        if at < 0:
            return None
        (first, last), pool = self._segments[at]
        inside = item <= last and size == pool.item_size and not (item - first) % size
        return pool if inside else None

    def _chain(self, name: str | None) -> Iterator[Pool]:
        while name is not None and name in self._pools:
            pool = self._pools[name]
            yield pool
            name = pool.config.next_pool

    def _take(self, pool: Pool | None, item: int, size: int, owner: str) -> tuple[int, int]:
        if pool is not None:
            pool.take(item)
        self._enter(item, size, owner)
        return item, size

    def _end_of(self, size: int) -> Occupied:
        def end(item: int) -> int | None:
            found = self._occupied(item, size)
            return None if found is None else found + self._size(found) - 1

        return end

    def _vacated(self, item: int, size: int) -> None:
        """Let pools look again at what was in use without being one of their items."""
        at = max(0, bisect_right(self._starts, item) - 1)
        for (first, last), pool in self._segments[at:]:
            if first >= item + size:
                break
            if last >= item:
                pool.rewind(max(first, item))


def _check_chains(configs: Mapping[str, PoolConfig]) -> None:
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
