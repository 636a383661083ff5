"""One PPP link: LCP, authentication and the NCPs joined into the phases of RFC 1661 §3.

Sans-IO: frames and times go in, actions come out. A frame is the PPP protocol field and the
information field. Hostile bytes are counted and discarded; no method raises on them.
"""

from collections.abc import Callable
from enum import Enum
from math import inf

from bng.errors import MalformedPacket
from bng.ppp.actions import Action, Authenticate, DownReason, LinkDown
from bng.ppp.authenticator import Authenticator
from bng.ppp.chap import Chap
from bng.ppp.config import AuthMethod, Ipv4Params, Ipv6Params, LinkConfig, Negotiated
from bng.ppp.ipcp import Ipcp
from bng.ppp.ipv6cp import Ipv6cp
from bng.ppp.lcp import Lcp
from bng.ppp.ncp import Ncp
from bng.ppp.packet import Code, Protocol, build_frame, parse_packet, parse_protocol
from bng.ppp.pap import Pap
from bng.ppp.table import Event, State

__all__ = ["AuthMethod", "Ipv4Params", "Ipv6Params", "Link", "LinkConfig", "Phase"]

REAUTH_SPREAD_S = 60.0
"""After a restart, Challenges that are overdue leave within this time, not all at once."""

_REASON_BY_CODE: dict[int, DownReason] = {
    Code.CONFIGURE_NAK: DownReason.AUTH_REFUSED,
    Code.CONFIGURE_REJECT: DownReason.AUTH_REFUSED,
    Code.TERMINATE_REQUEST: DownReason.PEER_TERMINATED,
    Code.CODE_REJECT: DownReason.PROTOCOL_ERROR,
    Code.PROTOCOL_REJECT: DownReason.PROTOCOL_ERROR,
}
"""Why LCP ends when a packet with this Code ends it."""


class Phase(Enum):
    """Phases of a link (RFC 1661 §3.2)."""

    DEAD = "Dead"
    ESTABLISH = "Establish"
    AUTHENTICATE = "Authenticate"
    NETWORK = "Network"
    TERMINATE = "Terminate"


class Link:
    """A PPP link of the server, used once: from `lower_up` or `go_on` to the action `LinkDown`.

    *entropy* returns that many unpredictable octets. Counters: *malformed* frames that do not
    parse, *discarded* ones that are out of place (RFC 1661 says "silently").
    """

    __slots__ = (
        "_auth",
        "_auth_request",
        "_deadline_at",
        "_entropy",
        "_held",
        "_reason",
        "_reauth_at",
        "_request_id",
        "_unexpected",
        "config",
        "finished",
        "ipcp",
        "ipv6cp",
        "lcp",
        "malformed",
        "phase",
    )

    def __init__(self, config: LinkConfig, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self.phase = Phase.DEAD
        self.finished = False
        self.malformed = 0
        self.lcp = Lcp(config, entropy)
        self.ipcp: Ipcp | None = None
        self.ipv6cp: Ipv6cp | None = None
        self._entropy = entropy
        self._auth: Authenticator | None = None
        self._auth_request = 0  # id of the Authenticate that is not answered yet
        self._request_id = 0
        self._held: dict[int, bytes] = {}  # the last Configure-Request by NCP, before its time
        self._unexpected = 0
        self._reason: DownReason | None = None
        self._deadline_at = inf  # of the phase
        self._reauth_at = inf

    @property
    def loops(self) -> int:
        """Packets that carried our own Magic-Number (RFC 1661 §6.4)."""
        return self.lcp.loops

    @property
    def discarded(self) -> int:
        """Packets silently discarded for their place, Identifier or contents."""
        return self._unexpected + self.lcp.discarded + sum(ncp.discarded for ncp in self._ncps())

    def _ncps(self) -> list[Ncp]:
        return [ncp for ncp in (self.ipcp, self.ipv6cp) if ncp is not None]

    # -- what happens to the link -------------------------------------------------------------

    def lower_up(self, now: float) -> list[Action]:
        """Begin. The first Configure-Request waits a moment: a kernel client attaches late."""
        out: list[Action] = []
        if self.phase is Phase.DEAD and not self.finished:
            self.phase = Phase.ESTABLISH
            self._deadline_at = now + self.config.establish_timeout_s
            self.lcp.event(Event.OPEN, now, out)
            self.lcp.timer_at = now + self.config.first_request_delay_s
        return out

    def go_on(
        self,
        settled: Negotiated,
        ipv4: Ipv4Params | None,
        ipv6: Ipv6Params | None,
        now: float,
    ) -> None:
        """Be open where another link was, that has *settled* all with the peer: nothing is sent.

        A network protocol that was being negotiated begins anew with the next `tick`: what opened
        it for the peer may have been lost with the other link. One that was closed waits for the
        peer to begin. A new Challenge that was due in the meantime is sent at some moment of the
        next minute.
        """
        self.phase = Phase.NETWORK
        self.lcp.go_on(settled, self._serial())
        if ipv4 is not None:
            self.ipcp = Ipcp(self.config, ipv4)
            if settled.ipv4_open:
                self.ipcp.go_on(self._serial())
            elif settled.ipv4_begun:
                self.ipcp.negotiate(self._serial(), now)
            else:
                self.ipcp.resume(State.STOPPED, self._serial())
        if ipv6 is not None:
            self.ipv6cp = Ipv6cp(self.config, ipv6, self._entropy)
            if settled.ipv6_open:
                self.ipv6cp.go_on(self._serial(), settled.peer_interface_id)
            elif settled.ipv6_begun:
                self.ipv6cp.negotiate(self._serial(), now)
            else:
                self.ipv6cp.resume(State.STOPPED, self._serial())
        for ncp in self._ncps():
            ncp.peer_mru = self.lcp.peer_mru
        self._go_on_authenticated(settled, now)

    def _go_on_authenticated(self, settled: Negotiated, now: float) -> None:
        if settled.auth_method is None:
            return
        self._auth = self._authenticator(settled.auth_method, self._serial())
        self._auth.go_on()
        interval = self.config.reauth_interval_s
        if isinstance(self._auth, Chap) and interval is not None:
            due = settled.reauth_at or 0.0
            late = now + min(interval, REAUTH_SPREAD_S) * self._serial() / 255
            self._reauth_at = due if due > now else late

    def _serial(self) -> int:
        """Return where Identifiers begin that nobody knows the last of, 0 to 254."""
        return self._entropy(1)[0] % 255

    @property
    def reauth_at(self) -> float | None:
        """When the peer is challenged again, None: never."""
        return None if self._reauth_at == inf else self._reauth_at

    @property
    def settled(self) -> Negotiated:
        """What has been negotiated, once a network protocol is Opened."""
        ipv6cp = self.ipv6cp
        ipv6_open = ipv6cp is not None and ipv6cp.state is State.OPENED
        return Negotiated(
            auth_method=self.lcp.auth_method,
            our_magic=self.lcp.our_magic,
            peer_magic=self.lcp.peer_magic,
            peer_mru=self.lcp.peer_mru,
            ipv4_open=self.ipcp is not None and self.ipcp.state is State.OPENED,
            ipv6_open=ipv6_open,
            ipv4_begun=self.ipcp is not None and self.ipcp.negotiating,
            ipv6_begun=ipv6cp is not None and ipv6cp.negotiating,
            peer_interface_id=ipv6cp.peer_interface_id if ipv6cp and ipv6_open else None,
            reauth_at=self.reauth_at,
        )

    def receive(self, frame: bytes, now: float) -> list[Action]:
        """Take a frame of the peer: protocol field and information."""
        out: list[Action] = []
        if self.phase is not Phase.DEAD:
            try:
                self._receive(frame, now, out)
            except MalformedPacket:
                self.malformed += 1
        return out

    def tick(self, now: float) -> list[Action]:
        """Let the timers expire that are due."""
        out: list[Action] = []
        if self.phase is Phase.DEAD:
            return out
        if now >= self.lcp.timer_at:
            self._lcp_event(None, now, out)
        for ncp in self._ncps():
            if now >= ncp.timer_at:
                ncp.timeout(now, out)
        if self._auth is not None and now >= self._auth.timer_at:
            if not self._auth.timeout(now, out):
                self._close(DownReason.AUTH_TIMEOUT, now, out)
        elif self._auth is not None and now >= self._reauth_at:
            self._reauth_at = inf
            self._auth.start(now, out)
        if now >= self._deadline_at:
            self._close(_TOO_LATE[self.phase], now, out)
        return out

    def next_deadline(self) -> float | None:
        """Return when `tick` is due, None when no timer runs."""
        at = min(self.lcp.timer_at, self._deadline_at, self._reauth_at)
        if self._auth is not None and self._auth.timer_at < at:
            at = self._auth.timer_at
        if self.ipcp is not None and self.ipcp.timer_at < at:
            at = self.ipcp.timer_at
        if self.ipv6cp is not None and self.ipv6cp.timer_at < at:
            at = self.ipv6cp.timer_at
        return None if at == inf else at

    def accept(
        self,
        request_id: int,
        now: float,
        *,
        message: str,
        authenticator_response: bytes | None,
        ipv4: Ipv4Params | None,
        ipv6: Ipv6Params | None,
    ) -> list[Action]:
        """Answer `Authenticate`: the peer is welcome, with these network protocols.

        After a re-challenge of a live session the parameters change nothing.
        """
        out: list[Action] = []
        if not self._take_auth_request(request_id):
            return out
        if self._auth is not None:
            self._auth.succeed(message, authenticator_response or b"", out)
            if isinstance(self._auth, Chap) and self.config.reauth_interval_s is not None:
                self._reauth_at = now + self.config.reauth_interval_s
        if self.phase is Phase.AUTHENTICATE:
            self._enter_network(ipv4, ipv6, now, out)
        return out

    def reject(self, request_id: int, now: float, *, message: str) -> list[Action]:
        """Answer `Authenticate`: the peer is refused and the link ends."""
        out: list[Action] = []
        if self._take_auth_request(request_id):
            if self._auth is not None:
                self._auth.fail(message, out)
            self._close(DownReason.AUTH_FAILED, now, out)
        return out

    def installed(self, request_id: int, now: float) -> list[Action]:
        """Answer `Install`: the dataplane is ready and the held Configure-Ack leaves."""
        out: list[Action] = []
        for ncp in self._ncps():
            if ncp.install_request and ncp.install_request == request_id:
                was = ncp.state
                ncp.confirm(now, out)
                self._after_ncp(ncp, was, now, out)
        return out

    def refuse(self, request_id: int, now: float) -> list[Action]:
        """Answer `Install`: there is nothing for this family; its protocol is rejected from now on.

        RFC 1661 §5.7 calls that the way to say that a protocol is not supported.
        """
        out: list[Action] = []
        for ncp in self._ncps():
            if ncp.install_request and ncp.install_request == request_id and ncp.held is not None:
                frame = build_frame(ncp.protocol, Code.CONFIGURE_REQUEST, *ncp.held)
                self._unexpected += ncp.discarded
                ncp.event(Event.DOWN, now, out)
                if ncp is self.ipcp:
                    self.ipcp = None
                else:
                    self.ipv6cp = None
                self.lcp.send_protocol_reject(frame, out)
        return out

    def close(self, now: float, reason: DownReason = DownReason.ADMIN) -> list[Action]:
        """End the link with Terminate-Requests; `LinkDown` follows when they are through."""
        out: list[Action] = []
        self._close(reason, now, out)
        return out

    def lower_down(self, now: float) -> list[Action]:
        """End at once without a packet: PADT, or the port is gone."""
        out: list[Action] = []
        if not self.finished:
            self._networks_down(now, out)
            self.lcp.event(Event.DOWN, now, out)
            self._finish(self._reason or DownReason.LOWER_DOWN, out)
        return out

    # -- frames by protocol -------------------------------------------------------------------

    def _receive(self, frame: bytes, now: float, out: list[Action]) -> None:
        protocol = parse_protocol(frame)
        if protocol == Protocol.LCP:
            self._lcp_event(frame, now, out)
        elif protocol in (Protocol.IPCP, Protocol.IPV6CP):
            self._receive_ncp(protocol, frame, now, out)
        elif self._auth is not None and protocol == self._auth.protocol:
            self._receive_auth(self._auth, frame, out)
        elif self.phase is not Phase.NETWORK or protocol in (Protocol.IP, Protocol.IPV6):
            self._unexpected += 1
        else:
            self.lcp.send_protocol_reject(frame, out)

    def _receive_auth(self, auth: Authenticator, frame: bytes, out: list[Action]) -> None:
        code, identifier, data = parse_packet(frame)
        if self.phase not in (Phase.AUTHENTICATE, Phase.NETWORK):
            self._unexpected += 1  # "any other phase" (RFC 1994 §4.1)
            return
        before = len(out)
        credentials = auth.receive(code, identifier, data, out)
        if credentials is not None:
            self._auth_request = self._next_request()
            out.append(Authenticate(self._auth_request, credentials))
        elif len(out) == before:
            self._unexpected += 1

    def _receive_ncp(self, protocol: int, frame: bytes, now: float, out: list[Action]) -> None:
        if self.phase is Phase.NETWORK:
            ncp = self.ipcp if protocol == Protocol.IPCP else self.ipv6cp
            if ncp is None:
                self.lcp.send_protocol_reject(frame, out)
            else:
                self._ncp_packet(ncp, frame, now, out)
            return
        code, _, _ = parse_packet(frame)
        if self.phase is Phase.AUTHENTICATE and code == Code.CONFIGURE_REQUEST:
            self._held[protocol] = frame  # the peer was first; answered when it is authenticated
        else:
            self._unexpected += 1

    def _ncp_packet(self, ncp: Ncp, frame: bytes, now: float, out: list[Action]) -> None:
        code, identifier, data = parse_packet(frame)
        was = ncp.state
        if was is State.STARTING:  # its protocol was rejected before, now the peer speaks it
            ncp.event(Event.UP, now, out)
        ncp.receive(code, identifier, data, now, out)
        self._after_ncp(ncp, was, now, out)

    def _after_ncp(self, ncp: Ncp, was: State, now: float, out: list[Action]) -> None:
        if ncp.held is not None and not ncp.install_request:
            ncp.ask_install(self._next_request(), out)
        if ncp.state is not was and State.OPENED in (was, ncp.state):
            opened = any(each.state is State.OPENED for each in self._ncps())
            self._deadline_at = inf if opened else now + self.config.ncp_timeout_s

    # -- LCP and the phases -------------------------------------------------------------------

    def _lcp_event(self, frame: bytes | None, now: float, out: list[Action]) -> None:
        """Give LCP a *frame*, or its timeout without one, and follow it into the next phase."""
        lcp = self.lcp
        code, identifier, data = parse_packet(frame) if frame is not None else (0, 0, b"")
        was, mark = lcp.state, len(out)
        if was is State.STARTING:
            lcp.event(Event.UP, now, out)
        elif frame is None:
            lcp.timeout(now, out)
        if frame is not None:
            if code == Code.PROTOCOL_REJECT:
                self._receive_protocol_reject(data, now, out)
            else:
                lcp.receive(code, identifier, data, now, out)
        if lcp.state is not was:
            if lcp.state < State.REQ_SENT and self._reason is None:
                self._reason = _REASON_BY_CODE.get(code)
            self._after_lcp(was, mark, now, out)
        if lcp.looped and self.phase is Phase.ESTABLISH:
            self._close(DownReason.LOOPED, now, out)

    def _receive_protocol_reject(self, data: bytes, now: float, out: list[Action]) -> None:
        """Stop sending what the peer rejects (RFC 1661 §5.7); valid in Opened only."""
        protocol = parse_protocol(data)
        if self.lcp.state is not State.OPENED:
            self._unexpected += 1
            return
        if protocol == Protocol.LCP:
            self.lcp.event(Event.RXJ_MINUS, now, out)
            return
        self.lcp.event(Event.RXJ_PLUS, now, out)
        if self._auth is not None and protocol == self._auth.protocol:
            self._reason = DownReason.AUTH_REFUSED
            self.lcp.event(Event.CLOSE, now, out)
        for ncp in self._ncps():
            if protocol == ncp.protocol:
                was = ncp.state
                ncp.event(Event.DOWN, now, out)
                self._after_ncp(ncp, was, now, out)

    def _after_lcp(self, was: State, mark: int, now: float, out: list[Action]) -> None:
        """Follow LCP from state *was*; what it appended to *out* begins at *mark*."""
        state = self.lcp.state
        if was is State.OPENED:
            downs: list[Action] = []
            self._networks_down(now, downs)
            out[mark:mark] = downs  # upper layers go down first
            self._auth_request = 0
            self._reauth_at = inf
            if self._auth is not None:
                self._auth.timer_at = inf
            self._held.clear()
            self.phase = Phase.ESTABLISH
            self._deadline_at = now + self.config.establish_timeout_s
        if state is State.OPENED:
            self._enter_authenticate(now, out)
        elif state in (State.CLOSING, State.STOPPING):
            self.phase = Phase.TERMINATE
            self._deadline_at = inf
        elif state < State.CLOSING:
            self._finish(self._reason or DownReason.NO_ANSWER, out)

    def _enter_authenticate(self, now: float, out: list[Action]) -> None:
        self.phase = Phase.AUTHENTICATE
        self._deadline_at = now + self.config.auth_timeout_s
        method = self.lcp.auth_method
        identifier = self._auth.identifier if self._auth is not None else 0
        if method is None:
            self._auth_request = self._next_request()
            out.append(Authenticate(self._auth_request, None))
            return
        self._auth = self._authenticator(method, identifier)
        self._auth.start(now, out)

    def _authenticator(self, method: AuthMethod, identifier: int) -> Authenticator:
        if method is AuthMethod.PAP:
            return Pap(identifier)
        return Chap(self.config, method, self._entropy, identifier)

    def _enter_network(
        self, ipv4: Ipv4Params | None, ipv6: Ipv6Params | None, now: float, out: list[Action]
    ) -> None:
        self.phase = Phase.NETWORK
        self._deadline_at = now + self.config.ncp_timeout_s
        self.ipcp = Ipcp(self.config, ipv4) if ipv4 is not None else None
        self.ipv6cp = Ipv6cp(self.config, ipv6, self._entropy) if ipv6 is not None else None
        for ncp in self._ncps():
            ncp.peer_mru = self.lcp.peer_mru
            ncp.event(Event.OPEN, now, out)
            ncp.event(Event.UP, now, out)
        held, self._held = self._held, {}
        for frame in held.values():
            try:
                self._receive(frame, now, out)
            except MalformedPacket:
                self.malformed += 1

    def _networks_down(self, now: float, out: list[Action]) -> None:
        for ncp in self._ncps():
            self._unexpected += ncp.discarded
            ncp.event(Event.DOWN, now, out)
        self.ipcp = self.ipv6cp = None

    def _close(self, reason: DownReason, now: float, out: list[Action]) -> None:
        if self.finished:
            return
        if self._reason is None:
            self._reason = reason
        was, mark = self.lcp.state, len(out)
        self.lcp.event(Event.CLOSE, now, out)
        if self.lcp.state is not was or self.phase is Phase.DEAD:
            self._after_lcp(was, mark, now, out)

    def _finish(self, reason: DownReason, out: list[Action]) -> None:
        self.phase = Phase.DEAD
        self.finished = True
        self._auth = None
        self._auth_request = 0
        self._deadline_at = self._reauth_at = self.lcp.timer_at = inf
        out.append(LinkDown(reason))

    # -- request ids --------------------------------------------------------------------------

    def _next_request(self) -> int:
        self._request_id += 1
        return self._request_id

    def _take_auth_request(self, request_id: int) -> bool:
        """Close the open Authenticate request, if *request_id* names it."""
        if not request_id or request_id != self._auth_request:
            return False
        self._auth_request = 0
        return True


_TOO_LATE = {
    Phase.ESTABLISH: DownReason.NOT_CONVERGING,
    Phase.AUTHENTICATE: DownReason.AUTH_TIMEOUT,
    Phase.NETWORK: DownReason.NO_NETWORK,
    Phase.TERMINATE: DownReason.NO_ANSWER,
}
