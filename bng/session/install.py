"""What a session's profile means to the dataplane."""

from ipaddress import IPv4Address, IPv4Network

from bng.aaa.model import SubscriberProfile
from bng.session.actions import FilterSession, PoliceSession, UpSession
from bng.session.model import Session
from bng.session.settings import Settings

# Bits of `enum session_in_feature` and `enum session_out_feature`.
IN_ANTISPOOF4 = 1 << 1
IN_IP4_OFF = OUT_IP4_OFF = 1 << 4
IN_MSS_CLAMP = 1 << 7
IN_NAT44 = 1 << 9
OUT_MSS_CLAMP = 1 << 7
TCP_IP_HEADERS_BYTES = 40


def _granted(session: Session) -> tuple[SubscriberProfile, IPv4Address | None]:
    """Return profile and IPv4 address, which a session has before its NCPs begin."""
    profile = session.profile
    assert profile is not None  # noqa: S101 - granted
    return profile, session.ipv4_address


def routes(session: Session) -> tuple[IPv4Network, ...]:
    """Return what leads to the session: its addresses, inside and public, and framed routes."""
    profile, address = _granted(session)
    if address is None:
        return ()
    own = () if session.nat_public is None else (host_route(session.nat_public),)
    return (host_route(address), *(route.prefix for route in profile.routes), *own)


def host_route(address: IPv4Address) -> IPv4Network:
    """Return the prefix of *address* alone; `IPv4Network` of an address would read its text."""
    return IPv4Network((int(address), 32))


def translated(settings: Settings, session: Session) -> bool:
    """Say whether the session needs ports of a public address."""
    profile, address = _granted(session)
    if address is None:
        return False
    return settings.translates(profile, address) and own_address_pool(settings, session) is None


def own_address_pool(settings: Settings, session: Session) -> str | None:
    """Return the one-to-one pool that the session is to have a public address of."""
    profile, address = _granted(session)
    return None if address is None else settings.own_address_pool(profile, address)


def nat_pool(settings: Settings, session: Session) -> str | None:
    """Return the NAT pool of the session, None: any with port blocks."""
    profile, _ = _granted(session)
    return settings.nat_pool_of_profile.get(profile.nat_profile or "")


def up(settings: Settings, session: Session) -> UpSession:
    """Return the command that makes the dataplane forward for the session."""
    profile, address = _granted(session)
    features_in, features_out, mss = IN_ANTISPOOF4, 0, 0
    if not session.ipv4_on:
        features_in |= IN_IP4_OFF
        features_out |= OUT_IP4_OFF
    if session.nat_place is not None:
        features_in |= IN_NAT44
    limit = settings.mru.get(session.line.port, session.peer_mru)
    mtu_out = min(session.peer_mru, limit, profile.mtu or limit)
    mtu_in = min(limit, profile.mtu or limit)
    if settings.mss_clamp if profile.mss_clamp is None else profile.mss_clamp:
        features_in |= IN_MSS_CLAMP
        features_out |= OUT_MSS_CLAMP
        mss = min(mtu_in, mtu_out) - TCP_IP_HEADERS_BYTES
    return UpSession(
        session.handle,
        address,
        session.nat_place,
        features_in,
        features_out,
        mtu_in,
        mtu_out,
        mss,
        profile.idle_timeout_s or 0,
    )


def police(settings: Settings, session: Session) -> PoliceSession:
    """Return the command that makes the dataplane keep to the session's rates."""
    profile, _ = _granted(session)
    overhead = settings.policer_overhead_bytes
    return PoliceSession(session.handle, profile.rate_up, profile.rate_down, overhead)


def filters(settings: Settings, session: Session) -> FilterSession:
    """Return the command that gives the session its ACLs."""
    profile, _ = _granted(session)
    acl_in, acl_out = (
        0 if name is None else settings.acls[name] for name in (profile.acl_in, profile.acl_out)
    )
    return FilterSession(session.handle, acl_in, acl_out)


def bypass(settings: Settings, session: Session) -> int:
    """Return the ACL of what NAT leaves as it is of the session's packets, 0 for none."""
    profile, _ = _granted(session)
    translated = session.nat_place is not None or session.nat_public is not None
    return settings.nat_bypass.get(profile.nat_profile or "", 0) if translated else 0
