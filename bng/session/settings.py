"""What the core has to be told: the part of the configuration that holds for every session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Literal

from bng.aaa.model import NO_NAT, SubscriberProfile
from bng.ipv6.advertise import AdvertiseConfig
from bng.ipv6.config import ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What a client of a pool is told: the gateway is our end of its link."""

    gateway: IPv4Address
    dns: tuple[IPv4Address, ...] = ()
    nbns: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Ipv6Told:
    """What clients are told by Router Advertisements, and by DHCPv6."""

    advertise: AdvertiseConfig
    server: ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Settings:
    """Policy of IPv6. Pools are names; None: nobody has one who is not given one by name."""

    enabled: bool = False
    """There is IPv6 for those of whom nothing is said."""
    pools: frozenset[str] = frozenset()
    link_pool: str | None = None
    """Of the prefixes on the links."""
    address_pool: str | None = None
    """Of the addresses that DHCPv6 gives (IA_NA)."""
    addresses_from_link: bool = False
    """Without such a pool DHCPv6 gives an address of the link's prefix."""
    delegated_pool: str | None = None
    """Of the prefixes that DHCPv6 delegates (IA_PD)."""
    dhcpv6: Literal["server", "external", "off"] = "off"
    advertise: AdvertiseConfig = field(default_factory=AdvertiseConfig)
    server: ServerConfig = field(default_factory=lambda: ServerConfig(duid=bytes(3)))
    profiles: Mapping[str, Ipv6Told] = field(default_factory=dict)
    """What those are told in place of both whose profile names one."""
    link_address: IPv6Address = field(default_factory=lambda: IPv6Address("::"))
    """What external servers know the links by (RFC 8415 §19.1.1)."""

    def advertise_of(self, profile: SubscriberProfile) -> AdvertiseConfig:
        """Return what is announced to *profile*, but for what it says itself."""
        told = self.profiles.get(profile.ipv6_profile or "")
        return self.advertise if told is None else told.advertise

    def server_of(self, profile: SubscriberProfile) -> ServerConfig:
        """Return how DHCPv6 serves *profile*, likewise."""
        told = self.profiles.get(profile.ipv6_profile or "")
        return self.server if told is None else told.server

    def link_pool_of(self, profile: SubscriberProfile) -> str | None:
        """Return the pool of the prefix on the link."""
        return self.known(profile.ipv6_pool) or self.link_pool

    def address_pool_of(self, profile: SubscriberProfile) -> str | None:
        """Return the pool of addresses."""
        return self.known(profile.ipv6_address_pool) or self.address_pool

    def delegated_pool_of(self, profile: SubscriberProfile) -> str | None:
        """Return the pool of prefixes to delegate."""
        return self.known(profile.delegated_pool) or self.delegated_pool

    def known(self, name: str | None) -> str | None:
        """Return *name* when there is such a pool."""
        return name if name in self.pools else None

    def serves(self, profile: SubscriberProfile) -> bool:
        """Say whether *profile* gets IPv6: yes when it says so, or has or gets anything of it."""
        if profile.ipv6 is not None:
            return profile.ipv6
        own = profile.ipv6_prefix, profile.delegated_prefix, profile.ipv6_address
        return self.enabled or any(found is not None for found in own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Policy of the box. *mru* by access port: the largest IP packet it can carry to a client."""

    pools: Mapping[str, PoolSettings]
    default_pool: str | None
    """None: there are no pools, and IPv4 for nobody."""
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
    start_delay_s: float = 0.0
    """How long the Start of who may have both IP versions waits for the second one."""
    ipv6: Ipv6Settings = field(default_factory=Ipv6Settings)

    def serves_both(self, profile: SubscriberProfile | None) -> bool:
        """Say whether *profile* gets IPv4 and IPv6."""
        return profile is not None and self.serves_ipv4(profile) and self.ipv6.serves(profile)

    def serves_ipv4(self, profile: SubscriberProfile) -> bool:
        """Say whether *profile* gets IPv4."""
        return profile.ipv4 is not False and self.default_pool is not None

    def pool_of(self, profile: SubscriberProfile) -> str | None:
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
