"""bngd dies at each of its commit points, before and after it; in the end nothing is wrong.

Between deaths subscribers come and go. Who is up stays up, or is told and dials again. No
accounting server answers before the end, when it must get each record once.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +------------------------------+
| some come     |    |                       |    |                              |
| and go   sub0 |----| acc0  bngd  wan0      |----| FreeRADIUS :1813, at the end |
+---------------+    |       kill -9 itself  |    +------------------------------+
                     +-----------------------+
"""

import itertools
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import MakeLab
from tests.netns.test_break_processes import holds_exactly, passes_traffic, settle
from tests.support.accounting import box_records, sessions, wait_for_spool
from tests.support.client.layer import Phase, Profile
from tests.support.client.load import LoadClient
from tests.support.freeradius import SECRET, FreeRadius
from tests.support.lab import SERVER, Lab, load_users
from tests.support.mortal import CALLS, SINCE, WHEN
from tests.support.soak import mapped_arena, usage

COUNT = 40
LEAVE_AT_ONCE = 4
DIES_WITHIN_S = 15
OPTIONS: dict[str, Any] = {
    "config": {
        "session": {"setup_per_s": 1000, "keep_on_stop": False},
        "journal": {"flush_interval_s": 0.2},
        "radius": {
            "nas_identifier": "lab",
            "timeout_s": 0.5,
            "tries": 2,
            "dead_s": 60,
            "probe_s": 0.5,
            "accounting": {"interim_interval_s": 0, "checkpoint_s": 1},
            "server": [
                {"name": "aaa", "roles": ["accounting"], "address": SERVER, "secret": SECRET}
            ],
        },
    },
    "users": load_users(COUNT),
}
STAYS_FILLED = {"fib_pages", "nat_blocks_free", "buffers_free", "nat_slot_bytes", "ring_bytes"}
"""What may differ between an arena that was used and a fresh one, with no session in either."""


def start_mortal(lab: Lab, call: str, when: str, since: str, number: int) -> None:
    toml = str(lab.directory / "bng.toml")
    words = ("-m", "tests.support.mortal", call, when, since, str(number), "--config", toml)
    lab.spawn("bng", "bngd", sys.executable, *words)


def churn_until_it_dies(lab: Lab, client: LoadClient, leaving: "itertools.cycle[int]") -> None:
    """Have some leave and dial again until bngd is dead; what it dies of must be the injection."""
    bngd = lab.process("bngd")
    end = time.monotonic() + DIES_WITHIN_S
    while bngd.poll() is None:
        assert time.monotonic() < end, "the point was never reached"
        for _ in range(LEAVE_AT_ONCE):
            subscriber = client.subscribers[next(leaving)]
            if subscriber.phase is Phase.UP:
                how = "padt" if subscriber.index % 2 else "terminate"
                subscriber.terminate(how, time.monotonic())
                client.dialer.arm(subscriber)
        client.serve(0.15)
    assert bngd.returncode == -signal.SIGKILL, lab.log("bngd")[-3000:]


@pytest.mark.parametrize("calls", [tuple(CALLS)[:3], tuple(CALLS)[3:]], ids="-".join)
def test_a_death_at_a_commit_point_leaves_everything_true(
    make_lab: MakeLab, tmp_path: Path, calls: tuple[str, ...]
) -> None:
    lab = make_lab(**OPTIONS)
    dataplane = lab.process("bng-dataplane").pid
    with mapped_arena(dataplane) as arena:
        empty = usage(arena)
    profile = Profile(auth=("chap",), discovery_s=(1.0, 1.0, 1.0))
    client = LoadClient("sub0", COUNT, 500, netns=lab.sub, redial_s=0.3, profile=profile)
    leaving = itertools.cycle(range(COUNT))
    try:
        assert client.run(timeout_s=10).opened == COUNT
        lab.stop("bngd", signal.SIGKILL)
        deaths = 0
        for call, when, since in itertools.product(calls, WHEN, SINCE):
            start_mortal(lab, call, when, since, 2)
            churn_until_it_dies(lab, client, leaving)
            deaths += 1
        lab.start_bngd()
        settle(lab, client, limit_s=30)
        holds_exactly(lab, COUNT)
        passes_traffic(client, lab)
        lost = client.result().lost
        assert lost.keys() <= {"terminated", "padt"}, lost
        assert lost.get("padt", 0) <= LEAVE_AT_ONCE * deaths, "those who were about to be up"
    finally:
        client.terminate_all()
        client.close()
    lab.wait_for_sessions(0)
    occupancy = lab.occupancy()
    assert occupancy == dict.fromkeys(occupancy, 0)
    with mapped_arena(dataplane) as arena:
        left = usage(arena)
    assert {k: v for k, v in left.items() if k not in STAYS_FILLED} == {
        k: v for k, v in empty.items() if k not in STAYS_FILLED
    }
    with FreeRadius(tmp_path / "aaa", "", address=SERVER, netns=lab.inet, acct_port=1813) as server:
        wait_for_spool(lab)
        on_record(server, lab)


def on_record(server: FreeRadius, lab: Lab) -> None:
    """Check that every session of the log has one Start and one Stop, and no other has any."""
    lines = [json.loads(line) for line in lab.log("bngd").splitlines() if line.startswith("{")]
    started = {line["session"] for line in lines if line["event"] == "session-start"}
    found = sessions(server)
    assert {name: sorted(of) for name, of in found.items()} == {
        name: ["Start", "Stop"] for name in found
    }
    assert started - found.keys() == set(), "nobody who was let in is missing"
    assert box_records(server) == ["Accounting-On"]
    assert "Traceback" not in lab.log("bngd")
