"""Ranges of IPv4 addresses, and what is left of them after exclusions."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True, order=True)
class Ipv4Range:
    """The addresses from *first* to *last*, both included. Raises: ValueError when empty."""

    first: IPv4Address
    last: IPv4Address

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.first}-{self.last} ends before it starts")

    def __contains__(self, address: IPv4Address) -> bool:
        return self.first <= address <= self.last

    def __len__(self) -> int:
        return int(self.last) - int(self.first) + 1

    def overlaps(self, other: "Ipv4Range") -> bool:
        """Say whether an address is in both."""
        return self.first <= other.last and other.first <= self.last

    @classmethod
    def of(cls, prefix: IPv4Network) -> "Ipv4Range":
        """Return all addresses of *prefix*: on a PPP link, or behind NAT, none is special."""
        return cls(prefix[0], prefix[-1])

    @classmethod
    def parse(cls, text: str) -> "Ipv4Range":
        """Read ``192.0.2.0/24``, ``192.0.2.10-192.0.2.20`` or ``192.0.2.1``.

        Raises: ValueError.
        """
        if "-" in text:
            first, _, last = text.partition("-")
            return cls(IPv4Address(first.strip()), IPv4Address(last.strip()))
        return cls.of(IPv4Network(text.strip()))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


Segment = tuple[int, int]  # first and last address


def segments(ranges: Iterable[Ipv4Range], exclude: Iterable[Ipv4Range]) -> list[Segment]:
    """Return *ranges* without *exclude* as disjoint segments in ascending order."""
    return subtract(
        ((int(item.first), int(item.last)) for item in ranges),
        ((int(item.first), int(item.last)) for item in exclude),
    )


def subtract(ranges: Iterable[Segment], exclude: Iterable[Segment]) -> list[Segment]:
    """Return *ranges* without *exclude* as disjoint segments in ascending order."""
    left: list[Segment] = []
    holes = _merged(exclude)
    for first, last in _merged(ranges):
        start = first
        for hole_first, hole_last in holes:
            if hole_last < start or hole_first > last:
                continue
            if start < hole_first:
                left.append((start, hole_first - 1))
            start = hole_last + 1
        if start <= last:
            left.append((start, last))
    return left


def _merged(ranges: Iterable[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
