"""ip4_input, ip4_lookup, ip4_rewrite, ip4_local: routing (RFC 1812), echo (RFC 792)."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP

from . import lab
from .harness import ACC, TWIN, WAN, Dataplane, lib

PACKET = lab.udp(lab.SERVER, lab.CLIENT_IP)


@pytest.mark.parametrize(
    ("source", "destination", "edge"),
    [
        ("0.0.0.0", lab.CLIENT_IP, "drop: ip4-source-martian"),
        ("0.1.2.3", lab.CLIENT_IP, "drop: ip4-source-martian"),
        ("127.1.2.3", lab.CLIENT_IP, "drop: ip4-source-martian"),
        ("224.0.0.1", lab.CLIENT_IP, "drop: ip4-source-martian"),
        ("240.0.0.1", lab.CLIENT_IP, "drop: ip4-source-martian"),
        ("255.255.255.255", lab.CLIENT_IP, "drop: ip4-source-martian"),
        (lab.SERVER, "0.0.0.0", "drop: ip4-destination-martian"),
        (lab.SERVER, "127.0.0.1", "drop: ip4-destination-martian"),
        (lab.SERVER, "240.0.0.1", "drop: ip4-destination-martian"),
        (lab.SERVER, "239.255.255.255", "drop: ip4-destination-multicast"),
        ("1.0.0.1", "223.255.255.255", "ip4_lookup"),
        ("126.0.0.1", "128.0.0.1", "ip4_lookup"),
    ],
)
def test_martians_are_dropped(dp: Dataplane, source: str, destination: str, edge: str) -> None:
    (out,) = dp.node("ip4_input", [lab.at_ip(lab.udp(source, destination))])
    assert out.edge_name == edge


def test_any_changed_bit_of_the_header_is_noticed(dp: Dataplane) -> None:
    for bit in range(160):
        changed = bytearray(PACKET)
        changed[bit // 8] ^= 1 << bit % 8
        (out,) = dp.node("ip4_input", [lab.at_ip(bytes(changed))])
        assert out.edge_name.startswith("drop: ip4-"), bit


def test_a_packet_is_dropped_at_every_length_it_is_cut_to(dp: Dataplane) -> None:
    for length in range(1, len(PACKET)):
        (out,) = dp.node("ip4_input", [lab.at_ip(PACKET[:length])])
        assert out.edge_name in {"drop: ip4-truncated", "drop: ip4-length-beyond-frame"}


def test_options_are_part_of_the_checked_header(dp: Dataplane) -> None:
    options = lab.raw_option(bytes.fromhex("94040000"))
    packet = bytes(IP(src=lab.SERVER, dst=lab.CLIENT_IP, options=options) / b"data")
    (out,) = dp.node("ip4_input", [lab.at_ip(packet)])
    assert out.edge_name == "ip4_lookup"
    (out,) = dp.node("ip4_input", [lab.at_ip(packet[:22] + b"\x01" + packet[23:])])
    assert out.edge_name == "drop: ip4-checksum-wrong"
    (out,) = dp.node("ip4_input", [lab.at_ip(packet[:23])])
    assert out.edge_name == "drop: ip4-truncated"


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ttl=st.integers(2, 255), tos=st.integers(0, 255), ident=st.integers(0, 0xFFFF))
def test_the_checksum_after_the_ttl_is_scapys(
    dp: Dataplane, ttl: int, tos: int, ident: int
) -> None:
    lab.furnish_once(dp)
    fields: dict[str, Any] = {"src": lab.SERVER, "dst": lab.SERVER, "tos": tos, "id": ident}
    packet = bytes(IP(ttl=ttl, **fields) / b"data")
    leaf = lab.leaf_of(dp, "192.0")
    (out,) = dp.node("ip4_rewrite", [lab.at_ip(packet, leaf=leaf)])
    assert out.edge_name == "port_output"
    assert out.data[14:] == bytes(IP(ttl=ttl - 1, **fields) / b"data")


@pytest.mark.parametrize(
    ("prefix", "edge", "cause", "code"),
    [
        ("9.9", "icmp4_error", 3, 0),
        ("10.3", "icmp4_error", 3, 1),
        ("10.6", "icmp4_error", 3, 13),
        ("10.4", "drop: blackhole", 0, 0),
        ("10.5", "drop: unresolved", 0, 0),
        ("10.7", "drop: adjacency-gone", 0, 0),
        ("10.8", "nat44_out2in", 0, 0),
        ("192.0", "ip4_rewrite", 0, 0),
        ("100.64", "session_output", 0, 0),
    ],
)
def test_the_leaf_decides_where_a_packet_goes(
    dp: Dataplane, prefix: str, edge: str, cause: int, code: int
) -> None:
    lab.furnish(dp)
    (out,) = dp.node("ip4_lookup", [lab.at_ip(lab.udp(lab.SERVER, f"{prefix}.3.4"))])
    assert (out.edge_name, out.cause, out.arg) == (edge, cause, code)
    assert out.leaf == lab.leaf_of(dp, prefix)


def test_a_next_hop_in_use_is_marked(dp: Dataplane) -> None:
    lab.furnish(dp)
    leaf = lab.leaf_of(dp, "192.0")
    dp.node("ip4_rewrite", [lab.at_ip(PACKET, leaf=leaf)])
    assert lab.adjacency(dp, "192.0").used == dp.now_ns // 1_000_000


@pytest.mark.parametrize("size", [0, 1, 56, 1464])
def test_a_subscriber_gets_an_answer_to_ping(dp: Dataplane, size: int) -> None:
    lab.furnish(dp)
    request = lab.ping(lab.CLIENT_IP, lab.GATEWAY, size, ttl=1)
    dp.receive(ACC, lab.session_frame(request))
    (sent,) = dp.sent(ACC)
    reply = lab.decoded(sent[22:])
    assert (reply.src, reply.dst) == (lab.GATEWAY, lab.CLIENT_IP)
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq) == (0, 9, 1)
    assert bytes(reply[ICMP].payload) == bytes(size)


def test_a_subscriber_reaches_nothing_else_of_the_box(dp: Dataplane) -> None:
    lab.furnish(dp)
    for destination in (lab.GATEWAY, lab.WAN_IP):
        dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, destination)))
        dp.receive(ACC, lab.session_frame(lab.syn(lab.CLIENT_IP, destination, [])))
    assert (dp.sent(ACC), dp.sent(TWIN)) == ([], [])
    assert dp.counters()["ip4_local/drop: not-echo-request"] == 4


def test_what_comes_from_outside_for_the_kernel_reaches_its_tap_whole(dp: Dataplane) -> None:
    lab.furnish(dp)
    frame = lab.routed_frame(lab.udp(lab.SERVER, lab.WAN_IP, 100, ttl=1))
    dp.receive(WAN, frame)
    assert dp.sent(TWIN) == [frame]


def test_a_gateway_address_is_pinged_from_outside_but_never_the_kernels(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.receive(WAN, lab.routed_frame(lab.ping(lab.SERVER, lab.GATEWAY)))
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.GATEWAY)))
    assert dp.sent(TWIN) == []
    assert len(dp.sent(WAN)) == 1


def test_pings_of_one_subscriber_are_limited_and_others_are_not(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.receive(ACC, *[lab.session_frame(lab.ping(lab.CLIENT_IP, lab.GATEWAY))] * 200)
    assert len(dp.sent(ACC)) == 50
    dp.receive(ACC, lab.session_frame(lab.ping(lab.FRAMED, lab.GATEWAY)))
    assert len(dp.sent(ACC)) == 1


def furnish_group(dp: Dataplane) -> list[int]:
    """Make 10.8/16 lead to a group of 16 neighbours; return their indexes."""
    lab.furnish(dp)
    first = dp.header.max_adjacencies - 64
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    members = list(range(first, first + 16))
    for number in members:
        table[number].kind = lib.ADJ_NEIGHBOUR
        table[number].port = WAN
    group = table[first + 16]
    group.kind = lib.ADJ_GROUP
    group.member = members
    lab.route16(dp, "10.8", lib.LEAF_ADJACENCY, first + 16)
    return members


def chosen(dp: Dataplane, packets: list[bytes]) -> list[int]:
    """Return the member that each packet is sent to."""
    outs = dp.node("ip4_lookup", [lab.at_ip(packet) for packet in packets])
    assert {out.edge_name for out in outs} == {"ip4_rewrite"}
    return [out.leaf & 0x3FFFFF for out in outs]


def flow(source: str, port: int, proto: type[UDP] | type[TCP] = UDP, **ip: Any) -> bytes:
    layers = IP(src=source, dst="10.8.0.1", **ip) / proto(sport=port, dport=53) / b"data"
    return bytes(layers)


def test_flows_spread_over_all_members_of_a_group(dp: Dataplane) -> None:
    members = furnish_group(dp)
    for packets in (
        [flow(lab.CLIENT_IP, 1024 + i) for i in range(250)],
        [flow(f"100.64.7.{i}", 4000) for i in range(250)],
        [flow(f"100.64.7.{i}", 4000, TCP) for i in range(250)],
    ):
        share = Counter(chosen(dp, packets))
        assert sorted(share) == members
        assert max(share.values()) < 40  # 250 / 16 is 16


def test_all_packets_of_a_flow_go_to_one_member(dp: Dataplane) -> None:
    furnish_group(dp)
    for i in range(32):
        packets = [flow(lab.CLIENT_IP, 2000 + i, id=n, ttl=9 + n, tos=n) for n in range(16)]
        assert len(set(chosen(dp, packets))) == 1


def test_all_fragments_of_a_datagram_go_to_one_member(dp: Dataplane) -> None:
    furnish_group(dp)
    for i in range(32):
        source = f"100.64.7.{i}"
        first = flow(source, 4000 + i, flags="MF")
        later = bytes(IP(src=source, dst="10.8.0.1", proto=17, frag=8) / bytes(range(i, i + 16)))
        assert len(set(chosen(dp, [first, later]))) == 1


def test_a_member_without_neighbour_costs_its_own_flows_alone(dp: Dataplane) -> None:
    members = furnish_group(dp)
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    table[members[5]].kind = lib.ADJ_GLEAN
    packets = [flow(lab.CLIENT_IP, 1024 + i) for i in range(250)]
    outs = dp.node("ip4_lookup", [lab.at_ip(packet) for packet in packets])
    for out in outs:
        unresolved = out.leaf & 0x3FFFFF == members[5]
        assert out.edge_name == ("drop: unresolved" if unresolved else "ip4_rewrite")
    assert {out.edge_name for out in outs} == {"drop: unresolved", "ip4_rewrite"}


def test_a_packet_of_a_group_cut_short_is_read_no_further(dp: Dataplane) -> None:
    furnish_group(dp)
    packet = flow(lab.CLIENT_IP, 4000)
    assert len(set(chosen(dp, [packet[:20], packet[:23]]))) == 1
