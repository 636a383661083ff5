"""Accounting over deaths: what a real FreeRADIUS has of every session afterwards.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +---------------------------------+
| clients sub0  |----| acc0             wan0 |----| inet0 192.0.2.2                 |
+---------------+    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS :1812 :1813, :2813   |
                     +-----------------------+    +---------------------------------+
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import MakeLab
from tests.support.accounting import box_records, count, sessions, wait_for_spool
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.freeradius import SECRET, FreeRadius
from tests.support.lab import SERVER, Lab
from tests.support.traffic import EchoServer

COUNT = 100
USERS = 'DEFAULT Cleartext-Password := "secret"\n'
COPY_PORT = 2813
OPTIONS: dict[str, Any] = {
    "config": {
        "session": {"setup_per_s": 1000, "keep_on_stop": False},
        "aaa": {"method": "radius"},
        "radius": {
            "nas_identifier": "lab",
            "timeout_s": 0.5,
            "tries": 2,
            "give_up_s": 5,
            "dead_s": 1,
            "probe_s": 0.5,
            "accounting": {"interim_interval_s": 0, "checkpoint_s": 1},
            "server": [
                {"name": "aaa1", "address": SERVER, "secret": SECRET},
                {
                    "name": "copy",
                    "group": "copy",
                    "roles": ["accounting"],
                    "address": SERVER,
                    "acct_port": COPY_PORT,
                    "secret": SECRET,
                },
            ],
        },
    }
}


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(**OPTIONS)


@pytest.fixture
def main(lab: Lab, tmp_path: Path) -> Iterator[FreeRadius]:
    with FreeRadius(
        tmp_path / "main", USERS, address=SERVER, netns=lab.inet, auth_port=1812, acct_port=1813
    ) as server:
        yield server


@pytest.fixture
def copy(lab: Lab, tmp_path: Path) -> Iterator[FreeRadius]:
    with FreeRadius(
        tmp_path / "copy",
        USERS,
        address=SERVER,
        netns=lab.inet,
        auth_port=2812,
        acct_port=COPY_PORT,
    ) as server:
        yield server


def clients(lab: Lab, count: int = COUNT) -> LoadClient:
    profile = Profile(auth=("chap",), discovery_s=(1.0, 1.0, 1.0), ipv6=False)  # no Interim for it
    return LoadClient("sub0", count, 300, netns=lab.sub, redial_s=0.5, profile=profile)


def test_when_the_dataplane_dies_its_last_counters_are_told_and_clients_come_back(
    lab: Lab, main: FreeRadius, copy: FreeRadius
) -> None:
    client = clients(lab)
    try:
        assert client.run(timeout_s=20).opened == COUNT
        with EchoServer(lab.inet, SERVER):
            traffic = client.send_traffic(2000, 1, size=100)
        assert traffic.lost == 0
        octets = 100 * traffic.sent
        wait_for_spool(lab)  # an answer that dies with the dataplane has its record sent again
        killed_at = time.monotonic()
        lab.stop("bng-dataplane", signal.SIGKILL)
        assert lab.process("bngd").wait(5) == 1
        assert f'"count": {COUNT}, "event": "sessions-harvested"' in lab.log("bngd")
        lab.start_bng()
        while client.up < COUNT or any(s.opened_at < killed_at for s in client.subscribers):
            client.serve(0.2)
            assert time.monotonic() < killed_at + 30, client.result()
        wait_for_spool(lab)
    finally:
        client.terminate_all()
        client.close()
    for server in (main, copy):
        stopped = [of for of in sessions(server).values() if "Stop" in of][:COUNT]
        assert {of["Stop"]["Acct-Terminate-Cause"] for of in stopped} == {"NAS-Error"}
        assert sum(int(of["Stop"]["Acct-Input-Octets"]) for of in stopped) == octets
        assert sum(int(of["Stop"]["Acct-Output-Octets"]) for of in stopped) == octets
        assert box_records(server) == ["Accounting-On", "Accounting-On"]
        first, second = (
            at for at, r in enumerate(server.detail()) if r["Acct-Status-Type"] == "Accounting-On"
        )
        assert second - first == 2 * COUNT + 1, "Start and Stop of everybody, before it"


def test_when_both_die_what_was_known_last_is_told(lab: Lab, main: FreeRadius) -> None:
    client = clients(lab)
    try:
        assert client.run(timeout_s=20).opened == COUNT
        with EchoServer(lab.inet, SERVER):
            traffic = client.send_traffic(2000, 1, size=100)
        client.serve(2.5)  # checkpoints have seen all of it
        wait_for_spool(lab, groups={"main"})
        lab.stop("bngd", signal.SIGKILL)
        lab.stop("bng-dataplane", signal.SIGKILL)
        died_at = time.time()
        client.serve(3)
        lab.start_bng()
        shown = lab.ctl_json("show", "accounting")
        assert shown["made_up_for"] == {"starts": 0, "stops": COUNT, "last_known": COUNT}
        assert lab.log("bngd").count('"account-of-no-session"') == COUNT
        end = time.monotonic() + 20
        while count(sessions(main), "Stop") < COUNT:
            client.serve(0.2)
            assert time.monotonic() < end
    finally:
        client.terminate_all()
        client.close()
    stops = [of["Stop"] for of in sessions(main).values() if "Stop" in of][:COUNT]
    assert {stop["Acct-Terminate-Cause"] for stop in stops} == {"NAS-Reboot"}
    assert sum(int(stop["Acct-Input-Octets"]) for stop in stops) == 100 * traffic.sent
    assert all(int(stop["Acct-Delay-Time"]) >= 2 for stop in stops), "it died a while ago"
    assert all(0 <= int(stop["Acct-Session-Time"]) < died_at for stop in stops)


def test_a_copy_goes_to_a_second_group_and_neither_waits_for_the_other(
    lab: Lab, main: FreeRadius, copy: FreeRadius
) -> None:
    client = clients(lab, 30)
    try:
        copy.stop()
        assert client.run(timeout_s=20).opened == 30
        client.terminate_all()
        lab.wait_for_sessions(0)
        end = time.monotonic() + 10
        while count(sessions(main), "Stop") < 30:
            assert time.monotonic() < end
            time.sleep(0.1)
        depth = {
            row["group"]: row["on_disk"] for row in lab.ctl_json("show", "accounting")["groups"]
        }
        assert depth["main"] == 0
        assert depth["copy"] >= 2 * 30, "Start and Stop of each"
        lab.stop("bngd", signal.SIGKILL)
        main.stop()
        copy.start()
        lab.start_bngd()
        end = time.monotonic() + 30
        while count(sessions(copy), "Stop") < 30:
            assert time.monotonic() < end, lab.ctl_json("show", "accounting")
            time.sleep(0.1)
    finally:
        client.close()
    assert sessions(copy).keys() == sessions(main).keys()
    for session, of in sessions(copy).items():
        for status in ("Start", "Stop"):
            there = sessions(main)[session][status]
            same = {"Event-Timestamp", "User-Name", "Framed-IP-Address", "Acct-Session-Id"}
            assert {name: of[status][name] for name in same} == {n: there[n] for n in same}
        assert int(of["Start"]["Acct-Delay-Time"]) >= 1


def test_a_stop_that_ends_all_says_so_last_and_the_next_start_begins_anew(
    lab: Lab, main: FreeRadius, copy: FreeRadius
) -> None:
    client = clients(lab, 20)
    try:
        assert client.run(timeout_s=20).opened == 20
        wait_for_spool(lab)
        lab.stop("bngd")
    finally:
        client.close()
    assert box_records(main) == ["Accounting-On", "Accounting-Off"]
    assert main.detail()[-1]["Acct-Status-Type"] == "Accounting-Off"
    found = sessions(main)
    assert {of["Stop"]["Acct-Terminate-Cause"] for of in found.values()} == {"Admin-Reboot"}
    lab.start_bngd()
    wait_for_spool(lab)
    for server in (main, copy):
        assert box_records(server) == ["Accounting-On", "Accounting-Off", "Accounting-On"]
        assert len(sessions(server)) == 20


def test_a_stop_that_keeps_the_sessions_says_nothing_of_the_box(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    keep = {"keep_on_stop": True}
    config = OPTIONS["config"]
    lab = make_lab(config={**config, "session": {**config["session"], **keep}})
    ports = {"auth_port": 1812, "acct_port": 1813}
    client = clients(lab, 20)
    with FreeRadius(tmp_path / "aaa", USERS, address=SERVER, netns=lab.inet, **ports) as server:
        try:
            assert client.run(timeout_s=20).opened == 20
            wait_for_spool(lab, groups={"main"})
            lab.stop("bngd")
            lab.start_bngd()
            client.serve(0.5)
        finally:
            client.terminate_all()
            client.close()
        lab.wait_for_sessions(0)
        end = time.monotonic() + 10
        while any(of.keys() != {"Start", "Stop"} for of in sessions(server).values()):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert box_records(server) == ["Accounting-On"]
