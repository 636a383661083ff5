"""The DUID of our DHCPv6 server, on disk: clients know it again after a reboot (RFC 8415 §11).

A DUID-UUID (RFC 6355), made once, as hexadecimal digits in state_dir.
"""

import os
from pathlib import Path
from uuid import uuid4

import structlog

from bng.ipv6.messages import duid_uuid

FILE_NAME = "dhcpv6-duid"
MODE = 0o644
MIN_BYTES, MAX_BYTES = 3, 130


def load(state_dir: Path) -> bytes:
    """Return the DUID; it is made when there is none. What cannot be kept is logged."""
    path = state_dir / FILE_NAME
    try:
        found = bytes.fromhex(path.read_text("ascii").strip())
        if MIN_BYTES <= len(found) <= MAX_BYTES:
            return found
        structlog.get_logger("ipv6").error("duid-not-read", path=str(path), bytes=len(found))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        structlog.get_logger("ipv6").error("duid-not-read", path=str(path), error=str(error))
    duid = duid_uuid(uuid4().bytes)
    try:
        _save(path, duid)
    except OSError as error:
        structlog.get_logger("ipv6").error("duid-not-kept", path=str(path), error=str(error))
    return duid


def _save(path: Path, duid: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    with fresh.open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), MODE)
        file.write(f"{duid.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
