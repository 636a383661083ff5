"""What a PPP link asks of its surroundings: the values that `Link`'s methods return.

Actions are carried out in the order of the list. A `request_id` is given back with the answer
(`Link.accept`, `reject`, `installed`); an answer to a request that is no longer open is ignored.
"""

from enum import Enum

from bng.ppp.credentials import Credentials
from bng.values import value


class DownReason(Enum):
    """Why a link ended."""

    LOWER_DOWN = "lower layer down"
    PEER_TERMINATED = "Terminate-Request from peer"
    ADMIN = "closed by administrator"
    NO_ANSWER = "LCP: no answer"
    NOT_CONVERGING = "LCP: no agreement"
    PROTOCOL_ERROR = "LCP: peer rejected a fundamental code or protocol"
    LOOPED = "LCP: looped back"
    AUTH_REFUSED = "peer refuses to authenticate"
    AUTH_FAILED = "authentication failed"
    AUTH_TIMEOUT = "authentication timed out"
    NO_NETWORK = "no network protocol opened"


@value
class SendPpp:
    """Send *payload*, protocol field and information, to the peer."""

    payload: bytes


@value
class Authenticate:
    """Find out who this is; answer with `Link.accept` or `Link.reject`.

    *credentials* is None when the link is configured without authentication.
    """

    request_id: int
    credentials: Credentials | None


@value
class LcpOpened:
    """LCP is Opened, its Echo packets can be handled by the dataplane; a magic of 0 is none."""

    our_magic: int
    peer_magic: int
    peer_mru: int


@value
class LcpLeftOpened:
    """LCP left Opened, to renegotiate or to end: nothing may be forwarded."""


@value
class Install:
    """Make *family* ready to forward, then call `Link.installed`: the Configure-Ack waits for it.

    *peer_interface_id* is the identifier about to be acknowledged (family 6), None for IPv4 or
    when the peer negotiates none.
    """

    request_id: int
    family: int
    peer_interface_id: int | None


@value
class NetworkUp:
    """The network protocol of *family*, 4 or 6, is Opened (tlu)."""

    family: int


@value
class NetworkDown:
    """The network protocol of *family*, 4 or 6, left Opened (tld)."""

    family: int


@value
class LinkDown:
    """The link has ended; nothing follows."""

    reason: DownReason


Action = (
    SendPpp
    | Authenticate
    | LcpOpened
    | LcpLeftOpened
    | Install
    | NetworkUp
    | NetworkDown
    | LinkDown
)
