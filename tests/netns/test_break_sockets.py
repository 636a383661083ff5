"""Garbage on the sockets of both processes: half lines, huge lines, a thousand connections.

PREFIX-sub            PREFIX-bng                     PREFIX-inet
+-----------+    +---------------------------+    +---------------+
| alice     |----| bngd.sock  dataplane.sock |----| ping          |
+-----------+    +---------------------------+    +---------------+
"""

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import SERVER, Lab
from tests.support.netns import run

_MANY = 1000


@contextlib.contextmanager
def connected(path: Path, kind: socket.SocketKind, count: int) -> Iterator[list[socket.socket]]:
    """Open up to *count* connections at once; what is refused is left out."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            one = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            one.settimeout(2)
            with contextlib.suppress(OSError):
                one.setblocking(False)
                one.connect(str(path))
                one.settimeout(2)
                made.append(one)
        yield made


def descriptors(lab: Lab, name: str) -> int:
    return len(list(Path(f"/proc/{lab.process(name).pid}/fd").iterdir()))


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [
        ("bngd", "bngd.sock", socket.SOCK_STREAM),
        ("bng-dataplane", "dataplane.sock", socket.SOCK_SEQPACKET),
    ],
)
def test_a_thousand_connections_with_garbage_harm_nobody(
    lab: Lab, name: str, file: str, kind: socket.SocketKind
) -> None:
    chance = random.Random(5)
    path = lab.directory / "run" / file
    before = descriptors(lab, name)
    with lab.subscriber():
        for _ in range(3):
            with connected(path, kind, _MANY) as connections:
                assert len(connections) > 10
                for one in connections:
                    with contextlib.suppress(OSError):
                        one.send(chance.randbytes(chance.randrange(1, 3000)))
                ping = ("ping", "-c", "5", "-i", "0.05", "-I", "ppp0", SERVER)
                assert " 0% packet loss" in run(lab.sub, *ping).stdout
        end = time.monotonic() + 5
        while descriptors(lab, name) > before:
            assert time.monotonic() < end, "connections were left open"
            time.sleep(0.05)
        assert [row["user"] for row in lab.sessions()] == ["alice"]
    assert lab.process("bngd").poll() is None
    assert lab.process("bng-dataplane").poll() is None
    assert "Traceback" not in lab.log("bngd")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\n",
        b"null\n",
        b'{"command": 1}\n',
        b'{"command": "show sessions", "args": {"no": 1}}\n',
        b'{"command": "show sessions", "args": []}\n',
        b"\xff\xfe\x00\n",
        b"[" * 60_000 + b"\n",
        b"x" * 1_000_000,
    ],
)
def test_a_wrong_request_is_answered_with_an_error_in_one_line(
    lab: Lab, request_bytes: bytes
) -> None:
    with connected(lab.socket, socket.SOCK_STREAM, 1) as (one,):
        with contextlib.suppress(BrokenPipeError):  # it need not listen to the end
            one.sendall(request_bytes)
        answer = json.loads(one.makefile("rb").readline())
    assert answer["ok"] is False
    assert answer["error"]
    assert lab.ctl("show", "version").returncode == 0


def test_half_a_request_keeps_nobody_else_waiting(lab: Lab) -> None:
    with connected(lab.socket, socket.SOCK_STREAM, 20) as connections:
        for one in connections:
            one.send(b'{"command": "show ver')
        started_at = time.monotonic()
        assert lab.ctl("show", "version").returncode == 0
        assert time.monotonic() - started_at < 2
