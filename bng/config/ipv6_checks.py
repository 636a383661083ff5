"""What the keys of ``[ipv6]`` mean to each other."""

from collections.abc import Iterator
from ipaddress import IPv6Network

from bng.config.ipv6 import (
    ADDRESS_BITS,
    LINK_BITS,
    Dhcpv6Server,
    Ipv6,
    RouterAdvertisement,
)
from bng.config.model import Config
from bng.tomlfile import Key, Problem

MAX_INTERVAL_SHARE = 0.75
"""Of MaxRtrAdvInterval, which MinRtrAdvInterval may be (RFC 4861 §6.2.1)."""
MAX_POOL_BITS = 32
"""A pool of more prefixes is a mistake."""


def ipv6(config: Config) -> Iterator[Problem]:
    """Find pools that cannot be, lifetimes against each other, DHCPv6 without what it needs."""
    yield from _pools(config.ipv6)
    yield from _overlaps(config.ipv6)
    yield from _chain(config.ipv6)
    yield from _named(config.ipv6)
    table = config.ipv6
    for at, ra, server in _told(table):
        yield from _ra((*at, "ra"), ra)
        yield from _server((*at, "server"), server, table)
    if table.dhcpv6 == "external" and not table.external.servers:
        yield ("ipv6", "external", "servers"), 'dhcpv6 = "external" needs a server'


def _pools(table: Ipv6) -> Iterator[Problem]:
    names: set[str] = set()
    for index, pool in enumerate(table.pool):
        at: Key = ("ipv6", "pool", index)
        if pool.name in names:
            yield (*at, "name"), f"{pool.name} is in use already"
        names.add(pool.name)
        if LINK_BITS < pool.length < ADDRESS_BITS:
            yield (*at, "length"), f"{pool.length}: a prefix has at most 64 bits, an address 128"
        for number, prefix in enumerate(pool.prefixes):
            key = (*at, "prefixes", number)
            if prefix.prefixlen > pool.length:
                yield key, f"{prefix} has no prefixes of length {pool.length}"
            elif pool.length - prefix.prefixlen > MAX_POOL_BITS and pool.length != ADDRESS_BITS:
                yield key, f"{prefix} has more than 2^{MAX_POOL_BITS} prefixes /{pool.length}"
            if not _is_unicast(prefix):
                yield key, f"{prefix} is not unicast"
        for number, prefix in enumerate(pool.exclude):
            if not any(prefix.overlaps(outer) for outer in pool.prefixes):
                yield (*at, "exclude", number), f"{prefix} is not inside one of the prefixes"


def _overlaps(table: Ipv6) -> Iterator[Problem]:
    seen: list[tuple[IPv6Network, str]] = []
    for index, pool in enumerate(table.pool):
        for number, prefix in enumerate(pool.prefixes):
            for other, name in seen:
                if prefix.overlaps(other):
                    key: Key = ("ipv6", "pool", index, "prefixes", number)
                    yield key, f"overlaps {other} of pool {name}"
            seen.append((prefix, pool.name))


def _chain(table: Ipv6) -> Iterator[Problem]:
    nexts = {pool.name: pool.next for pool in table.pool}
    for index, pool in enumerate(table.pool):
        key: Key = ("ipv6", "pool", index, "next")
        if pool.next is not None and pool.next not in nexts:
            yield key, f"there is no [[ipv6.pool]] named {pool.next}"
        step, passed = pool.next, set()
        while step is not None and step not in passed:
            if step == pool.name:
                yield key, "the chain of pools comes back to this one"
            passed.add(step)
            step = nexts.get(step)


def _named(table: Ipv6) -> Iterator[Problem]:
    """Check the pools that are named for a use: their prefixes must be fit for it."""
    lengths = {pool.name: pool.length for pool in table.pool}
    fit = {
        "link_pool": (range(LINK_BITS, LINK_BITS + 1), "64: hosts make their addresses of it"),
        "address_pool": (range(ADDRESS_BITS, ADDRESS_BITS + 1), "128: addresses"),
        "delegated_pool": (range(LINK_BITS + 1), "64 or less: it is delegated"),
    }
    for name, (bits, needed) in fit.items():
        pool = getattr(table, name)
        if pool is None:
            continue
        if pool not in lengths:
            yield ("ipv6", name), f"there is no [[ipv6.pool]] named {pool}"
        elif lengths[pool] not in bits:
            yield ("ipv6", name), f"{pool} has length {lengths[pool]}, and it has to be {needed}"


def _told(table: Ipv6) -> Iterator[tuple[Key, RouterAdvertisement, Dhcpv6Server]]:
    """Yield what clients are told: all of them, and those of each profile, where it differs."""
    yield ("ipv6",), table.ra, table.server
    for name, profile in table.profile.items():
        if (profile.ra, profile.server) != (table.ra, table.server):
            yield ("ipv6", "profile", name), profile.ra, profile.server


def _ra(at: Key, ra: RouterAdvertisement) -> Iterator[Problem]:
    if ra.min_interval_s > MAX_INTERVAL_SHARE * ra.max_interval_s:
        yield (*at, "min_interval_s"), "must be at most 0.75 times max_interval_s"
    if ra.lifetime_s and ra.lifetime_s < ra.max_interval_s:
        yield (*at, "lifetime_s"), "must be 0, or at least max_interval_s"
    if ra.preferred_s > ra.valid_s:
        yield (*at, "preferred_s"), "must be at most valid_s"


def _server(at: Key, server: Dhcpv6Server, table: Ipv6) -> Iterator[Problem]:
    if server.preferred_s > server.valid_s:
        yield (*at, "preferred_s"), "must be at most valid_s"
    t1 = server.preferred_s // 2 if server.t1_s is None else server.t1_s
    t2 = int(server.preferred_s * 0.8) if server.t2_s is None else server.t2_s
    if t1 > t2:
        yield (*at, "t1_s" if server.t1_s is not None else "t2_s"), "t1_s must be at most t2_s"
    if t2 > server.preferred_s:
        yield (*at, "t2_s"), "must be at most preferred_s"
    lengths = {pool.length for pool in table.pool}
    for number, length in enumerate(server.hint_lengths):
        if length not in lengths:
            yield (*at, "hint_lengths", number), f"no [[ipv6.pool]] has length {length}"


def _is_unicast(prefix: IPv6Network) -> bool:
    """Return whether hosts could have addresses of *prefix* (RFC 4291 §2.4)."""
    ends = prefix.network_address, prefix.broadcast_address
    special = any(end.is_multicast or end.is_link_local or end.is_loopback for end in ends)
    return not special and not prefix.network_address.is_unspecified
