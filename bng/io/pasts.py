"""Whose addresses and prefixes were, over a restart of bngd: sticky ones, and those held down.

What pools remember of what they gave goes to the journal as it changes, and comes back from it when
the sessions that live have been taken over.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

import structlog

from bng.io import journal
from bng.io.journal import Journal, JournalError
from bng.pool.core import Freed, Past, Pools
from bng.session import ipv6_side
from bng.session.packing import reader
from bng.session.restart import read

BITS = {4: 32, 6: 128}
_OWNER, _ADDRESS = reader(str), reader(IPv4Address)

ByVersion = Mapping[int, Pools[Any]]
"""The pools of IPv4 and of IPv6."""


def save(to: Journal, pools: ByVersion, now: float) -> None:
    """Put what has changed since the last time."""
    wall = time.time() - now
    for version, of in pools.items():
        for past in of.changes():
            to.put_past(str(_network(version, past)), _row(past, wall))


def restore(of: Journal, pools: ByVersion, now: float) -> None:
    """Have *pools* remember what is on disk; what cannot be read is logged, and forgotten."""
    try:
        rows = of.pasts()
    except JournalError as error:
        structlog.get_logger("journal").error("pasts-not-read", error=str(error))
        return
    wall = time.time() - now
    for network in rows:
        of.put_past(network, None)  # those that are remembered are put again
    for version, pool in pools.items():
        pool.restore(_pasts(version, rows, wall, now), now)
    save(of, pools, now)


def lost(pools: ByVersion, records: Iterable[bytes], now: float) -> None:
    """Have *pools* remember what sessions had that ended while nobody looked."""
    gone: dict[int, list[Past]] = {version: [] for version in pools}
    for record in records:
        with suppress(ValueError, KeyError):
            fields = read(record)
            freed = Freed(_OWNER(fields["user"]), now)
            for network in _networks(fields):
                item, size = int(network.network_address), network.num_addresses
                gone[network.version].append(Past(item, size, freed, remembered=True))
    for version, pasts in gone.items():
        pools[version].restore(pasts, now)


def _networks(fields: Mapping[str, object]) -> Iterator[IPv4Network | IPv6Network]:
    """Yield the address and the prefixes that a record names. Raises: ValueError."""
    if "ip4" in fields:
        yield IPv4Network(_ADDRESS(fields["ip4"]))
    recorded = ipv6_side.read(fields)
    if recorded is not None:
        if recorded.prefix is not None:
            yield recorded.prefix
        yield from (lease.network for lease in recorded.leases)


def _network(version: int, past: Past) -> IPv4Network | IPv6Network:
    length = BITS[version] - (past.size.bit_length() - 1)
    return IPv4Network((past.item, length)) if version == 4 else IPv6Network((past.item, length))


def _row(past: Past, wall: float) -> journal.Past | None:
    freed = past.freed
    return None if freed is None else (freed.owner, freed.released_at + wall, past.remembered)


def _pasts(
    version: int, rows: Mapping[str, journal.Past], wall: float, now: float
) -> Iterable[Past]:
    for text, (owner, at, remembered) in rows.items():
        try:
            network = ip_network(text)
        except ValueError:
            continue
        if network.version == version:
            freed = Freed(owner, min(at - wall, now))
            item = int(network.network_address)
            yield Past(item, network.num_addresses, freed, remembered)
