"""What the configuration says, in the words of each part of the control plane."""

from collections.abc import Mapping
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    collapse_addresses,
    summarize_address_range,
)
from itertools import chain

from bng.config import AccessPort, Config
from bng.config.ipv6 import Ipv6
from bng.ipv6.advertise import AdvertiseConfig
from bng.ipv6.config import ServerConfig
from bng.ipv6.options import ClientOptions
from bng.pool.ipv4 import Ipv4PoolConfig
from bng.pool.ipv6 import Ipv6PoolConfig
from bng.pool.ranges import Ipv4Range
from bng.ppp.config import AuthMethod, LinkConfig
from bng.pppoe.config import DiscoveryConfig
from bng.session.exports import ExportSettings, Prefix
from bng.session.nat import NatMode, NatPool
from bng.session.settings import Ipv6Settings, Ipv6Told, PoolSettings, Settings

AUTH_METHODS = {
    "pap": AuthMethod.PAP,
    "chap": AuthMethod.CHAP_MD5,
    "mschap-v1": AuthMethod.MSCHAP_V1,
    "mschap-v2": AuthMethod.MSCHAP_V2,
}
PPPOE_OVERHEAD = 8


def pools(config: Config) -> dict[str, Ipv4PoolConfig]:
    """Return the address pools; the gateway of each is never given out."""
    gateways = {pool.gateway for pool in config.pool}
    return {
        pool.name: Ipv4PoolConfig(
            ranges=pool.ranges,
            exclude=(
                *pool.exclude,
                *(Ipv4Range(gateway, gateway) for gateway in gateways),
            ),
            next_pool=pool.next,
            sticky_s=pool.sticky_s,
            hold_down_s=pool.hold_down_s,
        )
        for pool in config.pool
    }


def pools6(config: Config) -> dict[str, Ipv6PoolConfig]:
    """Return the pools of IPv6 prefixes and addresses."""
    return {
        pool.name: Ipv6PoolConfig(
            prefixes=pool.prefixes,
            length=pool.length,
            exclude=pool.exclude,
            next_pool=pool.next,
            sticky_s=pool.sticky_s,
            hold_down_s=pool.hold_down_s,
        )
        for pool in config.ipv6.pool
    }


def ipv6(config: Config, duid: bytes) -> Ipv6Settings:
    """Return the policy of IPv6; *duid* is that of our DHCPv6 server."""
    table = config.ipv6
    source = table.external.source or IPv6Address("::")
    return Ipv6Settings(
        enabled=table.on,
        pools=frozenset(pool.name for pool in table.pool),
        link_pool=table.default_link_pool,
        address_pool=table.default_address_pool,
        addresses_from_link=table.address_from_link,
        delegated_pool=table.default_delegated_pool,
        dhcpv6=table.dhcpv6,
        advertise=_advertise(table),
        server=_dhcpv6(table, duid),
        profiles={
            name: Ipv6Told(_advertise(table.of(profile)), _dhcpv6(table.of(profile), duid))
            for name, profile in table.profile.items()
        },
        link_address=table.external.link_address or source,
    )


def _advertise(table: Ipv6) -> AdvertiseConfig:
    ra = table.ra
    addresses = table.address_from_link or table.default_address_pool is not None
    managed = table.dhcpv6 == "external" or (table.dhcpv6 == "server" and addresses)
    return AdvertiseConfig(
        managed=managed if ra.managed is None else ra.managed,
        other=table.dhcpv6 != "off" if ra.other is None else ra.other,
        hop_limit=ra.hop_limit,
        lifetime_s=ra.lifetime_s,
        reachable_ms=ra.reachable_ms,
        retrans_ms=ra.retrans_ms,
        mtu=ra.mtu,
        min_interval_s=ra.min_interval_s,
        max_interval_s=ra.max_interval_s,
        autonomous=ra.autonomous,
        on_link=ra.on_link,
        preferred_s=ra.preferred_s,
        valid_s=ra.valid_s,
        rdnss=table.dns,
        dnssl=table.domains,
        dns_s=ra.dns_s,
    )


def _dhcpv6(table: Ipv6, duid: bytes) -> ServerConfig:
    server = table.server
    return ServerConfig(
        duid=duid,
        preferred_s=server.preferred_s,
        valid_s=server.valid_s,
        t1_s=server.t1_s,
        t2_s=server.t2_s,
        rapid_commit=server.rapid_commit,
        preference=server.preference,
        max_addresses=server.max_addresses,
        max_prefixes=server.max_prefixes,
        hint_lengths=server.hint_lengths,
        recreate=server.recreate,
        options=ClientOptions(
            dns=table.dns,
            domains=table.domains,
            sntp=server.sntp,
            ntp=server.ntp,
            ntp_names=server.ntp_names,
            aftr_name=server.aftr_name,
            sol_max_rt_s=server.sol_max_rt_s,
            inf_max_rt_s=server.inf_max_rt_s,
            information_refresh_s=server.information_refresh_s,
        ),
    )


def nat_pools(config: Config) -> tuple[NatPool, ...]:
    """Return the pools of public addresses."""
    ports = config.nat.deterministic()
    return tuple(
        NatPool(
            name=pool.name,
            mode=NatMode(pool.mode),
            addresses=pool.addresses,
            ports=ports.get(pool.name),
        )
        for pool in config.nat.pool
    )


def one_to_one(config: Config) -> dict[str, tuple[IPv4Network, ...]]:
    """Return the addresses of each one-to-one NAT pool."""
    pools = (pool for pool in config.nat.pool if pool.mode == "one-to-one")
    return {pool.name: pool.addresses for pool in pools}


BYPASS = "nat bypass "


def bypass_name(profile: str) -> str:
    """Return the name of the ACL of what a NAT profile leaves as it is; no ``[[acl]]`` has it."""
    return f"{BYPASS}{profile}"


def is_bypass(name: str) -> bool:
    """Say whether an ACL is one of those."""
    return name.startswith(BYPASS)


def session(
    config: Config, ports: Mapping[str, int], acls: Mapping[str, int], duid: bytes
) -> Settings:
    """Return the policy of the session core.

    *ports* are indexes by name, *acls* numbers; *duid* is that of our DHCPv6 server.
    """
    return Settings(
        ipv6=ipv6(config, duid),
        pools={
            pool.name: PoolSettings(gateway=pool.gateway, dns=pool.dns, nbns=pool.nbns)
            for pool in config.pool
        },
        default_pool=config.default_pool,
        mru={ports[p.name]: p.mtu - PPPOE_OVERHEAD for p in config.access_ports},
        max_sessions=config.dataplane.max_sessions,
        single_session=config.session.single_session,
        mss_clamp=config.session.mss_clamp,
        nat_inside=_nat_inside(config),
        nat_profiles={name: p.translate for name, p in config.nat.profile.items()},
        nat_pool_of_profile={name: p.pool for name, p in config.nat.profile.items()},
        nat_one_to_one=one_to_one(config),
        nat_bypass={
            name: acls[bypass_name(name)] for name, p in config.nat.profile.items() if p.bypass
        },
        drain_per_s=config.session.drain_per_s,
        accounting=config.accounting,
        interim_interval_s=config.radius.accounting.interim_interval_s,
        start_delay_s=config.radius.accounting.start_delay_s,
        policer_overhead_bytes=config.session.policer_overhead_bytes,
        acls=acls,
        port_grace_s=config.session.port_grace_s,
    )


def _nat_inside(config: Config) -> tuple[IPv4Network, ...]:
    """Return whose addresses are translated when no profile says."""
    computed = [prefix for pool in config.nat.pool for prefix in pool.inside]
    return (*config.nat.inside, *computed) if config.nat.shared_pools else ()


def aggregates(config: Config) -> list[Prefix]:
    """Return what the box has of the network as a whole, whoever has parts of it.

    All of its pools, in order: what is nobody's there must not follow a default route back to who
    sent it.
    """
    ranges = (part for pool in config.pool for part in pool.ranges)
    own = [net for part in ranges for net in summarize_address_range(part.first, part.last)]
    one_by_one = [prefix for pool in one_to_one(config).values() for prefix in pool]
    own6 = (prefix for pool in config.ipv6.pool for prefix in pool.prefixes)
    return [*collapse_addresses([*own, *one_by_one]), *collapse_addresses(own6)]


def export(config: Config) -> ExportSettings:
    """Return what is exported of the configuration, and how."""
    wanted = config.export
    inside = _nat_inside(config)
    pools = [
        prefix
        for pool in config.pool
        for part in pool.ranges
        for prefix in summarize_address_range(part.first, part.last)
        if (
            not any(prefix.subnet_of(other) for other in inside)
            if wanted.pools is None
            else pool.name in wanted.pools
        )
    ]
    pools6 = {pool.name: pool.prefixes for pool in config.ipv6.pool}
    told6 = [
        prefix
        for name, prefixes in pools6.items()
        for prefix in prefixes
        if wanted.pools is None or name in wanted.pools
    ]
    public = [prefix for pool in config.nat.pool for prefix in pool.addresses] if wanted.nat else []
    return ExportSettings(
        enabled=wanted.enabled,
        pools=(*collapse_addresses(pools), *collapse_addresses(told6)),
        pools6=tuple(collapse_addresses(chain.from_iterable(pools6.values()))),
        nat=tuple(collapse_addresses(public)),
        static=wanted.static_routes,
        hosts=wanted.host_routes,
        table=wanted.table,
        metric=wanted.metric,
    )


def discovery(config: Config, ports: Mapping[str, int]) -> dict[int, DiscoveryConfig]:
    """Return the settings of discovery by port index."""
    return {ports[port.name]: _discovery(config, port) for port in config.access_ports}


def _discovery(config: Config, port: AccessPort) -> DiscoveryConfig:
    pppoe = config.pppoe
    names = pppoe.service_names if port.service_names is None else port.service_names
    return DiscoveryConfig(
        ac_name=config.system.name.encode(),
        service_names=tuple(name.encode() for name in names),
        accept_any_service=pppoe.accept_any_service,
        accept_empty_service=pppoe.accept_empty_service,
        max_payload=min(pppoe.max_payload, port.mtu - PPPOE_OVERHEAD),
        pado_delay_s=port.pado_delay_ms / 1000,
        cookie_lifetime_s=pppoe.cookie_lifetime_s,
        max_sessions_per_mac=pppoe.max_sessions_per_mac,
        max_sessions_per_vlan=pppoe.max_sessions_per_vlan,
        max_sessions_per_port=port.max_sessions or pppoe.max_sessions_per_port,
        max_sessions=config.dataplane.max_sessions,
        max_half_open=pppoe.max_half_open,
        holdoff_initial_s=pppoe.holdoff_initial_s,
        holdoff_max_s=pppoe.holdoff_max_s,
        id_rest_s=pppoe.id_rest_s,
    )


def link(config: Config) -> LinkConfig:
    """Return the settings of a PPP link without PPP-Max-Payload."""
    ppp = config.ppp
    return LinkConfig(
        auth_methods=tuple(AUTH_METHODS[name] for name in ppp.auth),
        ac_name=config.system.name.encode(),
        mru=ppp.mru,
        restart_s=ppp.restart_s,
        first_request_delay_s=ppp.first_request_delay_ms / 1000,
        max_configure=ppp.max_configure,
        max_failure=ppp.max_failure,
        max_terminate=ppp.max_terminate,
        establish_timeout_s=ppp.establish_timeout_s,
        auth_timeout_s=ppp.auth_timeout_s,
        reauth_interval_s=ppp.reauth_interval_s or None,
        ncp_timeout_s=ppp.ncp_timeout_s,
    )


def access_ranges(port: AccessPort) -> list[tuple[int, int, int, int]]:
    """Return the (outer low, outer high, inner low, inner high) of a port's access rules."""
    return [(r.outer.low, r.outer.high, r.inner.low, r.inner.high) for r in port.access]


def gateways(config: Config) -> set[IPv4Address]:
    """Return the addresses of the box that subscribers see as their peer."""
    return {pool.gateway for pool in config.pool}


def taps(config: Config) -> dict[str, tuple[IPv4Interface | IPv6Interface, ...]]:
    """Return the addresses of each TAP by its name."""
    return {port.tap_name: port.addresses for port in config.routed_ports}
