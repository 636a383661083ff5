"""The restart drill: bngd is killed three times under 2,000 subscribers who all send and receive.

Every packet of theirs is accounted for, both ways, of IPv4, of the /64 on the link and of the
delegated prefix: sent, arrived, in order, undamaged. The lab is drawn in tests/support/soak.py.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.bench.soak import Population
from tests.netns.test_radius_orders import radclient
from tests.support import soak
from tests.support.client.subscriber import Subscriber
from tests.support.freeradius import SECRET
from tests.support.lab import load_users, merged, program
from tests.support.other_build import VERSION
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FLOWS_EACH, UP, Count

COUNT, DIALLING = 2000, 40
RATE = 8_000
SEED = 20261121
HERE = "127.0.0.1"
ENOUGH = 100_000_000
"""A rate that drops nothing."""


class People(Population):
    """Subscribers of whom those that are *settled* must not notice anything."""

    def __init__(self, lab: SoakLab, count: int, spare: int) -> None:
        super().__init__(lab, count, spare)
        self.settled: set[int] = set()
        self.noticed: list[tuple[int, str, str]] = []

    def _event(self, subscriber: Subscriber, name: str, detail: str) -> None:
        if subscriber.index in self.settled:
            self.noticed.append((subscriber.index, name, detail))
        super()._event(subscriber, name, detail)

    def total(self, kind: int, direction: int) -> Count:
        """Return what came of all packets of a kind of those who are settled."""
        flows = (index * FLOWS_EACH + kind for index in self.settled)
        return sum((self.area.count(flow, direction) for flow in flows), Count())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SoakLab]:
    with SoakLab(
        f"t{os.getpid()}r",
        tmp_path,
        soak.program(),
        flows=(COUNT + DIALLING) * FLOWS_EACH,
        config=merged(
            soak.config(tmp_path, COUNT + DIALLING),
            {
                "session": {"keep_on_stop": False},
                "journal": {"flush_interval_s": 0.5},
                "radius": {
                    "dynauth": {
                        "listen": [HERE],
                        "client": [{"name": "here", "prefix": HERE, "secret": SECRET}],
                    }
                },
            },
        ),
        users=load_users(COUNT + DIALLING),
    ) as one:
        yield one


def adopted(lab: SoakLab) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in lab.log("bngd").splitlines() if line[:1] == "{"]
    return [line for line in lines if line["event"] == "adopted"]


def carried(lab: SoakLab) -> dict[str, tuple[int, int]]:
    """Return what each session has carried, in and out."""
    return {row["id"]: (row["in_packets"], row["out_packets"]) for row in lab.ask("show sessions")}


def restart(lab: SoakLab, people: People, *bngd: str) -> dict[str, Any]:
    """Kill bngd while some dial, start *bngd* in its place; return what it adopted."""
    for _ in range(DIALLING):
        people.join()
    people.run(random.uniform(0.0, 0.02), 0)  # the moment it happens
    lab.stop("bngd", signal.SIGKILL)
    killed_at, before = time.monotonic(), len(adopted(lab))
    people.run(random.uniform(0.1, 1.0), 0)
    lab.spawn_bngd(*bngd)
    while len(adopted(lab)) == before:
        assert lab.process("bngd").poll() is None, lab.log("bngd")[-3000:]
        assert time.monotonic() < killed_at + 30
        people.run(0.05, 0)
    lab.wait_for_bngd()
    return adopted(lab)[-1]


def order(lab: SoakLab, kind: str, session: str, *attributes: str) -> str:
    """Send an order of RFC 5176 about a session; return what came of it."""
    who = f'Acct-Session-Id = "{session}"'
    return radclient(lab, kind, who, *attributes, to=HERE, side=lab.bng)


def rate_of(lab: SoakLab, session: str) -> int | None:
    policer = lab.ctl_json("show", "session", session)["policer_down"]
    return None if policer is None else int(policer["cir_bps"])


def test_bngd_dies_three_times_and_nobody_loses_a_packet(lab: SoakLab) -> None:
    random.seed(SEED)
    people = People(lab, COUNT, DIALLING)
    try:
        people.fill(COUNT)
        people.settled = {subscriber.index for subscriber in people.here}
        lab.area.rate(RATE, RATE)
        people.run(1.0, 0)
        before = carried(lab)
        assert len(before) == COUNT
        changed, ended, *_ = before
        other_build = (sys.executable, "-m", "tests.support.other_build")
        for bngd in ((program("bngd"),), other_build, (program("bngd"),)):
            assert restart(lab, people, *bngd)["sessions"] >= COUNT
            assert (lab.ask("show version")["bngd"] == VERSION) == (bngd == other_build)
            people.run(1.0, 0)  # who was dialling is told, or has come up, or dials on
            now = carried(lab)
            assert all(now[name] > before[name] for name in before), "counters continue"
            before = {name: now[name] for name in before}
            if bngd == other_build:
                assert order(lab, "coa", changed, f"WISPr-Bandwidth-Max-Down = {ENOUGH}") == "ack"
            assert rate_of(lab, changed) == (ENOUGH if len(adopted(lab)) > 1 else None)
        assert people.noticed == []
        lab.area.rate(0, 0)
        people.run(0.5, 0)
        for kind, direction in itertools.product(range(FLOWS_EACH), (UP, DOWN)):
            total = people.total(kind, direction)
            assert total.whole, (kind, direction, total)
            assert total.received > 2 * RATE / FLOWS_EACH
        assert lab.area.stray() == 0
        people.settled.clear()
        with ThreadPoolExecutor(1) as pool:  # it is answered when the client has left
            answer = pool.submit(order, lab, "disconnect", ended)
            while not answer.done():
                people.run(0.05, 0)
        assert answer.result() == "ack"
        assert carried(lab).keys() == now.keys() - {ended}
        people.empty()
    finally:
        people.close()
    lab.wait_for_sessions(0)
    occupancy = lab.occupancy()
    assert occupancy == dict.fromkeys(occupancy, 0)
    assert "Traceback" not in lab.log("bngd")
