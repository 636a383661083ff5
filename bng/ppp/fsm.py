"""The Option Negotiation Automaton (RFC 1661 §4 and §5.1 to §5.7), base of LCP, IPCP and IPv6CP.

`Automaton.event` looks a cell of the table up and does what it says; nothing else changes the
state. Which options are wanted and acceptable is what a subclass adds.
"""

from collections.abc import Callable
from math import inf
from typing import ClassVar

from bng.errors import MalformedPacket
from bng.ppp.actions import Action, SendPpp
from bng.ppp.config import LinkConfig
from bng.ppp.packet import DEFAULT_MRU, Code, Option, build_frame, build_option, parse_options
from bng.ppp.table import TABLE, TIMER_RUNS, Do, Event, State

_STATES = len(State)
_HEADER_BYTES = 4
_FUNDAMENTAL = frozenset(range(Code.CONFIGURE_REQUEST, Code.CODE_REJECT + 1))


class Automaton:
    """One layer's negotiation with its peer.

    Actions are appended to the list that every method is given as *out*. *timer_at* is when
    `timeout` is due, infinite while the Restart timer does not run. *discarded* counts packets
    that were silently discarded for their Identifier or contents.
    """

    __slots__ = (
        "_answered",
        "_counter",
        "_failures",
        "_request",
        "_request_id",
        "_serial",
        "config",
        "discarded",
        "peer_mru",
        "state",
        "timer_at",
        "without",
    )

    protocol: ClassVar[int]
    unrejectable: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, config: LinkConfig) -> None:
        self.config = config
        self.state = State.INITIAL
        self.timer_at = inf
        self.peer_mru = DEFAULT_MRU
        self.discarded = 0
        self.without = 0  # bit mask of options that the peer rejected
        self._counter = 0  # the Restart counter
        self._failures = 0  # Configure-Naks sent since the last Configure-Ack
        self._serial = 0  # Identifier of the last packet that was no reply
        self._request_id = 0
        self._request = b""  # the options of our last Configure-Request
        self._answered = 0  # Code of the valid reply to it

    # -- for subclasses ---------------------------------------------------------------------

    def request_options(self) -> bytes:
        """Return the options of our next Configure-Request."""
        raise NotImplementedError

    def acceptable(self, option_type: int, value: bytes) -> bytes | None:
        """Judge an option of the peer's request.

        Returns *value* itself to acknowledge it, another value to suggest that one in a
        Configure-Nak, None to reject the option.
        """
        raise NotImplementedError

    def missing(self, options: list[Option]) -> bytes:
        """Return options to prompt the peer for, appended to a Configure-Nak (RFC 1661 §5.3)."""
        return b""

    def acknowledge(
        self, identifier: int, data: bytes, options: list[Option], now: float, out: list[Action]
    ) -> None:
        """Answer a good Configure-Request with the Configure-Ack it deserves."""
        self.send_ack(identifier, data, now, out)

    def receive_nak(self, options: list[Option]) -> Event:
        """Learn from a Configure-Nak; return RCN to try again, CLOSE to give up."""
        raise NotImplementedError

    def receive_reject(self, options: list[Option]) -> Event:
        """Learn from a Configure-Reject; the options are in `without` already."""
        return Event.RCN

    def this_layer_up(self, out: list[Action]) -> None:
        """Do tlu."""

    def this_layer_down(self, out: list[Action]) -> None:
        """Do tld; `state` is the new state."""

    # -- the automaton ----------------------------------------------------------------------

    def event(
        self, event: Event, now: float, out: list[Action], identifier: int = 0, reply: bytes = b""
    ) -> None:
        """Take one transition of the table.

        *identifier* is that of the packet received, *reply* the frame for sca, scn, scj or ser.
        An illegal event takes no transition (RFC 1661 §4.4).
        """
        cell = TABLE[event * _STATES + self.state]
        if cell is None:
            return
        actions, self.state = cell
        for action in actions:
            _PERFORM[action](self, now, out, identifier, reply)
        if not TIMER_RUNS[self.state]:
            self.timer_at = inf

    def timeout(self, now: float, out: list[Action]) -> None:
        """Let the Restart timer expire: TO+ while its counter is above zero, else TO-."""
        self.event(Event.TO_PLUS if self._counter > 0 else Event.TO_MINUS, now, out)

    def _tlu(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        self.this_layer_up(out)

    def _tld(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        self.without = 0
        self._failures = 0
        self.this_layer_down(out)

    def _nothing(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        """Do tls or tlf: the owner sees them in the state."""

    def _irc(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        terminating = self.state in (State.CLOSING, State.STOPPING)
        self._counter = self.config.max_terminate if terminating else self.config.max_configure

    def _zrc(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        self._counter = 0
        self.timer_at = now + self.config.restart_s

    def _scr(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        options = self.request_options()
        if self._answered or not self._request_id or options != self._request:
            # RFC 1661 §5.1: changed with the options and after a valid reply, kept when repeated.
            self._request_id = self.next_identifier()
            self._request = options
            self._answered = 0
        request = build_frame(self.protocol, Code.CONFIGURE_REQUEST, self._request_id, options)
        out.append(SendPpp(request))
        self._counter -= 1
        self.timer_at = now + self.config.restart_s

    def _reply(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        out.append(SendPpp(reply))

    def _str(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        request = build_frame(self.protocol, Code.TERMINATE_REQUEST, self.next_identifier())
        out.append(SendPpp(request))
        self._counter -= 1
        self.timer_at = now + self.config.restart_s

    def _sta(self, now: float, out: list[Action], identifier: int, reply: bytes) -> None:
        out.append(SendPpp(build_frame(self.protocol, Code.TERMINATE_ACK, identifier)))

    def next_identifier(self) -> int:
        """Return a new Identifier for a packet that is no reply, 1 to 255."""
        self._serial = self._serial % 255 + 1
        return self._serial

    def resume(self, state: State, serial: int) -> None:
        """Be in *state*, where another automaton has been with this peer; nothing is sent.

        *serial* is where Identifiers go on: anywhere, for those of the other one are not known.
        """
        self.state = state
        self._serial = serial
        self._answered = Code.CONFIGURE_ACK

    def negotiate(self, serial: int, now: float) -> None:
        """Be in Req-Sent, where another automaton negotiated; the request is sent by `timeout`."""
        self.resume(State.REQ_SENT, serial)
        self._counter = self.config.max_configure
        self.timer_at = now

    @property
    def negotiating(self) -> bool:
        """Say whether requests are under way, or one end may think that all are acknowledged."""
        return State.REQ_SENT <= self.state < State.OPENED

    # -- packets ----------------------------------------------------------------------------

    def receive(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        """Take a packet of this layer.

        Raises: MalformedPacket, having changed nothing, when *data* breaks the rules of *code*.
        """
        if 0 < code < len(_RECEIVE):
            _RECEIVE[code](self, code, identifier, data, now, out)
        else:
            self.send_code_reject(code, identifier, data, now, out)

    def _receive_request(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        options = parse_options(data)
        if self.state < State.REQ_SENT and self.state is not State.STOPPED:
            self.event(Event.RCR_PLUS, now, out, identifier)  # judged by nobody: sta or nothing
            return
        naks, rejects = self.judge(options)
        if rejects:
            code, reply = Code.CONFIGURE_REJECT, rejects
        elif naks:
            self._failures += 1
            code, reply = Code.CONFIGURE_NAK, naks
        else:
            self.acknowledge(identifier, data, options, now, out)
            return
        frame = build_frame(self.protocol, code, identifier, reply)
        self.event(Event.RCR_MINUS, now, out, identifier, frame)

    def judge(self, options: list[Option]) -> tuple[bytes, bytes]:
        """Return the options to Nak and those to Reject, each in the order of the request."""
        naks = rejects = b""
        exhausted = self._failures >= self.config.max_failure
        seen = 0
        for option_type, value in options:
            wanted = None if seen >> option_type & 1 else self.acceptable(option_type, value)
            seen |= 1 << option_type
            if wanted is None:  # unknown, not wanted, or listed a second time (RFC 1661 §6)
                rejects += build_option(option_type, value)
            elif wanted != value:
                if exhausted and option_type not in self.unrejectable:
                    rejects += build_option(option_type, value)  # Max-Failure, RFC 1661 §4.6
                else:
                    naks += build_option(option_type, wanted)
        if not rejects and not exhausted:
            naks += self.missing(options)
        return naks, rejects

    def send_ack(self, identifier: int, data: bytes, now: float, out: list[Action]) -> None:
        """Raise RCR+ for the request *identifier* with options *data*."""
        self._failures = 0
        ack = build_frame(self.protocol, Code.CONFIGURE_ACK, identifier, data)
        self.event(Event.RCR_PLUS, now, out, identifier, ack)

    def _receive_answer(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        if self.state < State.REQ_SENT:
            event = Event.RCA if code == Code.CONFIGURE_ACK else Event.RCN
            self.event(event, now, out, identifier)
            return
        # "Invalid packets are silently discarded" (RFC 1661 §5.2 to §5.4), and so is the same
        # answer again: a peer that was slow acknowledges each repetition of a request.
        if identifier != self._request_id or code == self._answered:
            self.discarded += 1
            return
        event = Event.RCA
        if code == Code.CONFIGURE_ACK:
            if data != self._request:
                self.discarded += 1
                return
        elif code == Code.CONFIGURE_NAK:
            event = self.receive_nak(parse_options(data))
        else:
            options = parse_options(data)
            if not options or not _is_subset(options, parse_options(self._request)):
                self.discarded += 1
                return
            for option_type, _ in options:
                self.without |= 1 << option_type
            event = self.receive_reject(options)
        self._answered = code
        self.event(event, now, out, identifier)

    def _receive_terminate(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        event = Event.RTR if code == Code.TERMINATE_REQUEST else Event.RTA
        self.event(event, now, out, identifier)

    def _receive_code_reject(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        if not data:
            raise MalformedPacket("a Code-Reject without the rejected packet")
        fundamental = data[0] in _FUNDAMENTAL
        self.event(Event.RXJ_MINUS if fundamental else Event.RXJ_PLUS, now, out)

    def send_code_reject(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        """Raise RUC; the copy of the packet is cut to the peer's MRU (RFC 1661 §5.6)."""
        rejected = build_frame(0, code, identifier, data)[2 : 2 + self.peer_mru - _HEADER_BYTES]
        frame = build_frame(self.protocol, Code.CODE_REJECT, self.next_identifier(), rejected)
        self.event(Event.RUC, now, out, identifier, frame)


def _is_subset(options: list[Option], request: list[Option]) -> bool:
    """Tell whether *options* are some of *request*, unmodified and in its order."""
    remaining = iter(request)
    return all(option in remaining for option in options)


_Perform = Callable[[Automaton, float, list[Action], int, bytes], None]
_Receive = Callable[[Automaton, int, int, bytes, float, list[Action]], None]

_BY_ACTION: dict[Do, _Perform] = {
    Do.TLU: Automaton._tlu,
    Do.TLD: Automaton._tld,
    Do.TLS: Automaton._nothing,
    Do.TLF: Automaton._nothing,
    Do.IRC: Automaton._irc,
    Do.ZRC: Automaton._zrc,
    Do.SCR: Automaton._scr,
    Do.SCA: Automaton._reply,
    Do.SCN: Automaton._reply,
    Do.STR: Automaton._str,
    Do.STA: Automaton._sta,
    Do.SCJ: Automaton._reply,
    Do.SER: Automaton._reply,
}
_PERFORM = tuple(_BY_ACTION[action] for action in Do)

_RECEIVE: tuple[_Receive, ...] = (
    Automaton.send_code_reject,
    Automaton._receive_request,
    Automaton._receive_answer,
    Automaton._receive_answer,
    Automaton._receive_answer,
    Automaton._receive_terminate,
    Automaton._receive_terminate,
    Automaton._receive_code_reject,
)
"""By Code, 1 to 7."""
