"""Keys of the user file that are about IPv6, and what of it no two users may share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

from pydantic import Field

from bng.aaa.attributes6 import LINK_BITS, MAX_DNS, MAX_ROUTES, check_pool, check_prefix
from bng.aaa.model import FramedIpv6Route
from bng.tomlfile import Key, Problem, Table
from bng.tomltypes import Address6, List, Name, Prefix6, reader


def _link(text: str) -> IPv6Network:
    prefix = check_prefix(IPv6Network(text))
    if prefix.prefixlen != LINK_BITS:
        raise ValueError(text)
    return prefix


def _delegated(text: str) -> IPv6Network:
    prefix = check_prefix(IPv6Network(text))
    if prefix.prefixlen > LINK_BITS:
        raise ValueError(text)
    return prefix


def _routed(text: str) -> IPv6Network:
    if "/" not in text:
        raise ValueError(text)
    return check_prefix(IPv6Network(text))


def _host(text: str) -> IPv6Address:
    return check_prefix(IPv6Network(f"{text}/128")).network_address


Link = Annotated[
    IPv6Network, reader(_link, "a unicast IPv6 prefix of length 64: 2001:db8:0:1::/64")
]
Delegated = Annotated[
    IPv6Network, reader(_delegated, "a unicast IPv6 prefix, /64 or shorter: 2001:db8:1::/56")
]
Routed = Annotated[
    IPv6Network, reader(_routed, "a unicast IPv6 prefix, host bits zero: 2001:db8:2::/48")
]
Host = Annotated[IPv6Address, reader(_host, "a unicast IPv6 address: 2001:db8:0:1::2")]


class Route6(Table):
    """One of *ipv6_routes*."""

    prefix: Routed
    gateway: Address6 | None = None
    metric: int = Field(default=1, ge=1, le=0xFFFF_FFFF)


class Template6(Table):
    """What users can share."""

    ipv4: bool | None = None
    ipv6: bool | None = None
    ipv6_pool: Name | None = None
    ipv6_address_pool: Name | None = None
    delegated_pool: Name | None = None
    ipv6_dns: List[Address6] = Field(default=(), max_length=MAX_DNS)
    ipv6_announced_routes: List[Prefix6] = Field(default=(), max_length=MAX_ROUTES)
    ipv6_profile: Name | None = None


class User6(Template6):
    """What belongs to one user alone, too."""

    ipv6_prefix: Link | None = None
    ipv6_address: Host | None = None
    delegated_prefix: Delegated | None = None
    ipv6_routes: List[Route6] = Field(default=(), max_length=MAX_ROUTES)

    def networks(self) -> Iterator[tuple[Key, IPv6Network]]:
        """Return what leads to this user, each with its key."""
        if self.ipv6_prefix is not None:
            yield ("ipv6_prefix",), self.ipv6_prefix
        if self.ipv6_address is not None:
            yield ("ipv6_address",), IPv6Network(self.ipv6_address)
        if self.delegated_prefix is not None:
            yield ("delegated_prefix",), self.delegated_prefix
        for number, route in enumerate(self.ipv6_routes):
            yield ("ipv6_routes", number, "prefix"), route.prefix

    def framed_routes(self) -> tuple[FramedIpv6Route, ...]:
        """Return *ipv6_routes* as the profile has them."""
        return tuple(
            FramedIpv6Route(prefix=route.prefix, gateway=route.gateway, metric=route.metric)
            for route in self.ipv6_routes
        )


POOLS = ("ipv6_pool", "ipv6_address_pool", "delegated_pool")
"""Keys that name an ``[[ipv6.pool]]``."""


def wrong_pools(entry: Template6, lengths: Mapping[str, int]) -> Iterator[Problem]:
    """Return what is wrong with pools that *entry* names; *lengths*: of the prefixes of each."""
    for key in POOLS:
        name = getattr(entry, key)
        if name is None:
            continue
        if name not in lengths:
            yield (key,), f'there is no [[ipv6.pool]] named "{name}" in the configuration'
            continue
        try:
            check_pool(key, lengths[name])
        except ValueError as why:
            yield (key,), str(why)


@dataclass(frozen=True, slots=True)
class Claim:
    """A network of *user*, and where the file says so."""

    network: IPv6Network
    key: Key
    user: str


def shared(claims: list[Claim]) -> Iterator[Problem]:
    """Return which networks of different users overlap."""
    inside: list[Claim] = []  # each is a part of the one before it
    for claim in sorted(claims, key=lambda c: (c.network.network_address, c.network.prefixlen)):
        while inside and not claim.network.subnet_of(inside[-1].network):
            inside.pop()
        other = next((outer for outer in inside if outer.user != claim.user), None)
        if other is not None:
            both = "" if other.network == claim.network else f" is a part of {other.network}, which"
            yield claim.key, f"{claim.network}{both} belongs to user {other.user}, too"
        inside.append(claim)
