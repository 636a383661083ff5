"""ip6_lookup where a leaf names a group or a nexthop object: the flow says the slot (RFC 6438)."""

from collections import Counter

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

from . import lab6
from .harness import Dataplane, Frame, lib

LAST = 100
"""Adjacencies from here on are the test's: a group, and neighbours behind it."""
TO = "2a77::1"


def furnish(dp: Dataplane, kind: str, members: list[str]) -> list[int]:
    """Have 2a77::/16 lead to 16 slots of *members*, kinds of adjacency in turn; return these."""
    lab6.furnish(dp)
    table = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
    numbers = [LAST + 1 + i for i in range(len(members))]
    for number, member in zip(numbers, members, strict=True):
        table[number].kind = getattr(lib, f"ADJ_{member}")
        table[number].port = 1
        table[number].mtu = 1500
    table[LAST].kind = getattr(lib, f"ADJ_{kind}")
    table[LAST].member = (numbers * 16)[:16]
    lab6.route16(dp, "2a77", lib.LEAF_ADJACENCY << 28 | 16 << 22 | LAST)
    return numbers


def lookup(dp: Dataplane, packets: list[bytes]) -> list[Frame]:
    return [out for p in packets for out in dp.node("ip6_lookup", [lab6.at_ip(p)])]


def members(found: list[Frame]) -> list[int]:
    return [frame.leaf & 0x3FFFFF for frame in found]


def test_flow_labels_are_spread_over_the_slots_and_stay_there(dp: Dataplane) -> None:
    numbers = furnish(dp, "GROUP", ["NEIGHBOUR"] * 4)
    flows = [lab6.udp(lab6.CLIENT, TO, fl=1 + i) for i in range(400)]
    first = lookup(dp, flows)
    assert {frame.edge_name for frame in first} == {"ip6_rewrite"}
    counts = Counter(members(first))
    assert set(counts) == set(numbers)
    assert min(counts.values()) > 50, "a fair share is 100"
    assert members(lookup(dp, flows)) == members(first)


def test_without_a_label_ports_tell_flows_apart(dp: Dataplane) -> None:
    numbers = furnish(dp, "GROUP", ["NEIGHBOUR"] * 4)
    ip = IPv6(src=lab6.CLIENT, dst=TO)
    flows = [bytes(ip / layer(sport=1024 + i)) for layer in (TCP, UDP) for i in range(100)]
    assert set(members(lookup(dp, flows))) == set(numbers)


def test_all_fragments_of_a_packet_take_one_way(dp: Dataplane) -> None:
    furnish(dp, "GROUP", ["NEIGHBOUR"] * 16)
    for label in (0, 1, 77):
        ip = IPv6(src=lab6.CLIENT, dst=TO, fl=label)
        pieces = [
            bytes(ip / IPv6ExtHdrFragment(m=1, id=label, nh=17) / UDP(sport=1024) / (b"x" * 8)),
            bytes(ip / IPv6ExtHdrFragment(offset=2, id=label, nh=17) / (b"y" * 8)),
        ]
        assert len(set(members(lookup(dp, pieces)))) == 1


def test_a_member_says_what_becomes_of_its_flows(dp: Dataplane) -> None:
    furnish(dp, "GROUP", ["NEIGHBOUR", "GLEAN", "BLACKHOLE", "UNREACHABLE"])
    found = lookup(dp, [lab6.udp(lab6.CLIENT, TO, fl=1 + i) for i in range(100)])
    edges = {frame.edge_name for frame in found}
    assert edges == {"ip6_rewrite", "drop: unresolved", "drop: blackhole", "icmp6_error"}


def test_an_object_of_one_next_hop_leads_there(dp: Dataplane) -> None:
    (number,) = furnish(dp, "NEXTHOP", ["NEIGHBOUR"])
    (out,) = lookup(dp, [lab6.udp(lab6.CLIENT, TO)])
    assert (out.edge_name, out.leaf & 0x3FFFFF) == ("ip6_rewrite", number)
