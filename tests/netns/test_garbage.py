"""Random, cut and mutated frames on the access port, as fast as they go.

PREFIX-sub                          PREFIX-bng                     PREFIX-inet
+--------------------------+    +---------------------+    +-------------------+
| 20 subscribers      sub0 |----| acc0           wan0 |----| inet0 192.0.2.2   |
| garbage, other sources   |    +---------------------+    |   UDP echo        |
+--------------------------+                               +-------------------+
"""

import subprocess
import sys

import pytest

from tests.netns.conftest import interface_mac
from tests.support.client.load import LoadClient
from tests.support.lab import ROOT, SERVER, Lab, load_users
from tests.support.netns import command
from tests.support.traffic import EchoServer

LAB_OPTIONS = {"users": load_users(20)}
_SECONDS = 6


@pytest.mark.parametrize("unicast", [False, True])
def test_both_processes_stay_up_and_sessions_go_on_passing_traffic(lab: Lab, unicast: bool) -> None:
    client = LoadClient("sub0", 20, 100, netns=lab.sub)
    assert client.run(timeout_s=10).opened == 20
    argv = [sys.executable, "-m", "tests.support.garbage", "sub0", str(_SECONDS), "7"]
    argv += [interface_mac(lab.bng, "acc0")] if unicast else []
    flood = subprocess.Popen(command(lab.sub, argv), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        with EchoServer(lab.inet, SERVER):
            during = client.send_traffic(500, _SECONDS)
            output, _ = flood.communicate(timeout=30)
            after = client.send_traffic(2000, 1)
    finally:
        flood.kill()
    assert int(output) > 100_000, "that was no flood"
    assert during.returned > during.sent / 2, during
    assert during.misdelivered == 0
    assert (after.lost, after.duplicated) == (0, 0), after
    assert client.up == 20, client.result().lost
    for name in ("bngd", "bng-dataplane"):
        assert lab.process(name).poll() is None, lab.log(name)
    assert lab.ctl("show", "version").returncode == 0
    client.terminate_all()
    client.close()
    lab.wait_for_sessions(0, timeout_s=40)
