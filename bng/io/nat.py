"""The dataplane's table of public addresses, as the core takes it."""

from bng.config import Config
from bng.errors import ConfigError
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
