"""A session as the core knows it, whatever access method it came by."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from bng.aaa.model import AccessAccept, PortForward, SubscriberProfile
from bng.ethernet import AccessLine, Mac
from bng.session.access import AccessMethod
from bng.session.actions import FilterSession, Handle, PoliceSession, UpSession
from bng.session.ipv6_side import Ipv6Side
from bng.session.nat import NatPlace

IPV4, IPV6 = 1, 2
"""Of `Session.families`."""


class State(Enum):
    """Where a session is in its life; the value is what show prints."""

    SETUP = "setup"  # negotiates, authenticates
    WAITING = "waiting"  # authenticated; an older session has to end first
    READY = "ready"  # has its address; no NCP is open
    UP = "up"  # forwards IPv4, IPv6 or both
    PAUSED = "paused"  # LCP renegotiates
    ENDING = "ending"  # closed; waits for the dataplane


class Cause(Enum):
    """Why a session ended: the word for logs, the Acct-Terminate-Cause (RFC 2866 §5.10)."""

    USER_REQUEST = ("user-request", 1)
    LOST_CARRIER = ("lost-carrier", 2)
    IDLE_TIMEOUT = ("idle-timeout", 4)
    SESSION_TIMEOUT = ("session-timeout", 5)
    ADMIN_RESET = ("admin-reset", 6)
    ADMIN_REBOOT = ("admin-reboot", 7)
    PORT_ERROR = ("port-error", 8)
    NAS_ERROR = ("nas-error", 9)
    NAS_REQUEST = ("nas-request", 10)
    NAS_REBOOT = ("nas-reboot", 11)
    PORT_PREEMPTED = ("port-preempted", 13)
    SERVICE_UNAVAILABLE = ("service-unavailable", 15)
    USER_ERROR = ("user-error", 17)

    @property
    def word(self) -> str:
        """The cause as logs and bngctl show it."""
        return self.value[0]

    @property
    def acct_terminate_cause(self) -> int:
        """The value of Acct-Terminate-Cause."""
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a session carried: IP packets and bytes; in is from the subscriber.

    Those of both versions are together, *in6_* and *out6_* is the part that was IPv6.
    """

    in_packets: int = 0
    in_bytes: int = 0
    out_packets: int = 0
    out_bytes: int = 0
    in6_packets: int = 0
    in6_bytes: int = 0
    out6_packets: int = 0
    out6_bytes: int = 0


@dataclass(slots=True, eq=False)
class Session:
    """One subscriber session. *due* is when the deadline heap wakes it, inf when it does not."""

    handle: Handle
    acct_session_id: str
    method: AccessMethod
    line: AccessLine
    mac: Mac
    created_at: float
    access: object = None  # the access method's own
    service_name: str = ""
    circuit_id: bytes | None = None
    remote_id: bytes | None = None
    line_attributes: tuple[tuple[str, int | bytes], ...] = ()  # of RFC 4679, by name
    state: State = State.SETUP
    user_name: str | None = None
    profile: SubscriberProfile | None = None
    request_id: int = 0  # the open question to AAA
    accept: AccessAccept | None = None  # what AAA said last
    answer: AccessAccept | None = None  # taken when the last of `waits_for` is gone
    waits_for: int = 0
    waiters: list["Session"] | None = None  # sessions that wait for this one's end
    ipv4_address: IPv4Address | None = None
    gateway: IPv4Address | None = None
    nat_place: NatPlace | None = None
    nat_tried: int = 0
    moving_to: int | None = None  # worker that is to own it
    nat_public: IPv4Address | None = None  # its own, of a one-to-one pool
    nat_told: IPv4Address | None = None  # what of that the dataplane was told last
    ipv4_on: bool = False  # IPCP is open, or is to be when IPv4 is forwarded
    install_request: int | None = None  # of IPCP
    install_pending: int = 0  # completions to come before it is installed
    told: UpSession | None = None  # what the dataplane was told last
    policed: PoliceSession | None = None  # the same, None: not policed
    filtered: FilterSession | None = None  # the same, None: not filtered
    forwarded: dict[PortForward, tuple[int, int, int]] = field(default_factory=dict)
    bypassed: int = 0  # the same: ACL of what NAT leaves as it is
    routes: tuple[IPv4Network, ...] = ()  # installed, with the first installation
    paused: bool = False  # in the dataplane
    peer_mru: int = 1500
    interface_id: int | None = None
    local_interface_id: int | None = None  # ours, of IPv6CP
    ipv6: Ipv6Side | None = None
    magics: tuple[int, int] | None = None
    families: int = 0  # open NCPs: bit 0 IPv4, bit 1 IPv6
    up_at: float | None = None
    accounted: bool = False  # accounting is told of it
    begun: bool = False  # was told of its start
    stopped: bool = False  # and of its end
    interim_at: float | None = None
    timeout_at: float | None = None
    due: float = field(default=float("inf"))
    cause: Cause | None = None
    detail: str = ""
    adopted: bool = False  # a former bngd began it
    standing: tuple[object, str] | None = None  # text that its record begins with, and of what

    @property
    def index(self) -> int:
        """Index in the dataplane's session table."""
        return self.handle.index

    def __lt__(self, other: "Session") -> bool:
        """Order entries of the deadline heap that fall on the same instant."""
        return self.handle.index < other.handle.index
