"""Who asks, and what a subscriber may have: one attribute model for every source of it.

RADIUS (RFC 2865), the local user file and CoA (RFC 5176) all end in a `SubscriberProfile`; each
field names the RADIUS attribute it stands for. Access-independent: nothing here knows PPPoE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from bng.ethernet import AccessLine, Mac
from bng.ppp.credentials import Credentials

USER_FILE = "user file"
"""The source of what the local backend says."""
NO_NAT = "none"
"""The NAT profile that every configuration has: never translate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedRoute:
    """A network behind the subscriber (RFC 2865 §5.22, Framed-Route).

    *gateway* None is the subscriber itself, which RADIUS writes as 0.0.0.0.
    """

    prefix: IPv4Network
    gateway: IPv4Address | None = None
    metric: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedIpv6Route:
    """A network behind the subscriber (RFC 3162 §2.5, Framed-IPv6-Route).

    *gateway* None is the subscriber itself, which RADIUS writes as ::.
    """

    prefix: IPv6Network
    gateway: IPv6Address | None = None
    metric: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """A colour-blind policer: RFC 2697 with one rate, RFC 2698 when there is a peak rate.

    Rates are 64 bits; what bytes are counted is `bng.session.settings.Settings`'
    *policer_overhead_bytes* beside those of the IP packet.
    """

    cir_bps: int
    cbs_bytes: int
    ebs_bytes: int = 0
    """Excess burst (RFC 2697)."""
    pir_bps: int | None = None
    """Peak rate (RFC 2698)."""
    pbs_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PortForward:
    """A port of the subscriber's public address that leads to one of his own.

    *protocol* is that of IP: TCP or UDP.
    """

    protocol: int
    external: int
    inner: int

    def __str__(self) -> str:
        return f"{FORWARD_PROTOCOLS[self.protocol]} {self.external} {self.inner}"


FORWARD_PROTOCOLS = {6: "tcp", 17: "udp"}


def parse_forward(text: str) -> PortForward:
    """Return the forward ``PROTOCOL EXTERNAL INNER``. Raises: ValueError."""
    name, *ports = text.split()
    protocol = {name: number for number, name in FORWARD_PROTOCOLS.items()}.get(name)
    external, inner = (int(port) if port.isdecimal() else 0 for port in ports)
    if not protocol or not (0 < external <= 0xFFFF and 0 < inner <= 0xFFFF):
        raise ValueError(text)
    return PortForward(protocol, external, inner)


DEFAULT_BURST_MS = 200
LEAST_BURST_BYTES = 15_000
"""Ten packets of 1500 bytes."""
MAX_BURST_BYTES = 1 << 34
"""What the dataplane's token buckets hold."""


def default_burst_bytes(rate_bps: int) -> int:
    """Return the burst for a rate that came without one: 200 ms of it, at least 10 packets."""
    burst = rate_bps * DEFAULT_BURST_MS // 8_000
    return min(max(burst, LEAST_BURST_BYTES), MAX_BURST_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberProfile:
    """What one subscriber gets. None or empty: nothing was said, the configuration decides."""

    user_name: str
    """User-Name (RFC 2865 §5.1), as accounting will show it."""
    ipv4_address: IPv4Address | None = None
    """Framed-IP-Address (§5.8), a static one."""
    ipv4_pool: str | None = None
    """Framed-Pool (RFC 2869 §5.18)."""
    routes: tuple[FramedRoute, ...] = ()
    """Framed-Route (RFC 2865 §5.22)."""
    ipv4_dns: tuple[IPv4Address, ...] = ()
    """Primary and secondary DNS server (RFC 1877 §1.1, §1.3)."""
    ipv4_nbns: tuple[IPv4Address, ...] = ()
    """Primary and secondary NBNS server (RFC 1877 §1.2, §1.4)."""
    ipv6_interface_id: int | None = None
    """Framed-Interface-Id (RFC 3162 §2.2), 64 bits."""
    ipv4: bool | None = None
    """Whether there is IPv4; None: yes, where there is an address or a pool to take one of."""
    ipv6: bool | None = None
    """Whether there is IPv6; None: yes, where there is a prefix or a pool to take one of."""
    ipv6_prefix: IPv6Network | None = None
    """Framed-IPv6-Prefix (RFC 3162 §2.3), a static one: the /64 on the link."""
    ipv6_pool: str | None = None
    """Framed-IPv6-Pool (RFC 3162 §2.6): where that is taken of."""
    ipv6_address: IPv6Address | None = None
    """Framed-IPv6-Address (RFC 6911 §3.1), a static one, given by DHCPv6 (IA_NA)."""
    ipv6_address_pool: str | None = None
    """Stateful-IPv6-Address-Pool (RFC 6911 §3.5): where that is taken of."""
    delegated_prefix: IPv6Network | None = None
    """Delegated-IPv6-Prefix (RFC 4818), a static one, given by DHCPv6 (IA_PD)."""
    delegated_pool: str | None = None
    """Delegated-IPv6-Prefix-Pool (RFC 6911 §3.4): where that is taken of."""
    ipv6_routes: tuple[FramedIpv6Route, ...] = ()
    """Framed-IPv6-Route (RFC 3162 §2.5)."""
    ipv6_dns: tuple[IPv6Address, ...] = ()
    """DNS-Server-IPv6-Address (RFC 6911 §3.2), told by RA and DHCPv6."""
    ipv6_announced_routes: tuple[IPv6Network, ...] = ()
    """Route-IPv6-Information (RFC 6911 §3.3): told by RA (RFC 4191 §2.3)."""
    ipv6_profile: str | None = None
    """An ``[ipv6.profile.X]`` of the configuration: what he is told by RA and DHCPv6."""
    rate_up: RatePolicy | None = None
    """What the subscriber may send."""
    rate_down: RatePolicy | None = None
    """What the subscriber may receive."""
    acl_in: str | None = None
    """An ``[[acl]]`` of the configuration, for what the subscriber sends: Filter-Id (§5.11)."""
    acl_out: str | None = None
    """The same for what the subscriber receives."""
    mtu: int | None = None
    """Framed-MTU (RFC 2865 §5.12): the largest IP packet, in bytes."""
    mss_clamp: bool | None = None
    """Whether TCP SYN segments get an MSS that fits the MTU."""
    nat_profile: str | None = None
    """A ``[nat.profile.X]`` of the configuration, or ``none``: never translate."""
    nat_address: IPv4Address | None = None
    """The public address: of a ``[[nat.pool]]`` with port blocks, shared; one-to-one: his own."""
    port_forwards: tuple[PortForward, ...] = ()
    """Ports of *nat_address*, which must be of a pool with port blocks, that lead to him."""
    session_timeout_s: int | None = None
    """Session-Timeout (§5.27)."""
    idle_timeout_s: int | None = None
    """Idle-Timeout (§5.28)."""
    simultaneous_use: int | None = None
    """Port-Limit (§5.42): how many sessions this user may hold at once."""
    reply_message: str = ""
    """Reply-Message (§5.18), shown to the peer with the success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """One question to a backend (RFC 2865 §4.1).

    *request_id* is chosen by the session and comes back with a late answer, together with *key*,
    so that an answer to an older question is known as stale.
    """

    acct_session_id: str
    request_id: int
    credentials: Credentials
    line: AccessLine
    mac: Mac
    service_name: str = ""
    circuit_id: bytes | None = None
    """Agent-Circuit-Id (RFC 4679 §3.3.1), as the access node sent it."""
    remote_id: bytes | None = None
    """Agent-Remote-Id (RFC 4679 §3.3.2)."""
    line_attributes: tuple[tuple[str, int | bytes], ...] = ()
    """The others of RFC 4679, by name."""
    interface_id: int | None = None
    """What a session that authenticates again had settled (RFC 3162 §2.2)."""
    key: tuple[int, int] = (0, 0)
    """Index and generation of the session: come back with a late answer."""

    @property
    def user_name(self) -> str:
        """The name that the peer gave with its credentials."""
        return self.credentials.user_name


class RejectReason(StrEnum):
    """Why access was refused: for logs and counters, never told to the peer."""

    UNKNOWN_USER = "unknown-user"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a reason, not a secret
    PASSWORD_NOT_USABLE = "password-not-usable"  # noqa: S105
    """The method needs the clear text (or the NT hash), and only a hash is stored."""
    REFUSED_BY_SERVER = "refused-by-server"
    NOT_SERVED = "not-served"
    """The server accepts, with something that this box cannot give."""
    NOT_ASKABLE = "not-askable"
    """Name, password or line are longer than RADIUS can carry."""
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    """Too many others wait for an answer."""


@dataclass(frozen=True, slots=True)
class AccessAccept:
    """Access-Accept (RFC 2865 §4.2).

    *message* goes to the peer; *authenticator_response* is the ``S=`` value that MS-CHAPv2 owes
    it (RFC 2759 §5), None with every other method. *classes* (RFC 2865 §5.25) come back with all
    accounting; *interim_interval_s* None: the configuration decides.
    """

    profile: SubscriberProfile
    message: str = ""
    authenticator_response: bytes | None = None
    classes: tuple[bytes, ...] = ()
    interim_interval_s: int | None = None
    source: str = USER_FILE
    """Who said all this, for people."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """By field, *classes* and *interim_interval_s* included: what said it, for people: an attribute
    of *source*, or ``WHO: ATTRIBUTE``."""
    degraded: bool = False
    """No server could be asked: accounting is told so."""

    @property
    def by_server(self) -> bool:
        """Whether a RADIUS server vouched for the user (Acct-Authentic, RFC 2866 §5.6)."""
        return not self.degraded and self.source != USER_FILE


@dataclass(frozen=True, slots=True)
class AccessReject:
    """Access-Reject (RFC 2865 §4.3): *message* for the peer, *reason* and *detail* for the log."""

    reason: RejectReason
    message: str = "Authentication failed"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The answer comes later, as an event with (*acct_session_id*, *request_id*)."""

    acct_session_id: str
    request_id: int


AccessAnswer = AccessAccept | AccessReject
"""What a backend says in the end."""


class Backend(Protocol):
    """Whoever decides on access: the local user file here, RADIUS elsewhere."""

    def start(self, request: AccessRequest, now: float) -> AccessAnswer | Pending:
        """Answer *request* at once, or promise to. Never blocks on anything outside."""
        ...

    def cancel(self, key: tuple[int, int]) -> None:
        """Take notice that nobody waits any more for the answer promised to *key*."""
        ...
