"""Deterministic NAT as the configuration file has it: what ``bngctl nat deterministic`` prints."""

from ipaddress import IPv4Address
from pathlib import Path

from bng.config import load
from bng.errors import ConfigError
from bng.pool.deterministic import Deterministic, PortRange

Row = dict[str, str | int]


def ranges(path: Path, inner: str | None, outer: tuple[str, int] | None) -> list[Row]:
    """Return the rows for *inner*, or for the port *outer*, or all, of the file at *path*.

    Raises: ValueError for a wrong file or address.
    """
    try:
        pools = load(path).nat.deterministic()
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return [
        {
            "pool": name,
            "inner": str(address),
            "outer": str(found.address),
            "port_first": found.first,
            "port_last": found.last,
        }
        for name, pool in pools.items()
        for address, found in _of_pool(pool, inner, outer)
    ]


def _of_pool(
    pool: Deterministic, inner: str | None, outer: tuple[str, int] | None
) -> list[tuple[IPv4Address, PortRange]]:
    if inner is None and outer is None:
        return list(pool.all_ranges())
    if outer is not None:
        address = pool.inner_of(IPv4Address(outer[0]), outer[1])
    else:
        address = IPv4Address(inner)
    found = None if address is None else pool.range_of(address)
    return [] if address is None or found is None else [(address, found)]
