"""What discovery wants done: frames to send, sessions to open and to close."""

from enum import Enum

from bng.ethernet import AccessLine, Mac
from bng.pppoe.line import LineInfo
from bng.values import value


class CloseReason(Enum):
    """Why discovery ends a session."""

    PADT = "padt"  # the client said so
    REPLACED = "replaced"  # the client forgot it and dialled again


@value
class SendDiscovery:
    """Send *payload* under ethertype 0x8863 to *dst*, with the VLAN tags of *line*."""

    line: AccessLine
    dst: Mac
    payload: bytes


@value(kw_only=True)
class OpenSession:
    """Bind a session; answered by `Discovery.accepted`, `refuse` or `release`.

    *max_payload* is the agreed PPP-Max-Payload (RFC 4638), None for an MRU of at most 1492.
    """

    line: AccessLine
    mac: Mac
    session_id: int
    service_name: bytes
    host_uniq: bytes | None
    line_info: LineInfo | None
    max_payload: int | None


@value
class CloseSession:
    """Tear a session down; answered by `Discovery.release`."""

    line: AccessLine
    session_id: int
    reason: CloseReason


Action = SendDiscovery | OpenSession | CloseSession
