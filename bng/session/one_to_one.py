"""One-to-one NAT: a public address that is one session's alone (RFC 3022, "basic NAT").

A session has the address that its user is given, or the next free one of its pool. It needs no
worker of its own, no ports and no state but a route; so it comes, changes and goes while the
session lives.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from bng.aaa.model import SubscriberProfile
from bng.session import install
from bng.session.actions import AddRoute, DeleteRoute, TranslateSession
from bng.session.model import Cause, Session

if TYPE_CHECKING:
    from bng.session.manager import SessionManager


class PublicAddresses:
    """Addresses of one-to-one pools, and whose each is. What was given back is taken last."""

    def __init__(self) -> None:
        self.holders: dict[IPv4Address, str] = {}
        """Acct-Session-Id of the session that has it."""
        self._pools: Mapping[str, Sequence[IPv4Network]] = {}
        self._reserved: Set[IPv4Address] = frozenset()
        self._free: dict[str, OrderedDict[IPv4Address, None]] = {}

    def configure(
        self, pools: Mapping[str, Sequence[IPv4Network]], reserved: Set[IPv4Address]
    ) -> None:
        """Have these *pools* from now on; *reserved* are given to nobody who does not name them."""
        if (pools, reserved) == (self._pools, self._reserved):
            return
        old, self._free = self._free, {}
        self._pools, self._reserved = dict(pools), reserved
        for name, prefixes in pools.items():
            hosts = OrderedDict.fromkeys(host for prefix in prefixes for host in prefix)
            rested = [host for host in old.get(name, ()) if host in hosts]
            self._free[name] = OrderedDict.fromkeys(
                host
                for host in (*rested, *hosts)
                if host not in self.holders and host not in reserved
            )

    def claim(self, address: IPv4Address, holder: str) -> bool:
        """Give *address* to *holder*; False when another has it."""
        for free in self._free.values():
            free.pop(address, None)
        return self.holders.setdefault(address, holder) == holder

    def take(self, pool: str, holder: str) -> IPv4Address | None:
        """Give the next free address of *pool* to *holder*; None when there is none."""
        free = self._free.get(pool)
        if not free:
            return None
        address, _ = free.popitem(last=False)
        self.holders[address] = holder
        return address

    def give_back(self, address: IPv4Address) -> None:
        """Say that nobody has *address* any more."""
        del self.holders[address]
        if address in self._reserved:
            return
        for name, prefixes in self._pools.items():
            if any(address in prefix for prefix in prefixes):
                self._free[name][address] = None


class OneToOne:
    """Public addresses of sessions; a part of *manager*."""

    def __init__(self, manager: "SessionManager") -> None:
        self.addresses = PublicAddresses()
        self._manager = manager

    def give(self, session: Session, now: float) -> bool:
        """Give the session its address, if it is to have one; False: there is none, it ended."""
        if session.nat_public is not None:
            return True
        pool = install.own_address_pool(self._manager.settings, session)
        if pool is None:
            return True
        session.nat_public = self._choose(session, pool)
        if session.nat_public is not None:
            self._manager.accounts.changed(session)  # if it was told of already
            return True
        self._manager.counters["install_failed"] += 1
        pinned = _pinned(session)
        detail = f"no address in NAT pool {pool}"
        if pinned is not None:
            detail = f"{pinned} is held by {self.addresses.holders[pinned]}"
        self._manager.end(session, Cause.NAS_ERROR, f"install: {detail}", now)
        return False

    def tell(self, session: Session) -> bool:
        """Tell the dataplane which address it is, unless it knows; say whether it did not."""
        if session.nat_told == session.nat_public:
            return False
        assert session.ipv4_address is not None  # noqa: S101 - granted
        session.nat_told = session.nat_public
        self._manager.emit(
            TranslateSession(session.handle, session.ipv4_address, session.nat_public)
        )
        return True

    def follow(self, session: Session, profile: SubscriberProfile) -> bool:
        """Give, change or take the address of a living session as *profile* and settings say.

        Returns whether what the session has of NAT now is what they say. Ports cannot be given to a
        session that lives.
        """
        manager, address = self._manager, session.ipv4_address
        assert address is not None  # noqa: S101 - granted
        pool = manager.settings.own_address_pool(profile, address)
        if pool is None and manager.settings.translates(profile, address):
            return self._keeps_place(session, profile)
        if pool is not None and self._fits(session, profile, pool):
            return True
        old = session.nat_public
        new = None if pool is None else self._choose(session, pool, profile)
        if pool is not None and new is None:
            return False
        session.nat_public = new
        self._reroute(session, old, new)
        if old != new:
            manager.accounts.changed(session)
        if old is not None:
            self.addresses.give_back(old)
        if session.nat_place is not None:
            manager.nat.give_back(session.nat_place)
            session.nat_place = None
        return True

    def leave(self, session: Session) -> None:
        """Give the session's address back."""
        if session.nat_public is not None:
            self.addresses.give_back(session.nat_public)
            session.nat_public = None

    def _keeps_place(self, session: Session, profile: SubscriberProfile) -> bool:
        """Say whether the ports that the session has are where *profile* would have them."""
        old, pools = session.profile, self._manager.settings.nat_pool_of_profile
        return (
            session.nat_place is not None
            and old is not None
            and old.nat_address == profile.nat_address
            and pools.get(old.nat_profile or "") == pools.get(profile.nat_profile or "")
        )

    def _fits(self, session: Session, profile: SubscriberProfile, pool: str) -> bool:
        """Say whether the address that the session has is as good as any."""
        has = session.nat_public
        if has is None or profile.nat_address is not None:
            return has is not None and has == profile.nat_address
        return any(has in prefix for prefix in self._manager.settings.nat_one_to_one[pool])

    def _choose(
        self, session: Session, pool: str, profile: SubscriberProfile | None = None
    ) -> IPv4Address | None:
        pinned, holder = _pinned(session, profile), session.acct_session_id
        if pinned is None:
            return self.addresses.take(pool, holder)
        return pinned if self.addresses.claim(pinned, holder) else None

    def _reroute(self, session: Session, old: IPv4Address | None, new: IPv4Address | None) -> None:
        """Have the route to a session that is installed follow its address."""
        if not session.routes or old == new:
            return
        routes = [prefix for prefix in session.routes if prefix != _host(old)]
        if old is not None:
            self._manager.emit(DeleteRoute(session.handle, IPv4Network(old), answered=True))
            session.install_pending += 1
        if new is not None:
            routes.append(IPv4Network(new))
            self._manager.emit(AddRoute(session.handle, IPv4Network(new), answered=True))
            session.install_pending += 1
        session.routes = tuple(routes)
        self._manager.write_down(session)


def _host(address: IPv4Address | None) -> IPv4Network | None:
    return None if address is None else IPv4Network(address)


def _pinned(session: Session, profile: SubscriberProfile | None = None) -> IPv4Address | None:
    profile = profile or session.profile
    return None if profile is None else profile.nat_address
