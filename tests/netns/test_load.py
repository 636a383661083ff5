"""A thousand subscribers of the load client: sign-up, traffic, source check, and nothing left.

PREFIX-sub                       PREFIX-bng                     PREFIX-inet
+-----------------------+    +---------------------+    +-----------------------------+
| 1,000 subscribers sub0|----| acc0           wan0 |----| inet0 192.0.2.2             |
|   (own MAC each)      |    +---------------------+    |   UDP echo, counts per flow |
+-----------------------+                               +-----------------------------+
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.netns.conftest import MakeLab
from tests.support.client.load import LoadClient
from tests.support.lab import ROOT, SERVER, Lab, load_users
from tests.support.netns import command
from tests.support.traffic import EchoServer

_COUNT, _RATE = 1000, 500
LAB_OPTIONS = {
    "config": {
        "session": {"setup_per_s": 2000},
        "dataplane": {"max_sessions": 2048},
    },
    "users": load_users(2 * _COUNT),
}


@contextlib.contextmanager
def _load(lab: Lab, count: int, rate: float, *, first: int = 0) -> Iterator[LoadClient]:
    client = LoadClient("sub0", count, rate, netns=lab.sub, first=first)
    try:
        yield client
    finally:
        client.terminate_all("terminate")
        client.close()


def test_a_thousand_dial_in_at_500_a_second_and_leave_nothing_behind(lab: Lab) -> None:
    assert not any(lab.occupancy().values()), lab.occupancy()
    with EchoServer(lab.inet, SERVER) as echo, _load(lab, _COUNT, _RATE) as client:
        result = client.run(timeout_s=30)
        assert (result.opened, result.failures, result.malformed) == (_COUNT, {}, 0), result
        assert result.seconds <= 2 * _COUNT / _RATE, result
        assert len({subscriber.address for subscriber in client.subscribers}) == _COUNT
        assert len(lab.sessions()) == _COUNT
        traffic = client.send_traffic(4000, 3)
        assert traffic.sent > 11_000
        assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic.gaps
        far = echo.stop()
        assert (far.received, far.duplicated) == (traffic.sent, 0)
        assert lab.occupancy()["nat_mappings"] >= _COUNT
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()


def test_a_packet_with_another_subscribers_address_is_dropped_and_counted(lab: Lab) -> None:
    with EchoServer(lab.inet, SERVER) as echo, _load(lab, 2, 100) as client:
        assert client.run(timeout_s=10).opened == 2
        before = lab.drops("antispoof4")
        other = client.subscribers[1].address
        spoofed = client.send_traffic(200, 1, senders=1, spoof=lambda _: other)
        honest = client.send_traffic(200, 1)
        far = echo.stop()
    assert (spoofed.returned, spoofed.misdelivered) == (0, 0)
    assert honest.lost == 0
    assert far.received == honest.sent
    assert lab.drops("antispoof4") - before == spoofed.sent


def test_a_hostile_subscriber_does_not_slow_the_others_down(lab: Lab) -> None:
    with _load(lab, 500, _RATE) as client:
        calm = client.run(timeout_s=30)
    lab.wait_for_sessions(0)
    words = ["--interface", "sub0", "--first", str(_COUNT), "--pps", "10000", "--seconds", "8"]
    argv = [sys.executable, "-m", "tests.support.client", "hostile", *words]
    hostile = subprocess.Popen(command(lab.sub, argv), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        lab.wait_for_sessions(1)
        with _load(lab, 500, _RATE, first=500) as client:
            disturbed = client.run(timeout_s=30)
        output, _ = hostile.communicate(timeout=30)
    finally:
        hostile.kill()
    assert '"event": "hostile", "sent": ' in output
    sent = int(output.rsplit('"sent": ', 1)[1].split("}")[0])
    assert sent > 70_000, "the hostile one was not fast enough to mean anything"
    assert (calm.opened, disturbed.opened) == (500, 500), disturbed
    assert disturbed.rate > 0.95 * calm.rate, (calm, disturbed)


@pytest.mark.timeout(240)
def test_a_storm_of_20000_padi_in_two_seconds_is_served_in_order(make_lab: MakeLab) -> None:
    count, rate = 20_000, 1000
    lab = make_lab(
        config={
            "session": {"setup_per_s": rate},
            "dataplane": {"max_sessions": 24_000, "buffers_per_worker": 32_768},
            "nat": {"pool": [{"name": "public", "addresses": ["198.18.0.0/23"]}]},
        },
        users=load_users(count + 100),
    )
    with _load(lab, 50, 1000, first=count) as settled, EchoServer(lab.inet, SERVER):
        lab.route_back("198.18.0.0/23")
        assert settled.run(timeout_s=10).opened == 50
        words = ["--count", str(count), "--rate", str(count / 2), "--redial", "1"]
        argv = [sys.executable, "-m", "tests.support.client", "load", "--interface", "sub0"]
        limit_s = 2 * count / rate
        storm = subprocess.Popen(
            command(lab.sub, [*argv, *words, "--timeout", str(limit_s)]),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            traffic = settled.send_traffic(2000, limit_s / 2)
            output, _ = storm.communicate(timeout=limit_s + 60)
        finally:
            storm.kill()
    assert storm.returncode == 0, f"not all opened in {limit_s} s: {output}"
    assert (traffic.lost, traffic.duplicated) == (0, 0), "the storm disturbed existing traffic"
