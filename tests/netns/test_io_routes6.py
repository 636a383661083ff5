"""IPv6 of the kernel in the FIB: addresses, neighbours, routes of every kind, what comes and goes.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
2001:db8:9::/64 is towards a, 2001:db8:8::/64 towards b: the box is ::1 there, the host ::2.
Next hops that nobody answers for stay as they are.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.router_lab import WAN0, WAN1, Leaf, RouterLab, until

NO_PORT = 0xFF
NO_HOP = "0.0.0.0"
HOST_A6, A, BOX_A = "2001:db8:9::2", "2001:db8:9::a", "2001:db8:9::1"
HOST_B6, B, BOX_B = "2001:db8:8::2", "2001:db8:8::b", "2001:db8:8::1"
MAC = "02:00:00:00:00:{:02x}"
FAR = "2001:db8:ff00::1"
FAR_ROUTE = "2001:db8:ff00::/40"
BLACKHOLE = Leaf("blackhole", NO_PORT, NO_HOP, 10)
GROUP = Leaf("group", NO_PORT, NO_HOP, 40)
OBJECT = Leaf("nexthop", NO_PORT, NO_HOP, 40)


def turn_on(lab: RouterLab) -> None:
    """Give box and hosts their addresses; IPv6 is off by default where the tests may run."""
    lab.run("bng", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    places = (
        *(("bng", "bng-wan0", BOX_A), ("bng", "bng-wan1", BOX_B)),
        *(("a", "e", HOST_A6), ("b", "e", HOST_B6)),
    )
    for side, device, address in places:
        lab.run(side, "sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
        lab.ip(side, f"addr replace {address}/64 dev {device} nodad")
    for side, gateway in (("a", BOX_A), ("b", BOX_B)):
        lab.ip(side, f"route replace default via {gateway}")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"ior6{os.getpid()}", tmp_path) as lab:
        lab.start()
        turn_on(lab)
        lab.waits_for(BOX_A, Leaf("local", WAN0, BOX_A, 128))
        lab.waits_for(BOX_B, Leaf("local", WAN1, BOX_B, 128))
        yield lab


def neighbour(lab: RouterLab, port: int, address: str, mac: int) -> None:
    """Give the kernel a neighbour that does not go by itself."""
    device = "bng-wan0" if port == WAN0 else "bng-wan1"
    lab.ip("bng", f"neigh replace {address} lladdr {MAC.format(mac)} dev {device} nud permanent")


# ---- addresses and neighbours ----


def test_connected_prefixes_and_neighbours_come_and_go(lab: RouterLab) -> None:
    lab.waits_for(A, Leaf("glean", WAN0, NO_HOP, 64))
    neighbour(lab, WAN0, A, 7)
    lab.waits_for(A, Leaf("neighbour", WAN0, A, 128))
    assert lab.rewrite(A) == MAC.format(7)
    neighbour(lab, WAN0, A, 8)
    until(lambda: lab.rewrite(A) == MAC.format(8), "another MAC, in place")
    lab.ip("bng", f"neigh del {A} dev bng-wan0")
    lab.waits_for(A, Leaf("glean", WAN0, NO_HOP, 64))
    lab.ip("bng", f"addr del {BOX_A}/64 dev bng-wan0")
    lab.waits_for(BOX_A, None)
    lab.waits_for(A, None)


def test_addresses_of_the_loopback_are_the_boxs_those_of_links_nobodys(lab: RouterLab) -> None:
    lab.run("bng", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    lab.ip("bng", "addr add 2001:db8::53/128 dev lo")
    lab.waits_for("2001:db8::53", Leaf("local", NO_PORT, "2001:db8::53", 128))
    lab.ip("bng", "addr add fe80::99/64 dev bng-wan0 nodad")
    lab.ip("bng", "addr add 2001:db8::54/128 dev lo")
    lab.waits_for("2001:db8::54", Leaf("local", NO_PORT, "2001:db8::54", 128))
    assert lab.leaf("fe80::99") == BLACKHOLE
    assert lab.leaf("ff02::1") == BLACKHOLE._replace(length=8)
    assert lab.leaf("::1") == BLACKHOLE._replace(length=64)


def test_an_address_that_may_be_anothers_is_not_ours_yet(lab: RouterLab) -> None:
    """RFC 4862 section 5.4: until Duplicate Address Detection is done."""
    lab.ip("a", "addr add 2001:db8:9::d/64 dev e nodad")
    lab.ip("bng", "addr add 2001:db8:9::e/64 dev bng-wan0 nodad")
    lab.waits_for("2001:db8:9::e", Leaf("local", WAN0, "2001:db8:9::e", 128))
    lab.run("bng", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/bng-wan0/accept_dad")
    lab.run("bng", "sh", "-c", "echo 60 >/proc/sys/net/ipv6/conf/bng-wan0/dad_transmits")
    lab.ip("bng", "addr add 2001:db8:9::f/64 dev bng-wan0")
    lab.ip("bng", "addr add 2001:db8:9::10/64 dev bng-wan0 nodad")
    lab.waits_for("2001:db8:9::10", Leaf("local", WAN0, "2001:db8:9::10", 128))
    found = lab.leaf("2001:db8:9::f")
    assert found is not None
    assert found.kind == "glean"


def test_the_first_address_of_a_port_is_the_source_of_its_errors(lab: RouterLab) -> None:
    port = lab.arena.ports[WAN0]
    first = 0x20010DB800090000, 1
    assert (port.ip6_prefix, port.ip6_interface_id) == first
    lab.ip("bng", "addr add 2001:db8:9::b/64 dev bng-wan0 nodad")
    lab.waits_for("2001:db8:9::b", Leaf("local", WAN0, "2001:db8:9::b", 128))
    assert (port.ip6_prefix, port.ip6_interface_id) == first
    lab.ip("bng", f"addr del {BOX_A}/64 dev bng-wan0")
    until(lambda: port.ip6_interface_id == 0xB, "the other one")


# ---- routes ----


def test_routes_of_every_kind(lab: RouterLab) -> None:
    neighbour(lab, WAN0, A, 7)
    kinds = {
        f"via {A}": Leaf("neighbour", WAN0, A, 40),
        "dev bng-wan1": Leaf("glean", WAN1, NO_HOP, 40),
        "via 2001:db8:9::77": Leaf("glean", WAN0, "2001:db8:9::77", 40),
    }
    kinds |= {
        f"{kind} dev lo": Leaf(kind, NO_PORT, NO_HOP, 40)
        for kind in ("blackhole", "unreachable", "prohibit")
    }
    for words, leaf in kinds.items():
        kind, _, rest = words.partition(" ")
        typed = f"{kind} {FAR_ROUTE} {rest}" if leaf.port == NO_PORT else f"{FAR_ROUTE} {words}"
        lab.ip("bng", f"route add {typed} proto bgp")
        lab.waits_for(FAR, leaf)
        lab.ip("bng", f"route del {typed} proto bgp")
        lab.waits_for(FAR, None)


def test_a_next_hop_of_a_link_is_that_links_own(lab: RouterLab) -> None:
    """OSPFv3's and most of BGP's next hops: one address may stand on several links."""
    neighbour(lab, WAN0, "fe80::5", 7)
    neighbour(lab, WAN1, "fe80::5", 8)
    lab.ip("bng", f"route add {FAR_ROUTE} via fe80::5 dev bng-wan0")
    lab.waits_for(FAR, Leaf("neighbour", WAN0, "fe80::5", 40))
    assert lab.rewrite(FAR) == MAC.format(7)
    lab.ip("bng", f"route replace {FAR_ROUTE} via fe80::5 dev bng-wan1")
    lab.waits_for(FAR, Leaf("neighbour", WAN1, "fe80::5", 40))
    assert lab.rewrite(FAR) == MAC.format(8)
    assert lab.leaf("fe80::5") == BLACKHOLE, "it is not routed itself"
    lab.ip("bng", "neigh del fe80::5 dev bng-wan1")
    lab.waits_for(FAR, Leaf("glean", WAN1, "fe80::5", 40))


def test_the_default_route_and_metrics(lab: RouterLab) -> None:
    lab.ip("bng", f"route add default via {A} metric 20")
    lab.waits_for("2a00::1", Leaf("glean", WAN0, A, 0))
    lab.ip("bng", f"route add default via {B} metric 10")
    lab.waits_for("2a00::1", Leaf("glean", WAN1, B, 0))
    lab.ip("bng", f"route del default via {B} metric 10")
    lab.waits_for("2a00::1", Leaf("glean", WAN0, A, 0))


def test_next_hops_of_a_route_come_and_go_one_by_one(lab: RouterLab) -> None:
    """The kernel has one IPv6 route of several next hops, and tells which of them has gone."""
    third = "2001:db8:8::3"
    lab.ip("bng", f"route add {FAR_ROUTE} nexthop via {A} weight 3 nexthop via {B} weight 1")
    lab.waits_for(FAR, GROUP)
    assert Counter(lab.slots(FAR)) == {A: 12, B: 4}
    lab.ip("bng", f"route append {FAR_ROUTE} via {third}")
    until(lambda: third in lab.slots(FAR), "three")
    assert set(lab.slots(FAR)) == {A, B, third}
    lab.ip("bng", f"route del {FAR_ROUTE} via {A}")
    until(lambda: set(lab.slots(FAR)) == {B, third}, "two")
    lab.ip("bng", f"route del {FAR_ROUTE} via {third}")
    lab.waits_for(FAR, Leaf("glean", WAN1, B, 40))
    lab.ip("bng", f"route replace {FAR_ROUTE} nexthop via {A} nexthop via {B}")
    lab.waits_for(FAR, GROUP)
    lab.ip("bng", f"route del {FAR_ROUTE}")
    lab.waits_for(FAR, None)
    assert int(lab.arena.mirror.unsupported) == 0


def test_nexthop_objects_serve_both_families(lab: RouterLab) -> None:
    lab.ip("bng", f"nexthop add id 1 via {A} dev bng-wan0")
    lab.ip("bng", f"nexthop add id 2 via {B} dev bng-wan1")
    lab.ip("bng", "nexthop add id 10 group 1/2")
    lab.ip("bng", f"route add {FAR_ROUTE} nhid 10")
    lab.ip("bng", "route add 10.81.0.0/16 nhid 10")
    lab.waits_for(FAR, GROUP)
    lab.waits_for("10.81.0.1", GROUP._replace(length=16))
    assert Counter(lab.slots(FAR)) == {A: 8, B: 8}
    lab.ip("bng", "nexthop replace id 10 group 2")
    until(lambda: set(lab.slots(FAR)) == {B}, "one is left")
    assert set(lab.slots("10.81.0.1")) == {B}
    lab.ip("bng", "nexthop del id 10")
    lab.waits_for(FAR, None)
    lab.waits_for("10.81.0.1", None)


# ---- links, lost messages, restarts ----


def test_a_lost_link_takes_its_next_hops_and_brings_them_back(lab: RouterLab) -> None:
    lab.ip("bng", f"route add {FAR_ROUTE} nexthop via {A} nexthop via {B}")
    lab.ip("bng", f"route add 2001:db8:aa00::/40 via {A}")
    lab.waits_for(FAR, GROUP)
    lab.waits_for("2001:db8:aa00::1", Leaf("glean", WAN0, A, 40))
    lab.ip("a", "link set e down")
    until(lambda: lab.slots_or_none(FAR) in ([B] * 16, None), "b alone")
    lab.waits_for("2001:db8:aa00::1", None)
    lab.ip("a", "link set e up")
    lab.waits_for("2001:db8:aa00::1", Leaf("glean", WAN0, A, 40))
    until(lambda: set(lab.slots_or_none(FAR) or ()) == {A, B}, "both")


def test_after_lost_events_the_fib_is_the_kernels_again(lab: RouterLab, tmp_path: Path) -> None:
    """More routes come and go than the socket has room for while the dataplane stands still."""
    lines = [f"route add 2001:db8:{i >> 16:x}:{i & 0xFFFF:x}::/64 via {A}" for i in range(40_000)]
    lines += [f"route del 2001:db8:0:{i:x}::/64 via {A}" for i in range(0, 40_000, 2)]
    batch = tmp_path / "batch"
    batch.write_text("\n".join(lines) + "\n")
    assert lab.process is not None
    lab.process.send_signal(signal.SIGSTOP)
    lab.run("bng", "ip", "-6", "-batch", str(batch))
    lab.process.send_signal(signal.SIGCONT)
    until(lambda: int(lab.arena.mirror.events_lost), "events were lost", timeout_s=10)
    lab.waits_for("2001:db8:0:1::1", Leaf("glean", WAN0, A, 64))
    lab.waits_for(f"2001:db8:0:{39_999:x}::1", Leaf("glean", WAN0, A, 64))
    until(lambda: int(lab.arena.mirror.routes6) < 20_100, "what has gone is swept")
    some = range(0, 40_000, 997)
    there = {i for i in some if i % 2}
    until(lambda: {i for i in some if lab.leaf(f"2001:db8:0:{i:x}::1")} == there, "to the last")
    until(lambda: " of=ipv6-routes\n" in lab.log.read_text(), "nothing else is dumped for them")


def test_a_new_dataplane_finds_what_the_kernel_has(lab: RouterLab) -> None:
    neighbour(lab, WAN0, A, 7)
    lab.ip("bng", f"route add {FAR_ROUTE} via {A}")
    lab.waits_for(FAR, Leaf("neighbour", WAN0, A, 40))
    lab.stop()
    lab.start(addresses=False)
    turn_on(lab)
    neighbour(lab, WAN0, A, 7)
    lab.ip("bng", f"route replace {FAR_ROUTE} via {A}")
    lab.waits_for(FAR, Leaf("neighbour", WAN0, A, 40))


# ---- packets ----


def reaches(lab: RouterLab, side: str, address: str) -> None:
    """Ping until the kernel has an address of its own on the link, and has found the neighbours."""
    until(
        lambda: lab.ping(side, address, "-c", "1", "-W", "0.3"), f"{side} to {address}", timeout_s=8
    )


def test_hosts_reach_each_other_and_the_box(lab: RouterLab) -> None:
    """The first packet to each host has the kernel ask for it, by ND over the TAP."""
    for side, there in (("a", HOST_B6), ("b", HOST_A6), ("a", BOX_A), ("a", BOX_B)):
        reaches(lab, side, there)
    lab.waits_for(HOST_A6, Leaf("neighbour", WAN0, HOST_A6, 128))
    assert lab.kernel_counter("Ip6OutForwDatagrams") == 0, "the kernel forwarded some"


def test_a_next_hop_on_a_link_local_address_is_resolved_and_forwards(lab: RouterLab) -> None:
    lab.run("b", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    lab.ip("b", "addr add 2001:db8:ff00::1/128 dev lo")
    lab.ip("b", "addr add fe80::b/64 dev e nodad")
    lab.ip("bng", f"route add {FAR_ROUTE} via fe80::b dev bng-wan1")
    lab.waits_for(FAR, Leaf("neighbour", WAN1, "fe80::b", 40))
    reaches(lab, "a", FAR)


def test_ipv4_is_forwarded_by_a_next_hop_of_ipv6(lab: RouterLab) -> None:
    """RFC 8950."""
    lab.ip("b", "addr add 10.81.0.1/32 dev lo")
    lab.ip("bng", f"route add 10.81.0.0/16 via inet6 {HOST_B6} dev bng-wan1")
    lab.waits_for("10.81.0.1", Leaf("neighbour", WAN1, HOST_B6, 16))
    reaches(lab, "a", "10.81.0.1")


def test_a_port_without_addresses_of_ipv4_forwards_it_and_is_seen_in_a_traceroute(
    lab: RouterLab,
) -> None:
    """As BGP with IPv6 next hops alone has it: errors come from the address of the box itself."""
    lab.ip("bng", "addr del 10.9.0.1/24 dev bng-wan0")
    lab.ip("bng", "addr add 10.255.0.1/32 dev lo")
    lab.ip("bng", f"route add 10.9.0.2 via inet6 {HOST_A6} dev bng-wan0")
    lab.run("a", "ip", "-4", "route", "replace", "default", "via", "inet6", BOX_A, "dev", "e")
    reaches(lab, "a", "10.8.0.2")
    first = lab.run("a", "ping", "-n", "-c", "1", "-t", "1", "10.8.0.2", check=False).stdout
    assert "From 10.255.0.1 icmp_seq=1 Time to live exceeded" in first
