"""FRR on the TAP twins of the routed ports, FRR and BIRD as neighbours: `routing_lab`.

Every packet between the routers passes the dataplane, and so does every route's traffic.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import interface_mac
from tests.support.lab import NAT_POOL, ROOT, default_config
from tests.support.lab6 import DELEGATED, IPV6, LINKS
from tests.support.netns import run
from tests.support.routing_lab import (
    BOTH,
    BOTH6,
    EAST,
    EAST6,
    EAST_HOP,
    EAST_HOP6,
    WEST,
    WEST6,
    WEST_HOP,
    WEST_HOP6,
    RoutingLab,
    until,
)

SAMPLES = ("bgp", "bgp6", "ospf", "ospf6", "isis")
BOX6 = "2001:db8:2::1"
LINKS_ARE = "2001:db8:a000:"
AGGREGATE = "203.0.113.128/25"
OWN, FRAMED = "203.0.113.7", "203.0.113.64/29"
CONFIG: dict[str, Any] = {
    "pool": [
        *default_config(Path("/"))["pool"],
        {"name": "public", "ranges": [AGGREGATE], "gateway": "100.64.0.1"},
    ],
    "ipv6": IPV6,
}
FRAMED6, HOST6 = "2001:db8:f000::/48", "2001:db8:f000::1"
OFFICE = {"routes": [{"prefix": FRAMED}], "ipv6_routes": [{"prefix": FRAMED6}]}
USERS: dict[str, Any] = {"office": {"password": "secret", **OFFICE}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutingLab]:
    directory = tmp_path_factory.mktemp("lab")
    daemons = ("bgpd", "bfdd", "ospfd", "ospf6d", "isisd")
    options: dict[str, Any] = {"config": CONFIG, "users": USERS, "frr": daemons}
    with RoutingLab(f"rf{os.getpid()}", directory, **options) as lab:
        lab.start_bird()
        lab.start_routers(*SAMPLES)
        yield lab


@pytest.fixture(autouse=True)
def converged(lab: RoutingLab) -> None:
    lab.converged()


def via_west(lab: RoutingLab, *lines: str) -> None:
    """Have the FRR neighbour announce something, or no more."""
    lab.neighbour.configure(*lines)


def test_ospf_bgp_bfd_and_isis_come_up_through_the_dataplane(lab: RoutingLab) -> None:
    until(lab.ospf_full, "OSPF is Full")
    until(lambda: " Up " in lab.router.text("show isis neighbor"), "IS-IS is up")
    until(lambda: "10.255.0.2/32" in lab.router.text("show ip route ospf"), "OSPF's routes")
    assert lab.bfd_up() >= {WEST_HOP, EAST_HOP}
    for line in ("show ip ospf neighbor detail", "show ipv6 ospf6 neighbor detail"):
        until(lambda line=line: "Status: Up" in lab.router.text(line), f"{line}: BFD serves it")


def test_bngctl_shows_who_is_there_and_what_they_say(lab: RoutingLab) -> None:
    until(lab.ospf_full, "OSPF is Full")
    rows = lab.ctl_json("show", "control", "--port", "wan0")
    said = {row["class"]: (row["received"] > 0, row["sent"] > 0, row["dropped"]) for row in rows}
    for protocol in ("bgp", "bfd", "ospf", "isis", "neighbour"):
        assert said[protocol] == (True, True, 0), protocol
    macs = {row["address"]: row["mac"] for row in lab.ctl_json("show", "neighbors")}
    assert macs[WEST_HOP] == macs[WEST_HOP6] == interface_mac(lab.inet, "inet0")
    shared = lab.ctl("show", "route", BOTH).stdout.splitlines()[0]
    hops = (f"{EAST_HOP} on wan1", f"{WEST_HOP} on wan0")
    assert all(hop in shared for hop in ("by its flow to one of: ", *hops)), shared


def test_ospfv3_and_bgp_of_ipv6_come_up_and_exchange_routes(lab: RoutingLab) -> None:
    both = {WEST_HOP6, EAST_HOP6}
    until(lambda: lab.established("ipv6Unicast") == both, "BGP of IPv6")
    until(lambda: lab.bfd_up() >= both, "BFD over IPv6")
    until(lambda: "Full" in lab.router.text("show ipv6 ospf6 neighbor"), "OSPFv3 is Full")
    for aggregate in (LINKS, DELEGATED):
        for netns in (lab.inet, lab.east):
            until(lambda a=str(aggregate), n=netns: lab.routes(n, a), f"{aggregate} in {netns}")
    for prefix, ways in (("2001:db8:100::/48", 2), ("2001:db8:101::/48", 1)):
        [route] = lab.routes(lab.bng, prefix)
        assert len(route.get("nexthops", [route])) == ways, route
    for address, port in ((WEST6, "wan0"), (EAST6, "wan1")):
        until(partial(leaves_by, lab, address, port), f"{address} by {port}")
    until(lambda: len(members(lab, BOTH6)) == 2, "both share it")


def leaves_by(lab: RoutingLab, address: str, port: str) -> bool:
    """Say whether *address* leads to a neighbour on *port*: of IPv6, a link-local one."""
    found = lab.explain(address).get("adjacency", {})
    return (found.get("kind"), found.get("port")) == ("neighbour", port)


def members(lab: RoutingLab, address: str) -> list[Any]:
    """Return the adjacencies that share what goes to *address*."""
    found: list[Any] = lab.explain(address).get("adjacency", {}).get("members", [])
    return found


def test_routes_of_frr_and_bird_are_in_the_fib(lab: RoutingLab) -> None:
    assert lab.leads_to(WEST, WEST_HOP)
    assert lab.leads_to(EAST, EAST_HOP)
    until(partial(lab.leads_to, "10.255.0.2", WEST_HOP), "OSPF's route to the neighbour")


def test_a_withdrawn_route_goes_and_a_replaced_one_moves(lab: RoutingLab) -> None:
    bgp = ("router bgp 64501", "address-family ipv4 unicast")
    bgp6 = ("router bgp 64501", "address-family ipv6 unicast")
    until(lambda: len(members(lab, BOTH6)) == 2, "both share IPv6, too")
    via_west(lab, *bgp, "no network 198.18.100.0/24", "no network 198.18.101.0/24")
    via_west(lab, *bgp6, "no network 2001:db8:100::/48", "no network 2001:db8:101::/48")
    until(partial(lab.leads_to, BOTH, EAST_HOP), "one of two next hops is gone")
    until(partial(lab.leads_to, WEST), "a route that nobody else has is gone")
    until(partial(leaves_by, lab, BOTH6, "wan1"), "one of two next hops of IPv6 is gone")
    until(partial(lab.leads_to, WEST6), "a route of IPv6 that nobody else has is gone")
    via_west(lab, *bgp, "network 198.18.100.0/24", "network 198.18.101.0/24")
    via_west(lab, *bgp6, "network 2001:db8:100::/48", "network 2001:db8:101::/48")
    until(partial(lab.leads_to, BOTH, WEST_HOP, EAST_HOP), "both again")
    until(partial(lab.leads_to, WEST, WEST_HOP), "and the other one")
    until(lambda: len(members(lab, BOTH6)) == 2, "both again, of IPv6")
    until(partial(leaves_by, lab, WEST6, "wan0"), "and the other one of IPv6")


def test_static_routes_of_frr_blackhole_unreachable_and_recursive(lab: RoutingLab) -> None:
    lines = (
        "ip route 198.18.110.0/24 blackhole",
        "ip route 198.18.111.0/24 reject",
        f"ip route 198.18.112.0/24 {EAST}",  # reached by a route of BGP: zebra resolves it
        "ipv6 route 2001:db8:110::/48 blackhole",
        "ipv6 route 2001:db8:111::/48 reject",
        f"ipv6 route 2001:db8:112::/48 {EAST6}",
    )
    lab.router.configure(*lines, "ip nht resolve-via-default")
    for prefix in ("198.18.11{}.1", "2001:db8:11{}::1"):
        until(partial(lab.leads_to, prefix.format(0), "blackhole"), "blackhole")
        until(partial(lab.leads_to, prefix.format(1), "unreachable"), "reject")
        until(partial(leaves_by, lab, prefix.format(2), "wan1"), "a recursive next hop")
    assert lab.leads_to("198.18.112.1", EAST_HOP)
    lab.router.configure(*(f"no {line}" for line in lines))
    for prefix in ("198.18.11{}.1", "2001:db8:11{}::1"):
        for number in range(3):
            gone = prefix.format(number)
            until(partial(lab.leads_to, gone), f"{gone} leads nowhere any more")


def test_a_lost_link_moves_what_has_another_way(lab: RoutingLab) -> None:
    run(lab.inet, "ip", "link", "set", "inet0", "down")
    took = until(partial(lab.leads_to, BOTH, EAST_HOP), "the other neighbour has it", 3)
    until(partial(lab.leads_to, WEST), "no other way to this one", 3)
    until(partial(leaves_by, lab, BOTH6, "wan1"), "of IPv6, too", 3)
    until(partial(lab.leads_to, WEST6), "no other way to this one of IPv6", 3)
    run(lab.inet, "ip", "link", "set", "inet0", "up")
    print(f"a lost link: {took:.2f} s")
    lab.converged()


def test_frr_that_crashed_comes_back_and_nothing_stale_stays(lab: RoutingLab) -> None:
    lab.router.kill()
    via_west(lab, "router bgp 64501", "address-family ipv4 unicast", "no network 198.18.101.0/24")
    assert lab.leads_to(WEST, WEST_HOP), "without FRR the kernel's routes stay, and forward"
    lab.start_router(*SAMPLES)
    lab.converged()
    until(partial(lab.leads_to, WEST), "what was withdrawn meanwhile is gone")
    via_west(lab, "router bgp 64501", "address-family ipv4 unicast", "network 198.18.101.0/24")
    until(partial(lab.leads_to, WEST, WEST_HOP), "and back")


def test_a_restart_of_bngd_changes_nothing(lab: RoutingLab) -> None:
    everybody = {WEST_HOP, EAST_HOP, WEST_HOP6, EAST_HOP6}
    until(lambda: lab.bfd_up() >= everybody, "BFD with all")
    lab.stop("bngd")
    lab.start_bngd()
    assert lab.leads_to(BOTH, WEST_HOP, EAST_HOP)
    assert lab.established() == {WEST_HOP, EAST_HOP}
    assert lab.bfd_up() >= everybody


def test_a_restart_of_the_dataplane_finds_all_routes_again(lab: RoutingLab) -> None:
    lab.stop("bng-dataplane")
    lab.wait_gone("bngd")
    lab.start_dataplane()
    lab.start_bngd()
    lab.converged()
    assert lab.leads_to(WEST, WEST_HOP)
    assert lab.leads_to(EAST, EAST_HOP)
    for address, port in ((WEST6, "wan0"), (EAST6, "wan1")):
        until(partial(leaves_by, lab, address, port), f"{address} by {port}")


# ---- what the box exports


def knows(lab: RoutingLab, prefix: str, *, known: bool = True) -> bool:
    """Say whether both neighbours have *prefix* from the box in their kernels, or neither has."""
    found = [
        [route["gateway"] for route in lab.routes(netns, prefix) if "gateway" in route]
        for netns in (lab.inet, lab.east)
    ]
    if not known:
        return found == [[], []]
    if ":" not in prefix:
        return found == [["192.0.2.1"], ["10.8.0.1"]]
    return all(len(hops) == 1 for hops in found)


def forgets(lab: RoutingLab, prefix: str) -> bool:
    return knows(lab, prefix, known=False)


def pings(netns: str, *words: str) -> bool:
    done = run(netns, "ping", "-c", "3", "-i", "0.1", "-W", "2", *words, check=False)
    return "3 received" in done.stdout


def test_aggregates_are_announced_by_bgp_ospf_and_isis(lab: RoutingLab) -> None:
    until(partial(knows, lab, AGGREGATE), "BGP announces the pool")
    for line in ("show ip ospf route", "show isis database detail"):
        until(lambda line=line: AGGREGATE in lab.neighbour.text(line), line)
    why = "the dataplane does not follow it: nobody has the address, and who sends is told"
    assert lab.leads_to("203.0.113.200", "unreachable"), why


def test_the_boxs_own_default_route_is_announced_to_nobody(lab: RoutingLab) -> None:
    """Static routes of bng.toml are the kernel's, as what is exported is: FRR is told which."""
    statics = {"0.0.0.0/0": WEST_HOP, "198.19.2.0/24": WEST_HOP}
    statics |= {"::/0": WEST_HOP6, "2001:db8:192::/48": WEST_HOP6}
    exported = ("198.19.1.0/24", "2001:db8:191::/48")
    for prefix, hop in statics.items():
        run(lab.bng, "ip", "route", "add", prefix, "via", hop, "proto", "static")
    for prefix in exported:
        blackhole = ("blackhole", prefix, "proto", "200", "metric", "50")
        run(lab.bng, "ip", "route", "add", *blackhole)
    for prefix in exported:
        until(partial(knows, lab, prefix), f"{prefix} is announced")
    assert [p for p in statics if lab.routes(lab.east, p)] == []
    assert [p for p in ("0.0.0.0/0", "::/0") if lab.routes(lab.inet, p)] == []
    for prefix in (*statics, *exported):
        run(lab.bng, "ip", "route", "del", prefix)
    for prefix in exported:
        until(partial(forgets, lab, prefix), f"{prefix} is withdrawn")


def test_a_subscriber_reaches_both_neighbours_by_what_they_were_told(lab: RoutingLab) -> None:
    assert forgets(lab, NAT_POOL), "nobody uses it yet"
    with lab.subscriber():
        until(partial(knows, lab, NAT_POOL), "announced while it is in use")
        for address in (WEST, EAST, BOTH):
            assert pings(lab.sub, "-I", "ppp0", address), address
        until(lambda: LINKS_ARE in run(lab.sub, "ip", "-6", "addr").stdout, "SLAAC")
        for address in (WEST6, EAST6, BOTH6):
            until(lambda a=address: pings(lab.sub, "-I", "ppp0", a), f"{address} answers")
        default = run(lab.sub, "ip", "-6", "route", "show", "default", "dev", "ppp0").stdout
        assert pings(lab.sub, f"{default.split()[2]}%ppp0"), "his gateway, a link-local address"
        for hops, seen in ((1, f"From {BOX6} icmp_seq=1 Time exceeded"), (2, f"from {WEST6}")):
            words = ("-6", "-n", "-c", "1", "-t", str(hops), "-I", "ppp0", WEST6)
            assert seen in run(lab.sub, "ping", *words, check=False).stdout, "as traceroute sees it"
    until(partial(forgets, lab, NAT_POOL), "withdrawn with its last user")


OWN_PREFIXES = (f"{OWN}/32", FRAMED, FRAMED6)


def test_a_users_own_prefixes_come_and_go_with_him(lab: RoutingLab) -> None:
    with lab.subscriber("office", "secret"), lab.subscriber("pat", "public", tun="ppp1"):
        for prefix in OWN_PREFIXES:
            until(partial(knows, lab, prefix), f"{prefix} is announced")
        assert pings(lab.inet, OWN)
        for big, said in (
            (("-s", "1465", OWN), "Frag needed and DF set (mtu = 1492)"),
            (("-s", "1445", HOST6), "Packet too big: mtu=1492"),
        ):
            refused = run(lab.inet, "ping", "-c", "1", "-M", "do", *big, check=False).stdout
            assert said in refused, "whoever sends to a subscriber learns the path's MTU"
        assert pings(lab.east, "-I", EAST_HOP, OWN)
        states = {row["prefix"]: row for row in lab.ctl_json("show", "export")}
        assert states[FRAMED] == {"prefix": FRAMED, "kind": "framed", "state": "installed"}
        lab.stop("bngd")
        for prefix in OWN_PREFIXES:
            assert knows(lab, prefix), "while bngd is away they stand: the dataplane forwards"
        lab.start_bngd()
        assert all(knows(lab, prefix) for prefix in OWN_PREFIXES)
        assert pings(lab.inet, OWN)
    for prefix in OWN_PREFIXES:
        until(partial(forgets, lab, prefix), f"{prefix} is withdrawn")


def test_a_dead_access_side_and_a_drained_box_attract_nothing(lab: RoutingLab) -> None:
    def both(check: Callable[[RoutingLab, str], bool], why: str) -> None:
        for prefix in (AGGREGATE, str(LINKS), str(DELEGATED)):
            until(partial(check, lab, prefix), f"{why}: {prefix}")

    run(lab.sub, "ip", "link", "set", "sub0", "down")
    both(forgets, "the access port is down")
    run(lab.sub, "ip", "link", "set", "sub0", "up")
    both(knows, "and up")
    lab.ctl("drain")
    both(forgets, "drained, and nobody is there")
    lab.ctl("undrain")
    both(knows, "and back")


# ---- BIRD in place of FRR


@contextlib.contextmanager
def bird_beside_the_box(lab: RoutingLab) -> Iterator[None]:
    """Have BIRD with its sample do what FRR does, as long as the block lasts."""
    control = lab.directory / "box-bird.ctl"
    argv = ("-f", "-c", str(ROOT / "conf" / "bird" / "bird.conf"), "-s", str(control))
    lab.router.stop()
    lab.spawn("bng", "box-bird", "/usr/sbin/bird", *argv)
    try:
        lab.wait("box-bird", control.exists)
        yield
    finally:
        lab.stop("box-bird")
        lab.start_router(*SAMPLES)


def test_bird_beside_the_box_does_what_frr_does(lab: RoutingLab) -> None:
    with bird_beside_the_box(lab), lab.subscriber("office", "secret"):
        until(partial(lab.leads_to, BOTH, WEST_HOP, EAST_HOP), "both share it", 30)
        until(lambda: len(members(lab, BOTH6)) == 2, "both share it, of IPv6", 30)
        for address, port in ((WEST, "wan0"), (EAST, "wan1"), (WEST6, "wan0"), (EAST6, "wan1")):
            until(partial(leaves_by, lab, address, port), f"{address} by {port}")
        until(lambda: {"192.0.2.1", BOX6} <= lab.bfd_up(lab.neighbour), "BFD with BIRD")
        for prefix in (AGGREGATE, FRAMED, str(LINKS), str(DELEGATED), FRAMED6):
            until(partial(knows, lab, prefix), f"{prefix} is announced")
        run(lab.inet, "ip", "link", "set", "inet0", "down")
        until(partial(lab.leads_to, BOTH, EAST_HOP), "the other neighbour has it")
        until(partial(leaves_by, lab, BOTH6, "wan1"), "of IPv6, too")
        run(lab.inet, "ip", "link", "set", "inet0", "up")
    until(partial(forgets, lab, FRAMED), "gone with the user")
