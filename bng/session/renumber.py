"""Another prefix on the link of a session that lives, when it may not keep its own. Sans-IO.

AAA says another prefix or pool, or the pool that it was of is gone. The client is told by Router
Advertisements; the prefix of before goes on, deprecated, for as long as it was promised: its hosts
talk with it to the end (RFC 4862 §5.5.4, RFC 9096 §3.5). What DHCPv6 gave is replaced when the
client renews it: `bng.ipv6.bindings`.
"""

from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from bng.ipv6.advertise import TWO_HOURS_S
from bng.ipv6.server import Server
from bng.session import logs
from bng.session.actions import DeleteRoute
from bng.session.ipv6_side import Ipv6Side, current
from bng.session.model import Session
from bng.values import inside

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

MAX_OLD = 4
"""Prefixes of before that a link has: of more, the oldest ends early."""


def keeps(manager: "SessionManager", session: Session, prefix: IPv6Network) -> bool:
    """Say whether the link may have *prefix*, which is the session's."""
    profile = session.profile
    if profile is None:
        return True
    if profile.ipv6_prefix is not None:
        return prefix == profile.ipv6_prefix
    named = manager.settings.ipv6.known(profile.ipv6_pool)
    return manager.pools6.is_of(prefix, named)


def is_due(manager: "SessionManager", session: Session) -> bool:
    """Say whether the link has a prefix that it may not keep."""
    side = session.ipv6
    own = None if side is None else side.prefix
    return own is not None and not keeps(manager, session, own)


def move(manager: "SessionManager", session: Session, side: Ipv6Side, now: float) -> bool:
    """Give the link another prefix if it has to have one; False: there is no need, or none.

    The caller tells the dataplane, and when that is done the client: `announce`.
    """
    before = side.prefix
    if before is None or keeps(manager, session, before):
        return False
    prefix = _take(manager, session, side, now)
    if prefix is None:
        return False
    side.prefix = side.logged = prefix
    side.old.pop(prefix, None)
    side.old[before] = now + min(side.link.advertiser.valid_s, TWO_HOURS_S)
    if len(side.old) > MAX_OLD:
        _free(manager, session, next(iter(side.old)), now)
    if isinstance(side.link.dhcpv6, Server):
        side.link.dhcpv6.on_link = (prefix,)
    side.recorded = None
    side.plan()
    manager.reschedule(session)
    manager.accounts.changed_soon(session, now)
    manager.write_down(session)  # nothing leads to it that the next bngd does not know
    manager.counters["ipv6_renumbered"] += 1
    manager.emit(logs.ipv6_renumbered(session, before, prefix))
    return True


def announce(manager: "SessionManager", session: Session, side: Ipv6Side, now: float) -> None:
    """Tell the client of the prefix of its link, if that is another than it was told."""
    if side.started and side.link.advertiser.prefix != side.prefix:
        side.link.advertiser.renumber(side.prefix, now)
        side.plan()
        manager.reschedule(session)


def expire(manager: "SessionManager", session: Session, side: Ipv6Side, now: float) -> None:
    """End prefixes of before whose time is over; those with addresses in use wait for these."""
    for prefix in [prefix for prefix, until in side.old.items() if until <= now]:
        leases = current(side).items()
        used = [until for lease, until in leases if inside(lease.network, prefix)]
        if used:
            side.old[prefix] = max(now + 1, *used)
        else:
            _free(manager, session, prefix, now)
            manager.write_down_soon(session)
            if side.on:
                manager.emit(DeleteRoute(session.handle, prefix))
        side.plan()


def _free(manager: "SessionManager", session: Session, prefix: IPv6Network, now: float) -> None:
    side = session.ipv6
    assert side is not None  # noqa: S101 - the caller has it
    del side.old[prefix]
    manager.emit(logs.ipv6_prefix_ended(session, prefix))
    side.recorded = None
    manager.pools6.release(prefix, now, remember=False)


def _take(
    manager: "SessionManager", session: Session, side: Ipv6Side, now: float
) -> IPv6Network | None:
    """Return a prefix that the link may have; None: there is none."""
    profile, user = session.profile, session.user_name
    if profile is None or user is None:
        return None
    again = next((prefix for prefix in side.old if keeps(manager, session, prefix)), None)
    if again is not None:
        return again
    static = profile.ipv6_prefix
    if static is not None:
        holder = manager.pools6.claim(static, session.acct_session_id, now)
        if holder is not None:
            manager.ipv6.conflict(session, static, holder)
        return static if holder is None else None
    pool = manager.settings.ipv6.link_pool_of(profile)
    return None if pool is None else manager.pools6.allocate(pool, user, now)
