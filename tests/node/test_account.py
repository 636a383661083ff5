"""What a session is charged for and what it is not: drops on both arcs, each with its reason.

The rule, whatever a packet meets: each one that leaves an arc by its end is charged, and each that
leaves it otherwise is a drop of the session under one reason (RFC 2866 section 5.3).
"""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from dataplane import binding
from dataplane.acl import Rule
from dataplane.binding import AclAction, CommandType, Direction

from . import lab
from .harness import (
    ACC,
    DEFAULT_ARGS,
    FEATURE_IN_MSS_CLAMP,
    FEATURE_IN_NAT44,
    FEATURE_OUT_MSS_CLAMP,
    WAN,
    Dataplane,
    dataplane,
    ffi,
    lib,
)

ARC_EDGES = 16
ENDS = {
    Direction.IN: ("pppoe_input", "ip4_lookup"),
    Direction.OUT: ("session_output", "pppoe_output"),
}
NO_DROPS = {
    *("lcp_echo", "punt", "pppoe_padt", "handoff", "ip4_fragment"),  # goes on elsewhere
    *("drop: truncated", "drop: version-wrong", "drop: code-wrong"),  # before a session is known
    *("drop: length-wrong", "drop: length-beyond-frame", "drop: generation-stale"),
}
SERVER_NET = (int.from_bytes(bytes((192, 0, 2, 128)), "big"), 0xC00002FF)


def arc_nodes(dp: Dataplane, direction: Direction) -> list[str]:
    """Return the node that starts an arc and all that stand on it."""
    first, end = ENDS[direction]
    edges = {dp.edge_name(first, edge) for edge in range(1, ARC_EDGES)}
    nodes = dp.section(lib.SECTION_NODE, "struct node_name")
    names = {ffi.string(nodes[i].name).decode() for i in range(dp.header.n_nodes)}
    return [first, *sorted(edges & names - {end})]


def test_every_node_of_the_arcs_is_known(dp: Dataplane) -> None:
    assert {"antispoof4", "acl_in", "nat44_in2out"} < set(arc_nodes(dp, Direction.IN))
    assert {"acl_out", "policer_out"} < set(arc_nodes(dp, Direction.OUT))


def accounts(dp: Dataplane, direction: Direction) -> tuple[int, int]:
    """Return what the edges of an arc's nodes say: (charged, dropped)."""
    nodes, (_, end) = set(arc_nodes(dp, direction)), ENDS[direction]
    charged = dropped = 0
    for name, count in dp.counters().items():
        node, edge = name.split("/")
        if node not in nodes or edge in nodes | NO_DROPS:
            continue
        if edge == end:
            charged += count
        else:
            dropped += count
    if direction is Direction.OUT:  # what NAT answers for the session, before the arc
        dropped += dp.counters().get("nat44_out2in/icmp4_error", 0)
    return charged, dropped


def assert_accounts_are_right(dp: Dataplane) -> None:
    """Compare the counters of session 0, the only one, with those of the edges."""
    for direction in Direction:
        entry = dp.session_out(0) if direction else dp.session_in(0)
        dropped = sum(dp.drops(0, direction).values())
        assert (int(entry.packets), dropped) == accounts(dp, direction), dp.counters()


NAT_ARGS = (
    *DEFAULT_ARGS,
    "--nat-address=203.0.113.1",
    "--nat-block-size=64",
    "--nat-blocks=1",
    "--nat-mappings-per-s=60",
)


@pytest.fixture
def full() -> Iterator[Dataplane]:
    """Session 0 with every feature, both ways; 192.0.2.128/25 is denied and 10.6/16 rejected."""
    with dataplane(*NAT_ARGS) as dp:
        furnish(dp)
        yield dp


def furnish(dp: Dataplane) -> int:
    generation = lab.furnish(
        dp,
        nat_address=1,
        features_in=FEATURE_IN_NAT44 | FEATURE_IN_MSS_CLAMP,
        features_out=FEATURE_OUT_MSS_CLAMP,
        mss=1400,
        mtu=1400,
    )
    reject = Rule(AclAction.REJECT, destination=(0x0A060000, 0x0A06FFFF))
    deny = [Rule(AclAction.DENY, destination=SERVER_NET), Rule(AclAction.DENY, source=SERVER_NET)]
    lab.filter_by(dp, generation, [reject, *deny])
    for direction in Direction:
        lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=1_000_000)
    return generation


def up(dp: Dataplane, *packets: Packet | bytes, protocol: int = lab.PPP_IP4) -> None:
    dp.receive(ACC, *(lab.session_frame(bytes(packet), protocol) for packet in packets))


def down(dp: Dataplane, *packets: Packet | bytes) -> None:
    dp.receive(WAN, *(lab.routed_frame(bytes(packet)) for packet in packets))


def tell(dp: Dataplane, kind: CommandType) -> None:
    assert dp.command(lab.command(kind, 0, int(dp.session_in(0).generation))) == 0


def ip(destination: str = lab.SERVER, **fields: object) -> Packet:
    return IP(src=lab.CLIENT_IP, dst=destination, **fields)


def quoting(icmp: Packet) -> Packet:
    return ip() / icmp / bytes(IP(src=lab.SERVER, dst=lab.CLIENT_IP) / UDP(sport=7))


def paused(dp: Dataplane) -> Dataplane:
    tell(dp, CommandType.SESSION_PAUSE)
    return dp


def ip4_off(dp: Dataplane) -> Dataplane:
    dp.session_in(0).features |= 1 << lib.FEATURE_IN_IP4_OFF
    dp.session_out(0).features |= 1 << lib.FEATURE_OUT_IP4_OFF
    return dp


def drained(dp: Dataplane, direction: Direction) -> Dataplane:
    generation = int(dp.session_in(0).generation)
    lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=10)
    return dp


IN_DROPS: dict[str, tuple[str, Callable[[Dataplane], None]]] = {
    "ip4-checksum-wrong": (
        "malformed",
        lambda dp: up(dp, b"\x45\x01" + lab.udp("1.2.3.4", "5.6.7.8")[2:]),
    ),
    "protocol-compressed": ("malformed", lambda dp: up(dp, b"", protocol=0x2145)),
    "ip6-not-served": ("not-served", lambda dp: up(dp, bytes(40), protocol=0x0057)),
    "packet-too-big": ("too-big", lambda dp: up(dp, lab.udp(lab.CLIENT_IP, lab.SERVER, 1373))),
    "session-paused": (
        "not-live",
        lambda dp: up(paused(dp), ip() / UDP()),
    ),
    "source-spoofed": ("spoofed", lambda dp: up(dp, lab.udp("9.9.9.9", lab.SERVER))),
    "acl-denied": ("acl", lambda dp: up(dp, lab.udp(lab.CLIENT_IP, "192.0.2.200"))),
    "acl rejected": ("acl", lambda dp: up(dp, lab.udp(lab.CLIENT_IP, "10.6.0.1"))),
    "ip4-not-served": ("not-served", lambda dp: up(ip4_off(dp), ip() / UDP())),
    "policed": ("policed", lambda dp: up(drained(dp, Direction.IN), ip() / UDP())),
    "no-mapping": ("nat", lambda dp: up(dp, ip() / TCP(flags="R"))),
    "fragment-overlaps-header": ("nat", lambda dp: up(dp, ip(frag=1, proto=6) / bytes(64))),
    "icmp-not-translated": ("nat", lambda dp: up(dp, ip() / ICMP(type=5))),
    "truncated-header": ("nat", lambda dp: up(dp, ip(proto=17) / bytes(7))),
    "bad-checksum": ("nat", lambda dp: up(dp, quoting(ICMP(type=3, chksum=1)))),
    "mapping-rate": ("nat", lambda dp: up(dp, *(ip() / UDP(sport=n) for n in range(1, 62)))),
}


@pytest.mark.parametrize("case", IN_DROPS)
def test_what_is_dropped_on_the_way_in_is_not_charged(full: Dataplane, case: str) -> None:
    reason, provoke = IN_DROPS[case]
    entry = full.session_in(0)
    provoke(full)
    passed = len(full.sent(WAN))
    assert int(entry.packets) == passed
    assert full.drops(0, Direction.IN) == {reason: 1}
    if passed == 0:
        assert int(entry.bytes) == 0
    assert any(case in name or name == "acl_in/icmp4_error" for name in full.counters())
    assert_accounts_are_right(full)


OUT_DROPS: dict[str, tuple[str, Callable[[Dataplane], None]]] = {
    "session-paused": (
        "not-live",
        lambda dp: down(paused(dp), lab.udp(lab.SERVER, lab.CLIENT_IP)),
    ),
    "ttl": ("ttl", lambda dp: down(dp, lab.udp(lab.SERVER, lab.CLIENT_IP, ttl=1))),
    "too big": (
        "too-big",
        lambda dp: down(dp, lab.udp(lab.SERVER, lab.CLIENT_IP, 1400, flags="DF")),
    ),
    "ip4-not-served": (
        "not-live",
        lambda dp: down(ip4_off(dp), lab.udp(lab.SERVER, lab.FRAMED)),
    ),
    "past NAT": ("nat", lambda dp: down(dp, lab.udp(lab.SERVER, lab.CLIENT_IP))),
    "acl-denied": ("acl", lambda dp: down(dp, lab.udp("192.0.2.200", lab.FRAMED))),
    "policed": (
        "policed",
        lambda dp: down(drained(dp, Direction.OUT), lab.udp(lab.SERVER, lab.FRAMED)),
    ),
}


@pytest.mark.parametrize("case", OUT_DROPS)
def test_what_is_dropped_on_the_way_out_is_not_charged(full: Dataplane, case: str) -> None:
    reason, provoke = OUT_DROPS[case]
    provoke(full)
    entry = full.session_out(0)
    assert (full.sent(ACC), int(entry.packets), int(entry.bytes)) == ([], 0, 0)
    assert full.drops(0, Direction.OUT) == {reason: 1}
    assert_accounts_are_right(full)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        ({"ttl": 1}, "ttl"),
        ({"flags": "DF", "size": 1400}, "too-big"),
    ],
)
def test_what_nat_answers_for_a_session_is_its_drop(
    full: Dataplane, packet: dict[str, object], reason: str
) -> None:
    up(full, lab.udp(lab.CLIENT_IP, lab.SERVER))
    (out,) = full.sent(WAN)
    there = IP(out[14:])
    size = packet.pop("size", 8)
    back = IP(src=lab.SERVER, dst=there.src, **packet) / UDP(sport=53, dport=there[UDP].sport)
    down(full, back / bytes(int(str(size))))
    assert full.sent(ACC) == []
    assert full.drops(0, Direction.OUT) == {reason: 1}


def test_a_packet_that_every_feature_passes_is_charged_once(full: Dataplane) -> None:
    packet = lab.udp(lab.CLIENT_IP, lab.SERVER)
    up(full, packet)
    entry = full.session_in(0)
    assert (int(entry.packets), int(entry.bytes)) == (1, len(packet))
    assert_accounts_are_right(full)


@pytest.mark.parametrize("bit", range(ARC_EDGES))
def test_each_node_of_the_arc_charges_what_leaves_it_by_the_end(full: Dataplane, bit: int) -> None:
    features = 1 << bit if bit else 0
    passes = {*arc_nodes(full, Direction.IN)} - {"ip4_off_in"}
    if bit and full.edge_name("pppoe_input", bit) not in passes:
        features = 1 << 1
    full.session_in(0).features = features
    full.session_in(0).ip4 = int.from_bytes(bytes((100, 64, 0, 1)), "little")
    packet = lab.udp(lab.CLIENT_IP, lab.SERVER)
    up(full, packet)
    entry = full.session_in(0)
    assert (int(entry.packets), int(entry.bytes)) == (1, len(packet))


def test_drops_stop_at_the_most_they_can_count(full: Dataplane) -> None:
    full.session_cold(0).in_drops[lib.IN_DROP_SPOOFED] = 0xFFFF_FFFE
    for _ in range(3):
        up(full, lab.udp("9.9.9.9", lab.SERVER))
    assert full.drops(0, Direction.IN) == {"spoofed": 0xFFFF_FFFF}


ADDRESSES = st.sampled_from(
    [lab.CLIENT_IP, lab.SERVER, "9.9.9.9", "192.0.2.200", "203.0.113.1", "10.6.0.1"]
)
LAYERS = st.sampled_from(
    [UDP(), UDP(sport=9), TCP(flags="S"), TCP(flags="R"), ICMP(), ICMP(type=5), ICMP(type=3)]
)
PACKETS = st.builds(
    lambda source, destination, layer, size, ttl, fragment, do_not: bytes(
        IP(src=source, dst=destination, ttl=ttl, frag=fragment, flags=do_not) / layer / bytes(size)
    ),
    *(ADDRESSES, ADDRESSES, LAYERS),
    *(st.sampled_from([0, 30, 1_380]), st.sampled_from([1, 64]), st.sampled_from([0, 0, 5])),
    st.sampled_from(["", "DF", "MF"]),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(packets=st.lists(st.tuples(st.booleans(), PACKETS), max_size=20))
def test_charged_and_dropped_are_all_there_is(
    full: Dataplane, packets: list[tuple[bool, bytes]]
) -> None:
    for upstream, packet in packets:
        (up if upstream else down)(full, packet)
    full.advance(2.1, step=2.1)  # fragments wait no longer for a first one
    for port in (ACC, WAN):
        full.sent(port)
    full.punts()
    full.pop(0, binding.Ring.NAT_LOG)
    full.events()
    assert_accounts_are_right(full)
