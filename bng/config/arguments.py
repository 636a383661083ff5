"""The command line of bng-dataplane, which knows no TOML, for a configuration."""

from bng.config.model import AccessPort, Config, RoutedPort
from bng.tomltypes import VlanRange


def dataplane_args(config: Config) -> list[str]:
    """Return the arguments, without the name of the program."""
    dataplane, nat = config.dataplane, config.nat
    args = [
        *("--socket", str(config.dataplane_socket)),
        *("--workers", ",".join(str(cpu) for cpu in dataplane.workers)),
        *("--sessions", str(dataplane.max_sessions)),
        *("--hugepages", dataplane.hugepages),
        *("--buffers", str(dataplane.buffers_per_worker)),
    ]
    for port in config.port:
        args += ["--port", _port(port)]
    for access_port in config.access_ports:
        for rule in access_port.access:
            vlans = f"outer={_vlans(rule.outer)},inner={_vlans(rule.inner)}"
            args += ["--access", f"port={access_port.name},{vlans}"]
    addresses = nat.addresses
    if not addresses:
        return args
    for address in addresses:
        args += ["--nat-address", str(address)]
    args += [
        *("--nat-block-size", str(nat.port_block_size)),
        *("--nat-blocks", str(nat.blocks_per_subscriber)),
        *("--nat-port-min", str(nat.port_min)),
        "--nat-timeout",
        f"udp={nat.udp_timeout_s},tcp={nat.tcp_established_timeout_s},"
        f"tcp-trans={nat.tcp_transitory_timeout_s},icmp={nat.icmp_timeout_s}",
    ]
    for prefix in nat.inside:
        args += ["--nat-inside", str(prefix)]
    return args


def _port(port: AccessPort | RoutedPort) -> str:
    common = (
        f"name={port.name},if={port.interface},driver={port.driver},role={port.role},mtu={port.mtu}"
    )
    if isinstance(port, RoutedPort):
        return f"{common},tap={port.tap_name}"
    return f"{common},pbit={port.p_bit}"


def _vlans(vlans: VlanRange) -> str:
    """Write a range by its numbers, for ``any`` is a word that could mean untagged, too."""
    return "none" if vlans.high == 0 else f"{vlans.low}-{vlans.high}"
