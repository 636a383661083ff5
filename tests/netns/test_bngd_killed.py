"""bngd is killed with -9 under traffic of both families: the dataplane goes on, nothing is lost.

PREFIX-sub                        PREFIX-bng                      PREFIX-inet
+------------------------+    +----------------------+    +-----------------------------+
| 20 subscribers    sub0 |----| acc0  bng-dataplane  |----| inet0 192.0.2.2             |
| traffic pppoe, 20k pps |    | wan0  bngd: kill -9  |    |   traffic echo              |
|   IPv4, /64, delegated |    |                      |    |       2001:db8:2::2         |
+------------------------+    +----------------------+    +-----------------------------+
"""

import signal
import time
from pathlib import Path

import pytest

from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import SOURCES, LoadClient
from tests.support.lab import Lab, load_users
from tests.support.lab6 import SERVERS, DualLab
from tests.support.traffic import Blaster, EchoServer

LAB_OPTIONS = {
    "kind": DualLab,
    "config": {"ppp": {"lcp_echo_interval_s": 1}},
    "users": load_users(20),
}
_PPS, _SECONDS = 20_000, 8


def test_twenty_thousand_packets_a_second_go_on_without_bngd(lab: Lab, tmp_path: Path) -> None:
    # The clients ask for echoes themselves: with bngd gone, the dataplane must answer.
    profile = Profile(auth=("chap",), echo_s=1.0, echo_failures=2, wants=Wants(delegate=56))
    client = LoadClient("sub0", 20, 100, netns=lab.sub, profile=profile, control_only=True)
    assert client.run(timeout_s=10, until=lambda client: client.dual == 20).opened == 20
    sessions = tmp_path / "sessions"
    assert client.export(sessions, SOURCES) == 20
    with (
        EchoServer(lab.inet, *SERVERS) as echo,
        Blaster(
            lab.sub, "sub0", sessions, *SERVERS, pps=_PPS, seconds=_SECONDS, long=1492
        ) as blaster,
    ):
        client.serve(2)
        lab.stop("bngd", signal.SIGKILL)
        killed_at = time.monotonic()
        while blaster.running():
            client.serve(0.1)
        assert time.monotonic() - killed_at > 4, "most of the drill is to run without bngd"
        near, far = blaster.wait(), echo.stop()
    assert near.sent == pytest.approx(_PPS * _SECONDS, rel=0.01)
    assert far.received == near.sent, f"lost upstream: {near.sent - far.received}"
    assert near.lost == 0, f"lost on the way back: {near}"
    assert (near.duplicated, near.misdelivered, near.bad_checksum) == (0, 0, 0)
    assert client.up == 20, client.result().lost
    client.close()
