"""Fuzz a PPP link: a script of frames, answers and time, with the promises of `Link` checked.

Input: records of one operation byte, one length byte and a payload. Operations: a raw frame, an
answer to the link's own Configure-Request (Ack, Nak or Reject of the payload), a Response to its
Challenge, an answer to what it asked (accept, reject, installed), time, the two ways to end, and a
restart, after which another link goes on where this one was.
"""

from ipaddress import IPv4Address

from bng.ppp.actions import (
    Action,
    Authenticate,
    Install,
    LcpLeftOpened,
    LcpOpened,
    LinkDown,
    NetworkDown,
    NetworkUp,
    SendPpp,
)
from bng.ppp.config import AuthMethod, Ipv4Params, Ipv6Params, LinkConfig
from bng.ppp.link import Link, Phase

LCP, CHAP, IPCP, IPV6CP = 0xC021, 0xC223, 0x8021, 0x8057
ALL_METHODS = (AuthMethod.CHAP_MD5, AuthMethod.MSCHAP_V2, AuthMethod.MSCHAP_V1, AuthMethod.PAP)
METHODS = (ALL_METHODS, (AuthMethod.PAP,), (), ALL_METHODS[::-1])
IPV4 = Ipv4Params(
    local=IPv4Address("10.0.0.1"), peer=IPv4Address("10.0.0.9"), dns=(IPv4Address("9.9.9.9"),)
)
IPV6 = Ipv6Params(local_interface_id=1)
ACKNOWLEDGED = {LCP: {1, 5}, IPCP: {3, 129}, IPV6CP: {1}}
MOST_TICKS_TO_THE_END = 20


def packet(protocol: int, code: int, identifier: int, data: bytes) -> bytes:
    """Return a frame."""
    header = bytes((protocol >> 8, protocol & 255, code, identifier))
    return header + (4 + len(data)).to_bytes(2) + data


class Script:
    """Feeds one input to a `Link` and checks what comes back."""

    def __init__(self, variant: int = 0) -> None:
        self.config = LinkConfig(
            auth_methods=METHODS[variant & 3],
            ac_name=b"bng",
            mru=1492 + (variant >> 2 & 1) * 8,
            reauth_interval_s=50.0 if variant & 8 else None,
        )
        self.drawn = 0
        self.link = Link(self.config, self.entropy)
        self.now = 0.0
        self.requests: dict[int, tuple[int, bytes]] = {}  # ours, by protocol
        self.challenge = 0
        self.asked: list[int] = []
        self.held: list[int] = []
        self.up: set[object] = set()
        self.downs = 0
        self.act(self.link.lower_up(self.now))

    def entropy(self, size: int) -> bytes:
        """Return octets that differ each time, the first of them after a while."""
        self.drawn += 1
        return (self.drawn * 0x9E3779B97F4A7C15 & (1 << 8 * size) - 1).to_bytes(size)

    def step(self, operation: int, payload: bytes) -> None:
        """Run one record."""
        choice = payload[0] if payload else 0
        protocol = (LCP, IPCP, IPV6CP)[choice % 3]
        match operation % 8:
            case 0 | 1:
                self.act(self.link.receive(payload, self.now))
            case 2:
                identifier, options = self.requests.get(protocol, (choice, b""))
                code = 2 + choice // 3 % 3
                data = options if code == 2 else payload[1:] or options
                self.act(self.link.receive(packet(protocol, code, identifier, data), self.now))
            case 3:
                data = bytes((len(payload),)) + payload + b"user"
                self.act(self.link.receive(packet(CHAP, 2, self.challenge, data), self.now))
            case 4:
                self.answer(choice)
            case 5:
                self.pass_time(choice / 8)
            case 6:
                held = self.held.pop() if self.held else choice
                self.act(self.link.installed(held, self.now))
            case _:
                if choice & 6 == 6:
                    self.restart()
                elif choice & 1:
                    self.act(self.link.close(self.now))
                else:
                    self.act(self.link.lower_down(self.now))

    def answer(self, choice: int) -> None:
        """Answer the latest Authenticate, or one that never was."""
        request_id = self.asked.pop() if self.asked else choice
        if choice & 4:
            self.act(self.link.reject(request_id, self.now, message="no"))
            return
        self.act(
            self.link.accept(
                request_id,
                self.now,
                message="yes",
                authenticator_response=b"S=" + b"0" * 40,
                ipv4=IPV4 if not choice & 1 else None,
                ipv6=IPV6 if not choice & 2 else None,
            )
        )

    def restart(self) -> None:
        """Have another link go on where this one is, when it forwards IPv4: nothing is sent."""
        if not {LCP, 4} <= self.up or self.link.phase is not Phase.NETWORK:
            return
        settled, ipv6 = self.link.settled, IPV6 if self.link.ipv6cp is not None else None
        self.link = Link(self.config, self.entropy)
        self.link.go_on(settled, IPV4, ipv6, self.now)
        self.asked.clear()
        self.held.clear()

    def pass_time(self, seconds: float) -> int:
        """Move time on, ticking at each deadline; returns how many there were."""
        end, ticks = self.now + seconds, 0
        while (at := self.link.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.act(self.link.tick(self.now))
            after = self.link.next_deadline()
            assert after is None or after > self.now, "a deadline is not served by its tick"
            ticks += 1
        self.now = end
        return ticks

    def act(self, actions: list[Action]) -> None:
        """Check actions and remember what is to be answered."""
        for action in actions:
            assert not self.downs, "an action after LinkDown"
            match action:
                case SendPpp(payload):
                    self.sent(payload)
                case Authenticate(request_id):
                    self.asked.append(request_id)
                case Install(request_id):
                    self.held.append(request_id)
                case LcpOpened():
                    assert LCP not in self.up
                    self.up.add(LCP)
                case LcpLeftOpened():
                    assert self.up == {LCP}, "the network goes down before LCP"
                    self.up.clear()
                case NetworkUp(family):
                    assert LCP in self.up
                    assert family not in self.up
                    self.up.add(family)
                case NetworkDown(family):
                    self.up.remove(family)
                case LinkDown():
                    assert not self.up, "something is still up"
                    self.downs += 1
        assert (self.link.next_deadline() is None) <= bool(self.downs or self.up)

    def sent(self, payload: bytes) -> None:
        """Check a frame that the link sends."""
        protocol, code, identifier = int.from_bytes(payload[:2]), payload[2], payload[3]
        assert int.from_bytes(payload[4:6]) == len(payload) - 2 <= 1500
        data = payload[6:]
        if protocol == CHAP and code == 1:
            self.challenge = identifier
        if protocol in ACKNOWLEDGED and code == 1:
            self.requests[protocol] = identifier, data
        if protocol in ACKNOWLEDGED and code == 2:
            while data:
                assert data[0] in ACKNOWLEDGED[protocol]
                assert data[0] != 3 or data[2:6] == IPV4.peer.packed
                data = data[data[1] :]

    def finish(self) -> None:
        """End the link: whatever happened before, it ends once and soon."""
        self.act(self.link.close(self.now))
        assert self.pass_time(1000.0) <= MOST_TICKS_TO_THE_END
        assert self.downs == 1
        assert self.link.next_deadline() is None


def test_one_input(data: bytes) -> None:
    """Run one input."""
    script = Script(data[0] if data else 0)
    data = data[1:]
    while len(data) >= 2:
        operation, length = data[0], data[1]
        script.step(operation, data[2 : 2 + length])
        data = data[2 + length :]
    script.finish()
