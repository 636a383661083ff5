"""What reading the attributes of an answer or an order needs to remember, and how a row looks.

The rows are in `bng.aaa.attributes`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeVar

Value = int | str | bytes | IPv4Address | IPv6Address | IPv6Network
T = TypeVar("T", int, str, bytes, IPv4Address, IPv6Address, IPv6Network)


class Refusal(Exception):
    """The session cannot be what the server says: it must not be at all."""


class Unserved(Exception):
    """An attribute has no effect. The text says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What the configuration has for an answer to name."""

    pools: Collection[str] = ()
    ipv6_pools: Mapping[str, int] = field(default_factory=dict)
    """How long the prefixes of each are; addresses are 128."""
    ipv6_profiles: Collection[str] = ()
    acls: Collection[str] = ()
    nat_profiles: Collection[str] = ()
    own_addresses: Collection[IPv4Address | IPv6Address] = ()
    extra: Mapping[str, "Row"] = field(default_factory=dict)
    """Attributes that the configuration maps (`bng.aaa.extra`), by name."""


@dataclass(slots=True)
class Reading:
    """What was read so far: fields of `SubscriberProfile`, and what is to be logged."""

    offered: Offered
    attribute: str = ""
    """The one that is read now."""
    fields: dict[str, object] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """By field, those of the accept itself included: the attributes that it came from."""
    messages: list[str] = field(default_factory=list)
    classes: list[bytes] = field(default_factory=list)
    """Class (RFC 2865 §5.25): comes back with all accounting."""
    interim_interval_s: int | None = None
    """Acct-Interim-Interval (RFC 2869 §5.16)."""
    warnings: list[str] = field(default_factory=list)
    refusal: str | None = None
    ignored: list[str] = field(default_factory=list)

    def put(self, name: str, value: object) -> None:
        """Set a field of the profile."""
        self.fields[name] = value
        self.sources[name] = self.attribute

    def append(self, name: str, value: object, *, first: bool = False) -> None:
        """Add to a field of several values, behind them or in front."""
        before = self.fields.get(name, ())
        assert isinstance(before, tuple)  # noqa: S101 - only this makes them
        self.fields[name] = (value, *before) if first else (*before, value)
        self.came(name)

    def came(self, name: str) -> None:
        """Note that a part of the field *name* came from the attribute that is read."""
        before = self.sources.get(name)
        if before is None:
            self.sources[name] = self.attribute
        elif self.attribute not in before.split(", "):
            self.sources[name] = f"{before}, {self.attribute}"


Reader = Callable[[Reading, Value], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute: where it is defined, and what reads it. *live*: a CoA may change it."""

    name: str
    source: str
    read: Reader
    live: bool = False


def as_(kind: type[T], value: Value) -> T:
    """Return *value*, of the type *kind*. Raises: ValueError when it is of another one."""
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value
