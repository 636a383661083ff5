"""Routes of a routing daemon: nexthop objects, limits, convergence without loss.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dataplane.binding import CommandType, route_record
from tests.support.pinger import pinging
from tests.support.router_lab import (
    HOST_A,
    HOST_B,
    WAN0,
    WAN1,
    Leaf,
    RouterLab,
    counted_packets,
    until,
)

NO_PORT = 0xFF
PORT_UP = 1
OBJECT = Leaf("nexthop", NO_PORT, "0.0.0.0", 16)
OBJECT24 = Leaf("nexthop", NO_PORT, "0.0.0.0", 24)
GROUP = Leaf("group", NO_PORT, "0.0.0.0", 16)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"ior{os.getpid()}", tmp_path) as lab:
        lab.start()
        yield lab


def is_up(lab: RouterLab, port: int) -> bool:
    return bool(lab.arena.ports[port].flags & PORT_UP)


# ---- nexthop objects ----

MANY = [f"11.{i >> 8}.{i & 255}.0/24" for i in range(10_000)]


def batch(lab: RouterLab, tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "batch"
    file.write_text("\n".join(lines) + "\n")
    lab.run("bng", "ip", "-batch", str(file))


def counts(lab: RouterLab) -> tuple[int, int]:
    """Writes to the FIB, and to groups and objects."""
    return int(lab.arena.mirror.fib_writes), int(lab.arena.mirror.repoints)


@pytest.mark.parametrize("compat", [0, 1])
def test_a_replaced_object_is_one_write_whatever_hangs_on_it(
    lab: RouterLab, tmp_path: Path, compat: int
) -> None:
    lab.run("bng", "sh", "-c", f"echo {compat} >/proc/sys/net/ipv4/nexthop_compat_mode")
    lab.meet()
    lab.ip("b", "addr add 11.39.15.2/32 dev lo")
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    batch(lab, tmp_path, [f"route add {prefix} nhid 1" for prefix in MANY])
    lab.waits_for("11.39.15.1", OBJECT24)
    lab.waits_for("11.0.0.1", OBJECT24)
    until(lambda: int(lab.arena.mirror.routes) > len(MANY), "all are there")
    time.sleep(0.3)  # counters are shared every 100 ms
    writes, repoints = counts(lab)
    dumps = int(lab.arena.mirror.dumps)
    lab.ip("bng", f"nexthop replace id 1 via {HOST_B} dev bng-wan1")
    until(lambda: set(lab.slots("11.0.0.1")) == {HOST_B}, "the object leads to b")
    until(lambda: set(lab.slots("11.39.15.1")) == {HOST_B}, "for all of its routes")
    time.sleep(1)  # for the route messages of compat mode
    assert counts(lab) == (writes, repoints + 1)
    assert int(lab.arena.mirror.dumps) == dumps
    assert lab.ping("a", "11.39.15.2")  # an address that b has and a has not


def test_a_link_that_goes_down_takes_its_objects_from_their_groups_at_once(
    lab: RouterLab, tmp_path: Path
) -> None:
    lab.meet()
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    lab.ip("bng", f"nexthop add id 2 via {HOST_B} dev bng-wan1")
    lab.ip("bng", "nexthop add id 10 group 1/2")
    batch(lab, tmp_path, [f"route add {prefix} nhid 10" for prefix in MANY])
    batch(lab, tmp_path, [f"route add 12{prefix[2:]} nhid 1" for prefix in MANY])
    lab.waits_for("11.39.15.1", Leaf("group", NO_PORT, "0.0.0.0", 24))
    lab.waits_for("12.39.15.1", OBJECT24)
    lab.ip("a", "link set e down")
    until(lambda: set(lab.slots("11.0.0.1")) == {HOST_B}, "the group is without a")
    lab.waits_for("12.39.15.1", None)
    lab.waits_for("12.0.0.1", None)
    lab.ip("a", "link set e up")
    until(lambda: is_up(lab, WAN0), "port up")
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    lab.ip("bng", "nexthop replace id 10 group 1/2")
    until(lambda: set(lab.slots("11.0.0.1")) == {HOST_A, HOST_B}, "the group is whole again")
    assert Counter(lab.slots("11.0.0.1")) == {HOST_A: 8, HOST_B: 8}


def test_flows_of_a_next_hop_that_stays_keep_their_slots(lab: RouterLab) -> None:
    for number in range(1, 5):
        lab.ip("bng", f"nexthop add id {number} via 10.9.0.{100 + number} dev bng-wan0")
    lab.ip("bng", "nexthop add id 10 group 1/2/3/4")
    lab.ip("bng", "route add 10.79.0.0/16 nhid 10")
    lab.waits_for("10.79.0.1", GROUP)
    before = lab.slots("10.79.0.1")
    lab.ip("bng", "nexthop del id 3")
    until(lambda: "10.9.0.103" not in lab.slots("10.79.0.1"), "the group is without it")
    pairs = zip(before, lab.slots("10.79.0.1"), strict=True)
    assert all(new == old for old, new in pairs if old != "10.9.0.103")


def test_a_blackhole_object_and_one_that_leads_elsewhere(lab: RouterLab) -> None:
    lab.ip("bng", "link add other type veth peer name other1")
    lab.ip("bng", "link set other up")
    lab.ip("bng", "link set other1 up")
    lab.ip("bng", "addr add 10.50.0.1/24 dev other")
    lab.ip("bng", "nexthop add id 1 blackhole")
    lab.ip("bng", "nexthop add id 2 via 10.50.0.9 dev other")
    lab.ip("bng", "route add 10.79.0.0/16 nhid 1")
    lab.ip("bng", "route add 10.80.0.0/16 nhid 2")
    lab.waits_for("10.79.0.1", OBJECT)
    assert lab.kinds_of_slots("10.79.0.1") == {"blackhole"}
    assert lab.leaf("10.80.0.1") is None
    lab.ip("bng", f"nexthop replace id 2 via {HOST_B} dev bng-wan1")
    lab.waits_for("10.80.0.1", OBJECT)
    lab.ip("bng", "nexthop replace id 2 via 10.50.0.9 dev other")
    lab.waits_for("10.80.0.1", None)


def test_a_dump_leaves_the_routes_of_objects_where_they_are(lab: RouterLab) -> None:
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    lab.ip("bng", "route add 10.80.0.0/16 nhid 1")
    lab.waits_for("10.80.0.1", OBJECT)
    lab.ip("bng", "addr add 10.9.0.3/32 dev bng-wan0")
    dumps = int(lab.arena.mirror.dumps)
    lab.ip("bng", "addr del 10.9.0.3/32 dev bng-wan0")  # asks for a dump
    until(lambda: int(lab.arena.mirror.dumps) > dumps, "dumped")
    assert lab.leaf("10.80.0.1") == OBJECT
    assert set(lab.slots("10.80.0.1")) == {HOST_A}


def test_a_route_of_an_object_behind_thousands_of_others_is_not_left_out(
    lab: RouterLab, tmp_path: Path
) -> None:
    """All of them come at once, and the object by another socket than its route."""
    assert lab.process is not None
    lab.process.send_signal(signal.SIGSTOP)
    lines = [f"nexthop add id {i} via {HOST_B} dev bng-wan1" for i in range(1, 5001)]
    batch(lab, tmp_path, [*lines, "route add 10.79.0.0/16 nhid 5000"])
    lab.process.send_signal(signal.SIGCONT)
    lab.waits_for("10.79.0.1", OBJECT)
    assert set(lab.slots("10.79.0.1")) == {HOST_B}


def test_ipv4_goes_by_next_hops_of_ipv6(lab: RouterLab) -> None:
    """RFC 8950, by a route's own next hop and by a nexthop object."""
    lab.run("bng", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/bng-wan0/disable_ipv6")
    lab.ip("bng", "addr add 2001:db8::1/64 dev bng-wan0 nodad")
    lab.ip("bng", "neigh replace 2001:db8::2 lladdr 02:00:00:00:00:07 dev bng-wan0 nud permanent")
    lab.ip("bng", "route add 10.81.0.0/16 via inet6 2001:db8::2 dev bng-wan0")
    lab.waits_for("10.81.0.1", Leaf("neighbour", WAN0, "2001:db8::2", 16))
    assert lab.rewrite("10.81.0.1") == "02:00:00:00:00:07"
    lab.ip("bng", "nexthop add id 6 via 2001:db8::2 dev bng-wan0")
    lab.ip("bng", "route add 10.82.0.0/16 nhid 6")
    lab.waits_for("10.82.0.1", OBJECT)
    assert set(lab.slots("10.82.0.1")) == {"2001:db8::2"}
    lab.ip("bng", "route del 10.81.0.0/16 via inet6 2001:db8::2 dev bng-wan0")
    lab.waits_for("10.81.0.1", None)
    assert int(lab.arena.mirror.unsupported) == 0


def test_what_the_dataplane_cannot_do_is_counted_and_left_out(lab: RouterLab) -> None:
    def unsupported() -> int:
        return int(lab.arena.mirror.unsupported)

    lab.ip("bng", f"route add 10.81.0.0/16 tos 8 via {HOST_A}")
    until(lambda: unsupported() == 1, "counted")
    lab.run("bng", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/bng-wan0/disable_ipv6")
    lab.ip("bng", "addr add 2001:db8::1/64 dev bng-wan0 nodad")
    lab.ip("bng", "route add 2001:db8:81::/48 from 2001:db8:1::/48 via 2001:db8::2 dev bng-wan0")
    until(lambda: unsupported() == 2, "counted")
    assert lab.leaf("10.81.0.1") is None
    assert lab.leaf("2001:db8:81::1") is None
    until(lambda: "event=routes-unsupported count=2" in lab.log.read_text(), "told")


# ---- limits ----


def test_routes_beyond_the_room_of_the_fib_wait_and_are_counted(tmp_path: Path) -> None:
    with RouterLab(f"ior{os.getpid()}", tmp_path) as lab:
        lab.options = ("--fib4-pages=40", "--fib4-session-pages=8")
        lab.start()
        prefixes = [f"11.{i}.0.0/24" for i in range(60)]  # a page each
        batch(lab, tmp_path, [f"route add {prefix} via {HOST_B}" for prefix in prefixes])
        until(lambda: int(lab.arena.mirror.waiting), "some wait")
        there = [p for p in prefixes if lab.leaf(p[:-3])]
        until(lambda: int(lab.arena.mirror.waiting) == 60 - len(there), "the rest waits")
        assert 20 < len(there) <= 32
        assert int(lab.arena.mirror.pages_free) == 8, "those are for sessions"
        until(lambda: "event=routes-waiting-for-room" in lab.log.read_text(), "told")
        batch(lab, tmp_path, [f"route del {prefix}" for prefix in prefixes[:20]])
        until(lambda: int(lab.arena.mirror.waiting) == 40 - len(there), "those of less room")
        batch(lab, tmp_path, [f"route del {prefix}" for prefix in prefixes[20:40]])
        until(lambda: int(lab.arena.mirror.waiting) == 0, "none waits")
        assert all(lab.leaf(p[:-3]) for p in prefixes[40:])


def test_a_scan_of_a_connected_prefix_does_not_flood_the_kernel(lab: RouterLab) -> None:
    """RFC 6583 section 7.1 says it of IPv6: the rate of resolution is limited."""
    lab.meet()
    lab.ip("bng", "addr add 10.64.0.1/16 dev bng-wan1")
    lab.waits_for("10.64.9.9", Leaf("glean", WAN1, "0.0.0.0", 16))
    mirror = lab.arena.mirror
    begin = time.monotonic()
    sender = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    sender += "for i in range(20_000):\n"
    sender += "    s.sendto(b'x', (f'10.64.{i >> 8}.{i & 255}', 9))\n"
    lab.run("a", sys.executable, "-c", sender)
    until(lambda: int(mirror.resolves_cut) > 1_000, "most were not asked for")
    took = time.monotonic() - begin
    assert int(mirror.resolves) <= 100 + 50 * (took + 1)
    found = lab.run("bng", "ip", "neigh", "show", "dev", "bng-wan1").stdout.splitlines()
    assert len(found) <= 101 + 50 * (took + 1)
    assert lab.ping("a", HOST_B, "-c", "5", "-i", "0.01")
    lab.ip("b", "addr add 10.64.255.254/16 dev e")
    assert lab.ping("a", "10.64.255.254", "-c", "10", "-i", "0.2") or lab.ping(
        "a", "10.64.255.254"
    ), "an address that is there is found after the scan"


def test_a_neighbour_that_the_kernel_forgets_under_traffic_is_asked_for_at_once(
    lab: RouterLab,
) -> None:
    lab.meet()
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_B}")
    lab.ip("b", "addr add 10.77.0.1/32 dev lo")
    assert lab.ping("a", "10.77.0.1")
    asked = int(lab.arena.mirror.resolves)
    with lab.background("a", "ping", "-n", "-i", "0.01", HOST_B):
        lab.ip("bng", f"neigh del {HOST_B} dev bng-wan1")  # as its garbage collection does
        lab.waits_for(HOST_B, Leaf("neighbour", WAN1, HOST_B, 32))
    assert int(lab.arena.mirror.resolves) <= asked + 20
    assert lab.ping("a", "10.77.0.1", "-c", "20", "-i", "0.01")


# ---- convergence ----

SECOND_B = "10.8.0.3"
FAR = "203.0.113.1"


def leads_to(lab: RouterLab, address: str, gateway: str) -> bool:
    return set(lab.slots(address)) == {gateway}


def two_gateways_at_b(lab: RouterLab) -> None:
    """Give b a second address to be a gateway by, and one behind both; all are neighbours."""
    lab.ip("b", f"addr add {SECOND_B}/24 dev e")
    lab.ip("b", f"addr add {FAR}/32 dev lo")
    lab.meet()
    assert lab.ping("bng", SECOND_B)
    lab.waits_for(SECOND_B, Leaf("neighbour", WAN1, SECOND_B, 32))


def test_what_is_late_is_not_lost_and_what_is_lost_is_told(lab: RouterLab) -> None:
    """The dataplane stands still, then b says nothing: of `tests.support.pinger`."""
    assert lab.process is not None
    lab.meet()
    with pinging(lab.netns("a"), HOST_B) as pings:
        time.sleep(0.1)
        lab.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        lab.process.send_signal(signal.SIGCONT)
    assert pings.missing == 0
    assert pings.silence_s >= 0.25 and pings.slowest_s >= 0.25
    with pinging(lab.netns("a"), HOST_B) as pings:
        time.sleep(0.1)
        lab.run("b", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
        time.sleep(0.1)
        lab.run("b", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
        time.sleep(0.1)
    assert pings.missing == sum(count for _, count in pings.lost) > 20
    assert len(pings.lost) == 1 and pings.lost[0][0] > 0.05


def test_recursive_routes_as_zebra_resolves_them_move_without_loss(
    lab: RouterLab, tmp_path: Path
) -> None:
    """A BGP route's next hop is a loopback, and the IGP's way there changes.

    The kernel takes no route whose gateway is not on a link; zebra resolves it, gives the route the
    nexthop object of the link's gateway, and another one when the IGP has changed.
    """
    two_gateways_at_b(lab)
    lab.ip("bng", f"route add 10.255.0.1/32 via {HOST_B} proto ospf")
    recursive = ["route", "add", "203.0.113.0/24", "via", "10.255.0.1"]
    refused = lab.run("bng", "ip", *recursive, check=False)
    assert refused.returncode != 0
    lab.ip("bng", f"nexthop add id 20 via {HOST_B} dev bng-wan1 proto zebra")
    lab.ip("bng", "route add 203.0.113.0/24 nhid 20 proto bgp")
    batch(lab, tmp_path, [f"route add {prefix} nhid 20 proto bgp" for prefix in MANY[:1000]])
    lab.waits_for(FAR, OBJECT24)
    with counted_packets(lab, FAR):
        lab.ip("bng", f"route replace 10.255.0.1/32 via {SECOND_B} proto ospf")
        lab.ip("bng", f"nexthop add id 21 via {SECOND_B} dev bng-wan1 proto zebra")
        prefixes = ["203.0.113.0/24", *MANY[:1000]]
        batch(lab, tmp_path, [f"route replace {p} nhid 21 proto bgp" for p in prefixes])
        lab.ip("bng", "nexthop del id 20")
        for prefix in ("203.0.113.1", "11.0.0.1", "11.3.231.1"):
            until(partial(leads_to, lab, prefix, SECOND_B), f"{prefix} moved")
    assert lab.leaf("10.255.0.1") == Leaf("neighbour", WAN1, SECOND_B, 32)


def test_no_packet_of_an_unchanged_route_is_lost_while_others_change_and_dumps_run(
    lab: RouterLab, tmp_path: Path
) -> None:
    two_gateways_at_b(lab)
    lab.ip("bng", f"route add 203.0.113.0/24 via {HOST_B}")
    lab.ip("bng", f"route add 203.0.0.0/16 via {HOST_A}")
    lab.waits_for(FAR, Leaf("neighbour", WAN1, HOST_B, 24))
    dumps = int(lab.arena.mirror.dumps)
    with counted_packets(lab, FAR):
        for gateway in (HOST_A, SECOND_B):
            batch(lab, tmp_path, [f"route replace {p} via {gateway}" for p in MANY])
            lab.ip("bng", "addr add 10.9.0.3/32 dev bng-wan0")
            lab.ip("bng", "addr del 10.9.0.3/32 dev bng-wan0")
        lab.ip("bng", f"route append 203.0.113.0/24 via {HOST_A}")
        lab.ip("bng", "route del 203.0.0.0/16")
        batch(lab, tmp_path, [f"route del {p}" for p in MANY])
        until(lambda: int(lab.arena.mirror.dumps) > dumps, "dumped")
        lab.waits_for("11.0.0.1", None)


def test_commands_are_served_while_a_dump_runs(lab: RouterLab, tmp_path: Path) -> None:
    box = lab.arena
    prefixes = [f"{high}.{i >> 8}.{i & 255}.0/24" for high in (11, 12, 13) for i in range(20_000)]
    batch(lab, tmp_path, [f"route add {p} via {HOST_B}" for p in prefixes])
    until(lambda: int(box.mirror.routes) > len(prefixes), "all are there", timeout_s=30)
    lab.ip("bng", "addr add 10.9.0.3/32 dev bng-wan0")
    before = int(box.mirror.dumps)
    lab.ip("bng", "addr del 10.9.0.3/32 dev bng-wan0")
    record = route_record(CommandType.ROUTE4_DEL, bytes([100, 64, 0, 1]), 32)
    served = 0
    while int(box.mirror.dumps) == before:
        box.command(box.control_group, record)
        box.flush()
        while not box.completions(box.control_group):
            pass
        served += 1
    assert served > 5


@pytest.mark.parametrize(
    ("how", "gateways"), [("append", [HOST_A]), ("prepend", [SECOND_B]), ("replace", [SECOND_B])]
)
def test_of_routes_with_one_metric_the_kernels_first_one_counts(
    lab: RouterLab, how: str, gateways: list[str]
) -> None:
    two_gateways_at_b(lab)
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.waits_for("10.77.0.1", Leaf("neighbour", WAN0, HOST_A, 16))
    lab.ip("bng", f"route {how} 10.77.0.0/16 via {SECOND_B}")
    (gateway,) = gateways
    port = WAN0 if gateway == HOST_A else WAN1
    lab.ip("bng", "route add 10.78.0.0/16 via 10.8.0.2")
    lab.waits_for("10.78.0.1", Leaf("neighbour", WAN1, HOST_B, 16))
    lab.waits_for("10.77.0.1", Leaf("neighbour", port, gateway, 16))
    shown = lab.run("bng", "ip", "route", "get", "10.77.0.1").stdout
    assert f"via {gateway} " in shown
