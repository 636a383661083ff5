"""Forged replies and CoA-Requests at 50,000 a second: nothing changes, and people get in as before.

PREFIX-sub            PREFIX-bng
+---------------+    +-------------------------------------------------+
| load    sub0  |----| acc0  bngd  ---- lo ---- answering server :1812 |
+---------------+    |                   |----- forger, as the server, |
                     +-------------------------------- or as a client -+
"""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.netns.conftest import MakeLab
from tests.support.answering import AnsweringLab
from tests.support.client.load import LoadClient, LoadResult
from tests.support.lab import ROOT, Lab
from tests.support.netns import command

COUNT, RATE, PPS, SECONDS = 600, 150, 50_000, 6
FORGED = {"bad_replies", "unexpected", "malformed", "dropped"}


@pytest.fixture
def lab(make_lab: MakeLab) -> AnsweringLab:
    """A lab whose AAA server answers on loopback, and whose operator may send CoA from there."""
    oss = {"name": "oss", "prefix": "127.0.0.1/32", "secret": "coa-secret"}
    config = {"session": {"setup_per_s": 2_000}}
    made = make_lab(kind=AnsweringLab, config=config, radius={"dynauth": {"client": [oss]}})
    assert isinstance(made, AnsweringLab)
    return made


def dial(lab: Lab, first: int) -> LoadResult:
    client = LoadClient("sub0", COUNT, RATE, netns=lab.sub, first=first)
    try:
        result = client.run(timeout_s=30)
        client.terminate_all("padt")
        return result
    finally:
        client.close()


def counters(lab: Lab) -> dict[str, int]:
    """Return what the client counted, of all servers together."""
    total: dict[str, int] = {}
    for row in lab.ctl_json("show", "radius"):
        for name, value in row.items():
            if isinstance(value, int):
                total[name] = total.get(name, 0) + value
    return total


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["replies", "orders", "strangers"])
def test_a_flood_of_forgeries_changes_nothing_and_people_get_in(
    lab: AnsweringLab, kind: str
) -> None:
    calm = dial(lab, 0)
    lab.wait_for_sessions(0)
    words = [kind, "--pps", str(PPS), "--seconds", str(SECONDS)]
    argv = [sys.executable, "-m", "tests.support.forger", *words]
    forger = subprocess.Popen(command(lab.bng, argv), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        flooded = dial(lab, COUNT)
        output, _ = forger.communicate(timeout=60)
    finally:
        forger.kill()
    sent: dict[str, Any] = json.loads(output)
    assert sent["pps"] > PPS / 2, "the forger was not fast enough to mean anything"
    assert (calm.opened, flooded.opened) == (COUNT, COUNT), flooded
    assert flooded.rate >= 0.5 * calm.rate, (calm, flooded)
    lab.wait_for_sessions(0)
    asked, seen = lab.counts(), counters(lab)
    assert (asked["access"], asked["users"], asked["users_asked_again"]) == (
        2 * COUNT,
        2 * COUNT,
        0,
    ), asked
    assert (asked["accounting_1"], asked["accounting_2"]) == (2 * COUNT, 2 * COUNT), asked
    assert (seen["accepts"], seen["rejects"]) == (2 * COUNT, 0)
    log = lab.log("bngd")
    assert '"event": "coa"' not in log
    assert '"event": "disconnect"' not in log
    forged = sum(seen[name] for name in FORGED)
    orders = lab.ctl_json("show", "dynauth")
    assert (orders["requests"], orders["acks"], orders["naks"]) == (0, 0, 0)
    causes = {
        "replies": set(),
        "orders": {"wrong_authenticator"},
        "strangers": {"unknown_client"},  # before any hash
    }
    assert orders["dropped"].keys() == causes[kind], orders
    assert (forged > 0) == (kind != "orders"), seen
    if kind == "strangers":
        assert seen["bad_replies"] == seen["unexpected"] == 0, "the kernel drops strangers"
