"""Routed ports in VLANs, one-armed boxes, several ports of either kind, between real processes.

The labs are in `tests.support.vlan_lab`. The kernel has no 8021q: hosts behind tags are Linux
behind a TAP whose frames our own code tags.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import MakeLab, interface_mac, running_lab
from tests.netns.test_dual_stack import delegated, on_link
from tests.support.client.flows import Address
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.client.subscriber import Subscriber
from tests.support.lab import GATEWAY, PAGE, PUBLIC_ADDRESS, SERVER, Lab, load_users, program
from tests.support.lab6 import SERVER6
from tests.support.netns import run
from tests.support.router_lab import until
from tests.support.routing_lab import Frr
from tests.support.traffic import EchoServer
from tests.support.tshark import Capture, complaints, count, fields
from tests.support.vlan_host import tag_bytes
from tests.support.vlan_lab import XDP, OneArmedLab, TwoByTwoLab, VlanLab

TAG300 = "!ieee8021ad && vlan.id == 300"
QINQ = "ieee8021ad.id == 400 && vlan.id == 7"
MANY = 20
FULL = ("-M", "do", "-s", "1472")
DRIVERS: list[dict[str, Any]] = [{"driver": "af_packet"}, XDP]


@pytest.fixture(scope="module", params=DRIVERS, ids=lambda keys: keys["driver"])
def trunk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VlanLab]:
    with running_lab(tmp_path_factory.mktemp("trunk"), VlanLab, driver=request.param) as lab:
        assert isinstance(lab, VlanLab)
        yield lab


@pytest.fixture(scope="module", params=DRIVERS, ids=lambda keys: keys["driver"])
def armed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OneArmedLab]:
    with running_lab(
        tmp_path_factory.mktemp("armed"),
        OneArmedLab,
        driver=request.param,
        users=load_users(MANY),
    ) as lab:
        assert isinstance(lab, OneArmedLab)
        yield lab


def ping(netns: str, *words: str) -> str:
    done = run(netns, "ping", "-c", "3", "-i", "0.2", "-W", "2", *words, check=False)
    return done.stdout + done.stderr


def pinged(netns: str, *words: str) -> None:
    """Assert that all three answers come, and each once."""
    said = ping(netns, *words)
    assert "3 received" in said, said
    assert "DUP" not in said, said


def ports(lab: Lab) -> dict[str, dict[str, Any]]:
    return {row["port"]: row for row in lab.ctl_json("show", "ports")}


def forget(lab: VlanLab, address: str, device: str) -> None:
    """Have the kernel ask anew for a neighbour. A flush may not end: it is back at once."""
    done = run(lab.bng, "ip", "neigh", "del", address, "dev", device, check=False)
    assert done.stderr in ("", "RTNETLINK answers: No such file or directory\n")


def test_the_kernel_pings_and_is_pinged_behind_the_tags_of_each_port(
    trunk: VlanLab, tmp_path: Path
) -> None:
    mac = interface_mac(trunk.bng, "wan0")
    for tap, tags, host, box in (
        ("bng-tag300", TAG300, "198.18.0.2", "198.18.0.1"),
        ("bng-qinq", QINQ, "198.18.1.2", "198.18.1.1"),
        ("bng-wan0", "!ieee8021ad && !vlan", SERVER, "192.0.2.1"),
    ):
        assert interface_mac(trunk.bng, tap) == mac
        with Capture(trunk.inet, "inet0", tmp_path / f"{tap}.pcap") as capture:
            forget(trunk, host, tap)
            pinged(trunk.bng, host)
            pinged(trunk.inet, box)
        ours = f"eth.src == {mac} && (ip.dst == {host} || arp.dst.proto_ipv4 == {host})"
        assert count(capture.path, f"{ours} && {tags}") >= 7
        assert count(capture.path, f"{ours} && !({tags})") == 0
        assert complaints(capture.path, mac) == []


def test_the_kernel_speaks_ip6_behind_tags(trunk: VlanLab, tmp_path: Path) -> None:
    with Capture(trunk.inet, "inet0", tmp_path / "c.pcap", "vlan") as capture:
        forget(trunk, "2001:db8:300::2", "bng-tag300")
        pinged(trunk.bng, "2001:db8:300::2")
        pinged(trunk.inet, "2001:db8:300::1")
    mac = interface_mac(trunk.bng, "wan0")
    assert count(capture.path, f"eth.src == {mac} && icmpv6 && {TAG300}") >= 7
    assert complaints(capture.path, mac) == []


def test_a_subscriber_reaches_what_is_behind_each_vlan_and_is_reached(
    trunk: VlanLab, tmp_path: Path
) -> None:
    for tap, to in (("v300", "198.18.0.1"), ("v400", "198.18.1.1")):
        run(trunk.inet, "ip", "route", "replace", "203.0.113.0/24", "via", to, "dev", tap)
        host = {"v300": "198.18.30.1", "v400": "198.18.40.1"}[tap]
        tags = {"v300": TAG300, "v400": QINQ}[tap]
        mac = interface_mac(trunk.bng, "wan0")
        with (
            Capture(trunk.inet, "inet0", tmp_path / f"{tap}.pcap", "vlan") as capture,
            trunk.subscriber("pat", "public", "--vlan", "100.7"),
        ):
            pinged(trunk.sub, host)
            pinged(trunk.inet, "-I", host, PUBLIC_ADDRESS)
        ours = f"eth.src == {mac} && icmp && ip.src == {PUBLIC_ADDRESS}"
        assert count(capture.path, ours) == count(capture.path, f"{ours} && {tags}") == 6
        assert complaints(capture.path, mac) == []
    trunk.wait_for_sessions(0)
    trunk.route_back("203.0.113.0/24")


def test_nat_goes_through_a_vlan(trunk: VlanLab) -> None:
    run(trunk.inet, "ip", "route", "replace", "198.51.100.0/28", "via", "198.18.0.1")
    with trunk.subscriber("alice", "wonder"):
        pinged(trunk.sub, "198.18.30.1")
    trunk.wait_for_sessions(0)
    trunk.route_back("198.51.100.0/28")


def test_full_packets_pass_in_tags_and_the_mtu_of_a_vlan_is_its_own(
    trunk: VlanLab, tmp_path: Path
) -> None:
    pinged(trunk.bng, *FULL, "198.18.0.2")
    pinged(trunk.inet, *FULL, "198.18.0.1")
    with Capture(trunk.inet, "inet0", tmp_path / "deep.pcap") as deep:
        pinged(trunk.bng, *FULL, "198.18.3.2")
        pinged(trunk.inet, *FULL, "198.18.3.1")
    assert run(trunk.bng, "cat", "/sys/class/net/wan0/mtu").stdout == "1508\n"
    assert count(deep.path, "frame.len == 1522 && frame[12:2] == 91:00") == 12
    pinged(trunk.bng, "-M", "do", "-s", "1372", "198.18.1.2")
    assert "mtu=1400" in ping(trunk.bng, "-M", "do", "-s", "1373", "198.18.1.2")
    run(trunk.inet, "ip", "route", "replace", "203.0.113.0/24", "via", "198.18.1.1", "dev", "v400")
    with (
        trunk.subscriber("pat", "public"),
        Capture(trunk.inet, "inet0", tmp_path / "c.pcap", "vlan") as capture,
    ):
        pinged(trunk.sub, "-M", "do", "-s", "1372", "198.18.40.1")
        refused = ping(trunk.sub, "-M", "do", "-s", "1373", "198.18.40.1")
        assert f"From {GATEWAY} icmp_seq=1 Frag needed and DF set (mtu = 1400)" in refused
        run(trunk.sub, "ip", "route", "flush", "cache")
        pinged(trunk.sub, "-M", "dont", "-s", "1464", "198.18.40.1")
    mac = interface_mac(trunk.bng, "wan0")
    lengths = fields(capture.path, f"eth.src == {mac} && ip.src == {PUBLIC_ADDRESS}", "frame.len")
    assert max(int(row[0]) for row in lengths) == 1400 + 14 + 8
    assert count(capture.path, f"eth.src == {mac} && ip.flags.mf == 1") == 3
    trunk.wait_for_sessions(0)
    trunk.route_back("203.0.113.0/24")


def test_a_vlan_that_nobody_has_is_dropped_and_counted(trunk: VlanLab, tmp_path: Path) -> None:
    def drops() -> int:
        drops = trunk.ctl_json("show", "counters")["drops"]
        return int(drops["ethernet_input vlan-not-served"])

    before = drops()
    trunk.start_host("v301", "301", "0x8100", "198.18.2.2/24")
    captures = [
        Capture(trunk.bng, tap, tmp_path / f"{tap}.pcap", "host", "198.18.2.2")
        for tap in ("bng-wan0", "bng-tag300", "bng-qinq")
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(trunk.stop, "v301")
        for capture in captures:
            stack.enter_context(capture)
        assert "0 received" in ping(trunk.inet, "-I", "v301", "198.18.2.1")
        until(lambda: drops() >= before + 3, "frames of VLAN 301 are counted")
    assert [count(capture.path, "arp || icmp") for capture in captures] == [0, 0, 0]


def test_bngctl_shows_each_vlan_with_counters_of_its_own(trunk: VlanLab) -> None:
    before = ports(trunk)
    pinged(trunk.inet, "198.18.0.1")
    after = ports(trunk)
    row = after["tag300"]
    shown = (row["parent"], row["vlan"], row["interface"], row["driver"], row["role"], row["up"])
    assert shown == ("wan0", "300", "wan0", "vlan", "routed", True)
    assert (after["qinq"]["vlan"], after["qinq"]["mtu"], after["wan0"]["vlan"]) == (
        "400.7",
        1400,
        "",
    )
    for port, packets in (("tag300", 3), ("wan0", 3), ("qinq", 0)):
        for way in ("rx_packets", "tx_packets"):
            more = after[port][way] - before[port][way]
            assert more >= packets if packets else more <= 2, (port, way, more)
    table = trunk.ctl("show", "interfaces", "--interval", "0").stdout
    assert {"wan0", "tag300", "qinq"} <= {line.split()[0] for line in table.splitlines() if line}


def test_the_device_going_down_and_up_takes_its_vlans_along(trunk: VlanLab) -> None:
    names = ("wan0", "tag300", "qinq", "deep")

    def states() -> list[bool]:
        rows = ports(trunk)
        return [rows[name]["up"] for name in names]

    def carriers() -> list[str]:
        taps = [f"/sys/class/net/bng-{name}/carrier" for name in names]
        return run(trunk.bng, "cat", *taps).stdout.split()

    run(trunk.inet, "ip", "link", "set", "inet0", "down")
    until(lambda: states() == [False] * 4, "all are down")
    until(lambda: carriers() == ["0"] * 4, "their TAPs have no carrier")
    run(trunk.inet, "ip", "link", "set", "inet0", "up")
    until(lambda: states() == [True] * 4 and carriers() == ["1"] * 4, "all are up again")
    until(lambda: "3 received" in ping(trunk.bng, "198.18.0.2"), "VLAN 300 works again", 20)
    trunk.route_back("198.51.100.0/28")
    trunk.route_back("203.0.113.0/24")


def test_bngd_is_replaced_and_refuses_a_dataplane_with_other_vlans(make_lab: MakeLab) -> None:
    lab = make_lab(kind=VlanLab)
    with lab.subscriber("pat", "public"):
        lab.stop("bngd")
        lab.start_bngd()
        run(lab.inet, "ip", "route", "replace", "203.0.113.0/24", "via", "198.18.0.1")
        pinged(lab.sub, "198.18.30.1")
        lab.stop("bngd")
        lab.config["port"][2]["outer"] = "301"
        lab.write_config()
        lab.spawn_bngd(program("bngd"))
        assert lab.process("bngd").wait(20) != 0
        assert (
            "port tag300: routed with mtu 1500 in VLAN 301 of wan0 (0x8100), in the running "
            "dataplane routed with mtu 1500 in VLAN 300 of wan0 (0x8100): restart the dataplane"
        ) in lab.log("bngd")
        pinged(lab.sub, "198.18.30.1")


def test_routers_find_each_other_by_ospf_and_isis_behind_a_tag(make_lab: MakeLab) -> None:
    lab = make_lab(kind=VlanLab)
    run(lab.inet, "ip", "addr", "add", "198.18.77.1/32", "dev", "lo")
    run(lab.inet, "ip", "route", "del", "203.0.113.0/24", "via", "192.0.2.1")
    hello = ("ip ospf area 0", "ip ospf network point-to-point", "ip ospf hello-interval 1")
    isis = ("isis network point-to-point", "isis hello-interval 1")
    routers: list[Frr] = []
    with contextlib.ExitStack() as stack:
        for netns, device, more in (
            (lab.bng, "bng-tag300", ("ip route 203.0.113.0/24 Null0",)),
            (lab.inet, "v300", ("interface lo", "ip ospf area 0", "exit")),
        ):
            router = Frr(netns, ("ospfd", "isisd"))
            routers.append(router)
            stack.callback(router.remove)
            router.start()
            router.configure("router ospf", "redistribute static", "exit", *more)
            router.configure(f"interface {device}", *hello, "ip ospf dead-interval 4")
            net = f"net 49.0001.0000.0000.000{len(routers)}.00"
            router.configure("router isis core", net, "is-type level-2-only")
            router.configure(f"interface {device}", "ip router isis core", *isis)
        known = ("ip", "route", "show", "proto", "ospf")
        for netns, prefix in ((lab.bng, "198.18.77.1"), (lab.inet, "203.0.113.0/24")):
            until(lambda n=netns, p=prefix: p in run(n, *known).stdout, f"{prefix} by OSPF", 60)
        for router in routers:  # frames of IEEE 802.3 with LLC, padded to the MTU, behind the tag
            until(lambda r=router: " Up " in r.text("show isis neighbor"), "IS-IS is up", 60)
        with lab.subscriber("pat", "public"):
            pinged(lab.sub, "198.18.77.1")
        of = {(row["port"], row["class"]): row for row in lab.ctl_json("show", "control")}
        for name in ("ospf", "isis"):
            assert min(of["tag300", name][way] for way in ("received", "sent")) > 2
            assert of["wan0", name]["received"] == of["qinq", name]["received"] == 0
    assert ports(lab)["tag300"]["rx_packets"] > ports(lab)["qinq"]["rx_packets"]


# ---- one-armed


def test_a_subscriber_comes_in_and_goes_out_by_one_device(
    armed: OneArmedLab, tmp_path: Path
) -> None:
    mac = interface_mac(armed.bng, "acc0")
    with (
        Capture(armed.sub, "sub0", tmp_path / "c.pcap") as capture,
        armed.subscriber("alice", "wonder", "--vlan", "10"),
    ):
        pinged(armed.sub, SERVER)
        page = run(armed.sub, "curl", "-fsS", "-m", "5", f"http://{SERVER}/").stdout
        pinged(armed.sub, GATEWAY)
        pinged(armed.bng, SERVER)
        pinged(armed.inet, "192.0.2.1")
    assert page == PAGE
    ours = f"eth.src == {mac}"
    assert count(capture.path, f"{ours} && (pppoes || pppoed) && !(vlan.id == 10)") == 0
    assert count(capture.path, f"{ours} && !pppoes && !pppoed && !(vlan.id == 200)") == 0
    nat = f"{ours} && vlan.id == 200 && icmp.type == 8 && ip.src == 198.51.100.0/28"
    assert count(capture.path, nat) == 3
    assert complaints(capture.path, mac) == []
    armed.wait_for_sessions(0)
    assert set(armed.occupancy().values()) == {0}


def test_both_directions_of_a_public_address_and_qinq_subscribers_one_armed(
    armed: OneArmedLab,
) -> None:
    before = ports(armed)
    with armed.subscriber("pat", "public", "--vlan", "20.5"):
        pinged(armed.inet, PUBLIC_ADDRESS)
        pinged(armed.sub, SERVER)
        pinged(armed.sub, "-M", "do", "-s", "1464", SERVER)
        rows = ports(armed)
        assert rows["acc0"]["sessions"] == 1
        for way in ("rx_packets", "tx_packets"):
            assert 9 <= rows["arm"][way] - before["arm"][way] <= 20
            assert rows["acc0"][way] - before["acc0"][way] >= 18
    armed.wait_for_sessions(0)


def test_both_families_of_many_subscribers_go_one_armed(armed: OneArmedLab) -> None:
    for host in (SERVER, SERVER6):
        pinged(armed.bng, host)  # the first packet to an unknown neighbour may be lost
    profile = Profile(auth=("chap",), wants=Wants(delegate=56))
    client = LoadClient("sub0", MANY, 50, netns=armed.sub, vlan="10.{c}", profile=profile)
    try:
        result = client.run(timeout_s=30, until=lambda client: client.dual == MANY)
        assert (result.opened, client.dual, result.malformed) == (MANY, MANY, 0), result
        sources: list[tuple[str, Callable[[Subscriber], Address]]] = [
            (SERVER, lambda subscriber: subscriber.address),
            (SERVER6, on_link),
            (SERVER6, delegated),
        ]
        for server, source in sources:
            with EchoServer(armed.inet, server) as echo:
                traffic = client.send_traffic(400, 1, server=server, source=source)
                far = echo.stop()
            assert traffic.sent > 300
            assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic
            assert (far.received, far.duplicated) == (traffic.sent, 0)
    finally:
        client.terminate_all("terminate")
        client.close()
    armed.wait_for_sessions(0)
    assert set(armed.occupancy().values()) == {0}


def test_discovery_in_the_routed_vlan_and_ip_in_a_subscribers_one_are_dropped(
    armed: OneArmedLab, tmp_path: Path
) -> None:
    def drops() -> dict[str, int]:
        drops: dict[str, int] = armed.ctl_json("show", "counters")["drops"]
        return drops

    before = drops()
    mac = interface_mac(armed.bng, "acc0")
    raw = bytes.fromhex(mac.replace(":", ""))
    source = bytes.fromhex("02c000000077")
    padi = b"\xff" * 6 + source + tag_bytes("200") + bytes.fromhex("886311090000000401010000")
    ip = raw + source + tag_bytes("10") + b"\x08\x00" + bytes(46)
    other = raw + source + tag_bytes("150") + b"\x08\x00" + bytes(46)
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        "s.bind(('sub0', 0))\n"
        "[s.send(bytes.fromhex(word)) for word in sys.argv[1:]]\n"
    )
    with Capture(armed.sub, "sub0", tmp_path / "c.pcap", "vlan") as capture:
        run(armed.sub, "python3", "-c", code, padi.hex(), ip.hex(), other.hex())
        not_served, unknown = "ethernet_input vlan-not-served", "ethernet_input ethertype-unknown"
        until(lambda: drops()[not_served] >= before[not_served] + 2, "PADI and VLAN 150 dropped")
        until(lambda: drops()[unknown] == before[unknown] + 1, "IP in a subscribers' VLAN dropped")
    assert count(capture.path, f"eth.src == {mac} && pppoed") == 0


# ---- several ports


def test_two_access_ports_and_two_routed_ones_serve_at_once(make_lab: MakeLab) -> None:
    lab = make_lab(kind=TwoByTwoLab)
    with (
        lab.subscriber("alice", "wonder", tun="ppp0"),
        lab.subscriber("bob", "builder", "--interface", "sub1", "--vlan", "100.7", tun="ppp1"),
    ):
        where = {s["user"]: s["port"] for s in lab.sessions()}
        assert where == {"alice": "acc0", "bob": "acc1"}
        for tun in ("ppp0", "ppp1"):
            for host in (SERVER, "198.18.0.2"):
                if host != SERVER:
                    run(lab.inet, "ip", "route", "replace", "198.51.100.0/28", "via", "198.18.0.1")
                pinged(lab.sub, "-I", tun, host)
                lab.route_back("198.51.100.0/28")
        assert {row["sessions"] for row in ports(lab).values() if row["role"] == "access"} == {1}
    lab.wait_for_sessions(0)
