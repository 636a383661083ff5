"""Sessions of a former bngd, taken over as they are: the client notices nothing. Sans-IO.

The dataplane has forwarded for them all along. It is told again what the record says: commands are
idempotent, so whatever was under way when the former bngd died is so at last.
"""

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from bng.session import ipv6_side, restart
from bng.session.access import AccessMethod
from bng.session.actions import DeleteRoute, FilterSession, Ipv6Session, PoliceSession
from bng.session.model import IPV4, IPV6, Session, State
from bng.session.restart import Left

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

MIN_MRU, MAX_MRU = 128, 0xFFFF
MAX_BLOCKS = 0xFFFF
UNKNOWN = -1
MAX_INTERFACE_ID = (1 << 64) - 1


class NotAdoptedError(Exception):
    """A session cannot go on. The text says why."""


def adopt(manager: "SessionManager", method: AccessMethod, left: Left, now: float) -> Session:
    """Take a session over; in the order of their indexes, before any other session is made.

    Raises: NotAdoptedError, having changed nothing.
    """
    if not left.live:
        raise NotAdoptedError("nothing is forwarded for it")
    if left.record.get("method") != method.name:
        raise NotAdoptedError("it has no record of ours")
    try:
        session = restart.restore(left.record, left.handle, method)
        ipv6 = ipv6_side.read(left.record)
        _check(manager, session, left)
        if ipv6 is not None:
            manager.ipv6.links.check(ipv6)
        else:
            session.families &= ~IPV6  # of a bngd that had none
        _go_on(manager, session, left, now)
    except ValueError as error:
        raise NotAdoptedError(str(error)) from None
    _enter(manager, session, left)
    if ipv6 is not None:
        manager.ipv6.links.adopt(session, ipv6, now)
    _tell(manager, session, left)
    manager.accounts.adopted(session, now)
    manager.reschedule(session)
    manager.counters["adopted"] += 1
    return session


def _check(manager: "SessionManager", session: Session, left: Left) -> None:
    """Raises: ValueError when there is no going on with the session."""
    if session.cause is not None:
        raise ValueError("it was ending")
    if session.up_at is None or not session.families or session.user_name is None:
        raise ValueError("it was negotiating")
    granted = session.gateway is not None and session.ipv4_address is not None
    if session.families & IPV4 and not granted:
        raise ValueError("it has no address")
    if (session.line, session.mac, session.ipv4_address) != (left.line, left.mac, left.address):
        raise ValueError("its record is another's")
    if not MIN_MRU <= session.peer_mru <= MAX_MRU:
        raise ValueError(f"mru {session.peer_mru}")
    if not 0 <= (session.interface_id or 0) <= MAX_INTERFACE_ID:
        raise ValueError(f"interface identifier {session.interface_id}")
    place, public = session.nat_place, session.nat_public
    if place is not None and (
        place.address not in manager.nat.entries
        or not 0 <= place.first <= MAX_BLOCKS
        or not 0 <= place.count <= MAX_BLOCKS
    ):
        raise ValueError(f"no NAT address {place.address}")
    if public is not None and public in manager.one_to_one.addresses.holders:
        raise ValueError(f"{public} is another session's")
    address = session.ipv4_address
    if address is not None and (holder := manager.pools.owner(address)) is not None:
        raise ValueError(f"{address} is held by {holder}")


def _go_on(manager: "SessionManager", session: Session, left: Left, now: float) -> None:
    """Have the access method go on. Raises: ValueError when it cannot."""
    profile = session.profile
    assert profile is not None  # noqa: S101 - restored
    granted = session.ipv4_address is not None and manager.settings.default_pool is not None
    ipv4 = manager.grants.ipv4_params(session, profile) if granted else None
    session.method.adopt(session, left.record, ipv4, profile.ipv6_interface_id, now)


def _enter(manager: "SessionManager", session: Session, left: Left) -> None:
    """Make the session known to all who keep something of it."""
    profile, address = session.profile, session.ipv4_address
    assert profile is not None  # noqa: S101 - checked
    session.state, session.adopted = State.UP, True
    session.ipv4_on = bool(session.families & IPV4)
    session.accounted = manager.settings.accounting  # whatever it was before
    manager.table.adopt(session)
    if address is not None:
        static = profile.ipv4_address == address
        manager.pools.adopt(address, session.acct_session_id if static else profile.user_name)
    manager.grants.adopt(session)
    if session.nat_place is not None:
        manager.nat.adopt(session.nat_place)
    if session.nat_public is not None:
        manager.one_to_one.addresses.claim(session.nat_public, session.acct_session_id)
    manager.forwards.adopt(session, left.forwards)


def _tell(manager: "SessionManager", session: Session, left: Left) -> None:
    """Tell the dataplane what it is to have, where it is not known to have that."""
    handle, side = session.handle, session.ipv6
    if left.acl_in or left.acl_out:
        session.filtered = FilterSession(handle, left.acl_in, left.acl_out)
    if left.policed:  # in some way: to be told anew
        session.policed = PoliceSession(handle, None, None, UNKNOWN)
    session.bypassed = left.bypass
    session.nat_told = left.nat_public
    if left.ipv6_prefix is not None and (side is None or left.ipv6_prefix not in side.own):
        manager.emit(DeleteRoute(handle, left.ipv6_prefix))
    if left.ipv6_on and not session.families & IPV6:
        manager.emit(Ipv6Session(handle, False, None, None, 0))
        for prefix in () if side is None else side.routes():
            manager.emit(DeleteRoute(handle, prefix))
    manager.placed(session)
    if left.nat_public is not None and left.nat_public != session.nat_public:
        manager.emit(DeleteRoute(handle, IPv4Network(left.nat_public)))
