"""Where each value of a session came from: RADIUS attribute, user file, pool, negotiation, default.

`bng.aaa.model.AccessAccept` says who answered and what of the answer set which field; what nobody
said is the configuration's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network

from bng.aaa.model import AccessAccept, SubscriberProfile
from bng.box import Box
from bng.mgmt.nat import nat_address_of
from bng.session.ipv6_side import Ipv6Side
from bng.session.model import Session


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value in effect, by the name of its field, and where it came from, for people."""

    name: str
    value: object
    source: str


SAID = (
    *("ipv4", "ipv6", "routes", "ipv6_routes", "ipv6_announced_routes", "rate_up", "rate_down"),
    *("acl_in", "acl_out", "port_forwards"),
)
SAID_LAST = ("session_timeout_s", "idle_timeout_s", "reply_message")
"""Fields of a profile that nothing stands in for."""


def sources_of(box: Box, session: Session) -> list[Sourced]:
    """Return every value that holds for the session, and where it came from."""
    profile, accept = session.profile, session.accept
    if profile is None or accept is None:
        return []
    return [
        *_name(session, accept),
        *_address(box, session, profile, accept),
        *_ipv6(box, session, profile, accept),
        *_said(profile, accept, SAID),
        *_link(box, session, profile, accept),
        *_nat(box, session, profile, accept),
        *_said(profile, accept, SAID_LAST),
        *_accounting(box, accept),
    ]


def _from(accept: AccessAccept, name: str) -> str:
    """Return who said the field *name*, and by what; a CoA-Request is named with its sender."""
    said = accept.sources.get(name)
    if said is None:
        return accept.source
    return said if ": " in said else f"{accept.source}: {said}"


def _said(
    profile: SubscriberProfile, accept: AccessAccept, names: tuple[str, ...]
) -> Iterator[Sourced]:
    for name in names:
        if (value := getattr(profile, name)) not in (None, "", ()):
            yield Sourced(name, value, _from(accept, name))


def _name(session: Session, accept: AccessAccept) -> Iterator[Sourced]:
    said = "user_name" in accept.sources
    yield Sourced("user_name", session.user_name, _from(accept, "user_name") if said else "client")


def _address(
    box: Box, session: Session, profile: SubscriberProfile, accept: AccessAccept
) -> Iterator[Sourced]:
    settings, address = box.manager.settings, session.ipv4_address
    first = settings.pool_of(profile)
    if address is not None and address == profile.ipv4_address:
        yield Sourced("ipv4_address", address, _from(accept, "ipv4_address"))
    elif address is not None:
        pool = box.manager.pools.pool_of(address)
        yield Sourced("ipv4_address", address, f"pool {pool}" if pool else "a pool of the past")
        default = "default: session.default_pool"
        said = first == profile.ipv4_pool
        yield Sourced("ipv4_pool", first, _from(accept, "ipv4_pool") if said else default)
    if address is not None and first is not None:
        yield Sourced("gateway", session.gateway, f"pool {first}")
        told = settings.pools[first]
        for name, value in (("ipv4_dns", told.dns), ("ipv4_nbns", told.nbns)):
            if said := getattr(profile, name):
                yield Sourced(name, said, _from(accept, name))
            elif value:
                yield Sourced(name, value, f"pool {first}")


def _ipv6(
    box: Box, session: Session, profile: SubscriberProfile, accept: AccessAccept
) -> Iterator[Sourced]:
    if session.interface_id is not None:
        said = session.interface_id == profile.ipv6_interface_id
        source = _from(accept, "ipv6_interface_id") if said else "negotiated"
        yield Sourced("ipv6_interface_id", f"{session.interface_id:016x}", source)
    side, policy = session.ipv6, box.manager.settings.ipv6
    if side is None:
        return
    pools = {
        "ipv6_prefix": ("ipv6_pool", policy.link_pool_of(profile), "link_pool"),
        "ipv6_address": ("ipv6_address_pool", policy.address_pool_of(profile), "address_pool"),
        "delegated_prefix": ("delegated_pool", policy.delegated_pool_of(profile), "delegated_pool"),
    }
    prefixes = () if side.prefix is None else (side.prefix,)
    held = zip(pools, (prefixes, side.addresses, side.delegated), strict=True)
    for name, values in held:
        for value in values[:1]:
            static = value == getattr(profile, name)
            own = _from(accept, name) if static else _giver(box, side, IPv6Network(value))
            yield Sourced(name, value if len(values) == 1 else values, own)
            key, pool, default = pools[name]
            if own == f"pool {pool}":
                said = pool == getattr(profile, key)
                yield Sourced(key, pool, _from(accept, key) if said else f"default: ipv6.{default}")
    named = profile.ipv6_profile if profile.ipv6_profile in policy.profiles else None
    if named is not None:
        yield Sourced("ipv6_profile", named, _from(accept, "ipv6_profile"))
    dns = policy.advertise_of(profile).rdnss
    if profile.ipv6_dns:
        yield Sourced("ipv6_dns", profile.ipv6_dns, _from(accept, "ipv6_dns"))
    elif dns:
        yield Sourced("ipv6_dns", dns, f"ipv6.profile.{named}" if named else "default: ipv6.dns")


def _giver(box: Box, side: Ipv6Side, network: IPv6Network) -> str:
    """Return where a prefix or address came from that is not static."""
    if side.prefix is not None and network != side.prefix and network.subnet_of(side.prefix):
        return "the link's prefix"
    pool = box.manager.pools6.pool_of(network)
    external = box.manager.settings.ipv6.dhcpv6 == "external"
    elsewhere = "external DHCPv6 server" if external else "a pool of the past"
    return f"pool {pool}" if pool else elsewhere


def _link(
    box: Box, session: Session, profile: SubscriberProfile, accept: AccessAccept
) -> Iterator[Sourced]:
    if session.told is not None:
        mtu = session.told.mtu_out
        yield Sourced("mtu", mtu, _from(accept, "mtu") if mtu == profile.mtu else "negotiated")
    clamp, use = profile.mss_clamp, profile.simultaneous_use
    if clamp is not None:
        yield Sourced("mss_clamp", clamp, _from(accept, "mss_clamp"))
    else:
        yield Sourced("mss_clamp", box.manager.settings.mss_clamp, "default: session.mss_clamp")
    source = "default" if use is None else _from(accept, "simultaneous_use")
    yield Sourced("simultaneous_use", use or 1, source)


def _nat(
    box: Box, session: Session, profile: SubscriberProfile, accept: AccessAccept
) -> Iterator[Sourced]:
    if profile.nat_profile is not None:
        yield Sourced("nat_profile", profile.nat_profile, _from(accept, "nat_profile"))
    public = nat_address_of(box, session)
    if public is None:
        return
    if public == str(profile.nat_address):
        yield Sourced("nat_address", public, _from(accept, "nat_address"))
        return
    address = IPv4Address(public)
    nat = box.config.nat.pool
    pools = (p.name for p in nat if any(address in prefix for prefix in p.addresses))
    yield Sourced("nat_address", public, f"NAT pool {next(pools, 'of the past')}")


def _accounting(box: Box, accept: AccessAccept) -> Iterator[Sourced]:
    settings = box.manager.settings
    if accept.classes:
        yield Sourced("classes", accept.classes, _from(accept, "classes"))
    if not settings.accounting:
        return
    if accept.interim_interval_s is not None:
        source = _from(accept, "interim_interval_s")
        yield Sourced("interim_interval_s", accept.interim_interval_s, source)
    else:
        source = "default: radius.accounting.interim_interval_s"
        yield Sourced("interim_interval_s", settings.interim_interval_s, source)
