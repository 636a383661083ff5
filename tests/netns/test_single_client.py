"""The client's other front end, one session behind a TUN device, against the stub server.

ppp0 (TUN) - client - c0 ---- s0 (stub server: returns UDP, never answers an LCP echo)
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import StubPair
from tests.support.client import wire
from tests.support.client.raw import PacketPort
from tests.support.lab import ROOT
from tests.support.netns import command, inside, run
from tests.support.tshark import Capture, count


class Single:
    """The client as a process, and the events it prints."""

    def __init__(self, netns: str, *options: str) -> None:
        words = ["--interface", "c0", "--user", "alice", "--password", "wonder", *options]
        argv = [sys.executable, "-m", "tests.support.client", *words]
        self.process = subprocess.Popen(
            command(netns, argv), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    def event(self) -> dict[str, Any]:
        """Wait for the next event."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture
def single(stub: StubPair) -> Iterator[Single]:
    """Run the client, which dials again whenever its session ends."""
    client = Single(stub.client, "--persist", "--mac", "02:00:5e:00:53:10")
    yield client
    client.process.kill()
    client.process.wait()


def test_the_tun_device_carries_packets_both_ways(stub: StubPair, single: Single) -> None:
    event = single.event()
    assert (event["event"], event["auth"], event["ac_name"]) == ("up", "chap", "stub")
    shown = run(stub.client, "ip", "-o", "addr", "show", "dev", "ppp0").stdout
    assert f"inet {event['address']}/32" in shown
    assert shown.count("inet6 fe80::") == 1
    with inside(stub.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(3)
        udp.sendto(b"there and back" * 100, ("192.0.2.2", 7))
        assert udp.recvfrom(2000) == (b"there and back" * 100, ("192.0.2.2", 7))


def test_padt_of_the_server_ends_the_session_and_it_dials_again(
    stub: StubPair, single: Single
) -> None:
    event = single.event()
    port = PacketPort("s0", netns=stub.server)
    head = bytes.fromhex((event["mac"] + event["ac_mac"]).replace(":", "")) + wire.ETH_DISCOVERY
    port.send(head + b"\x11\xa7" + event["session_id"].to_bytes(2, "big") + b"\0\0")
    port.close()
    assert single.event() == {"event": "down", "why": "padt"}
    assert single.event()["event"] == "up"


def test_sigterm_says_terminate_request_and_then_padt(
    stub: StubPair, single: Single, tmp_path: Path
) -> None:
    single.event()
    with Capture(stub.server, "s0", tmp_path / "c.pcap") as capture:
        single.process.send_signal(signal.SIGTERM)
        assert single.event() == {"event": "down", "why": "terminated"}
        assert single.process.wait(5) == 0
    assert count(capture.path, "lcp && ppp.code == 5") == 1
    assert count(capture.path, "pppoe.code == 0xa7") == 1
    assert "ppp0" not in run(stub.client, "ip", "-o", "link").stdout


def test_a_server_that_answers_no_echo_is_left(stub: StubPair) -> None:
    started_at = time.monotonic()
    client = Single(stub.client, "--echo", "0.3")
    assert client.event()["event"] == "up"
    assert client.event() == {"event": "down", "why": "echo-lost"}
    assert 0.9 < time.monotonic() - started_at < 4
    assert client.process.wait(5) == 0
