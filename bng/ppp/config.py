"""Settings and parameters of a PPP link, shared by its layers."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address


class AuthMethod(Enum):
    """Authentication methods; the value is that of the LCP option (RFC 1661 §6.2)."""

    PAP = b"\xc0\x23"
    CHAP_MD5 = b"\xc2\x23\x05"
    MSCHAP_V1 = b"\xc2\x23\x80"
    MSCHAP_V2 = b"\xc2\x23\x81"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """Settings of a link, one object for all links alike.

    *auth_methods* are in order of preference; when there are any, authentication is required.
    *mru* is what we request and the most that a peer may have: 1492 on PPPoE, more when RFC 4638
    allowed it. *establish_timeout_s* bounds an LCP negotiation that does not converge (RFC 1661
    §4.5), *ncp_timeout_s* how long a link may be without a network protocol Opened.
    """

    auth_methods: tuple[AuthMethod, ...]
    ac_name: bytes
    mru: int
    restart_s: float = 1.0
    first_request_delay_s: float = 0.03
    max_configure: int = 10
    max_failure: int = 5
    max_terminate: int = 2
    establish_timeout_s: float = 30.0
    auth_timeout_s: float = 30.0
    reauth_interval_s: float | None = None
    ncp_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4Params:
    """Addresses for IPCP: *local* is ours, *peer* the one assigned to the client."""

    local: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...] = ()
    nbns: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Params:
    """64-bit identifiers for IPv6CP; a *peer_interface_id* of None is the client's choice."""

    local_interface_id: int
    peer_interface_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """What an open link has settled with its peer: with it, another can go on.

    Magic-Numbers of 0 are none. *peer_interface_id* is what IPv6CP settled, if *ipv6_open*.
    """

    auth_method: AuthMethod | None
    our_magic: int
    peer_magic: int
    peer_mru: int
    ipv4_open: bool = True
    ipv6_open: bool = False
    ipv4_begun: bool = False
    """It was being negotiated: the peer may think that it is open."""
    ipv6_begun: bool = False
    peer_interface_id: int | None = None
    reauth_at: float | None = None
    """When the peer was to be challenged again."""
