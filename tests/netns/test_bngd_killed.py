"""bngd is killed with -9 under traffic: the dataplane goes on, and nothing is lost.

PREFIX-sub                        PREFIX-bng                      PREFIX-inet
+------------------------+    +----------------------+    +-----------------------------+
| 20 subscribers    sub0 |----| acc0  bng-dataplane  |----| inet0 192.0.2.2             |
| traffic pppoe, 20k pps |    | wan0  bngd: kill -9  |    |   traffic echo              |
+------------------------+    +----------------------+    +-----------------------------+
"""

import signal
import time
from pathlib import Path

import pytest

from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.lab import SERVER, Lab, load_users
from tests.support.traffic import Blaster, EchoServer

LAB_OPTIONS = {
    "config": {"ppp": {"lcp_echo_interval_s": 1}},
    "users": load_users(20),
}
_PPS, _SECONDS = 20_000, 8


def test_twenty_thousand_packets_a_second_go_on_without_bngd(lab: Lab, tmp_path: Path) -> None:
    # The clients ask for echoes themselves: with bngd gone, the dataplane must answer.
    profile = Profile(auth=("chap",), echo_s=1.0, echo_failures=2)
    client = LoadClient("sub0", 20, 100, netns=lab.sub, profile=profile, control_only=True)
    assert client.run(timeout_s=10).opened == 20
    sessions = tmp_path / "sessions"
    assert client.export(sessions) == 20
    with (
        EchoServer(lab.inet, SERVER) as echo,
        Blaster(lab.sub, "sub0", sessions, SERVER, pps=_PPS, seconds=_SECONDS) as blaster,
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
