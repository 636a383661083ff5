"""ip4_lookup and ip6_lookup where a leaf names a group or a nexthop object: the flow says the slot.

RFC 2992: a flow stays on its path. RFC 6438: of IPv6 the flow label says what a flow is.
"""

from collections import Counter

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from .family import FAMILIES, IP4, IP6, Family
from .harness import Dataplane, Frame, lib

LAST = 100
"""Adjacencies from here on are the test's: a group, and neighbours behind it."""


def furnish(dp: Dataplane, family: Family, kind: str, members: list[str]) -> list[int]:
    """Have the family's prefix lead to 16 slots of *members*, kinds of adjacency in turn."""
    family.furnish(dp)
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    numbers = [LAST + 1 + i for i in range(len(members))]
    for number, member in zip(numbers, members, strict=True):
        table[number].kind = getattr(lib, f"ADJ_{member}")
        table[number].port = 1
        table[number].mtu = 1500
    table[LAST].kind = getattr(lib, f"ADJ_{kind}")
    table[LAST].member = (numbers * 16)[:16]
    family.set_leaf(dp, lib.LEAF_ADJACENCY << 28 | 16 << 22 | LAST)
    return numbers


def lookup(dp: Dataplane, family: Family, packets: list[bytes]) -> list[Frame]:
    return [out for packet in packets for out in family.node(dp, "ip{v}_lookup", packet)]


def members(found: list[Frame]) -> list[int]:
    """Return the adjacencies; the leaf keeps the length of the prefix."""
    assert {frame.leaf >> 22 for frame in found} == {lib.LEAF_ADJACENCY << 6 | 16}
    return [frame.leaf & 0x3FFFFF for frame in found]


def header(family: Family, **fields: int) -> Packet:
    layer = IP if family is IP4 else IPv6
    return layer(src=family.client, dst=family.group, **fields)


def flows(family: Family, count: int) -> list[bytes]:
    """Return packets that differ in their ports, or in their flow labels."""
    return [
        bytes(header(family) / UDP(sport=1024 + i))
        if family is IP4
        else bytes(header(family, fl=1 + i) / UDP())
        for i in range(count)
    ]


@FAMILIES
def test_flows_are_spread_over_the_slots_and_stay_there(dp: Dataplane, family: Family) -> None:
    numbers = furnish(dp, family, "GROUP", ["NEIGHBOUR"] * 4)
    first = lookup(dp, family, flows(family, 400))
    assert {frame.edge_name for frame in first} == {family.name("ip{v}_rewrite")}
    counts = Counter(members(first))
    assert set(counts) == set(numbers)
    assert min(counts.values()) > 50, "a fair share is 100"
    assert members(lookup(dp, family, flows(family, 400))) == members(first)


@FAMILIES
def test_without_a_label_ports_tell_flows_apart(dp: Dataplane, family: Family) -> None:
    furnish(dp, family, "GROUP", ["NEIGHBOUR"] * 16)
    ip = header(family)
    for layer in (TCP, UDP):
        for end in ("sport", "dport"):
            packets = [bytes(ip / layer(**{end: 5000 + i})) for i in range(100)]
            assert len(set(members(lookup(dp, family, packets)))) > 8


def test_the_protocol_is_part_of_the_flow(dp: Dataplane) -> None:
    furnish(dp, IP4, "GROUP", ["NEIGHBOUR"] * 16)
    by_udp, by_tcp = (
        members(lookup(dp, IP4, [bytes(header(IP4) / layer(dport=port)) for port in range(1, 65)]))
        for layer in (UDP, TCP)
    )
    assert by_udp != by_tcp


def pieces(family: Family, number: int) -> list[bytes]:
    """Return fragments of a packet, of which only the first has ports."""
    first, second = UDP(sport=1024 + number) / Raw(b"x" * 8), Raw(b"y" * 16)
    if family is IP4:
        return [
            bytes(header(IP4, id=number, proto=17, flags=1) / first),
            bytes(header(IP4, id=number, proto=17, flags=1, frag=2) / second),
            bytes(header(IP4, id=number, proto=17, frag=4) / second),
        ]
    label = (0, 1, 77)[number % 3]
    return [
        bytes(header(IP6, fl=label) / IPv6ExtHdrFragment(m=1, id=number, nh=17) / first),
        bytes(header(IP6, fl=label) / IPv6ExtHdrFragment(offset=2, id=number, nh=17) / second),
    ]


@FAMILIES
def test_all_fragments_of_a_packet_take_one_way(dp: Dataplane, family: Family) -> None:
    furnish(dp, family, "GROUP", ["NEIGHBOUR"] * 16)
    for number in range(20):
        assert len(set(members(lookup(dp, family, pieces(family, number))))) == 1


@FAMILIES
def test_a_member_that_is_no_neighbour_decides_for_itself(dp: Dataplane, family: Family) -> None:
    furnish(dp, family, "GROUP", ["NEIGHBOUR", "GLEAN", "BLACKHOLE", "UNREACHABLE"])
    edges = {frame.edge_name for frame in lookup(dp, family, flows(family, 200))}
    names = ("ip{v}_rewrite", "drop: unresolved", "drop: blackhole", "icmp{v}_error")
    assert edges == set(map(family.name, names))


@FAMILIES
def test_all_packets_to_an_object_take_its_one_next_hop(dp: Dataplane, family: Family) -> None:
    (number,) = furnish(dp, family, "NEXTHOP", ["NEIGHBOUR"])
    found = lookup(dp, family, flows(family, 50))
    assert {frame.edge_name for frame in found} == {family.name("ip{v}_rewrite")}
    assert set(members(found)) == {number}
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    table[number + 1].kind = lib.ADJ_BLACKHOLE
    table[LAST].member = [number + 1] * 16
    found = lookup(dp, family, flows(family, 50))
    assert {frame.edge_name for frame in found} == {"drop: blackhole"}
