"""The Link Control Protocol: RFC 1661 §5.7 to §6.6, for PPPoE (RFC 2516 §7, RFC 4638).

We request MRU, Auth-Protocol and Magic-Number. Of the peer's options MRU and Magic-Number are
acknowledged or Nak'd and never Rejected; every other one is Rejected: we do not authenticate
ourselves, measure no quality, and ACCM, PFC, ACFC and FCS-Alternatives have no place on PPPoE.
"""

from collections.abc import Callable
from typing import ClassVar

from bng.ppp.actions import Action, LcpLeftOpened, LcpOpened, SendPpp
from bng.ppp.config import AuthMethod, LinkConfig, Negotiated
from bng.ppp.fsm import Automaton
from bng.ppp.packet import (
    DEFAULT_MRU,
    Code,
    Option,
    Protocol,
    build_frame,
    build_option,
    parse_magic,
)
from bng.ppp.table import Event, State
from bng.wire import U16, U32

MRU = 1
AUTH_PROTOCOL = 3
MAGIC_NUMBER = 5

MIN_MRU = 128
"""The least MRU that we acknowledge without asking for more; IPv4 headers must fit."""

_MAGIC_BYTES = 4
_MAX_MAGIC = 0xFFFF_FFFF
_TOLERATED = frozenset(
    {Code.ECHO_REPLY, Code.DISCARD_REQUEST, Code.IDENTIFICATION, Code.TIME_REMAINING}
)


class Lcp(Automaton):
    """LCP of one link. *loops* counts packets that carried our own Magic-Number."""

    __slots__ = (
        "_collisions",
        "_entropy",
        "_mru",
        "_refused",
        "auth_method",
        "loops",
        "magic",
        "peer_magic",
    )

    protocol: ClassVar[int] = int(Protocol.LCP)
    unrejectable: ClassVar[frozenset[int]] = frozenset({MRU, MAGIC_NUMBER})

    def __init__(self, config: LinkConfig, entropy: Callable[[int], bytes]) -> None:
        super().__init__(config)
        self._entropy = entropy
        self.loops = 0
        self.magic = 0
        self.magic = self._new_magic()
        self.peer_magic = 0
        self._begin()

    def _begin(self) -> None:
        """Forget what the last negotiation settled."""
        self._collisions = 0  # requests of the peer with our own Magic-Number
        self._mru = self.config.mru
        self._refused: frozenset[AuthMethod] = frozenset()
        self.auth_method = self.config.auth_methods[0] if self.config.auth_methods else None

    def _new_magic(self) -> int:
        """Return a Magic-Number that is neither ours nor zero (RFC 1661 §6.4)."""
        magic = int.from_bytes(self._entropy(_MAGIC_BYTES)) or 1
        return magic if magic != self.magic else magic % _MAX_MAGIC + 1

    @property
    def our_magic(self) -> int:
        """Our negotiated Magic-Number, 0 when the peer rejected it."""
        return 0 if self.without >> MAGIC_NUMBER & 1 else self.magic

    @property
    def looped(self) -> bool:
        """Whether negotiation met our own Magic-Number too often for it to be chance."""
        return self._collisions > self.config.max_failure

    def request_options(self) -> bytes:
        """Return MRU, Auth-Protocol and Magic-Number, less what the peer rejected."""
        options = b""
        if not self.without >> MRU & 1:
            options = build_option(MRU, U16.pack(self._mru))
        if self.auth_method is not None:
            options += build_option(AUTH_PROTOCOL, self.auth_method.value)
        if self.our_magic:
            options += build_option(MAGIC_NUMBER, U32.pack(self.magic))
        return options

    def judge(self, options: list[Option]) -> tuple[bytes, bytes]:
        """Judge a request; one with our own magic "MUST" be Nak'd, Rejects or not (§6.4)."""
        before = self._collisions
        naks, rejects = super().judge(options)
        return naks, b"" if self._collisions > before else rejects

    def acceptable(self, option_type: int, value: bytes) -> bytes | None:
        """Judge an option of the peer; see `Automaton.acceptable`."""
        if option_type == MRU:
            return self._acceptable_mru(value)
        if option_type == MAGIC_NUMBER:
            return self._acceptable_magic(value)
        return None

    def _acceptable_mru(self, value: bytes) -> bytes:
        if len(value) == U16.size:
            if MIN_MRU <= U16.unpack(value)[0] <= self.config.mru:
                return value
            if self._failures >= self.config.max_failure:
                return value  # never Rejected; we send less than it could take
        return U16.pack(self.config.mru)

    def _acceptable_magic(self, value: bytes) -> bytes:
        if len(value) == _MAGIC_BYTES:
            magic = int.from_bytes(value)
            if magic and magic != self.our_magic:
                return value
            if magic:  # maybe our own request, looped back (RFC 1661 §6.4)
                self.loops += 1
                self._collisions += 1
        return U32.pack(self._new_magic())

    def acknowledge(
        self, identifier: int, data: bytes, options: list[Option], now: float, out: list[Action]
    ) -> None:
        """Take the peer's options over and acknowledge them."""
        self.peer_magic = 0
        mru = DEFAULT_MRU
        for option_type, value in options:
            if option_type == MRU:
                mru = U16.unpack(value)[0]
            else:
                self.peer_magic = int.from_bytes(value)
        self.peer_mru = min(max(mru, MIN_MRU), self.config.mru)
        self._collisions = 0
        self.send_ack(identifier, data, now, out)

    def receive_nak(self, options: list[Option]) -> Event:
        """Follow the peer's suggestions as far as the configuration permits."""
        suggested: list[bytes] = []
        for option_type, value in options:
            if option_type == AUTH_PROTOCOL:
                suggested.append(value)
            elif option_type == MAGIC_NUMBER:
                self.magic = self._new_magic()
            elif option_type == MRU:
                mru = U16.unpack(value)[0] if len(value) == U16.size else 0
                if MIN_MRU <= mru < self._mru:
                    self._mru = mru
                else:
                    self.without |= 1 << MRU
        if suggested and not self._next_auth_method(suggested):
            return Event.CLOSE
        return Event.RCN

    def _next_auth_method(self, suggested: list[bytes]) -> bool:
        """Take a permitted method that the peer suggests, else our next one; False: none left."""
        if self.auth_method is None:
            return True
        self._refused |= {self.auth_method}
        left = [method for method in self.config.auth_methods if method not in self._refused]
        liked = [method for method in left if method.value in suggested]
        self.auth_method = next(iter(liked or left), None)
        return self.auth_method is not None

    def receive_reject(self, options: list[Option]) -> Event:
        """Give up when the peer rejects authentication: it is required where it is configured."""
        if any(option_type == AUTH_PROTOCOL for option_type, _ in options):
            return Event.CLOSE
        return Event.RCN

    def go_on(self, settled: Negotiated, serial: int) -> None:
        """Be Opened with what another link has *settled*."""
        self.resume(State.OPENED, serial)
        self.auth_method = settled.auth_method
        self.peer_magic = settled.peer_magic
        self.peer_mru = settled.peer_mru
        if settled.our_magic:
            self.magic = settled.our_magic
        else:
            self.without |= 1 << MAGIC_NUMBER

    def this_layer_up(self, out: list[Action]) -> None:
        """Tell that LCP is Opened."""
        out.append(LcpOpened(self.our_magic, self.peer_magic, self.peer_mru))

    def this_layer_down(self, out: list[Action]) -> None:
        """Tell that LCP left Opened, and negotiate afresh."""
        self._begin()
        out.append(LcpLeftOpened())

    def receive(
        self, code: int, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        """Take an LCP packet other than Protocol-Reject, which concerns the link.

        Raises: MalformedPacket, having changed nothing.
        """
        if code == Code.ECHO_REQUEST:
            self._receive_echo_request(identifier, data, now, out)
        elif code in _TOLERATED:
            if code != Code.IDENTIFICATION:
                parse_magic(data)
            self.event(Event.RXR, now, [], identifier)  # "no reply" (RFC 1661 §4.3)
        else:
            super().receive(code, identifier, data, now, out)

    def _receive_echo_request(
        self, identifier: int, data: bytes, now: float, out: list[Action]
    ) -> None:
        magic = parse_magic(data)
        if magic and magic == self.our_magic:
            self.loops += 1  # "indicates a looped-back link" (RFC 1661 §6.4)
            return
        echo = U32.pack(self.our_magic) + data[_MAGIC_BYTES : self.peer_mru - _MAGIC_BYTES]
        reply = build_frame(self.protocol, Code.ECHO_REPLY, identifier, echo)
        self.event(Event.RXR, now, out, identifier, reply)

    def send_protocol_reject(self, frame: bytes, out: list[Action]) -> None:
        """Reject the protocol of *frame*, cut to the peer's MRU (RFC 1661 §5.7)."""
        rejected = frame[: self.peer_mru - _MAGIC_BYTES]
        identifier = self.next_identifier()
        out.append(SendPpp(build_frame(self.protocol, Code.PROTOCOL_REJECT, identifier, rejected)))
