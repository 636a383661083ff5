"""NAT blocks, address pool, session table and disk, each full; and a file of many users.

PREFIX-sub                   PREFIX-bng                       PREFIX-inet
+-------------------+    +-------------------------+    +-------------------+
| 100 subscribers   |    | places for 40 to 63     |    |                   |
|              sub0 |----| acc0               wan0 |----| inet0  UDP echo   |
+-------------------+    | state on 192 KiB        |    +-------------------+
                         +-------------------------+
"""

import contextlib
import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import MakeLab, running_lab
from tests.support.client.load import LoadClient
from tests.support.lab import SERVER, Lab, load_users
from tests.support.natlog import records
from tests.support.traffic import EchoServer

_USERS = 50_000
_NAT_PLACES = 63


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a file system of 192 KiB on *directory*."""
    directory.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=192k", "none", str(directory))
    subprocess.run(mount, check=True)
    try:
        yield directory
    finally:
        subprocess.run(("umount", str(directory)), check=True)


@contextlib.contextmanager
def dialling(lab: Lab, count: int, first: int) -> Iterator[LoadClient]:
    client = LoadClient("sub0", count, 200, netns=lab.sub, first=first)
    try:
        yield client
    finally:
        client.terminate_all("padt")
        client.close()
    lab.wait_for_sessions(0, timeout_s=20)


def small_lab(make_lab: MakeLab, *, pool: int = 1000, table: int = 1000) -> Lab:
    """Build a lab whose NAT has one address with 63 blocks."""
    config = {
        "session": {"setup_per_s": 1000},
        "dataplane": {"max_sessions": table},
        "pppoe": {"holdoff_initial_s": 0},
        "nat": {
            "port_quarantine_s": 0,  # blocks given back are there for the next
            "pool": [{"name": "public", "addresses": ["198.51.100.0/32"]}],
            "port_block_size": 1024,
            "port_min": 1024,
        },
        "pool": [
            {
                "name": "subscribers",
                "ranges": [f"100.64.0.10-100.64.{(9 + pool) // 256}.{(9 + pool) % 256}"],
                "gateway": "100.64.0.1",
                "sticky_s": 0,
                "hold_down_s": 0,
            }
        ],
    }
    return make_lab(config=config, users=load_users(1000))


@pytest.mark.parametrize(
    ("options", "places", "counter"),
    [
        ({}, _NAT_PLACES, "install_failed"),
        ({"pool": 40}, 40, "pool_exhausted"),
        ({"table": 50}, 50, None),
    ],
    ids=["nat", "pool", "table"],
)
def test_who_finds_no_place_is_refused_and_takes_nothing_from_the_others(
    make_lab: MakeLab, options: dict[str, Any], places: int, counter: str | None
) -> None:
    lab = small_lab(make_lab, **options)
    for first in (0, 300):  # and once more: nothing of the refused stays
        with dialling(lab, 100, first) as client, EchoServer(lab.inet, SERVER):
            client.run(timeout_s=2)
            assert client.up == places, client.result()
            assert sum(row["state"] == "up" for row in lab.sessions()) == places
            traffic = client.send_traffic(2000, 1)
            assert (traffic.lost, traffic.misdelivered) == (0, 0), traffic
            counters = lab.ask("show counters")
            if counter:
                assert counters["session"][counter] >= 100 - places
            else:
                assert counters["discovery"]["limit_sessions"] > 0
        assert not any(lab.occupancy().values()), lab.occupancy()


def test_a_full_disk_stops_no_subscriber_and_loses_no_record(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    with (
        small_disk(directory / "state") as state,
        running_lab(directory, users=load_users(_USERS)) as lab,
        EchoServer(lab.inet, SERVER),
    ):
        filler = state / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for _ in itertools.count():
                file.write(bytes(4096))
        with dialling(lab, 60, _USERS - 60) as client:
            assert client.run(timeout_s=10).opened == 60
            time.sleep(2)  # two attempts
            assert client.send_traffic(1000, 1).lost == 0
            counters = lab.ask("show counters")
            assert counters["nat_log"]["written"] == 0
            assert counters["nat_log"]["errors"] >= 1
            assert counters["journal"]["errors"] >= 1
            events = Counter(
                json.loads(line)["event"] for line in lab.log("bngd").splitlines() if line[0] == "{"
            )
            assert events["nat-log-not-written"] >= 1
            assert events["journal-not-written"] >= 1
            filler.unlink()
            end = time.monotonic() + 10
            while (counters := lab.ask("show counters"))["nat_log"]["written"] < 60:
                assert time.monotonic() < end, counters["nat_log"]
                time.sleep(0.2)
        lab.stop("bngd")
        logged = records(state / "nat.log")
        assert [record.sequence for record in logged] == list(range(120))
        assert Counter(record.event for record in logged) == {"+block": 60, "-block": 60}
        assert all(record.user for record in logged)
