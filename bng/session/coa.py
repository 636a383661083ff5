"""Orders of RADIUS to living sessions (RFC 5176): CoA and Disconnect, carried out and confirmed.

All that identifies a session must match, and exactly one session. Orders to one session are served
in the order of arrival, each when the one before it is done. A change is whole or not at all: it is
acknowledged when the dataplane has answered every command that it led to, and when one fails what
was before is told again. A Disconnect is acknowledged when the session forwards no more and its
counters are final.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from bng.aaa import dynauth, requests
from bng.aaa.dynauth import Asked, ErrorCause, Known, Refused
from bng.aaa.model import AccessAccept, SubscriberProfile
from bng.aaa.reading import Value
from bng.session import features, install, renumber
from bng.session.model import Cause, Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

MAX_WAITING = 4096
"""Orders that are not done yet, of all sessions."""
NETWORKS = {"Framed-IPv6-Prefix", "Framed-IPv6-Address", "Delegated-IPv6-Prefix"}
"""Keys whose owner a pool knows."""
LIVE = {*features.LIVE, *features.NAT}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended; *cause* None: it is acknowledged. *detail* is for the log."""

    cause: ErrorCause | None = None
    detail: str = ""
    session: Session | None = None


Answer = Callable[[Outcome], None]


@dataclass(slots=True)
class _Order:
    """One order; *before*: what the session had, None while nothing is changed.

    *failure*: of a command; *restoring*: what was before is told again; *lost*: that failed, too.
    """

    asked: Asked
    answer: Answer
    source: str
    before: AccessAccept | None = None
    failure: str = ""
    restoring: bool = False
    lost: bool = False


class Orders:
    """Finds sessions, changes and ends them; a part of *manager*. *known*: who we are."""

    def __init__(self, manager: "SessionManager") -> None:
        self.counters: Counter[str] = Counter()
        self.known: Known | None = None
        self.waiting = 0
        self._manager = manager
        self._queues: dict[Session, deque[_Order]] = {}
        self._texts: dict[str, dict[tuple[int, int], object]] = {}

    def take(
        self,
        pairs: Sequence[tuple[str, Value]],
        answer: Answer,
        now: float,
        *,
        disconnect: bool,
        source: str,
    ) -> None:
        """Carry out a request; *answer* is called once, maybe at once. *source* is who asks."""
        try:
            assert self.known is not None  # noqa: S101 - set when the box starts
            asked = dynauth.read(self.known, pairs, disconnect=disconnect)
            session = self._find(asked)
            if self.waiting >= MAX_WAITING:
                raise Refused(ErrorCause.RESOURCES_UNAVAILABLE, "too many orders wait")
        except Refused as why:
            answer(Outcome(why.cause, str(why)))
            return
        queue = self._queues.setdefault(session, deque())
        queue.append(_Order(asked, answer, source))
        self.waiting += 1
        if len(queue) == 1:
            self._serve(session, now)

    # ---- what commands came to ----

    def failed(self, session: Session, what: str) -> bool:
        """Take the failure of a command; False: it is none of an order's."""
        queue = self._queues.get(session)
        if not queue or queue[0].before is None or session.install_request is not None:
            return False
        order = queue[0]
        order.lost = order.restoring
        order.failure = order.failure or what
        return True

    def settled(self, session: Session, now: float) -> None:
        """Every command to the session so far is done."""
        queue = self._queues.get(session)
        if not queue:
            return
        order = queue[0]
        if order.before is None or self._conclude(session, order, now):
            self._serve(session, now)

    def closed(self, session: Session) -> None:
        """Take the end of a session: what is to be done for it is done, or cannot be."""
        while session in self._queues:
            gone = Outcome(ErrorCause.SESSION_CONTEXT_NOT_FOUND, "the session has ended")
            disconnect = self._queues[session][0].asked.disconnect
            self._finish(session, Outcome() if disconnect else gone)

    def _conclude(self, session: Session, order: _Order, now: float) -> bool:
        """Answer *order* when nothing is under way; when a command failed, undo it all first."""
        before = order.before
        if order.failure and before is not None and (order.lost or not order.restoring):
            order.restoring = True
            if order.lost or not self._translate(session, before.profile):
                self._manager.end(session, Cause.NAS_ERROR, f"CoA: {order.failure}", now)
                return False
            self.counters["restored"] += 1
            self._put(session, order, before, now)
        if session.install_pending:
            return False
        refused = ErrorCause.RESOURCES_UNAVAILABLE if order.failure else None
        self._finish(session, Outcome(refused, order.failure))
        return True

    # ---- one after the other ----

    def _serve(self, session: Session, now: float) -> None:
        """Carry out what waits for the session, until something has to be waited for."""
        while session in self._queues:
            if session.install_request is not None or session.install_pending:
                return  # `settled` comes
            order = self._queues[session][0]
            if order.asked.disconnect:
                self._disconnect(session, order, now)
                return  # `closed` comes
            try:
                self._change(session, order, now)
            except Refused as why:
                self._finish(session, Outcome(why.cause, str(why)))
                continue
            if session.install_pending or not self._conclude(session, order, now):
                return

    def _finish(self, session: Session, outcome: Outcome) -> None:
        """Answer the order that is served, and let the next one be that."""
        queue = self._queues[session]
        order = queue.popleft()
        if not queue:
            del self._queues[session]
        self.waiting -= 1
        order.answer(replace(outcome, session=session))

    def _disconnect(self, session: Session, order: _Order, now: float) -> None:
        if order.asked.change.classes and session.accept is not None:  # RFC 5176 §3.6, note 4
            session.accept = replace(session.accept, classes=tuple(order.asked.change.classes))
        self._manager.close(session, Cause.ADMIN_RESET, order.source, now)

    def _change(self, session: Session, order: _Order, now: float) -> None:
        """Change the session, and wait for its confirmation. Raises: Refused."""
        if session.cause is not None or session.profile is None:
            raise Refused(ErrorCause.SESSION_CONTEXT_NOT_FOUND, "the session is ending")
        before = session.accept or AccessAccept(session.profile)
        before = replace(before, profile=session.profile)
        after = _changed(before, order)
        self._check(session, after.profile)
        order.before = before
        self._put(session, order, after, now)

    def _check(self, session: Session, profile: SubscriberProfile) -> None:
        """Make sure that the session can have *profile*; give it its public address.

        Raises: Refused.
        """
        manager, old = self._manager, session.profile
        assert old is not None  # noqa: S101 - the caller looked
        if profile.port_forwards != old.port_forwards:
            self._check_forwards(session, profile)
        self._check_routes(session, _networks(profile) - _networks(old))
        if self._translate(session, profile):
            return
        assert session.ipv4_address is not None  # noqa: S101 - it is installed
        pool = manager.settings.own_address_pool(profile, session.ipv4_address)
        if pool is None:
            detail = f"NAT profile {profile.nat_profile}: its ports are given at sign-up"
            raise Refused(ErrorCause.INVALID_ATTRIBUTE_VALUE, detail)
        raise Refused(ErrorCause.RESOURCES_UNAVAILABLE, f"no address in NAT pool {pool}")

    def _translate(self, session: Session, profile: SubscriberProfile) -> bool:
        """Have an installed session be translated as *profile* says; False: it cannot be."""
        old = session.profile
        same = old is not None and old.nat_profile == profile.nat_profile
        return same or not session.routes or self._manager.one_to_one.follow(session, profile)

    def _check_forwards(self, session: Session, profile: SubscriberProfile) -> None:
        """Make sure that nobody else has the ports."""
        place = session.nat_place
        if place is None or profile.nat_address is None:
            detail = "port forwards need Bng-Nat-Address, of a pool with port blocks"
            raise Refused(ErrorCause.INVALID_ATTRIBUTE_VALUE, detail)
        for forward in profile.port_forwards:
            key = (place.address, forward.protocol, forward.external)
            holder = self._manager.forwards.holders.get(key, session.acct_session_id)
            if holder != session.acct_session_id:
                detail = f"port forward {forward} is held by {holder}"
                raise Refused(ErrorCause.RESOURCES_UNAVAILABLE, detail)

    def _check_routes(self, session: Session, new: set[IPv4Network | IPv6Network]) -> None:
        """Make sure that the *new* networks lead to nobody else.

        All sessions are looked at: there is no index of networks for what is ordered so seldom.
        """
        if not new:
            return
        for other in self._manager.table:
            if other is session or other.state is State.ENDING or other.profile is None:
                continue
            for prefix in new & {*other.routes, *_networks(other.profile)}:
                detail = f"{prefix} leads to {other.acct_session_id}"
                raise Refused(ErrorCause.RESOURCES_UNAVAILABLE, detail)

    def _put(self, session: Session, order: _Order, accept: AccessAccept, now: float) -> None:
        """Have the session be as *accept* says. `settled` comes when the dataplane has answered.

        Workers take commands in order and UP is always answered: with its answer, whatever was told
        before it is done. Routes, which another thread installs, are answered each for itself.
        """
        manager, old = self._manager, session.accept
        session.accept, session.profile = accept, accept.profile
        features.retell(manager, session, now)
        if session.told is not None and renumber.is_due(manager, session) and not order.restoring:
            order.failure = order.failure or "there is no prefix for the link"
        if old is None or old.interim_interval_s != accept.interim_interval_s:
            manager.accounts.reschedule(session, now)
        manager.reschedule(session)
        if not manager.write_down(session):
            order.lost = order.restoring
            order.failure = order.failure or "its record would be too long"
        if session.told is not None and not session.paused:
            manager.tell_up(session, install.up(manager.settings, session))

    # ---- whose session ----

    def _find(self, asked: Asked) -> Session:
        """Return the one session that fits. Raises: Refused."""
        fitting = [s for s in self._candidates(asked) if self._fits(s, asked)]
        if not fitting:
            raise Refused(ErrorCause.SESSION_CONTEXT_NOT_FOUND, "no such session")
        if len(fitting) > 1:
            detail = f"{len(fitting)} sessions fit"
            raise Refused(ErrorCause.MULTIPLE_SESSION_SELECTION_UNSUPPORTED, detail)
        return fitting[0]

    def _candidates(self, asked: Asked) -> Iterable[Session]:
        """Return the sessions to look at: few where there is an index, all where there is none."""
        manager, keys = self._manager, asked.keys
        match keys.get("Acct-Session-Id"), keys.get("User-Name"), keys.get("Framed-IP-Address"):
            case str() as acct_session_id, _, _:
                found = manager.table.by_id.get(acct_session_id)
                return () if found is None else (found,)
            case _, str() as user, _:
                return manager.grants.by_user.get(user, ())
            case _, _, IPv4Address() as address:
                return self._owners(manager.pools.owner(address))
        for name in NETWORKS & keys.keys():
            network = keys[name]
            if isinstance(network, IPv6Address | IPv6Network):
                return self._owners(manager.pools6.owner(IPv6Network(network)))
        self.counters["scans"] += 1
        return manager.table

    def _owners(self, owner: str | None) -> Iterable[Session]:
        """Return those of whom one is *owner*: pools know a user, or a session by its id."""
        manager, owner = self._manager, owner or ""
        session = manager.table.by_id.get(owner)
        return {*manager.grants.by_user.get(owner, ()), *(() if session is None else (session,))}

    def _fits(self, session: Session, asked: Asked) -> bool:
        if session.profile is None or session.state is State.ENDING:
            return False
        return all(wanted in self._has(session, name) for name, wanted in asked.keys.items())

    def _has(self, session: Session, name: str) -> Sequence[object]:
        """Return what a session has of attribute *name*: accounting may say it more than once."""
        side = session.ipv6
        match name:
            case "Acct-Session-Id":
                return (session.acct_session_id,)
            case "User-Name":
                return (session.user_name,)
            case "Framed-IP-Address":
                return (session.ipv4_address,)
            case "Framed-Interface-Id":
                own = session.interface_id
                return () if own is None else (own.to_bytes(8),)
            case "Framed-IPv6-Prefix":
                return () if side is None else side.own
            case "Framed-IPv6-Address":
                return () if side is None else side.addresses
            case "Delegated-IPv6-Prefix":
                return () if side is None else side.delegated
            case _:
                return (self._said(session, name),)

    def _said(self, session: Session, name: str) -> object:
        """Return what requests about the session say for attribute *name*.

        It never changes, and takes a while to make: a walk over all sessions is 10 us for each the
        first time, then 1 us.
        """
        known = self._texts.setdefault(name, {})
        key = (session.handle.index, session.handle.generation)
        try:
            return known[key]
        except KeyError:
            pass
        assert self.known is not None  # noqa: S101 - set when the box starts
        if len(known) >= 2 * self._manager.table.size:  # of sessions that are gone
            known.clear()
        found = known[key] = requests.said(self.known.nas, session, name)
        return found


def _changed(before: AccessAccept, order: _Order) -> AccessAccept:
    """Return *before* with the change: what is not named stays (RFC 5176 §3.6, note 3).

    Raises: Refused.
    """
    reading = order.asked.change
    if beyond := sorted(reading.fields.keys() - LIVE):
        detail = f"{reading.sources[beyond[0]]}: {beyond[0]} cannot change in a session"
        raise Refused(ErrorCause.INVALID_ATTRIBUTE_VALUE, detail)
    interim = reading.interim_interval_s
    said = {name: f"CoA of {order.source}: {what}" for name, what in reading.sources.items()}
    return replace(
        before,
        profile=replace(before.profile, **reading.fields),  # type: ignore[arg-type]
        classes=tuple(reading.classes) or before.classes,
        interim_interval_s=before.interim_interval_s if interim is None else interim,
        sources={**before.sources, **said},
    )


def _networks(profile: SubscriberProfile) -> set[IPv4Network | IPv6Network]:
    """Return the networks behind a subscriber."""
    ipv4 = [route.prefix for route in profile.routes]
    return {*ipv4, *(route.prefix for route in profile.ipv6_routes)}
