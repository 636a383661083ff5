"""Routed ports in VLANs of other ports (IEEE 802.1Q, 802.1ad): tags off, tags on, one-armed.

acc0 serves subscribers in VLANs 1 to 99 and untagged; wan0 is routed.

    index 3  tag300   VLAN 300 of wan0          4  its TAP
          5  qinq     VLAN 400.7 of wan0        6
          7  arm200   VLAN 200 of acc0          8
"""

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP

from dataplane import binding, sight
from dataplane.binding import Direction

from . import lab
from .harness import ACC, DEFAULT_ARGS, NO_SESSION, TWIN, WAN, Dataplane, Frame, dataplane, lib

TAG300, TAP300, QINQ, TAP_QINQ, ARM200, TAP_ARM = range(3, 9)
NO_PORT = 0xFFFF
T300 = ((0x8100, 300),)
T400 = ((0x88A8, 400), (0x8100, 7))
T200 = ((0x8100, 200),)
LINES = {TAG300: (WAN, T300), QINQ: (WAN, T400), ARM200: (ACC, T200)}
MACS = {WAN: lab.WAN_MAC, ACC: lab.BOX}
PORTS = (
    "--port=name=tag300,role=routed,parent=wan0,outer=300,tap=tap300,tap-driver=gen",
    "--port=name=qinq,role=routed,parent=wan0,outer=400,inner=7,tpid=0x88a8,mtu=1400,"
    "tap=tapqinq,tap-driver=gen",
    "--port=name=arm200,role=routed,parent=acc0,outer=200,tap=tap200,tap-driver=gen",
)
ARGS = (
    *(arg for arg in DEFAULT_ARGS if not arg.startswith("--access")),
    "--access=port=acc0,outer=1-99,inner=none",
    "--access=port=acc0,outer=none,inner=none",
    *PORTS,
)
IP_PACKET = lab.udp(lab.SERVER, lab.CLIENT_IP)
OSPF = bytes.fromhex("01005e000005")
ND = bytes.fromhex("333300000001")
ND = bytes.fromhex("3333ff000001")


@pytest.fixture
def vlans() -> Iterator[Dataplane]:
    with dataplane(*ARGS) as one:
        yield one


def ethernet_input(dp: Dataplane, frame: bytes, port: int) -> Frame:
    (out,) = dp.node("ethernet_input", [Frame(data=frame, rx_port=port)])
    return out


def to(port: int, payload: bytes = IP_PACKET, ethertype: int = 0x0800, **options: Any) -> bytes:
    """Return a frame of the neighbour for the routed *port*, as its device receives it."""
    device, tags = LINES[port]
    options = {"source": lab.NEIGHBOUR, "destination": MACS[device], "tags": tags} | options
    return lab.ethernet(payload, ethertype, **options)


def route_by(dp: Dataplane, port: int) -> None:
    """Have the neighbour, and so the server, be behind *port*."""
    adjacency = lab.adjacency(dp, "192.0")
    adjacency.port, adjacency.mtu = port, dp.port(port).mtu
    adjacency.rewrite[6:12] = list(MACS[LINES[port][0]])


def tag_bytes(tag: lab.Tag) -> bytes:
    return tag[0].to_bytes(2, "big") + tag[1].to_bytes(2, "big")


def counts(dp: Dataplane, port: int) -> tuple[int, int]:
    """Return how many packets came in and went out by *port*."""
    return int(dp.port(port).rx_packets), int(dp.port(port).tx[0].packets)


def test_a_vlan_has_the_device_the_address_and_the_worker_of_its_parent(vlans: Dataplane) -> None:
    for index, (device, tags) in LINES.items():
        port, parent = vlans.port(index), vlans.port(device)
        assert (port.parent, port.role, port.flags) == (device, lib.PORT_ROUTED, parent.flags)
        assert bytes(port.mac) == bytes(parent.mac) == bytes(vlans.port(index + 1).mac)
        assert (port.outer_tpid, port.outer_vid) == tags[0]
        assert (port.inner_tpid, port.inner_vid) == (tags[1] if len(tags) > 1 else (0, 0))
        assert port.rx_worker == parent.rx_worker
    assert [vlans.port(p).parent for p in (ACC, WAN, TWIN, TAP300)] == [NO_PORT] * 4


@pytest.mark.parametrize("port", LINES)
def test_the_tags_go_and_the_port_is_the_vlans(vlans: Dataplane, port: int) -> None:
    device = LINES[port][0]
    out = ethernet_input(vlans, to(port, priority=5), device)
    assert (out.edge_name, out.rx_port, out.session) == ("ip4_input", port, NO_SESSION)
    assert (out.outer, out.inner) == ((0, 0), (0, 0))
    assert out.current == IP_PACKET
    header = out.data[out.skip - 14 : out.skip]
    assert header == MACS[device] + lab.NEIGHBOUR + b"\x08\x00"
    assert int(vlans.port(port).rx_packets) == 1
    assert int(vlans.port(port).rx_bytes) == 14 + len(IP_PACKET)


@pytest.mark.parametrize("port", LINES)
def test_ip6_to_us_goes_on_as_the_vlans(vlans: Dataplane, port: int) -> None:
    packet = b"\x60" + bytes(39)
    out = ethernet_input(vlans, to(port, packet, 0x86DD), LINES[port][0])
    assert (out.edge_name, out.rx_port, out.current) == ("ip6_input", port, packet)


@pytest.mark.parametrize("port", LINES)
@pytest.mark.parametrize(
    ("ethertype", "destination"),
    [(0x0806, lab.BROADCAST), (0x0800, OSPF), (0x86DD, ND), (0x88CC, None), (0x00FE, OSPF)],
)
def test_what_is_the_kernels_comes_to_the_vlans_own_twin_without_tags(
    vlans: Dataplane, port: int, ethertype: int, destination: bytes | None
) -> None:
    device = LINES[port][0]
    options = {} if destination is None else {"destination": destination}
    vlans.receive(device, to(port, bytes(46), ethertype, **options))
    untagged = lab.ethernet(
        bytes(46), ethertype, source=lab.NEIGHBOUR, destination=destination or MACS[device]
    )
    assert vlans.sent(port + 1) == [untagged]
    assert vlans.sent(TWIN) == []
    assert counts(vlans, port) == (1, 0)
    assert counts(vlans, port + 1) == (0, 1)


@pytest.mark.parametrize("port", LINES)
def test_what_the_kernel_sends_leaves_by_the_device_with_the_tags(
    vlans: Dataplane, port: int
) -> None:
    device, tags = LINES[port]
    frame = lab.ethernet(bytes(46), 0x0806, source=MACS[device], destination=lab.BROADCAST)
    vlans.receive(port + 1, frame)
    assert vlans.sent(device) == [frame[:12] + b"".join(map(tag_bytes, tags)) + frame[12:]]
    assert counts(vlans, port) == (0, 1)
    assert int(vlans.port(device).tx[0].packets) == 1
    assert int(vlans.port(device).tx[0].bytes) == len(frame) + 4 * len(tags)


@pytest.mark.parametrize("port", LINES)
def test_ping_to_an_address_of_the_kernel_comes_whole_and_untagged(
    vlans: Dataplane, port: int
) -> None:
    lab.furnish(vlans)
    packet = lab.ping("192.0.2.9", lab.WAN_IP)
    device = LINES[port][0]
    vlans.receive(device, to(port, packet))
    whole = lab.ethernet(packet, 0x0800, source=lab.NEIGHBOUR, destination=MACS[device])
    assert vlans.sent(port + 1) == [whole]


NOBODYS = [
    (WAN, ((0x8100, 301),)),
    (WAN, ((0x88A8, 300),)),  # another TPID is another VLAN
    (WAN, ((0x8100, 300), (0x8100, 7))),
    (WAN, ((0x88A8, 400),)),
    (WAN, ((0x8100, 7), (0x88A8, 400))),
    (WAN, ((0x88A8, 400), (0x8100, 8))),
    (WAN, ((0x8100, 0), (0x8100, 300))),
    (ACC, T300),  # a VLAN of the other device
    (ACC, ((0x8100, 201),)),
    (WAN, T200),
]


@pytest.mark.parametrize(("device", "tags"), NOBODYS)
@pytest.mark.parametrize("destination", [None, lab.BROADCAST])
def test_a_vlan_that_nobody_has_is_dropped_by_its_own_reason(
    vlans: Dataplane, device: int, tags: tuple[lab.Tag, ...], destination: bytes | None
) -> None:
    frame = lab.ethernet(IP_PACKET, 0x0800, tags=tags, destination=destination or MACS[device])
    assert ethernet_input(vlans, frame, device).edge_name == "drop: vlan-not-served"
    assert [counts(vlans, port) for port in LINES] == [(0, 0)] * 3


def test_what_is_no_pppoe_in_a_subscribers_vlan_is_unknown_there(vlans: Dataplane) -> None:
    frame = lab.ethernet(IP_PACKET, 0x0800, tags=((0x8100, 99),))
    assert ethernet_input(vlans, frame, ACC).edge_name == "drop: ethertype-unknown"


@pytest.mark.parametrize("tags", [((0x8100, 0),), ((0x88A8, 0),), ((0x88A8, 0), (0x8100, 0))])
def test_a_priority_tag_is_no_vlan(vlans: Dataplane, tags: tuple[lab.Tag, ...]) -> None:
    frame = lab.ethernet(IP_PACKET, 0x0800, source=lab.NEIGHBOUR, destination=lab.WAN_MAC)
    tagged = frame[:12] + b"".join(map(tag_bytes, tags)) + frame[12:]
    out = ethernet_input(vlans, tagged, WAN)
    assert (out.edge_name, out.rx_port, out.current) == ("ip4_input", WAN, IP_PACKET)
    assert out.data[out.skip - 14 : out.skip] == frame[:14]
    inner = ethernet_input(vlans, to(TAG300, tags=(*T300, (0x8100, 0))), WAN)
    assert (inner.edge_name, inner.rx_port) == ("ip4_input", TAG300)


@pytest.mark.parametrize("port", LINES)
def test_cut_frames_a_third_tag_and_others_addresses_are_dropped(
    vlans: Dataplane, port: int
) -> None:
    device, tags = LINES[port]
    frame, header = to(port), 14 + 4 * len(tags)
    for length in range(1, header):
        out = ethernet_input(vlans, frame[:length], device)
        assert out.edge_name == "drop: truncated", length
    assert ethernet_input(vlans, frame[:header], device).edge_name == "ip4_input"
    three = to(port, tags=(*tags, *T300, *T300)[:3])
    assert ethernet_input(vlans, three, device).edge_name == "drop: too-many-tags"
    other = to(port, destination=lab.OTHER)
    assert ethernet_input(vlans, other, device).edge_name == "drop: destination-not-ours"


@pytest.mark.parametrize("port", LINES)
def test_a_subscriber_goes_out_and_comes_in_by_a_vlan(vlans: Dataplane, port: int) -> None:
    lab.furnish(vlans, outer=(0x8100, 10))
    route_by(vlans, port)
    device, tags = LINES[port]
    up = lab.udp(lab.CLIENT_IP, lab.SERVER, ttl=64)
    vlans.receive(ACC, lab.session_frame(up, tags=((0x8100, 10),)))
    (sent,) = vlans.sent(device)
    header = lab.NEIGHBOUR + MACS[device] + b"".join(map(tag_bytes, tags)) + b"\x08\x00"
    assert sent[: len(header)] == header
    assert lab.decoded(sent[len(header) :]).ttl == 63
    assert counts(vlans, port) == (0, 1)
    vlans.receive(device, to(port, lab.udp(lab.SERVER, lab.CLIENT_IP)))
    (down,) = vlans.sent(ACC)
    assert down[:18] == lab.CLIENT_MAC + lab.BOX + b"\x81\x00\x00\x0a\x88\x64"
    assert lab.decoded(down[26:]).dst == lab.CLIENT_IP
    assert counts(vlans, port) == (1, 1)
    assert vlans.drops(0, Direction.IN) == vlans.drops(0, Direction.OUT)


def test_each_worker_sends_by_a_vlan_and_the_parents_receives_for_it() -> None:
    args = [arg.replace("role=routed,mtu=1500", "role=routed,worker=1") for arg in ARGS]
    with dataplane(*args, "--workers=-,-") as dp:
        lab.furnish(dp, worker=0)
        route_by(dp, TAG300)
        assert [int(dp.port(port).rx_worker) for port in (WAN, TAG300, TAP300)] == [1, 1, 1]
        dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
        dp.receive(TAP300, lab.ethernet(bytes(46), 0x0806, destination=lab.BROADCAST))
        assert [int(dp.port(TAG300).tx[w].packets) for w in (0, 1)] == [1, 1]
        assert [int(dp.port(WAN).tx[w].packets) for w in (0, 1)] == [1, 1]
        assert {frame[12:16] for frame in dp.sent(WAN)} == {b"\x81\x00\x01\x2c"}
        dp.receive(WAN, to(TAG300, lab.udp(lab.SERVER, lab.CLIENT_IP)))
        assert len(dp.sent(ACC)) == 1
        assert int(dp.port(TAG300).rx_packets) == 1


def test_a_packet_goes_from_vlan_to_vlan_of_one_device(vlans: Dataplane) -> None:
    lab.furnish(vlans)
    route_by(vlans, QINQ)
    vlans.receive(WAN, to(TAG300, lab.udp("198.51.100.1", lab.SERVER)))
    (sent,) = vlans.sent(WAN)
    assert sent[12:22] == b"\x88\xa8\x01\x90\x81\x00\x00\x07\x08\x00"
    assert (counts(vlans, TAG300), counts(vlans, QINQ)) == ((1, 0), (0, 1))
    assert (int(vlans.port(WAN).rx_packets), int(vlans.port(WAN).tx[0].packets)) == (1, 1)


def test_many_packets_to_several_vlans_of_one_device_all_leave_once(vlans: Dataplane) -> None:
    frames = [
        lab.ethernet(number.to_bytes(2, "big") + bytes(44), 0x0806, destination=lab.BROADCAST)
        for number in range(300)
    ]
    for tap in (TWIN, TAP300, TAP_QINQ):
        vlans.receive(tap, *frames)
    sent = vlans.sent(WAN)
    for tags in ((), T300, T400):
        here = [f for f in sent if f[12 : 12 + 4 * len(tags)] == b"".join(map(tag_bytes, tags))]
        payloads = [f[14 + 4 * len(tags) :][:2] for f in here if len(f) == 60 + 4 * len(tags)]
        assert payloads == [number.to_bytes(2, "big") for number in range(300)]
    assert len(sent) == 900
    assert vlans.buffers_in_use() == 0


def test_a_packet_too_big_for_the_vlan_is_cut_or_reported_with_its_mtu(vlans: Dataplane) -> None:
    lab.furnish(vlans)
    route_by(vlans, QINQ)
    vlans.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 1400)))
    cut = vlans.sent(WAN)
    assert [len(frame) <= 1400 + 22 for frame in cut] == [True, True]
    assert all(frame[12:14] == b"\x88\xa8" for frame in cut)
    vlans.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 1400, flags="DF")))
    (told,) = vlans.sent(ACC)
    error = lab.decoded(told[22:])
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1400)


def test_errors_about_packets_from_a_vlan_come_from_its_address(vlans: Dataplane) -> None:
    lab.furnish(vlans)
    route_by(vlans, TAG300)
    vlans.port(TAG300).ip4 = int.from_bytes(bytes((198, 18, 0, 2)), "little")
    vlans.receive(WAN, to(TAG300, lab.udp("192.0.2.9", "10.3.0.1")))
    (told,) = vlans.sent(WAN)
    assert told[12:18] == b"\x81\x00\x01\x2c\x08\x00"
    assert (lab.decoded(told[18:]).src, lab.decoded(told[18:])[ICMP].type) == ("198.18.0.2", 3)


@pytest.mark.parametrize("port", LINES)
def test_a_vlan_that_is_down_takes_nothing_and_the_others_do(vlans: Dataplane, port: int) -> None:
    vlans.port(port).flags = 0
    frame = lab.ethernet(bytes(46), 0x0806, destination=lab.BROADCAST)
    for tap in (TAP300, TAP_QINQ, TAP_ARM):
        vlans.receive(tap, frame)
    assert vlans.counters()["control_output/drop: port-down"] == 1
    assert len(vlans.sent(WAN)) + len(vlans.sent(ACC)) == 2


def test_a_frame_longer_than_the_vlans_mtu_does_not_leave(vlans: Dataplane) -> None:
    vlans.receive(TAP_QINQ, lab.ethernet(bytes(1400 + 9), 0x0806, destination=lab.BROADCAST))
    assert vlans.counters()["control_output/drop: frame-length"] == 1
    assert vlans.sent(WAN) == []


def test_pppoe_is_the_access_sides_in_whatever_vlan(vlans: Dataplane) -> None:
    padi = lab.ethernet(
        bytes.fromhex("11090000000401010000"), 0x8863, destination=lab.BROADCAST, tags=T200
    )
    assert ethernet_input(vlans, padi, ACC).edge_name == "drop: vlan-not-served"
    session = ethernet_input(vlans, lab.session_frame(b"E", tags=T200), ACC)
    assert (session.edge_name, session.rx_port) == ("pppoe_input", ACC)
    vlans.receive(ACC, lab.session_frame(b"E", tags=T200))
    assert vlans.counters()["pppoe_padt/drop: vlan-not-served"] == 1
    assert vlans.sent(ACC) == []


def test_untagged_frames_of_an_access_port_may_be_a_routed_ports() -> None:
    args = [arg for arg in ARGS if arg != "--access=port=acc0,outer=none,inner=none"]
    plain = "--port=name=plain,role=routed,parent=acc0,tap=tapplain,tap-driver=gen"
    with dataplane(*args, plain) as dp:
        lab.furnish(dp, outer=(0x8100, 10))
        frame = lab.ethernet(IP_PACKET, 0x0800, source=lab.NEIGHBOUR)
        out = ethernet_input(dp, frame, ACC)
        assert (out.edge_name, out.rx_port, out.current) == ("ip4_input", 9, IP_PACKET)
        arp = lab.ethernet(bytes(46), 0x0806, source=lab.NEIGHBOUR, destination=lab.BROADCAST)
        dp.receive(ACC, arp)
        dp.receive(10, arp)
        assert (dp.sent(10), dp.sent(ACC)) == ([arp], [arp])
        padi = lab.ethernet(bytes(20), 0x8863, destination=lab.BROADCAST)
        assert ethernet_input(dp, padi, ACC).edge_name == "drop: vlan-not-served"


def test_a_trace_of_a_vlan_shows_its_packets_and_no_others(vlans: Dataplane) -> None:
    lab.furnish(vlans)
    view = binding.Dataplane(vlans._binding)
    record = sight.TraceFilter(port=TAG300).record(1, 100, 3000)
    assert vlans.command(record[:16] + (1).to_bytes(8, "little") + record[24:]) == 0
    arp = {"ethertype": 0x0806, "destination": lab.BROADCAST}
    untagged = lab.ethernet(bytes(46), 0x0806, destination=lab.BROADCAST)
    vlans.receive(WAN, to(QINQ, bytes(46), **arp), to(TAG300, bytes(46), **arp), untagged)
    vlans.receive(ACC, to(ARM200, bytes(46), **arp), lab.session_frame(IP_PACKET))
    names, taken = sight.nodes(view), sight.trace_records(view, 0)
    path = [(names[r.node][0], r.rx_port) for r in taken]
    assert path == [("ethernet_input", TAG300), ("twin_output", TAG300), ("port_output", TAG300)]


@pytest.mark.parametrize(
    "port",
    [
        "name=a,role=routed,parent=nix,outer=5",
        "name=a,role=routed,parent=tag300,outer=5",
        "name=a,role=routed,parent=tap300,outer=5",
        "name=a,role=access,parent=wan0,outer=5",
        "name=a,role=routed,parent=wan0,outer=300",
        "name=a,role=routed,parent=wan0,outer=300,tpid=0x88a8",
        "name=a,role=routed,parent=wan0",
        "name=a,role=routed,parent=wan0,inner=5",
        "name=a,role=routed,parent=wan0,outer=4095",
        "name=a,role=routed,parent=wan0,outer=5,inner=0",
        "name=a,role=routed,parent=wan0,outer=5,tpid=0x8200",
        "name=a,role=routed,parent=wan0,outer=5,mtu=1501",
        "name=a,role=routed,parent=wan0,outer=5,if=eth0",
        "name=a,role=routed,parent=wan0,outer=5,driver=gen",
        "name=a,role=routed,parent=wan0,outer=5,mode=generic",
        "name=a,role=routed,outer=5,driver=gen",
        "name=a,role=routed,driver=vlan",
    ],
)
def test_what_the_command_line_cannot_mean_is_refused(port: str) -> None:
    with pytest.raises(RuntimeError), dataplane(*ARGS, f"--port={port}"):
        pass
