"""What a hostile subscriber may try with IPv6: it costs himself, and is all accounted for."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from dataplane.binding import Direction

from . import lab, lab6
from .harness import ACC, WAN, Dataplane, lib

NEIGHBOUR_LINK = IPv6Network("2a0b:1:1:1::/64")
NEIGHBOUR = "2a0b:1:1:1::5"
OWN = (lab6.LINK, lab6.DELEGATED, IPv6Network("2a01::/16"))


def furnish(dp: Dataplane) -> None:
    """Session 0 is hostile, session 1 his neighbour on the same line."""
    lab6.furnish(dp)
    generation = dp.bind(1, session_id=2, mac=lab.OTHER)
    dp.up(1, generation, "100.64.0.2")
    lab6.serve(dp, generation, index=1, link=NEIGHBOUR_LINK, delegated=None)
    lab6.route16(dp, "2a0b", lib.LEAF_SESSION << 28 | 1)


def neighbours(packet: bytes) -> bytes:
    return lab.session_frame(packet, lab6.PPP_IP6, session_id=2, source=lab.OTHER)


def hostile(packet: bytes) -> bytes:
    return lab.session_frame(packet, lab6.PPP_IP6)


def link(destination: str, source: str = lab6.CLIENT_LINK_LOCAL) -> IPv6:
    return IPv6(src=source, dst=destination, hlim=255)


FLOODS = {
    "solicitations": link("ff02::2") / ICMPv6ND_RS(),
    "neighbours": link("ff02::1:ff00:1") / ICMPv6ND_NS(tgt=lab6.GATEWAY),
    "pings": link(lab6.GATEWAY) / ICMPv6EchoRequest(),
    "dhcp": link("ff02::1:2") / UDP(sport=546, dport=547) / Raw(bytes(1300)),
    "listeners": link("ff02::16") / IPv6ExtHdrHopByHop() / Raw(b"\x8f" + bytes(27)),
    "spoofed": IPv6(src=lab6.NOBODYS, dst=lab6.SERVER) / UDP(),
    "hop limit": IPv6(src=lab6.CLIENT, dst=lab6.SERVER, hlim=1) / UDP(),
    "no route": IPv6(src=lab6.CLIENT, dst="2a99::1") / UDP(),
    "box": IPv6(src=lab6.CLIENT, dst=lab6.BOX) / ICMPv6EchoRequest(),
    "chains": IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=60) / Raw((b"\x3c\x00" + bytes(6)) * 20),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_one_takes_nothing_from_another(dp: Dataplane, flood: str) -> None:
    furnish(dp)
    dp.receive(ACC, *[hostile(bytes(FLOODS[flood]))] * 1000)
    answers = dp.sent(ACC)
    assert len(answers) <= 50
    assert all(frame[:6] == lab.CLIENT_MAC for frame in answers)
    assert len(dp.punts()) <= 40
    dp.sent(WAN)
    dp.receive(
        ACC,
        neighbours(lab6.udp(NEIGHBOUR, lab6.SERVER)),
        neighbours(bytes(link("ff02::2") / ICMPv6ND_RS())),
        neighbours(bytes(link(lab6.GATEWAY) / ICMPv6EchoRequest())),
        neighbours(bytes(link("ff02::1:ff00:1") / ICMPv6ND_NS(tgt=lab6.GATEWAY))),
        neighbours(lab6.udp(NEIGHBOUR, lab6.SERVER, hlim=1)),
        neighbours(lab6.ping(NEIGHBOUR, lab6.BOX)),
    )
    assert len(dp.sent(WAN)) == 1
    assert [punt.session for punt in dp.punts()] == [1]
    assert len(dp.sent(ACC)) == 4


ADDRESSES = st.sampled_from(
    [
        *(lab6.CLIENT, lab6.BEHIND, lab6.FRAMED, lab6.SERVER, NEIGHBOUR, lab6.NOBODYS, lab6.BOX),
        *(lab6.GATEWAY, lab6.CLIENT_LINK_LOCAL, "::", "::1", "ff02::1", "ff02::2", "ff02::1:2"),
        *("ff02::1:ff00:1", "2a99::1", "2a08::1", "2a06::1", "fec0::1", "::ffff:1.2.3.4"),
    ]
)
LAYERS = st.sampled_from(
    [
        UDP(dport=53),
        UDP(sport=546, dport=547),
        TCP(flags="S", options=[("MSS", 1460)]),
        ICMPv6EchoRequest(),
        ICMPv6ND_RS(),
        ICMPv6ND_NS(tgt=lab6.GATEWAY),
        ICMPv6TimeExceeded(),
        IPv6ExtHdrDestOpt() / UDP(),
        IPv6ExtHdrHopByHop() / ICMPv6EchoRequest(),
        IPv6ExtHdrFragment(m=1) / TCP(flags="S"),
        IPv6ExtHdrFragment(offset=4) / Raw(bytes(16)),
        Raw(b""),
    ]
)
PACKETS = st.builds(
    lambda source, destination, layer, size, limit, cut: bytes(
        IPv6(src=source, dst=destination, hlim=limit) / layer / bytes(size)
    )[: -cut or None],
    *(ADDRESSES, ADDRESSES, LAYERS),
    *(st.sampled_from([0, 30, 1440]), st.sampled_from([0, 1, 64, 255])),
    st.sampled_from([0, 0, 0, 1, 8, 20]),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(packets=st.lists(PACKETS, max_size=30))
def test_what_leaves_is_his_and_all_else_has_a_reason(dp: Dataplane, packets: list[bytes]) -> None:
    if dp.session_in(0).state == lib.SESSION_FREE:
        furnish(dp)
    dp.advance(2, step=2)
    before = dp.counters()
    charged = int(dp.session_in(0).packets)
    dropped = sum(dp.drops(0, Direction.IN).values())
    dp.receive(ACC, *(hostile(packet) for packet in packets))
    for frame in dp.sent(WAN):
        ip = IPv6(frame[14:])
        assert any(IPv6Address(ip.src) in prefix for prefix in OWN) or ip.src == lab6.BOX
        assert ip.hlim > 0
        assert len(frame) - 54 == ip.plen
    for frame in dp.sent(ACC):
        session = 1 if frame[:6] == lab.OTHER else 0
        assert frame[16:18] == (session + 1).to_bytes(2, "big")
    punts = len(dp.punts())
    moved = {name: n - before.get(name, 0) for name, n in dp.counters().items()}
    answered = moved.get("ip6_control/port_output", 0)
    shared = moved.get("ip6_control/drop: session-share-used-up", 0)
    shared += moved.get("punt/drop: session-share-used-up", 0)
    charged = int(dp.session_in(0).packets) - charged
    dropped = sum(dp.drops(0, Direction.IN).values()) - dropped
    assert charged + dropped + punts + answered + shared == len(packets)
    assert lab6.session_ip6(dp, 0).in_packets == dp.session_in(0).packets
