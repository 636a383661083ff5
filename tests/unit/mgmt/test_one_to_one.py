"""One-to-one NAT as an operator has it: by profile, by user, on and off while sessions live."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP

from bng.aaa.requests import AccountStatus
from bng.session.model import Cause, Session
from dataplane.binding import NatLogType, Ring, lib
from dataplane.natlog import NatLogReader
from tests.node import lab
from tests.node.harness import ACC, WAN
from tests.support.managed_box import Managed, managed_box

NAT: dict[str, Any] = {
    "pool": [
        {"name": "public", "addresses": ["198.51.100.0/29"]},
        {"name": "own", "mode": "one-to-one", "addresses": ["203.0.113.0/30"]},
    ],
    "profile": {"own": {"translate": True, "pool": "own"}, "never": {"translate": False}},
}
SERVER = "192.0.2.9"
ETHERNET_PPPOE = 14 + 8
STATIC_IN, STATIC_OUT, NAT44 = 1 << 10, 1 << 1, 1 << 9


def lead_to_server(managed: Managed) -> None:
    """Make a route to the server's network; reloads see the time of the test."""
    managed.box.loop.now = lambda: managed.memory.now  # type: ignore[method-assign]
    last = managed.memory.dataplane.header.max_adjacencies - 1
    lab.route16(managed.memory.embedded, "192.0", lib.LEAF_ADJACENCY, last)
    entry = lab.adjacency(managed.memory.embedded, "192.0")
    entry.kind, entry.port, entry.mtu = lib.ADJ_NEIGHBOUR, WAN, 1500


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    """Yield a box with a one-to-one pool of four addresses and a route to the server."""
    with managed_box(tmp_path, nat=NAT) as (_, managed):
        lead_to_server(managed)
        yield managed


def user(**attributes: Any) -> dict[str, Any]:
    return {"password": "secret", **attributes}


OWN = user(nat_profile="own")


def reload(box: Managed, **users: Any) -> dict[str, Any]:
    box.write_users(**users)
    answer = box.ask("reload")
    assert answer["ok"] is True, answer
    box.memory.turn()
    data = {k.removeprefix("sessions_"): v for k, v in answer["data"].items()}
    return {k: data[k] for k in ("changed", "need_redial") if data.get(k)}


def dial(box: Managed, *numbers: int) -> None:
    box.memory.dial(*(box.memory.subscriber(n) for n in numbers))


def show(box: Managed, number: int = 1) -> dict[str, Any]:
    data: dict[str, Any] = box.ask("show session", session=f"user{number:05d}")["data"]
    return data


def session_of(box: Managed, number: int = 1) -> Session:
    (found,) = (s for s in box.memory.manager.table if s.user_name == f"user{number:05d}")
    return found


def source_seen(box: Managed, number: int = 1) -> str:
    """Return what the server sees as source of the subscriber's packet."""
    session = session_of(box, number)
    packet = lab.udp(str(session.ipv4_address), SERVER)
    pppoe_id = int(box.memory.dataplane.session_cold[session.index].session_id)
    frame = lab.session_frame(packet, session_id=pppoe_id, source=bytes(session.mac))
    box.memory.embedded.receive(ACC, frame)
    (sent,) = box.memory.embedded.sent(WAN)
    return str(IP(sent[14:]).src)


def delivered(box: Managed, address: str) -> list[str]:
    """Send from outside to *address*; return the destinations of what subscribers got."""
    frame = lab.routed_frame(bytes(IP(src=SERVER, dst=address) / UDP()))
    box.memory.embedded.receive(WAN, frame)
    return [str(IP(sent[ETHERNET_PPPOE:]).dst) for sent in box.memory.embedded.sent(ACC)]


def log(box: Managed) -> list[tuple[int, bytes]]:
    reader = NatLogReader(box.memory.dataplane, 0, 0)
    records = []
    while (batch := reader.read()).n:
        records += [batch.other] if batch.other else []
    return [(r.type, r.outer) for r in records if r.type >= NatLogType.STATIC_ADDED]


def test_a_profile_gives_the_next_free_address_of_its_pool(box: Managed) -> None:
    reload(box, user00001=OWN, user00002=OWN)
    dial(box, 1, 2)
    data = [show(box, n) for n in (1, 2)]
    assert [(d["nat"], d["nat_address"]) for d in data] == [
        ("one-to-one", "203.0.113.0"),
        ("one-to-one", "203.0.113.1"),
    ]
    assert "203.0.113.0/32" in data[0]["routes"]
    assert source_seen(box) == "203.0.113.0"
    assert delivered(box, "203.0.113.1") == [data[1]["address"]]
    assert delivered(box, "203.0.113.2") == []
    assert box.memory.tables()["nat_blocks"] == 0


def test_a_user_has_the_address_he_is_given_and_nobody_else_gets_it(box: Managed) -> None:
    reload(box, user00001=user(nat_address="203.0.113.0"), user00002=OWN)
    dial(box, 2, 1)
    assert show(box, 2)["nat_address"] == "203.0.113.1"
    assert source_seen(box) == "203.0.113.0"
    assert box.memory.manager.table.count == 2


def test_an_address_outside_of_the_inside_is_translated_for_who_is_given_one(box: Managed) -> None:
    given = user(nat_address="203.0.113.0", ipv4_address="192.168.7.7")
    reload(box, user00001=given)
    dial(box, 1)
    assert source_seen(box) == "203.0.113.0"


def test_when_all_are_taken_the_next_is_told_why_in_the_log(box: Managed) -> None:
    reload(box, **{f"user{n:05d}": OWN for n in range(1, 6)})
    dial(box, 1, 2, 3, 4)
    box.memory.dial(box.memory.subscriber(5), seconds=1.0)
    assert box.memory.manager.table.count == 4
    assert box.memory.manager.counters["install_failed"] == 1
    end(box, 2)
    dial(box, 5)
    assert show(box, 5)["nat_address"] == "203.0.113.1"


def end(box: Managed, number: int) -> None:
    memory = box.memory
    memory.manager.end(session_of(box, number), Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)


def test_an_address_that_another_session_has_is_not_given_twice(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1)
    reload(box, user00001=OWN, user00002=user(nat_address="203.0.113.0"))
    box.memory.dial(box.memory.subscriber(2), seconds=1.0)
    assert box.memory.manager.table.count == 1
    assert box.memory.manager.counters["install_failed"] == 1


def test_it_goes_off_live_with_the_user_and_with_the_profile(box: Managed) -> None:
    reload(box, user00001=OWN, user00002=OWN)
    dial(box, 1, 2)
    inner = [show(box, n)["address"] for n in (1, 2)]
    none = user(nat_profile="none")
    assert reload(box, user00001=none, user00002=OWN) == {"changed": 1}
    assert (show(box)["nat"], show(box)["nat_address"]) == ("none", None)
    assert source_seen(box) == inner[0]
    assert delivered(box, "203.0.113.0") == []
    assert delivered(box, inner[0]) == [inner[0]]
    off = {**NAT, "profile": {**NAT["profile"], "own": {"translate": False}}}
    box.write(nat=off)
    assert reload(box, user00001=none, user00002=OWN) == {"changed": 1}
    assert source_seen(box, 2) == inner[1]
    assert box.memory.tables()["public_addresses"] == 0
    box.write(nat=NAT)
    assert reload(box, user00001=OWN, user00002=OWN) == {"changed": 2}
    assert {show(box, n)["nat_address"] for n in (1, 2)} == {"203.0.113.2", "203.0.113.3"}
    assert delivered(box, show(box, 2)["nat_address"]) == [inner[1]]


def test_another_address_is_taken_live(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1)
    assert reload(box, user00001=user(nat_address="203.0.113.3")) == {"changed": 1}
    assert source_seen(box) == "203.0.113.3"
    assert delivered(box, "203.0.113.0") == []
    assert delivered(box, "203.0.113.3") == [show(box)["address"]]
    assert show(box)["profile"]["nat_address"] == "203.0.113.3"
    record = box.memory.dataplane.read_control(session_of(box).index)
    assert record is not None
    assert json.loads(record[1])["routes"][1:] == ["203.0.113.3/32"]
    assert reload(box, user00001=user(nat_address="203.0.113.3")) == {}


def test_from_port_blocks_to_an_own_address_live_and_back_with_the_next_dial(box: Managed) -> None:
    dial(box, 1)
    assert (show(box)["nat"], box.memory.tables()["nat_blocks"]) == ("port-blocks", 1)
    assert reload(box, user00001=OWN) == {"changed": 1}
    assert source_seen(box) == "203.0.113.0"
    assert (box.memory.tables()["nat_blocks"], box.memory.tables()["nat_sessions"]) == (0, 0)
    assert show(box)["features_in"] & (NAT44 | STATIC_IN) == STATIC_IN
    assert reload(box) == {"need_redial": {"nat_profile": 1}}
    assert source_seen(box) == "203.0.113.0"


def test_accounting_is_told_at_once_when_the_address_changes(tmp_path: Path) -> None:
    server = {"name": "aaa", "address": "127.0.0.1", "secret": "s", "roles": ["accounting"]}
    accounting = {"interim_interval_s": 0, "start_delay_s": 0, "spool": str(tmp_path / "spool")}
    radius = {"server": [server], "accounting": accounting}
    with managed_box(tmp_path, nat=NAT, radius=radius) as (_, box):
        lead_to_server(box)
        told: list[tuple[AccountStatus, IPv4Address | None]] = []
        box.memory.executor.account = lambda a: told.append((a.status, a.session.nat_public))
        reload(box, user00001=OWN)
        dial(box, 1)
        box.memory.run(0.05)
        first, second = IPv4Address("203.0.113.0"), IPv4Address("203.0.113.3")
        start, interim = AccountStatus.START, AccountStatus.INTERIM
        assert told == [(start, first)], "IPv6 was up before"
        told.clear()
        reload(box, user00001=user(nat_address="203.0.113.3"))
        box.memory.run(0.05)
        assert told == [(interim, second)]
        reload(box, user00001=user(nat_address="203.0.113.3"))
        box.memory.run(5.0)
        assert len(told) == 1, "once, and there are no others without an interval"


def test_an_address_that_is_not_to_be_had_is_waited_for(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1, 2)
    wanted = user(nat_address="203.0.113.0")
    assert reload(box, user00001=OWN, user00002=wanted) == {"need_redial": {"nat_address": 1}}
    assert show(box, 2)["nat"] == "port-blocks"


def test_a_pause_keeps_the_address(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1)
    memory, session = box.memory, session_of(box)
    memory.manager.network_down(session, 4, memory.now)
    memory.turn()
    assert delivered(box, "203.0.113.0") == []
    memory.manager.network_up(session, 4, memory.now)
    memory.turn()
    assert source_seen(box) == "203.0.113.0"


def test_a_session_that_ends_leaves_nothing_but_the_log(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1)
    session = session_of(box)
    outer = bytes((203, 0, 113, 0))
    assert log(box) == [(NatLogType.STATIC_ADDED, outer)]
    end(box, 1)
    assert log(box)[1:] == [(NatLogType.STATIC_REMOVED, outer)]
    tables = box.memory.tables()
    assert (tables["public_addresses"], tables["arena_sessions"]) == (0, 0)
    assert box.memory.dataplane.session_cold[session.index].nat_public == 0
    assert delivered(box, "203.0.113.0") == []


def test_a_binding_that_cannot_be_logged_ends_the_session(box: Managed) -> None:
    reload(box, user00001=OWN)
    memory = box.memory
    ring = memory.dataplane.rings[Ring.NAT_LOG]
    ring.head += ring.size
    ring.tail = ring.head - ring.size + 96
    memory.dial(memory.subscriber(1), seconds=1.0)
    assert memory.manager.counters["translate_failed"] >= 1
    assert memory.manager.table.count == 0


def test_explain_says_whose_a_public_address_is(box: Managed) -> None:
    reload(box, user00001=OWN)
    dial(box, 1)
    answer = box.ask("explain", **{"address": "203.0.113.0", "from": "user00001"})["data"]
    assert answer["session"]["user"] == "user00001"
    assert answer["nat"] == {"mode": "one-to-one", "inner": show(box)["address"]}
    assert (answer["from"]["nat"], answer["from"]["nat_address"]) == ("one-to-one", "203.0.113.0")
    nobody = box.ask("explain", address="203.0.113.2")["data"]
    assert nobody["verdict"] == "dropped with ICMP 3/1 to the sender"
    assert "nat" not in box.ask("explain", address=show(box)["address"])["data"]
