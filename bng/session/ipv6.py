"""IPv6 of sessions: from IPv6CP over prefix and routes to RA and DHCPv6, and back. Sans-IO.

`bng.ipv6` speaks with the client, `bng.pool.ipv6` keeps prefixes; this joins them to a session.
IPv6CP's Configure-Ack waits until the dataplane forwards the link's prefix, a DHCPv6 Reply until it
forwards what it gives. IPv6 ends with IPv6CP, and what the session has of it with the session.
"""

from collections.abc import Iterable
from errno import ESTALE
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, assert_never

from bng.ipv6 import actions as ipv6
from bng.ipv6.counters import new_counters
from bng.ipv6.messages import RelayMessage
from bng.ipv6.relay import Relay
from bng.ipv6.server import Server
from bng.session import logs, renumber
from bng.session.actions import (
    AddRoute,
    CommandKind,
    DeleteRoute,
    Ipv6Session,
    RelayPacket,
    SendFrame,
)
from bng.session.ipv6_links import Links
from bng.session.ipv6_side import Ipv6Side, current
from bng.session.model import IPV6, Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

PROTOCOL = b"\x00\x57"
"""The PPP protocol field of IPv6 (RFC 5072 §3)."""
NOBODY = 0
"""The tag of commands that nothing waits for."""
FRAMED = 1 << 62
"""The tag of routes that a change of the profile brings or takes: who changes it waits for them."""


class Ipv6:
    """The IPv6 of all sessions; a part of *manager*."""

    def __init__(self, manager: "SessionManager") -> None:
        self.counters = new_counters()
        self.links = Links(manager, self.counters)
        self._manager = manager

    # ---- IPv6CP ----

    def install(
        self, session: Session, request_id: int, interface_id: int | None, now: float
    ) -> None:
        """Make IPv6 forward for a session whose IPv6CP is about to open; or have it refused."""
        manager = self._manager
        session.interface_id = interface_id
        if session.ipv6 is None:
            session.ipv6 = self._begin(session, now)
        if session.ipv6 is None:
            session.method.refuse(session, request_id, now)
            return
        session.ipv6.request = request_id
        manager.forward(session, now)

    def opened(self, session: Session, now: float) -> None:
        """IPv6CP is open."""
        side = session.ipv6
        if side is None:
            return
        self.tell(session)  # unless it was, for an installation
        if not side.waits.pending(side.told):
            self._start(session, side, now)

    def note_prefix(self, session: Session) -> None:
        """Log the prefix of a link, once: session-start may have had it already."""
        side = session.ipv6
        if side is None or side.prefix is None:
            return
        if session.up_at is not None and side.logged is not side.prefix:
            self._manager.emit(logs.ipv6_link(session))
        side.logged = side.prefix

    def closed(self, session: Session, now: float) -> None:
        """IPv6CP is open no longer: nothing is forwarded; prefix and leases are kept."""
        side = session.ipv6
        if side is None:
            return
        side.link.pause(now)
        side.plan()
        side.started = False
        side.request = None
        self._withdraw(session, side)

    def tell(self, session: Session) -> None:
        """Have the dataplane forward for a session that is LIVE there, unless it does."""
        side = session.ipv6
        if side is None or side.on or (side.request is None and not session.families & IPV6):
            return
        side.on = True
        side.told -= 1
        side.choose_fast()
        self._tell_session(session, side, side.told)
        self._behind(session, side)
        for prefix in side.routes():
            self._add_route(session, side, prefix, side.told)

    def _behind(self, session: Session, side: Ipv6Side) -> None:
        """Have the networks behind the subscriber be those of the profile."""
        routes = () if session.profile is None else session.profile.ipv6_routes
        framed = tuple([route.prefix for route in routes])
        if framed != side.framed:
            side.framed = framed
            side.recorded = None

    def asked(self, session: Session) -> bool:
        """Say whether IPv6CP waits for the dataplane."""
        return session.ipv6 is not None and session.ipv6.request is not None

    def untold(self, session: Session) -> None:
        """The session did not come up in the dataplane: all is to be told again."""
        if session.ipv6 is not None:
            session.ipv6.on = False

    def follow(self, session: Session, now: float) -> bool:
        """Have the link's prefix, and the networks behind a subscriber, be what they are to be.

        Says whether the dataplane was told of any change.
        """
        side = session.ipv6
        if side is None or session.profile is None:
            return False
        before = set(side.routes())
        self._behind(session, side)
        moved = renumber.move(self._manager, session, side, now)
        wanted = set(side.routes())
        if not side.on or (wanted == before and not moved):
            return False
        session.install_pending += not side.waits.pending(FRAMED)
        for prefix in sorted(before - wanted):
            side.waits.expect(CommandKind.ROUTE6, FRAMED)
            self._manager.emit(DeleteRoute(session.handle, prefix, answered=True))
        for prefix in sorted(wanted - before):
            self._add_route(session, side, prefix, FRAMED)
        if moved:
            self._tell_session(session, side, FRAMED)
        return True

    # ---- packets, answers, time ----

    def frame(self, session: Session, packet: bytes, now: float) -> None:
        """Take an IPv6 packet of a client."""
        side = session.ipv6
        if side is None or not side.on:
            self._manager.counters["ipv6_not_open"] += 1
            return
        self._apply(session, side, side.link.receive(packet, now), now)
        self._note_renewal(session, side)

    def from_server(self, relayed: RelayMessage, now: float) -> None:
        """Take the answer of an external DHCPv6 server."""
        name = (relayed.interface_id or b"").decode(errors="replace")
        session = self._manager.table.by_id.get(name)
        side = None if session is None or session.state is State.ENDING else session.ipv6
        if session is None or side is None or not side.on:
            self._manager.counters["ipv6_answer_for_no_session"] += 1
            return
        self._apply(session, side, side.link.from_server(relayed, now), now)
        self._note_renewal(session, side)
        self._manager.reschedule(session)

    def completed(self, session: Session, kind: CommandKind, status: int, now: float) -> None:
        """Take the answer to a command."""
        side = session.ipv6
        done = None if side is None else side.waits.answered(kind, status)
        if side is None or done is None or session.state is State.ENDING:
            return
        tag, status = done
        if tag == FRAMED:
            renumber.announce(self._manager, session, side, now)
            self._manager.installing(session, 0 if status == -ESTALE else status, now)
        elif tag > 0:
            self._leased(session, side, tag, status, now)
        elif tag == side.told and side.on:
            self._forwards(session, side, status, now)
        elif status and tag == NOBODY:
            self._failed(session, f"errno {-status}")

    def tick(self, session: Session, now: float) -> None:
        """Do what is due."""
        side = session.ipv6
        if side is not None and side.due is not None and side.due <= now:
            self._apply(session, side, side.link.tick(now), now)
            renumber.expire(self._manager, session, side, now)

    # ---- the end ----

    def farewell(self, session: Session, now: float) -> None:
        """Tell the client that we are its router no longer, while it may be told."""
        side = session.ipv6
        if side is not None and session.families & IPV6:
            self._apply(session, side, side.link.pause(now), now)

    def end(self, session: Session, now: float) -> None:
        """The session ends: say so to its client, and forward nothing more."""
        side = session.ipv6
        if side is None:
            return
        self.farewell(session, now)
        side.started = False
        self._withdraw(session, side)

    def leave(self, session: Session, now: float) -> None:
        """Give everything back: the dataplane has let go of the session."""
        side = session.ipv6
        if side is None:
            return
        dhcpv6 = side.link.dhcpv6
        if isinstance(dhcpv6, Server):
            dhcpv6.close(now)
        else:
            self._free(side, side.leases, now)
        side.leases.clear()
        for prefix in side.own:
            remember = prefix == side.prefix
            self._manager.pools6.release(prefix, now, remember=remember)
        session.ipv6 = None

    # ---- the link ----

    def _begin(self, session: Session, now: float) -> Ipv6Side | None:
        """Give the session the prefix of its link; None: there is none for it."""
        manager, profile, user = self._manager, session.profile, session.user_name
        if profile is None or user is None:
            return None
        prefix = profile.ipv6_prefix
        pool = manager.settings.ipv6.link_pool_of(profile)
        last = None
        if prefix is not None:
            holder = manager.pools6.claim(prefix, session.acct_session_id, now)
            if holder is not None:
                self.conflict(session, prefix, holder)
                return None
        elif pool is not None:
            last = manager.pools6.remembered(pool, user)
            prefix = manager.pools6.allocate(pool, user, now)
            if prefix is None:
                manager.counters["ipv6_pool_exhausted"] += 1
                manager.emit(logs.ipv6_refused(session, f"pool {pool} is exhausted"))
                return None
        side = self.links.side(session, prefix)
        if last is not None and last != prefix:
            side.link.advertiser.deprecate(last, now)
        return side

    def conflict(self, session: Session, prefix: IPv6Network, holder: str) -> None:
        """Report that another session has what this one is to have."""
        self._manager.counters["ipv6_conflict"] += 1
        self._manager.emit(logs.ipv6_refused(session, f"{prefix} is held by {holder}"))

    def _start(self, session: Session, side: Ipv6Side, now: float) -> None:
        """Begin to advertise."""
        if not side.started:
            side.started = True
            self._apply(session, side, side.link.start(side.prefix, now), now)
            self._manager.reschedule(session)

    def _forwards(self, session: Session, side: Ipv6Side, status: int, now: float) -> None:
        """The dataplane has done all that it was told of the link."""
        request, side.request = side.request, None
        if status:
            self._failed(session, f"install: errno {-status}")
            self._withdraw(session, side)
            if request is not None:
                session.method.refuse(session, request, now)
        elif request is not None:
            session.method.installed(session, request, now)
        elif session.families & IPV6:
            self._start(session, side, now)
        self._manager.reschedule(session)

    def _withdraw(self, session: Session, side: Ipv6Side) -> None:
        """Have the dataplane forward nothing of IPv6 for the session."""
        if not side.on:
            return
        side.on = False
        side.told -= 1
        if session.state is not State.ENDING:
            self._tell_session(session, side, side.told)
        for prefix in side.routes():
            self._manager.emit(DeleteRoute(session.handle, prefix))

    def _failed(self, session: Session, why: str) -> None:
        self._manager.counters["ipv6_install_failed"] += 1
        self._manager.emit(logs.ipv6_refused(session, why))

    # ---- what the link wants done ----

    def _apply(
        self, session: Session, side: Ipv6Side, todo: Iterable[ipv6.Action], now: float
    ) -> None:
        queue = list(todo)  # an installation may add to it
        for action in queue:
            match action:
                case ipv6.SendPacket():
                    if side.on:
                        frame = PROTOCOL + action.packet
                        self._manager.emit(SendFrame(session.handle, frame))
                case ipv6.ToServer():
                    self._manager.emit(RelayPacket(action.payload))
                case ipv6.Install():
                    queue.extend(self._install(session, side, action, now))
                case ipv6.Remove():
                    self._remove(session, side, action, now)
                case _:
                    assert_never(action)
        side.plan()

    def _install(
        self, session: Session, side: Ipv6Side, wanted: ipv6.Install, now: float
    ) -> list[ipv6.Action]:
        """Forward new leases; return what is to be done now if nothing has to be waited for."""
        if isinstance(side.link.dhcpv6, Relay) and not self._claimed(side, wanted, now):
            return side.link.installed(wanted.request, False, now)
        for lease in wanted.leases:
            side.leases[lease] = wanted.valid_until
        self._manager.emit(logs.ipv6_given(session, wanted.leases))
        side.recorded = None
        self._manager.write_down_soon(
            session
        )  # nothing leads to it that the next bngd does not know
        self._manager.accounts.changed_soon(session, now)
        for lease in wanted.leases if side.on else ():
            if side.needs_route(lease):
                self._add_route(session, side, lease.network, wanted.request)
        if side.on and side.choose_fast():
            self._tell_session(session, side, wanted.request)
        if side.waits.pending(wanted.request):
            return []
        return side.link.installed(wanted.request, True, now)

    def _claimed(self, side: Ipv6Side, wanted: ipv6.Install, now: float) -> bool:
        """Make sure that what an external server gives is nobody else's."""
        taken: list[ipv6.Lease] = []
        for lease in wanted.leases:
            if not side.supply.claim(lease.network, now):
                self._free(side, taken, now)
                return False
            taken.append(lease)
        return True

    def _leased(
        self, session: Session, side: Ipv6Side, request: int, status: int, now: float
    ) -> None:
        """The dataplane has done what an installation of leases takes."""
        before = set(side.leases)
        if status:
            self._failed(session, f"lease: errno {-status}")
        self._apply(session, side, side.link.installed(request, not status, now), now)
        if status:
            self._drop_unknown(session, side, before, now)
        self._manager.reschedule(session)

    def _drop_unknown(
        self, session: Session, side: Ipv6Side, before: Iterable[ipv6.Lease], now: float
    ) -> None:
        """Take out those leases of *before* that could not be installed."""
        dhcpv6 = side.link.dhcpv6
        if isinstance(dhcpv6, Server):
            known = {binding.lease for binding in dhcpv6.bindings(offers=True)}
        else:
            known = set(dhcpv6.leases()) if dhcpv6 is not None else set()
        lost = tuple(lease for lease in before if lease not in known)
        self._remove(session, side, ipv6.Remove(lost), now)

    def _remove(self, session: Session, side: Ipv6Side, gone: ipv6.Remove, now: float) -> None:
        """Forward leases no more."""
        if gone.leases:
            self._manager.emit(logs.ipv6_leases_ended(session, gone.leases))
        for lease in gone.leases:
            side.leases.pop(lease, None)
            side.recorded = None
            if side.on and side.needs_route(lease):
                self._manager.emit(DeleteRoute(session.handle, lease.network))
        if not isinstance(side.link.dhcpv6, Server):
            self._free(side, gone.leases, now)
        if side.on and side.choose_fast():
            self._tell_session(session, side, NOBODY)
        self._manager.accounts.changed_soon(session, now)
        self._manager.write_down_soon(session)

    def _free(self, side: Ipv6Side, leases: Iterable[ipv6.Lease], now: float) -> None:
        """Let others have what an external server gave."""
        for lease in leases:
            side.supply.release(lease, now, declined=False)

    def _note_renewal(self, session: Session, side: Ipv6Side) -> None:
        """Write down until when leases are valid that have been renewed."""
        if not side.leases:
            return
        now_valid = current(side)
        if now_valid != side.leases:
            side.leases = now_valid
            side.recorded = None
            self._manager.write_down_soon(session)

    # ---- commands ----

    def _tell_session(self, session: Session, side: Ipv6Side, tag: int) -> None:
        side.waits.expect(CommandKind.IPV6, tag)
        command = Ipv6Session(session.handle, side.on, side.prefix, side.fast, side.interface_id)
        self._manager.emit(command)

    def _add_route(self, session: Session, side: Ipv6Side, prefix: IPv6Network, tag: int) -> None:
        side.waits.expect(CommandKind.ROUTE6, tag)
        self._manager.emit(AddRoute(session.handle, prefix, answered=True))
