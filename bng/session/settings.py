"""What the core has to be told: the part of the configuration that holds for every session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from bng.aaa.model import NO_NAT, SubscriberProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What a client of a pool is told: the gateway is our end of its link."""

    gateway: IPv4Address
    dns: tuple[IPv4Address, ...] = ()
    nbns: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Policy of the box. *mru* by access port: the largest IP packet it can carry to a client."""

    pools: Mapping[str, PoolSettings]
    default_pool: str
    mru: Mapping[int, int]
    max_sessions: int
    single_session: Literal["replace", "deny", "allow"] = "replace"
    mss_clamp: bool = True
    nat_inside: tuple[IPv4Network, ...] = ()
    nat_profiles: Mapping[str, bool]
    nat_pool_of_profile: Mapping[str, str | None] = field(default_factory=dict)
    """The NAT pool that each profile says, None: any with port blocks."""
    nat_one_to_one: Mapping[str, tuple[IPv4Network, ...]] = field(default_factory=dict)
    """Public addresses of the pools of which each session has one of its own, by name."""
    nat_bypass: Mapping[str, int] = field(default_factory=dict)
    """By NAT profile: the ACL of what is not translated, as the dataplane calls it."""
    drain_per_s: int = 50
    policer_overhead_bytes: int = 0
    acls: Mapping[str, int] = field(default_factory=dict)
    """What the dataplane calls them, by name."""
    port_grace_s: int = 30
    accounting: bool = False
    """Sessions are accounted for (RFC 2866)."""
    interim_interval_s: int = 0
    """Between interim updates, where AAA says nothing; 0: there are none."""

    def pool_of(self, profile: SubscriberProfile) -> str:
        """Return the name of the pool whose settings and addresses *profile* gets."""
        name = profile.ipv4_pool
        return name if name is not None and name in self.pools else self.default_pool

    def translates(self, profile: SubscriberProfile, address: IPv4Address) -> bool:
        """Say whether packets from *address* are translated (NAT44)."""
        match profile.nat_profile:
            case None:
                inside = any(address in prefix for prefix in self.nat_inside)
                return inside or profile.nat_address is not None
            case str() as name if name == NO_NAT:
                return False
            case name:
                return self.nat_profiles.get(name, False)

    def own_address_pool(self, profile: SubscriberProfile, address: IPv4Address) -> str | None:
        """Return the one-to-one pool of which *profile* gets a public address for *address*."""
        if not self.translates(profile, address):
            return None
        pinned = profile.nat_address
        if pinned is None:
            name = self.nat_pool_of_profile.get(profile.nat_profile or "")
            return name if name in self.nat_one_to_one else None
        for pool, prefixes in self.nat_one_to_one.items():
            if any(pinned in prefix for prefix in prefixes):
                return pool
        return None
