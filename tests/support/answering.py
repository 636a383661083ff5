"""A RADIUS server that says yes to everybody, fast, or late: the other end for load, not for truth.

It checks the authenticators of what it gets, answers after *delay_s*, and counts: requests, their
repetitions, users who were asked for more than once, records by Acct-Status-Type. SIGUSR1 makes it
print its counts, one line of JSON; SIGTERM too, and then it ends. Written from RFC 2865, 2866 and
2869, not from our own code.

    python -m tests.support.answering --address 127.0.0.1 --delay 2
"""

import argparse
import contextlib
import hashlib
import hmac
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.lab import ROOT, Lab, merged

SECRET = "testing123"
ACCESS_REQUEST, ACCESS_ACCEPT, ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE, STATUS_SERVER = (
    1,
    2,
    4,
    5,
    12,
)
USER_NAME, STATUS_TYPE, MESSAGE_AUTHENTICATOR = 1, 40, 80
BURST = 256
NAME = "aaa"
SERVER: dict[str, Any] = {"name": NAME, "address": "127.0.0.1", "secret": SECRET}
"""The ``[[radius.server]]`` for it."""

Peer = tuple[str, int]


def _tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def _first(data: bytes, kind: int) -> tuple[int, bytes]:
    """Return where the first attribute of *kind* has its value, and it; (0, nothing) without."""
    at = 20
    while at + 2 <= len(data) and data[at + 1] >= 2:
        if data[at] == kind:
            return at + 2, data[at + 2 : at + data[at + 1]]
        at += data[at + 1]
    return 0, b""


class AnsweringServer:
    """Answers on *auth_port* and *acct_port* of *address*, *delay_s* after each request."""

    def __init__(
        self,
        address: str,
        auth_port: int,
        acct_port: int,
        delay_s: float = 0.0,
        interim_s: int | None = None,
    ) -> None:
        self._secret = SECRET.encode()
        self._hmac = hmac.new(self._secret, digestmod="md5")
        self._delay_s = delay_s
        body = _tlv(6, (2).to_bytes(4, "big")) + _tlv(7, (1).to_bytes(4, "big"))
        body += _tlv(25, b"class-of-them-all") + _tlv(27, (86_400).to_bytes(4, "big"))
        if interim_s is not None:
            body += _tlv(85, interim_s.to_bytes(4, "big"))
        self._accept = body
        self._sockets = [_bound(address, port) for port in (auth_port, acct_port)]
        self._later: deque[tuple[float, socket.socket, bytes, Peer]] = deque()
        self._seen: set[tuple[Peer, bytes]] = set()
        self._users: Counter[bytes] = Counter()
        self._second: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self._ended = False

    def run(self) -> None:
        """Answer until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGUSR1, self._tell)
        print("ready", flush=True)
        while not self._ended:
            wait_s = max(0.0, self._later[0][0] - time.monotonic()) if self._later else 1.0
            ready, _, _ = select.select(self._sockets, [], [], wait_s)
            for port in ready:
                self._read(port)
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                _, port, answer, peer = self._later.popleft()
                port.sendto(answer, peer)
        self._tell()

    def report(self) -> dict[str, int]:
        """Return the counts."""
        return {
            **self.counts,
            "users": len(self._users),
            "users_asked_again": sum(times > 1 for times in self._users.values()),
            "most_a_second": max(self._second.values(), default=0),
        }

    def _end(self, *_: object) -> None:
        self._ended = True

    def _tell(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        print(json.dumps(self.report()), flush=True)

    def _read(self, port: socket.socket) -> None:
        for _ in range(BURST):
            try:
                data, peer = port.recvfrom(4096)
            except BlockingIOError:
                return
            self._take(port, data, peer)

    def _take(self, port: socket.socket, data: bytes, peer: Peer) -> None:
        if len(data) < 20 or not self._genuine(data):
            self.counts["bad"] += 1
            return
        now = time.monotonic()
        self._second[int(now)] += 1
        key = (peer, data[1:2] + data[4:20])
        if key in self._seen:
            access = data[0] == ACCESS_REQUEST
            self.counts["access_repeated" if access else "accounting_repeated"] += 1
        else:
            self._seen.add(key)
            self._count(data)
        answer = self._answer(data)
        if self._delay_s:
            self._later.append((now + self._delay_s, port, answer, peer))
        else:
            port.sendto(answer, peer)

    def _count(self, data: bytes) -> None:
        if data[0] == ACCESS_REQUEST:
            self.counts["access"] += 1
            self._users[_first(data, USER_NAME)[1]] += 1
        elif data[0] == ACCOUNTING_REQUEST:
            status = int.from_bytes(_first(data, STATUS_TYPE)[1], "big")
            self.counts[f"accounting_{status}"] += 1

    def _mac(self, data: bytes) -> bytes:
        mac = self._hmac.copy()
        mac.update(data)
        return mac.digest()

    def _genuine(self, data: bytes) -> bool:
        if data[0] == ACCOUNTING_REQUEST:
            wanted = hashlib.md5(data[:4] + bytes(16) + data[20:] + self._secret).digest()
            return wanted == data[4:20]
        at, signature = _first(data, MESSAGE_AUTHENTICATOR)
        return at != 0 and self._mac(data[:at] + bytes(16) + data[at + 16 :]) == signature

    def _answer(self, request: bytes) -> bytes:
        """Build the answer, its Message-Authenticator first where one is due (RFC 2869 §5.14)."""
        accounting = request[0] == ACCOUNTING_REQUEST
        code = ACCOUNTING_RESPONSE if accounting else ACCESS_ACCEPT
        body = b"" if accounting else _tlv(MESSAGE_AUTHENTICATOR, bytes(16))
        if request[0] == ACCESS_REQUEST:
            body += self._accept
        head = bytes((code, request[1])) + (20 + len(body)).to_bytes(2, "big")
        if not accounting:
            body = body[:2] + self._mac(head + request[4:20] + body) + body[18:]
        return head + hashlib.md5(head + request[4:20] + body + self._secret).digest() + body


def _bound(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    made.bind((address, port))
    made.setblocking(False)
    return made


class AnsweringLab(Lab):
    """A lab with such a server beside bngd, on loopback; *server* are its options."""

    def __init__(
        self,
        prefix: str,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        radius: Mapping[str, Any] | None = None,
        server: Sequence[str] = (),
    ) -> None:
        table = {"nas_identifier": "lab", "server": [SERVER], **(radius or {})}
        base = {"aaa": {"method": "radius"}, "radius": table}
        super().__init__(prefix, directory, config=merged(base, config or {}))
        self._options = server

    def start_servers(self) -> None:
        """Start it: bngd talks to it from the beginning."""
        self.spawn("bng", NAME, sys.executable, "-m", "tests.support.answering", *self._options)
        self.wait(NAME, lambda: "ready" in self.log(NAME))

    def counts(self) -> dict[str, int]:
        """Return what the server has counted so far."""
        before = self.log(NAME).count("\n")
        self.process(NAME).send_signal(signal.SIGUSR1)
        self.wait(NAME, lambda: self.log(NAME).count("\n") > before)
        found: dict[str, int] = json.loads(self.log(NAME).splitlines()[-1])
        return found


@contextlib.contextmanager
def process() -> Iterator[int]:
    """Run it on loopback of this namespace; gives its port for accounting."""
    auth, acct = (_bound("127.0.0.1", 0) for _ in range(2))
    ports = [str(port.getsockname()[1]) for port in (auth, acct)]
    auth.close()
    acct.close()
    argv = [sys.executable, "-m", "tests.support.answering"]
    argv += ["--auth-port", ports[0], "--acct-port", ports[1]]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield int(ports[1])
        finally:
            server.kill()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="a RADIUS server that says yes")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--auth-port", type=int, default=1812)
    parser.add_argument("--acct-port", type=int, default=1813)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--interim", type=int, help="Acct-Interim-Interval of each accept")
    args = parser.parse_args()
    AnsweringServer(args.address, args.auth_port, args.acct_port, args.delay, args.interim).run()


if __name__ == "__main__":
    main()
