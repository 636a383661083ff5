"""ip6_control: what a subscriber says to the link, answered here, punted or dropped (RFC 4861)."""

import pytest
from scapy.layers.dhcp6 import DHCP6_Solicit
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLDone,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.packet import Packet, Raw

from dataplane import binding
from dataplane.binding import Direction, PuntCause

from . import lab, lab6
from .harness import ACC, CLIENT_MAC, TWIN, WAN, Dataplane
from .test_ip6_session import to_client

SOLICITED_NODE = "ff02::1:ff00:1"  # of the gateway
DHCP = "ff02::1:2"


def told(dp: Dataplane, *packets: Packet | bytes) -> list[bytes]:
    """Send packets of the client; return what he is answered. Nothing leaves by another port."""
    dp.receive(ACC, *(lab.session_frame(bytes(packet), lab6.PPP_IP6) for packet in packets))
    assert dp.sent(WAN) == []
    return to_client(dp)


def ip(destination: str, source: str = lab6.CLIENT_LINK_LOCAL, hlim: int = 255) -> Packet:
    return IPv6(src=source, dst=destination, hlim=hlim)


def edge(dp: Dataplane) -> str:
    """Return what ip6_control made of the packets, all the same."""
    (name,) = (n for n in dp.counters() if n.startswith("ip6_control/"))
    return name.removeprefix("ip6_control/")


# ---- bngd's


@pytest.mark.parametrize(
    "packet",
    [
        ip("ff02::2") / ICMPv6ND_RS(),
        ip("ff02::2", "::") / ICMPv6ND_RS(),
        ip("ff02::2") / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"),
        ip(lab6.GATEWAY) / ICMPv6ND_RS(),
        ip(DHCP) / UDP(sport=546, dport=547) / DHCP6_Solicit(),
        ip(lab6.GATEWAY) / UDP(sport=546, dport=547) / DHCP6_Solicit(),
        ip(lab6.GATEWAY, lab6.CLIENT) / UDP(sport=546, dport=547) / DHCP6_Solicit(),
    ],
)
def test_bngd_gets_it_from_the_protocol_field_on(dp: Dataplane, packet: Packet) -> None:
    generation = lab6.furnish(dp)
    dp.set_time(dp.now_ns + 3_000_000_000)
    assert told(dp, bytes(packet) + bytes(7)) == []
    (punt,) = dp.punts()
    assert (punt.cause, punt.session, punt.generation) == (PuntCause.IP6_CONTROL, 0, generation)
    assert (punt.data, punt.full_len) == (b"\x00\x57" + bytes(packet), len(packet) + 2)
    assert (punt.source, punt.destination) == (CLIENT_MAC, lab.BOX)
    assert dp.session_in(0).last_in_ms == dp.now_ns // 1_000_000
    assert dp.session_in(0).packets == 0


def test_tags_and_line_of_the_client_are_in_the_punt(dp: Dataplane) -> None:
    lab6.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1])
    packet = bytes(ip("ff02::2") / ICMPv6ND_RS())
    dp.receive(ACC, lab.session_frame(packet, lab6.PPP_IP6, tags=lab.QINQ))
    (punt,) = dp.punts()
    assert (punt.outer_vid, punt.inner_vid, punt.source) == (100, 200, CLIENT_MAC)
    assert punt.data == b"\x00\x57" + packet


def test_one_sessions_control_is_limited_by_its_share(dp: Dataplane) -> None:
    lab6.furnish(dp)
    told(dp, *[ip("ff02::2") / ICMPv6ND_RS()] * 100)
    assert len(dp.punts()) == 40
    assert told(dp, ip(lab6.GATEWAY) / ICMPv6EchoRequest()) == []
    assert dp.counters()["ip6_control/drop: session-share-used-up"] == 1


def test_control_of_a_session_without_ip6_is_not_served(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab6.serve(dp, generation, on=False)
    assert told(dp, ip("ff02::2") / ICMPv6ND_RS()) == dp.punts() == []
    assert dp.drops(0, Direction.IN) == {"not-served": 1}


# ---- answered here


@pytest.mark.parametrize("source", [lab6.CLIENT_LINK_LOCAL, lab6.CLIENT, lab6.BEHIND])
@pytest.mark.parametrize("destination", [SOLICITED_NODE, lab6.GATEWAY])
def test_a_solicitation_for_our_address_is_answered(
    dp: Dataplane, source: str, destination: str
) -> None:
    lab6.furnish(dp)
    (answer,) = told(dp, ip(destination, source) / ICMPv6ND_NS(tgt=lab6.GATEWAY))
    packet = lab6.decoded(answer)
    advertisement = packet[ICMPv6ND_NA]
    assert (packet.src, packet.dst, packet.hlim) == (lab6.GATEWAY, source, 255)
    assert (advertisement.R, advertisement.S, advertisement.O) == (1, 1, 0)
    assert (advertisement.tgt, len(answer)) == (lab6.GATEWAY, 64)
    assert (dp.session_out(0).packets, dp.session_in(0).packets) == (0, 0)


def test_who_wants_our_address_for_himself_is_told_that_it_is_taken(dp: Dataplane) -> None:
    lab6.furnish(dp)
    (answer,) = told(dp, ip(SOLICITED_NODE, "::") / ICMPv6ND_NS(tgt=lab6.GATEWAY))
    packet = lab6.decoded(answer)
    assert (packet.src, packet.dst, packet[ICMPv6ND_NA].S) == (lab6.GATEWAY, "ff02::1", 0)


def test_a_subscriber_that_claims_the_gateways_address_takes_nothing(dp: Dataplane) -> None:
    """On PPP there are no caches of neighbours: it is who asks for it that is told (RFC 5072)."""
    lab6.furnish(dp)
    claims = [
        ip("ff02::1", source) / ICMPv6ND_NA(tgt=target, R=1, O=1)
        for source in (lab6.CLIENT_LINK_LOCAL, lab6.GATEWAY)
        for target in (lab6.GATEWAY, lab6.BOX)
    ]
    assert told(dp, *claims, *claims) == []
    assert int(lab.adjacency(dp, "10.1").claims) == 0
    assert dp.punts() == dp.sent(TWIN) == []
    (answer,) = told(dp, ip(SOLICITED_NODE) / ICMPv6ND_NS(tgt=lab6.GATEWAY))
    assert lab6.decoded(answer)[ICMPv6ND_NA].tgt == lab6.GATEWAY
    dp.receive(WAN, lab6.routed_frame(lab6.udp(lab6.SERVER, lab6.CLIENT)))
    assert len(to_client(dp)) == 1


@pytest.mark.parametrize("size", [0, 1, 1400])
def test_a_ping_to_the_gateway_is_answered(dp: Dataplane, size: int) -> None:
    lab6.furnish(dp)
    data = bytes(n % 251 for n in range(size))
    request = ip(lab6.GATEWAY, hlim=3) / ICMPv6EchoRequest(id=77, seq=5, data=data)
    (answer,) = told(dp, request)
    packet = lab6.decoded(answer)
    reply = packet[ICMPv6EchoReply]
    assert (packet.src, packet.dst, packet.hlim) == (lab6.GATEWAY, lab6.CLIENT_LINK_LOCAL, 64)
    assert (reply.id, reply.seq, bytes(reply.data)) == (77, 5, data)


def test_answers_carry_the_priority_of_control(dp: Dataplane) -> None:
    lab6.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1])
    dp.port(ACC).control_pbit = 6
    packet = bytes(ip(lab6.GATEWAY) / ICMPv6EchoRequest())
    dp.receive(ACC, lab.session_frame(packet, lab6.PPP_IP6, tags=lab.QINQ))
    (sent,) = dp.sent(ACC)
    assert sent[12:22] == bytes.fromhex("88a8 c064 8100 c0c8 8864")
    assert sent[28:30] == b"\x00\x57"


# ---- dropped, each for its own reason


@pytest.mark.parametrize(
    ("packet", "reason", "drop"),
    [
        (ip("ff02::2", lab6.SERVER) / ICMPv6ND_RS(), "source-spoofed", "spoofed"),
        (ip("ff02::2", lab6.GATEWAY) / ICMPv6ND_RS(), "source-spoofed", "spoofed"),
        (ip(lab6.GATEWAY, lab6.NOBODYS) / ICMPv6EchoRequest(), "source-spoofed", "spoofed"),
        (ip("fe80::99") / ICMPv6EchoRequest(), "not-our-address", "not-served"),
        (ip("fec0::1") / ICMPv6EchoRequest(), "not-our-address", "not-served"),
        (ip(SOLICITED_NODE) / ICMPv6ND_NS(tgt="fe80::99"), "not-our-address", "not-served"),
        (ip(SOLICITED_NODE, "::") / ICMPv6ND_NS(tgt=lab6.CLIENT), "not-our-address", "not-served"),
        (ip("ff02::1") / ICMPv6ND_NA(tgt=lab6.GATEWAY), "multicast", "not-served"),
        (ip("ff02::1") / ICMPv6ND_NA(tgt=lab6.BOX), "multicast", "not-served"),
        (ip(lab6.GATEWAY) / ICMPv6ND_NA(tgt=lab6.GATEWAY), "not-served", "not-served"),
        (ip("ff02::1", lab6.GATEWAY) / ICMPv6ND_NA(tgt=lab6.GATEWAY), "source-spoofed", "spoofed"),
        (ip("ff02::1") / ICMPv6ND_RA(), "multicast", "not-served"),
        (ip(lab6.GATEWAY) / ICMPv6ND_RA(), "not-served", "not-served"),
        (ip("ff02::1") / ICMPv6EchoRequest(), "multicast", "not-served"),
        (ip("ff05::1:3") / UDP(sport=546, dport=547), "multicast", "not-served"),
        (ip("ff02::fb") / UDP(sport=5353, dport=5353), "multicast", "not-served"),
        (ip("ff0e::1") / UDP(), "multicast", "not-served"),
        (ip(lab6.GATEWAY) / TCP(dport=22), "not-served", "not-served"),
        (ip(lab6.GATEWAY) / UDP(dport=53), "not-served", "not-served"),
        (
            ip("ff02::16", hlim=1)
            / IPv6ExtHdrHopByHop(options=[RouterAlert()])
            / ICMPv6MLReport2(records_number=0),
            "multicast-listener",
            "not-served",
        ),
        (ip("ff02::9") / ICMPv6MLReport(), "multicast-listener", "not-served"),
        (ip("ff02::2") / ICMPv6MLDone(), "multicast-listener", "not-served"),
        (ip("ff02::2") / IPv6ExtHdrFragment() / ICMPv6ND_RS(), "fragment", "not-served"),
        (ip("ff02::2") / IPv6ExtHdrFragment(offset=3) / Raw(bytes(9)), "fragment", "not-served"),
        (ip("ff02::2") / IPv6ExtHdrDestOpt() / ICMPv6ND_RS(), "multicast", "not-served"),
        (ip(lab6.GATEWAY) / IPv6ExtHdrDestOpt() / UDP(dport=547), "not-served", "not-served"),
        (IPv6(bytes(ip("ff02::2", hlim=255)) + b"\x85"), "malformed", "malformed"),
    ],
)
def test_all_else_is_dropped(dp: Dataplane, packet: Packet, reason: str, drop: str) -> None:
    lab6.furnish(dp)
    data = bytes(packet)
    if reason == "malformed":
        data = data[:4] + b"\x00\x01\x3a" + data[7:]
    assert told(dp, data) == dp.punts() == []
    assert edge(dp) == f"drop: {reason}"
    assert dp.drops(0, Direction.IN) == {drop: 1}
    assert dp.session_in(0).packets == 0


def broken_solicitation(how: str) -> bytes:
    good = ip(SOLICITED_NODE) / ICMPv6ND_NS(tgt=lab6.GATEWAY)
    if how == "hop limit":
        good.hlim = 254
    if how == "code":
        good[ICMPv6ND_NS].code = 1
    if how == "checksum":
        good[ICMPv6ND_NS].cksum = 1
    if how == "short":
        return bytes(ip(SOLICITED_NODE) / ICMPv6ND_NS(tgt=lab6.GATEWAY) / b"")[:5] + (
            b"\x17" + bytes(good)[6:63]
        )
    return bytes(good)


@pytest.mark.parametrize("how", ["hop limit", "code", "checksum", "short"])
def test_a_solicitation_must_be_one_of_the_link(dp: Dataplane, how: str) -> None:
    lab6.furnish(dp)
    assert told(dp, broken_solicitation(how)) == []
    assert edge(dp) == "drop: malformed"


@pytest.mark.parametrize("fields", [{"cksum": 1}, {"code": 1}])
def test_a_broken_ping_is_not_answered(dp: Dataplane, fields: dict[str, int]) -> None:
    lab6.furnish(dp)
    assert told(dp, ip(lab6.GATEWAY) / ICMPv6EchoRequest(**fields)) == []
    assert edge(dp) == "drop: malformed"


def test_an_answer_larger_than_the_clients_mru_is_not_sent(dp: Dataplane) -> None:
    lab6.furnish(dp)
    dp.session_out(0).mtu = 1300
    assert told(dp, ip(lab6.GATEWAY) / ICMPv6EchoRequest(data=bytes(1253))) == []
    assert dp.drops(0, Direction.IN) == {"too-big": 1}
    assert len(told(dp, ip(lab6.GATEWAY) / ICMPv6EchoRequest(data=bytes(1252)))) == 1


def test_a_paused_session_has_no_control_of_ip6(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    assert dp.command(lab.command(binding.CommandType.SESSION_PAUSE, 0, generation)) == 0
    assert told(dp, ip("ff02::2") / ICMPv6ND_RS()) == dp.punts() == []
    assert dp.drops(0, Direction.IN) == {"not-live": 1}
