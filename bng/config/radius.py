"""``[radius]``: servers, timing, names, accounting, what happens without an answer."""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bng.aaa.extra import READ_AS
from bng.aaa.requests import check_template
from bng.tomlfile import Table
from bng.tomltypes import AbsolutePath, Address, Label, List, Name, reader

MAX_SERVERS = 16
MAX_DYNAUTH_CLIENTS = 64


def _template(text: str) -> str:
    check_template(text)
    return text


def _mapped_to(field: str) -> str:
    if field not in READ_AS:
        raise ValueError(field)
    return field


Host = Annotated[IPv4Address | IPv6Address, reader(ip_address, "an IPv4 or IPv6 address")]
Network = Annotated[
    IPv4Network | IPv6Network, reader(ip_network, "an address or a prefix, host bits zero")
]
Template = Annotated[
    str, reader(_template, "a text in which {port}, {svid}, {cvid}, {vlans}, {mac}, ... stand")
]
AttributeName = Annotated[str, Field(min_length=1, max_length=128)]
MappedTo = Annotated[str, reader(_mapped_to, f"one of {', '.join(READ_AS)}")]
Secret = Annotated[str, Field(min_length=1, max_length=128, repr=False)]


class Tls(Table):
    """``tls``: RADIUS over TLS (RFC 6614), PEM files."""

    ca: AbsolutePath
    certificate: AbsolutePath
    key: AbsolutePath
    server_name: Label | None = None


class Server(Table):
    """``[[radius.server]]``: one server, in one role or both."""

    name: Name
    address: Host
    roles: List[Literal["authentication", "accounting"]] = Field(
        default=("authentication", "accounting"), min_length=1, max_length=2
    )
    secret: Secret = "radsec"  # noqa: S105 - RFC 6614 §2.3
    auth_port: int = Field(default=1812, ge=1, le=65_535)
    acct_port: int = Field(default=1813, ge=1, le=65_535)
    tls_port: int = Field(default=2083, ge=1, le=65_535)
    tls: Tls | None = None
    source: Host | None = None
    priority: int = Field(default=0, ge=0, le=100)
    weight: int = Field(default=1, ge=1, le=100)
    message_authenticator: bool = True
    max_outstanding: int = Field(default=4_096, ge=1, le=16_384)
    group: Name = "main"


class Accounting(Table):
    """``[radius.accounting]``: what is told, and where it waits."""

    enabled: bool = True
    start_delay_s: int = Field(default=2, ge=0, le=30)
    interim_interval_s: int = Field(default=600, ge=0, le=86_400)
    checkpoint_s: int = Field(default=60, ge=0, le=86_400)
    spool: AbsolutePath | None = None


class DynAuthClient(Table):
    """``[[radius.dynauth.client]]``: who may change and end sessions (RFC 5176)."""

    name: Name
    prefix: Network
    secret: Secret
    orders: List[Literal["coa", "disconnect"]] = Field(
        default=("coa", "disconnect"), min_length=1, max_length=2
    )
    message_authenticator: bool = False
    event_timestamp: bool = False
    window_s: int = Field(default=300, ge=0, le=86_400)


class DynAuth(Table):
    """``[radius.dynauth]``: CoA-Request and Disconnect-Request."""

    listen: List[Host] = Field(
        default=(IPv4Address(0), IPv6Address(0)), min_length=1, max_length=16
    )
    port: int = Field(default=3799, ge=1, le=65_535)
    client: List[DynAuthClient] = Field(default=(), max_length=MAX_DYNAUTH_CLIENTS)


class Radius(Table):
    """``[radius]``: used with ``aaa.method = "radius"``."""

    nas_identifier: Label | None = None
    nas_ip_address: Address | None = None
    calling_station_id: Template = "{mac}"
    called_station_id: Template = "{port}"
    nas_port_id: Template = "{port}:{vlans}"
    dictionaries: List[Annotated[Path, Field(strict=False)]] = Field(default=(), max_length=16)
    attributes: dict[AttributeName, MappedTo] = Field(default_factory=dict, max_length=256)
    server: List[Server] = Field(default=(), max_length=MAX_SERVERS)
    timeout_s: float = Field(default=2, ge=0.1, le=30)
    max_timeout_s: float = Field(default=16, ge=0.1, le=60)
    tries: int = Field(default=3, ge=1, le=10)
    give_up_s: float = Field(default=30, ge=1, le=300)
    dead_s: float = Field(default=60, ge=1, le=3_600)
    probe_s: float = Field(default=10, ge=0, le=3_600)
    queue_limit: int = Field(default=10_000, ge=0, le=1_000_000)
    without_server: Literal["refuse", "last-good", "profile"] = "refuse"
    last_good_max_age_s: int = Field(default=86_400, ge=1, le=31_536_000)
    fallback_user: str | None = Field(default=None, min_length=1, max_length=253)
    accounting: Accounting = Accounting()
    dynauth: DynAuth = DynAuth()
