"""The dataplane's table of public addresses, as the core takes it; the NAT log as configured."""

from collections.abc import Sequence

from bng.config import Config
from bng.errors import ConfigError
from bng.io.natlog import Exporter, NatLog
from bng.io.natlog_export import Endpoint, Ipfix, Syslog
from bng.io.natlog_file import NatLogSettings
from bng.session.nat import NatMode, NatTable
from dataplane.binding import Dataplane


def nat_table(dataplane: Dataplane) -> NatTable:
    """Return what the running dataplane has."""
    return NatTable(
        addresses=[
            (index, address, owner, NatMode[mode.name])
            for index, address, owner, mode in dataplane.nat_addresses()
        ],
        size=int(dataplane.header.n_nat_addresses),
        workers=dataplane.n_workers,
        block_size=int(dataplane.nat_config[0].block_size),
        free_blocks=dataplane.nat_free_blocks,
    )


def check_nat(config: Config, dataplane: Dataplane) -> None:
    """Find what the running dataplane has no room for, or does otherwise. Raises: ConfigError."""
    wanted = sum(1 for pool in config.nat.shared_pools for _ in pool.hosts())
    room = int(dataplane.header.n_nat_addresses)
    if wanted > room:
        raise ConfigError(
            f"nat.pool: {wanted} public addresses, the running dataplane has room for {room}: "
            "restart the dataplane (nat.max_addresses)"
        )
    size = int(dataplane.nat_config[0].block_size)
    if config.nat.deterministic() and config.nat.port_block_size != size:
        raise ConfigError(
            f"nat.port_block_size: {config.nat.port_block_size}, in the running dataplane {size}: "
            "restart the dataplane"
        )


def nat_log_of(dataplane: Dataplane, config: Config) -> NatLog:
    """Return the NAT log with what it goes to beside its file. Raises: NatLogError, ConfigError."""
    return NatLog(dataplane, nat_log_settings(config), exporters_of(config, None, ()))


def nat_log_settings(config: Config) -> NatLogSettings:
    """Return where the NAT log is, and when it goes on in another file."""
    log = config.nat.log
    return NatLogSettings(
        path=config.nat_log_path,
        rotate_bytes=log.rotate_mb << 20,
        rotate_s=log.rotate_hours * 3600,
        keep=log.keep,
        compress=log.compress,
    )


def exporters_of(
    config: Config, old: Config | None, present: Sequence[Exporter]
) -> tuple[Exporter, ...]:
    """Return what the NAT log goes to; of those *present* by *old* what has not changed.

    Raises: ConfigError when there is no socket for it.
    """
    log, was = config.nat.log, None if old is None else old.nat.log
    same = {type(exporter): exporter for exporter in present}
    exporters: list[Exporter] = []
    try:
        if log.syslog.server is not None:
            kept = same.get(Syslog) if was and was.syslog == log.syslog else None
            to = Endpoint(*log.syslog.server)
            exporters.append(kept or Syslog(to, log.syslog.facility, config.system.name))
        if (ipfix := log.ipfix).collector is not None:
            kept = same.get(Ipfix) if was and was.ipfix == ipfix else None
            to = Endpoint(*ipfix.collector)
            made = (ipfix.domain, ipfix.mtu, ipfix.template_refresh_s)
            exporters.append(kept or Ipfix(to, *made))
    except OSError as error:
        raise ConfigError(f"nat.log: no socket to {to}: {error.strerror or error}") from None
    return tuple(exporters)
