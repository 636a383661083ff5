"""Pools of IPv6 prefixes, for links and for delegation, and of addresses, which are /128.

How prefixes are kept is `bng.pool.core`'s business. Those of different lengths live side by side,
also where a static prefix lies across the prefixes of a pool: no two that are in use ever overlap.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final

from bng.pool.core import Pool, PoolConfig, Pools
from bng.pool.ranges import Segment, subtract

_BITS = 128
DECLINED: Final = "(declined)"
"""The owner of an address that somebody uses who does not have it of us."""
DECLINED_S: Final = 86_400.0
MAX_DECLINED: Final = 1024
"""More, and the oldest may be given again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6PoolConfig(PoolConfig):
    """Settings of a pool: prefixes of *length* out of *prefixes*, but none that touches *exclude*.

    A *length* of 128 makes it a pool of addresses; the first of a prefix is that of all routers
    there (RFC 4291 §2.6.1), and nobody's.
    """

    prefixes: tuple[IPv6Network, ...]
    length: int
    exclude: tuple[IPv6Network, ...] = ()

    def __post_init__(self) -> None:
        PoolConfig.__post_init__(self)
        for prefix in self.prefixes:
            if not prefix.prefixlen <= self.length <= _BITS:
                raise ValueError(f"{prefix} has no prefixes of length {self.length}")


class Ipv6Pools(Pools[Ipv6PoolConfig]):
    """All pools, and all prefixes in use, in a pool or not: none ever overlaps another."""

    def __init__(self, configs: Mapping[str, Ipv6PoolConfig]) -> None:
        """Take the pools by name. Raises: ValueError as `reconfigure` does."""
        self._used: list[int] = []  # first addresses, ascending
        self._sizes: dict[int, int] = {}
        self._declined: OrderedDict[int, float] = OrderedDict()  # until when, oldest first
        super().__init__(configs)

    def allocate(
        self,
        pool_name: str,
        owner_key: str,
        now: float,
        prefer: IPv6Network | None = None,
        length: int | None = None,
    ) -> IPv6Network | None:
        """Give *owner_key* a prefix of the pool or of those chained behind it.

        In this order: *prefer* when it is free and nobody else's, the prefix that the owner had
        last, one of a pool of *length*, any other, one that was declined. None when all are taken
        or there is no such pool.
        """
        wanted = None if prefer is None else _item(prefer)
        size = None if length is None else 1 << (_BITS - length)
        given = self._allocate(pool_name, owner_key, now, wanted, size)
        if given is None and self._declined:
            given = self._of_the_declined(pool_name, owner_key)
        return None if given is None else _network(*given)

    def claim(self, prefix: IPv6Network, owner_key: str, now: float) -> str | None:
        """Give *owner_key* exactly this prefix, in a pool or not, also one in hold-down.

        Returns who holds some of it already, which may be *owner_key* itself with an older
        session; None when the claim is granted.
        """
        item, size = _item(prefix)
        if item in self._declined and self._sizes[item] == size:
            self._end_decline(item, now)
        return self._claim(item, size, owner_key, now)

    def adopt(self, prefix: IPv6Network, owner_key: str) -> None:
        """Take over a prefix in use since before a restart.

        Raises: ValueError when some of it has an owner.
        """
        item, size = _item(prefix)
        holder = self._occupied(item, size)
        if holder is not None:
            raise ValueError(f"{prefix} of {owner_key} is in use by {self._owners[holder]}")
        self._take(self._home(item, size), item, size, owner_key)

    def release(self, prefix: IPv6Network, now: float, *, remember: bool = True) -> str | None:
        """Free a prefix; returns its owner, None when it was not in use.

        Without *remember*, its owner gets another one next time, as after a Decline.
        """
        return self._release(*_item(prefix), now, remember=remember)

    def decline(self, prefix: IPv6Network, now: float) -> None:
        """Keep what is in use, and somebody else uses, from all for a day (RFC 8415 §18.3.8).

        It is given sooner where there is nothing else, and to who claims it.
        """
        item, size = _item(prefix)
        if item not in self._owners or self._sizes[item] != size:
            return
        self._owners[item] = DECLINED
        self._declined[item] = now + DECLINED_S
        if len(self._declined) > MAX_DECLINED:
            self._end_decline(next(iter(self._declined)), now)

    def expire(self, now: float) -> None:
        """End hold-downs, forget sticky items and Declines whose time has come."""
        while self._declined and next(iter(self._declined.values())) <= now:
            self._end_decline(next(iter(self._declined)), now)
        super().expire(now)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        at = super().next_deadline()
        first = next(iter(self._declined.values()), None)
        return first if at is None else at if first is None else min(at, first)

    def owner(self, prefix: IPv6Network) -> str | None:
        """Return who uses *prefix*, or one that it is part of, or the first of its parts."""
        found = self._occupied(*_item(prefix))
        return None if found is None else self._owners[found]

    def remembered(self, pool_name: str, owner_key: str) -> IPv6Network | None:
        """Return the free prefix that the owner had last, of this pool or of its chain."""
        for pool in self._chain(pool_name):
            item = pool.remembered(owner_key)
            if item is not None:
                return _network(item, pool.item_size)
        return None

    def is_of(self, prefix: IPv6Network, pool_name: str | None) -> bool:
        """Say whether *prefix* belongs to a pool or to those chained behind it; None: to any."""
        return self._is_of(*_item(prefix), pool_name)

    def pool_of(self, prefix: IPv6Network) -> str | None:
        """Return the name of the pool that *prefix* belongs to, None when it is in none."""
        pool = self._home(*_item(prefix))
        return None if pool is None else pool.name

    def _end_decline(self, item: int, now: float) -> None:
        del self._declined[item]
        self._release(item, self._sizes[item], now, remember=False)

    def _of_the_declined(self, pool_name: str, owner_key: str) -> tuple[int, int] | None:
        chain = list(self._chain(pool_name))
        for item in self._declined:
            if self._home(item, self._sizes[item]) in chain:
                del self._declined[item]
                self._owners[item] = owner_key
                return item, self._sizes[item]
        return None

    def _build(self, name: str, config: Ipv6PoolConfig) -> Pool:
        shift = _BITS - config.length
        anycast = [_anycast(prefix) for prefix in config.prefixes] if not shift else []
        numbers = subtract(
            [_numbers(prefix, shift) for prefix in config.prefixes],
            [_numbers(prefix, shift) for prefix in (*config.exclude, *filter(None, anycast))],
        )
        segments = [(first << shift, (last + 1 << shift) - 1) for first, last in numbers]
        return Pool(name, config, segments, 1 << shift)

    def _size(self, item: int) -> int:
        return self._sizes[item]

    def _occupied(self, item: int, size: int) -> int | None:
        at = bisect_right(self._used, item)
        if at and self._used[at - 1] + self._sizes[self._used[at - 1]] > item:
            return self._used[at - 1]
        return self._used[at] if at < len(self._used) and self._used[at] < item + size else None

    def _enter(self, item: int, size: int, owner: str) -> None:
        super()._enter(item, size, owner)
        self._sizes[item] = size
        insort(self._used, item)

    def _leave(self, item: int) -> str:
        del self._sizes[item]
        del self._used[bisect_left(self._used, item)]
        return super()._leave(item)


def _item(prefix: IPv6Network) -> tuple[int, int]:
    return int(prefix.network_address), 1 << (_BITS - prefix.prefixlen)


def _network(item: int, size: int) -> IPv6Network:
    return IPv6Network((item, _BITS + 1 - size.bit_length()))


def _anycast(prefix: IPv6Network) -> IPv6Network | None:
    """Return the Subnet-Router anycast address; a link of two has none (RFC 6164 §6)."""
    wide = prefix.prefixlen < _BITS - 1
    return IPv6Network(prefix.network_address) if wide else None


def _numbers(prefix: IPv6Network, shift: int) -> Segment:
    """Return first and last number of the items that *prefix* touches."""
    return int(prefix.network_address) >> shift, int(prefix.broadcast_address) >> shift
