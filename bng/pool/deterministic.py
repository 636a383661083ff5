"""Deterministic NAT (RFC 7422): inner address and public ports follow from each other.

The inner addresses of all prefixes, in their order, are numbered; so are the ranges of ports, all
of one public address before those of the next. Host n has range n. Every address of a prefix
counts, the first and the last too: nothing has to be remembered but the configuration. Prefixes
that are appended, inside or outside, move nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

PORTS = 1 << 16


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports *first* to *last*, both included, of a public *address*."""

    address: IPv4Address
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deterministic:
    """Who has which ports. *ports* of each host, a power of two; none below *port_min* is used."""

    inside: tuple[IPv4Network, ...]
    outside: tuple[IPv4Network, ...]
    ports: int
    port_min: int

    @property
    def hosts(self) -> int:
        """How many inner addresses there are."""
        return sum(prefix.num_addresses for prefix in self.inside)

    @property
    def capacity(self) -> int:
        """How many hosts have a range."""
        return self._per_address * sum(prefix.num_addresses for prefix in self.outside)

    @property
    def _lowest(self) -> int:
        """The first port that is used: ranges start at multiples of their length."""
        return -(-self.port_min // self.ports) * self.ports

    @property
    def _per_address(self) -> int:
        return (PORTS - self._lowest) // self.ports

    def range_of(self, inner: IPv4Address) -> PortRange | None:
        """Return the ports of *inner*, None when it is not served."""
        host = _number(self.inside, inner)
        if host is None or host >= self.capacity:
            return None
        return self._range(host)

    def inner_of(self, outer: IPv4Address, port: int) -> IPv4Address | None:
        """Return who has *port* of *outer*, None when nobody does."""
        index = _number(self.outside, outer)
        if index is None or not self._lowest <= port < PORTS:
            return None
        host = index * self._per_address + (port - self._lowest) // self.ports
        return _member(self.inside, host)

    def all_ranges(self) -> Iterator[tuple[IPv4Address, PortRange]]:
        """Iterate over all hosts and their ports, in order."""
        inner = (address for prefix in self.inside for address in prefix)
        for host, address in zip(range(self.capacity), inner, strict=False):
            yield address, self._range(host)

    def _range(self, host: int) -> PortRange:
        index, place = divmod(host, self._per_address)
        address = _member(self.outside, index)
        assert address is not None  # noqa: S101 - the host is within the capacity
        first = self._lowest + place * self.ports
        return PortRange(address, first, first + self.ports - 1)


def _number(prefixes: Sequence[IPv4Network], address: IPv4Address) -> int | None:
    before = 0
    for prefix in prefixes:
        if address in prefix:
            return before + int(address) - int(prefix.network_address)
        before += prefix.num_addresses
    return None


def _member(prefixes: Sequence[IPv4Network], number: int) -> IPv4Address | None:
    for prefix in prefixes:
        if number < prefix.num_addresses:
            return prefix.network_address + number
        number -= prefix.num_addresses
    return None
