"""The kernel is kept out of a port, and reached through its TAP twin.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |   ip_forward=1 in the middle
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
"""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP

from tests.support.control_frames import CONTROL_FRAMES, DATA_FRAMES, TWICE_TAGGED, eth
from tests.support.netns import inside, offloads_off
from tests.support.router_lab import (
    BOX_A,
    BOX_B,
    HOST_A,
    HOST_B,
    ROUTED_PORTS,
    WAN0,
    XDP_PORTS,
    RouterLab,
    until,
)
from tests.support.tshark import Capture, fields

COUNT = 2000


@pytest.fixture(params=["af_packet", "af_xdp"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RouterLab]:
    ports = XDP_PORTS if request.param == "af_xdp" else ROUTED_PORTS
    with RouterLab(f"iok{os.getpid()}", tmp_path, ports) as lab:
        if request.param == "af_xdp":
            offloads_off(lab.netns("a"), "e")
            offloads_off(lab.netns("b"), "e")
        yield lab


@pytest.fixture
def packet_lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"iop{os.getpid()}", tmp_path) as lab:
        yield lab


def test_the_kernel_answers_ping_through_the_twin(lab: RouterLab) -> None:
    lab.start()
    assert lab.ping("a", BOX_A, "-c", "5", "-i", "0.1")
    assert lab.ping("bng", HOST_A, "-c", "5", "-i", "0.1")
    lab.meet()
    assert lab.ping("a", BOX_B)


FLOODS = {
    "data": DATA_FRAMES["udp"],
    "a table by BGP": CONTROL_FRAMES["bgp, from the server"],
    "a storm of ARP": CONTROL_FRAMES["arp"],
}
BFD_EVERY, BFDS = 60, 100
PORT_BFD = (3784).to_bytes(2, "big")


def test_hellos_come_in_when_anything_else_has_filled_its_ring(lab: RouterLab) -> None:
    """The dataplane stands still meanwhile, and most of the flood is lost; of BFD all arrives."""
    lab.start()
    lab.meet()
    assert lab.process is not None
    port = lab.arena.ports[WAN0]
    ip = IP(src=HOST_A, dst=BOX_A, ttl=255)
    bfd = bytes(eth(dst=lab.mac("bng", "bng-wan0")) / ip / UDP(dport=3784) / bytes(24))
    with inside(lab.netns("a")):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with inside(lab.netns("bng")):
        twin = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    with sender, twin:
        sender.bind(("e", 0))
        twin.bind(("bng-wan0", 3))
        twin.setblocking(False)
        for name, flood in FLOODS.items():
            lost = int(port.rx_errors), int(port.tx[0].control_lost), int(port.tx[0].rx_lost)
            lab.process.send_signal(signal.SIGSTOP)
            for number in range(BFDS * BFD_EVERY):
                sender.send(flood)
                if number % BFD_EVERY == BFD_EVERY - 1:
                    sender.send(bfd)
            lab.process.send_signal(signal.SIGCONT)
            came = partial(drain, twin, [])
            until(lambda came=came: came() == BFDS, f"all BFD came: {name}")
            until(lambda lost=lost: int(port.rx_errors) > lost[0] + 1000, f"much was lost: {name}")
            control, data = int(port.tx[0].control_lost), int(port.tx[0].rx_lost)
            assert (control > lost[1], data > lost[2]) == (name != "data", name == "data")
        came_before = int(port.tx[0].control_received)
        for _ in range(BFDS):
            sender.send(TWICE_TAGGED)
        until(
            lambda: int(port.tx[0].control_received) >= came_before + BFDS,
            "behind two tags, of which the kernel knows not the outer one, it is control as well",
        )


def test_a_burst_of_the_kernel_waits_in_the_twin(packet_lab: RouterLab) -> None:
    """What a BGP peer may have under way; a hello behind it would find no room."""
    packet_lab.start()
    packet_lab.meet()
    assert packet_lab.process is not None
    counter = "/sys/class/net/bng-wan0/statistics/tx_dropped"
    port = packet_lab.arena.ports[WAN0]
    sent = int(port.tx[0].packets)
    packet_lab.process.send_signal(signal.SIGSTOP)
    with inside(packet_lab.netns("bng")):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for _ in range(COUNT):
            sender.sendto(bytes(1400), (HOST_A, 9))
    packet_lab.process.send_signal(signal.SIGCONT)
    until(lambda: int(port.tx[0].packets) >= sent + COUNT, "all have left the port")
    assert packet_lab.run("bng", "cat", counter).stdout.strip() == "0"


def drain(twin: socket.socket, came: list[bytes]) -> int:
    """Add the BFD packets that have arrived to *came*; return how many they are."""
    with contextlib.suppress(BlockingIOError):
        while True:
            frame = twin.recv(2048)
            if frame[36:38] == PORT_BFD:
                came.append(frame)
    return len(came)


def send_numbers(lab: RouterLab, count: int) -> None:
    with inside(lab.netns("a")):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for number in range(count):
            sender.sendto(f"number {number:06}".encode(), (HOST_B, 9))
            if number % 50 == 49:
                time.sleep(0.01)  # the socket has room for no more


def test_each_frame_is_forwarded_exactly_once_and_never_by_the_kernel(
    lab: RouterLab, tmp_path: Path
) -> None:
    lab.start()
    lab.meet()
    before = lab.kernel_counter("IpForwDatagrams"), lab.kernel_counter("IpInReceives")
    with Capture(lab.netns("b"), "e", tmp_path / "b.pcap", "udp", "port", "9") as capture:
        send_numbers(lab, COUNT)
    seen = fields(capture.path, f"ip.dst == {HOST_B}", "data.data", "ip.ttl")
    numbers = sorted(bytes.fromhex(data).decode() for data, _ in seen)
    assert numbers == [f"number {n:06}" for n in range(COUNT)]
    assert {ttl for _, ttl in seen} == {"63"}
    after = lab.kernel_counter("IpForwDatagrams"), lab.kernel_counter("IpInReceives")
    assert after == before


def test_a_killed_dataplane_leaves_the_port_closed_to_the_kernel(lab: RouterLab) -> None:
    lab.start()
    lab.meet()
    lab.stop(signal.SIGKILL)
    before = lab.kernel_counter("IpInReceives")
    assert not lab.ping("a", HOST_B)
    assert not lab.ping("a", BOX_A)
    assert lab.kernel_counter("IpInReceives") == before
    lab.start()
    assert lab.ping("a", BOX_A)


def test_a_clean_end_takes_the_ingress_drop_away(packet_lab: RouterLab) -> None:
    lab = packet_lab
    lab.start()
    tables = lab.run("bng", "nft", "list", "tables").stdout.split("\n")
    assert {"table netdev bng-wan0", "table netdev bng-wan1"} <= set(tables)
    assert lab.stop() == 0
    assert lab.run("bng", "nft", "list", "tables").stdout == ""


def test_the_twin_keeps_addresses_and_routes_over_a_restart(lab: RouterLab) -> None:
    lab.start()
    assert lab.stop() == 0
    lab.start(addresses=False)
    assert lab.ping("a", BOX_A)


def test_an_interface_with_addresses_is_refused_by_name(lab: RouterLab) -> None:
    lab.ip("bng", "addr add 10.66.0.1/24 dev wan0")
    assert lab.launch() not in (None, 0)
    assert re.search(r"port wan0: wan0 has IP addresses", lab.log.read_text())
    assert lab.ping("bng", "10.66.0.1"), "the interface was left as it was"


def test_the_twin_has_the_ports_mac_and_mtu_and_the_port_is_prepared(lab: RouterLab) -> None:
    lab.ip("bng", "link set wan0 mtu 1400")
    lab.start()
    port, twin = lab.link("bng", "wan0"), lab.link("bng", "bng-wan0")
    assert twin["address"] == port["address"]
    assert twin["mtu"] == 1500
    assert port["mtu"] == 1500
    assert {"UP", "NOARP"} <= set(port["flags"])
    ipv6 = lab.run("bng", "cat", "/proc/sys/net/ipv6/conf/wan0/disable_ipv6").stdout
    assert ipv6.strip() == "1"


def test_frames_that_the_device_refuses_are_counted_and_do_not_stop_the_others(
    packet_lab: RouterLab,
) -> None:
    lab = packet_lab
    lab.start()
    lab.meet()
    lab.ip("b", "link set e mtu 1000")
    lab.ip("bng", "link set wan1 mtu 1000")
    ports = lab.arena.ports
    errors = int(ports[2].tx[0].errors)
    assert not lab.ping("a", HOST_B, "-c", "1", "-s", "1400")
    until(lambda: int(ports[2].tx[0].errors) == errors + 1, "the refused frame is counted")
    assert lab.ping("a", HOST_B)


def test_the_round_trip_at_ten_packets_a_second_is_reported(lab: RouterLab) -> None:
    lab.start()
    lab.meet()
    done = lab.run("a", "ping", "-n", "-q", "-c", "20", "-i", "0.1", HOST_B)
    found = re.search(r"= [\d.]+/([\d.]+)/([\d.]+)/", done.stdout)
    assert found and " 0% packet loss" in done.stdout
    print(f"round trip through the dataplane: mean {found[1]} ms, worst {found[2]} ms")
    assert int(lab.arena.ports[WAN0].rx_errors) == 0


def test_an_access_port_has_room_for_two_tags_above_its_mtu(tmp_path: Path) -> None:
    access = "--port=name=wan0,if=wan0,driver=af_packet,role=access,mtu=1508"
    with RouterLab(f"ioq{os.getpid()}", tmp_path, (access,)) as lab:
        lab.start(addresses=False)
        assert lab.link("bng", "wan0")["mtu"] == 1508 + 2 * 4
