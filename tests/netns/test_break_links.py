"""Links that flap and links that stay down, with sessions up and traffic both ways.

PREFIX-sub                       PREFIX-bng                     PREFIX-inet
+-----------------------+    +---------------------+    +-------------------+
| 20 subscribers   sub0 |-X--| acc0           wan0 |-X--| inet0  UDP echo   |
+-----------------------+    +---------------------+    +-------------------+
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client.load import LoadClient
from tests.support.lab import NAT_POOL, SERVER, Lab, load_users
from tests.support.netns import run
from tests.support.traffic import Blaster, EchoServer, Tally

_COUNT, _PPS, _GRACE_S = 20, 5000, 4
_DOWN_S, _RUN_S = 2.0, 5.0
LAB_OPTIONS = {
    "config": {
        "ppp": {"lcp_echo_interval_s": 1, "lcp_echo_failures": 1},
        "session": {"port_grace_s": _GRACE_S, "drain_per_s": 20},
        "route": [{"prefix": "0.0.0.0/0", "via": SERVER}],
    },
    "users": load_users(2 * _COUNT),
}


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[LoadClient]:
    """Dial in 20 subscribers that stay for the whole module."""
    client = LoadClient("sub0", _COUNT, 100, netns=lab.sub, control_only=True)
    assert client.run(timeout_s=10).opened == _COUNT
    yield client
    client.close()


def worker_cpu_s(lab: Lab) -> float:
    text = Path(f"/proc/{lab.process('bng-dataplane').pid}/stat").read_text()
    ticks = text.rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / 100


def idle_share(lab: Lab) -> float:
    """Return what the dataplane takes of a core while nothing happens."""
    before = worker_cpu_s(lab)
    time.sleep(1)
    return worker_cpu_s(lab) - before


def flap(lab: Lab, client: LoadClient, sessions: Path, netns: str, link: str) -> Tally:
    """Take *link* down for a while under traffic; return what the subscribers saw."""
    assert client.export(sessions) == _COUNT
    with (
        EchoServer(lab.inet, SERVER),
        Blaster(lab.sub, "sub0", sessions, SERVER, pps=_PPS, seconds=_RUN_S) as blaster,
    ):
        client.serve(1)
        run(netns, "ip", "link", "set", link, "down")
        client.serve(_DOWN_S)
        run(netns, "ip", "link", "set", link, "up")
        lab.route_back(NAT_POOL)  # the far end's own route went with its link
        while blaster.running():
            client.serve(0.1)
        return blaster.wait()


@pytest.mark.parametrize(("side", "link"), [("bng", "acc0"), ("bng", "wan0"), ("inet", "inet0")])
def test_traffic_goes_on_after_a_flap_and_nobody_is_lost(
    lab: Lab, client: LoadClient, tmp_path: Path, side: str, link: str
) -> None:
    tally = flap(lab, client, tmp_path / "sessions", f"{lab.prefix}-{side}", link)
    away = _DOWN_S * _PPS
    assert 0.5 * away < tally.lost < away + _PPS, tally
    assert tally.silence_ms < (_DOWN_S + 1) * 1000
    assert client.up == _COUNT, client.result().lost
    assert len(lab.sessions()) == _COUNT
    routes = run(lab.bng, "ip", "route").stdout
    assert "default via 192.0.2.2 dev bng-wan0" in routes
    assert "192.0.2.0/24 dev bng-wan0" in routes
    assert idle_share(lab) < 0.1, "the worker does not sleep any more"


def test_an_access_port_that_stays_down_loses_its_sessions_and_serves_again(
    lab: Lab, client: LoadClient
) -> None:
    run(lab.bng, "ip", "link", "set", "acc0", "down")
    time.sleep(_GRACE_S - 1)
    assert len(lab.sessions()) == _COUNT, "echoes were counted, or the grace time was cut short"
    lab.wait_for_sessions(0, timeout_s=5)
    assert not any(lab.occupancy().values())
    assert lab.log("bngd").count('"access port down"') == _COUNT
    assert lab.log("bngd").count('"lost-carrier"') == _COUNT
    run(lab.bng, "ip", "link", "set", "acc0", "up")
    client.serve(0)
    again = LoadClient("sub0", _COUNT, 100, netns=lab.sub, first=_COUNT)
    try:
        assert again.run(timeout_s=10).opened == _COUNT
        with EchoServer(lab.inet, SERVER):
            assert again.send_traffic(1000, 1).lost == 0
        again.terminate_all()
    finally:
        again.close()
