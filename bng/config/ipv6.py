"""``[ipv6]``: pools of prefixes, Router Advertisements, DHCPv6."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bng.tomlfile import Table
from bng.tomltypes import Address6, List, Name, Prefix6, reader

MAX_SECONDS = 0xFFFF_FFFF
"""Infinity, in lifetimes (RFC 4861 §4.6.2, RFC 8415 §7.7)."""
MAX_NAME_BYTES = 253
LINK_BITS, ADDRESS_BITS = 64, 128


def _host_name(text: str) -> str:
    labels = text.removesuffix(".").split(".")
    fits = all(0 < len(label) <= 63 and label.isascii() and label.isprintable() for label in labels)
    if not fits or len(text) > MAX_NAME_BYTES or " " in text:
        raise ValueError(text)
    return text


HostName = Annotated[str, reader(_host_name, "a domain name: up to 253 ASCII characters")]
Lifetime = Annotated[int, Field(ge=0, le=MAX_SECONDS)]


class Ipv6Pool(Table):
    """``[[ipv6.pool]]``: prefixes of one length for subscribers; of 128, addresses."""

    name: Name
    prefixes: List[Prefix6] = Field(min_length=1, max_length=64)
    length: int = Field(ge=8, le=ADDRESS_BITS)
    exclude: List[Prefix6] = Field(default=(), max_length=256)
    next: Name | None = None
    sticky_s: int = Field(default=86_400, ge=0, le=31_536_000)
    hold_down_s: int = Field(default=60, ge=0, le=86_400)


class RouterAdvertisement(Table):
    """``[ipv6.ra]``: what is announced on the links (RFC 4861 §6.2.1, RFC 8106)."""

    managed: bool | None = None
    other: bool | None = None
    autonomous: bool = True
    on_link: bool = True
    hop_limit: int = Field(default=64, ge=0, le=255)
    lifetime_s: int = Field(default=1_800, ge=0, le=9_000)
    min_interval_s: int = Field(default=200, ge=3, le=1_350)
    max_interval_s: int = Field(default=600, ge=4, le=1_800)
    preferred_s: Lifetime = 2_700
    valid_s: Lifetime = 5_400
    reachable_ms: int = Field(default=0, ge=0, le=3_600_000)
    retrans_ms: int = Field(default=0, ge=0, le=MAX_SECONDS)
    mtu: int | None = Field(default=None, ge=1_280, le=9_000)
    dns_s: Lifetime = 1_800


class Dhcpv6Server(Table):
    """``[ipv6.server]``: the DHCPv6 server of the box (RFC 8415)."""

    preferred_s: int = Field(default=3_600, ge=1, le=MAX_SECONDS)
    valid_s: int = Field(default=7_200, ge=1, le=MAX_SECONDS)
    t1_s: Lifetime | None = None
    t2_s: Lifetime | None = None
    rapid_commit: bool = True
    preference: int | None = Field(default=255, ge=0, le=255)
    max_addresses: int = Field(default=1, ge=0, le=4)
    max_prefixes: int = Field(default=1, ge=0, le=4)
    hint_lengths: List[int] = Field(default=(), max_length=16)
    recreate: bool = True
    sntp: List[Address6] = Field(default=(), max_length=4)
    ntp: List[Address6] = Field(default=(), max_length=4)
    ntp_names: List[HostName] = Field(default=(), max_length=4)
    aftr_name: HostName | None = None
    sol_max_rt_s: int | None = Field(default=None, ge=60, le=86_400)
    inf_max_rt_s: int | None = Field(default=None, ge=60, le=86_400)
    information_refresh_s: int | None = Field(default=None, ge=600, le=MAX_SECONDS)


class Dhcpv6External(Table):
    """``[ipv6.external]``: other DHCPv6 servers, which the box relays to (RFC 8415 §19)."""

    servers: List[Address6] = Field(default=(), max_length=4)
    source: Address6 | None = None
    link_address: Address6 | None = None


class Ipv6Profile(Table):
    """``[ipv6.profile.X]``: what ``ipv6_profile`` of users can name, else as in ``[ipv6]``."""

    dns: List[Address6] = Field(default=(), max_length=4)
    domains: List[HostName] = Field(default=(), max_length=8)
    ra: RouterAdvertisement = RouterAdvertisement()
    server: Dhcpv6Server = Dhcpv6Server()


class Ipv6(Table):
    """``[ipv6]``: what subscribers get; off without a pool."""

    enabled: bool | None = None
    link_pool: Name | None = None
    address_pool: Name | None = None
    address_from_link: bool = False
    delegated_pool: Name | None = None
    dns: List[Address6] = Field(default=(), max_length=4)
    domains: List[HostName] = Field(default=(), max_length=8)
    dhcpv6: Literal["server", "external", "off"] = "server"
    pool: List[Ipv6Pool] = Field(default=(), max_length=256)
    ra: RouterAdvertisement = RouterAdvertisement()
    server: Dhcpv6Server = Dhcpv6Server()
    external: Dhcpv6External = Dhcpv6External()
    profile: dict[Name, Ipv6Profile] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _profiles_inherit(cls, raw: object) -> object:
        """Have profiles say what they leave out, too: a change of ``[ipv6]`` is one of theirs."""
        if not isinstance(raw, dict) or not isinstance(raw.get("profile"), dict):
            return raw
        whole = {key: raw[key] for key in Ipv6Profile.model_fields if key in raw}
        profiles = {name: _under(whole, own) for name, own in raw["profile"].items()}
        return {**raw, "profile": profiles}

    def of(self, profile: Ipv6Profile) -> "Ipv6":
        """Return this table as it is for those who have *profile*."""
        return self.model_copy(update={key: getattr(profile, key) for key in _PROFILED})

    @property
    def on(self) -> bool:
        """Whether subscribers get IPv6 of whom nothing is said."""
        return bool(self.pool) if self.enabled is None else self.enabled

    def default(self, named: str | None, bits: range) -> str | None:
        """Return the pool *named*, else the first whose prefixes have a length of *bits*."""
        fitting = (pool.name for pool in self.pool if pool.length in bits)
        return named or next(fitting, None)

    @property
    def default_link_pool(self) -> str | None:
        """The pool of the prefixes on the links."""
        return self.default(self.link_pool, range(LINK_BITS, LINK_BITS + 1))

    @property
    def default_address_pool(self) -> str | None:
        """The pool of the addresses that DHCPv6 gives."""
        return self.default(self.address_pool, range(ADDRESS_BITS, ADDRESS_BITS + 1))

    @property
    def default_delegated_pool(self) -> str | None:
        """The pool of the prefixes that DHCPv6 delegates."""
        return self.default(self.delegated_pool, range(LINK_BITS))


_PROFILED = tuple(Ipv6Profile.model_fields)


def _under(whole: Mapping[str, object], own: object) -> object:
    """Return the raw table *own* with what it leaves out, and its tables leave out, of *whole*."""
    if not isinstance(own, dict):
        return own
    both = {**whole, **own}
    for key, value in whole.items():
        table = own.get(key)
        if isinstance(value, dict) and isinstance(table, dict):
            both[key] = {**value, **table}
    return both
