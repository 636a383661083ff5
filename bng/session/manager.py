"""The session core: who may have what, and one path to the end of every session. Sans-IO.

Events come in with the time; `SessionManager.take` returns the actions they led to, in order.
Access methods (see `bng.session.access`) do the talking to clients; AAA, pools and dataplane answer
through `answered` and `completed`. What comes late for a session that is gone is ignored.
"""

from collections import Counter
from collections.abc import Callable

from bng.aaa.model import AccessAnswer, AccessRequest, Backend, Pending
from bng.ethernet import AccessLine, Mac
from bng.pool.ipv4 import Ipv4Pools
from bng.pool.ipv6 import Ipv6Pools
from bng.ppp.credentials import Credentials
from bng.session import features, install, logs, restart
from bng.session.access import AccessMethod
from bng.session.accounts import Accounts
from bng.session.actions import (
    Action,
    AddRoute,
    BindSession,
    CloseSession,
    CommandKind,
    DeleteRoute,
    EchoSession,
    Forget,
    PauseSession,
    Record,
    ReleaseSession,
    UpSession,
    read_cookie,
)
from bng.session.coa import Orders
from bng.session.deadlines import Deadlines
from bng.session.drain import Drain
from bng.session.forwards import Forwards
from bng.session.grants import Grants
from bng.session.ipv6 import PROTOCOL, Ipv6
from bng.session.model import IPV4, IPV6, Cause, Counters, Session, State
from bng.session.nat import NatAddresses
from bng.session.one_to_one import OneToOne
from bng.session.placement import Placement
from bng.session.settings import Settings
from bng.session.table import SessionTable

EEXIST, ENOSPC, ESTALE = 17, 28, 116
"""Errno; ESTALE of a route: another session has it by now, so it is gone from this one."""


class SessionManager:
    """All sessions of the box; implements `bng.session.access.Core`.

    *prefix* starts every Acct-Session-Id and differs from boot to boot (RFC 2866 §5.5).
    """

    def __init__(
        self,
        *,
        settings: Settings,
        backend: Backend,
        pools: Ipv4Pools,
        pools6: Ipv6Pools,
        nat: NatAddresses,
        table: SessionTable,
        prefix: str,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.settings = settings
        self.backend = backend
        self.pools = pools
        self.pools6 = pools6
        self.table = table
        self.entropy = entropy
        self.deadlines = Deadlines()
        self.counters: Counter[str] = Counter()
        self.grants = Grants(self)
        self.drain = Drain(self)
        self.accounts = Accounts(self, entropy)
        self.placement = Placement(self, nat)
        self.forwards = Forwards(self)
        self.one_to_one = OneToOne(self)
        self.orders = Orders(self)
        self.ipv6 = Ipv6(self)
        self.ending: dict[str, Session] = {}  # by Acct-Session-Id
        self._prefix = prefix
        self._serial = 0
        self._actions: list[Action] = []
        self._unrecorded: dict[Session, None] = {}
        self._unscheduled: dict[Session, None] = {}

    @property
    def box_session_id(self) -> str:
        """The Acct-Session-Id of the box itself: of Accounting-On and -Off (RFC 2866 §5.5)."""
        return f"{self._prefix}{0:08x}"

    @property
    def pools_by_version(self) -> dict[int, Ipv4Pools | Ipv6Pools]:
        """The pools of IPv4 and of IPv6."""
        return {4: self.pools, 6: self.pools6}

    @property
    def nat(self) -> NatAddresses:
        """The public addresses."""
        return self.placement.nat

    # ---- actions, time ----

    def emit(self, action: Action) -> None:
        """Queue an action."""
        self._actions.append(action)

    def take(self) -> list[Action]:
        """Return what is to be done, in order."""
        unrecorded, self._unrecorded = self._unrecorded, {}
        for session in unrecorded:
            self.write_down(session)
        self._schedule()
        actions = self._actions
        self._actions = []
        return actions

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        self._schedule()
        deadlines = (
            self.deadlines.next(),
            self.pools.next_deadline(),
            self.pools6.next_deadline(),
            self.drain.next_deadline(),
            self.nat.next_deadline(),
        )
        return min((at for at in deadlines if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Run every timer that is due."""
        self._schedule()
        for session in self.deadlines.pop_due(now):
            at = self._deadline(session)
            if at is not None and at <= now:
                self._tick(session, now)
            self.reschedule(session)
        self.pools.expire(now)
        self.pools6.expire(now)
        self.drain.tick(now)
        self.nat.tick(now)

    def _tick(self, session: Session, now: float) -> None:
        if session.timeout_at is not None and session.timeout_at <= now:
            session.timeout_at = None
            self.close(session, Cause.SESSION_TIMEOUT, "", now)
        self.accounts.tick(session, now)
        session.method.tick(session, now)
        self.ipv6.tick(session, now)

    def reschedule(self, session: Session) -> None:
        """Look when the session is to be woken next: once, when all that happens now is over."""
        self._unscheduled[session] = None

    def _schedule(self) -> None:
        """Put the next deadlines of those to whom something happened on the heap."""
        if self._unscheduled:
            unscheduled, self._unscheduled = self._unscheduled, {}
            for session in unscheduled:
                self.deadlines.schedule(session, self._deadline(session))

    def _deadline(self, session: Session) -> float | None:
        """Return when the first timer of a session is due."""
        at = session.method.deadline(session)
        ipv6_at = None if session.ipv6 is None else session.ipv6.due
        for other in (session.timeout_at, session.interim_at, ipv6_at):
            if other is not None and (at is None or other < at):
                at = other
        return at

    # ---- from the dataplane ----

    def frame(self, index: int, generation: int, frame: bytes, now: float) -> None:
        """Take a control frame of a session."""
        session = self.table.get(index, generation)
        if session is None or session.state is State.ENDING:
            self.counters["frame_for_no_session"] += 1
            return
        if frame.startswith(PROTOCOL):
            self.ipv6.frame(session, frame[len(PROTOCOL) :], now)
        else:
            session.method.receive(session, frame, now)
        self.reschedule(session)

    def completed(
        self, value: int, status: int, counters: Callable[[int], Counters], now: float
    ) -> None:
        """Take the end of a command; *counters* reads those of a session index."""
        kind, index, generation = read_cookie(value)
        if kind == CommandKind.NAT_ADDRESS:
            self.counters["nat_address_failed"] += bool(status)
            self.nat.completed(index, status, now)
            return
        session = self.table.get(index, generation)
        if session is None:
            self.counters["completion_for_no_session"] += 1
            return
        match kind:
            case CommandKind.MOVE:
                self.placement.moved(session, status, now)
                self.reschedule(session)
            case CommandKind.CLOSE:
                self._closed(session, counters(index), now)
            case CommandKind.RELEASE:
                self._released(session, status, now)
            case CommandKind.UP | CommandKind.ROUTE:
                stolen = kind == CommandKind.ROUTE and status == -ESTALE
                self.installing(session, 0 if stolen else status, now)
                self.reschedule(session)
            case CommandKind.IPV6 | CommandKind.ROUTE6:
                self.ipv6.completed(session, CommandKind(kind), status, now)
            case _ if status:  # those that are answered only when they fail
                self._refused(session, CommandKind(kind), status, now)

    def _refused(self, session: Session, kind: CommandKind, status: int, now: float) -> None:
        """The dataplane did not do what nobody waits for."""
        what = kind.name.lower()
        if kind is CommandKind.FORWARD:
            self.forwards.failed(session, status)
            self.orders.failed(session, f"{what}: errno {-status}")
        elif not self.orders.failed(session, f"{what}: errno {-status}"):
            self.counters[f"{what}_failed"] += 1
            self.end(session, Cause.NAS_ERROR, f"{what}: errno {-status}", now)

    def echo_lost(self, index: int, generation: int, now: float) -> None:
        """The client answers no LCP Echo-Request."""
        if session := self.table.get(index, generation):
            self.end(session, Cause.LOST_CARRIER, "no LCP Echo-Reply", now)

    def idle(self, index: int, generation: int, now: float) -> None:
        """The client sent no data for its Idle-Timeout."""
        if session := self.table.get(index, generation):
            self.close(session, Cause.IDLE_TIMEOUT, "", now)
            self.reschedule(session)

    def nat_refused(self, index: int, generation: int, reason: str) -> None:
        """A subscriber got no NAT mapping; told once a minute at most."""
        if session := self.table.get(index, generation):
            self.counters["nat_refused"] += 1
            self.emit(logs.nat_refused(session, reason))

    # ---- from the access method ----

    def open(self, method: AccessMethod, line: AccessLine, mac: Mac, now: float) -> Session | None:
        """Make a session; None when the box is full."""
        if self.table.count >= self.settings.max_sessions:
            self.counters["refused_full"] += 1
            return None
        handle = self.table.take(now)
        if handle is None:
            self.counters["refused_full"] += 1
            return None
        self._serial += 1
        session = Session(
            handle=handle,
            acct_session_id=f"{self._prefix}{self._serial:08x}",
            method=method,
            line=line,
            mac=mac,
            created_at=now,
        )
        self.table.put(session)
        return session

    def bind(self, session: Session, session_id: int, domain: int, page: int) -> None:
        """Make a new session known to the dataplane."""
        self.emit(BindSession(session.handle, session.line, session.mac, session_id, domain, page))

    def authenticate(
        self, session: Session, request_id: int, credentials: Credentials, now: float
    ) -> None:
        """Ask AAA who this is."""
        self._ask_no_more(session)
        session.request_id = request_id
        request = AccessRequest(
            acct_session_id=session.acct_session_id,
            request_id=request_id,
            credentials=credentials,
            line=session.line,
            mac=session.mac,
            service_name=session.service_name,
            circuit_id=session.circuit_id,
            remote_id=session.remote_id,
            line_attributes=session.line_attributes,
            interface_id=session.interface_id,
            key=(session.handle.index, session.handle.generation),
        )
        answer = self.backend.start(request, now)
        if not isinstance(answer, Pending):
            session.request_id = 0
            self.grants.answer(session, answer, credentials.user_name, now)

    def answered(
        self,
        index: int,
        generation: int,
        request_id: int,
        user: str,
        answer: AccessAnswer,
        now: float,
    ) -> None:
        """Take a late answer of AAA; one to an older question is ignored."""
        session = self.table.get(index, generation)
        if session is None or session.request_id != request_id or session.state is State.ENDING:
            self.counters["answer_stale"] += 1
            return
        session.request_id = 0
        self.grants.answer(session, answer, user, now)
        self.reschedule(session)

    def _ask_no_more(self, session: Session) -> None:
        """Cancel the question to AAA that is open, if there is one."""
        if session.request_id:
            session.request_id = 0
            handle = session.handle
            self.backend.cancel((handle.index, handle.generation))

    def link_opened(
        self, session: Session, magics: tuple[int, int], peer_mru: int, now: float
    ) -> None:
        """The link layer is open: with the session up, the dataplane will keep LCP Echo."""
        session.peer_mru = peer_mru
        session.magics = magics

    def link_left(self, session: Session, now: float) -> None:
        """The link layer renegotiates: nothing is forwarded, all else is kept."""
        self._ask_no_more(session)  # the client will be asked anew
        session.families = 0
        session.ipv4_on = False
        self.ipv6.closed(session, now)
        self._pause(session)

    def install(
        self, session: Session, request_id: int, family: int, interface_id: int | None, now: float
    ) -> None:
        """Make *family* forward."""
        if family == 6:
            self.ipv6.install(session, request_id, interface_id, now)
            return
        session.install_request = request_id
        session.ipv4_on = True
        self.forward(session, now)

    def forward(self, session: Session, now: float) -> None:
        """Have the dataplane forward the families that are open, or wait for this to be so."""
        if session.told is not None and not session.paused:
            self._tell_families(session)
            return
        if session.moving_to is not None or not self.one_to_one.give(session, now):
            return
        if self.placement.find(session, now):
            self.go_live(session, now)

    def go_live(self, session: Session, now: float) -> None:
        """Have a session that is on its worker forward; what adopting it takes is written first."""
        routes, session.routes = session.routes, session.routes or install.routes(session)
        record = restart.encode(session, restart.ROOM_BYTES)
        if record is None:
            session.routes = routes
            self.counters["install_failed"] += 1
            self.end(session, Cause.NAS_ERROR, "install: its record is too long", now)
            return
        self.emit(Record(session.handle, session.acct_session_id, record))
        self.placed(session)

    def network_up(self, session: Session, family: int, now: float) -> None:
        """The client may send *family*."""
        first = session.up_at is None
        session.families |= IPV4 if family == 4 else IPV6
        session.state = State.UP
        again = family == 4 and not session.ipv4_on
        session.ipv4_on = session.ipv4_on or again
        if session.paused:  # the same outcome as before: nothing was installed
            self.placed(session)
        elif again:
            self._tell_families(session)
        if family == 6:
            self.ipv6.opened(session, now)
        self.ipv6.note_prefix(session)
        if first:
            session.up_at = now
            session.accounted = self.settings.accounting
            self._start_timers(session, now)
        self.write_down_soon(session)  # before anybody is told that it is up
        if first:
            self.counters["started"] += 1
            self.emit(logs.started(session, now))
            self.accounts.started(session, now)
        elif family == 6:  # the Start did not know its prefix
            self.accounts.changed_soon(session, now)

    def network_down(self, session: Session, family: int, now: float) -> None:
        """The client closed *family*: the others go on."""
        session.families &= ~(IPV4 if family == 4 else IPV6)
        if family == 4:
            session.ipv4_on = False
            session.install_request = None
        else:
            self.ipv6.closed(session, now)
        if not session.families:
            self._pause(session)
        elif family == 4 and session.told is not None and not session.paused:
            self._tell_families(session)
        self.write_down_soon(session)

    def close(self, session: Session, cause: Cause, detail: str, now: float) -> None:
        """End politely: the access method tells the client, then ends it."""
        if session.state is not State.ENDING and session.cause is None:
            session.cause, session.detail = cause, detail
            self.ipv6.farewell(session, now)
            session.method.close(session, now)
            self.reschedule(session)

    # ---- what outlives us ----

    def write_down(self, session: Session) -> bool:
        """Write anew what adopting *session* takes: something of it has changed.

        Nothing is written of one that nothing is forwarded for: what brings it back writes; but of
        one that accounting is told of. False: the record does not fit, the old one stays.
        """
        if session.state is not State.UP or not (session.told or session.accounted):
            return True
        record = restart.encode(session)
        if record is None:
            self.counters["record_too_long"] += 1
            self.emit(logs.not_recorded(session))
            return False
        self.emit(Record(session.handle, session.acct_session_id, record))
        return True

    def write_down_soon(self, session: Session) -> None:
        """Write it down once, with the actions that are taken next: they leave all at once."""
        self._unrecorded[session] = None

    # ---- the dataplane entry ----

    def placed(self, session: Session) -> None:
        """Send what makes the dataplane forward for the session, which is on its worker."""
        if session.magics is not None:  # a pause turned it off
            self.emit(EchoSession(session.handle, *session.magics))
        features.tell(self, session)
        first = session.told is None
        self.tell_up(session, install.up(self.settings, session))
        self.forwards.tell(session)
        session.paused = False
        if first:
            self.tell_routes(session)
        self.ipv6.tell(session)

    def _tell_families(self, session: Session) -> None:
        """Have a session that is LIVE in the dataplane forward the families that it is to."""
        up = install.up(self.settings, session)
        if up != session.told or (session.install_request and not session.install_pending):
            self.tell_up(session, up)
        self.ipv6.tell(session)

    def tell_routes(self, session: Session) -> None:
        """Have all that leads to the session do so."""
        for prefix in session.routes:
            self.emit(AddRoute(session.handle, prefix, answered=True))
        session.install_pending += len(session.routes)

    def tell_up(self, session: Session, up: UpSession) -> None:
        """Send *up*; whoever waits for the installation waits for its completion, too."""
        self.emit(up)
        session.told = up
        session.install_pending += 1

    def installing(self, session: Session, status: int, now: float) -> None:
        """One of the commands of an installation is done."""
        if session.state is State.ENDING:
            return
        session.install_pending -= 1
        if status == -ENOSPC and self.placement.find_other(session):
            return
        if status and not self.orders.failed(session, f"errno {-status}"):
            self.counters["install_failed"] += 1
            full = f"no NAT ports: {self.nat.text(session.nat_place) or 'all addresses full'}"
            cause = full if status in (-ENOSPC, -EEXIST) else f"errno {-status}"
            self.end(session, Cause.NAS_ERROR, f"install: {cause}", now)
            return
        if session.install_pending:
            return
        if session.install_request is not None:
            request, session.install_request = session.install_request, None
            session.method.installed(session, request, now)
        self.orders.settled(session, now)

    def _pause(self, session: Session) -> None:
        if session.state is State.UP:
            session.state = State.PAUSED
        if session.told is not None and not session.paused:
            session.paused = True
            self.emit(PauseSession(session.handle))
        session.install_request = None

    def _start_timers(self, session: Session, now: float) -> None:
        profile = session.profile
        if profile is not None and profile.session_timeout_s:
            session.timeout_at = now + profile.session_timeout_s

    # ---- the end: one path ----

    def end(self, session: Session, cause: Cause, detail: str, now: float) -> None:
        """Tear a session down. Called again, it does nothing."""
        if session.state is State.ENDING:
            return
        session.state = State.ENDING
        session.cause = cause = session.cause or cause
        session.detail = session.detail or detail
        session.timeout_at = None
        self._ask_no_more(session)
        if session.accounted and (record := restart.encode(session)):  # for a Stop by the next bngd
            self.emit(Record(session.handle, session.acct_session_id, record))
        self.ending[session.acct_session_id] = session
        self.grants.leave(session)
        self.ipv6.end(session, now)
        session.method.abort(session, cause.word, now)  # the detail is for the log alone
        for prefix in session.routes:
            self.emit(DeleteRoute(session.handle, prefix))
        if session.moving_to is None:  # else its owner is known when it has moved
            self.emit(CloseSession(session.handle))

    def _closed(self, session: Session, counters: Counters, now: float) -> None:
        """Counters are frozen: say what it carried, then let the entry go."""
        if session.up_at is not None:
            self.counters["stopped"] += 1
        self.emit(logs.ended(session, counters, self.nat, now))
        self.orders.closed(session)
        if not self.accounts.stopped(session, counters, now):
            self._release(session)

    def accounted(self, index: int, generation: int) -> None:
        """The Stop of a closed session is on disk: its entry may go."""
        session = self.table.get(index, generation)
        if session is not None and session.state is State.ENDING and session.accounted:
            session.accounted = False
            self._release(session)

    def _release(self, session: Session) -> None:
        self.emit(Forget(session.handle, session.acct_session_id))
        self.emit(ReleaseSession(session.handle))

    def _released(self, session: Session, status: int, now: float) -> None:
        """The dataplane let go: free what the session held."""
        if status:
            self.counters["release_failed"] += 1
        del self.ending[session.acct_session_id]
        if session.ipv4_address is not None:
            self.pools.release(session.ipv4_address, now)
        self.ipv6.leave(session, now)
        self.placement.leave(session)
        self.one_to_one.leave(session)
        self.forwards.leave(session)
        session.method.released(session, now)
        self.table.free(session.handle)
        self.grants.released(session, now)
