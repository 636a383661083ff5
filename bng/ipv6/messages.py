"""DHCPv6 messages as values (RFC 8415 §7, §8, §9, §21); `bng.ipv6.dhcpv6` is their codec."""

from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from bng.values import value

CLIENT_PORT: Final = 546
SERVER_PORT: Final = 547
ALL_SERVERS: Final = IPv6Address("ff02::1:2")  # All_DHCP_Relay_Agents_and_Servers
INFINITY: Final = 0xFFFF_FFFF
HOP_COUNT_LIMIT: Final = 8


class MessageType(IntEnum):
    """msg-type (RFC 8415 §7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11
    RELAY_FORW = 12
    RELAY_REPL = 13


class OptionCode(IntEnum):
    """option-code (RFC 8415 §21, and the RFCs named)."""

    CLIENTID = 1
    SERVERID = 2
    IA_NA = 3
    IA_TA = 4
    IAADDR = 5
    ORO = 6
    PREFERENCE = 7
    ELAPSED_TIME = 8
    RELAY_MSG = 9
    UNICAST = 12
    STATUS_CODE = 13
    RAPID_COMMIT = 14
    USER_CLASS = 15
    VENDOR_CLASS = 16
    INTERFACE_ID = 18
    RECONF_ACCEPT = 20
    DNS_SERVERS = 23  # RFC 3646
    DOMAIN_LIST = 24  # RFC 3646
    IA_PD = 25
    IAPREFIX = 26
    SNTP_SERVERS = 31  # RFC 4075
    INFORMATION_REFRESH_TIME = 32
    REMOTE_ID = 37  # RFC 4649
    SUBSCRIBER_ID = 38  # RFC 4580
    NTP_SERVER = 56  # RFC 5908
    AFTR_NAME = 64  # RFC 6334
    SOL_MAX_RT = 82
    INF_MAX_RT = 83


class StatusCode(IntEnum):
    """status-code (RFC 8415 §21.13)."""

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRS_AVAIL = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX_AVAIL = 6


class IaType(IntEnum):
    """Kinds of Identity Association: the value is that of the option."""

    NA = OptionCode.IA_NA
    TA = OptionCode.IA_TA
    PD = OptionCode.IA_PD


@value
class Status:
    """A Status Code option; *code* as received."""

    code: int
    text: str = ""


@value(kw_only=True)
class IaLease:
    """An IAADDR, whose *network* is a /128, or an IAPREFIX; lifetimes are seconds.

    In what a client sends it may be a hint: an unspecified address, or length 0, is none.
    """

    network: IPv6Network
    preferred_s: int = 0
    valid_s: int = 0
    status: Status | None = None


@value(kw_only=True)
class Ia:
    """An IA_NA, IA_TA or IA_PD; T1 and T2 are seconds, and 0 in an IA_TA."""

    kind: IaType
    iaid: int
    t1_s: int = 0
    t2_s: int = 0
    leases: tuple[IaLease, ...] = ()
    status: Status | None = None


@value(kw_only=True)
class Message:
    """A message between client and server.

    *kind* is msg-type as received. *requested* is the Option Request option, None without one;
    *options* are further options, encoded, that are sent as they are.
    """

    kind: int
    transaction_id: int
    client_id: bytes | None = None
    server_id: bytes | None = None
    ias: tuple[Ia, ...] = ()
    status: Status | None = None
    requested: tuple[int, ...] | None = None
    preference: int | None = None
    elapsed_s: float | None = None
    rapid_commit: bool = False
    reconfigure_accept: bool = False
    user_class: tuple[bytes, ...] = ()
    vendor_class: tuple[int, tuple[bytes, ...]] | None = None  # enterprise number, classes
    options: tuple[tuple[int, bytes], ...] = ()


@value(kw_only=True)
class RelayMessage:
    """A Relay-forward or Relay-reply; *message* is what it carries, as it is."""

    kind: int
    hop_count: int
    link_address: IPv6Address
    peer_address: IPv6Address
    message: bytes
    interface_id: bytes | None = None
    options: tuple[tuple[int, bytes], ...] = ()  # others that are sent


def duid_ll(mac: bytes) -> bytes:
    """Return the DUID-LL of an Ethernet address (RFC 8415 §11.4)."""
    return b"\0\3\0\1" + mac


def duid_uuid(uuid: bytes) -> bytes:
    """Return the DUID-UUID of 16 bytes (RFC 6355)."""
    return b"\0\4" + uuid
