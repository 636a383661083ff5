"""Public addresses that the operator drains, on disk: bngd knows them again after a restart.

A file of addresses, one a line, in state_dir.
"""

import os
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

import structlog

FILE_NAME = "nat-drained"
MODE = 0o640


def load(state_dir: Path) -> set[IPv4Address]:
    """Return them. What cannot be read is logged, and drains nothing."""
    path = state_dir / FILE_NAME
    try:
        return {IPv4Address(line) for line in path.read_text("ascii").split()}
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError, AddressValueError) as error:
        structlog.get_logger("nat").error("drains-not-read", path=str(path), error=str(error))
        return set()


def save(state_dir: Path, addresses: Iterable[IPv4Address]) -> None:
    """Put *addresses* in place of those there, whole or not at all. Raises: OSError."""
    state_dir.mkdir(parents=True, exist_ok=True)
    fresh = state_dir / f"{FILE_NAME}.tmp"
    with fresh.open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), MODE)
        file.writelines(f"{address}\n" for address in sorted(addresses))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(state_dir / FILE_NAME)
