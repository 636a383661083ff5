"""The mirror: what the kernel knows of the TAP twins is in the FIB, and leaves it in time.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
"""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.routes import expected, is_right, kernel_table, snapshot
from tests.support.router_lab import (
    BOX_A,
    HOST_A,
    HOST_B,
    TAP0,
    WAN0,
    WAN1,
    Leaf,
    RouterLab,
    until,
)

NO_PORT = 0xFF
PORT_UP = 1
GLEAN_A = Leaf("glean", WAN0, "0.0.0.0", 24)
GLEAN_B = Leaf("glean", WAN1, "0.0.0.0", 24)
EXPORTED = 200  # RTPROT_BNG


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"iom{os.getpid()}", tmp_path) as lab:
        lab.start()
        yield lab


def is_up(lab: RouterLab, port: int) -> bool:
    return bool(lab.arena.ports[port].flags & PORT_UP)


def test_own_addresses_are_local_and_the_rest_of_the_prefix_is_glean(lab: RouterLab) -> None:
    lab.waits_for(BOX_A, Leaf("local", WAN0, BOX_A, 32))
    lab.waits_for("10.9.0.77", GLEAN_A)
    lab.waits_for("10.8.0.77", GLEAN_B)
    lab.waits_for("10.9.0.255", Leaf("blackhole", NO_PORT, "0.0.0.0", 32))
    assert lab.leaf("192.0.2.1") is None
    lab.ip("bng", "addr add 192.0.2.1/32 dev lo")
    lab.waits_for("192.0.2.1", Leaf("local", NO_PORT, "192.0.2.1", 32))


def test_the_first_address_is_the_source_of_our_errors(lab: RouterLab) -> None:
    def source() -> bytes:
        return int(lab.arena.ports[WAN0].ip4).to_bytes(4, "little")

    lab.ip("bng", "addr add 10.9.0.3/24 dev bng-wan0")
    lab.ip("bng", "addr add 10.10.0.1/24 dev bng-wan0")
    lab.waits_for("10.10.0.1", Leaf("local", WAN0, "10.10.0.1", 32))
    assert source() == bytes([10, 9, 0, 1])
    lab.ip("bng", f"addr del {BOX_A}/24 dev bng-wan0")  # its secondary goes with it
    until(lambda: source() == bytes([10, 10, 0, 1]), "the next address is the source")
    lab.ip("bng", "addr del 10.10.0.1/24 dev bng-wan0")
    until(lambda: source() == bytes([10, 8, 0, 1]), "it has none: the other port's")
    lab.ip("bng", "addr add 10.255.0.1/32 dev lo")
    until(lambda: source() == bytes([10, 255, 0, 1]), "the box's own is better")


def test_a_neighbour_gets_its_mac_and_loses_it_when_deleted(lab: RouterLab) -> None:
    assert lab.ping("bng", HOST_A)
    lab.waits_for(HOST_A, Leaf("neighbour", WAN0, HOST_A, 32))
    assert lab.rewrite(HOST_A) == lab.mac("a", "e")
    lab.ip("bng", f"neigh replace {HOST_A} lladdr 02:00:00:00:00:99 dev bng-wan0")
    until(lambda: lab.rewrite(HOST_A) == "02:00:00:00:00:99", "the new MAC")
    lab.ip("bng", f"neigh del {HOST_A} dev bng-wan0")
    lab.waits_for(HOST_A, GLEAN_A)


def test_a_gateway_is_resolved_before_any_packet_needs_it(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_B}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN1, HOST_B, 16))
    assert lab.rewrite("10.77.1.1") == lab.mac("b", "e")
    lab.ip("bng", f"neigh del {HOST_B} dev bng-wan1")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN1, HOST_B, 16))  # asked for again
    lab.ip("bng", "route del 10.77.0.0/16")
    lab.waits_for("10.77.1.1", None)


def test_a_gateway_that_does_not_answer_stays_glean(lab: RouterLab) -> None:
    lab.ip("bng", "route add 10.77.0.0/16 via 10.8.0.99")
    lab.waits_for("10.77.1.1", Leaf("glean", WAN1, "10.8.0.99", 16))


def test_the_lower_metric_wins_and_the_other_comes_back(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A} metric 200")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_B} metric 100")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN1, HOST_B, 16))
    lab.ip("bng", "route del 10.77.0.0/16 metric 100")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))


def test_a_replaced_route_leaves_nothing_behind(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.ip("bng", f"route replace 10.77.0.0/16 via {HOST_B}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN1, HOST_B, 16))
    lab.ip("bng", "route replace 10.77.0.0/16 dev lo")
    lab.waits_for("10.77.1.1", None)


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_routes_that_lead_nowhere_keep_their_kind(lab: RouterLab, kind: str) -> None:
    lab.ip("bng", f"route add {kind} 10.78.0.0/16")
    lab.waits_for("10.78.0.1", Leaf(kind, NO_PORT, "0.0.0.0", 16))


OBJECT = Leaf("nexthop", NO_PORT, "0.0.0.0", 16)
GROUP = Leaf("group", NO_PORT, "0.0.0.0", 16)


def test_several_next_hops_share_the_slots_of_a_group(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.79.0.0/16 nexthop via {HOST_A} nexthop via {HOST_B}")
    lab.waits_for("10.79.0.1", GROUP)
    assert Counter(lab.slots("10.79.0.1")) == {HOST_A: 8, HOST_B: 8}
    lab.ip("bng", "route del 10.79.0.0/16")
    lab.waits_for("10.79.0.1", None)


def test_slots_are_shared_by_weight(lab: RouterLab) -> None:
    hops = f"nexthop via {HOST_A} weight 3 nexthop via {HOST_B} weight 1"
    lab.ip("bng", f"route add 10.79.0.0/16 {hops}")
    lab.waits_for("10.79.0.1", GROUP)
    assert Counter(lab.slots("10.79.0.1")) == {HOST_A: 12, HOST_B: 4}


def test_sixteen_next_hops_get_a_slot_each_and_more_are_left_out(lab: RouterLab) -> None:
    gateways = [f"10.9.0.{100 + i}" for i in range(18)]
    lab.ip("bng", "route add 10.79.0.0/16 " + " ".join(f"nexthop via {g}" for g in gateways))
    lab.waits_for("10.79.0.1", GROUP)
    assert sorted(lab.slots("10.79.0.1")) == gateways[:16]


def test_a_next_hop_whose_link_goes_down_leaves_its_group_and_comes_back(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.79.0.0/16 nexthop via {HOST_A} nexthop via {HOST_B}")
    lab.waits_for("10.79.0.1", GROUP)
    lab.ip("a", "link set e down")
    lab.waits_for("10.79.0.1", Leaf("neighbour", WAN1, HOST_B, 16))
    lab.ip("a", "link set e up")
    lab.waits_for("10.79.0.1", GROUP)
    assert set(lab.slots("10.79.0.1")) == {HOST_A, HOST_B}


def test_routes_with_the_same_next_hops_share_one_group(lab: RouterLab) -> None:
    hops = f"nexthop via {HOST_A} nexthop via {HOST_B}"
    for prefix in ("10.79.0.0/16", "10.80.0.0/16"):
        lab.ip("bng", f"route add {prefix} {hops}")
        lab.waits_for(prefix[:-3], GROUP)
    assert lab.adjacency_index("10.79.0.1") == lab.adjacency_index("10.80.0.1")
    lab.ip("bng", f"route replace 10.79.0.0/16 via {HOST_B}")
    lab.waits_for("10.79.0.1", Leaf("neighbour", WAN1, HOST_B, 16))
    assert set(lab.slots("10.80.0.1")) == {HOST_A, HOST_B}


def test_nexthop_objects_and_their_groups_lead_where_they_say(lab: RouterLab) -> None:
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    lab.ip("bng", f"nexthop add id 2 via {HOST_B} dev bng-wan1")
    lab.ip("bng", "nexthop add id 10 group 1/2")
    lab.ip("bng", "route add 10.79.0.0/16 nhid 10")
    lab.ip("bng", "route add 10.80.0.0/16 nhid 1")
    lab.waits_for("10.79.0.1", GROUP)
    lab.waits_for("10.80.0.1", OBJECT)
    assert set(lab.slots("10.80.0.1")) == {HOST_A}
    lab.ip("bng", f"nexthop replace id 1 via {HOST_B} dev bng-wan1")
    until(lambda: set(lab.slots("10.80.0.1")) == {HOST_B}, "the object leads elsewhere")
    lab.waits_for("10.79.0.1", GROUP)
    until(lambda: set(lab.slots("10.79.0.1")) == {HOST_B}, "the group follows")
    lab.ip("bng", "nexthop del id 1")
    lab.waits_for("10.80.0.1", None)
    lab.ip("bng", "nexthop del id 2")
    lab.waits_for("10.79.0.1", None)


def test_what_we_export_and_what_leads_elsewhere_is_not_mirrored(lab: RouterLab) -> None:
    lab.ip("bng", "link add other type veth peer name other1")
    lab.ip("bng", "link set other up")
    lab.ip("bng", "addr add 10.50.0.1/24 dev other")
    lab.ip("bng", f"route add 10.80.0.0/16 via {HOST_A} proto {EXPORTED}")
    lab.ip("bng", f"route add 10.81.0.0/16 via {HOST_A} table 7")
    lab.ip("bng", f"route add 10.82.0.0/16 via {HOST_A}")
    lab.waits_for("10.82.0.1", Leaf("neighbour", WAN0, HOST_A, 16))
    for address in ("10.80.0.1", "10.81.0.1", "10.50.0.1", "10.50.0.9"):
        assert lab.leaf(address) is None, address


def test_a_link_that_goes_down_takes_all_with_it_and_brings_back_what_stays(
    lab: RouterLab,
) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))
    lab.ip("bng", "link set bng-wan0 down")
    lab.waits_for("10.77.1.1", None)
    lab.waits_for(HOST_A, None)
    lab.waits_for(HOST_B, lab.leaf(HOST_B))
    lab.ip("bng", "link set bng-wan0 up")
    lab.waits_for("10.9.0.77", GLEAN_A)
    assert lab.leaf("10.77.1.1") is None  # the kernel has lost it too
    assert lab.ping("a", BOX_A)


def test_an_address_that_is_removed_takes_its_routes_with_it(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))
    lab.ip("bng", f"addr del {BOX_A}/24 dev bng-wan0")
    for address in ("10.77.1.1", BOX_A, "10.9.0.77"):
        lab.waits_for(address, None)


def test_the_carrier_of_a_port_is_that_of_its_twin(lab: RouterLab) -> None:
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))
    lab.ip("a", "link set e down")
    until(lambda: not is_up(lab, WAN0), "port down")
    lab.waits_for("10.77.1.1", None)
    until(lambda: "LOWER_UP" not in lab.link("bng", "bng-wan0")["flags"], "TAP without carrier")
    assert is_up(lab, WAN1) and is_up(lab, TAP0)
    lab.ip("a", "link set e up")
    until(lambda: is_up(lab, WAN0), "port up")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))


def netlink_drops(lab: RouterLab) -> int:
    lines = lab.run("bng", "cat", "/proc/net/netlink").stdout.splitlines()[1:]
    return sum(int(line.split()[8]) for line in lines)


def test_events_lost_for_want_of_room_are_made_good_by_a_dump(
    lab: RouterLab, tmp_path: Path
) -> None:
    assert lab.process is not None
    lab.ip("bng", f"route add 10.70.0.0/16 via {HOST_A}")
    lab.waits_for("10.70.0.1", Leaf("neighbour", WAN0, HOST_A, 16))
    batch = tmp_path / "routes"
    prefixes = [f"11.{i >> 8}.{i & 255}.0/24" for i in range(20_000)]
    lines = [f"route add {p} via {HOST_B}" for p in prefixes]
    lines += [f"route del {p}" for p in prefixes[10_000:]]
    lines += [f"route {verb} 11.255.0.0/16 via {HOST_B}" for verb in ("add", "del")] * 40_000
    lines += ["route del 10.70.0.0/16"]
    batch.write_text("\n".join(lines) + "\n")
    lab.process.send_signal(signal.SIGSTOP)
    lab.run("bng", "ip", "-batch", str(batch))
    assert netlink_drops(lab) > 0, "the socket was large enough: the test shows nothing"
    lab.process.send_signal(signal.SIGCONT)
    lab.waits_for("10.70.0.1", None)
    lab.waits_for("11.0.0.1", Leaf("neighbour", WAN1, HOST_B, 24))
    lab.waits_for("11.39.15.1", Leaf("neighbour", WAN1, HOST_B, 24))
    assert lab.leaf("11.39.16.1") is None
    assert lab.leaf("11.78.31.1") is None
    assert lab.leaf(HOST_B) == Leaf("neighbour", WAN1, HOST_B, 32)
    until(lambda: dumped(lab)[-1] == "ipv4-routes", "nothing else is dumped for them")


def test_events_lost_again_in_a_stream_of_changes_leave_the_kernels_routes(
    lab: RouterLab, tmp_path: Path
) -> None:
    """Before what was lost has been dumped, meanwhile, and after it; changes never end."""
    assert lab.process is not None
    stream = tmp_path / "stream"
    prefixes = [f"11.{i >> 8}.{i & 255}.0/24" for i in range(20_000)]
    with stream.open("w") as file:
        for turn in range(12):
            hop, gone = (HOST_A, HOST_B)[turn % 2], prefixes[turn::12]
            file.writelines(f"route replace {prefix} via {hop}\n" for prefix in prefixes)
            file.writelines(f"route del {prefix}\n" for prefix in gone)
    with lab.background("bng", "ip", "-batch", str(stream)) as changes:
        for pause_s in (0, 0.005, 0.02):
            lab.process.send_signal(signal.SIGSTOP)
            before = netlink_drops(lab)
            until(lambda before=before: netlink_drops(lab) > before, "events are lost", 30)
            lab.process.send_signal(signal.SIGCONT)
            until(lambda: int(lab.arena.mirror.events_lost), "noticed", 30)
            time.sleep(pause_s)
        assert changes.poll() is None, "the stream was too short to show anything"
        assert changes.wait(60) == 0
    ends, hops = expected(kernel_table(lab))
    assert len(ends) > 30_000
    until(lambda: is_right(snapshot(lab), ends, hops), "the FIB is as the kernel's", 30)
    assert dumped(lab)[-1] == "ipv4-routes"


def dumped(lab: RouterLab) -> list[str]:
    """Return what the mirror has dumped so far."""
    return re.findall(r"event=mirror-dump .* of=(\S+)", lab.log.read_text())


def test_a_stale_neighbour_that_carries_traffic_is_confirmed(lab: RouterLab) -> None:
    lab.run("bng", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/neigh/bng-wan1/delay_first_probe_time")
    assert lab.ping("bng", HOST_B)

    def state() -> str:
        return lab.run("bng", "ip", "neigh", "show", HOST_B, "dev", "bng-wan1").stdout.split()[-1]

    with lab.background("a", "ping", "-n", "-i", "0.1", HOST_B):
        lab.ip("bng", f"neigh change {HOST_B} dev bng-wan1 nud stale")
        until(lambda: state() == "REACHABLE", "confirmed again", timeout_s=8)


def test_a_stale_neighbour_without_traffic_is_left_alone(lab: RouterLab) -> None:
    assert lab.ping("bng", HOST_B)
    lab.ip("bng", f"neigh change {HOST_B} dev bng-wan1 nud stale")
    lab.ip("bng", f"route add 10.77.0.0/16 via {HOST_A}")
    lab.waits_for("10.77.1.1", Leaf("neighbour", WAN0, HOST_A, 16))
    done = lab.run("bng", "ip", "neigh", "show", HOST_B, "dev", "bng-wan1")
    assert done.stdout.split()[-1] == "STALE"
