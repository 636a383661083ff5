"""Deterministic NAT in a box: the ports are those that the offline tool prints."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bng.cli.deterministic import ranges
from bng.session.model import Cause, Session
from dataplane.binding import Ring
from tests.support.client.layer import Phase
from tests.support.memory_box import CONFIG, MemoryBox, memory_box
from tests.support.nat_traffic import inbound, join_network, outbound, session_of
from tests.support.toml import dump
from tests.unit.session.test_lifecycle import assert_empty, leave

PORTS = 1024
NAT: dict[str, Any] = {
    "pool": [
        {
            "name": "computed",
            "addresses": ["203.0.113.0/31"],
            "mode": "deterministic",
            "inside": ["100.64.0.8/29", "100.64.1.0/26"],
            "ports_per_subscriber": PORTS,
        },
        {"name": "shared", "addresses": ["198.51.100.0/31"]},
    ],
    "profile": {"computed": {"translate": True, "pool": "computed"}},
}
ARGS = (
    *("--workers=-,-", "--nat-address=203.0.113.0,deterministic"),
    "--nat-address=203.0.113.1,deterministic",
)
USERS = {
    "inside": {"password": "secret", "ipv4_address": "100.64.0.9"},
    "second": {"password": "secret", "ipv4_address": "100.64.1.63"},
    "outside": {"password": "secret", "ipv4_address": "100.64.2.1"},
    "strict": {
        "password": "secret",
        "ipv4_address": "100.64.2.2",
        "nat_profile": "computed",
    },
}


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box(config={"nat": NAT}, user_table=USERS, args=ARGS) as box:
        join_network(box)
        yield box


def tool(tmp_path: Path, inner: str) -> dict[str, Any]:
    """Return what the offline tool says of *inner*."""
    path = tmp_path / "bng.toml"
    path.write_text(dump({**CONFIG, "nat": NAT}))
    (row,) = ranges(path, inner, None)
    return row


@pytest.mark.parametrize("name", ["inside", "second"])
def test_all_ports_are_those_of_the_offline_tool_and_no_others(
    box: MemoryBox, tmp_path: Path, name: str
) -> None:
    said = tool(tmp_path, USERS[name]["ipv4_address"])
    client = box.subscriber(1, user=name)
    box.dial(client)
    assert client.phase is Phase.UP
    session = session_of(box, name)
    seen = [outbound(box, session, 2_000 + number) for number in range(PORTS)]
    assert {place[0] for place in seen if place} == {IPv4Address(said["outer"])}
    expected = set(range(said["port_first"], said["port_last"] + 1))
    assert {place[1] for place in seen if place} == expected
    assert len(expected) == PORTS
    assert outbound(box, session, 60_000) is None
    assert box.embedded.counters()["nat44_in2out/drop: port-limit"] == 1
    assert inbound(box, IPv4Address(said["outer"]), said["port_last"])
    leave(box, [client])
    assert not inbound(box, IPv4Address(said["outer"]), said["port_last"])
    assert_empty(box)


def test_nothing_is_logged(box: MemoryBox) -> None:
    client = box.subscriber(1, user="inside")
    box.dial(client)
    leave(box, [client])
    assert [box.embedded.pop(worker, Ring.NAT_LOG) for worker in range(2)] == [[], []]


def test_the_mappings_outlive_a_minute_of_sweeping_and_then_expire(box: MemoryBox) -> None:
    client = box.subscriber(1, user="inside")
    box.dial(client)
    session = session_of(box, "inside")
    assert outbound(box, session, 5_000) is not None
    entry = box.dataplane.nat_address[8]
    box.run(120.0, step=0.1)
    assert (int(entry.live[1]), int(entry.used_blocks)) == (1, 2)
    box.run(300.0, step=0.1)
    assert (int(entry.live[1]), int(entry.used_blocks)) == (0, 2)


def test_who_is_not_inside_gets_port_blocks(box: MemoryBox) -> None:
    client = box.subscriber(1, user="outside")
    box.dial(client)
    seen = outbound(box, session_of(box, "outside"), 4_000)
    assert seen is not None and seen[0] in map(IPv4Address, ("198.51.100.0", "198.51.100.1"))
    leave(box, [client])
    assert_empty(box)


def test_whose_profile_says_the_pool_and_is_not_inside_is_refused(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    end = box.manager.end

    def noted(session: Session, cause: Cause, detail: str, now: float) -> None:
        seen.append(detail)
        end(session, cause, detail, now)

    monkeypatch.setattr(box.manager, "end", noted)
    client = box.subscriber(1, user="strict")
    box.dial(client, seconds=1.0)
    assert seen[0] == "install: no NAT address"
    leave(box, [client])
    assert_empty(box)


def test_who_dials_again_gets_the_same_ports(box: MemoryBox, tmp_path: Path) -> None:
    said = tool(tmp_path, "100.64.0.9")
    for _ in range(3):
        client = box.subscriber(1, user="inside")
        box.dial(client)
        seen = outbound(box, session_of(box, "inside"), 4_000)
        assert seen is not None
        assert said["port_first"] <= seen[1] <= said["port_last"]
        leave(box, [client])
        box.run(3.0, step=0.1)
