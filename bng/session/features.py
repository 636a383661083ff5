"""Features of living sessions: told to the dataplane when they differ from what it was told last.

A profile may change while its user is connected: a reloaded user file, CoA (RFC 5176). What is
`LIVE` is applied at once; what is in `REDIAL` holds from the next session on.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bng.aaa.model import SubscriberProfile
from bng.session import install
from bng.session.actions import AddRoute, BypassSession, DeleteRoute
from bng.session.model import Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

LIVE = (
    "rate_up",
    "rate_down",
    "acl_in",
    "acl_out",
    "mss_clamp",
    "idle_timeout_s",
    "session_timeout_s",
    "port_forwards",
    "routes",
    "ipv6_routes",
    "ipv6_prefix",
    "ipv6_pool",
    "ipv6_address",
    "ipv6_address_pool",
    "delegated_prefix",
    "delegated_pool",
    "ipv6_profile",
)
"""Fields of a profile that a living session takes over; what DHCPv6 gives, when it is renewed."""
REDIAL = (
    "ipv4_address",
    "ipv4_pool",
    "ipv4_dns",
    "ipv4_nbns",
    "ipv6_interface_id",
    "ipv4",
    "ipv6",
    "ipv6_dns",
    "ipv6_announced_routes",
    "mtu",
    "nat_profile",
    "nat_address",
)
"""Fields that were negotiated with the client, or on which its state in the dataplane hangs."""


@dataclass(slots=True)
class Refreshed:
    """What a change of profiles or settings came to, in numbers of sessions."""

    changed: int = 0
    redial: Counter[str] = field(default_factory=Counter)
    """By field: sessions that get the new value when they dial again."""
    unknown_user: int = 0
    """Sessions whose user there is no more: they stay until they end."""


NAT = ("nat_profile", "nat_address")
"""Of those, what a living session takes over that needs no ports for it."""


def tell(manager: "SessionManager", session: Session) -> bool:
    """Tell the dataplane what is no part of UP, unless it knows; say whether it did not."""
    policed, filtered = _police(manager, session), _filter(manager, session)
    translated, bypassed = manager.one_to_one.tell(session), _bypass(manager, session)
    return policed or filtered or translated or bypassed


def _bypass(manager: "SessionManager", session: Session) -> bool:
    acl = install.bypass(manager.settings, session)
    if acl == session.bypassed:
        return False
    session.bypassed = acl
    manager.emit(BypassSession(session.handle, acl))
    return True


def _filter(manager: "SessionManager", session: Session) -> bool:
    wanted = install.filters(manager.settings, session)
    none = not wanted.acl_in and not wanted.acl_out
    if wanted == session.filtered or (none and session.filtered is None):
        return False
    session.filtered = None if none else wanted
    manager.emit(wanted)
    return True


def _police(manager: "SessionManager", session: Session) -> bool:
    wanted = install.police(manager.settings, session)
    none = wanted.up is None and wanted.down is None
    if wanted == session.policed or (none and session.policed is None):
        return False
    session.policed = None if none else wanted
    manager.emit(wanted)
    return True


def refresh(
    manager: "SessionManager",
    session: Session,
    profile: SubscriberProfile | None,
    result: Refreshed,
    now: float,
) -> bool:
    """Apply *profile*, that of the session's user now, and the settings; say whether that was any.

    What waits for a redial, and that there is no such user, is counted in *result*.
    """
    if session.state is State.ENDING or session.profile is None:
        return False
    before = session.profile
    follows = session.routes and manager.one_to_one.follow(session, profile or session.profile)
    names: tuple[str, ...] = (*LIVE, *NAT) if follows else LIVE
    if profile is None:
        result.unknown_user += 1
    elif profile != session.profile:
        old = session.profile
        session.profile = replace(old, **{name: getattr(profile, name) for name in names})
        _forget_sources(session, old)
        result.redial.update(
            name for name in REDIAL if getattr(session.profile, name) != getattr(profile, name)
        )
    changed = retell(manager, session, now)
    if changed or session.profile != before:
        manager.write_down(session)
    return changed


def _forget_sources(session: Session, old: SubscriberProfile) -> None:
    """Let what differs from *old* come from where the session's profile does, not from a CoA."""
    accept, new = session.accept, session.profile
    if accept is None or not accept.sources:
        return
    sources = {
        name: said
        for name, said in accept.sources.items()
        if getattr(old, name, None) == getattr(new, name, None)
    }
    session.accept = replace(accept, sources=sources)


def retell(manager: "SessionManager", session: Session, now: float) -> bool:
    """Tell the dataplane what it does not know of the session's profile; say whether that was any.

    A session that is not installed, or paused, is told with the installation to come.
    """
    _time(manager, session)
    manager.ipv6.links.reconfigure(session, now)
    changed = session.told is not None and _reroute(manager, session, now)
    if session.told is None or session.paused:
        return changed
    changed |= tell(manager, session)
    up = install.up(manager.settings, session)
    if up != session.told:
        manager.tell_up(session, up)
        changed = True
    return manager.forwards.tell(session) or changed


def _time(manager: "SessionManager", session: Session) -> None:
    """Count Session-Timeout (RFC 2865 §5.27) from the session's start, whenever it is said."""
    if session.up_at is None or session.cause is not None or session.profile is None:
        return
    limit = session.profile.session_timeout_s
    at = session.up_at + limit if limit else None
    if at != session.timeout_at:
        session.timeout_at = at
        manager.reschedule(session)


def _reroute(manager: "SessionManager", session: Session, now: float) -> bool:
    """Have the routes of an installed session be those of its profile."""
    changed = manager.ipv6.follow(session, now)
    wanted = install.routes(session)
    gone = [prefix for prefix in session.routes if prefix not in wanted]
    new = [prefix for prefix in wanted if prefix not in session.routes]
    for prefix in gone:
        manager.emit(DeleteRoute(session.handle, prefix, answered=True))
    for prefix in new:
        manager.emit(AddRoute(session.handle, prefix, answered=True))
    session.install_pending += len(gone) + len(new)
    session.routes = wanted
    return changed or bool(gone or new)
