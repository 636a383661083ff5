"""ACLs and IPv6: rules of one version or both, extension headers, what hides."""

from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw

from dataplane.binding import AclAction

from . import lab, lab6
from .acl_rules import DENY, IP6, PERMIT, counted, written
from .harness import ACC, WAN, Dataplane, lib

HIDDEN = "drop: ip6-upper-layer-hidden"


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
    assert IP6.verdicts(dp, [lab6.FRAME]) == [ip6]


def test_icmp_and_icmpv6_are_two_protocols(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("permit icmp any any"), DENY)
    ping6, ping4 = lab6.ping(lab6.CLIENT, lab6.SERVER), lab.ping(lab.CLIENT_IP, lab.SERVER)
    strange = bytes(IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=1) / Raw(bytes(8)))
    assert IP6.verdicts(dp, [ping6, strange]) == [DENY, DENY]
    (out,) = dp.node("acl_in", [lab.at_ip(ping4, session=0, arc=0x08)])
    assert out.edge_name == "ip4_lookup"
    lab.filter_by(dp, generation, written("permit icmpv6 any any"), DENY)
    assert IP6.verdicts(dp, [ping6, strange]) == [PERMIT, DENY]


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
    assert IP6.verdicts(dp, [frame]) == [DENY]
    lab.filter_by(dp, generation, written("deny udp any port 4000 any port 54"))
    assert IP6.verdicts(dp, [frame]) == [PERMIT]


def test_a_later_fragment_has_no_ports(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny udp any any port 0-65535", "deny tcp any any"))
    udp, tcp = (
        behind(IPv6ExtHdrFragment(offset=9, nh=nh, id=7), upper=Raw(bytes(16))) for nh in (17, 6)
    )
    assert IP6.verdicts(dp, [udp, tcp, lab6.FRAME]) == [PERMIT, DENY, DENY]


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
    assert IP6.edges(dp, [frame]) == IP6.edges(dp, [frame], "acl_out") == [HIDDEN]
    cold = dp.session_cold(0)
    assert (cold.in_drops[lib.IN_DROP_ACL], cold.out_drops[lib.OUT_DROP_ACL]) == (1, 1)


def test_a_rule_counts_both_versions(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny ip any ::/0", "deny udp any any"))
    up = lab.udp(lab.CLIENT_IP, lab.SERVER)
    dp.node("acl_in", [lab.at_ip(up, session=0, arc=0x08)] * 2)
    IP6.edges(dp, [lab6.FRAME] * 3)
    IP6.edges(dp, [lab6.FRAME], "acl_out")
    assert counted(dp) == [
        (3, 3 * len(lab6.FRAME), 1, len(lab6.FRAME)),
        (2, 2 * len(up), 0, 0),
        (0, 0, 0, 0),
    ]


def test_what_passes_goes_on_and_is_charged_what_does_not_is_not(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, written("deny udp any port 4000 any port 54"))
    passed, denied = lab6.FRAME, lab6.FRAME.replace(b"\x00\x35", b"\x00\x36", 1)
    dp.receive(ACC, *(lab.session_frame(packet, lab6.PPP_IP6) for packet in (passed, denied)))
    assert (len(dp.sent(WAN)), dp.counters()["acl_in/drop: acl-denied"]) == (1, 1)
    assert (dp.session_in(0).packets, lab6.session_ip6(dp, 0).in_packets) == (1, 1)
    dp.receive(WAN, lab6.routed_frame(lab6.udp(lab6.SERVER, lab6.CLIENT)))
    assert (len(dp.sent(ACC)), dp.session_out(0).packets) == (1, 1)
