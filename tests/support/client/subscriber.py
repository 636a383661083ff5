"""One PPPoE subscriber as a state machine without I/O (RFC 2516, 1661, 1334, 1994, 2759, 1332).

It behaves as pppd with its kernel plugin does: PADI and PADR after 5, 10 and 20 s, Configure- and
authentication requests every 3 s, 10 times. Frames leave through ``send``, news through ``report``.
What it does not do: compression, FCS, the whole automaton of RFC 1661 §4.1.
"""

import hashlib
import ipaddress
import math
import os
import struct
from collections.abc import Callable

from tests.support.client import mschap, wire
from tests.support.client.ipv6 import Ipv6Host
from tests.support.client.layer import Layer, Phase, Profile
from tests.support.client.wire import (
    CONF_ACK,
    CONF_NAK,
    CONF_REJ,
    CONF_REQ,
    P_CHAP,
    P_IPCP,
    P_IPV6CP,
    P_LCP,
    P_PAP,
)

_SESSION = struct.Struct("!BBHH")
_U16 = struct.Struct("!H")
_P_IPV6 = _U16.pack(wire.P_IPV6)
_CONTROL = struct.Struct("!BBH")
_BROADCAST = b"\xff" * 6


class Subscriber:
    """One client line: its Ethernet address, VLAN tags, name, and the session it dials."""

    __slots__ = (
        "ac_mac", "ac_name", "armed", "auth", "challenge", "cookie", "deadline", "echo_at",
        "echo_missed", "failure", "head", "host_uniq", "index", "ipcp", "ipv6cp", "lcp", "mac",
        "magic", "names", "opened_at", "password", "peer_magic", "phase", "profile", "report",
        "response", "send", "session_id", "started_at", "tags", "tries", "user", "v6",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        mac: bytes,
        user: str,
        password: str,
        *,
        profile: Profile,
        send: Callable[[bytes], None],
        report: Callable[["Subscriber", str, str], None],
        tags: bytes = b"",
    ) -> None:
        self.index = index
        self.mac = mac
        self.user = user.encode()
        self.password = password
        self.profile = profile
        self.send = send
        self.report = report
        self.tags = tags
        self.host_uniq = struct.pack("!I", index)
        self.armed = math.inf  # when the loop that owns us will look at ``deadline`` next
        self.lcp = self.ipcp = self.ipv6cp = Layer(P_LCP, {})
        self._clear()

    def _clear(self) -> None:
        self.phase = Phase.IDLE
        self.deadline: float | None = None
        self.session_id = 0
        self.ac_mac = _BROADCAST
        self.ac_name = ""
        self.cookie = self.challenge = self.response = self.head = b""
        self.names: dict[int, Layer] = {}
        self.auth = self.failure = ""
        self.tries = self.echo_missed = 0
        self.started_at = self.opened_at = self.echo_at = 0.0
        self.peer_magic = b"\0\0\0\0"
        self.v6: Ipv6Host | None = None

    @property
    def due(self) -> float | None:
        """When `tick` has something to do next."""
        if self.v6 is None or self.v6.deadline is None:
            return self.deadline
        return self.v6.deadline if self.deadline is None else min(self.deadline, self.v6.deadline)

    @property
    def address(self) -> ipaddress.IPv4Address:
        """The IPv4 address that IPCP gave us."""
        return ipaddress.IPv4Address(self.ipcp.wanted.get(3, b"\0\0\0\0"))

    @property
    def on_link(self) -> ipaddress.IPv6Address:
        """The address that we made of the advertised prefix."""
        assert self.v6 is not None and self.v6.address is not None
        return self.v6.address

    @property
    def at_home(self) -> ipaddress.IPv6Address:
        """The last address of the delegated prefix."""
        assert self.v6 is not None and self.v6.delegated is not None
        return self.v6.delegated.broadcast_address

    @property
    def mtu(self) -> int:
        """The longest IP packet, both ways: the MRU that we asked for."""
        return int.from_bytes(self.lcp.wanted[1], "big")

    @property
    def interface_id(self) -> bytes:
        """The 8 bytes that IPv6CP agreed on."""
        return self.ipv6cp.wanted.get(1, bytes(8))

    # --- Discovery (RFC 2516 §5) ---

    def start(self, now: float) -> None:
        """Dial."""
        self._clear()
        self.phase = Phase.PADI
        self.started_at = now
        self._discover(now)

    def _discover(self, now: float) -> None:
        waits = self.profile.discovery_s
        if self.tries == len(waits):
            self._fail("no-pado" if self.phase == Phase.PADI else "no-pads", now)
            return
        self.deadline = now + waits[self.tries]
        self.tries += 1
        code = wire.PADI if self.phase == Phase.PADI else wire.PADR
        body = wire.tag(wire.TAG_SERVICE_NAME, self.profile.service)
        body += wire.tag(wire.TAG_HOST_UNIQ, self.host_uniq)
        if self.profile.max_payload:
            body += wire.tag(wire.TAG_PPP_MAX_PAYLOAD, _U16.pack(self.profile.max_payload))
        body += self.cookie
        if self.profile.line:  # an access node's tag, of the DSL Forum (3561), stands behind all
            body += wire.tag(wire.TAG_VENDOR_SPECIFIC, b"\x00\x00\x0d\xe9" + self.profile.line)
        self.send(self._discovery(code, 0, body))

    def _discovery(self, code: int, session_id: int, body: bytes) -> bytes:
        return (
            self.ac_mac
            + self.mac
            + self.tags
            + wire.ETH_DISCOVERY
            + _SESSION.pack(0x11, code, session_id, len(body))
            + body
        )

    def on_discovery(
        self, source: bytes, code: int, session_id: int, body: bytes, now: float
    ) -> None:
        """Take a PADO, PADS or PADT."""
        if code == wire.PADT:
            if session_id == self.session_id and self.phase >= Phase.LCP:
                self._down("padt")
            return
        found = dict(wire.tags(body))
        if found.get(wire.TAG_HOST_UNIQ) != self.host_uniq:
            return
        if code == wire.PADO and self.phase == Phase.PADI:
            self.phase = Phase.PADR
            self.tries = 0
            self.ac_mac = source
            self.ac_name = found.get(wire.TAG_AC_NAME, b"").decode(errors="replace")
            self.cookie = b"".join(
                wire.tag(kind, found[kind])
                for kind in (wire.TAG_AC_COOKIE, wire.TAG_RELAY_SESSION_ID)
                if kind in found
            )
            self._discover(now)
        elif code == wire.PADS and self.phase == Phase.PADR:
            if not session_id:
                errors = [name for kind, name in wire.TAG_ERRORS.items() if kind in found]
                self._fail(errors[0] if errors else "refused", now)
                return
            self._session(session_id, now)

    def _session(self, session_id: int, now: float) -> None:
        self.session_id = session_id
        self.head = (
            self.ac_mac + self.mac + self.tags + wire.ETH_SESSION
            + struct.pack("!BBH", 0x11, 0, session_id)
        )  # fmt: skip
        self.phase = Phase.LCP
        self.magic = os.urandom(4)
        self.lcp = Layer(P_LCP, {1: _U16.pack(self.profile.mru), 5: self.magic})
        self.names = {P_LCP: self.lcp}
        self._request(self.lcp, now)

    # --- Sending ---

    def send_ppp(self, packet: bytes) -> None:
        """Send one PPP packet (protocol field first) in the session."""
        self.send(self.head + _U16.pack(len(packet)) + packet)

    def _request(self, layer: Layer, now: float) -> None:
        self.deadline = now + self.profile.restart_s
        self.send_ppp(layer.request())

    # --- Session stage ---

    def on_session(self, session_id: int, packet: bytes, now: float) -> None:
        """Take one PPP control packet, protocol field first."""
        if session_id != self.session_id or self.phase < Phase.LCP or len(packet) < 6:
            return
        protocol = packet[0] << 8 | packet[1]
        code, ident, length = _CONTROL.unpack_from(packet, 2)
        if length < 4 or length > len(packet) - 2:
            return
        body = packet[6 : 2 + length]
        if self.phase == Phase.CLOSING:
            if protocol == P_LCP and code in {wire.TERM_REQ, wire.TERM_ACK}:
                self._lcp_rest(code, ident, body, now)
            return
        layer = self.names.get(protocol)
        if layer is not None and code <= CONF_REJ:
            self._negotiate(layer, code, ident, body, now)
        elif protocol == P_LCP:
            self._lcp_rest(code, ident, body, now)
        elif protocol == P_CHAP and self.auth in {"chap", "mschapv2"}:
            self._chap(code, ident, body, now)
        elif protocol == P_PAP and self.auth == "pap" and code in {2, 3}:
            self._verdict(code == 2, now)
        elif layer is not None and code == wire.TERM_REQ:
            self.send_ppp(wire.ppp(protocol, wire.TERM_ACK, ident, b""))
        elif layer is None and protocol not in {P_IPCP, P_IPV6CP, P_CHAP, P_PAP}:
            self.send_ppp(wire.ppp(P_LCP, wire.PROTO_REJ, ident, packet[: 2 + length]))

    def _negotiate(self, layer: Layer, code: int, ident: int, body: bytes, now: float) -> None:
        if code == CONF_REQ:
            if layer.open:
                self._again(layer, now)
            verdict, answer = self._judge(layer, body)
            layer.peer_acked = verdict == CONF_ACK
            self.send_ppp(wire.ppp(layer.protocol, verdict, ident, answer))
        elif ident != layer.ident or layer.acked:
            return
        elif code == CONF_ACK:
            layer.acked = body == layer.body
        else:
            layer.adapt(code, body)
            self._request(layer, now)
        if layer.acked and layer.peer_acked and not layer.open:
            layer.open = True
            self._opened(layer, now)

    def _again(self, layer: Layer, now: float) -> None:
        """Start over because the peer did (RFC 1661 §4.1, RCR in Opened)."""
        layer.reset()
        if layer is self.lcp:
            self.names = {P_LCP: self.lcp}
            self.phase = Phase.LCP
        elif self.phase == Phase.UP:
            self.phase = Phase.NETWORK
        self._request(layer, now)

    def _judge(self, layer: Layer, body: bytes) -> tuple[int, bytes]:
        """Say Ack, Nak or Reject to the peer's options, and with what."""
        known = {P_LCP: {1, 3, 5}, P_IPCP: {3}, P_IPV6CP: {1}}[layer.protocol]
        asked = wire.options(body)
        rejected = [wire.option(kind, value) for kind, value in asked if kind not in known]
        if rejected:
            return CONF_REJ, b"".join(rejected)
        if layer is self.lcp:
            self.auth = ""
            for kind, value in asked:
                if kind == 5:
                    self.peer_magic = value
                elif kind == 3:
                    names = [n for n in self.profile.auth if wire.AUTH_VALUES[n] == value]
                    if not names:
                        return CONF_NAK, wire.option(3, wire.AUTH_VALUES[self.profile.auth[0]])
                    self.auth = names[0]
        return CONF_ACK, body

    def _opened(self, layer: Layer, now: float) -> None:
        if layer is self.lcp:
            self.phase = Phase.AUTH
            self.tries = 0
            if not self.auth:
                self._verdict(True, now)
            elif self.auth == "pap":
                self._pap(now)
            else:
                self.deadline = now + 30.0
        else:
            if layer is self.ipv6cp and self.profile.wants is not None:
                self.v6 = Ipv6Host(
                    self.index, self.interface_id, self.profile.wants, self._send_ipv6
                )
                self.v6.start(now)
            self._up(now)

    def _send_ipv6(self, packet: bytes) -> None:
        self.send_ppp(_P_IPV6 + packet)

    def on_ipv6(self, packet: bytes, now: float) -> bool:
        """Take an IPv6 packet; say whether it was not data. Raises: ValueError when it is bad."""
        if self.v6 is None:
            return False
        before = self.v6.complete
        if not self.v6.receive(packet, now):
            return False
        if self.v6.complete and not before:
            self.report(self, "ipv6", str(self.v6.address))
        return True

    def _up(self, now: float) -> None:
        if self.phase == Phase.NETWORK and all(layer.open for layer in self.names.values()):
            self.phase = Phase.UP
            self.opened_at = now
            self.deadline = self.echo_at = (
                now + self.profile.echo_s if self.profile.echo_s else None
            )
            self.report(self, "up", str(self.address))

    def _pap(self, now: float) -> None:
        password = self.password.encode()
        body = bytes((len(self.user),)) + self.user + bytes((len(password),)) + password
        self.tries += 1
        self.deadline = now + self.profile.restart_s
        self.send_ppp(wire.ppp(P_PAP, 1, self.tries, body))

    def _chap(self, code: int, ident: int, body: bytes, now: float) -> None:
        if code == 1 and body and len(body) > body[0]:
            challenge = body[1 : 1 + body[0]]
            if self.auth == "chap":
                value = hashlib.md5(
                    bytes((ident,)) + self.password.encode() + challenge, usedforsecurity=False
                ).digest()
            else:
                peer = os.urandom(16)
                nt = mschap.nt_response(challenge, peer, self.user, self.password)
                self.response = mschap.authenticator_response(
                    self.password, nt, peer, challenge, self.user
                ).encode()
                value = peer + bytes(8) + nt + b"\0"
            self.send_ppp(wire.ppp(P_CHAP, 2, ident, bytes((len(value),)) + value + self.user))
        elif code == 3 and self.auth == "mschapv2" and not body.startswith(self.response):
            self._fail("authenticator-response", now)
        elif code in {3, 4}:
            self._verdict(code == 3, now)

    def _verdict(self, good: bool, now: float) -> None:
        if not good:
            self._fail("auth", now)
        elif self.phase == Phase.AUTH:
            self.phase = Phase.NETWORK
            self.ipcp = Layer(P_IPCP, {3: b"\0\0\0\0", 129: b"\0\0\0\0", 131: b"\0\0\0\0"})
            self.names[P_IPCP] = self.ipcp
            self._request(self.ipcp, now)
            if self.profile.ipv6:
                self.ipv6cp = Layer(P_IPV6CP, {1: os.urandom(8)})
                self.names[P_IPV6CP] = self.ipv6cp
                self._request(self.ipv6cp, now)

    def _lcp_rest(self, code: int, ident: int, body: bytes, now: float) -> None:
        if code == wire.ECHO_REQ and self.lcp.open:
            self.send_ppp(wire.ppp(P_LCP, wire.ECHO_REP, ident, self.magic + body[4:]))
        elif code == wire.ECHO_REP:
            self.echo_missed = 0
        elif code == wire.TERM_REQ:
            self.send_ppp(wire.ppp(P_LCP, wire.TERM_ACK, ident, b""))
            self._down("terminate-request")
        elif code == wire.TERM_ACK and self.phase == Phase.CLOSING:
            self._padt()
            self._down(self.failure or "terminated")
        elif code == wire.PROTO_REJ and len(body) >= 2:
            self.names.pop(body[0] << 8 | body[1], None)
            self._up(now)
            self._up(now)

    # --- Time ---

    def tick(self, now: float) -> None:
        """Do what is due; ``due`` says when to call again."""
        if self.v6 is not None and self.v6.deadline is not None and self.v6.deadline <= now:
            self.v6.tick(now)
        if self.deadline is None or self.deadline > now:
            return
        self.deadline = None
        match self.phase:
            case Phase.PADI | Phase.PADR:
                self._discover(now)
            case Phase.LCP | Phase.NETWORK:
                for layer in list(self.names.values()):
                    if layer.tries >= self.profile.max_configure:
                        self._fail("lcp" if layer is self.lcp else "ncp", now)
                        return
                    if not layer.open:
                        self._request(layer, now)
            case Phase.AUTH if self.auth == "pap" and self.tries < self.profile.max_configure:
                self._pap(now)
            case Phase.AUTH:
                self._fail("auth-timeout", now)
            case Phase.UP:
                self._echo(now)
            case Phase.CLOSING:
                self._padt()
                self._down(self.failure or "terminated")

    def _echo(self, now: float) -> None:
        if self.echo_missed >= self.profile.echo_failures:
            self._padt()
            self._down("echo-lost")
            return
        self.echo_missed += 1
        self.send_ppp(wire.ppp(P_LCP, wire.ECHO_REQ, self.echo_missed, self.magic))
        self.deadline = now + self.profile.echo_s

    # --- The end ---

    def terminate(self, how: str, now: float) -> None:
        """Leave: ``terminate`` (LCP, then PADT), ``padt`` or ``silence``."""
        if self.phase >= Phase.LCP and how == "terminate":
            self.phase = Phase.CLOSING
            self.deadline = now + self.profile.restart_s
            self.send_ppp(wire.ppp(P_LCP, wire.TERM_REQ, self.lcp.ident % 255 + 1, b""))
            return
        if self.phase >= Phase.LCP and how == "padt":
            self._padt()
        self._down("terminated")

    def _padt(self) -> None:
        self.send(self._discovery(wire.PADT, self.session_id, b""))

    def _fail(self, cause: str, now: float) -> None:
        self.failure = cause
        self.report(self, "failed", cause)
        self.terminate("terminate" if self.phase >= Phase.LCP else "silence", now)

    def _down(self, why: str) -> None:
        self.phase = Phase.IDLE
        self.deadline = None
        self.report(self, "down", why)
