"""What the session core wants done: the values that `bng.io.executor` carries out, in order.

Commands to the dataplane that are answered carry a cookie made by `cookie`; it comes back through
`SessionManager.completed`. Commands and frames of one session leave through its owner worker in
the order given here, so that a frame never overtakes the command it depends on.
"""

from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from bng.aaa.model import PortForward, RatePolicy
from bng.ethernet import AccessLine, Mac
from bng.session.nat import NatPlace, SetNatAddress
from bng.values import value

if TYPE_CHECKING:
    from bng.aaa.requests import AccountStatus
    from bng.session.model import Counters, Session

INDEX_BITS = 24
"""A session index fits; so does a cookie of 64 bits: kind, index, generation."""


@value
class Handle:
    """A session in the dataplane: table index, generation of that entry, owner worker."""

    index: int
    generation: int
    worker: int


class CommandKind(IntEnum):
    """What an answered command was."""

    BIND = 1
    UP = 2
    ROUTE = 3
    CLOSE = 4
    RELEASE = 5
    POLICE = 6
    FILTER = 7
    MOVE = 8
    TRANSLATE = 9
    BYPASS = 10
    NAT_ADDRESS = 11
    FORWARD = 12
    IPV6 = 13
    ROUTE6 = 14


def cookie(kind: CommandKind, handle: Handle) -> int:
    """Return the 64-bit cookie of a command on *handle*."""
    return kind << 56 | handle.index << 32 | handle.generation


def read_cookie(value: int) -> tuple[int, int, int]:
    """Return (kind, index, generation) of a cookie."""
    return value >> 56, value >> 32 & (1 << INDEX_BITS) - 1, value & 0xFFFFFFFF


@value
class SendDiscovery:
    """Send *payload* (after the EtherType) to *destination* on *line*, through *worker*."""

    worker: int
    line: AccessLine
    destination: Mac
    payload: bytes


@value
class SendFrame:
    """Send a PPP *frame*, protocol and information, into a session."""

    handle: Handle
    frame: bytes


@value
class BindSession:
    """Make a session known to the dataplane: its control packets are punted, data is dropped.

    *domain* and *page* are indexes of the id tables (`struct session_bind`).
    """

    handle: Handle
    line: AccessLine
    mac: Mac
    session_id: int
    domain: int
    page: int


@value
class MoveSession:
    """Hand a session that is not up yet to *worker*; *handle* is what it has until that is done."""

    handle: Handle
    worker: int


@value
class UpSession:
    """Forward for a session, IPv4 as the features say. MTUs and *mss* in bytes.

    *ip4* None: it has none; *nat* None: not translated.
    """

    handle: Handle
    ip4: IPv4Address | None
    nat: NatPlace | None
    features_in: int
    features_out: int
    mtu_in: int
    mtu_out: int
    mss: int
    idle_timeout_s: int


@value
class PoliceSession:
    """Police a session from now on; None: that direction is not policed."""

    handle: Handle
    up: RatePolicy | None
    down: RatePolicy | None
    overhead_bytes: int


@value
class FilterSession:
    """Filter what a session sends and receives by ACLs, numbers of the dataplane; 0 is none."""

    handle: Handle
    acl_in: int
    acl_out: int


@value
class TranslateSession:
    """Translate a session's address *ip4* to *public* and back (one-to-one NAT); None: no more."""

    handle: Handle
    ip4: IPv4Address
    public: IPv4Address | None


@value
class BypassSession:
    """Translate nothing of a session that the ACL permits, a number of the dataplane; 0 is none."""

    handle: Handle
    acl: int


@value
class ForwardPort:
    """Lead a public port to a session, or no more."""

    handle: Handle
    forward: PortForward
    on: bool


@value
class EchoSession:
    """Let the dataplane keep LCP Echo."""

    handle: Handle
    our_magic: int
    peer_magic: int


@value
class PauseSession:
    """Forward nothing until the next `UpSession`; addresses, blocks, counters stay."""

    handle: Handle


@value
class CloseSession:
    """Stop forwarding for good and freeze the counters: first half of a deletion."""

    handle: Handle


@value
class ReleaseSession:
    """Free index, id and NAT blocks: second half of a deletion."""

    handle: Handle


@value
class Ipv6Session:
    """Forward IPv6 for a session that is up or paused, or not.

    *prefix* is that of the link, *delegated* one that leads there. *interface_id* is ours.
    """

    handle: Handle
    on: bool
    prefix: IPv6Network | None
    delegated: IPv6Network | None
    interface_id: int


@value
class RelayPacket:
    """Send *payload*, a relay message, to the external DHCPv6 servers."""

    payload: bytes


@value
class AddRoute:
    """Route *prefix* to a session."""

    handle: Handle
    prefix: IPv4Network | IPv6Network
    answered: bool


@value
class DeleteRoute:
    """Take a session's route out."""

    handle: Handle
    prefix: IPv4Network | IPv6Network
    answered: bool = False


@value
class Record:
    """Write what adopting the session takes: to the arena's control record and the journal."""

    handle: Handle
    acct_session_id: str
    data: bytes


@value
class Forget:
    """Delete that record."""

    handle: Handle
    acct_session_id: str


@value
class Account:
    """Tell accounting of *session*; *counters* None: those that the dataplane has now.

    It happened *at*, on the core's clock: Event-Timestamp says so, however late it is carried out.
    """

    session: "Session"
    status: "AccountStatus"
    counters: "Counters | None"
    seconds: int
    at: float


@value
class Log:
    """One line of log about a session, *session* its Acct-Session-Id."""

    event: str
    session: str
    fields: dict[str, object]
    warning: bool = False


Action = (
    SendDiscovery
    | SendFrame
    | BindSession
    | MoveSession
    | SetNatAddress
    | UpSession
    | PoliceSession
    | FilterSession
    | TranslateSession
    | BypassSession
    | ForwardPort
    | EchoSession
    | PauseSession
    | CloseSession
    | ReleaseSession
    | Ipv6Session
    | RelayPacket
    | AddRoute
    | DeleteRoute
    | Record
    | Forget
    | Account
    | Log
)
