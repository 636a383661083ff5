"""Processes that are killed, stopped and started again, with sessions up or in the middle of it.

PREFIX-sub                       PREFIX-bng                     PREFIX-inet
+-----------------------+    +-----------------------+    +-------------------+
| subscribers that      |    |  bngd                 |    |                   |
| dial again       sub0 |----| acc0 bng-dataplane    |----| inet0  UDP echo   |
+-----------------------+    +-----------------------+    +-------------------+
"""

import contextlib
import signal
import time
from collections.abc import Iterator

from tests.netns.conftest import MakeLab
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.lab import SERVER, Lab, load_users
from tests.support.traffic import EchoServer

_COUNT = 400
LAB_OPTIONS = {
    "config": {"session": {"setup_per_s": 1000, "keep_on_stop": False}},
    "users": load_users(1000),
}


@contextlib.contextmanager
def redialling(lab: Lab, count: int = _COUNT, rate: float = 500) -> Iterator[LoadClient]:
    """Yield subscribers that dial again half a second after they lost their session.

    A new bngd knows no AC-Cookie of the old one: who stood between PADO and PADS begins anew, here
    after 3 s, a pppd after 35.
    """
    profile = Profile(auth=("chap",), discovery_s=(1.0, 1.0, 1.0))
    client = LoadClient("sub0", count, rate, netns=lab.sub, redial_s=0.5, profile=profile)
    try:
        yield client
    finally:
        client.terminate_all()
        client.close()


def settle(lab: Lab, client: LoadClient, limit_s: float = 15) -> None:
    """Serve until everybody is up on both sides, for good."""
    count = len(client.subscribers)
    end = time.monotonic() + limit_s
    while True:
        client.serve(0.3)
        if client.up == count and [s["state"] for s in lab.sessions()] == ["up"] * count:
            return
        assert time.monotonic() < end, client.result()


def holds_exactly(lab: Lab, count: int) -> None:
    """Check that the tables hold what *count* sessions need, and no rest of earlier ones."""
    used = lab.occupancy()
    wanted = dict.fromkeys(("sessions", "sessions_up", "pppoe_sessions", "clients"), count)
    wanted |= {"pool_used": count, "nat_sessions": count, "nat_blocks": count, "half_open": 0}
    assert {name: used[name] for name in wanted} == wanted


def passes_traffic(client: LoadClient, lab: Lab) -> None:
    with EchoServer(lab.inet, SERVER):
        traffic = client.send_traffic(2000, 1)
    assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic


def restart_killed(lab: Lab, name: str) -> None:
    lab.stop(name, signal.SIGKILL)
    lab.start_bngd() if name == "bngd" else lab.start_dataplane()


# --- bngd ---


def test_after_a_kill_no_client_has_noticed(lab: Lab) -> None:
    with redialling(lab) as client:
        assert client.run(timeout_s=10).opened == _COUNT
        restart_killed(lab, "bngd")
        settle(lab, client)
        assert client.result().lost == {}
        holds_exactly(lab, _COUNT)
        passes_traffic(client, lab)
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values())


def test_five_kills_in_the_middle_of_a_storm_leave_nothing_behind(lab: Lab) -> None:
    with redialling(lab, rate=4000) as client:
        client.run(timeout_s=0.25)
        for after_s in (0.1, 0.2, 0.3, 0.5):
            restart_killed(lab, "bngd")
            client.serve(after_s)
        restart_killed(lab, "bngd")
        settle(lab, client)
        holds_exactly(lab, _COUNT)
        passes_traffic(client, lab)
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values())
    assert "Traceback" not in lab.log("bngd")


def test_a_kill_between_close_and_release_leaves_nothing_behind(lab: Lab) -> None:
    dataplane = lab.process("bng-dataplane")
    with redialling(lab) as client:
        assert client.run(timeout_s=10).opened == _COUNT
        dataplane.send_signal(signal.SIGSTOP)
        try:
            lab.process("bngd").send_signal(signal.SIGTERM)  # closes all of them, waits for none
            time.sleep(0.5)
            lab.stop("bngd", signal.SIGKILL)
        finally:
            dataplane.send_signal(signal.SIGCONT)
        lab.start_bngd()
        assert f'"sessions": 0, "ended": {_COUNT}' in lab.log("bngd")
        settle(lab, client)
        holds_exactly(lab, _COUNT)
        passes_traffic(client, lab)


def test_what_was_asked_while_bngd_stood_still_is_not_answered_late(lab: Lab) -> None:
    bngd = lab.process("bngd")
    with redialling(lab) as client:
        assert client.run(timeout_s=10, until=lambda c: c.up >= _COUNT // 2).opened
        bngd.send_signal(signal.SIGSTOP)
        try:
            client.run(timeout_s=7)
        finally:
            bngd.send_signal(signal.SIGCONT)
        settle(lab, client)
        assert lab.ask("show counters")["punt"]["discovery_stale"] > 0
        holds_exactly(lab, _COUNT)
    lab.wait_for_sessions(0, timeout_s=40)


# --- the dataplane ---


def test_a_dataplane_that_stands_still_for_five_seconds_loses_no_session(lab: Lab) -> None:
    dataplane = lab.process("bng-dataplane")
    with redialling(lab) as client:
        assert client.run(timeout_s=10).opened == _COUNT
        dataplane.send_signal(signal.SIGSTOP)
        try:
            client.serve(5)
        finally:
            dataplane.send_signal(signal.SIGCONT)
        client.serve(1)
        assert client.up == _COUNT, client.result().lost
        passes_traffic(client, lab)


def test_a_killed_dataplane_takes_bngd_along_and_both_serve_again(make_lab: MakeLab) -> None:
    lab = make_lab(**LAB_OPTIONS)
    with redialling(lab) as client:
        assert client.run(timeout_s=10).opened == _COUNT
        lab.stop("bng-dataplane", signal.SIGKILL)
        assert lab.process("bngd").wait(5) == 1
        assert lab.log("bngd").count('"dataplane-lost"') == 1
        killed_at = time.monotonic()
        lab.start_bng()
        told = f'"count": {_COUNT}, "told": {_COUNT}, "event": "journal-sessions-lost"'
        assert told in lab.log("bngd")
        settle(lab, client)
        assert all(s.opened_at > killed_at for s in client.subscribers)
        assert client.result().lost == {"padt": _COUNT}
        holds_exactly(lab, _COUNT)
        passes_traffic(client, lab)


# --- a clean stop ---


def test_a_thousand_sessions_are_told_of_a_clean_stop_at_once(make_lab: MakeLab) -> None:
    lab = make_lab(**LAB_OPTIONS)
    client = LoadClient("sub0", 1000, 500, netns=lab.sub)
    try:
        assert client.run(timeout_s=20).opened == 1000
        bngd = lab.process("bngd")
        bngd.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        while bngd.poll() is None and time.monotonic() < asked_at + 10:
            client.serve(0.02)
        assert bngd.returncode == 0
        assert time.monotonic() < asked_at + 3
        client.serve(0.2)
        assert client.result().lost == {"padt": 1000}
        lab.start_bngd()
        assert '"adopted"' not in lab.log("bngd")
        assert "journal-sessions-lost" not in lab.log("bngd")
        assert not any(lab.occupancy().values())
    finally:
        client.close()
