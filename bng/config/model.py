"""The tables and keys of bng.toml, their types, bounds and defaults.

A key that is not here is an error. What keys mean to each other is in `bng.config.checks`, what
changing one needs is in `bng.config.reload`.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag

from bng.aaa.acl import AclRule, Action, BypassRule, parse_bypass, parse_rule
from bng.aaa.users import Known
from bng.config.ipv6 import Ipv6
from bng.config.radius import Radius
from bng.pool.deterministic import Deterministic
from bng.tomlfile import ROLE_MARK, Table
from bng.tomltypes import (
    AbsolutePath,
    AccountName,
    Address,
    AddressRange,
    AnyAddress,
    AnyPrefix,
    Cpu,
    Device,
    FileMode,
    InterfaceAddress,
    Label,
    List,
    Name,
    OptionName,
    OptionValue,
    PortName,
    Prefix,
    UdpEndpoint,
    UdpOrPath,
    Vid,
    Vlans,
)

PPPOE_OVERHEAD = 8
"""PPPoE header and PPP protocol field (RFC 2516 §7)."""
PPPOE_MRU = 1492
"""The largest MRU without PPP-Max-Payload (RFC 2516 §7)."""
IPV6_MTU = 1_280
"""The least that a link for IPv6 must carry (RFC 8200 §5)."""
MAX_MTU = 1_920
"""What a packet buffer of the dataplane holds."""
MAX_WORKERS = 16
MAX_PORTS = 64
"""Ports of the dataplane; each routed port takes two, for its TAP."""
MAX_ACCESS_RULES = 64
MAX_NAT_ADDRESSES = 1024
MAX_ONE_TO_ONE_ADDRESSES = 1 << 16
MAX_ACLS = 1000
MAX_ACL_RULES = 4_095
MAX_POOL_ADDRESSES = 1 << 22
"""A /10, the whole shared address space (RFC 6598 §7)."""


class System(Table):
    """``[system]``: names, places, logs, who may use the management socket."""

    name: Label = "bng"
    run_dir: AbsolutePath = Path("/run/bng")
    state_dir: AbsolutePath = Path("/var/lib/bng")
    socket_user: AccountName | None = None
    socket_group: AccountName | None = None
    socket_mode: FileMode = 0o660
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @property
    def management_socket(self) -> Path:
        """Where bngctl finds bngd."""
        return self.run_dir / "bngd.sock"


class Dataplane(Table):
    """``[dataplane]``: what bng-dataplane allocates when it starts."""

    socket: AbsolutePath | None = None
    arena_dir: AbsolutePath = Path("/dev/shm")  # noqa: S108 - a tmpfs is what it takes
    workers: List[Cpu] = Field(default=(0,), min_length=1, max_length=MAX_WORKERS)
    max_sessions: int = Field(default=20_000, ge=1, le=1_000_000)
    routes: int = Field(default=1_000_000, ge=1_000, le=10_000_000)
    routes6: int = Field(default=250_000, ge=1_000, le=2_000_000)
    hugepages: Literal["auto", "on", "off"] = "auto"
    buffers_per_worker: int = Field(default=16_384, ge=1_024, le=1_048_576)


class AccessRule(Table):
    """``[[port.access]]``: VLANs on which discovery is accepted."""

    outer: Vlans
    inner: Vlans


class _Port(Table):
    name: PortName
    interface: Device
    driver: Literal["af_packet", "af_xdp", "tap", "pcap", "gen"] = "af_packet"
    worker: int = Field(default=0, ge=0, lt=MAX_WORKERS)
    options: dict[OptionName, OptionValue] = Field(default_factory=dict, max_length=8)
    mtu: int = Field(default=1500, ge=576, le=MAX_MTU)


class AccessPort(_Port):
    """``[[port]]`` with role ``access``: towards subscribers."""

    role: Literal["access"]
    p_bit: int = Field(default=6, ge=0, le=7)
    pado_delay_ms: int = Field(default=0, ge=0, le=10_000)
    service_names: List[Label] | None = Field(default=None, max_length=64)
    max_sessions: int | None = Field(default=None, ge=1, le=1_000_000)
    access: List[AccessRule] = Field(min_length=1, max_length=MAX_ACCESS_RULES)


class Routed(Table):
    """``[[port]]`` with role ``routed``: towards the network; has a TAP twin in the kernel."""

    name: PortName
    role: Literal["routed"]
    tap: Device | None = None
    addresses: List[InterfaceAddress] = Field(default=(), max_length=16)
    dad: bool = True

    @property
    def tap_name(self) -> str:
        """The name of the TAP, ``bng-NAME`` unless the file says another."""
        return self.tap or f"bng-{self.name}"

    @property
    def addresses4(self) -> list[IPv4Interface]:
        """Those of its addresses that are IPv4 ones."""
        return [address for address in self.addresses if isinstance(address, IPv4Interface)]


class RoutedPort(Routed, _Port):
    """One with a device of its own, on which it is untagged."""


class RoutedVlan(Routed):
    """One in a VLAN of another port, its *parent*, be that an access or a routed one."""

    parent: PortName
    outer: Vid
    inner: Vid = 0
    tpid: Literal["0x8100", "0x88a8", "0x9100"] = "0x8100"
    mtu: int = Field(default=1500, ge=576, le=MAX_MTU)


def _role(value: object) -> str | None:
    if not isinstance(value, dict) or value.get("role") not in ("access", "routed"):
        return None
    in_vlan = value["role"] == "routed" and "parent" in value
    return ROLE_MARK + ("vlan" if in_vlan else str(value["role"]))


Port = Annotated[
    Annotated[AccessPort, Tag(ROLE_MARK + "access")]
    | Annotated[RoutedPort, Tag(ROLE_MARK + "routed")]
    | Annotated[RoutedVlan, Tag(ROLE_MARK + "vlan")],
    Discriminator(
        _role,
        custom_error_type="no_role",
        custom_error_message='role must be "access" or "routed"',
    ),
]


class Route(Table):
    """``[[route]]``: a static kernel route out of a routed port."""

    prefix: AnyPrefix
    via: AnyAddress


class Pppoe(Table):
    """``[pppoe]``: discovery (RFC 2516, RFC 4638), its limits, hold-off after wrong passwords."""

    service_names: List[Label] = Field(default=(), max_length=64)
    accept_any_service: bool = True
    accept_empty_service: bool = True
    max_payload: int = Field(default=PPPOE_MRU, ge=PPPOE_MRU, le=MAX_MTU - PPPOE_OVERHEAD)
    cookie_lifetime_s: int = Field(default=30, ge=5, le=3_600)
    max_half_open: int = Field(default=1_000, ge=1, le=1_000_000)
    max_sessions_per_mac: int = Field(default=1, ge=1, le=65_534)
    max_sessions_per_vlan: int = Field(default=65_534, ge=1, le=65_534)
    max_sessions_per_port: int = Field(default=65_534, ge=1, le=1_000_000)
    id_rest_s: int = Field(default=60, ge=60, le=3_600)
    holdoff_initial_s: int = Field(default=2, ge=0, le=3_600)
    holdoff_max_s: int = Field(default=300, ge=1, le=86_400)


class Ppp(Table):
    """``[ppp]``: LCP, authentication, timers (RFC 1661 §4.6)."""

    auth: List[Literal["chap", "mschap-v2", "mschap-v1", "pap"]] = Field(
        default=("chap", "mschap-v2", "pap"), min_length=1
    )
    mru: int = Field(default=PPPOE_MRU, ge=576, le=PPPOE_MRU)
    first_request_delay_ms: int = Field(default=30, ge=0, le=1_000)
    restart_s: float = Field(default=1.0, ge=0.1, le=30)
    max_configure: int = Field(default=10, ge=1, le=100)
    max_terminate: int = Field(default=2, ge=1, le=20)
    max_failure: int = Field(default=5, ge=1, le=50)
    establish_timeout_s: int = Field(default=30, ge=1, le=600)
    ncp_timeout_s: int = Field(default=60, ge=1, le=600)
    auth_timeout_s: int = Field(default=30, ge=1, le=600)
    reauth_interval_s: int = Field(default=0, ge=0, le=604_800)
    lcp_echo_interval_s: int = Field(default=20, ge=1, le=3_600)
    lcp_echo_failures: int = Field(default=3, ge=1, le=100)


class Session(Table):
    """``[session]``: what holds for every session, however it came."""

    single_session: Literal["replace", "deny", "allow"] = "replace"
    default_pool: Name | None = None
    mss_clamp: bool = True
    policer_overhead_bytes: int = Field(default=0, ge=0, le=128)
    setup_per_s: int = Field(default=500, ge=1, le=100_000)
    drain_per_s: int = Field(default=50, ge=1, le=100_000)
    port_grace_s: int = Field(default=30, ge=0, le=86_400)
    keep_on_stop: bool = True


class Pool(Table):
    """``[[pool]]``: IPv4 addresses for subscribers."""

    name: Name
    ranges: List[AddressRange] = Field(min_length=1, max_length=64)
    exclude: List[AddressRange] = Field(default=(), max_length=256)
    gateway: Address
    next: Name | None = None
    dns: List[Address] = Field(default=(), max_length=2)
    nbns: List[Address] = Field(default=(), max_length=2)
    sticky_s: int = Field(default=3_600, ge=0, le=31_536_000)
    hold_down_s: int = Field(default=60, ge=0, le=86_400)

    def gives(self, address: IPv4Address) -> bool:
        """Return whether a subscriber could get *address* from this pool itself."""
        return any(address in part for part in self.ranges) and not any(
            address in part for part in self.exclude
        )


def _bypass(value: object) -> BypassRule:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return parse_bypass(value)


class NatProfile(Table):
    """``[nat.profile.X]``: what a user's ``nat_profile`` can name; ``none`` always exists."""

    translate: bool
    pool: Name | None = None
    bypass: List[Annotated[BypassRule, PlainValidator(_bypass)]] = Field(
        default=(), max_length=MAX_ACL_RULES
    )


def _port_range(value: object) -> tuple[int, int] | None:
    if isinstance(value, str):
        if value == "none":
            return None
        first, _, last = value.partition("-")
        if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= 0xFFFF:
            return int(first), int(last)
    raise ValueError('must be ports, FIRST-LAST, or "none"')


class NatPool(Table):
    """``[[nat.pool]]``: public addresses.

    *inside* is whom a deterministic one serves, *ports_per_subscriber* what each of them has.
    """

    name: Name
    addresses: List[Prefix] = Field(min_length=1, max_length=256)
    mode: Literal["port-blocks", "deterministic", "one-to-one"] = "port-blocks"
    inside: List[Prefix] = Field(default=(), max_length=64)
    ports_per_subscriber: int | None = Field(default=None, ge=64, le=32_768)

    def hosts(self) -> Iterator[IPv4Address]:
        """Iterate over the public addresses: each one of a prefix, the first and the last too."""
        return (address for prefix in self.addresses for address in prefix)


Facility = Literal[
    "user",
    "daemon",
    "auth",
    "authpriv",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]
"""Of syslog (RFC 5424 section 6.2.1), those that a daemon may use."""


class NatSyslog(Table):
    """``[nat.log.syslog]``: the log as RFC 5424 messages too; off without a server."""

    server: UdpOrPath | None = None
    facility: Facility = "local0"


class NatIpfix(Table):
    """``[nat.log.ipfix]``: the log as IPFIX too (RFC 8158); off without a collector."""

    collector: UdpEndpoint | None = None
    domain: int = Field(default=0, ge=0, le=0xFFFFFFFF)
    template_refresh_s: int = Field(default=600, ge=1, le=86_400)
    mtu: int = Field(default=1_500, ge=576, le=9_000)


class NatLog(Table):
    """``[nat.log]``: the file that says who had which public ports (`bng.natlog.lines`)."""

    path: AbsolutePath | None = None
    rotate_mb: int = Field(default=64, ge=0, le=65_536)
    rotate_hours: int = Field(default=24, ge=0, le=8_784)
    keep: int = Field(default=90, ge=1, le=100_000)
    compress: bool = True
    syslog: NatSyslog = NatSyslog()
    ipfix: NatIpfix = NatIpfix()


class Nat(Table):
    """``[nat]``: NAT44 with port blocks (RFC 4787, 5382, 5508, 6888); off without a pool."""

    pool: List[NatPool] = Field(default=(), max_length=64)
    max_addresses: int | None = Field(default=None, ge=1, le=MAX_NAT_ADDRESSES)
    inside: List[Prefix] = Field(default=(IPv4Network("100.64.0.0/10"),), max_length=64)
    profile: dict[Name, NatProfile] = Field(default_factory=dict)
    port_block_size: int = Field(default=512, ge=64, le=4_096)
    blocks_per_subscriber: int = Field(default=4, ge=1, le=64)
    port_min: int = Field(default=1_024, ge=1_024, le=32_768)
    udp_timeout_s: int = Field(default=300, ge=120, le=86_400)
    tcp_established_timeout_s: int = Field(default=7_440, ge=7_440, le=86_400)
    tcp_transitory_timeout_s: int = Field(default=240, ge=240, le=86_400)
    tcp_closing_timeout_s: int = Field(default=240, ge=240, le=86_400)
    icmp_timeout_s: int = Field(default=60, ge=60, le=86_400)
    protocol_timeout_s: int = Field(default=300, ge=60, le=86_400)
    protocol_flows_per_worker: int = Field(default=4_096, ge=64, le=1 << 20)
    protocol_flows_per_subscriber: int = Field(default=64, ge=1, le=65_535)
    filtering: Literal["endpoint-independent", "address-dependent"] = "endpoint-independent"
    forward_ports: Annotated[tuple[int, int] | None, PlainValidator(_port_range)] = (1, 1_023)
    forwards_per_worker: int = Field(default=4_096, ge=64, le=65_536)
    remotes_per_worker: int = Field(default=65_536, ge=64, le=1 << 20)
    remotes_per_subscriber: int = Field(default=4_096, ge=0, le=65_535)
    mappings_per_subscriber: int = Field(default=0, ge=0, le=1 << 24)
    new_mappings_per_s: int = Field(default=0, ge=0, le=1_000_000)
    port_quarantine_s: int = Field(default=120, ge=0, le=86_400)
    port_quarantine_percent: int = Field(default=50, ge=0, le=100)
    log_mappings: bool = False
    log_buffer_mib: int = Field(default=4, ge=1, le=1_024)
    log: NatLog = NatLog()

    @property
    def shared_pools(self) -> list[NatPool]:
        """Pools whose addresses the dataplane divides by ports: all but one-to-one."""
        return [pool for pool in self.pool if pool.mode != "one-to-one"]

    @property
    def room(self) -> int:
        """For how many shared addresses the dataplane keeps room: a quarter more, at least four."""
        count = sum(prefix.num_addresses for pool in self.shared_pools for prefix in pool.addresses)
        return self.max_addresses or min(count + max(count // 4, 4), MAX_NAT_ADDRESSES)

    @property
    def addresses(self) -> list[IPv4Address]:
        """All public addresses."""
        return [address for pool in self.pool for address in pool.hosts()]

    def deterministic(self) -> dict[str, Deterministic]:
        """Return who has which ports, by the name of each deterministic pool."""
        return {
            pool.name: Deterministic(
                inside=pool.inside,
                outside=pool.addresses,
                ports=pool.ports_per_subscriber or self.port_block_size,
                port_min=self.port_min,
            )
            for pool in self.pool
            if pool.mode == "deterministic"
        }


def _rule(value: object) -> AclRule:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return parse_rule(value)


class Acl(Table):
    """``[[acl]]``: ordered rules; the first that fits counts, then *default*."""

    name: Name
    default: Action
    rules: List[Annotated[AclRule, PlainValidator(_rule)]] = Field(
        default=(), max_length=MAX_ACL_RULES
    )


class Export(Table):
    """``[export]``: which prefixes of the box are put into the kernel for a routing daemon.

    *pools* None: those whose addresses are not translated.
    """

    enabled: bool = True
    pools: List[Name] | None = Field(default=None, max_length=256)
    nat: bool = True
    static_routes: bool = True
    host_routes: bool = False
    table: int = Field(default=254, ge=1, le=0xFFFFFFFF)
    metric: int = Field(default=50, ge=1, le=0xFFFFFF)


class Aaa(Table):
    """``[aaa]``: who decides on access."""

    method: Literal["local", "radius"] = "local"
    users: Path = Field(default=Path("users.toml"), strict=False)


class Journal(Table):
    """``[journal]``: what survives the death of machine or dataplane."""

    enabled: bool = True
    path: AbsolutePath | None = None
    flush_interval_s: float = Field(default=1.0, ge=0.01, le=60)


class Config(Table):
    """One valid bng.toml."""

    system: System = System()
    dataplane: Dataplane = Dataplane()
    port: List[Port] = Field(min_length=1, max_length=MAX_PORTS)
    route: List[Route] = Field(default=(), max_length=1_024)
    pppoe: Pppoe = Pppoe()
    ppp: Ppp = Ppp()
    session: Session = Session()
    pool: List[Pool] = Field(default=(), max_length=256)
    ipv6: Ipv6 = Ipv6()
    nat: Nat = Nat()
    acl: List[Acl] = Field(default=(), max_length=MAX_ACLS)
    export: Export = Export()
    aaa: Aaa = Aaa()
    radius: Radius = Radius()
    journal: Journal = Journal()

    @property
    def access_ports(self) -> list[AccessPort]:
        """Ports towards subscribers, in the order of the file."""
        return [port for port in self.port if isinstance(port, AccessPort)]

    @property
    def routed_ports(self) -> list[RoutedPort | RoutedVlan]:
        """Ports towards the network, in the order of the file."""
        return [port for port in self.port if isinstance(port, RoutedPort | RoutedVlan)]

    @property
    def dataplane_socket(self) -> Path:
        """Where bng-dataplane listens for bngd."""
        return self.dataplane.socket or self.system.run_dir / "dataplane.sock"

    @property
    def journal_path(self) -> Path:
        """The journal's SQLite file."""
        return self.journal.path or self.system.state_dir / "journal.sqlite"

    @property
    def accounting(self) -> bool:
        """Whether sessions are accounted for: there is a server that takes it."""
        roles = {role for server in self.radius.server for role in server.roles}
        return self.radius.accounting.enabled and "accounting" in roles

    @property
    def spool_path(self) -> Path:
        """Where accounting records wait for a server."""
        return self.radius.accounting.spool or self.system.state_dir / "accounting.sqlite"

    @property
    def nat_log_path(self) -> Path:
        """The file that says who had which public ports."""
        return self.nat.log.path or self.system.state_dir / "nat.log"

    @property
    def default_pool(self) -> str | None:
        """The pool of a subscriber whose profile names none; None: there is no IPv4."""
        return self.session.default_pool or next((pool.name for pool in self.pool), None)

    @property
    def own_addresses(self) -> set[IPv4Address]:
        """Every address of the box: routed ports, gateways, NAT."""
        routed = {address.ip for port in self.routed_ports for address in port.addresses4}
        return routed | {pool.gateway for pool in self.pool} | set(self.nat.addresses)

    @property
    def own_addresses6(self) -> set[IPv6Address]:
        """Every IPv6 address of the box, link-local ones aside."""
        routed = (address.ip for port in self.routed_ports for address in port.addresses)
        return {a for a in routed if isinstance(a, IPv6Address) and not a.is_link_local}

    def known_to_users(self) -> Known:
        """Return what the user file is checked against."""
        return Known(
            pools={pool.name for pool in self.pool},
            ipv6_pools={pool.name: pool.length for pool in self.ipv6.pool},
            ipv6_profiles=self.ipv6.profile.keys(),
            nat_profiles=self.nat.profile.keys(),
            nat_addresses={a: pool.name for pool in self.nat.pool for a in pool.hosts()},
            nat_pools={pool.name: pool.mode for pool in self.nat.pool},
            nat_pool_of_profile={n: p.pool for n, p in self.nat.profile.items() if p.translate},
            forward_ports=self.nat.forward_ports,
            acls={acl.name for acl in self.acl},
            own_addresses=self.own_addresses | self.own_addresses6,
        )
