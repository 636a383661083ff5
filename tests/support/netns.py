"""Enter network namespaces of ``ip netns`` and run commands in them."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(netns: str | None) -> Iterator[None]:
    """Put the calling thread into *netns* for a while; sockets opened there stay there."""
    if netns is None:
        yield
        return
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(here)
    finally:
        os.close(there)
        os.close(here)


def command(netns: str | None, argv: Sequence[str]) -> list[str]:
    """Prefix *argv* so that it runs in *netns*."""
    return [*(("ip", "netns", "exec", netns) if netns else ()), *argv]


def run(
    netns: str | None, *argv: str, check: bool = True, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run one command in *netns*. Raises: RuntimeError with its output when it fails."""
    done = subprocess.run(
        command(netns, argv), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def exists(netns: str) -> bool:
    """Say whether *netns* is there."""
    return os.path.exists(f"/run/netns/{netns}")


def processes(netns: str) -> list[int]:
    """List the processes that live in *netns*."""
    done = subprocess.run(
        ["ip", "netns", "pids", netns], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in done.stdout.split()]


def offloads_off(netns: str, device: str) -> None:
    """Have a veth finish checksums and VLAN tags itself: XDP at its other end cannot."""
    words = ("tx", "off", "txvlan", "off", "tx-vlan-stag-hw-insert", "off")
    run(netns, "ethtool", "-K", device, *words)
