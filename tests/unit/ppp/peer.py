"""A client's end of the wire for the tests of `Link`, with a codec of its own.

Nothing of `bng.ppp.packet` is used here: what the tests send and read is written down anew.
"""

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from bng.ppp.actions import Action, Authenticate, Install, LinkDown, SendPpp
from bng.ppp.config import AuthMethod, Ipv4Params, Ipv6Params, LinkConfig
from bng.ppp.link import Link

LCP, PAP, CHAP, IPCP, IPV6CP, CCP = 0xC021, 0xC023, 0xC223, 0x8021, 0x8057, 0x80FD
REQ, ACK, NAK, REJ, TREQ, TACK, CODEREJ, PROTREJ, ECHOREQ, ECHOREP = range(1, 11)

IPV4 = Ipv4Params(
    local=IPv4Address("10.0.0.1"),
    peer=IPv4Address("100.64.0.9"),
    dns=(IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1")),
)
IPV6 = Ipv6Params(local_interface_id=1)

MAGIC = bytes.fromhex("0506deadbeef")
MRU_1492 = bytes.fromhex("010405d4")
ADDRESS_ZERO = bytes.fromhex("030600000000")
ADDRESS = bytes.fromhex("030664400009")
IFACE = bytes.fromhex("010a021122fffe334455")

Packet = tuple[int, int, int, bytes]  # protocol, code, identifier, data


def config(*methods: AuthMethod, **changes: object) -> LinkConfig:
    settings: dict[str, object] = {"auth_methods": methods, "ac_name": b"bng", "mru": 1492}
    return LinkConfig(**(settings | changes))  # type: ignore[arg-type]


def counting_entropy() -> Callable[[int], bytes]:
    """Octets that never repeat: a counter in each block asked for."""
    numbers: Iterator[int] = iter(range(0x11223344, 0x7FFFFFFF))
    return lambda size: next(numbers).to_bytes(max(4, size))[-size:]


def packet(protocol: int, code: int, identifier: int, data: bytes = b"") -> bytes:
    return struct.pack("!HBBH", protocol, code, identifier, 4 + len(data)) + data


def read(payload: bytes) -> Packet:
    protocol, code, identifier, length = struct.unpack("!HBBH", payload[:6])
    assert length == len(payload) - 2
    return protocol, code, identifier, payload[6:]


class Peer:
    """A client joined to a `Link`; time is the number `now`, moved by `wait`."""

    def __init__(self, settings: LinkConfig | None = None, *, up: bool = True) -> None:
        self.link = Link(settings or config(AuthMethod.CHAP_MD5), counting_entropy())
        self.now = 100.0
        self.actions: list[Action] = []
        self.sent: list[Packet] = []  # by the link, since `take`
        self.identifier = 0
        if up:
            self.note(self.link.lower_up(self.now))

    def note(self, actions: list[Action]) -> list[Action]:
        self.actions += actions
        self.sent += [read(action.payload) for action in actions if isinstance(action, SendPpp)]
        return actions

    def send(
        self, protocol: int, code: int, data: bytes = b"", identifier: int = -1
    ) -> list[Packet]:
        """Send one packet; returns what came back at once."""
        if identifier < 0:
            self.identifier = identifier = self.identifier % 255 + 1
        return self.raw(packet(protocol, code, identifier, data))

    def raw(self, frame: bytes) -> list[Packet]:
        before = len(self.sent)
        self.note(self.link.receive(frame, self.now))
        return self.sent[before:]

    def wait(self, seconds: float) -> list[Packet]:
        """Move time, ticking at each deadline on the way; returns what was sent."""
        before, end = len(self.sent), self.now + seconds
        while (at := self.link.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.note(self.link.tick(self.now))
        self.now = end
        return self.sent[before:]

    def take(self) -> list[Packet]:
        sent, self.sent = self.sent, []
        return sent

    def of(self, kind: type) -> list[Action]:
        return [action for action in self.actions if type(action) is kind]

    def last(self, protocol: int, code: int) -> Packet:
        return [sent for sent in self.sent if sent[:2] == (protocol, code)][-1]

    def ack(self, protocol: int) -> list[Packet]:
        """Acknowledge the link's latest Configure-Request of *protocol*."""
        _, _, identifier, data = self.last(protocol, REQ)
        return self.send(protocol, ACK, data, identifier)

    # -- whole phases -----------------------------------------------------------------------

    def open_lcp(self, options: bytes = MRU_1492 + MAGIC) -> None:
        self.send(LCP, REQ, options)
        self.ack(LCP)

    def respond(self, name: bytes = b"alice", value: bytes = b"r" * 16) -> Authenticate:
        """Answer the latest Challenge; returns what the link asks about it."""
        _, _, identifier, _ = self.last(CHAP, 1)
        self.send(CHAP, 2, bytes((len(value),)) + value + name, identifier)
        asked = self.of(Authenticate)[-1]
        assert isinstance(asked, Authenticate)
        return asked

    def accept(
        self,
        asked: Authenticate,
        ipv4: Ipv4Params | None = IPV4,
        ipv6: Ipv6Params | None = IPV6,
        response: bytes | None = None,
    ) -> list[Packet]:
        before = len(self.sent)
        self.note(
            self.link.accept(
                asked.request_id,
                self.now,
                message="welcome",
                authenticator_response=response,
                ipv4=ipv4,
                ipv6=ipv6,
            )
        )
        return self.sent[before:]

    def installed(self) -> list[Packet]:
        """Confirm the latest Install."""
        before = len(self.sent)
        asked = self.of(Install)[-1]
        assert isinstance(asked, Install)
        self.note(self.link.installed(asked.request_id, self.now))
        return self.sent[before:]

    def authenticate(
        self, ipv4: Ipv4Params | None = IPV4, ipv6: Ipv6Params | None = IPV6
    ) -> "Peer":
        self.open_lcp()
        self.accept(self.respond(), ipv4, ipv6)
        return self

    def open_all(self) -> "Peer":
        self.authenticate()
        for protocol, options in ((IPCP, ADDRESS), (IPV6CP, IFACE)):
            self.send(protocol, REQ, options)
            self.installed()
            self.ack(protocol)
        return self

    @property
    def down(self) -> list[Action]:
        return self.of(LinkDown)
