"""Numbered echoes at a steady rate, and which of them were lost: RFC 792, RFC 4443.

ping(8) waits, after its last packet, for twice its longest round trip, and has room for some
hundred answers: on a busy machine it calls lost what is only late. This waits for two seconds, has
room for all, and tells when those were sent that nobody answered.

As a program (``python -m tests.support.pinger ADDRESS INTERVAL_S DEVICE``, which may be empty) it
sends until its input ends; then it prints what came of it.
"""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path

from tests.support.flood import checksum
from tests.support.netns import command

ROOT = Path(__file__).parents[2]
LINGER_S = 2.0
ECHO, ECHO6 = (8, 0), (128, 129)
"""Types of a request and its answer."""
_ROOM = 16 << 20
_PADDING = bytes(40)


@dataclass(slots=True)
class Pings:
    """What came of a series; times in seconds, those of *lost* since the first packet."""

    sent: int = 0
    received: int = 0
    slowest_s: float = 0
    silence_s: float = 0
    """The longest time without an answer."""
    lost: list[tuple[float, int]] = field(default_factory=list)
    """When a run of packets began that were not answered, and how many it had."""

    @property
    def missing(self) -> int:
        """Return how many were not answered."""
        return self.sent - self.received


def runs(sent_at: Sequence[float], answered: set[int]) -> list[tuple[float, int]]:
    """Return the runs of packets without an answer: when each began, how many it has."""
    found: list[tuple[float, int]] = []
    for number, at in enumerate(sent_at):
        if number in answered:
            continue
        if found and number and number - 1 not in answered:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((round(at - sent_at[0], 3), 1))
    return found


class Pinger:
    """The sender, and what it knows of each packet."""

    def __init__(self, address: str, interval_s: float, device: str = "") -> None:
        self._ip6 = ip_address(address).version == 6
        family = socket.AF_INET6 if self._ip6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self._ip6 else socket.IPPROTO_ICMP
        self._to, self._interval_s = address, interval_s
        self._request, self._reply = ECHO6 if self._ip6 else ECHO
        self._name = os.getpid() & 0xFFFF
        self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        for option in (33, 32):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
            self.socket.setsockopt(socket.SOL_SOCKET, option, _ROOM)
        if device:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        self.socket.setblocking(False)
        self._sent_at: list[float] = []
        self._answered: set[int] = set()
        self._heard_at = 0.0
        self.result = Pings()

    def _packet(self, number: int) -> bytes:
        words = (self._name, number & 0xFFFF)
        rest = b"".join(word.to_bytes(2, "big") for word in words)
        body = rest + number.to_bytes(4, "big") + _PADDING
        head = bytes((self._request, 0))
        check = 0 if self._ip6 else checksum(head + b"\0\0" + body)  # IPv6: the kernel's
        return head + check.to_bytes(2, "big") + body

    def _send(self, now: float) -> None:
        self._sent_at.append(now)
        self.socket.sendto(self._packet(len(self._sent_at) - 1), (self._to, 0))

    def receive(self) -> None:
        """Read the answers that are there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(2048)
                icmp = data if self._ip6 else data[(data[0] & 15) * 4 :]
                if icmp[0] == self._reply and int.from_bytes(icmp[4:6], "big") == self._name:
                    self._answer(int.from_bytes(icmp[8:12], "big"), time.monotonic())

    def _answer(self, number: int, now: float) -> None:
        result = self.result
        result.slowest_s = max(result.slowest_s, now - self._sent_at[number])
        if self._heard_at:
            result.silence_s = max(result.silence_s, now - self._heard_at)
        else:
            print("ready", flush=True)
        self._heard_at = now
        self._answered.add(number)

    def run(self, until: int) -> Pings:
        """Send until descriptor *until* has an end of file, wait for the last answers."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                self._send(now)
                due = max(due + self._interval_s, now)
            self.receive()
            if not self._heard_at and now - self._sent_at[0] > LINGER_S:
                sys.exit(f"{self._to} does not answer")
            if until in select.select([self.socket, until], [], [], max(0.0, due - now))[0]:
                break
        end = time.monotonic() + LINGER_S
        while len(self._answered) < len(self._sent_at) and (left := end - time.monotonic()) > 0:
            select.select([self.socket], [], [], left)
            self.receive()
        self.result.sent, self.result.received = len(self._sent_at), len(self._answered)
        self.result.lost = runs(self._sent_at, self._answered)
        return self.result


@contextlib.contextmanager
def pinging(
    netns: str, address: str, interval_s: float = 0.001, device: str = ""
) -> Iterator[Pings]:
    """Ping *address* while the block lasts; what is yielded is filled in after it."""
    argv = [sys.executable, "-m", "tests.support.pinger", address, str(interval_s), device]
    result = Pings()
    process = subprocess.Popen(
        command(netns, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{address} does not answer"
        yield result
        text, _ = process.communicate(timeout=LINGER_S + 30)
    finally:
        process.kill()
        process.communicate()
    for name, value in json.loads(text).items():
        setattr(result, name, [tuple(run) for run in value] if name == "lost" else value)


def main() -> None:
    """Say ``ready`` at the first answer; print the result at the end."""
    address, interval_s, device = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    pings = Pinger(address, interval_s, device).run(sys.stdin.fileno())
    print(json.dumps(asdict(pings)))


if __name__ == "__main__":
    main()
