"""What passes NAT, and what does not get past it (RFC 6888 REQ-6)."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from dataplane import binding
from dataplane.acl import Rule, compile_acl, with_counters
from dataplane.binding import AclAction, CommandType

from . import lab
from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane, lib
from .nat44 import PUBLIC, nat_args
from .test_nat44_static import OWN, at_home, home, moved, out, static

INNER, OTHER_INNER = "100.64.0.1", "100.64.0.2"
DNS = lab.SERVER
TRANSLATED = "192.0.2.77"
ROUTER = "192.0.2.254"
GUARD, BYPASS = 1 << 2, 1 << 6


def rule(destination: str, protocol: int | None = None, port: int | None = None) -> Rule:
    number = int(IPv4Address(destination))
    return Rule(
        AclAction.PERMIT,
        destination=(number, number),
        **({} if protocol is None else {"protocol": (protocol, protocol)}),
        **({} if port is None else {"destination_port": (port, port)}),
    )


def bypass(dp: Dataplane, *rules: Rule, session: int = 0) -> None:
    """Let these pass NAT; none: nothing."""
    if rules:
        compiled = with_counters(compile_acl(list(rules), AclAction.DENY), 1)
        assert lab.set_acl(dp, 5, compiled) == 0
    body = binding.SESSION_BYPASS.pack(6 if rules else 0)
    generation = dp.session_in(session).generation
    record = lab.command(CommandType.SESSION_BYPASS, session, generation, body)
    assert dp.command(record) == 0


@pytest.fixture
def box() -> Iterator[Dataplane]:
    """Sessions 0 and 1 behind one public address; DNS over UDP to the server passes NAT for 0."""
    with dataplane(*nat_args()) as dp:
        lab.furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
        dp.up(1, dp.bind(1), OTHER_INNER, nat_address=1, features_in=FEATURE_IN_NAT44)
        dp.route(OTHER_INNER, 32, 1, dp.session_in(1).generation)
        bypass(dp, rule(DNS, 17, 53))
        yield dp


def udp(src: str, dst: str, sport: int, dport: int, **ip: Any) -> Packet:
    return IP(bytes(IP(src=src, dst=dst, **ip) / UDP(sport=sport, dport=dport) / b"data"))


def refused(dp: Dataplane, packet: Packet, port: int = WAN) -> str:
    """Send a packet that must not arrive; return the reason."""
    before = dp.counters()
    frame = lab.routed_frame(bytes(packet)) if port != ACC else bytes(packet)
    dp.receive(port, frame)
    assert dp.sent(ACC) == []
    after = dp.counters()
    (edge,) = (e for e in after if after[e] != before.get(e, 0) and "guard/drop: " in e)
    return edge.partition("drop: ")[2]


def test_what_the_list_has_goes_out_as_it_is_and_its_answer_comes_in(box: Dataplane) -> None:
    query = udp(INNER, DNS, 5000, 53)
    assert bytes(out(box, query)) == moved(query)
    answer = udp(DNS, INNER, 53, 5000)
    assert bytes(home(box, answer)) == moved(answer)
    assert box.session_cold(0).nat_mappings == 0


@pytest.mark.parametrize(
    "packet",
    [
        udp(INNER, DNS, 53, 5000),
        udp(INNER, TRANSLATED, 5000, 53),
        IP(src=INNER, dst=DNS) / TCP(sport=5000, dport=53),
        IP(src=INNER, dst=DNS) / ICMP(id=7),
    ],
    ids=["port", "address", "protocol", "ping"],
)
def test_all_else_is_translated(box: Dataplane, packet: Packet) -> None:
    assert out(box, packet).src == PUBLIC


def test_all_else_does_not_come_in_past_nat(box: Dataplane) -> None:
    reason = "inner-address-from-outside"
    assert refused(box, udp(DNS, INNER, 5000, 53)) == reason
    assert refused(box, udp(TRANSLATED, INNER, 53, 5000)) == reason
    assert refused(box, IP(src=DNS, dst=INNER) / TCP(sport=53)) == reason
    assert box.session_cold(0).out_drops[lib.OUT_DROP_NAT] == 3
    assert refused(box, udp(DNS, OTHER_INNER, 53, 5000)) == reason


def test_another_subscriber_gets_no_further(box: Dataplane) -> None:
    """He is translated before; one who is not has no more rights."""
    frame = lab.session_frame(bytes(udp(OTHER_INNER, INNER, 53, 5000)), session_id=2)
    assert refused(box, frame, ACC) == "inner-address-from-subscriber"
    box.up(2, box.bind(2), "100.66.0.1")
    frame = lab.session_frame(bytes(udp("100.66.0.1", INNER, 53, 5000)), session_id=3)
    assert refused(box, frame, ACC) == "inner-address-from-subscriber"
    inside = Rule(AclAction.PERMIT, destination=(0x64420000, 0x6442FFFF))
    bypass(box, inside)
    box.receive(ACC, frame)
    assert at_home(box).src == "100.66.0.1"


def test_the_box_itself_reaches_the_inner_address(box: Dataplane) -> None:
    bypass(box, rule(lab.GATEWAY))
    box.receive(ACC, lab.session_frame(bytes(IP(src=INNER, dst=lab.GATEWAY) / ICMP(id=9))))
    assert at_home(box)[ICMP].type == 0
    bypass(box, rule("10.3.0.9"))  # to which no route leads: an error made here
    box.receive(ACC, lab.session_frame(bytes(udp(INNER, "10.3.0.9", 1, 2))))
    assert at_home(box)[ICMP].type == 3


def test_what_nat_translated_does_not_visit_the_guard(box: Dataplane) -> None:
    query = out(box, udp(INNER, TRANSLATED, 5000, 53))
    assert home(box, udp(TRANSLATED, PUBLIC, 53, query[UDP].sport)).dst == INNER
    assert box.session_out(0).features & GUARD
    assert not [edge for edge in box.counters() if "nat44_guard" in edge]
    static(box, 0, box.session_in(0).generation, OWN[0], INNER)
    box.route(OWN[0], 32, 0, box.session_in(0).generation)
    assert home(box, udp(TRANSLATED, OWN[0], 53, 9)).dst == INNER
    assert not [edge for edge in box.counters() if "nat44_guard" in edge]


def test_an_address_of_his_own_is_guarded_and_bypassed_as_well(box: Dataplane) -> None:
    generation = box.session_in(0).generation
    assert static(box, 0, generation, OWN[0], INNER) == 0
    box.up(0, generation, INNER)
    query = udp(INNER, DNS, 5000, 53)
    assert bytes(out(box, query)) == moved(query)
    assert out(box, udp(INNER, TRANSLATED, 5000, 53)).src == OWN[0]
    assert home(box, udp(DNS, INNER, 53, 5000)).dst == INNER
    assert refused(box, udp(TRANSLATED, INNER, 53, 5000)) == "inner-address-from-outside"


def test_networks_behind_the_subscriber_are_not_guarded(box: Dataplane) -> None:
    there = udp(TRANSLATED, lab.FRAMED, 1, 2)
    assert bytes(home(box, there)) == moved(there)


def error(src: str, dst: str, quote: bytes, kind: int = 3) -> Packet:
    return IP(bytes(IP(src=src, dst=dst) / ICMP(type=kind, code=1) / quote))


def test_an_error_goes_the_way_of_the_packet_that_it_quotes(box: Dataplane) -> None:
    query, answer = udp(INNER, DNS, 5000, 53), udp(DNS, INNER, 53, 5000)
    assert home(box, error(ROUTER, INNER, bytes(query))).src == ROUTER
    assert home(box, error(ROUTER, INNER, bytes(query)[:28])).src == ROUTER
    assert out(box, error(INNER, DNS, bytes(answer))).src == INNER
    for quote in (
        bytes(udp(INNER, DNS, 5000, 54)),
        bytes(udp(INNER, TRANSLATED, 5000, 53))[:24],
        b"\x65" + bytes(query)[1:],
        b"\x4f" + bytes(query)[1:28],
    ):
        assert refused(box, error(ROUTER, INNER, quote)) == "inner-address-from-outside"
    assert refused(box, error(ROUTER, INNER, bytes(query), 0)) == "inner-address-from-outside"


def test_it_goes_off_while_the_session_lives(box: Dataplane) -> None:
    bypass(box)
    assert box.session_in(0).features & BYPASS == 0
    assert out(box, udp(INNER, DNS, 5000, 53)).src == PUBLIC
    assert refused(box, udp(DNS, INNER, 53, 5000)) == "inner-address-from-outside"
    box.up(0, box.session_in(0).generation, INNER)  # no NAT, no guard
    assert box.session_out(0).features & GUARD == 0
    assert home(box, udp(DNS, INNER, 53, 5000)).dst == INNER


def test_a_list_that_is_not_there_lets_nothing_pass(box: Dataplane) -> None:
    assert lab.set_acl(box, 5, b"") == 0
    assert out(box, udp(INNER, DNS, 5000, 53)).src == PUBLIC


def test_a_session_that_ends_leaves_none(box: Dataplane) -> None:
    generation = box.session_in(0).generation
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert box.command(lab.command(kind, 0, generation)) == 0
    assert (box.session_in(0).features, box.session_out(0).bypass) == (0, 0)
    body = binding.SESSION_BYPASS.pack(1)
    generation = box.bind(0)
    assert box.command(lab.command(CommandType.SESSION_CLOSE, 0, generation)) == 0
    assert box.command(lab.command(CommandType.SESSION_BYPASS, 0, generation, body)) == -22
    body = binding.SESSION_BYPASS.pack(lib.MAX_ACLS + 1)
    generation = box.session_in(1).generation
    assert box.command(lab.command(CommandType.SESSION_BYPASS, 1, generation, body)) == -22


def test_a_session_without_it_visits_no_more_nodes_than_before(dp: Dataplane) -> None:
    lab.furnish(dp)
    out(dp, IP(src=INNER, dst=lab.SERVER) / UDP())
    home(dp, IP(src=lab.SERVER, dst=INNER) / UDP())
    assert not [edge for edge in dp.counters() if "bypass" in edge or "guard" in edge]
