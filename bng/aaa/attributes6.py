"""What RADIUS attributes of IPv6 mean: RFC 3162, RFC 4818, RFC 6911; a part of `attributes.ROWS`.

A link has one prefix, a /64 (RFC 4291 §2.5.1), a session one address and one delegated prefix by
DHCPv6; more are refused, for a subscriber without what the server accounts for is worse than none.
"""

from ipaddress import IPv6Address, IPv6Network

from bng.aaa.model import FramedIpv6Route
from bng.aaa.reading import Reader, Reading, Refusal, Row, Unserved, Value, as_

LINK_BITS = 64
POOL_LENGTHS = {"ipv6_pool": (64, 64), "ipv6_address_pool": (128, 128), "delegated_pool": (1, 64)}
"""Of what pool fields name: how long the prefixes may be."""
MAX_ROUTES = 16
MAX_DNS = 3
GLOBAL_UNICAST = IPv6Network("2000::/3")
UNIQUE_LOCAL = IPv6Network("fc00::/7")


def check_prefix(prefix: IPv6Network) -> IPv6Network:
    """Return *prefix*, which may be a subscriber's. Raises: ValueError, why not."""
    if not any(prefix.subnet_of(whole) for whole in (GLOBAL_UNICAST, UNIQUE_LOCAL)):
        raise ValueError(f"{prefix} is no prefix for a subscriber")
    return prefix


def check_pool(name: str, length: int) -> None:
    """Raises: ValueError when prefixes of *length* are nothing for the pool field *name*."""
    low, high = POOL_LENGTHS[name]
    if not low <= length <= high:
        raise ValueError(f"the pool has prefixes of length {length}, not {low} to {high}")


def framed_ipv6_route(text: str) -> FramedIpv6Route:
    """Read ``PREFIX [GATEWAY [METRIC...]]`` (RFC 3162 §2.5). Raises: ValueError.

    A prefix without a length is one address, which is one prefix of that form.
    """
    words = text.split()
    if not words:
        raise ValueError("empty")
    prefix = check_prefix(IPv6Network(words[0]))
    gateway = IPv6Address(words[1]) if len(words) > 1 else IPv6Address(0)
    metric = int(words[2]) if len(words) > 2 else 1
    if not 0 <= metric <= 0xFFFF_FFFF:
        raise ValueError(f"metric {metric}")
    return FramedIpv6Route(prefix=prefix, gateway=gateway if int(gateway) else None, metric=metric)


def _once(reading: Reading, name: str, value: object) -> None:
    if name in reading.fields:
        raise Refusal("more than one is not served")
    reading.put(name, value)


def _foreign(reading: Reading, prefix: IPv6Network) -> IPv6Network:
    """Return *prefix*, which has no address of the box in it. Raises: Refusal."""
    check_prefix(prefix)
    own = reading.offered.own_addresses
    for address in own:
        if isinstance(address, IPv6Address) and address in prefix:
            raise Refusal(f"{address} is an address of this box")
    return prefix


def _prefix(reading: Reading, value: Value) -> None:
    """RFC 3162 §2.3."""
    prefix = _foreign(reading, as_(IPv6Network, value))
    if prefix.prefixlen != LINK_BITS:
        raise Refusal(f"{prefix} is no /64; a network is delegated or routed")
    _once(reading, "ipv6_prefix", prefix)


def _address(reading: Reading, value: Value) -> None:
    """RFC 6911 §3.1."""
    address = as_(IPv6Address, value)
    _foreign(reading, IPv6Network(address))
    _once(reading, "ipv6_address", address)


def _delegated(reading: Reading, value: Value) -> None:
    """RFC 4818 §3; what the client gets is at least a link's."""
    prefix = _foreign(reading, as_(IPv6Network, value))
    if prefix.prefixlen > LINK_BITS:
        raise Refusal(f"{prefix} is longer than /64")
    _once(reading, "delegated_prefix", prefix)


def _pool(name: str) -> Reader:
    """Return a reader of the name of a pool; RFC 3162 §2.6, RFC 6911 §3.4, §3.5."""

    def reader(reading: Reading, value: Value) -> None:
        pool, lengths = as_(str, value), reading.offered.ipv6_pools
        if pool not in lengths:
            raise Refusal(f"there is no pool {pool}")
        check_pool(name, lengths[pool])
        reading.put(name, pool)

    return reader


def _append(reading: Reading, name: str, value: object, limit: int) -> None:
    before = reading.fields.get(name, ())
    if isinstance(before, tuple) and len(before) >= limit:
        raise Unserved(f"more than {limit}")
    reading.append(name, value)


def _route(reading: Reading, value: Value) -> None:
    """RFC 3162 §2.5; where it leads stays with the subscriber: one too many is refused."""
    before = reading.fields.get("ipv6_routes", ())
    if isinstance(before, tuple) and len(before) >= MAX_ROUTES:
        raise Refusal(f"more than {MAX_ROUTES} routes")
    route = framed_ipv6_route(as_(str, value))
    _foreign(reading, route.prefix)
    reading.append("ipv6_routes", route)


def _dns(reading: Reading, value: Value) -> None:
    """RFC 6911 §3.2: told to the client in the order received."""
    server = as_(IPv6Address, value)
    if server.is_multicast or server.is_unspecified or server.is_loopback:
        raise Unserved(f"{server} is no address of a server")
    _append(reading, "ipv6_dns", server, MAX_DNS)


def _announced(reading: Reading, value: Value) -> None:
    """RFC 6911 §3.3: told to the client in Router Advertisements."""
    _append(reading, "ipv6_announced_routes", as_(IPv6Network, value), MAX_ROUTES)


def _profile(reading: Reading, value: Value) -> None:
    name = as_(str, value)
    if name not in reading.offered.ipv6_profiles:
        raise Refusal(f"there is no IPv6 profile {name}")
    reading.put("ipv6_profile", name)


ROWS6 = (
    Row("Framed-IPv6-Prefix", "RFC 3162 §2.3", _prefix),
    Row("Framed-IPv6-Route", "RFC 3162 §2.5", _route, live=True),
    Row("Framed-IPv6-Pool", "RFC 3162 §2.6", _pool("ipv6_pool"), live=True),
    Row("Delegated-IPv6-Prefix", "RFC 4818 §3", _delegated),
    Row("Framed-IPv6-Address", "RFC 6911 §3.1", _address),
    Row("DNS-Server-IPv6-Address", "RFC 6911 §3.2", _dns),
    Row("Route-IPv6-Information", "RFC 6911 §3.3", _announced),
    Row("Delegated-IPv6-Prefix-Pool", "RFC 6911 §3.4", _pool("delegated_pool"), live=True),
    Row("Stateful-IPv6-Address-Pool", "RFC 6911 §3.5", _pool("ipv6_address_pool"), live=True),
    Row("Bng-Ipv6-Profile", "ours", _profile, live=True),
)
