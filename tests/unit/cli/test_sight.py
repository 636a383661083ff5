"""bngctl show runtime, errors, interfaces; measure, explain; and traces as they are printed."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bng.cli import rates
from bng.cli.pcapng import Writer
from bng.cli.trace import Packets, capture, comment, show
from tests.node import lab
from tests.support import tshark
from tests.support.managed_box import Managed
from tests.unit.cli.conftest import Ctl

HZ = 1_000_000_000
FRAME = bytes.fromhex("02005e00000002c0000000010800") + bytes(46)


def step(node: str, tsc: int, **known: Any) -> dict[str, Any]:
    """Return a step as ``trace read`` has it."""
    empty = dict.fromkeys(
        ("reason", "vlan", "session", "user", "flow", "ttl", "features", "route", "cause", "to")
    )
    flags = {"first": False, "last": False, "injected": False}
    where = {"packet": 1, "worker": 0, "port": "acc0", "len": 60, "wall_ns": 10**18, "next": "x"}
    return {"node": node, "tsc": tsc, **where, **empty, **flags, **known}


def up(packet: int = 1) -> list[dict[str, Any]]:
    """Return the steps of a packet through NAT."""
    session = {"session": 4, "user": "alice"}
    inside = {"flow": "udp 100.64.0.1:4000 > 192.0.2.1:53", "ttl": 64}
    outside = {"flow": "udp 198.51.100.1:999 > 192.0.2.1:53", "ttl": 64}
    frame = {"bytes": FRAME.hex(), "bytes_of": 60}
    steps = [
        step("ethernet_input", 1000, first=True, vlan="100.7", **frame),
        step("pppoe_input", 1200, features=["antispoof4", "nat44"], len=40, **session, **inside),
        step("nat44_in2out", 1500, len=40, **session, **outside),
        step("ip4_lookup", 1510, len=40, route="0.0.0.0/0 neighbour wan0", **session, **outside),
        step("port_output", 1600, last=True, to="wan0", **frame, **session, **outside),
    ]
    return [{**s, "packet": packet} for s in steps]


def dropped(packet: int = 2) -> list[dict[str, Any]]:
    """Return the steps of a packet that antispoof refused."""
    frame = {"bytes": FRAME.hex(), "bytes_of": 1400}
    steps = [
        step("ethernet_input", 2000, first=True, **frame),
        step("antispoof4", 2100, reason="source-spoofed", user="b\x1b[2J", session=5),
        step("drop", 2200, last=True, bytes="45", bytes_of=40),
    ]
    return [{**s, "packet": packet} for s in steps]


def test_a_packet_is_shown_node_by_node_with_clocks_and_what_is_new() -> None:
    out = io.StringIO()
    show(3, up(), out)
    assert out.getvalue().splitlines() == [
        "packet 3: in acc0 vlan 100.7, worker 0: out wan0",
        "         0  ethernet_input    len 60",
        "       200  pppoe_input       session 4 alice, udp 100.64.0.1:4000 > 192.0.2.1:53, "
        "ttl 64, len 40, then antispoof4 nat44",
        "       300  nat44_in2out      udp 198.51.100.1:999 > 192.0.2.1:53",
        "        10  ip4_lookup        route 0.0.0.0/0 neighbour wan0",
        "        90  port_output       len 60, to wan0",
    ]


def test_a_drop_is_said_first_and_names_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    show(1, dropped(), out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "packet 1: in acc0, worker 0: dropped by antispoof4: source-spoofed"
    assert lines[2].endswith("session 5 b\\x1b[2J, dropped: source-spoofed")


def test_a_packet_is_complete_with_its_last_step_whoever_took_it() -> None:
    packets = Packets()
    first, second = up(1), dropped(2)
    assert packets.add([*second[:2], *first[2:4]]) == []
    assert len(packets) == 2
    assert packets.add([first[4], *first[:2]]) == [first]
    assert packets.rest() == [second[:2]]
    assert len(packets) == 0


def test_a_comment_has_path_translation_route_and_fate() -> None:
    assert comment(up()) == (
        "ethernet_input > pppoe_input > nat44_in2out > ip4_lookup > port_output; session 4 alice; "
        "udp 100.64.0.1:4000 > 192.0.2.1:53 became udp 198.51.100.1:999 > 192.0.2.1:53; "
        "route 0.0.0.0/0 neighbour wan0; out wan0"
    )


def test_tshark_reads_the_frames_their_times_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    with path.open("wb") as file:
        writer = Writer(file)
        for steps in (up(), dropped()):
            capture(steps, writer, HZ)
    rows = tshark.fields(
        path,
        "frame",
        "frame.interface_name",
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "frame.packet_flags_direction",
        "frame.comment",
    )
    assert rows == [
        ["acc0", "1000000000.000000000", "60", "60", "0x00000001", comment(up())],
        ["wan0", "1000000000.000000600", "60", "60", "0x00000002", comment(up())],
        ["acc0", "1000000000.000000000", "1400", "60", "0x00000001", comment(dropped())],
    ]


def test_rates_are_what_happened_in_between() -> None:
    worker = {"worker": 0, "loops": 100, "idle_loops": 50, "rx_packets": 1000, "busy_clocks": 0}
    node = {"worker": 0, "node": "drop", "calls": 10, "packets": 100, "clocks": 0}
    before = {"monotonic_s": 10.0, "tsc_hz": 1000, "workers": [worker], "nodes": [node]}
    later = {"loops": 300, "idle_loops": 200, "rx_packets": 1500, "busy_clocks": 500}
    after = {
        "monotonic_s": 12.0,
        "tsc_hz": 1000,
        "workers": [{**worker, **later}],
        "nodes": [
            {**node, "calls": 20, "packets": 300, "clocks": 4000},
            {**node, "node": "punt", "calls": 1, "packets": 2},
        ],
    }
    seen = rates.runtime(before, after)
    assert seen["workers"] == [
        {"worker": 0, "loops": 200, "idle_loops": 200, "idle_percent": 75.0}
        | {"rx_packets": 1500, "rx_pps": 250.0, "busy_clocks": 500, "busy_percent": 25.0}
    ]
    assert seen["nodes"] == [
        {"worker": 0, "node": "drop", "calls": 10, "packets": 200, "per_call": 20.0}
        | {"clocks_per_packet": 20.0, "pps": 100.0},
        {"worker": 0, "node": "punt", "calls": 1, "packets": 2, "per_call": 2.0}
        | {"clocks_per_packet": None, "pps": 1.0},
    ]
    assert rates.runtime(before, before)["nodes"] == [
        {"worker": 0, "node": "drop", "calls": 10, "packets": 100, "per_call": 10.0}
        | {"clocks_per_packet": None, "pps": None}
    ]


def test_errors_that_are_new_count_from_nothing() -> None:
    old = {"where": "drop", "reason": "why", "count": 3}
    new = {"where": "punt", "reason": "full", "count": 8}
    rows = rates.errors(
        {"monotonic_s": 1.0, "errors": [old]}, {"monotonic_s": 3.0, "errors": [old, new]}
    )
    assert rows == [{**old, "per_s": 0.0}, {**new, "per_s": 4.0}]


def test_ports_have_packets_and_bits_a_second() -> None:
    row = {"port": "acc0", "rx_packets": 10, "rx_bytes": 1000, "tx_packets": 0, "tx_bytes": 0}
    (seen,) = rates.ports([row], [{**row, "rx_packets": 30, "rx_bytes": 3000}], 2.0)
    names = ("rx_pps", "rx_bps", "tx_pps", "tx_bps")
    assert [seen[name] for name in names] == [10.0, 8000.0, 0.0, 0.0]


def test_runtime_has_a_table_of_workers_and_one_of_nodes(ctl: Ctl) -> None:
    run = ctl("show", "runtime", "--interval", "0")
    workers, nodes = run.out.split("\n\n")
    assert workers.split()[:3] == ["worker", "cpu", "sleeping"]
    assert nodes.splitlines()[0].split()[:2] == ["worker", "node"]
    assert any(line.split()[1] == "punt" for line in nodes.splitlines()[1:])
    as_json = json.loads(ctl("show", "runtime", "--interval", "0.01", "--json").out)
    assert as_json["nodes"] == []  # nothing moved meanwhile


def test_errors_and_interfaces_are_tables(ctl: Ctl) -> None:
    errors = ctl("show", "errors", "--interval", "0").out
    assert errors.splitlines()[0].split() == ["where", "reason", "count", "per_s"]
    ports = ctl("show", "interfaces", "--interval", "0.01").out.splitlines()
    assert ports[0].split()[:2] == ["port", "up"]
    assert [line.split()[0] for line in ports[1:]] == ["acc0", "wan0", "bng-wan0"]


def test_measure_wants_on_or_off(ctl: Ctl) -> None:
    assert ctl("measure", "on").out == "measuring: on, 1 workers\n"
    assert ctl("measure", "off").out == "measuring: off, 1 workers\n"
    assert ctl("measure", "maybe") == (1, "", "bngctl: measure: on or off\n")


def test_explain_begins_with_the_verdict(ctl: Ctl) -> None:
    run = ctl("explain", "100.64.0.10", "--from", "user00002")
    verdict, *rest = run.out.splitlines()
    assert verdict == "verdict: to session 0 of user00001 on acc0, up to 1492 bytes"
    titles = [line for line in rest if not line.startswith(" ")]
    assert titles == ["from", "session"]
    answer = json.loads(ctl("explain", "100.64.0.10", "--json").out)
    assert answer["session"]["user"] == "user00001"


def test_a_route_is_shown_as_it_is_explained(ctl: Ctl) -> None:
    for words in (["8.8.8.8"], ["100.64.0.10", "--json"]):
        assert ctl("show", "route", *words) == ctl("explain", *words)


def test_neighbours_and_protocols_of_a_routed_port_are_tables(ctl: Ctl) -> None:
    assert ctl("show", "neighbors").out.split() == ["port", "address", "mac", "unused_s"]
    assert ctl("show", "control").out.split()[:5] == [
        *("port", "class", "received", "dropped", "sent")
    ]
    rows = json.loads(ctl("show", "control", "--port", "wan0", "--json").out)
    assert {row["class"] for row in rows} >= {"ospf", "bgp", "bfd", "isis"}
    refused = ctl("show", "neighbors", "--port", "acc0")
    assert refused == (1, "", "bngctl: port: no routed port 'acc0'\n")


@contextmanager
def turning(served: Managed) -> Iterator[None]:
    """Let the dataplane run meanwhile, and a packet of user00001 come in again and again."""
    loop = served.runner.get_loop()
    memory = served.memory
    client = memory._by_mac[bytes.fromhex("02b000000001")]
    frame = ping_of(client_session(served), client.mac)
    over = threading.Event()

    def turn() -> None:
        memory.embedded.receive(0, frame)
        memory.turn()
        if not over.is_set():
            loop.call_later(0.02, turn)

    loop.call_soon_threadsafe(turn)
    try:
        yield
    finally:
        over.set()


def client_session(served: Managed) -> int:
    """Return the PPPoE session id of user00001."""
    return int(served.memory.dataplane.session_cold[0].session_id)


def ping_of(session_id: int, mac: bytes) -> bytes:
    """Return an echo request to the gateway."""
    packet = lab.ping("100.64.0.10", "100.64.0.1")
    return lab.session_frame(packet, session_id=session_id, source=mac)


@pytest.mark.parametrize("as_json", [False, True])
def test_trace_prints_as_many_packets_as_asked_for_and_writes_them(
    ctl: Ctl, served: Managed, tmp_path: Path, as_json: bool
) -> None:
    path = tmp_path / "t.pcapng"
    words = ["trace", "--user", "user00001", "--count", "2", "--timeout", "20"]
    words += ["--pcapng", str(path), *(["--json"] if as_json else [])]
    with turning(served):
        run = ctl(*words)
    assert (run.status, run.err) == (0, "2 packets, 0 records lost\n")
    if as_json:
        packets = [json.loads(line) for line in run.out.splitlines()]
        assert [packet["fate"] for packet in packets] == ["out acc0"] * 2
        assert packets[0]["steps"][0]["node"] == "ethernet_input"
    else:
        heads = [line for line in run.out.splitlines() if not line.startswith(" ")]
        assert heads == [f"packet {n}: in acc0, worker 0: out acc0" for n in (1, 2)]
        assert "session 0 user00001" in run.out
    comments = tshark.fields(path, "icmp", "icmp.type", "frame.comment")
    assert [row[0] for row in comments] == ["8", "0"] * 2
    assert all("ip4_local" in row[1] for row in comments)


def test_trace_ends_with_its_time(ctl: Ctl, served: Managed) -> None:
    with turning(served):
        run = ctl("trace", "--address", "203.0.113.0/24", "--timeout", "1", "--json")
    assert (run.status, run.out, run.err) == (0, "", "0 packets, 0 records lost\n")


def test_trace_says_when_the_file_cannot_be_written(ctl: Ctl, tmp_path: Path) -> None:
    run = ctl("trace", "--pcapng", str(tmp_path / "no" / "file"))
    assert run.status == 2
    assert "No such file" in run.err
