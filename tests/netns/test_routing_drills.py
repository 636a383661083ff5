"""Routing under stress, and what the box's own kernel does by its TAPs: see `routing_lab`.

Established sessions stay up whatever floods the box; a neighbour that falls silent is left by BFD;
a next hop that the host itself never talks to stays reachable.
"""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.bench import routes6
from tests.bench.routes import make_routes
from tests.bench.routes_peer import Tables, measure
from tests.support.client.load import LoadClient
from tests.support.lab import GATEWAY, PAGE, ROOT, load_users
from tests.support.lab6 import IPV6
from tests.support.netns import command, inside, run
from tests.support.pinger import pinging
from tests.support.routing_lab import (
    BOTH,
    BOTH6,
    EAST,
    EAST_HOP,
    EAST_HOP6,
    WEST,
    WEST_HOP,
    WEST_HOP6,
    RoutingLab,
    until,
)

STORM = 300
OPTIONS: dict[str, Any] = {
    "config": {"session": {"setup_per_s": 1000}, "ipv6": IPV6},
    "users": load_users(STORM),
    "frr": ("bgpd", "bfdd"),
}
BOX, BOX6 = "192.0.2.1", "2001:db8:2::1"
FLOOD_S = 2
COUNTERS = ("rx_errors", "tx_errors", "control_received", "control_lost", "control_errors")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutingLab]:
    with RoutingLab(f"rd{os.getpid()}", tmp_path_factory.mktemp("lab"), **OPTIONS) as lab:
        lab.start_bird()
        lab.start_routers("bgp", "bgp6")
        yield lab


@pytest.fixture(autouse=True)
def converged(lab: RoutingLab) -> None:
    lab.converged()


def lost(lab: RoutingLab) -> int:
    """Return how often a BGP or BFD session of the box went down so far."""
    bfd = sum(int(p["session-down"]) for p in lab.router.show("bfd peers counters"))
    return bfd + sum(
        int(peer["connectionsDropped"]) for peer in lab.router.show("bgp neighbors").values()
    )


def flood(lab: RoutingLab, kind: str, *target: str) -> int:
    """Flood the box from the west; return how many frames were sent."""
    mac = run(lab.bng, "cat", "/sys/class/net/bng-wan0/address").stdout.strip()
    argv = [sys.executable, "-m", "tests.support.flood", "inet0", kind, str(FLOOD_S), mac, *target]
    done = subprocess.run(
        command(lab.inet, argv), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@contextlib.contextmanager
def flooding(lab: RoutingLab, device: str, target: str) -> Iterator[None]:
    """Send data to *target* through the box while the block lasts, as fast as it goes."""
    side, twin = (lab.inet, "bng-wan0") if device == "inet0" else (lab.east, "bng-wan1")
    mac = run(lab.bng, "cat", f"/sys/class/net/{twin}/address").stdout.strip()
    argv = [sys.executable, "-m", "tests.support.flood", device, "data", "60", mac, target]
    argv = ["nice", "-n", "19", *argv]  # the daemons have to live as well
    with subprocess.Popen(command(side, argv), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        yield
        process.kill()


def _ping(netns: str, *words: str) -> str:
    return run(netns, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "2", *words, check=False).stdout


# ---- nothing starves the routing protocols


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("box", "other"), ("bgp", "stranger"), ("arp", "neighbour"), ("data", "")],
)
def test_sessions_stay_up_in_a_flood(lab: RoutingLab, kind: str, reason: str) -> None:
    before, dropped = lost(lab), lab.drops("twin_output")
    with lab.subscriber("pat", "public") as event:
        target = (event["address"],) if kind == "data" else ()
        sent = flood(lab, kind, *target)
    assert sent > 1000
    assert lost(lab) == before
    assert lab.established() == {WEST_HOP, EAST_HOP}
    if reason in ("stranger", "neighbour"):
        assert lab.drops("twin_output") > dropped, "more was sent than the class may have"


def port(lab: RoutingLab, name: str) -> dict[str, int]:
    """Return the counters of a port."""
    row = next(row for row in lab.ctl_json("show", "ports") if row["port"] == name)
    return {key: value for key, value in row.items() if key in COUNTERS}


def bfd_packets(lab: RoutingLab) -> tuple[int, int, int, int]:
    """Return what box and western neighbour counted: sent by one, received by the other."""
    found = []
    for router, peer in ((lab.router, WEST_HOP), (lab.neighbour, BOX)):
        peers = router.show("bfd peers counters")
        row = next(row for row in peers if row["peer"] == peer)
        found += [int(row["control-packet-output"]), int(row["control-packet-input"])]
    out, came, their_out, their_came = found
    return their_out, came, out, their_came


@contextlib.contextmanager
def narrow(lab: RoutingLab) -> Iterator[None]:
    """Have the western port send 2 Mbit/s, by a queue in bands as the kernel's default one is."""
    tbf = ("root", "handle", "1:", "tbf", "rate", "2mbit", "burst", "10k", "limit", "100k")
    run(lab.bng, "tc", "qdisc", "add", "dev", "wan0", *tbf)
    run(lab.bng, "tc", "qdisc", "add", "dev", "wan0", "parent", "1:1", "pfifo_fast")
    try:
        yield
    finally:
        run(lab.bng, "tc", "qdisc", "del", "dev", "wan0", "root")


def is_overloaded(lab: RoutingLab, before: dict[str, dict[str, int]]) -> bool:
    """Say whether much was lost that came, on both ports, and that left, on the narrow one."""
    lost = [port(lab, name)["rx_errors"] - before[name]["rx_errors"] for name in before]
    lost.append(port(lab, "wan0")["tx_errors"] - before["wan0"]["tx_errors"])
    return min(lost) > 1000


def test_sessions_stay_up_when_data_overloads_the_dataplane_both_ways(lab: RoutingLab) -> None:
    """It has a fifth of the time, and the port towards the west a trickle: most data is lost.

    No BFD packet is: all that a side sends is received by the other.
    """
    before, ports = lost(lab), {name: port(lab, name) for name in ("wan0", "wan1")}
    counted = bfd_packets(lab)
    process = lab.process("bng-dataplane")
    with narrow(lab), flooding(lab, "inet0", EAST), flooding(lab, "east0", WEST):
        for turn in itertools.count():
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            if turn > 20 and (turn > 200 or is_overloaded(lab, ports)):
                break
    there = bfd_packets(lab)
    theirs, came, ours, arrived = (now - then for now, then in zip(there, counted, strict=True))
    assert theirs > 5 and came >= theirs - 2, "their packets came"
    assert ours > 5 and arrived >= ours - 2, "ours arrived"
    assert lost(lab) == before
    assert is_overloaded(lab, ports)
    for name in ports:
        moved = {key: now - ports[name][key] for key, now in port(lab, name).items()}
        assert moved["control_received"] > 5
        assert moved["control_lost"] == moved["control_errors"] == 0


def test_sessions_stay_up_while_hundreds_dial_in(lab: RoutingLab) -> None:
    before = lost(lab)
    client = LoadClient("sub0", STORM, 1000, netns=lab.sub)
    try:
        assert client.run(timeout_s=30).opened == STORM
    finally:
        client.terminate_all("padt")
        client.close()
    assert lost(lab) == before
    lab.wait_for_sessions(0)


# ---- a netlink socket that overflows


def test_after_an_overrun_of_netlink_the_fib_is_the_kernels_again(
    lab: RoutingLab, tmp_path: Path
) -> None:
    """The dataplane stands still, which BFD notices, while more changes than its socket holds."""
    file = tmp_path / "batch"
    prefixes = [f"198.{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32" for i in range(60_000)]
    lost_before = lab.ctl_json("show", "fib")["kernel"]["events_lost"]
    process = lab.process("bng-dataplane")
    process.send_signal(signal.SIGSTOP)
    try:
        for verb in ("add", "del"):
            some = prefixes if verb == "add" else prefixes[1:]
            file.write_text("".join(f"route {verb} {prefix} via {EAST_HOP}\n" for prefix in some))
            run(lab.bng, "ip", "-batch", str(file))
        run(lab.bng, "ip", "route", "replace", prefixes[0], "via", WEST_HOP)
    finally:
        process.send_signal(signal.SIGCONT)
    until(lambda: lab.ctl_json("show", "fib")["kernel"]["events_lost"] > lost_before, "noticed")
    until(partial(lab.leads_to, "198.20.0.0", WEST_HOP), "what changed last")
    until(partial(lab.leads_to, "198.20.0.1"), "what came and went")
    lab.converged()
    run(lab.bng, "ip", "route", "del", prefixes[0])


# ---- convergence


@contextlib.contextmanager
def silenced(lab: RoutingLab) -> Iterator[None]:
    """Have the neighbour in the west hear and say nothing; its link stays up."""
    rules = "table netdev dead { chain in { type filter hook ingress device inet0 priority 0; drop;"
    rules += " }; chain out { type filter hook egress device inet0 priority 0; drop; }; }"
    run(lab.inet, "nft", rules)
    try:
        yield
    finally:
        run(lab.inet, "nft", "delete table netdev dead")


def best_by(lab: RoutingLab, port: str) -> bool:
    """Say whether both families' routes to what is behind both neighbours leave by *port* alone."""
    found = [lab.explain(address).get("adjacency", {}) for address in (BOTH, BOTH6)]
    return all((way.get("kind"), way.get("port")) == ("neighbour", port) for way in found)


@contextlib.contextmanager
def west_is_better(lab: RoutingLab) -> Iterator[None]:
    """Have what is behind both neighbours go by the west alone, in both families."""
    for verb in ("", "no "):
        for family, hop in (("ipv4", WEST_HOP), ("ipv6", WEST_HOP6)):
            lines = (f"address-family {family} unicast", f"{verb}neighbor {hop} weight 100")
            lab.router.configure("router bgp 64500", *lines)
        if not verb:
            until(partial(best_by, lab, "wan0"), "the west is better")
            yield


def test_bfd_moves_traffic_of_both_families_away_from_a_neighbour_that_fell_silent(
    lab: RoutingLab,
) -> None:
    until(lambda: lab.bfd_up() >= {WEST_HOP, EAST_HOP, WEST_HOP6, EAST_HOP6}, "BFD with all")
    with lab.subscriber(), west_is_better(lab):
        until(lambda: "global" in run(lab.sub, "ip", "-6", "addr", "show", "ppp0").stdout, "SLAAC")
        for to in (BOTH, BOTH6):
            until(lambda to=to: "2 received" in _ping(lab.sub, "-I", "ppp0", to), f"{to} answers")
        with (
            pinging(lab.sub, BOTH, 0.01, "ppp0") as pings,
            pinging(lab.sub, BOTH6, 0.01, "ppp0") as pings6,
        ):
            time.sleep(0.5)
            with silenced(lab):
                until(partial(best_by, lab, "wan1"), "the east has both", 5)
                time.sleep(0.3)
        for name, found in (("IPv4", pings), ("IPv6", pings6)):
            print(f"BFD at 3 x 300 ms: {found.silence_s:.3f} s without an answer by {name}")
            assert 0.3 < found.silence_s < 3, "the Hold Time of BGP is 9 s"


# ---- next hops


def test_a_next_hop_that_the_host_never_talks_to_outlives_the_kernels_neighbours(
    lab: RoutingLab,
) -> None:
    run(lab.inet, "ip", "addr", "replace", "192.0.2.77/24", "dev", "inet0")
    lab.router.configure("ip route 198.18.101.1/32 192.0.2.77")
    with lab.subscriber():
        ping = ("ping", "-n", "-c", "60", "-i", "0.05", "-W", "1", "-I", "ppp0", WEST)
        until(lambda: "2 received" in _ping(lab.sub, "-I", "ppp0", WEST), "it is reached")
        with subprocess.Popen(command(lab.sub, ping), stdout=subprocess.PIPE, text=True) as going:
            for _ in range(5):
                time.sleep(0.4)
                run(lab.bng, "ip", "neigh", "del", "192.0.2.77", "dev", "bng-wan0", check=False)
            text, _ = going.communicate(timeout=30)
        received = int(re.findall(r"(\d+) received", text)[0])
        assert received >= 50, text  # those under way when it is forgotten may be lost
    lab.router.configure("no ip route 198.18.101.1/32 192.0.2.77")


# ---- the kernel's own traffic


FAMILIES = [(BOX, WEST_HOP), (BOX6, WEST_HOP6)]
BOX_EAST = ("10.8.0.1", "2001:db8:8::1")


def _udp(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(5)
    return made


def test_the_box_pings_and_fetches_by_its_taps(lab: RoutingLab) -> None:
    for address in (WEST_HOP, EAST_HOP, WEST, EAST, WEST_HOP6, EAST_HOP6):
        assert "2 received" in _ping(lab.bng, address), address
    assert run(lab.bng, "curl", "-sS", "--max-time", "5", f"http://{WEST_HOP}/").stdout == PAGE


@pytest.mark.parametrize(("box", "west"), FAMILIES)
def test_the_box_asks_and_logs_by_its_taps(lab: RoutingLab, box: str, west: str) -> None:
    """As DNS, RADIUS and syslog do."""
    with inside(lab.inet), _udp(west) as server:
        server.bind((west, 514))
        with inside(lab.bng), _udp(west) as syslog:
            syslog.connect((west, 514))
            syslog.send(b"<14>hello")
            data, source = server.recvfrom(100)
            server.sendto(data, source)  # as a DNS or RADIUS server answers
            assert syslog.recv(100) == b"<14>hello"
    assert source[0] == box


@pytest.mark.parametrize(("box", "west"), FAMILIES)
def test_the_box_answers_ping_traceroute_and_tcp_on_its_addresses(
    lab: RoutingLab, box: str, west: str
) -> None:
    for netns, address in ((lab.inet, box), (lab.east, BOX_EAST[":" in box])):
        assert "2 received" in _ping(netns, address), address
    with inside(lab.inet), _udp(box) as probe:
        probe.bind((west, 0))
        probe.connect((box, 33434))  # what traceroute sends last (RFC 792: port unreachable)
        probe.send(b"probe")
        with pytest.raises(ConnectionRefusedError):
            probe.recv(100)
    with inside(lab.bng):
        family = socket.AF_INET6 if ":" in box else socket.AF_INET
        server = socket.create_server((box, 22), family=family)
    with inside(lab.inet):
        client = socket.create_connection((box, 22), timeout=5)
    with server, client, server.accept()[0] as ssh:
        ssh.sendall(b"SSH-2.0-test\r\n")
        assert client.recv(100) == b"SSH-2.0-test\r\n"


def test_the_box_is_a_hop_on_the_way_to_subscribers(lab: RoutingLab) -> None:
    with lab.subscriber("pat", "public") as event:
        until(lambda: lab.routes(lab.inet, f"{event['address']}/32"), "his route is announced")
        hop = _ping(lab.inet, "-t", "1", event["address"])
        assert f"From {BOX} icmp_seq=1 Time to live exceeded" in hop


def test_subscribers_ping_their_gateway_and_see_the_box_in_a_traceroute(lab: RoutingLab) -> None:
    with lab.subscriber():
        assert "2 received" in _ping(lab.sub, "-I", "ppp0", GATEWAY)
        hop = _ping(lab.sub, "-t", "1", "-I", "ppp0", WEST_HOP)
        assert f"From {GATEWAY} icmp_seq=1 Time to live exceeded" in hop
        assert "2 received" in _ping(lab.sub, "-t", "2", "-I", "ppp0", WEST_HOP)


# ---- many routes


def test_thousands_of_birds_routes_are_in_the_fib_and_gone_without_a_packet_lost() -> None:
    """What ``packaging/bench routes --from bird`` measures with a million, and IPv6 beside them."""
    tables = Tables(make_routes(5_000), routes6.make_routes(2_000))
    learned, withdrawn = measure(tables, "bird")
    assert learned.right and withdrawn.right
    assert learned.lost == 0, learned
    assert withdrawn.lost == 0, withdrawn
