"""What a RADIUS client is told: servers, and how requests go to them."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
Peer = tuple[str, int]
"""Address and port of the other end."""


class Transport(StrEnum):
    """How packets travel: RFC 2865 or RFC 6614."""

    UDP = "udp"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates of RadSec, PEM files (RFC 6614 §2.3)."""

    ca: str
    certificate: str
    key: str
    server_name: str | None = None
    """What the server's certificate must name; None: its address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server in one role. A lower *priority* is asked first; *weight* divides equals."""

    name: str
    address: Address
    port: int
    secret: bytes
    transport: Transport = Transport.UDP
    tls: Tls | None = None
    source: Address | None = None
    priority: int = 0
    weight: int = 1
    demand_signature: bool = True
    """Replies to Access-Requests need a Message-Authenticator."""
    max_outstanding: int = 4096
    """Requests under way at once; each source port has 256 identifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Servers that can stand for each other, and the timing towards them (RFC 5080 §2.2.1)."""

    servers: tuple[Server, ...]
    timeout_s: float = 2.0
    """IRT: until the first retransmission; doubled each time, with a jitter of 10 %."""
    max_timeout_s: float = 16.0
    """MRT."""
    tries: int = 3
    """Transmissions to one server before the next one is asked."""
    give_up_s: float = 30.0
    """MRD: a request that is not answered by then has failed."""
    dead_s: float = 60.0
    """A server that answered nothing is not asked for so long, unless probing finds it alive."""
    probe_s: float | None = 10.0
    """Between two Status-Server to a dead server (RFC 5997); None: it is not probed."""
    queue_limit: int = 10_000
    """Requests that wait for a free identifier; beyond it they fail at once."""
