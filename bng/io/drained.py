"""What the operator drains, on disk: bngd knows it again after a restart.

Public addresses, in a file of addresses, one a line, in state_dir. And access ports, in another one
that begins with the run of the dataplane: who drains a port to start the machine anew finds it open
when it is back.
"""

import os
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import structlog

FILE_NAME = "nat-drained"
PORTS_FILE_NAME = "ports-drained"
ALL = "*"
"""Every access port: no name of one."""
MODE = 0o640
T = TypeVar("T")


def load(state_dir: Path) -> set[IPv4Address]:
    """Return them. What cannot be read is logged, and drains nothing."""
    return set(_read(state_dir / FILE_NAME, lambda lines: [IPv4Address(line) for line in lines]))


def load_ports(state_dir: Path, boot: int) -> set[str | None]:
    """Return the ports that are drained since the dataplane runs that began at *boot*; None: all.

    What cannot be read is logged, and drains nothing.
    """

    def drained(lines: list[str]) -> list[str | None]:
        if not lines or int(lines[0]) != boot:
            return []
        return [None if name == ALL else name for name in lines[1:]]

    return set(_read(state_dir / PORTS_FILE_NAME, drained))


def _read(path: Path, take: Callable[[list[str]], list[T]]) -> list[T]:
    try:
        return take(path.read_text("ascii").split())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        structlog.get_logger("box").error("drains-not-read", path=str(path), error=str(error))
        return []


def save(state_dir: Path, addresses: Iterable[IPv4Address]) -> None:
    """Put *addresses* in place of those there, whole or not at all. Raises: OSError."""
    _write(state_dir / FILE_NAME, [str(address) for address in sorted(addresses)])


def save_ports(state_dir: Path, boot: int, ports: Iterable[str | None]) -> None:
    """Put *ports* in place of those there, as `save` does. Raises: OSError."""
    names = sorted(ALL if name is None else name for name in ports)
    _write(state_dir / PORTS_FILE_NAME, [str(boot), *names])


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    with fresh.open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), MODE)
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
