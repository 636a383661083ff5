"""The command line of bng-dataplane, which knows no TOML, for a configuration."""

from bng.config.model import AccessPort, Config, RoutedPort, RoutedVlan

UNICAST_16 = 224 * 256
"""Networks /16 that a route to unicast addresses can be in."""


def dataplane_args(config: Config) -> list[str]:
    """Return the arguments, without the name of the program."""
    dataplane, nat = config.dataplane, config.nat
    args = [
        *("--socket", str(config.dataplane_socket)),
        *("--arena-dir", str(dataplane.arena_dir)),
        *("--workers", ",".join("-" if cpu is None else str(cpu) for cpu in dataplane.workers)),
        *("--sessions", str(dataplane.max_sessions)),
        *_fib4_pages(dataplane.routes, dataplane.max_sessions),
        *_fib6_nodes(dataplane.routes6, dataplane.max_sessions),
        *("--hugepages", dataplane.hugepages),
        *("--buffers", str(dataplane.buffers_per_worker)),
    ]
    for port in config.port:
        if not isinstance(port, RoutedVlan):
            args += ["--port", _port(port)]
    for port in config.port:
        if isinstance(port, RoutedVlan):
            args += ["--port", _vlan(port)]
    for access_port in config.access_ports:
        for rule in access_port.access:
            vlans = f"outer={rule.outer},inner={rule.inner}"
            args += ["--access", f"port={access_port.name},{vlans}"]
    if not nat.shared_pools:
        return args
    for pool in nat.shared_pools:
        mode = "" if pool.mode == "port-blocks" else f",{pool.mode}"
        for address in pool.hosts():
            args += ["--nat-address", f"{address}{mode}"]
    return [
        *args,
        *("--nat-max-addresses", str(nat.room)),
        *("--nat-block-size", str(nat.port_block_size)),
        *("--nat-blocks", str(nat.blocks_per_subscriber)),
        *("--nat-port-min", str(nat.port_min)),
        *("--nat-filtering", nat.filtering),
        *("--nat-forward-ports", "{}-{}".format(*(nat.forward_ports or (0, 0)))),
        *("--nat-forwards", str(nat.forwards_per_worker)),
        *("--nat-remotes", str(nat.remotes_per_worker)),
        *("--nat-session-remotes", str(nat.remotes_per_subscriber)),
        *("--nat-session-mappings", str(nat.mappings_per_subscriber)),
        *("--nat-mappings-per-s", str(nat.new_mappings_per_s)),
        *("--nat-quarantine", str(nat.port_quarantine_s)),
        *("--nat-quarantine-percent", str(nat.port_quarantine_percent)),
        *("--nat-log-mib", str(nat.log_buffer_mib)),
        *("--nat-protocol-flows", str(nat.protocol_flows_per_worker)),
        *("--nat-session-protocol-flows", str(nat.protocol_flows_per_subscriber)),
        "--nat-timeout",
        f"udp={nat.udp_timeout_s},tcp={nat.tcp_established_timeout_s},"
        f"tcp-trans={nat.tcp_transitory_timeout_s},tcp-closing={nat.tcp_closing_timeout_s},"
        f"icmp={nat.icmp_timeout_s},protocol={nat.protocol_timeout_s}",
    ]


def _fib4_pages(routes: int, sessions: int) -> list[str]:
    """Return how many pages of 1 KiB the IPv4 FIB has, and how many of them are for sessions.

    A page serves all routes from /17 to /24 of one /16, or all longer ones of one /24. So that many
    routes fit, of which one in a hundred is longer than /24 and alone there. For sessions: pools
    take one page for each 256 addresses.
    """
    for_sessions = 64 + sessions // 64
    pages = min(routes, UNICAST_16) + routes // 100 + for_sessions
    return ["--fib4-pages", str(pages), "--fib4-session-pages", str(for_sessions)]


def _fib6_nodes(routes: int, sessions: int) -> list[str]:
    """Return how many nodes of 80 bytes the IPv6 FIB has, and how many of them are for sessions.

    The Internet's routes take less than one each. A session with a /64 and a /56 takes 0.13 when
    pools are handed out in order, 2.6 when 60,000 are strewn over pools of 2^24.
    """
    for_sessions = 1_024 + 2 * sessions
    nodes = routes + routes // 4 + for_sessions
    return ["--fib6-nodes", str(nodes), "--fib6-session-nodes", str(for_sessions)]


def _port(port: AccessPort | RoutedPort) -> str:
    common = (
        f"name={port.name},if={port.interface},driver={port.driver},role={port.role},"
        f"mtu={port.mtu},worker={port.worker}"
    )
    own = f"tap={port.tap_name}" if isinstance(port, RoutedPort) else f"pbit={port.p_bit}"
    return ",".join([common, own, *(f"{key}={value}" for key, value in port.options.items())])


def _vlan(port: RoutedVlan) -> str:
    tags = [f"outer={port.outer}", f"tpid={port.tpid}"] if port.outer else []
    tags += [f"inner={port.inner}"] if port.inner else []
    return ",".join(
        [
            f"name={port.name},role={port.role},parent={port.parent}",
            *tags,
            f"mtu={port.mtu},tap={port.tap_name}",
        ]
    )
