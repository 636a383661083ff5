"""Drills with numbered packets at a rate: the C program in ``tests/support/c`` and its results."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.netns import command

ECHO_PORT = 7007
_SOURCE = Path(__file__).parent / "c" / "traffic.c"
_CORE = Path(__file__).parents[2] / "dataplane"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")
_HEADERS = (f"-I{_CORE / 'include'}", f"-I{_CORE / 'src'}")


def program() -> str:
    """Compile the traffic program where that is due, and return its path."""
    target = Path(__file__).parents[2] / "build" / "tests" / "traffic"
    made_of = (_SOURCE, _SOURCE.with_name("udp_packet.h"))
    if not target.exists() or any(target.stat().st_mtime < p.stat().st_mtime for p in made_of):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Tests run side by side: compile apart, then put it in place in one step.
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / "traffic"
            subprocess.run(["cc", *_FLAGS, *_HEADERS, "-o", str(fresh), str(_SOURCE)], check=True)
            fresh.rename(target)
    return str(target)


@dataclass(frozen=True, slots=True)
class Tally:
    """What one end counted; *silence_ms* is its longest time without a packet."""

    sent: int
    refused: int
    received: int
    gaps: int
    duplicated: int
    reordered: int
    misdelivered: int
    bad_checksum: int
    silence_ms: float

    @property
    def lost(self) -> int:
        """Packets that were sent and never came back, for the sending end."""
        return self.sent - self.received


def _tally(output: str) -> Tally:
    values: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return Tally(**values)


class EchoServer:
    """Echoes numbered datagrams on *addresses* in *netns*; ``stop`` says what came."""

    def __init__(self, netns: str, *addresses: str, port: int = ECHO_PORT) -> None:
        argv = [program(), "echo", str(port), *addresses]
        self._process = subprocess.Popen(
            command(netns, argv), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "ready" in line, f"the echo server did not start: {line!r}"

    def stop(self) -> Tally:
        """End it and return its counts."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=10)
        return _tally(output)

    def __enter__(self) -> "EchoServer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Blaster:
    """Sends numbered datagrams from PPPoE sessions that a `LoadClient` has opened and exported.

    There is a server for each family of them. One packet in 16 has *long* bytes, 0: none.
    The load client must go on serving those sessions (echo), best with ``control_only=True``.
    """

    def __init__(
        self,
        netns: str,
        interface: str,
        sessions: Path,
        *servers: str,
        pps: int,
        seconds: float,
        size: int = 64,
        long: int = 0,
        port: int = ECHO_PORT,
    ) -> None:
        self._limit_s = seconds + 20
        argv = [program(), "pppoe", interface, os.fspath(sessions), str(port)]
        argv += [str(pps), str(seconds), str(size), str(long), *servers]
        self._process = subprocess.Popen(
            command(netns, argv), stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def running(self) -> bool:
        """Say whether it still sends."""
        return self._process.poll() is None

    def wait(self) -> Tally:
        """Wait for its end and return its counts."""
        output, _ = self._process.communicate(timeout=self._limit_s)
        return _tally(output)

    def __enter__(self) -> "Blaster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
