"""What the box says of its own work: runtime, errors, traces, where an address leads."""

from ipaddress import ip_address
from typing import Any

import pytest

from bng.io import tracer as tracer_module
from bng.session.model import Cause
from dataplane.binding import ffi, lib
from tests.node import lab
from tests.node.harness import ACC
from tests.support.managed_box import Managed

GATEWAY = "100.64.0.1"
ADDRESS = "100.64.0.10"
PUBLIC = "198.51.100.0"
TO_GATEWAY = ["ethernet_input", "pppoe_input", "antispoof4", "mss_clamp_in", "nat44_in2out"]
TO_GATEWAY += ["ip4_lookup", "ip4_local", "ip4_lookup", "nat44_out2in", "session_output"]
TO_GATEWAY += ["mss_clamp_out", "pppoe_output", "port_output"]

FEATURES = ["antispoof4", "antispoof6", "mss_clamp", "nat44", "ip6"]


@pytest.fixture
def box(dialled: Managed) -> Managed:
    return dialled


def data(answer: dict[str, Any]) -> Any:
    assert answer["ok"] is True, answer
    return answer["data"]


def client_frame(box: Managed, packet: bytes, index: int = 0) -> bytes:
    """Return a frame of a client's session, with its tags."""
    cold = box.memory.dataplane.session_cold[index]
    tags = ((cold.outer_tpid, 100), (cold.inner_tpid, 7)) if index else ()
    return lab.session_frame(
        packet, session_id=int(cold.session_id), source=bytes(cold.mac), tags=tags
    )


def ping(box: Managed, index: int = 0, source: str = ADDRESS) -> None:
    box.memory.embedded.receive(ACC, client_frame(box, lab.ping(source, GATEWAY), index))


def start(box: Managed, **args: str) -> int:
    number = data(box.ask("trace start", **args))["number"]
    box.memory.turn()
    return int(number)


def read(box: Managed, number: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the steps and the status."""
    *steps, last = data(box.ask("trace read", number=str(number)))
    box.memory.turn()
    return steps, last["status"]


def test_runtime_counts_what_each_node_did(box: Managed) -> None:
    before = {row["node"]: row for row in data(box.ask("show runtime"))["nodes"]}
    ping(box)
    after = {row["node"]: row for row in data(box.ask("show runtime", worker="0"))["nodes"]}
    moved = {
        name: after[name]["packets"] - before.get(name, {"packets": 0})["packets"] for name in after
    }
    assert {name: n for name, n in moved.items() if n} == {
        name: TO_GATEWAY.count(name) for name in TO_GATEWAY
    }
    assert after["ip4_local"] == {
        **{"worker": 0, "node": "ip4_local", "calls": 1, "packets": 1, "clocks": 0}
    }


def test_clocks_are_counted_while_measuring_is_on(box: Managed) -> None:
    assert data(box.ask("measure", state="on")) == {"workers": 1}
    box.memory.turn()
    ping(box)
    on = data(box.ask("show runtime"))
    assert on["workers"][0]["measuring"] is True
    clocks = {row["node"]: row["clocks"] for row in on["nodes"]}
    assert clocks["ip4_local"] > 0
    assert data(box.ask("measure", state="off")) == {"workers": 1}
    box.memory.turn()
    ping(box)
    off = data(box.ask("show runtime"))
    assert off["workers"][0]["measuring"] is False
    assert clocks == {row["node"]: row["clocks"] for row in off["nodes"]}


def test_errors_say_where_and_why(box: Managed) -> None:
    assert data(box.ask("show errors"))["errors"] == []
    ping(box, source="203.0.113.9")
    assert data(box.ask("show errors"))["errors"] == [
        {"where": "antispoof4", "reason": "source-spoofed", "count": 1}
    ]


def test_frames_lost_before_the_dataplane_saw_them_are_told_apart(box: Managed) -> None:
    port = box.memory.dataplane.ports[0]
    name = f"port {ffi.string(port.name).decode()}"
    port.rx_errors, port.tx[0].rx_lost, port.tx[0].control_lost = 6, 3, 2
    found = {row["reason"]: row["count"] for row in data(box.ask("show errors"))["errors"]}
    assert found == {"receive-error": 1, "ring-full": 3, "control-ring-full": 2}
    ports = data(box.ask("show ports"))
    assert [row["rx_lost"] for row in ports if f"port {row['port']}" == name] == [3]


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("show runtime", {"worker": "1"}, "worker: a whole number, 0 to 0"),
        ("measure", {}, "measure: on or off"),
        ("measure", {"state": "ON"}, "measure: on or off"),
        ("trace start", {"count": "0"}, "count: a whole number, 1 to 10000"),
        ("trace start", {"count": "²"}, "count: a whole number, 1 to 10000"),
        ("trace start", {"timeout_s": "601"}, "timeout_s: a whole number, 1 to 600"),
        ("trace start", {"session": "nobody"}, "no session 'nobody'"),
        ("trace start", {"port": "acc9"}, "port: no port 'acc9'"),
        (
            "trace start",
            {"address": "1.2.3.4/33"},
            "address: not an IP address or prefix: '1.2.3.4/33'",
        ),
        (
            "trace start",
            {"protocol": "ip"},
            "protocol: icmp, tcp, udp, gre, esp, icmpv6, or 1 to 255",
        ),
        ("trace start", {"l4_port": "65536"}, "l4_port: a whole number, 0 to 65535"),
        ("trace read", {"number": "1"}, "trace: there is no such trace any more"),
        ("trace stop", {"number": "1"}, "trace: there is no such trace any more"),
        ("explain", {}, "address: not an IP address: None"),
        ("explain", {"address": "2001:db8::g"}, "address: not an IP address: '2001:db8::g'"),
        ("explain", {"address": "192.0.2.1", "from": "nobody"}, "no session 'nobody'"),
        ("explain", {"address": "198.51.100.0", "port": "-1"}, "port: a whole number, 0 to 65535"),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(
    still: Managed, name: str, args: dict[str, str], error: str
) -> None:
    assert still.ask(name, **args) == {"ok": False, "error": error}


def test_a_trace_names_nodes_session_flow_and_route(box: Managed) -> None:
    number = start(box, session="user00001")
    ping(box)
    ping(box, index=1, source="100.64.0.11")
    steps, status = read(box, number)
    assert status == {"on": True, "lost": 0}
    assert [step["node"] for step in steps] == TO_GATEWAY
    assert [(s["first"], s["last"]) for s in steps[:: len(steps) - 1]] == [
        (True, False),
        (False, True),
    ]
    assert {step["user"] for step in steps[1:6]} == {"user00001"}
    by_node = {step["node"]: step for step in steps}
    assert steps[2]["flow"] == f"icmp 8/0 id 9 {ADDRESS} > {GATEWAY}"
    assert steps[1]["features"] == ["antispoof4", "mss_clamp", "nat44"]
    routes = [step["route"] for step in steps if step["route"]]
    assert routes == [f"{GATEWAY}/32 gateway {GATEWAY}", f"{PUBLIC}/32 nat-pool {PUBLIC}"]
    assert by_node["port_output"]["to"] == "acc0"
    assert by_node["nat44_out2in"]["flow"].endswith(f"{GATEWAY} > {ADDRESS}")
    assert bytes.fromhex(steps[0]["bytes"])[:6] == lab.BOX


def test_a_trace_shows_vlans_and_why_a_packet_was_dropped(box: Managed) -> None:
    number = start(box, port="acc0")
    ping(box, index=1, source="203.0.113.9")
    steps, _ = read(box, number)
    spoofed = next(step for step in steps if step["reason"])
    assert (spoofed["node"], spoofed["reason"]) == ("antispoof4", "source-spoofed")
    assert (spoofed["vlan"], spoofed["next"]) == ("100.7", "drop")
    assert steps[-1]["node"] == "drop"


def test_a_punted_packet_says_what_for(box: Managed) -> None:
    number = start(box, session="user00001")
    frame = client_frame(box, b"")[:14] + lab.pppoe(
        b"\x01\x09\x00\x04",
        0x8021,
        session_id=int(box.memory.dataplane.session_cold[0].session_id),
    )
    box.memory.embedded.receive(ACC, frame)
    steps, _ = read(box, number)
    assert [(step["next"], step["cause"]) for step in steps[1:]] == [
        ("punt", "ncp"),
        ("consumed", None),
    ]


def test_there_is_one_trace_until_it_is_stopped(box: Managed) -> None:
    number = start(box)
    refused = box.ask("trace start")
    assert refused == {
        "ok": False,
        "error": "trace: there is a trace already; it ends with its reader",
    }
    assert box.ask("trace stop", number=str(number)) == {"ok": True, "data": {}}
    box.memory.turn()
    ping(box)
    second = start(box)
    assert second != number
    assert read(box, second) == ([], {"on": True, "lost": 0})
    assert box.ask("trace read", number=str(number))["ok"] is False


def test_a_trace_that_nobody_reads_ends_in_the_dataplane(box: Managed) -> None:
    number = start(box)
    assert int(box.memory.dataplane.workers[0].tracing) == number
    box.memory.run(tracer_module.LEASE_S - 1)
    read(box, number)
    box.memory.run(tracer_module.LEASE_S - 1)
    ping(box)
    assert len(read(box, number)[0]) == len(TO_GATEWAY)
    box.memory.run(tracer_module.LEASE_S + 0.1)
    ping(box)
    assert int(box.memory.dataplane.workers[0].tracing) == 0


def test_a_trace_ends_with_its_session_and_says_so(box: Managed) -> None:
    number = start(box, session="user00001")
    (session,) = [s for s in box.box.manager.table if s.user_name == "user00001"]
    box.box.manager.end(session, Cause.ADMIN_RESET, "test", box.memory.now)
    box.memory.run(5.0)
    box.memory.dial(box.memory.subscriber(3))
    ping(box, index=1, source="100.64.0.11")
    steps, status = read(box, number)
    ours = {step["packet"] for step in steps if step["injected"]}  # our last words to it
    assert {step["packet"] for step in steps} == ours
    assert not status["on"]


def test_explain_finds_the_session_of_an_address(box: Managed) -> None:
    answer = data(box.ask("explain", address=ADDRESS))
    assert answer["route"] == f"{ADDRESS}/32 session 0 user00001"
    assert answer["verdict"] == "to session 0 of user00001 on acc0, up to 1492 bytes"
    assert answer["session"]["mac"] == "02:b0:00:00:00:01"
    assert answer["session"]["features_in"] == FEATURES
    box.memory.dataplane.session_out[0].state = lib.SESSION_PAUSED
    paused = data(box.ask("explain", address=ADDRESS))["verdict"]
    assert paused == "dropped: session 0 of user00001 is paused"


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("NEIGHBOUR", "to neighbour 02:00:00:00:01:01 on wan0, up to 1500 bytes"),
        ("GLEAN", "dropped for now: the kernel is asked for the neighbour"),
        ("BLACKHOLE", "dropped: blackhole"),
        ("PROHIBIT", "dropped with ICMP 3/13 to the sender"),
        ("FREE", "dropped: the adjacency is free"),
        ("GROUP", "by its flow to one of: 192.0.2.2 on wan0, which is asked for; blackhole"),
        ("NEXTHOP", "to 192.0.2.2 on wan0, which is asked for"),
    ],
)
def test_explain_says_what_an_adjacency_does(box: Managed, kind: str, verdict: str) -> None:
    embedded = box.memory.embedded
    number = embedded.header.max_adjacencies - 1
    lab.route16(embedded, "203.0", lib.LEAF_ADJACENCY, 16 << 22 | number)
    entry = lab.adjacency(embedded, "203.0")
    entry.kind = getattr(lib, f"ADJ_{kind}")
    entry.port = box.box.ports["wan0"]
    entry.mtu = 1500
    entry.rewrite[0:6] = list(lab.NEIGHBOUR)
    hop, nowhere = (box.memory.dataplane.adjacencies[number - n] for n in (2, 1))
    nowhere.kind = lib.ADJ_BLACKHOLE
    hop.kind, hop.port = lib.ADJ_GLEAN, entry.port
    hop.address = int.from_bytes(ip_address("192.0.2.2").packed, "little")
    if kind == "GROUP":
        entry.member = [number - 2] * 12 + [number - 1] * 4
    if kind == "NEXTHOP":
        entry.member = [number - 2] * 16
    answer = data(box.ask("explain", address="203.0.113.7", **{"from": "user00002"}))
    assert answer["route"].startswith("203.0.0.0/16 ")
    assert answer["verdict"] == verdict
    assert answer["from"]["user"] == "user00002"
    if kind == "GROUP":
        assert [hop["slots"] for hop in answer["adjacency"]["next_hops"]] == [12, 4]


def test_explain_says_that_there_is_no_route(box: Managed) -> None:
    answer = data(box.ask("explain", address="8.8.8.8"))
    assert answer["route"] == "no route"
    assert answer["verdict"] == "no route: dropped with ICMP 3/0 to the sender"


def test_explain_tells_whose_a_public_port_is(box: Managed) -> None:
    udp = lab.udp(ADDRESS, "192.0.2.77")
    box.memory.embedded.receive(ACC, client_frame(box, udp))
    (session,) = [s for s in box.box.manager.table if s.user_name == "user00001"]
    public = box.box.manager.nat.text(session.nat_place)
    address = session.nat_place.address if session.nat_place else -1
    ports = [
        port
        for port in range(1024, 65536)
        if box.memory.dataplane.nat_slot[
            (address * lib.NAT_PLANES + lib.NAT_UDP) << 16 | port
        ].flags
    ]
    answer = data(box.ask("explain", address=public, port=str(ports[0])))
    assert answer["nat"]["udp"] == {
        **{"inner_port": 4000, "remote": "192.0.2.77", "remote_port": 53}
    }
    assert answer["session"]["user"] == "user00001"
    assert answer["verdict"].startswith("to session 0 of user00001")
    none = data(box.ask("explain", address=public, port=str(ports[0]), protocol="tcp"))
    assert none["verdict"] == f"dropped: user00001 has the block, but no mapping of port {ports[0]}"
    nobody = data(box.ask("explain", address=public, port="80"))
    assert nobody["verdict"] == "dropped: port 80 belongs to nobody"
    slot = box.memory.dataplane.nat_slot[(address * lib.NAT_PLANES + lib.NAT_UDP) << 16 | ports[0]]
    slot.flags |= lib.NAT_MULTI  # then the remote is an index
    both = data(box.ask("explain", address=public, port=str(ports[0]), protocol="udp"))
    assert both["nat"]["udp"] == {"inner_port": 4000, "several_remotes": True}
