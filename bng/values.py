"""Values that are made by the dozen for every session, and what is asked of them as often."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def value(kind: type[T], /) -> type[T]: ...
@overload
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True)
def value(
    kind: type[T] | None = None, /, *, kw_only: bool = False
) -> type[T] | Callable[[type[T]], type[T]]:
    """Make *kind* a dataclass that nobody changes, with slots, that compares and hashes by value.

    That nobody changes it is for mypy to see: what `frozen` does at run time makes each field cost
    ten times as much.
    """
    make: Callable[[type[T]], type[T]] = dataclass(slots=True, unsafe_hash=True, kw_only=kw_only)
    return make if kind is None else make(kind)


def inside(network: IPv6Network, prefix: IPv6Network) -> bool:
    """Say whether *network* is *prefix* or a part of it.

    `subnet_of` says the same by addresses that it makes of both networks, and has them keep.
    """
    length = prefix.prefixlen
    differ = int(network.network_address) ^ int(prefix.network_address)
    return network.prefixlen >= length and not differ >> network.max_prefixlen - length
