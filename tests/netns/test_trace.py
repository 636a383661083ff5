"""bngctl trace, explain and show runtime while a subscriber's packets pass both processes.

PREFIX-sub                          PREFIX-bng                       PREFIX-inet
+--------------------------+    +-----------------------+    +-------------------+
| ppp0 (TUN) - client sub0 |----| acc0             wan0 |----| inet0 192.0.2.2   |
+--------------------------+    | TAP bng-wan0 192.0.2.1|    +-------------------+
 alice: 100.64.x.y, NAT         | gateway 100.64.0.1    |
                                +-----------------------+
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lab import SERVER, Lab, program
from tests.support.netns import command, run
from tests.support.tshark import fields

PINGS = 4


def spawn_trace(lab: Lab, *words: str) -> subprocess.Popen[str]:
    """Start ``bngctl trace``, as a terminal would; returns once the dataplane traces."""
    bngctl = [program("bngctl"), "--socket", str(lab.socket), "trace", *words]
    argv = ["env", "--default-signal=INT", *bngctl]  # a test run in the background ignores it
    process = subprocess.Popen(
        command(lab.bng, argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_trace(lab, on=True)
    return process


def is_tracing(lab: Lab) -> bool:
    workers = lab.ctl_json("show", "runtime", "--interval", "0")["workers"]
    return any(worker["tracing"] for worker in workers)


def wait_for_trace(lab: Lab, *, on: bool, timeout_s: float = 10) -> None:
    """Wait until the dataplane traces, or no longer."""
    end = time.monotonic() + timeout_s
    while is_tracing(lab) != on:
        assert time.monotonic() < end, f"tracing is {not on} after {timeout_s} s"
        time.sleep(0.05)


@contextmanager
def pinging(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """Ping the server meanwhile."""
    argv = ["ping", "-i", "0.2", SERVER]
    process = subprocess.Popen(command(lab.sub, argv), stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def test_a_trace_of_a_subscriber_opens_in_wireshark_with_its_paths(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "alice.pcapng"
    with lab.subscriber() as event:
        words = ["--user", "alice", "--protocol", "icmp", "--count", str(2 * PINGS), "--json"]
        trace = spawn_trace(lab, *words, "--pcapng", str(path))
        done = run(lab.sub, "ping", "-c", str(PINGS), "-i", "0.2", SERVER)
        assert f"{PINGS} received" in done.stdout
        out, err = trace.communicate(timeout=30)
        assert (trace.returncode, err) == (0, f"{2 * PINGS} packets, 0 records lost\n")
        fates = [json.loads(line)["fate"] for line in out.splitlines()]
        assert sorted(fates) == ["out acc0"] * PINGS + ["out wan0"] * PINGS
    names = ("frame.interface_name", "icmp.type", "ip.src", "ip.dst", "frame.comment")
    rows = fields(path, "icmp", *names)
    inner = event["address"]
    assert len(rows) == 4 * PINGS  # each one in and out
    for interface, kind, source, destination, comment in rows:
        assert interface in {"acc0", "wan0"}
        assert "session " in comment
        assert " became " in comment
        if (interface, kind) == ("acc0", "8"):
            assert (source, destination) == (inner, SERVER)
            assert "nat44_in2out > ip4_lookup > ip4_rewrite > port_output" in comment
        if (interface, kind) == ("wan0", "0"):
            assert source == SERVER
            assert destination != inner
            assert "ip4_lookup > nat44_out2in > session_output" in comment


def test_a_bngctl_that_is_killed_takes_its_trace_along(lab: Lab) -> None:
    with lab.subscriber(), pinging(lab):
        trace = spawn_trace(lab, "--count", "10000", "--timeout", "600")
        trace.send_signal(signal.SIGKILL)
        trace.communicate()
        assert is_tracing(lab)
        killed_at = time.monotonic()
        wait_for_trace(lab, on=False)
        assert time.monotonic() - killed_at < 6


def test_a_trace_is_ended_by_ctrl_c_at_once(lab: Lab) -> None:
    with lab.subscriber(), pinging(lab):
        trace = spawn_trace(lab, "--count", "10000", "--timeout", "600")
        time.sleep(1)
        trace.send_signal(signal.SIGINT)
        out, err = trace.communicate(timeout=10)
        assert (trace.returncode, "packet 1: in " in out) == (0, True)
        assert "0 records lost" in err
        wait_for_trace(lab, on=False, timeout_s=1)


def test_measuring_shows_clocks_and_explain_says_where_packets_go(lab: Lab) -> None:
    with lab.subscriber() as event, pinging(lab):
        lab.ctl("measure", "on")
        shown = lab.ctl_json("show", "runtime", "--interval", "1")
        clocks = {row["node"]: row["clocks_per_packet"] for row in shown["nodes"]}
        assert clocks["nat44_in2out"] > 0
        lab.ctl("measure", "off")
        (acc0,) = [
            row
            for row in lab.ctl_json("show", "interfaces", "--interval", "1")
            if row["port"] == "acc0"
        ]
        assert 2 <= acc0["rx_pps"] <= 20
        up = lab.ctl_json("explain", SERVER, "--from", "alice")
        assert up["adjacency"]["port"] == "wan0"
        assert up["verdict"].startswith("to neighbour ")
        down = lab.ctl_json("explain", event["address"])
        assert down["session"]["user"] == "alice"
