"""acl_in and acl_out on IPv6: the rules in their order decide, behind extension headers, too."""

from ipaddress import IPv6Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw

from bng.aaa.acl import PROTOCOLS, parse_rule
from bng.io.acl import _rule
from dataplane import acl as compiler
from dataplane.acl import NO_PORT, Rule, compile_acl, read_counters
from dataplane.binding import AclAction

from . import lab, lab6
from .harness import ACC, START_NS, WAN, Dataplane, ffi, lib
from .test_acl import between, dp_place, ports, protocols

DENY, PERMIT, REJECT = AclAction.DENY, AclAction.PERMIT, AclAction.REJECT
ARC = 0x8028
"""The ACL, and behind it the policer."""
VERDICTS = {"drop: acl-denied": DENY, "policer_in": PERMIT, "icmp6_error": REJECT}
OUT_VERDICTS = {"drop: acl-denied": DENY, "policer_out": PERMIT}
HIDDEN = "drop: ip6-upper-layer-hidden"
LOW64 = (1 << 64) - 1
ADDRESSES = [
    int(IPv6Address(text))
    for text in (
        *("::", "::1", "2001:db8::", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        *("2001:db8:0:1::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    )
]

addresses = st.one_of(
    st.sampled_from(ADDRESSES),
    st.integers(0, (1 << 128) - 1),
    st.integers(0, 7).map(lambda n: ADDRESSES[2] + n),  # one upper half
    st.integers(0, 7).map(lambda n: ADDRESSES[2] + (n << 64) + LOW64),  # lower half of ones
)
ranges6 = st.one_of(st.just(compiler.ANY_ADDRESS6), st.just(compiler.NEVER), between(addresses))
rules = st.builds(
    Rule,
    st.sampled_from(AclAction),
    st.sampled_from([compiler.ANY_ADDRESS, compiler.NEVER]),
    st.just(compiler.ANY_ADDRESS),
    st.just(compiler.ANY_PORT) | between(ports),
    st.just(compiler.ANY_PORT) | between(ports),
    st.just(compiler.ANY_PROTOCOL) | between(protocols),
    ranges6,
    ranges6,
)
packets = st.tuples(
    addresses, addresses, ports, ports, st.sampled_from(["tcp", "udp", "icmpv6", "gre"])
)


def packet(source: int, destination: int, sport: int, dport: int, protocol: str) -> bytes:
    inner = {
        "tcp": TCP(sport=sport, dport=dport),
        "udp": UDP(sport=sport, dport=dport),
        "icmpv6": ICMPv6EchoRequest(),
        "gre": Raw(bytes(8)),
    }[protocol]
    src, dst = str(IPv6Address(source)), str(IPv6Address(destination))
    return bytes(IPv6(src=src, dst=dst, nh=PROTOCOLS[protocol]) / inner)


def expected(acl: list[Rule], default: AclAction, key: tuple[int, ...]) -> AclAction:
    """Decide as whoever reads the rules one by one; *key* is without addresses of IPv4."""
    for rule in acl:
        source, destination, *rest = rule.source6, rule.destination6, *rule.ranges[2:5]
        ranges = (*rest, source, destination)
        if all(low <= value <= high for value, (low, high) in zip(key, ranges, strict=True)):
            return AclAction(rule.action)
    return default


def edges(dp: Dataplane, frames: list[bytes], node: str = "acl_in") -> list[str]:
    out = dp.node(node, [lab6.at_ip(frame, session=0, arc=ARC) for frame in frames])
    return [frame.edge_name for frame in out]


def verdicts(dp: Dataplane, frames: list[bytes]) -> list[AclAction]:
    return [VERDICTS[edge] for edge in edges(dp, frames)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    acl=st.lists(rules, max_size=150),
    default=st.sampled_from(AclAction),
    flows=st.lists(packets, min_size=1, max_size=20),
)
def test_the_first_rule_that_fits_decides(
    dp: Dataplane, acl: list[Rule], default: AclAction, flows: list[tuple[int, int, int, int, str]]
) -> None:
    lab.furnish_once(dp)
    lab.filter_by(dp, dp.session_in(0).generation, acl, default)
    wanted = []
    for source, destination, sport, dport, name in flows:
        if name not in ("tcp", "udp"):
            sport = dport = NO_PORT
        key = (sport, dport, PROTOCOLS[name], source, destination)
        wanted.append(expected(acl, default, key))
    frames = [packet(*flow) for flow in flows]
    assert verdicts(dp, frames) == wanted
    out = [OUT_VERDICTS[edge] for edge in edges(dp, frames, "acl_out")]
    assert out == [DENY if action == REJECT else action for action in wanted]


def written(*texts: str) -> list[Rule]:
    return [_rule(parse_rule(text)) for text in texts]


@pytest.mark.parametrize(
    ("rule", "ip4", "ip6"),
    [
        ("deny ip any any", DENY, DENY),
        ("deny udp any any port 53", DENY, DENY),
        ("deny 17 any any", DENY, DENY),
        ("deny ip any 0.0.0.0/0", DENY, PERMIT),
        ("deny ip any ::/0", PERMIT, DENY),
        (f"deny udp {lab6.LINK} any port 53", PERMIT, DENY),
        (f"deny udp {IPv6Address(lab6.CLIENT) + 1} any", PERMIT, PERMIT),
        (f"deny udp any port 4000 {lab6.SERVER}-2a02::9", PERMIT, DENY),
        ("deny icmp any any", PERMIT, PERMIT),
        ("deny icmpv6 any any", PERMIT, PERMIT),
        ("deny 1 any any", PERMIT, PERMIT),
    ],
)
def test_a_rule_is_of_the_versions_that_it_speaks_of(
    dp: Dataplane, rule: str, ip4: AclAction, ip6: AclAction
) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written(rule))
    udp4 = bytes(IP(src=lab.CLIENT_IP, dst=lab.SERVER) / DATAGRAM)
    (out,) = dp.node("acl_in", [lab.at_ip(udp4, session=0, arc=0x08)])
    assert {"drop: acl-denied": DENY, "ip4_lookup": PERMIT}[out.edge_name] == ip4
    assert verdicts(dp, [lab6.FRAME]) == [ip6]


def test_icmp_and_icmpv6_are_two_protocols(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("permit icmp any any"), DENY)
    ping6, ping4 = lab6.ping(lab6.CLIENT, lab6.SERVER), lab.ping(lab.CLIENT_IP, lab.SERVER)
    strange = bytes(IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=1) / Raw(bytes(8)))
    assert verdicts(dp, [ping6, strange]) == [DENY, DENY]
    (out,) = dp.node("acl_in", [lab.at_ip(ping4, session=0, arc=0x08)])
    assert out.edge_name == "ip4_lookup"
    lab.filter_by(dp, generation, written("permit icmpv6 any any"), DENY)
    assert verdicts(dp, [ping6, strange]) == [PERMIT, DENY]


DATAGRAM = UDP(sport=4000, dport=53) / bytes(8)


def behind(*headers: Packet, upper: Packet = DATAGRAM) -> bytes:
    found: Packet = IPv6(src=lab6.CLIENT, dst=lab6.SERVER)
    for header in headers:
        found /= header
    return bytes(found / upper)


OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])


@pytest.mark.parametrize(
    "frame",
    [
        behind(IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])),
        behind(IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0)),
        behind(OPTIONS, OPTIONS, OPTIONS),
        behind(IPv6ExtHdrFragment(m=1, id=7)),
        behind(IPv6ExtHdrFragment(m=1, id=7), OPTIONS),
        behind(AH(nh=17, spi=5, seq=1, icv=bytes(12), payloadlen=4)),
    ],
)
def test_ports_are_found_behind_extension_headers(dp: Dataplane, frame: bytes) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny udp any port 4000 any port 53"))
    assert verdicts(dp, [frame]) == [DENY]
    lab.filter_by(dp, generation, written("deny udp any port 4000 any port 54"))
    assert verdicts(dp, [frame]) == [PERMIT]


def test_a_later_fragment_has_no_ports(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny udp any any port 0-65535", "deny tcp any any"))
    udp, tcp = (
        behind(IPv6ExtHdrFragment(offset=9, nh=nh, id=7), upper=Raw(bytes(16))) for nh in (17, 6)
    )
    assert verdicts(dp, [udp, tcp, lab6.FRAME]) == [PERMIT, DENY, DENY]


CHAIN = [IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])] * 9


@pytest.mark.parametrize(
    "frame",
    [
        lab6.FRAME[:43],
        behind(*CHAIN),
        behind(IPv6ExtHdrFragment(m=1, id=7), OPTIONS)[:56],
        behind(IPv6ExtHdrFragment(m=1, id=7))[:48],
        behind(OPTIONS)[:47],
        behind(IPv6ExtHdrDestOpt(len=255)),
    ],
)
def test_what_hides_its_upper_layer_passes_no_acl(dp: Dataplane, frame: bytes) -> None:
    """RFC 7112 §5: a first fragment has all headers."""
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, [])
    assert edges(dp, [frame]) == edges(dp, [frame], "acl_out") == [HIDDEN]
    cold = dp.session_cold(0)
    assert (cold.in_drops[lib.IN_DROP_ACL], cold.out_drops[lib.OUT_DROP_ACL]) == (1, 1)


def test_a_rule_counts_both_versions(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny ip any ::/0", "deny udp any any"))
    up = lab.udp(lab.CLIENT_IP, lab.SERVER)
    dp.node("acl_in", [lab.at_ip(up, session=0, arc=0x08)] * 2)
    edges(dp, [lab6.FRAME] * 3)
    edges(dp, [lab6.FRAME], "acl_out")
    size = int(dp_place(dp)) & 0xFFFF_FFFF
    raw = bytes(ffi.buffer(dp.section(lib.SECTION_ACL_MEMORY, "uint8_t"), size))
    assert [tuple(rule) for rule in read_counters(raw)] == [
        (3, 3 * len(lab6.FRAME), 1, len(lab6.FRAME)),
        (2, 2 * len(up), 0, 0),
        (0, 0, 0, 0),
    ]


def test_a_thousand_rules_of_ipv6_are_as_good_as_one(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    acl = written(*(f"deny tcp any 2001:db8:{i:x}::/48 port {1000 + i}" for i in range(1_000)))
    assert len(compile_acl(acl, PERMIT)) < 1 << 20
    lab.filter_by(dp, generation, acl)
    for i in (0, 63, 64, 500, 999):
        destination = int(IPv6Address(f"2001:db8:{i:x}::7"))
        hit, beside = (packet(1, destination, 1, 1000 + i + off, "tcp") for off in (0, 1))
        assert verdicts(dp, [hit, beside]) == [DENY, PERMIT]


def test_an_acl_that_is_not_there_denies(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, [])
    assert lab.set_acl(dp, 0, b"") == 0
    assert verdicts(dp, [lab6.FRAME]) == [DENY]
    assert edges(dp, [lab6.FRAME], "acl_out") == ["drop: acl-denied"]


def test_reject_tells_the_subscriber_and_nobody_outside(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("permit icmpv6 any any"), REJECT)
    dp.set_time(START_NS + 10**9)
    dp.receive(ACC, lab.session_frame(lab6.FRAME, lab6.PPP_IP6))
    dp.receive(WAN, lab6.routed_frame(lab6.udp(lab6.SERVER, lab6.CLIENT)))
    assert dp.sent(WAN) == []
    (frame,) = dp.sent(ACC)
    error = lab6.decoded(frame[22:])
    assert (error.src, error.dst) == (lab6.BOX, lab6.CLIENT)
    told = error[ICMPv6DestUnreach]
    assert (told.type, told.code, bytes(told.payload)) == (1, 1, lab6.FRAME)
    assert dp.counters()["acl_out/drop: acl-denied"] == 1


def test_what_passes_goes_on_and_is_charged_what_does_not_is_not(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny udp any port 4000 any port 54"))
    passed, denied = lab6.FRAME, lab6.FRAME.replace(b"\x00\x35", b"\x00\x36", 1)
    dp.receive(ACC, *(lab.session_frame(packet, lab6.PPP_IP6) for packet in (passed, denied)))
    assert (len(dp.sent(WAN)), dp.counters()["acl_in/drop: acl-denied"]) == (1, 1)
    assert (dp.session_in(0).packets, lab6.session_ip6(dp, 0).in_packets) == (1, 1)
    dp.receive(WAN, lab6.routed_frame(lab6.udp(lab6.SERVER, lab6.CLIENT)))
    assert (len(dp.sent(ACC)), dp.session_out(0).packets) == (1, 1)
