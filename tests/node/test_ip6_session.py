"""IPv6 of a session through the whole graph: sources, accounts, errors, hand-off (RFC 8200)."""

from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.packet import Packet, Raw

from dataplane import binding
from dataplane.binding import Direction

from . import lab, lab6
from .harness import (
    ACC,
    DEFAULT_ARGS,
    FEATURE_IN_MSS_CLAMP,
    FEATURE_OUT_MSS_CLAMP,
    TWIN,
    WAN,
    Dataplane,
    dataplane,
    lib,
)

TO_CLIENT = lab6.udp(lab6.SERVER, lab6.CLIENT)


def up(dp: Dataplane, *packets: Packet | bytes) -> list[bytes]:
    """Send packets of the client; return what leaves by the routed port, from its IP header on."""
    dp.receive(ACC, *(lab.session_frame(bytes(packet), lab6.PPP_IP6) for packet in packets))
    return [frame[14:] for frame in dp.sent(WAN)]


def down(dp: Dataplane, *packets: Packet | bytes) -> list[bytes]:
    """Send packets from the world; return what leaves to the client, from its IP header on."""
    dp.receive(WAN, *(lab6.routed_frame(bytes(packet)) for packet in packets))
    return to_client(dp)


def to_client(dp: Dataplane) -> list[bytes]:
    """Return what left to the client, from its IP header on; all of it is IPv6 over PPPoE."""
    frames = dp.sent(ACC)
    for frame in frames:
        length = len(frame) - 20
        assert frame[12:20] == b"\x88\x64\x11\x00\x00\x01" + length.to_bytes(2, "big")
        assert frame[20:22] == b"\x00\x57"
    return [frame[22:] for frame in frames]


def test_a_packet_reaches_the_server(dp: Dataplane) -> None:
    lab6.furnish(dp)
    dp.receive(ACC, lab.session_frame(lab6.FRAME, lab6.PPP_IP6))
    (sent,) = dp.sent(WAN)
    assert sent[:14] == lab.NEIGHBOUR + lab.WAN_MAC + b"\x86\xdd"
    ip = lab6.decoded(sent[14:])
    assert (ip.src, ip.dst, ip.hlim) == (lab6.CLIENT, lab6.SERVER, 63)
    assert sent[14:21] + sent[22:] == lab6.FRAME[:7] + lab6.FRAME[8:]


def test_a_packet_reaches_the_client_with_his_header(dp: Dataplane) -> None:
    lab6.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1])
    dp.receive(WAN, lab6.routed_frame(TO_CLIENT))
    (sent,) = dp.sent(ACC)
    assert sent[12:22] == bytes.fromhex("88a8 0064 8100 00c8 8864")
    assert sent[22:30] == lab.pppoe(TO_CLIENT, lab6.PPP_IP6)[:8]
    ip = lab6.decoded(sent[30:])
    assert (ip.src, ip.dst, ip.hlim) == (lab6.SERVER, lab6.CLIENT, 63)


def test_both_families_are_counted_together_and_ip6_apart(dp: Dataplane) -> None:
    lab6.furnish(dp)
    up(dp, lab6.FRAME, lab6.FRAME)
    down(dp, TO_CLIENT)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
    ip4 = len(lab.udp(lab.CLIENT_IP, lab.SERVER))
    entry_in, entry_out, ip6 = dp.session_in(0), dp.session_out(0), lab6.session_ip6(dp, 0)
    assert (entry_in.packets, entry_in.bytes) == (3, ip4 + 2 * len(lab6.FRAME))
    assert (ip6.in_packets, ip6.in_bytes) == (2, 2 * len(lab6.FRAME))
    assert (entry_out.packets, entry_out.bytes) == (2, ip4 + len(TO_CLIENT))
    assert (ip6.out_packets, ip6.out_bytes) == (1, len(TO_CLIENT))


@pytest.mark.parametrize("features", [0, FEATURE_IN_MSS_CLAMP])
@pytest.mark.parametrize("policed", [False, True])
def test_whatever_node_is_the_last_one_charges(dp: Dataplane, features: int, policed: bool) -> None:
    generation = lab6.furnish(dp, features_in=features, features_out=features, mss=1400)
    for direction in Direction if policed else ():
        lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=len(lab6.FRAME))
    up(dp, lab6.FRAME)
    down(dp, TO_CLIENT)
    ip6 = lab6.session_ip6(dp, 0)
    assert dp.session_in(0).packets == ip6.in_packets == 1
    assert dp.session_out(0).packets == ip6.out_packets == 1
    up(dp, lab6.FRAME)
    down(dp, TO_CLIENT)
    assert dp.drops(0, Direction.IN) == ({"policed": 1} if policed else {})
    assert dp.drops(0, Direction.OUT) == ({"policed": 1} if policed else {})


def test_one_bucket_is_for_both_families(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    ip4 = lab.udp(lab.CLIENT_IP, lab.SERVER)
    lab.police(dp, generation, Direction.IN, cir_bps=8, cbs_bytes=len(lab6.FRAME) + len(ip4) - 1)
    assert len(up(dp, lab6.FRAME)) == 1
    dp.receive(ACC, lab.session_frame(ip4))
    assert dp.sent(WAN) == []
    assert dp.drops(0, Direction.IN) == {"policed": 1}


# ---- sources


@pytest.mark.parametrize("source", [lab6.CLIENT, "2a01:1:1:1:ffff::", lab6.BEHIND, lab6.FRAMED])
def test_a_source_of_the_session_passes(dp: Dataplane, source: str) -> None:
    lab6.furnish(dp)
    (sent,) = up(dp, lab6.udp(source, lab6.SERVER))
    assert lab6.decoded(sent).src == source


@pytest.mark.parametrize(
    ("source", "edge"),
    [
        (lab6.SERVER, "antispoof6/drop: source-spoofed"),
        (lab6.BOX, "antispoof6/drop: source-spoofed"),
        ("2a06::1", "antispoof6/drop: source-spoofed"),
        (lab6.CLIENT_LINK_LOCAL, "antispoof6/drop: source-link-local"),
        ("::", "pppoe6_input/drop: ip6-source-martian"),
        ("::1", "pppoe6_input/drop: ip6-source-martian"),
        ("::ffff:100.64.0.1", "pppoe6_input/drop: ip6-source-martian"),
        ("ff02::1", "pppoe6_input/drop: ip6-source-multicast"),
    ],
)
def test_any_other_source_is_dropped(dp: Dataplane, source: str, edge: str) -> None:
    lab6.furnish(dp)
    assert up(dp, lab6.udp(source, lab6.SERVER)) == []
    assert dp.counters()[edge] == 1
    spoofed = "spoofed" if edge.startswith("antispoof6") else "malformed"
    assert dp.drops(0, Direction.IN) == {spoofed: 1}
    assert (dp.session_in(0).packets, lab6.session_ip6(dp, 0).in_packets) == (0, 0)


def test_another_sessions_prefix_is_spoofed(dp: Dataplane) -> None:
    lab6.furnish(dp)
    lab6.route16(dp, "2a01", lib.LEAF_SESSION << 28 | 1)
    assert up(dp, lab6.udp(lab6.FRAMED, lab6.SERVER)) == []
    assert dp.counters()["antispoof6/drop: source-spoofed"] == 1
    assert len(up(dp, lab6.FRAME)) == 1


@pytest.mark.parametrize("route", ["aggregate", "none"])
def test_a_source_of_nobody_is_told_to_take_another(dp: Dataplane, route: str) -> None:
    lab6.furnish(dp)
    source = lab6.NOBODYS if route == "aggregate" else "2a99::1"
    packet = lab6.udp(source, lab6.SERVER, 1400)
    assert up(dp, packet) == []
    (error,) = to_client(dp)
    ip = lab6.decoded(error)
    assert (ip.src, ip.dst, ip[ICMPv6DestUnreach].code) == (lab6.BOX, source, 5)
    assert error[48:] == packet[: 1280 - 48]
    assert dp.drops(0, Direction.IN) == {"spoofed": 1}


def test_sources_that_a_session_forges_share_its_errors(dp: Dataplane) -> None:
    lab6.furnish(dp)
    up(dp, *[lab6.udp(f"2a05:{n:x}::1", lab6.SERVER) for n in range(200)])
    assert len(to_client(dp)) == 50
    up(dp, lab6.udp(lab6.CLIENT, lab6.SERVER, hlim=1))
    (error,) = to_client(dp)
    assert ICMPv6TimeExceeded in IPv6(error)


def test_without_a_delegated_prefix_nothing_else_is_his(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab6.serve(dp, generation, delegated=None)
    lab6.route16(dp, "2a01", lab.leaf_of(dp, "192.0"))
    assert len(up(dp, lab6.FRAME)) == 1
    for source in (lab6.BEHIND, "2001::1", "fd00::1"):
        assert up(dp, lab6.udp(source, lab6.SERVER)) == []


def test_ip6_is_not_served_until_it_is_turned_on_and_no_more_when_off(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab6.serve(dp, generation, on=False)
    assert up(dp, lab6.FRAME) == down(dp, TO_CLIENT) == []
    assert dp.counters()["pppoe_input/drop: ip6-not-served"] == 1
    assert dp.counters()["session6_output/drop: ip6-not-served"] == 1
    assert dp.drops(0, Direction.IN) == {"not-served": 1}
    assert dp.drops(0, Direction.OUT) == {"not-live": 1}
    lab6.serve(dp, generation)
    assert len(up(dp, lab6.FRAME)) == len(down(dp, TO_CLIENT)) == 1


def test_a_paused_session_forwards_neither_family(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    assert dp.command(lab.command(binding.CommandType.SESSION_PAUSE, 0, generation)) == 0
    assert up(dp, lab6.FRAME) == down(dp, TO_CLIENT) == []
    assert dp.drops(0, Direction.IN) == dp.drops(0, Direction.OUT) == {"not-live": 1}


def test_ip6_alone_is_served_while_ip4_is_off(dp: Dataplane) -> None:
    off_in, off_out = 1 << lib.FEATURE_IN_IP4_OFF, 1 << lib.FEATURE_OUT_IP4_OFF
    lab6.furnish(dp, ip4="0.0.0.0", features_in=off_in, features_out=off_out)
    assert len(up(dp, lab6.FRAME)) == len(down(dp, TO_CLIENT)) == 1
    for source in ("0.0.0.0", lab.CLIENT_IP, "9.9.9.9"):
        dp.receive(ACC, lab.session_frame(lab.udp(source, lab.SERVER)))
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
    assert dp.sent(WAN) == dp.sent(ACC) == []
    counters = dp.counters()
    assert counters["pppoe_input/drop: ip4-source-martian"] == 1
    assert counters["ip4_off_in/drop: ip4-not-served"] == 1  # the one with a route to him
    assert counters["antispoof4/drop: source-spoofed"] == 1
    assert counters["ip4_off_out/drop: ip4-not-served"] == 1


def test_data_is_a_sign_of_life(dp: Dataplane) -> None:
    lab6.furnish(dp)
    dp.set_time(dp.now_ns + 5_000_000_000)
    up(dp, lab6.FRAME)
    assert dp.session_in(0).last_in_ms == dp.now_ns // 1_000_000


def test_padding_behind_the_payload_is_trimmed(dp: Dataplane) -> None:
    lab6.furnish(dp)
    (sent,) = up(dp, lab6.FRAME + bytes(9))
    assert len(sent) == len(lab6.FRAME)


def test_what_is_larger_than_our_mru_is_dropped(dp: Dataplane) -> None:
    lab6.furnish(dp, mtu=1400)
    assert len(up(dp, lab6.udp(lab6.CLIENT, lab6.SERVER, 1352))) == 1
    assert up(dp, lab6.udp(lab6.CLIENT, lab6.SERVER, 1353)) == []
    assert dp.drops(0, Direction.IN) == {"too-big": 1}


# ---- errors


def test_a_packet_too_big_for_the_session_is_answered_with_its_mtu(dp: Dataplane) -> None:
    lab6.furnish(dp, mtu=1400)
    packet = lab6.udp(lab6.SERVER, lab6.CLIENT, 1353)
    assert down(dp, packet) == []
    (frame,) = dp.sent(WAN)
    ip = lab6.decoded(frame[14:])
    assert (ip.src, ip.dst, ip[ICMPv6PacketTooBig].mtu) == (lab6.BOX, lab6.SERVER, 1400)
    assert len(ip) == 1280
    assert frame[62:] == packet[: 1280 - 48]
    assert dp.drops(0, Direction.OUT) == {"too-big": 1}
    assert len(down(dp, lab6.udp(lab6.SERVER, lab6.CLIENT, 1352))) == 1


def test_nobody_fragments_on_the_way_out(dp: Dataplane) -> None:
    lab6.furnish(dp)
    lab.adjacency(dp, "192.0").mtu = 1300
    packet = lab6.udp(lab6.CLIENT, lab6.SERVER, 1300)
    assert up(dp, packet) == []
    (error,) = to_client(dp)
    assert lab6.decoded(error)[ICMPv6PacketTooBig].mtu == 1300


@pytest.mark.parametrize("hop_limit", [0, 1])
def test_a_hop_limit_that_ends_here_is_answered_either_way(dp: Dataplane, hop_limit: int) -> None:
    lab6.furnish(dp)
    assert up(dp, lab6.udp(lab6.CLIENT, lab6.SERVER, hlim=hop_limit)) == []
    (error,) = to_client(dp)
    ip = lab6.decoded(error)
    assert (ip.src, ip.dst, ip[ICMPv6TimeExceeded].code) == (lab6.BOX, lab6.CLIENT, 0)
    assert down(dp, lab6.udp(lab6.SERVER, lab6.CLIENT, hlim=hop_limit)) == []
    (frame,) = dp.sent(WAN)
    assert ICMPv6TimeExceeded in lab6.decoded(frame[14:])
    assert dp.drops(0, Direction.OUT) == {"ttl": 1}


@pytest.mark.parametrize(
    ("destination", "code"), [("2a99::1", 0), ("2a05::1", 3), ("2a08::1", 1), ("2a06::1", None)]
)
def test_why_a_destination_is_not_reached_is_said(
    dp: Dataplane, destination: str, code: int | None
) -> None:
    lab6.furnish(dp)
    assert up(dp, lab6.udp(lab6.CLIENT, destination)) == []
    errors = to_client(dp)
    assert [lab6.decoded(e)[ICMPv6DestUnreach].code for e in errors] == (
        [] if code is None else [code]
    )


@pytest.mark.parametrize(
    "about",
    [
        ICMPv6TimeExceeded() / Raw(bytes(40)),
        ICMPv6PacketTooBig() / Raw(bytes(40)),
        Raw(b"\x89\x00" + bytes(38)),
        IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / ICMPv6DestUnreach() / Raw(bytes(8)),
    ],
)
def test_no_error_is_about_an_error_or_a_redirect(dp: Dataplane, about: Packet) -> None:
    lab6.furnish(dp)
    packet = IPv6(src=lab6.CLIENT, dst="2a99::1", nh=58) / about
    if not isinstance(about, Raw):
        del packet.nh
    up(dp, packet)
    assert to_client(dp) == []
    assert dp.counters()["icmp6_error/drop: about-icmp-error"] == 1


def test_errors_come_from_a_link_local_address_where_there_is_no_other(dp: Dataplane) -> None:
    lab6.furnish(dp)
    lab6.set_address(dp, WAN, "::")
    up(dp, lab6.udp(lab6.CLIENT, "2a99::1"))
    (error,) = to_client(dp)
    assert lab6.decoded(error).src == lab6.GATEWAY
    up(dp, lab6.udp(lab6.NOBODYS, lab6.SERVER))
    (error,) = to_client(dp)
    assert lab6.decoded(error).src == lab6.GATEWAY
    down(dp, lab6.udp(lab6.SERVER, "2a99::1"))
    assert dp.sent(WAN) == []
    assert dp.counters()["icmp6_error/drop: no-source-address"] == 1


# ---- to the box


def test_the_boxs_address_answers_pings_of_a_subscriber_and_nothing_else(dp: Dataplane) -> None:
    lab6.furnish(dp)
    up(dp, lab6.ping(lab6.CLIENT, lab6.BOX, 100), lab6.udp(lab6.CLIENT, lab6.BOX))
    (reply,) = to_client(dp)
    ip = lab6.decoded(reply)
    assert (ip.src, ip.dst) == (lab6.BOX, lab6.CLIENT)
    assert (ip[ICMPv6EchoReply].id, ip[ICMPv6EchoReply].data) == (9, bytes(100))
    assert dp.sent(TWIN) == []
    assert dp.counters()["ip6_local/drop: not-echo-request"] == 1


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (lab6.SERVER, lab6.BOX),
        ("fe80::1", lab6.BOX),
        (lab6.SERVER, "fe80::2"),
        ("fe80::1", "fe80::2"),
        ("fe80::1", lab6.CLIENT),
    ],
)
def test_what_is_the_kernels_goes_to_the_twin_as_it_came(
    dp: Dataplane, source: str, destination: str
) -> None:
    lab6.furnish(dp)
    frame = lab6.routed_frame(lab6.udp(source, destination))
    dp.receive(WAN, frame)
    assert dp.sent(TWIN) == [frame]
    assert to_client(dp) == []


def test_the_kernels_own_ip6_leaves_by_the_port(dp: Dataplane) -> None:
    lab6.furnish(dp)
    frame = lab.ethernet(
        lab6.udp(lab6.BOX, lab6.SERVER), 0x86DD, source=lab.WAN_MAC, destination=lab.NEIGHBOUR
    )
    dp.receive(TWIN, frame)
    assert dp.sent(WAN) == [frame]


def test_groups_of_the_link_are_the_kernels(dp: Dataplane) -> None:
    lab6.furnish(dp)
    frame = lab6.routed_frame(
        lab6.udp("fe80::1", "ff02::5"), destination=bytes.fromhex("333300000005")
    )
    dp.receive(WAN, frame)
    assert dp.sent(TWIN) == [frame]


# ---- extension headers and the MSS

MSS = ("MSS", 1460)
HOP = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))])
ROUTING = IPv6ExtHdrRouting(type=4, segleft=0, addresses=["2a02::9"])


def clamp(dp: Dataplane) -> None:
    lab6.furnish(dp, features_in=FEATURE_IN_MSS_CLAMP, features_out=FEATURE_OUT_MSS_CLAMP, mss=1452)


@pytest.mark.parametrize(
    "between", [[], [HOP], [HOP, ROUTING, OPTIONS], [IPv6ExtHdrFragment(m=1)], [OPTIONS] * 8]
)
def test_the_mss_is_that_of_ip4_less_20(dp: Dataplane, between: list[Packet]) -> None:
    clamp(dp)
    (sent,) = up(dp, lab6.syn(lab6.CLIENT, lab6.SERVER, [("NOP", None), MSS], *between))
    assert lab6.decoded(sent)[TCP].options[1] == ("MSS", 1432)
    (got,) = down(dp, lab6.syn(lab6.SERVER, lab6.CLIENT, [MSS], *between))
    assert lab6.decoded(got)[TCP].options == [("MSS", 1432)]


@pytest.mark.parametrize(
    "packet",
    [
        lab6.syn(lab6.CLIENT, lab6.SERVER, [("MSS", 1432)]),
        lab6.syn(lab6.CLIENT, lab6.SERVER, [MSS], *[OPTIONS] * 9),
        lab6.syn(lab6.CLIENT, lab6.SERVER, [MSS], IPv6ExtHdrFragment(offset=1, m=1)),
        lab6.syn(lab6.CLIENT, lab6.SERVER, [MSS], *[OPTIONS] * 40)[:900],
        bytes(IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=60) / Raw(b"\x06\xff" + bytes(20))),
        bytes(IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=44) / Raw(b"\x06")),
        bytes(IPv6(src=lab6.CLIENT, dst=lab6.SERVER, nh=6)),
    ],
)
def test_what_has_no_mss_to_clamp_passes_as_it_is(dp: Dataplane, packet: bytes) -> None:
    clamp(dp)
    packet = packet[:4] + (len(packet) - 40).to_bytes(2, "big") + packet[6:]
    (sent,) = up(dp, packet)
    assert sent == packet[:7] + b"\x3f" + packet[8:]


def test_fragments_pass(dp: Dataplane) -> None:
    clamp(dp)
    whole = UDP(sport=1, dport=2) / Raw(bytes(2000))
    parts = [
        IPv6(src=lab6.CLIENT, dst=lab6.SERVER)
        / IPv6ExtHdrFragment(id=7, offset=offset // 8, m=more, nh=17)
        / Raw(bytes(whole)[offset : offset + 1000])
        for offset, more in ((1000, 1), (0, 1), (2000, 0))
    ]
    assert len(up(dp, *parts)) == 3


# ---- two workers


def two_workers() -> Any:
    return dataplane(*DEFAULT_ARGS, "--workers=-,-")


def test_the_owner_forwards_what_another_worker_received() -> None:
    with two_workers() as dp:
        generation = lab6.furnish(dp, worker=1)
        assert len(up(dp, lab6.FRAME)) == 1
        assert len(down(dp, TO_CLIENT)) == 1
        counters = dp.counters()
        assert counters["pppoe_input/handoff"] == counters["session6_output/handoff"] == 1
        ping = IPv6(src=lab6.CLIENT_LINK_LOCAL, dst=lab6.GATEWAY) / ICMPv6EchoRequest()
        up(dp, ping, lab6.udp(lab6.NOBODYS, lab6.SERVER), lab6.udp(lab6.CLIENT, "2a99::1"))
        assert len(to_client(dp)) == 3
        lab6.serve(dp, generation, on=False, worker=1)
        assert down(dp, TO_CLIENT) == []


def test_bngds_packets_go_into_the_session(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    packet = lab6.udp(lab6.GATEWAY, lab6.CLIENT_LINK_LOCAL)
    record = binding.INJECT.pack(
        lib.INJECT_SESSION, 0, 0, 0, generation, 0, 0, 0, 0, bytes(6), 0, 0
    )
    dp.push(0, binding.Ring.INJECT, record + b"\x00\x57" + packet)
    dp.run()
    assert to_client(dp) == [packet]
    assert dp.session_out(0).packets == 0
