"""Two workers, each port received by another one: hand-off both ways loses and reorders nothing.

PREFIX-sub                        PREFIX-bng                          PREFIX-inet
+------------------------+    +----------------------------+    +---------------------+
| 40 subscribers    sub0 |----| acc0: worker 0             |----| inet0 192.0.2.2     |
| traffic pppoe          |    |          worker 1: wan0    |    |       2001:db8:2::2 |
|                        |    |                            |    |   traffic echo      |
+------------------------+    +----------------------------+    +---------------------+

Half of the subscribers, and half of the public addresses, are owned by each worker: so a half of
the packets is handed over on the way up, the other half on the way down. A third of them is IPv4,
a third each from the /64 on the link and from the delegated prefix; some are full-size.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import running_lab
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import SOURCES, LoadClient
from tests.support.lab import Lab, default_config, load_users
from tests.support.lab6 import SERVERS, DualLab
from tests.support.netns import offloads_off
from tests.support.traffic import Blaster, EchoServer, Tally

_COUNT, _PPS, _TOO_MUCH, _SECONDS = 40, 10_000, 1_000_000, 4
_PINNED = "198.51.100.3"  # of worker 1
_DRIVERS = ("af_packet", "af_xdp")
_DUAL = Profile(wants=Wants(delegate=56))


def _ports(directory: Path, driver: str) -> list[dict[str, Any]]:
    options = {"peer-offloads": "off"} if driver == "af_xdp" else {}
    ports: list[dict[str, Any]] = default_config(directory)["port"]
    return [
        port | {"driver": driver, "options": options, "worker": number}
        for number, port in enumerate(ports)
    ]


@contextlib.contextmanager
def _lab(directory: Path, driver: str, users: dict[str, Any]) -> Iterator[Lab]:
    cpus = sorted(os.sched_getaffinity(0))
    config = {
        "dataplane": {"workers": [cpus[0], cpus[-1]]},
        "port": _ports(directory, driver),
    }
    with running_lab(directory, DualLab, config=config, users=users) as lab:
        offloads_off(lab.sub, "sub0")
        offloads_off(lab.inet, "inet0")
        yield lab


@pytest.fixture(scope="module", params=_DRIVERS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run one lab with each driver; whoever dials in hangs up."""
    with _lab(tmp_path_factory.mktemp("lab"), request.param, load_users(_COUNT)) as lab:
        yield lab


def _of_workers(lab: Lab, counter: str) -> list[int]:
    return [worker[counter] for worker in lab.ask("show counters")["workers"]]


class Drill:
    """Forty subscribers who dialled in, and what the dataplane counted before they sent."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.sessions = directory / "sessions"
        self.client = LoadClient(
            "sub0", _COUNT, 100, netns=lab.sub, control_only=True, profile=_DUAL
        )
        self.client.run(timeout_s=10, until=lambda client: client.dual == _COUNT)
        assert self.client.dual == _COUNT, self.client.result()
        assert self.client.export(self.sessions, SOURCES) == _COUNT
        self._before = self._edges()

    def _edges(self) -> dict[str, int]:
        edges: dict[str, int] = self.lab.ask("show counters")["edges"]
        return edges

    def run(self, pps: int) -> tuple[Tally, Tally]:
        """Send from all; return what the subscribers counted, and the server."""
        with (
            EchoServer(self.lab.inet, *SERVERS) as echo,
            Blaster(
                *(self.lab.sub, "sub0", self.sessions, *SERVERS),
                pps=pps,
                seconds=_SECONDS,
                long=1492,
            ) as ours,
        ):
            while ours.running():
                self.client.serve(0.1)
            return ours.wait(), echo.stop()

    def handed_off(self, node: str) -> int:
        """Return how many packets *node* has handed to the other worker since the start."""
        return self._edges()[f"{node} handoff"] - self._before[f"{node} handoff"]

    def hang_up(self) -> None:
        """End all sessions and see that nothing of them is left."""
        self.client.terminate_all("terminate")
        self.client.close()
        self.lab.wait_for_sessions(0)
        assert not any(self.lab.occupancy().values()), self.lab.occupancy()


def test_subscribers_and_public_addresses_are_spread_over_both_workers(
    lab: Lab, tmp_path: Path
) -> None:
    drill = Drill(lab, tmp_path)
    assert _of_workers(lab, "sessions") == [_COUNT // 2, _COUNT // 2]
    per_worker = {0: 0, 1: 0}
    for row in lab.ask("show nat")["addresses"]:
        per_worker[row["worker"]] += row["sessions"]
    assert per_worker == {0: _COUNT // 2, 1: _COUNT // 2}
    drill.hang_up()


def test_hand_off_both_ways_loses_and_reorders_nothing(lab: Lab, tmp_path: Path) -> None:
    drill = Drill(lab, tmp_path)
    near, far = drill.run(_PPS)
    assert near.sent == pytest.approx(_PPS * _SECONDS, rel=0.01)
    assert far.received == near.sent, f"lost upstream: {near.sent - far.received}"
    assert near.lost == 0, f"lost on the way back: {near}"
    for tally in (near, far):
        assert (tally.reordered, tally.duplicated, tally.misdelivered) == (0, 0, 0), tally
        assert tally.bad_checksum == 0
    assert drill.handed_off("pppoe_input") == pytest.approx(near.sent / 2, rel=0.01)
    assert drill.handed_off("nat44_out2in") == pytest.approx(near.sent / 6, rel=0.01)
    assert drill.handed_off("session6_output") == pytest.approx(near.sent / 3, rel=0.01)
    drill.hang_up()


def test_more_than_both_workers_can_take_is_dropped_but_never_reordered(
    lab: Lab, tmp_path: Path
) -> None:
    Drill(lab, tmp_path).hang_up()  # what was under way before is home
    free = _of_workers(lab, "buffers_free")
    drill = Drill(lab, tmp_path)
    near, far = drill.run(_TOO_MUCH)
    assert far.received > 20_000 * _SECONDS, far
    for tally in (near, far):
        assert (tally.reordered, tally.duplicated, tally.misdelivered) == (0, 0, 0), tally
        assert tally.bad_checksum == 0
    print(f"sent {near.sent}, echoed {far.received}, back {near.received}")
    drill.hang_up()
    assert _of_workers(lab, "buffers_free") == free, "buffers were lost on their way home"


@pytest.fixture
def pinned(tmp_path: Path) -> Iterator[Lab]:
    """Run a lab whose users all have one public address."""
    users = {name: user | {"nat_address": _PINNED} for name, user in load_users(_COUNT).items()}
    with _lab(tmp_path, "af_packet", users) as lab:
        yield lab


def test_subscribers_pinned_to_one_workers_address_are_all_moved_there(
    pinned: Lab, tmp_path: Path
) -> None:
    lab, drill = pinned, Drill(pinned, tmp_path)
    assert _of_workers(lab, "sessions") == [0, _COUNT]
    near, far = drill.run(_PPS)
    assert (far.received, near.lost) == (near.sent, 0)
    for tally in (near, far):
        assert (tally.reordered, tally.duplicated, tally.misdelivered) == (0, 0, 0), tally
    assert drill.handed_off("pppoe_input") == near.sent
    assert drill.handed_off("nat44_out2in") == drill.handed_off("session6_output") == 0
    drill.hang_up()
