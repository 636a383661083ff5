"""IPv4 address pools: ranges, chaining, sticky addresses, hold-down and static addresses.

How addresses are kept is `bng.pool.core`'s business.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from bng.pool.core import Pool, PoolConfig, Pools, PoolStats
from bng.pool.ranges import Ipv4Range, segments

Ipv4PoolStats = PoolStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4PoolConfig(PoolConfig):
    """Settings of a pool: the addresses of *ranges* without those of *exclude*."""

    ranges: tuple[Ipv4Range, ...]
    exclude: tuple[Ipv4Range, ...] = ()


class Ipv4Pools(Pools[Ipv4PoolConfig]):
    """All pools, and all addresses in use, in a pool or not: none ever has two owners."""

    def allocate(
        self, pool_name: str, owner_key: str, now: float, prefer: IPv4Address | None = None
    ) -> IPv4Address | None:
        """Give *owner_key* an address of the pool or of those chained behind it.

        In this order: *prefer* when it is free and nobody else's, the address that the owner
        had last, any other. None when all are taken or there is no such pool.
        """
        wanted = None if prefer is None else (int(prefer), 1)
        given = self._allocate(pool_name, owner_key, now, wanted, None)
        return None if given is None else IPv4Address(given[0])

    def claim(self, address: IPv4Address, owner_key: str, now: float) -> str | None:
        """Give *owner_key* exactly this address, in a pool or not, also one in hold-down.

        Returns the owner that holds it already, which may be *owner_key* itself with an older
        session; None when the claim is granted.
        """
        return self._claim(int(address), 1, owner_key, now)

    def adopt(self, address: IPv4Address, owner_key: str) -> None:
        """Take over an address in use since before a restart.

        Raises: ValueError when it has an owner.
        """
        number = int(address)
        if number in self._owners:
            raise ValueError(f"{address} of {owner_key} is in use by {self._owners[number]}")
        self._take(self._home(number, 1), number, 1, owner_key)

    def release(self, address: IPv4Address, now: float) -> str | None:
        """Free an address; returns its owner, None when it was not in use."""
        return self._release(int(address), 1, now, remember=True)

    def owner(self, address: IPv4Address) -> str | None:
        """Return who uses *address*."""
        return self._owners.get(int(address))

    def pool_of(self, address: IPv4Address) -> str | None:
        """Return the name of the pool that *address* belongs to, None when it is in none."""
        pool = self._home(int(address), 1)
        return None if pool is None else pool.name

    def _build(self, name: str, config: Ipv4PoolConfig) -> Pool:
        return Pool(name, config, segments(config.ranges, config.exclude))

    def _size(self, item: int) -> int:
        return 1

    def _occupied(self, item: int, size: int) -> int | None:
        return item if item in self._owners else None
