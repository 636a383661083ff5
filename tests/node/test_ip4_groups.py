"""ip4_lookup where a leaf names a group or a nexthop object: the flow says the slot (RFC 2992)."""

from collections import Counter

from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from . import lab
from .harness import Dataplane, Frame, lib

LAST = 100
"""Adjacencies from here on are the test's: a group, and neighbours behind it."""
PREFIX = "203.0"
TO = "203.0.113.1"


def furnish(dp: Dataplane, kind: str, members: list[str]) -> list[int]:
    """Have PREFIX lead to 16 slots of *members*, kinds of adjacency in turn; return these."""
    lab.furnish(dp)
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    numbers = [LAST + 1 + i for i in range(len(members))]
    for number, member in zip(numbers, members, strict=True):
        table[number].kind = getattr(lib, f"ADJ_{member}")
        table[number].port = 1
        table[number].mtu = 1500
    table[LAST].kind = getattr(lib, f"ADJ_{kind}")
    table[LAST].member = (numbers * 16)[:16]
    lab.route16(dp, PREFIX, lib.LEAF_ADJACENCY, 16 << 22 | LAST)
    return numbers


def lookup(dp: Dataplane, packets: list[bytes]) -> list[Frame]:
    return [out for p in packets for out in dp.node("ip4_lookup", [lab.at_ip(p)])]


def flows(count: int) -> list[bytes]:
    return [bytes(IP(src=lab.CLIENT_IP, dst=TO) / UDP(sport=1024 + i)) for i in range(count)]


def members(found: list[Frame]) -> list[int]:
    assert {frame.leaf >> 22 for frame in found} == {lib.LEAF_ADJACENCY << 6 | 16}
    return [frame.leaf & 0x3FFFFF for frame in found]


def test_flows_are_spread_over_the_slots_and_stay_there(dp: Dataplane) -> None:
    numbers = furnish(dp, "GROUP", ["NEIGHBOUR"] * 4)
    first = lookup(dp, flows(400))
    assert {frame.edge_name for frame in first} == {"ip4_rewrite"}
    counts = Counter(members(first))
    assert set(counts) == set(numbers)
    assert min(counts.values()) > 50, "a fair share is 100"
    assert members(lookup(dp, flows(400))) == members(first)


def test_all_fragments_of_a_datagram_take_one_way(dp: Dataplane) -> None:
    furnish(dp, "GROUP", ["NEIGHBOUR"] * 16)
    for ident in range(20):
        fields = {"src": lab.CLIENT_IP, "dst": TO, "id": ident}
        pieces = [
            bytes(IP(flags="MF", proto=17, **fields) / UDP(sport=1024 + ident) / Raw(b"x" * 8)),
            bytes(IP(frag=2, flags="MF", proto=17, **fields) / Raw(b"y" * 16)),
            bytes(IP(frag=4, proto=17, **fields) / Raw(b"z" * 5)),
        ]
        assert len(set(members(lookup(dp, pieces)))) == 1


def test_protocols_and_both_ports_are_part_of_the_flow(dp: Dataplane) -> None:
    furnish(dp, "GROUP", ["NEIGHBOUR"] * 16)
    ip = IP(src=lab.CLIENT_IP, dst=TO)
    udp = [bytes(ip / UDP(sport=5000, dport=port)) for port in range(1, 65)]
    tcp = [bytes(ip / TCP(sport=5000, dport=port)) for port in range(1, 65)]
    by_udp, by_tcp = members(lookup(dp, udp)), members(lookup(dp, tcp))
    assert len(set(by_udp)) > 8
    assert by_udp != by_tcp


def test_a_member_that_is_no_neighbour_decides_for_itself(dp: Dataplane) -> None:
    furnish(dp, "GROUP", ["NEIGHBOUR", "GLEAN", "BLACKHOLE", "UNREACHABLE"])
    edges = Counter(frame.edge_name for frame in lookup(dp, flows(200)))
    assert set(edges) == {"ip4_rewrite", "drop: unresolved", "drop: blackhole", "icmp4_error"}


def test_all_packets_to_an_object_take_its_one_next_hop(dp: Dataplane) -> None:
    (number,) = furnish(dp, "NEXTHOP", ["NEIGHBOUR"])
    found = lookup(dp, flows(50))
    assert {frame.edge_name for frame in found} == {"ip4_rewrite"}
    assert set(members(found)) == {number}
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    table[number + 1].kind = lib.ADJ_BLACKHOLE
    table[LAST].member = [number + 1] * 16
    assert {frame.edge_name for frame in lookup(dp, flows(50))} == {"drop: blackhole"}
