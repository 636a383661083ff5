"""PPPoE as an access method: joins discovery (RFC 2516) and the PPP link to the session core."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import assert_never

from bng.aaa.model import AccessAccept
from bng.access.domains import Domains, DomainsFullError
from bng.ethernet import AccessLine, Mac
from bng.ppp.actions import (
    Action as LinkAction,
)
from bng.ppp.actions import (
    Authenticate,
    DownReason,
    Install,
    LcpLeftOpened,
    LcpOpened,
    LinkDown,
    NetworkDown,
    NetworkUp,
    SendPpp,
)
from bng.ppp.config import AuthMethod, Ipv4Params, Ipv6Params, LinkConfig, Negotiated
from bng.ppp.link import Link
from bng.pppoe.actions import Action as DiscoveryAction
from bng.pppoe.actions import CloseReason, CloseSession, OpenSession
from bng.pppoe.actions import SendDiscovery as Discovered
from bng.pppoe.discovery import Discovery
from bng.session.access import Core
from bng.session.actions import SendDiscovery, SendFrame
from bng.session.model import IPV4, IPV6, Cause, Session
from bng.session.packing import readers_of, unpack_fields

DISCOVERY_WORKER = 0
"""The worker that sends what belongs to no session."""

CAUSES: dict[DownReason, Cause] = {
    DownReason.LOWER_DOWN: Cause.LOST_CARRIER,
    DownReason.PEER_TERMINATED: Cause.USER_REQUEST,
    DownReason.ADMIN: Cause.ADMIN_RESET,
    DownReason.NO_ANSWER: Cause.LOST_CARRIER,
    DownReason.NOT_CONVERGING: Cause.USER_ERROR,
    DownReason.PROTOCOL_ERROR: Cause.USER_ERROR,
    DownReason.LOOPED: Cause.PORT_ERROR,
    DownReason.AUTH_REFUSED: Cause.USER_ERROR,
    DownReason.AUTH_FAILED: Cause.USER_ERROR,
    DownReason.AUTH_TIMEOUT: Cause.USER_ERROR,
    DownReason.NO_NETWORK: Cause.SERVICE_UNAVAILABLE,
}


@dataclass(slots=True)
class PppoeSession:
    """What PPPoE keeps of a session. *silent*: the client knows already that it is over."""

    session_id: int
    link: Link
    max_payload: int | None = None
    request_id: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is recorded of a session that the core does not know.

    *max_payload* is that of RFC 4638, *local* our interface identifier, *begun* the network
    protocols that are being negotiated, bits as in `Session.families`.
    """

    session_id: int
    max_payload: int | None = None
    auth_method: AuthMethod | None = None
    local: int | None = None
    begun: int = 0
    reauth_at: float | None = None


KEYS = {"pppoe": "session_id"} | {
    f"pppoe_{field.name}": field.name for field in fields(Recorded) if field.name != "session_id"
}
"""Fields of that by key of the record."""
READERS = readers_of(Recorded, KEYS.values())
MAX_MAGIC, MAX_INTERFACE_ID = (1 << 32) - 1, (1 << 64) - 1


class PppoeAccess:
    """PPPoE on all access ports; implements `bng.session.access.AccessMethod`."""

    name = "pppoe"

    def __init__(
        self,
        *,
        core: Core,
        discovery: Discovery,
        domains: Domains,
        link_config: LinkConfig,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.discovery = discovery
        self._core = core
        self._domains = domains
        self._entropy = entropy
        self._by_id: dict[int, Session] = {}
        self._configs: dict[int, LinkConfig] = {}
        self.reconfigure(link_config)

    def reconfigure(self, link_config: LinkConfig) -> None:
        """Use *link_config* for links from now on."""
        self._config = link_config
        self._configs = {}

    def stats(self) -> dict[str, int]:
        """Return how full the tables are."""
        return {**self.discovery.stats(), "pppoe_sessions": len(self._by_id)}

    # ---- discovery ----

    def discover(self, line: AccessLine, src: Mac, dst: Mac, payload: bytes, now: float) -> None:
        """Take a discovery packet, from what follows the EtherType."""
        self._discovered(self.discovery.receive(line, src, dst, payload, now), now)

    def next_deadline(self) -> float | None:
        """Return when `tick_discovery` is due."""
        return self.discovery.next_deadline()

    def tick_discovery(self, now: float) -> None:
        """Let discovery's timers expire."""
        self._discovered(self.discovery.tick(now), now)

    def _discovered(self, actions: list[DiscoveryAction], now: float) -> None:
        for action in actions:
            match action:
                case Discovered():
                    self._send(DISCOVERY_WORKER, action)
                case OpenSession():
                    self._open(action, now)
                case CloseSession():
                    self._client_left(action, now)
                case _:
                    assert_never(action)

    def _send(self, worker: int, packet: Discovered) -> None:
        self._core.emit(SendDiscovery(worker, packet.line, packet.dst, packet.payload))

    def _open(self, request: OpenSession, now: float) -> None:
        """Bind a session and answer its PADR; under overload say nothing."""
        line, session_id = request.line, request.session_id
        try:
            domain, page = self._domains.place(line.port, line.outer_vid, session_id)
        except DomainsFullError:
            self.discovery.release(line, session_id, now)
            return
        session = self._core.open(self, line, request.mac, now)
        if session is None:
            self.discovery.release(line, session_id, now)
            return
        session.service_name = request.service_name.decode(errors="replace")
        if request.line_info is not None:
            session.circuit_id = request.line_info.circuit_id
            session.remote_id = request.line_info.remote_id
            session.line_attributes = request.line_info.attributes
        link = Link(self._link_config(request.max_payload), self._entropy)
        session.access = PppoeSession(session_id, link, request.max_payload)
        self._by_id[_key(line, session_id)] = session
        self._core.bind(session, session_id, domain, page)
        for action in self.discovery.accepted(line, session_id, now):
            if isinstance(action, Discovered):
                self._send(session.handle.worker, action)
        self._apply(session, link.lower_up(now), now)
        self._core.reschedule(session)

    def _client_left(self, request: CloseSession, now: float) -> None:
        session = self._by_id.get(_key(request.line, request.session_id))
        if session is None:
            self.discovery.release(request.line, request.session_id, now)
            return
        _of(session).silent = True
        if request.reason is CloseReason.PADT:
            self._core.end(session, Cause.USER_REQUEST, "PADT", now)
        else:
            self._core.end(session, Cause.LOST_CARRIER, "client dialled again", now)

    def _link_config(self, max_payload: int | None) -> LinkConfig:
        """Return the settings for a link with the agreed PPP-Max-Payload (RFC 4638), or none."""
        mru = max_payload or self._config.mru
        if mru not in self._configs:
            self._configs[mru] = replace(self._config, mru=mru)
        return self._configs[mru]

    def session_id(self, session: Session) -> int:
        """Return the SESSION_ID (RFC 2516 §4)."""
        return _of(session).session_id

    # ---- the link ----

    def receive(self, session: Session, frame: bytes, now: float) -> None:
        """Take a control frame, PPP protocol and information."""
        self._apply(session, _of(session).link.receive(frame, now), now)

    def tick(self, session: Session, now: float) -> None:
        """Let the link's timers expire."""
        self._apply(session, _of(session).link.tick(now), now)

    def deadline(self, session: Session) -> float | None:
        """Return when the link's next timer expires."""
        return _of(session).link.next_deadline()

    def _apply(self, session: Session, actions: list[LinkAction], now: float) -> None:
        core = self._core
        for action in _without_repetition(actions) if len(actions) > 1 else actions:
            match action:
                case SendPpp():
                    core.emit(SendFrame(session.handle, action.payload))
                case Authenticate():
                    credentials = action.credentials
                    assert credentials is not None  # noqa: S101 - a method is always configured
                    _of(session).request_id = action.request_id
                    core.authenticate(session, action.request_id, credentials, now)
                case LcpOpened():
                    self.discovery.opened(session.line, _of(session).session_id)
                    magics = (action.our_magic, action.peer_magic)
                    core.link_opened(session, magics, action.peer_mru, now)
                case LcpLeftOpened():
                    core.link_left(session, now)
                case Install():
                    core.install(
                        session, action.request_id, action.family, action.peer_interface_id, now
                    )
                case NetworkUp():
                    core.network_up(session, action.family, now)
                case NetworkDown():
                    core.network_down(session, action.family, now)
                case LinkDown():
                    core.end(session, CAUSES[action.reason], action.reason.value, now)
                case _:
                    assert_never(action)

    # ---- what the core says ----

    def accept(
        self,
        session: Session,
        answer: AccessAccept,
        ipv4: Ipv4Params | None,
        ipv6: Ipv6Params | None,
        now: float,
    ) -> None:
        """Send the authentication's success and let the NCPs begin."""
        state = _of(session)
        self.discovery.forgive(session.line, session.mac)
        actions = state.link.accept(
            state.request_id,
            now,
            message=answer.message,
            authenticator_response=answer.authenticator_response,
            ipv4=ipv4,
            ipv6=ipv6,
        )
        self._apply(session, actions, now)

    def reject(self, session: Session, message: str, now: float, *, wrong: bool) -> None:
        """Send the authentication's failure; a wrong password is held off."""
        if wrong:
            self.discovery.penalize(session.line, session.mac, now)
        state = _of(session)
        self._apply(session, state.link.reject(state.request_id, now, message=message), now)

    def installed(self, session: Session, request_id: int, now: float) -> None:
        """Let the held Configure-Ack go."""
        self._apply(session, _of(session).link.installed(request_id, now), now)

    def refuse(self, session: Session, request_id: int, now: float) -> None:
        """Reject the protocol of the held Configure-Request."""
        self._apply(session, _of(session).link.refuse(request_id, now), now)

    def close(self, session: Session, now: float) -> None:
        """Send a Terminate-Request."""
        self._apply(session, _of(session).link.close(now, DownReason.ADMIN), now)

    def abort(self, session: Session, message: str, now: float) -> None:
        """Send a PADT, unless the client did."""
        state = _of(session)
        state.link.lower_down(now)
        if not state.silent:
            padt = self.discovery.padt(session.line, session.mac, state.session_id, message)
            self._send(session.handle.worker, padt)

    def released(self, session: Session, now: float) -> None:
        """Let the session id rest."""
        session_id = _of(session).session_id
        self.discovery.release(session.line, session_id, now)
        self._by_id.pop(_key(session.line, session_id), None)

    # ---- what outlives us ----

    def record(self, session: Session) -> dict[str, object]:
        """Return what adopting the session takes."""
        state = _of(session)
        link = state.link
        known = {
            "session_id": state.session_id,
            "max_payload": state.max_payload,
            "auth_method": link.lcp.auth_method and link.lcp.auth_method.name,
            "local": link.ipv6cp and link.ipv6cp.local_interface_id,
            "begun": _begun(link) or None,
            "reauth_at": link.reauth_at,
        }
        return {key: known[name] for key, name in KEYS.items() if known[name] is not None}

    def adopt(
        self,
        session: Session,
        record: Mapping[str, object],
        ipv4: Ipv4Params | None,
        assigned: int | None,
        now: float,
    ) -> None:
        """Go on with a session that *record* was written of; nothing is sent.

        *assigned* is the interface identifier that the user is given. Raises: ValueError, having
        changed nothing.
        """
        recorded = _recorded(record)
        settled = _settled(session, recorded)
        self.discovery.adopt(session.line, session.mac, recorded.session_id)
        ipv6 = None
        if recorded.local is not None:
            peer = session.interface_id if assigned is None else assigned
            ipv6 = Ipv6Params(local_interface_id=recorded.local, peer_interface_id=peer)
            session.local_interface_id = recorded.local
        link = Link(self._link_config(recorded.max_payload), self._entropy)
        link.go_on(settled, ipv4, ipv6, now)
        session.access = PppoeSession(recorded.session_id, link, recorded.max_payload)
        self._by_id[_key(session.line, recorded.session_id)] = session


def _of(session: Session) -> PppoeSession:
    state = session.access
    assert isinstance(state, PppoeSession)  # noqa: S101 - sessions of this method
    return state


def _without_repetition(actions: list[LinkAction]) -> list[LinkAction]:
    """Leave out that network protocols are down where the whole link is."""
    if any(isinstance(action, LcpLeftOpened) for action in actions):
        return [action for action in actions if not isinstance(action, NetworkDown)]
    return actions


def _key(line: AccessLine, session_id: int) -> int:
    """Return (domain, session id) as one integer."""
    return line.port << 28 | line.outer_vid << 16 | session_id


def _recorded(record: Mapping[str, object]) -> Recorded:
    """Return what a record says. Raises: ValueError."""
    try:
        recorded = Recorded(**unpack_fields(READERS, KEYS, record))
    except TypeError as error:  # no session id
        raise ValueError(str(error)) from None
    if not 0 < (recorded.local or 1) <= MAX_INTERFACE_ID:
        raise ValueError(f"interface identifier {recorded.local}")
    if not 0 < (recorded.max_payload or 1) <= 0xFFFF:
        raise ValueError(f"PPP-Max-Payload {recorded.max_payload}")
    if not 0 <= recorded.begun <= IPV4 | IPV6:
        raise ValueError(f"network protocols {recorded.begun}")
    return recorded


def _begun(link: Link) -> int:
    """Return which network protocols are being negotiated."""
    ipv4 = link.ipcp is not None and link.ipcp.negotiating
    ipv6 = link.ipv6cp is not None and link.ipv6cp.negotiating
    return ipv4 * IPV4 | ipv6 * IPV6


def _settled(session: Session, recorded: Recorded) -> Negotiated:
    """Return what the link of *session* has negotiated. Raises: ValueError."""
    magics = session.magics or (0, 0)
    if not all(0 <= magic <= MAX_MAGIC for magic in magics):
        raise ValueError(f"Magic-Numbers {magics}")
    return Negotiated(
        auth_method=recorded.auth_method,
        our_magic=magics[0],
        peer_magic=magics[1],
        peer_mru=session.peer_mru,
        ipv4_open=bool(session.families & IPV4),
        ipv6_open=bool(session.families & IPV6),
        ipv4_begun=bool(recorded.begun & IPV4),
        ipv6_begun=bool(recorded.begun & IPV6),
        peer_interface_id=session.interface_id,
        reauth_at=recorded.reauth_at,
    )
