"""Neighbours of routed ports: what is forgotten, does not answer, lies, or is looked for in vain.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
b has many gateways' addresses: routes lead through each of them, and the box itself never talks
with any.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tests.support import claimant
from tests.support.hostile import ICMP, ip4
from tests.support.hostile import icmp as icmp4
from tests.support.hostile6 import ALL_NODES, MTU_OPTION, icmp6
from tests.support.netns import inside
from tests.support.router_lab import (
    BOX_B,
    HOST_A,
    HOST_B,
    WAN1,
    Leaf,
    RouterLab,
    counted_packets,
    until,
)

GATEWAYS = 40


@dataclass(frozen=True)
class Family:
    """The addresses of one family: box and hosts, what is reached through gateways."""

    flag: str
    box_a: str
    host_a: str
    box_b: str
    host_b: str
    gateway: str
    """The first; the others follow."""
    far: str
    bits: int

    def gateways(self) -> list[str]:
        return [str(ip_address(self.gateway) + i) for i in range(GATEWAYS)]

    def behind(self) -> list[str]:
        """Return what each gateway leads to."""
        return [str(ip_address(self.far) + i) for i in range(GATEWAYS)]


IP4 = Family("-4", "10.9.0.1", HOST_A, BOX_B, HOST_B, "10.8.0.100", "203.0.113.1", 32)
IP6 = Family(
    *("-6", "2001:db8:9::1", "2001:db8:9::2", "2001:db8:8::1", "2001:db8:8::2"),
    *("2001:db8:8::100", "2001:db8:ff00::1", 128),
)
FAMILIES = pytest.mark.parametrize("family", [IP4, IP6], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterLab]:
    with RouterLab(f"nbr{os.getpid()}", tmp_path_factory.mktemp("neighbours")) as lab:
        lab.start()
        furnish(lab)
        yield lab


def write(lab: RouterLab, side: str, key: str, value: int) -> None:
    lab.run(side, "sh", "-c", f"echo {value} >/proc/sys/net/{key}")


def batch(lab: RouterLab, side: str, lines: list[str], *, force: bool = False) -> str:
    """Have ip(8) do all of *lines*; return what it complains of."""
    file = lab.log.parent / "batch"
    file.write_text("\n".join(lines) + "\n")
    words = ("-force",) if force else ()
    return lab.run(side, "ip", *words, "-batch", str(file), check=not force).stderr


def furnish(lab: RouterLab) -> None:
    """Give all of them IPv6, b the gateways' addresses, the box a route through each."""
    for side, device, address in (
        *(("bng", "bng-wan0", IP6.box_a), ("bng", "bng-wan1", IP6.box_b)),
        *(("a", "e", IP6.host_a), ("b", "e", IP6.host_b)),
    ):
        write(lab, side, f"ipv6/conf/{device}/disable_ipv6", 0)
        lab.ip(side, f"addr replace {address}/64 dev {device} nodad")
    write(lab, "b", "ipv6/conf/lo/disable_ipv6", 0)
    lab.ip("a", f"route replace default via {IP6.box_a}")
    lab.ip("b", f"route replace default via {IP6.box_b}")
    for family in (IP4, IP6):
        hops = list(zip(family.gateways(), family.behind(), strict=True))
        nodad = " nodad" if family is IP6 else ""
        batch(lab, "b", [f"addr add {g}/{family.bits} dev e{nodad}" for g, _ in hops])
        batch(lab, "b", [f"addr add {far}/{family.bits} dev lo" for _, far in hops])
        batch(lab, "bng", [f"route add {far}/{family.bits} via {g}" for g, far in hops])
        for gateway, far in hops:
            lab.waits_for(far, Leaf("neighbour", WAN1, gateway, family.bits))
        until(lambda to=family.far: lab.ping("a", to), "the hosts know the box")  # type: ignore[misc]


def known(lab: RouterLab, family: Family) -> int:
    """Return how many of the gateways' MACs the kernel knows."""
    shown = lab.run("bng", "ip", family.flag, "neigh", "show", "dev", "bng-wan1").stdout
    lines = [line.split() for line in shown.splitlines()]
    return sum(words[0] in family.gateways() and "lladdr" in words for words in lines)


def led_astray(lab: RouterLab, family: Family) -> list[str]:
    """Return the gateways whose routes cannot be used at this moment."""
    pairs = zip(family.gateways(), family.behind(), strict=True)
    return [g for g, far in pairs if lab.leaf(far) != Leaf("neighbour", WAN1, g, family.bits)]


# ---- what the kernel forgets ----


@FAMILIES
def test_a_flush_of_all_neighbours_loses_no_packet(lab: RouterLab, family: Family) -> None:
    held = int(lab.arena.mirror.held)
    with counted_packets(lab, family.far):
        for _ in range(3):
            lab.run("bng", "ip", family.flag, "neigh", "flush", "dev", "bng-wan1")
            assert led_astray(lab, family) == []
    until(lambda: int(lab.arena.mirror.held) >= held + GATEWAYS, "all were forgotten")
    until(lambda: known(lab, family) == GATEWAYS, "all are found again", timeout_s=10)
    assert led_astray(lab, family) == []


def test_a_gateway_that_does_not_answer_is_lost_then_and_found_when_it_does(lab: RouterLab) -> None:
    """The kernel says so (NUD_FAILED); until then packets go where the gateway was."""
    families = (IP4, IP6)
    for family in families:
        lab.ip("b", f"addr del {family.gateway}/{family.bits} dev e")
        lab.ip("bng", f"neigh del {family.gateway} dev bng-wan1")
        assert family.gateway not in led_astray(lab, family)
    for family in families:
        glean = Leaf("glean", WAN1, family.gateway, family.bits)
        until(lambda f=family, g=glean: lab.leaf(f.far) == g, "it is lost", timeout_s=15)  # type: ignore[misc]
    for family in families:
        nodad = " nodad" if family is IP6 else ""
        lab.ip("b", f"addr add {family.gateway}/{family.bits} dev e{nodad}")
    for family in families:
        until(lambda f=family: led_astray(lab, f) == [], "it is found again", timeout_s=15)  # type: ignore[misc]


def fill(lab: RouterLab, family: Family, count: int) -> str:
    """Give the kernel *count* neighbours elsewhere; return what it complains of."""
    base = ip_address("10.50.0.2" if family is IP4 else "2001:db8:50::2")
    lines = [
        f"neigh replace {base + i} lladdr 02:00:00:00:00:01 dev other nud reachable"
        for i in range(count)
    ]
    return batch(lab, "bng", lines, force=True)


@contextlib.contextmanager
def elsewhere(lab: RouterLab) -> Iterator[None]:
    """Have a device in the box that is not ours; its neighbours count in the same tables."""
    lab.ip("bng", "link add other type veth peer name other1")
    try:
        write(lab, "bng", "ipv6/conf/other/disable_ipv6", 0)
        for device in ("other", "other1"):
            lab.ip("bng", f"link set {device} up")
        yield
    finally:
        lab.ip("bng", "link del other")


def test_gateways_stay_when_the_kernel_has_no_room_for_neighbours(lab: RouterLab) -> None:
    """Beyond gc_thresh2 it forgets who is stale and 5 s old, beyond gc_thresh3 it refuses."""
    stale = "neigh change {} dev bng-wan1 nud stale"
    batch(lab, "bng", [stale.format(g) for family in (IP4, IP6) for g in family.gateways()])
    time.sleep(5.5)
    with elsewhere(lab), counted_packets(lab, IP6.far):
        for family in (IP4, IP6):
            held = int(lab.arena.mirror.held)
            assert "No buffer space available" in fill(lab, family, 1_200)
            until(lambda n=held: int(lab.arena.mirror.held) > n, "some were forgotten")  # type: ignore[misc]
            assert led_astray(lab, family) == []
    for family in (IP4, IP6):
        until(lambda f=family: known(lab, f) == GATEWAYS, "all are found again", timeout_s=15)  # type: ignore[misc]
        assert led_astray(lab, family) == []


# ---- what others say ----


def tell(lab: RouterLab, *packets: bytes) -> None:
    """Send packets from b to the box, or to the group that they are for."""
    box = bytes.fromhex(lab.mac("bng", "bng-wan1").replace(":", ""))
    own = bytes.fromhex(lab.mac("b", "e").replace(":", ""))
    with inside(lab.netns("b")), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("e", 0))
        for data in packets:
            group = data[0] >> 4 == 6 and data[24] == 0xFF
            to = b"\x33\x33" + data[36:40] if group else box
            out.send(to + own + (b"\x86\xdd" if data[0] >> 4 == 6 else b"\x08\0") + data)


def shown(lab: RouterLab, *words: str) -> str:
    return lab.run("bng", "ip", *words).stdout


def received(lab: RouterLab, name: str) -> int:
    return lab.kernel_counter(name)


@pytest.mark.parametrize("forwarding", [0, 1])
def test_a_stranger_s_router_advertisements_change_nothing(lab: RouterLab, forwarding: int) -> None:
    """RFC 4861 §6.2.7: a router takes no parameters of others; nor does a box that is not one."""
    write(lab, "bng", "ipv6/conf/bng-wan1/forwarding", forwarding)
    before = received(lab, "Icmp6InRouterAdvertisements")
    source = IPv6Address("fe80::66")
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 9000, 9000, 0)
    prefix += IPv6Address("2001:db8:66::").packed
    route = struct.pack("!BBBBI", 24, 2, 48, 0, 9000) + IPv6Address("2001:db8:67::").packed[:8]
    head = struct.pack("!BBHII", 64, 0, 9000, 0, 0)
    tell(lab, icmp6(source, ALL_NODES, 134, 0, head + MTU_OPTION + prefix + route))
    until(lambda: received(lab, "Icmp6InRouterAdvertisements") > before, "the kernel has it")
    assert "fe80::66" not in shown(lab, "-6", "route")
    assert "2001:db8:66:" not in shown(lab, "-6", "addr")
    mtu = lab.run("bng", "cat", "/proc/sys/net/ipv6/conf/bng-wan1/mtu").stdout
    assert mtu.strip() == "1500"


@pytest.mark.parametrize("forwarding", [0, 1])
def test_redirects_change_nothing(lab: RouterLab, forwarding: int) -> None:
    """RFC 1812 §5.2.7.2, RFC 4861 §8.2."""
    for family in ("ipv4", "ipv6"):
        write(lab, "bng", f"{family}/conf/bng-wan1/forwarding", forwarding)
    router = IPv6Address("fe80::b")
    lab.ip("b", "addr replace fe80::b/64 dev e nodad")
    lab.ip("bng", "route replace 2001:db8:fe00::1/128 via fe80::b dev bng-wan1")
    lab.waits_for("2001:db8:fe00::1", Leaf("neighbour", WAN1, "fe80::b", 128))
    target = IPv6Address("2001:db8:fe00::1")
    own = IPv6Address(IP6.box_b)
    far, box, gateway = (IPv4Address(text) for text in (IP4.far, IP4.box_b, IP4.gateway))
    quote = ip4(box, far, 17, b"\0\7\0\7\0\10\0\0")
    dropped = lab.arena.edge_counters()[("twin_output", "drop", "redirect")]
    tell(
        lab,
        icmp6(router, own, 137, 0, bytes(4) + IPv6Address("fe80::66").packed + target.packed),
        ip4(gateway, box, ICMP, icmp4(5, 1, IPv4Address("10.8.0.66").packed + quote)),
    )
    until(
        lambda: lab.arena.edge_counters()[("twin_output", "drop", "redirect")] == dropped + 2,
        "both came",
    )
    assert "via fe80::b " in shown(lab, "-6", "route", "get", str(target))
    assert f"via {gateway} " in shown(lab, "route", "get", str(far))


def test_a_lie_about_a_gateways_mac_ends_when_nobody_answers_there(lab: RouterLab) -> None:
    """ARP and ND believe it (RFC 4861 §7.2.5); traffic has the kernel ask, then look anew."""
    families = (IP4, IP6)
    real, lie = lab.mac("b", "e"), claimant.MAC.hex(":")
    for family, tree in ((IP4, "ipv4"), (IP6, "ipv6")):
        write(lab, "bng", f"{tree}/neigh/bng-wan1/delay_first_probe_time", 1)
        write(lab, "bng", f"{tree}/neigh/bng-wan1/retrans_time_ms", 200)
        words = ("-m", "tests.support.claimant", "e", family.gateway, "1")
        lab.run("b", sys.executable, *words)
        until(lambda to=family.far: lab.rewrite(to) == lie, "the lie is believed")  # type: ignore[misc]
    pings = [lab.background("a", "ping", "-n", "-i", "0.1", f.far) for f in families]
    with pings[0], pings[1]:
        for family in families:
            until(lambda to=family.far: lab.rewrite(to) == real, "found out", timeout_s=20)  # type: ignore[misc]
    for family in families:
        until(lambda to=family.far: lab.ping("a", to), "it is reached again")  # type: ignore[misc]


# ---- what is looked for in vain ----

SCAN = """
import socket, sys, time
from ipaddress import ip_address
first, seconds = ip_address(sys.argv[1]), float(sys.argv[2])
out = socket.socket(socket.AF_INET if first.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
end, i = time.monotonic() + seconds, 0
while time.monotonic() < end:
    for _ in range(64):
        i += 1
        out.sendto(b"x", (str(first + i), 9))
    time.sleep(0.002)  # others have to come through
"""


@FAMILIES
def test_a_scan_starves_neither_gateways_nor_neighbours(lab: RouterLab, family: Family) -> None:
    """RFC 6583: the rate of resolution is limited, and who was there before comes first."""
    mirror, device = lab.arena.mirror, "bng-wan1"
    base, bits = ("10.64.0.", 16) if family is IP4 else ("2001:db8:64::", 64)
    nodad = "" if family is IP4 else " nodad"
    friend = f"{base}2"
    lab.ip("bng", f"addr add {base}1/{bits} dev {device}{nodad}")
    lab.ip("b", f"addr add {friend}/{bits} dev e{nodad}")
    until(lambda: lab.ping("a", friend), "it is met")
    lab.waits_for(friend, Leaf("neighbour", WAN1, friend, family.bits))
    cut, resolves, begin = int(mirror.resolves_cut), int(mirror.resolves), time.monotonic()
    scan = ("10.64.16.0" if family is IP4 else "2001:db8:64::1:0", "4")
    with lab.background("a", sys.executable, "-c", SCAN, *scan) as process:
        until(lambda: int(mirror.resolves_cut) > cut + 1_000, "most are not asked for")
        lab.ip("bng", f"neigh del {friend} dev {device}")
        lab.ip("bng", f"neigh del {family.gateway} dev {device}")
        assert led_astray(lab, family) == []
        for host in (friend, family.far):
            until(lambda to=host: lab.ping("a", to, "-c", "1", "-W", "0.2"), "it answers as before")  # type: ignore[misc]
        until(lambda: known(lab, family) == GATEWAYS, "the gateway is found", timeout_s=10)
        assert process.poll() is None, "the scan was over too soon to show anything"
    took = time.monotonic() - begin
    assert int(mirror.resolves) - resolves <= 200 + 50 * (took + 1)
    found = shown(lab, family.flag, "neigh", "show", "dev", device).splitlines()
    assert len(found) <= GATEWAYS + 5 + 100 + 50 * (took + 1)
