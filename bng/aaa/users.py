"""The user file: ``[default]``, ``[profile.X]`` and ``[user."NAME"]`` tables of one model.

A user's profile is ``[default]``, then the profile it names, then its own keys, each over the one
before. Loading is all or nothing: one wrong key and the file is refused, with file, line and key.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PlainValidator, ValidationError, model_validator

from bng.aaa import users6
from bng.aaa.attributes import LEAST_INTERIM_S, MAX_CLASSES
from bng.aaa.model import (
    MAX_BURST_BYTES,
    NO_NAT,
    FramedRoute,
    PortForward,
    RatePolicy,
    SubscriberProfile,
    default_burst_bytes,
    parse_forward,
)
from bng.aaa.password import ClearText, StoredPassword, parse_password
from bng.aaa.users6 import Template6, User6
from bng.tomlfile import Key, Problem, Table, TomlFile, problems_of
from bng.tomltypes import Address, List, Name, Prefix, reader

MAX_USER_NAME_BYTES = 253
"""User-Name is one RADIUS attribute (RFC 2865 §5.1)."""

MAX_CLASS_BYTES = 253

MAX_FORWARDS = 32
"""``NAT_FORWARDS_PER_SESSION`` of nat44_shared.h."""

MAX_ROUTES = 16
"""As many fit into the record that the dataplane keeps of a session."""


@dataclass(frozen=True, slots=True)
class User:
    """One user of the file: the stored password and the profile, templates already applied."""

    password: StoredPassword
    profile: SubscriberProfile
    classes: tuple[bytes, ...] = ()
    """Class (RFC 2865 §5.25): comes back with all accounting."""
    interim_interval_s: int | None = None
    """Acct-Interim-Interval (RFC 2869 §5.16); None: the configuration decides."""


@dataclass(frozen=True, slots=True)
class Users:
    """One loaded user file."""

    by_name: Mapping[str, User]
    decoy: StoredPassword = field(init=False)
    """What a request for an unknown user is checked against, for the sake of the time it takes:
    a password of the kind that most users have. The outcome is not looked at."""

    def __post_init__(self) -> None:
        kinds = Counter(type(user.password) for user in self.by_name.values())
        decoy: StoredPassword = ClearText(b"-")
        if kinds:
            kind = kinds.most_common(1)[0][0]
            decoy = next(u.password for u in self.by_name.values() if type(u.password) is kind)
        object.__setattr__(self, "decoy", decoy)

    def nat_addresses(self) -> frozenset[IPv4Address]:
        """Return the public addresses that users are given by name."""
        found = (user.profile.nat_address for user in self.by_name.values())
        return frozenset(address for address in found if address is not None)

    def __len__(self) -> int:
        return len(self.by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the configuration offers for a user file to name."""

    pools: Collection[str] = ()
    ipv6_pools: Mapping[str, int] = field(default_factory=dict)
    """How long the prefixes of each are; addresses are 128."""
    ipv6_profiles: Collection[str] = ()
    nat_profiles: Collection[str] = ()
    nat_addresses: Mapping[IPv4Address, str] = field(default_factory=dict)
    """Public addresses, and the NAT pool of each."""
    nat_pools: Mapping[str, str] = field(default_factory=dict)
    """The mode of each NAT pool."""
    nat_pool_of_profile: Mapping[str, str | None] = field(default_factory=dict)
    """The NAT pool that each profile names; profiles that do not translate are left out."""
    forward_ports: tuple[int, int] | None = None
    """Public ports that are kept for forwards, first and last."""
    acls: Collection[str] = ()
    own_addresses: Collection[IPv4Address | IPv6Address] = ()
    """Addresses of the box itself, which no subscriber may have."""


LEAST_BURST_BYTES = 2_048
"""The largest packet, with policer_overhead_bytes, fits in."""
Rate = Annotated[int, Field(ge=1_000, le=(1 << 63) - 1)]
Burst = Annotated[int, Field(ge=LEAST_BURST_BYTES, le=MAX_BURST_BYTES)]


class _Rate(Table):
    cir_bps: Rate
    cbs_bytes: Burst | None = None
    ebs_bytes: int = Field(default=0, ge=0, le=MAX_BURST_BYTES)
    pir_bps: Rate | None = None
    pbs_bytes: Burst | None = None

    @model_validator(mode="after")
    def _one_rfc(self) -> Self:
        if self.pir_bps is None and self.pbs_bytes is not None:
            raise ValueError("pbs_bytes is the burst of a pir_bps, which is missing")
        if self.pir_bps is not None and self.ebs_bytes:
            raise ValueError("ebs_bytes is of RFC 2697, pir_bps of RFC 2698: one of them")
        if self.pir_bps is not None and self.pir_bps < self.cir_bps:
            raise ValueError("pir_bps must be at least cir_bps")
        return self


class _Route(Table):
    prefix: Prefix
    gateway: Address | None = None
    metric: int = Field(default=1, ge=1, le=0xFFFF_FFFF)


def _password(value: object) -> StoredPassword:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return parse_password(value)


def _interface_id(text: str) -> int:
    """Read ``0:0:0:1`` as RFC 3162 §2.2 means it; RFC 5072 §4.1 forbids zero."""
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{1,4}:){3}[0-9A-Fa-f]{1,4}", text):
        raise ValueError(text)
    groups = [int(group, 16) for group in text.split(":")]
    found = groups[0] << 48 | groups[1] << 32 | groups[2] << 16 | groups[3]
    if found == 0:
        raise ValueError(text)
    return found


InterfaceId = Annotated[
    int, reader(_interface_id, 'four groups of hexadecimal digits, not all zero: "0:0:0:1"')
]


def _class(text: str) -> bytes:
    """Read ``0x0102`` as octets, anything else as text (RFC 2865 §5.25)."""
    octets = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
    if not 1 <= len(octets) <= MAX_CLASS_BYTES:
        raise ValueError(text)
    return octets


Class = Annotated[bytes, reader(_class, '1 to 253 bytes: text, or octets as "0x0102"')]
Forward = Annotated[
    PortForward,
    reader(parse_forward, '"tcp" or "udp", a public port, his own port: "tcp 8080 80"'),
]


class _Template(Template6):
    """What ``[profile.X]`` may say: the fields of `SubscriberProfile` that users can share."""

    ipv4_pool: Name | None = None
    ipv4_dns: List[Address] = Field(default=(), max_length=2)
    ipv4_nbns: List[Address] = Field(default=(), max_length=2)
    rate_up: _Rate | None = None
    rate_down: _Rate | None = None
    acl_in: Name | None = None
    acl_out: Name | None = None
    mtu: int | None = Field(default=None, ge=576, le=1_912)
    mss_clamp: bool | None = None
    nat_profile: Name | None = None
    session_timeout_s: int | None = Field(default=None, ge=1, le=0xFFFF_FFFF)
    idle_timeout_s: int | None = Field(default=None, ge=1, le=4_000_000)
    simultaneous_use: int | None = Field(default=None, ge=1, le=1_000)
    reply_message: str = Field(default="", max_length=200)
    classes: List[Class] = Field(default=(), max_length=MAX_CLASSES)
    interim_interval_s: int | None = Field(default=None, ge=LEAST_INTERIM_S, le=0xFFFF_FFFF)


class _Default(_Template):
    """What ``[default]`` may say: also which profile a user has that names none."""

    profile: str | None = None


class _User(_Default, User6):
    """What ``[user."NAME"]`` may say: also the keys that belong to one user alone."""

    password: Annotated[StoredPassword, PlainValidator(_password)]
    ipv4_address: Address | None = None
    routes: List[_Route] = Field(default=(), max_length=MAX_ROUTES)
    ipv6_interface_id: InterfaceId | None = None
    nat_address: Address | None = None
    port_forwards: List[Forward] = Field(default=(), max_length=MAX_FORWARDS)


class _File(Table):
    default: _Default = _Default()
    profile: dict[Name, _Template] = Field(default_factory=dict)
    user: dict[str, dict[str, object]] = Field(default_factory=dict)


Raw = Mapping[str, object]


def load(path: Path, known: Known | None = None) -> Users:
    """Read the user file at *path*; with *known*, check the names that it uses.

    Raises: ConfigError that names every wrong key; nothing is loaded then.
    """
    return _checked(TomlFile.read(path), known)


def parse(path: Path, raw: bytes, known: Known | None = None) -> Users:
    """Take *raw* as if it were read from *path*. Raises: ConfigError."""
    return _checked(TomlFile.parse(path, raw), known)


def _checked(file: TomlFile, known: Known | None) -> Users:
    content = file.validate(_File, file.data)
    loader = _Loader(known, _templates(file.data))
    if content.default.profile is not None and content.default.profile not in content.profile:
        loader.problem(("default", "profile"), f"there is no [profile.{content.default.profile}]")
    loader.check_names(("default",), content.default)
    for name, template in content.profile.items():
        loader.check_names(("profile", name), template)
    users = {
        name: user
        for name, raw in content.user.items()
        if (user := loader.user(name, raw)) is not None
    }
    loader.problems += users6.shared(loader.claims)
    if loader.problems:
        raise file.error(loader.problems)
    return Users(users)


def _templates(data: Raw) -> dict[object, Raw]:
    """Return what a user starts from, by the name of its profile; None is no profile."""
    default, profiles = data.get("default", {}), data.get("profile", {})
    assert isinstance(default, dict) and isinstance(profiles, dict)  # noqa: S101 - validated
    return {None: default, **{name: {**default, **own} for name, own in profiles.items()}}


class _Loader:
    """What loading one file needs to remember from user to user."""

    def __init__(self, known: Known | None, templates: Mapping[object, Raw]) -> None:
        self._known = known
        self._templates = templates
        self.claims: list[users6.Claim] = []
        self._owners: dict[IPv4Address | IPv4Network | str, str] = {}
        self.problems: list[Problem] = []

    def problem(self, key: Key, message: str) -> None:
        self.problems.append((key, message))

    def user(self, name: str, raw: Raw) -> User | None:
        """Return the user *name*, or None when its table has a problem, then noted."""
        at: Key = ("user", name)
        if not 1 <= len(name.encode()) <= MAX_USER_NAME_BYTES or not name.isprintable():
            self.problem(at, f"a user name has 1 to {MAX_USER_NAME_BYTES} bytes, all printable")
        profile = raw.get("profile", self._templates[None].get("profile"))
        template = self._templates.get(profile) if isinstance(profile, str | None) else None
        if template is None:
            template = self._templates[None]
            if "profile" in raw and isinstance(profile, str):
                self.problem((*at, "profile"), f"there is no [profile.{profile}]")
        try:
            entry = _User.model_validate({**template, **raw})
        except ValidationError as error:
            self.problems += problems_of(error, at)
            return None
        self._check_address(at, entry)
        self._check_nat_address(at, entry)
        self._check_forwards(at, entry)
        self._check_ipv6(at, entry)
        for index, route in enumerate(entry.routes):
            self._claim((*at, "routes", index, "prefix"), route.prefix, name)
        if raw.keys() & {*_NAMES, *users6.POOLS}:
            self.check_names(at, entry, raw)
        return User(entry.password, _profile(name, entry), entry.classes, entry.interim_interval_s)

    def check_names(self, at: Key, entry: _Template, raw: Raw | None = None) -> None:
        """Note names that the configuration lacks; with *raw*, of its own keys only."""
        if self._known is None:
            return
        known = self._known
        offered = {
            "ipv4_pool": known.pools,
            "ipv6_profile": known.ipv6_profiles,
            "nat_profile": known.nat_profiles,
            "acl_in": known.acls,
            "acl_out": known.acls,
        }
        for key, table in _NAMES.items():
            name = getattr(entry, key)
            if name in (None, *offered[key]) or (raw is not None and key not in raw):
                continue
            if (key, name) != ("nat_profile", NO_NAT):
                self.problem((*at, key), f"there is no {table.format(name)} in the configuration")
        for pool, why in users6.wrong_pools(entry, known.ipv6_pools):
            if raw is None or pool[0] in raw:
                self.problem((*at, *pool), why)

    def _check_address(self, at: Key, entry: _User) -> None:
        address = entry.ipv4_address
        if address is None:
            return
        at = (*at, "ipv4_address")
        self._claim(at, address, str(at[1]))
        if self._known is not None and address in self._known.own_addresses:
            self.problem(at, f"{address} is an address of this box")
        if (entry.simultaneous_use or 1) > 1:
            self.problem(at, "a static address allows one session: simultaneous_use must be 1")

    def _check_ipv6(self, at: Key, entry: _User) -> None:
        own = () if self._known is None else self._known.own_addresses
        for key, network in entry.networks():
            self.claims.append(users6.Claim(network, (*at, *key), str(at[1])))
            for address in own:
                if isinstance(address, IPv6Address) and address in network:
                    self.problem((*at, *key), f"{address} is an address of this box")
            if (entry.simultaneous_use or 1) > 1:
                self.problem((*at, *key), "is for one session alone: simultaneous_use must be 1")

    def _check_nat_address(self, at: Key, entry: _User) -> None:
        address, known = entry.nat_address, self._known
        if address is None:
            return
        at, profile = (*at, "nat_address"), entry.nat_profile
        if known is None:
            return
        of_profile = known.nat_pool_of_profile
        if profile == NO_NAT or (profile in known.nat_profiles and profile not in of_profile):
            self.problem(at, f"nat_profile {profile} says that nothing is translated")
        pool = known.nat_addresses.get(address)
        if pool is None:
            self.problem(at, f"{address} is in no [[nat.pool]] of the configuration")
            return
        mode = known.nat_pools[pool]
        if mode == "deterministic":
            self.problem(at, f"{address} is of pool {pool}, whose ports go by the inner address")
        if mode == "one-to-one":
            self._claim(at, address, str(at[1]))
            if (entry.simultaneous_use or 1) > 1:
                self.problem(at, f"{address} is for one session alone: simultaneous_use must be 1")
        wanted = of_profile.get(profile or "")
        if wanted not in (None, pool):
            self.problem(at, f"{address} is of pool {pool}, nat_profile {profile} takes {wanted}")

    def _check_forwards(self, at: Key, entry: _User) -> None:
        address, known = entry.nat_address, self._known
        if not entry.port_forwards:
            return
        mode = ""
        if address is not None:
            pool = known.nat_addresses.get(address, "") if known is not None else ""
            mode = known.nat_pools.get(pool, "") if known is not None else "port-blocks"
        if mode != "port-blocks":
            self.problem(
                (*at, "port_forwards"), "needs a nat_address of a [[nat.pool]] with port blocks"
            )
            return
        if (entry.simultaneous_use or 1) > 1:
            self.problem((*at, "port_forwards"), "lead to one session: simultaneous_use must be 1")
        inner, external = set(), set()
        for index, forward in enumerate(entry.port_forwards):
            key = (*at, "port_forwards", index)
            name = str(forward).rsplit(" ", 1)[0]
            self._claim(key, f"{address} {name}", str(at[1]))
            kept = known.forward_ports if known is not None else (1, 0xFFFF)
            if kept is None or not kept[0] <= forward.external <= kept[1]:
                self.problem(key, f"port {forward.external} is not one of nat.forward_ports")
            if (forward.protocol, forward.inner) in inner:
                self.problem(key, f"a second forward leads to his port {forward.inner}")
            if (forward.protocol, forward.external) in external:
                self.problem(key, f"{address} {name} is forwarded twice")
            inner.add((forward.protocol, forward.inner))
            external.add((forward.protocol, forward.external))

    def _claim(self, key: Key, thing: IPv4Address | IPv4Network | str, name: str) -> None:
        owner = self._owners.setdefault(thing, name)
        if owner != name:
            self.problem(key, f"{thing} belongs to user {owner}, too")


_NAMES = {
    "ipv4_pool": '[[pool]] named "{}"',
    "ipv6_profile": "[ipv6.profile.{}]",
    "nat_profile": "[nat.profile.{}]",
    "acl_in": '[[acl]] named "{}"',
    "acl_out": '[[acl]] named "{}"',
}
"""Keys that name something of the configuration, and how that is written there."""


def _profile(name: str, entry: _User) -> SubscriberProfile:
    return SubscriberProfile(
        user_name=name,
        ipv4_address=entry.ipv4_address,
        ipv4_pool=entry.ipv4_pool,
        routes=tuple(
            FramedRoute(prefix=route.prefix, gateway=route.gateway, metric=route.metric)
            for route in entry.routes
        ),
        ipv4_dns=entry.ipv4_dns,
        ipv4_nbns=entry.ipv4_nbns,
        ipv6_interface_id=entry.ipv6_interface_id,
        ipv4=entry.ipv4,
        ipv6=entry.ipv6,
        ipv6_prefix=entry.ipv6_prefix,
        ipv6_pool=entry.ipv6_pool,
        ipv6_address=entry.ipv6_address,
        ipv6_address_pool=entry.ipv6_address_pool,
        delegated_prefix=entry.delegated_prefix,
        delegated_pool=entry.delegated_pool,
        ipv6_routes=entry.framed_routes(),
        ipv6_dns=entry.ipv6_dns,
        ipv6_announced_routes=entry.ipv6_announced_routes,
        ipv6_profile=entry.ipv6_profile,
        rate_up=_rate(entry.rate_up),
        rate_down=_rate(entry.rate_down),
        acl_in=entry.acl_in,
        acl_out=entry.acl_out,
        mtu=entry.mtu,
        mss_clamp=entry.mss_clamp,
        nat_profile=entry.nat_profile,
        nat_address=entry.nat_address,
        port_forwards=entry.port_forwards,
        session_timeout_s=entry.session_timeout_s,
        idle_timeout_s=entry.idle_timeout_s,
        simultaneous_use=entry.simultaneous_use,
        reply_message=entry.reply_message,
    )


def _rate(rate: _Rate | None) -> RatePolicy | None:
    if rate is None:
        return None
    pir_bps = rate.pir_bps
    return RatePolicy(
        cir_bps=rate.cir_bps,
        cbs_bytes=rate.cbs_bytes or default_burst_bytes(rate.cir_bps),
        ebs_bytes=rate.ebs_bytes,
        pir_bps=pir_bps,
        pbs_bytes=0 if pir_bps is None else rate.pbs_bytes or default_burst_bytes(pir_bps),
    )
