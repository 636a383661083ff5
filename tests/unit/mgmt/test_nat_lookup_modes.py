"""``nat lookup`` of what is no block of ports: forwards, whole addresses, tunnels, arithmetic."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP

from bng.cli.natlookup import search
from bng.session.model import Cause
from tests.node import lab
from tests.node.harness import ACC
from tests.support.managed_box import Managed, managed_box
from tests.support.nat_traffic import SERVER, join_network, outbound

from .test_one_to_one import dial, lead_to_server, reload, session_of, user

PUBLIC, OWN, COMPUTED = "198.51.100.3", "203.0.113.0", "198.51.100.7"
INNER = "100.64.9.9"
GRE, ESP = 47, 50
NAT: dict[str, Any] = {
    "pool": [
        {"name": "public", "addresses": ["198.51.100.0/30"]},
        {"name": "own", "mode": "one-to-one", "addresses": ["203.0.113.0/30"]},
        {
            "name": "computed",
            "mode": "deterministic",
            "addresses": [f"{COMPUTED}/32"],
            "inside": [f"{INNER}/32"],
            "ports_per_subscriber": 512,
        },
    ],
    "profile": {"own": {"translate": True, "pool": "own"}},
}
USERS = {
    "user00001": user(nat_address=PUBLIC, port_forwards=["udp 270 27015", "tcp 270 8443"]),
    "user00002": user(nat_profile="own"),
    "user00003": user(ipv4_address=INNER),
}


@pytest.fixture(params=[False, True], ids=["blocks-logged", "mappings-logged"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Managed]:
    """Yield a box with a user of each kind."""
    nat = {**NAT, "log_mappings": request.param}
    with managed_box(tmp_path, nat=nat) as (_, managed):
        lead_to_server(managed)
        join_network(managed.memory)
        reload(managed, **USERS)
        dial(managed, 1, 2, 3)
        assert managed.memory.manager.table.count == 3
        yield managed


def holders(box: Managed, address: str, port: int, **args: str) -> list[dict[str, Any]]:
    answer = box.ask("nat lookup", address=address, port=str(port), **args)
    assert answer["ok"] is True, answer
    rows: list[dict[str, Any]] = answer["data"]["holders"]
    return rows


def leave(box: Managed, number: int) -> str:
    """End a session; return a time when it was there."""
    box.box.nat_log.flush()
    then = f"{time.time():.6f}"
    time.sleep(0.001)
    memory = box.memory
    memory.manager.end(session_of(box, number), Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)
    box.box.nat_log.flush()
    return then


def from_file(box: Managed, address: str, port: int, when: str) -> list[dict[str, object]]:
    """Return what the tool finds that needs no bngd."""
    found = search(box.box.nat_log.path, address, port, when, None)["holders"]
    assert isinstance(found, list)
    return found


def test_a_forwarded_port(box: Managed) -> None:
    udp, tcp = sorted(holders(box, PUBLIC, 270), key=lambda row: -int(row["inner_port"]))
    assert (udp["kind"], udp["user"], udp["inner_port"]) == ("forward", "user00001", 27015)
    assert (udp["protocol"], tcp["protocol"], tcp["inner_port"]) == ("udp", "tcp", 8443)
    assert udp["from"] is not None and udp["id"] == session_of(box, 1).acct_session_id
    assert holders(box, PUBLIC, 270, protocol="tcp") == [tcp]
    assert holders(box, PUBLIC, 271) == []
    box.box.nat_log.given.clear()
    (row,) = holders(box, PUBLIC, 270, protocol="udp")
    assert row == udp | {"from": None}
    when = leave(box, 1)
    assert holders(box, PUBLIC, 270) == []
    (row,) = holders(box, PUBLIC, 270, time=when, protocol="udp")
    assert (row["kind"], row["user"], row["ended"]) == ("forward", "user00001", "released")
    assert row in from_file(box, PUBLIC, 270, when)


def test_an_address_of_ones_own(box: Managed) -> None:
    (row,) = holders(box, OWN, 4711)
    assert (row["kind"], row["user"], row["port_first"], row["port_last"]) == (
        *("static", "user00002"),
        *(0, 65_535),
    )
    assert row["inner"] == str(session_of(box, 2).ipv4_address)
    assert row["from"] is not None
    assert holders(box, OWN, 0, protocol="gre") == [row]
    assert holders(box, "203.0.113.1", 4711) == []
    box.box.nat_log.given.clear()
    assert holders(box, OWN, 4711) == [row | {"from": None}]
    when = leave(box, 2)
    assert holders(box, OWN, 4711) == []
    (row,) = holders(box, OWN, 4711, time=when)
    assert (row["kind"], row["user"], row["ended"]) == ("static", "user00002", "released")
    assert from_file(box, OWN, 4711, when) == [row]


def send(box: Managed, number: int, protocol: int) -> None:
    session = session_of(box, number)
    packet = IP(src=str(session.ipv4_address), dst=SERVER, proto=protocol) / bytes(8)
    pppoe_id = int(box.memory.dataplane.session_cold[session.index].session_id)
    mac = bytes(session.mac)
    frame = lab.session_frame(bytes(packet), session_id=pppoe_id, source=mac)
    box.memory.embedded.receive(ACC, frame)


def test_tunnels_that_have_no_port(box: Managed) -> None:
    assert holders(box, PUBLIC, 0) == []
    send(box, 1, GRE)
    send(box, 1, ESP)
    esp, gre = sorted(holders(box, PUBLIC, 0), key=lambda row: str(row["protocol"]))
    assert (gre["kind"], gre["user"], gre["remote"]) == ("mapping", "user00001", SERVER)
    assert (gre["protocol"], esp["protocol"]) == ("gre", "esp")
    assert holders(box, PUBLIC, 0, protocol="esp") == [esp]
    when = leave(box, 1)
    assert holders(box, PUBLIC, 0) == []
    logged = [row["kind"] for row in holders(box, PUBLIC, 0, time=when, protocol="gre")]
    assert logged == (["mapping"] if box.box.config.nat.log_mappings else [])


def test_a_deterministic_port(box: Managed) -> None:
    session = session_of(box, 3)
    seen = outbound(box.memory, session, 4_000)
    assert seen is not None and seen[0] == IPv4Address(COMPUTED)
    logged = box.box.config.nat.log_mappings
    block, mapping = holders(box, COMPUTED, seen[1])
    assert (block["kind"], block["user"], block["inner"]) == ("block", "user00003", INNER)
    assert (block["from"] is not None) == logged
    assert (mapping["user"], mapping["inner_port"]) == ("user00003", 4_000)
    assert mapping["remote"] == SERVER
    when = leave(box, 3)
    assert holders(box, COMPUTED, seen[1]) == []
    rows = holders(box, COMPUTED, seen[1], time=when)
    if logged:  # the end of the block is that of what lived in it
        assert [row["kind"] for row in rows] == ["block", "mapping"]
        assert {row["user"] for row in rows} == {"user00003"}
        assert {row["id"] for row in rows} == {session.acct_session_id}
        assert {row["ended"] for row in rows} == {"released"}
        assert from_file(box, COMPUTED, seen[1], when) == rows
        return
    (row,) = rows
    assert (row["kind"], row["inner"], row["user"]) == ("deterministic", INNER, None)
    assert row["port_first"] <= seen[1] <= row["port_last"]
    assert row["session"] is None
    assert holders(box, COMPUTED, 80, time=when) == []
    assert holders(box, "198.51.100.8", seen[1], time=when) == []
