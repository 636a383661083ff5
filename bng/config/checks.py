"""What the keys of bng.toml mean to each other: checks that no single key can make.

Each check yields (key, message) pairs; `bng.config.load` reports them with file and line.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise

from bng.aaa.model import NO_NAT
from bng.config.ipv6_checks import ipv6
from bng.config.model import (
    IPV6_MTU,
    MAX_NAT_ADDRESSES,
    MAX_ONE_TO_ONE_ADDRESSES,
    MAX_POOL_ADDRESSES,
    MAX_PORTS,
    PPPOE_MRU,
    PPPOE_OVERHEAD,
    AccessPort,
    Config,
    Routed,
    RoutedVlan,
)
from bng.config.radius_checks import radius
from bng.config.vlan_checks import vlans
from bng.pool.ranges import Ipv4Range
from bng.tomlfile import Key, Problem

LOCAL_TABLE = 255
"""RT_TABLE_LOCAL of the kernel."""
MAX_SERVICE_NAME_TAGS_BYTES = 512
"""What all Service-Name tags together may take of a PADO."""


def problems(config: Config) -> list[Problem]:
    """Return what is wrong with *config*, whose keys are each right for themselves."""
    return [problem for check in _CHECKS for problem in check(config)]


def _repeated(config: Config) -> Iterator[Problem]:
    """Find what may be in the file only once."""
    ports, pools, nat_pools = config.port, config.pool, config.nat.pool
    yield from _repeats(
        *((("port", n, "name"), port.name) for n, port in enumerate(ports)),
    )
    yield from _repeats(
        *(
            (("port", n, "interface"), port.interface)
            for n, port in enumerate(ports)
            if not isinstance(port, RoutedVlan)
        ),
        *(
            (("port", n, "tap"), port.tap_name)
            for n, port in enumerate(ports)
            if isinstance(port, Routed)
        ),
    )
    yield from _repeats(*((("route", n, "prefix"), r.prefix) for n, r in enumerate(config.route)))
    yield from _repeats(*((("pool", n, "name"), pool.name) for n, pool in enumerate(pools)))
    yield from _repeats(
        *((("nat", "pool", n, "name"), pool.name) for n, pool in enumerate(nat_pools))
    )
    yield from _repeats(*((("ppp", "auth", n), name) for n, name in enumerate(config.ppp.auth)))
    yield from _repeats(*((("acl", n, "name"), acl.name) for n, acl in enumerate(config.acl)))
    workers = config.dataplane.workers
    yield from _repeats(
        *((("dataplane", "workers", n), cpu) for n, cpu in enumerate(workers) if cpu is not None)
    )


def _repeats(*values: tuple[Key, object]) -> Iterator[Problem]:
    seen = set()
    for key, value in values:
        if value in seen:
            yield key, f"{value} is in use already"
        seen.add(value)


def _port_counts(config: Config) -> Iterator[Problem]:
    if not config.access_ports:
        yield ("port",), 'no port has role = "access"'
    if len(config.port) + len(config.routed_ports) > MAX_PORTS:
        yield ("port",), f"more than {MAX_PORTS} ports, where a routed port counts twice"
    for index, port in enumerate(config.port):
        if isinstance(port, RoutedVlan):
            continue
        if port.worker >= len(config.dataplane.workers):
            yield ("port", index, "worker"), "there are not that many workers, counted from 0"


def _access_rules(config: Config) -> Iterator[Problem]:
    for index, port in enumerate(config.port):
        if not isinstance(port, AccessPort):
            continue
        for number, rule in enumerate(port.access):
            if rule.outer.high == 0 and rule.inner.low > 0:
                at: Key = ("port", index, "access", number, "inner")
                yield at, "there is no inner tag without an outer one"


def _routed_ports(config: Config) -> Iterator[Problem]:
    seen: list[tuple[IPv4Network | IPv6Network, str]] = []
    for index, port in enumerate(config.port):
        if not isinstance(port, Routed):
            continue
        for number, address in enumerate(port.addresses):
            at: Key = ("port", index, "addresses", number)
            if not _is_host(address.ip):
                yield at, f"{address.ip} is not a unicast address"
            elif address.version == 6 and port.mtu < IPV6_MTU:
                yield at, f"IPv6 needs an mtu of {IPV6_MTU}"
            for network, name in seen:
                if name != port.name and address.network.overlaps(network):
                    yield at, f"overlaps {network} of port {name}"
            seen.append((address.network, port.name))


def _routes(config: Config) -> Iterator[Problem]:
    addresses = [address for port in config.routed_ports for address in port.addresses]
    for index, route in enumerate(config.route):
        if any(route.via == address.ip for address in addresses):
            yield ("route", index, "via"), f"{route.via} is an address of this box"
        elif route.prefix.version != route.via.version:
            yield ("route", index, "via"), f"{route.via} is not of the family of {route.prefix}"
        elif not any(route.via in address.network for address in addresses):
            yield ("route", index, "via"), f"{route.via} is in no network of a routed port"


def _services(config: Config) -> Iterator[Problem]:
    pppoe = config.pppoe
    lists: list[tuple[Key, tuple[str, ...]]] = [(("pppoe", "service_names"), pppoe.service_names)]
    lists += [
        (("port", index, "service_names"), port.service_names)
        for index, port in enumerate(config.port)
        if isinstance(port, AccessPort) and port.service_names is not None
    ]
    for key, names in lists:
        if sum(4 + len(name) for name in names) > MAX_SERVICE_NAME_TAGS_BYTES:
            yield key, f"more than fits into {MAX_SERVICE_NAME_TAGS_BYTES} bytes of a PADO"
        if not (names or pppoe.accept_any_service or pppoe.accept_empty_service):
            yield key, "no service is offered: name one, or accept any or the empty one"
    if pppoe.holdoff_max_s < pppoe.holdoff_initial_s:
        yield ("pppoe", "holdoff_max_s"), "must be at least holdoff_initial_s"


def _mtus(config: Config) -> Iterator[Problem]:
    largest = max((port.mtu for port in config.access_ports), default=0) - PPPOE_OVERHEAD
    if config.access_ports and config.pppoe.max_payload > max(largest, PPPOE_MRU):
        yield (
            ("pppoe", "max_payload"),
            f"no access port has an mtu of {config.pppoe.max_payload + PPPOE_OVERHEAD}",
        )
    needed = config.ppp.mru + PPPOE_OVERHEAD
    for index, port in enumerate(config.port):
        if isinstance(port, AccessPort) and port.mtu < needed:
            yield ("port", index, "mtu"), f"must be at least {needed} for ppp.mru {config.ppp.mru}"


def _pools(config: Config) -> Iterator[Problem]:
    if not config.pool and not config.ipv6.on:
        yield ("pool",), "no [[pool]] and no [[ipv6.pool]]: there is nothing to give to subscribers"
    for index, pool in enumerate(config.pool):
        at: Key = ("pool", index)
        if sum(len(part) for part in pool.ranges) > MAX_POOL_ADDRESSES:
            yield (*at, "ranges"), f"more than {MAX_POOL_ADDRESSES} addresses"
        for number, part in enumerate(pool.ranges):
            if not (_is_unicast(part.first) and _is_unicast(part.last)):
                yield (*at, "ranges", number), f"{part} is not unicast"
        for number, part in enumerate(pool.exclude):
            if not any(part.first in outer and part.last in outer for outer in pool.ranges):
                yield (*at, "exclude", number), f"{part} is not inside one of the ranges"
        if not _is_unicast(pool.gateway):
            yield (*at, "gateway"), f"{pool.gateway} is not a unicast address"


def _shared_addresses(config: Config) -> Iterator[Problem]:
    """Find addresses in two pools, be they of private or of public addresses."""
    parts: list[tuple[Ipv4Range, Key, str]] = [
        (part, ("pool", index, "ranges", number), f"pool {pool.name}")
        for index, pool in enumerate(config.pool)
        for number, part in enumerate(pool.ranges)
    ]
    parts += [
        (Ipv4Range.of(prefix), ("nat", "pool", index, "addresses", number), f"NAT pool {pool.name}")
        for index, pool in enumerate(config.nat.pool)
        for number, prefix in enumerate(pool.addresses)
    ]
    parts.sort(key=lambda entry: (entry[0].first, entry[0].last))
    for (before, _, owner), (part, key, _) in pairwise(parts):
        if part.overlaps(before):
            yield key, f"overlaps {before} of {owner}"


def _pool_chain(config: Config) -> Iterator[Problem]:
    nexts = {pool.name: pool.next for pool in config.pool}
    for index, pool in enumerate(config.pool):
        if pool.next is not None and pool.next not in nexts:
            yield ("pool", index, "next"), f"there is no pool {pool.next}"
        step, passed = pool.next, set()
        while step is not None and step not in passed:
            if step == pool.name:
                yield ("pool", index, "next"), "the chain of pools comes back to this one"
            passed.add(step)
            step = nexts.get(step)
    default = config.session.default_pool
    if default is not None and default not in nexts:
        yield ("session", "default_pool"), f"there is no pool {default}"


def _export(config: Config) -> Iterator[Problem]:
    known = {pool.name for pool in config.pool} | {pool.name for pool in config.ipv6.pool}
    for index, name in enumerate(config.export.pools or ()):
        if name not in known:
            yield ("export", "pools", index), f"there is no pool {name}"
    if config.export.table == LOCAL_TABLE:
        yield ("export", "table"), "is the kernel's own, of local addresses"


def _own_addresses(config: Config) -> Iterator[Problem]:
    """Find addresses of the box that are given to a subscriber."""
    own: list[tuple[Key, IPv4Address]] = [
        (("pool", index, "gateway"), pool.gateway) for index, pool in enumerate(config.pool)
    ]
    own += [
        (("port", index, "addresses", number), address.ip)
        for index, port in enumerate(config.port)
        if isinstance(port, Routed)
        for number, address in enumerate(port.addresses)
        if isinstance(address, IPv4Interface)
    ]
    for key, address in own:
        for pool in config.pool:
            if pool.gives(address):
                yield key, f"pool {pool.name} gives {address} to subscribers: exclude it there"


def _nat(config: Config) -> Iterator[Problem]:
    nat = config.nat
    powers = (
        "port_block_size",
        "forwards_per_worker",
        "remotes_per_worker",
        "protocol_flows_per_worker",
        "log_buffer_mib",
    )
    for power in powers:
        if getattr(nat, power).bit_count() != 1:
            yield ("nat", power), "must be a power of two"
    if NO_NAT in nat.profile:
        yield ("nat", "profile", NO_NAT), f"{NO_NAT} is built in: never translate"
    yield from _nat_pools(config)
    own = {address.ip for port in config.routed_ports for address in port.addresses4}
    own |= {pool.gateway for pool in config.pool}
    parts = [
        (Ipv4Range.of(prefix), ("nat", "pool", index, "addresses", number))
        for index, pool in enumerate(nat.pool)
        for number, prefix in enumerate(pool.addresses)
    ]
    for part, key in parts:
        if not (_is_unicast(part.first) and _is_unicast(part.last)):
            yield key, f"{part} is not unicast"
        for address in sorted(own):
            if address in part:
                yield key, f"holds {address}, an address of this box"
    yield from _nat_counts(config)


def _nat_counts(config: Config) -> Iterator[Problem]:
    nat = config.nat
    shared = sum(prefix.num_addresses for pool in nat.shared_pools for prefix in pool.addresses)
    if shared > MAX_NAT_ADDRESSES:
        yield ("nat", "pool"), f"more than {MAX_NAT_ADDRESSES} public addresses"
    elif shared > nat.room:
        yield ("nat", "max_addresses"), f"{nat.room}, and the pools have {shared}"
    if len(nat.addresses) - shared > MAX_ONE_TO_ONE_ADDRESSES:
        yield ("nat", "pool"), f"more than {MAX_ONE_TO_ONE_ADDRESSES} addresses one-to-one"
    workers = len(config.dataplane.workers)
    if nat.shared_pools and shared < workers:
        yield ("nat", "pool"), f"{shared} public addresses for {workers} workers: one each at least"


def _nat_pools(config: Config) -> Iterator[Problem]:
    """Check modes of pools against each other and against the profiles that name them."""
    nat = config.nat
    names = {pool.name for pool in nat.pool}
    for name, profile in nat.profile.items():
        if profile.bypass and not profile.translate:
            yield ("nat", "profile", name, "bypass"), "translate = false bypasses all"
        at: Key = ("nat", "profile", name, "pool")
        if profile.pool is None:
            continue
        if profile.pool not in names:
            yield at, f"there is no [[nat.pool]] named {profile.pool}"
        if not profile.translate:
            yield at, "translate = false takes no pool"
    for index, pool in enumerate(nat.pool):
        at = ("nat", "pool", index, "inside")
        if pool.inside and pool.mode != "deterministic":
            yield at, f"is for pools with mode deterministic, not {pool.mode}"
        if pool.mode == "deterministic" and not pool.inside:
            yield ("nat", "pool", index, "mode"), "deterministic needs inside: whom it serves"
        if pool.ports_per_subscriber is not None and pool.mode != "deterministic":
            at = ("nat", "pool", index, "ports_per_subscriber")
            yield at, f"is for pools with mode deterministic, not {pool.mode}"
    yield from _overlapping_inside(config)
    yield from _deterministic(config)


def _deterministic(config: Config) -> Iterator[Problem]:
    """Find deterministic pools that cannot give each of their hosts its ports."""
    size, pools = config.nat.port_block_size, config.nat.deterministic()
    for index, pool in enumerate(config.nat.pool):
        if pool.mode != "deterministic":
            continue
        ports = pools[pool.name]
        if ports.ports & (ports.ports - 1) or ports.ports % size:
            at: Key = ("nat", "pool", index, "ports_per_subscriber")
            yield at, f"must be a power of two, and at least port_block_size, {size}"
        elif ports.hosts > ports.capacity:
            yield (
                ("nat", "pool", index, "inside"),
                f"{ports.hosts} subscribers with {ports.ports} ports each: the addresses have room "
                f"for {ports.capacity}",
            )


def _overlapping_inside(config: Config) -> Iterator[Problem]:
    parts: list[tuple[Ipv4Range, Key, str]] = [
        (Ipv4Range.of(prefix), ("nat", "pool", index, "inside", number), pool.name)
        for index, pool in enumerate(config.nat.pool)
        for number, prefix in enumerate(pool.inside)
    ]
    parts.sort(key=lambda entry: (entry[0].first, entry[0].last))
    for (before, _, owner), (part, key, _) in pairwise(parts):
        if part.overlaps(before):
            yield key, f"overlaps {before} of pool {owner}"


def _is_host(address: IPv4Address | IPv6Address) -> bool:
    """Return whether *address* is fit for a routed port; the kernel makes the link-local ones."""
    if isinstance(address, IPv4Address):
        return _is_unicast(address)
    return not (
        address.is_multicast
        or address.is_loopback
        or address.is_unspecified
        or address.is_link_local
        or address.ipv4_mapped
    )


def _is_unicast(address: IPv4Address) -> bool:
    """Return whether a host could have *address* (RFC 1122 §3.2.1.3)."""
    return not (
        address.is_multicast
        or address.is_loopback
        or address.is_reserved
        or int(address) >> 24 == 0
    )


_CHECKS = (
    _repeated,
    _port_counts,
    _access_rules,
    _routed_ports,
    vlans,
    _routes,
    _services,
    _mtus,
    _pools,
    _shared_addresses,
    _pool_chain,
    _own_addresses,
    _export,
    _nat,
    ipv6,
    radius,
)
