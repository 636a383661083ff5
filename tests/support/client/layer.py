"""What a dial is made of: its phase, the profile of a run, one layer's negotiation (RFC 1661)."""

import enum
from dataclasses import dataclass

from tests.support.client import wire
from tests.support.client.ipv6 import Wants
from tests.support.client.wire import CONF_REJ, CONF_REQ


class Phase(enum.IntEnum):
    """Where a dial stands."""

    IDLE = 0
    PADI = 1
    PADR = 2
    LCP = 3
    AUTH = 4
    NETWORK = 5
    UP = 6
    CLOSING = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What all subscribers of one run have in common."""

    auth: tuple[str, ...] = ("chap", "mschapv2", "pap")
    service: bytes = b""
    mru: int = 1492
    max_payload: int = 0
    line: bytes = b""  # sub-options of an access node's tag (TR-101)
    ipv6: bool = True
    wants: Wants | None = None  # of IPv6 beside IPv6CP; None: nothing
    restart_s: float = 3.0
    max_configure: int = 10
    discovery_s: tuple[float, ...] = (5.0, 10.0, 20.0)
    echo_s: float = 0.0
    echo_failures: int = 3


class Layer:
    """Our half of one negotiation (LCP, IPCP or IPv6CP)."""

    __slots__ = ("acked", "body", "ident", "open", "peer_acked", "protocol", "tries", "wanted")

    def __init__(self, protocol: int, wanted: dict[int, bytes]) -> None:
        self.protocol = protocol
        self.wanted = wanted
        self.reset()

    def reset(self) -> None:
        """Forget what was agreed."""
        self.ident = 0
        self.body = b""
        self.tries = 0
        self.acked = self.peer_acked = self.open = False

    def request(self) -> bytes:
        """Build the next Configure-Request."""
        self.ident = self.ident % 255 + 1
        self.tries += 1
        self.acked = False
        self.body = b"".join([wire.option(k, v) for k, v in self.wanted.items()])
        return wire.ppp(self.protocol, CONF_REQ, self.ident, self.body)

    def adapt(self, code: int, body: bytes) -> None:
        """Take a Nak's values or drop what was rejected."""
        for kind, value in wire.options(body):
            if code == CONF_REJ:
                self.wanted.pop(kind, None)
            elif kind in self.wanted:
                self.wanted[kind] = value
