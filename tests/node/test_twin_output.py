"""twin_output: nothing that comes for the kernel starves a routing protocol, or each other."""

import pytest
from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP

from dataplane.sight import CONTROL_CLASSES

from . import lab
from .edge_cases_twin import (
    PROTOCOLS,
    SOURCES,
    bfd,
    bgp,
    frame,
    on_link_bgp,
    other,
    send,
    solicitation,
)
from .harness import TWIN, WAN, Dataplane, lib

PASSED, SENT_FIRST = "port_output", "control_output"
FAR = "203.0.113.9"
OURS = lab.SERVER
FLOODS = {
    "other": [other(source) for source in SOURCES[:8]] * 6_000,
    "stranger": [bgp(source, flags="S") for source in SOURCES] * 4,
    "neighbour": [solicitation(f"fe80::{i:x}") for i in range(1, 513)] * 10,
}
GROUPS = {
    "ospf": (b"\x01\x00\x5e\x00\x00\x05", "224.0.0.5", 89, 1),
    "pim": (b"\x01\x00\x5e\x00\x00\x0d", "224.0.0.13", 103, 1),
    "vrrp": (b"\x01\x00\x5e\x00\x00\x12", "224.0.0.18", 112, 255),
}


def talk(dp: Dataplane, to: str, flags: str = "A", version: int = 4) -> None:
    """Have the kernel send a BGP segment to a peer."""
    ip = IP(src=OURS, dst=to) if version == 4 else IPv6(src="2001:db8::1", dst=to)
    packet = bytes(ip / TCP(dport=179, flags=flags))
    type_ = 0x0800 if version == 4 else 0x86DD
    sent = lab.ethernet(packet, type_, source=lab.WAN_MAC, destination=lab.NEIGHBOUR)
    assert send(dp, [sent], port=TWIN) == [SENT_FIRST]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_one_class_leaves_the_others_what_they_need(dp: Dataplane, flood: str) -> None:
    lab.furnish(dp)
    talk(dp, FAR)
    edges = send(dp, FLOODS[flood])
    assert edges[-1] in (f"drop: {flood}-policed", f"drop: {flood}-share-used-up")
    wanted = {
        "other": other(FAR),
        "stranger": bgp("192.0.2.77", flags="S"),
        "neighbour": solicitation("fe80::ffff"),
    }
    mine = [wanted[name] for name in wanted if name != flood]
    assert send(dp, [bgp(FAR), bfd("192.0.2.8"), *mine]) == [PASSED] * (2 + len(mine))


@pytest.mark.parametrize("flood", PROTOCOLS)
def test_a_neighbour_that_floods_one_protocol_is_heard_by_the_others(
    dp: Dataplane, flood: str
) -> None:
    """As when a storm of OSPF would have BFD and BGP with the same neighbour go down."""
    lab.furnish(dp)
    neighbour = "192.0.2.8"
    assert f"drop: {flood}-share-used-up" in send(dp, [PROTOCOLS[flood](neighbour)] * 4_100)
    others = [build(neighbour) for name, build in PROTOCOLS.items() if name != flood]
    mine = [*others, on_link_bgp(neighbour), other(neighbour)] * 5
    assert set(send(dp, mine)) == {PASSED}


def test_what_passes_is_counted_by_class_on_its_port(dp: Dataplane) -> None:
    lab.furnish(dp)
    talk(dp, FAR)
    some = {"bgp": bgp(FAR), "stranger": bgp("192.0.2.77"), "other": other(FAR)}
    some |= {name: build("192.0.2.8") for name, build in PROTOCOLS.items()}
    for count, built in enumerate(some.values(), start=1):
        send(dp, [built] * count)
    send(dp, [solicitation("fe80::1")] * 300)
    counts = dp.section(lib.SECTION_PORT, "struct port_shared")[WAN].control[0]
    received = {name: int(counts.received[CONTROL_CLASSES[name]]) for name in CONTROL_CLASSES}
    assert received == {"neighbour": 300} | {name: n for n, name in enumerate(some, start=1)}
    dropped = {name: int(counts.dropped[CONTROL_CLASSES[name]]) for name in CONTROL_CLASSES}
    assert dropped == dict.fromkeys(CONTROL_CLASSES, 0) | {"neighbour": 100}
    assert int(counts.sent[CONTROL_CLASSES["bgp"]]) == sum(counts.sent) == 1


def test_one_source_has_its_share_of_a_class(dp: Dataplane) -> None:
    lab.furnish(dp)
    assert "drop: other-share-used-up" in send(dp, [other("198.18.0.1")] * 30_000)
    assert send(dp, [other("198.18.0.2")]) == [PASSED]


def test_whom_the_kernel_talks_bgp_with_is_no_stranger(dp: Dataplane) -> None:
    lab.furnish(dp)
    assert "drop: stranger-share-used-up" in send(dp, [bgp(FAR)] * 30)
    talk(dp, FAR)
    assert set(send(dp, [bgp(FAR)] * 1000)) == {PASSED}
    six = frame(bytes(IPv6(src="2001:db8::9", dst="2001:db8::1", hlim=60) / TCP(sport=179)), 0x86DD)
    assert "drop: stranger-share-used-up" in send(dp, [six] * 30)
    talk(dp, "2001:db8::9", version=6)
    assert set(send(dp, [six] * 1000)) == {PASSED}


@pytest.mark.parametrize("flags", ["S", "SA", "R", "RA"])
def test_an_answer_to_a_stranger_makes_no_peer_of_him(dp: Dataplane, flags: str) -> None:
    lab.furnish(dp)
    talk(dp, FAR, flags)
    assert "drop: stranger-share-used-up" in send(dp, [bgp(FAR)] * 30)


def test_a_peer_that_is_silent_for_long_is_a_stranger_again(dp: Dataplane) -> None:
    lab.furnish(dp)
    talk(dp, FAR)
    dp.set_time(dp.now_ns + 601 * 10**9)
    dp.run()
    assert "drop: stranger-share-used-up" in send(dp, [bgp(FAR)] * 30)


@pytest.mark.parametrize("name", GROUPS)
def test_what_comes_to_a_group_of_the_link_is_no_strangers(dp: Dataplane, name: str) -> None:
    lab.furnish(dp)
    mac, group, protocol, ttl = GROUPS[name]
    packet = bytes(IP(src="192.0.2.8", dst=group, proto=protocol, ttl=ttl) / bytes(20))
    assert set(send(dp, [frame(packet, destination=mac)] * 600)) == {PASSED}


def test_what_is_unicast_from_beyond_the_link_is_a_strangers(dp: Dataplane) -> None:
    lab.furnish(dp)
    hello = bytes(IP(src=FAR, dst=OURS, ttl=9) / OSPF_Hdr() / OSPF_Hello())
    far_bfd = bytes(IP(src=FAR, dst=OURS, ttl=254) / UDP(sport=49152, dport=4784))
    assert "drop: stranger-share-used-up" in send(dp, [frame(hello), frame(far_bfd)] * 30)


def test_isis_and_arp_have_their_classes(dp: Dataplane) -> None:
    lab.furnish(dp)
    isis = frame(b"\xfe\xfe\x03\x83" + bytes(40), 44, destination=bytes.fromhex("0180c2000015"))
    assert set(send(dp, [isis] * 600)) == {PASSED}
    stp = frame(b"\x42\x42\x03" + bytes(40), 43, destination=bytes.fromhex("0180c2000000"))
    assert "drop: other-share-used-up" in send(dp, [stp] * 20_001)
    assert set(send(dp, [isis] * 600)) == {PASSED}
    arp = frame(bytes(ARP()), 0x0806)
    assert "drop: neighbour-share-used-up" in send(dp, [arp] * 201)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(13),
        frame(b""),
        frame(b"\x45" + bytes(18)),
        frame(b"\x44" + bytes(30)),
        frame(b"\x4f" + bytes(30)),
        frame(bytes(IP(src=FAR, dst=OURS, proto=6)) + b"\x00\xb3\x00"),
        frame(bytes(IP(src=FAR, dst=OURS, proto=17))),
        frame(bytes(IP(src=FAR, dst=OURS, proto=89, frag=5)) + bytes(20)),
        frame(bytes(39), 0x86DD),
        frame(bytes(IPv6(src="fe80::1", dst="fe80::2", nh=58, hlim=255)), 0x86DD),
        frame(b"\xfe\xfe", 2),
    ],
)
def test_a_frame_too_short_for_its_class_is_of_no_class(dp: Dataplane, data: bytes) -> None:
    lab.furnish(dp)
    assert "drop: other-share-used-up" in send(dp, [data] * 20_001, port=WAN)
