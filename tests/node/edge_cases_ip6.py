"""Edge cases of the IPv6 nodes, and of what nodes of both families make of IPv6."""

from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet

from dataplane.binding import AclAction

from . import lab, lab6
from .edges import IP6_FAULTS, IP_FRAME, case
from .harness import ACC, TWIN, WAN, Dataplane, Frame


@case("ip4_off_in/drop: ip4-not-served", "ip4_off_out/drop: ip4-not-served")
def _ip4_off(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("ip4_off_in", [lab.at_ip(IP_FRAME, session=0, arc=0x10)])
    dp.node("ip4_off_out", [lab.at_ip(IP_FRAME, session=0, arc=0x10)])


@case(
    *("acl_in/drop: ip6-upper-layer-hidden", "acl_out/drop: ip6-upper-layer-hidden"),
    "acl_in/icmp6_error",
)
def _hidden(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, [])
    cut = lab6.FRAME[:43]
    dp.node("acl_in", [lab6.at_ip(cut, session=0, arc=0x8008)])
    dp.node("acl_out", [lab6.at_ip(cut, session=0, arc=0x8008)])
    lab.filter_by(dp, generation, [], AclAction.REJECT)
    dp.node("acl_in", [lab6.at_ip(lab6.FRAME, session=0, arc=0x8008)])


@case("punt/drop: ip6-control-policed")
def _all_control(dp: Dataplane) -> None:
    lab6.furnish(dp)
    frame = lab.at_pppoe(lab.session_frame(lab6.FRAME, lab6.PPP_IP6), session=0, cause=6)
    frame.rx_port = ACC
    for _ in range(50_000 // 40 + 1):
        dp.session_in(0).punt_tokens = 40_000
        dp.node("punt", [frame] * 40)
        dp.punts()


@case("ethernet_input/ip6_input")
def _routed6(dp: Dataplane) -> None:
    dp.node("ethernet_input", [Frame(data=lab6.routed_frame(lab6.FRAME), rx_port=WAN)])


@case("pppoe_input/pppoe6_input")
def _served(dp: Dataplane) -> None:
    lab6.furnish(dp)
    dp.node("pppoe_input", [lab.at_pppoe(lab.session_frame(lab6.FRAME, lab6.PPP_IP6))])


def ip6_fault(reason: str, packet: bytes) -> None:
    @case(f"pppoe6_input/drop: {reason}", f"ip6_input/drop: {reason}")
    def run(dp: Dataplane) -> None:
        lab6.furnish(dp)
        pppoe6_input(dp, packet)
        dp.node("ip6_input", [lab6.at_ip(packet)])


def pppoe6_input(dp: Dataplane, *packets: bytes) -> None:
    frames = [lab.session_frame(packet, lab6.PPP_IP6) for packet in packets]
    dp.node("pppoe6_input", [lab.at_pppoe(frame, session=0) for frame in frames])


for _reason, _packet in IP6_FAULTS.items():
    ip6_fault(_reason, _packet)


@case("pppoe6_input/drop: packet-too-big", "pppoe6_input/ip6_control")
def _pppoe6(dp: Dataplane) -> None:
    lab6.furnish(dp)
    pppoe6_input(dp, lab6.udp(lab6.CLIENT, lab6.SERVER, 1445), lab6.udp(lab6.CLIENT, "ff02::1"))


@case(
    "antispoof6/drop: source-spoofed",
    "antispoof6/drop: source-link-local",
    "antispoof6/icmp6_error",
)
def _antispoof6(dp: Dataplane) -> None:
    lab6.furnish(dp)
    for source in (lab6.SERVER, lab6.CLIENT_LINK_LOCAL, lab6.NOBODYS):
        packet = lab6.udp(source, lab6.SERVER)
        dp.node("antispoof6", [lab6.at_ip(packet, session=0, arc=0x8004)])


def ip6_control(dp: Dataplane, *packets: Packet | bytes) -> None:
    for packet in packets:
        frame = lab.at_pppoe(lab.session_frame(bytes(packet), lab6.PPP_IP6), session=0, flags=17)
        frame.skip += 8
        dp.node("ip6_control", [frame])


def from_client(destination: str, source: str = lab6.CLIENT_LINK_LOCAL) -> Packet:
    return IPv6(src=source, dst=destination, hlim=255)


PING = from_client(lab6.GATEWAY) / ICMPv6EchoRequest()


@case(
    "ip6_control/punt",
    "ip6_control/port_output",
    "ip6_control/drop: source-spoofed",
    "ip6_control/drop: malformed",
    "ip6_control/drop: fragment",
    "ip6_control/drop: multicast-listener",
    "ip6_control/drop: multicast",
    "ip6_control/drop: not-served",
    "ip6_control/drop: not-our-address",
)
def _control(dp: Dataplane) -> None:
    lab6.furnish(dp)
    ip6_control(
        dp,
        from_client("ff02::2") / ICMPv6ND_RS(),
        from_client(lab6.GATEWAY) / ICMPv6ND_NS(tgt=lab6.GATEWAY),
        from_client(lab6.GATEWAY, lab6.SERVER) / ICMPv6EchoRequest(),
        from_client("ff02::2") / ICMPv6ND_RS(cksum=1) / b"",
        bytes(PING)[:41] + b"\x01" + bytes(PING)[42:],
        from_client("ff02::2") / IPv6ExtHdrFragment(m=1) / ICMPv6ND_RS(),
        from_client("ff02::16") / IPv6ExtHdrHopByHop() / ICMPv6MLReport(),
        from_client("ff02::fb") / UDP(sport=5353, dport=5353),
        from_client(lab6.GATEWAY) / UDP(dport=53),
        from_client("fe80::9") / ICMPv6EchoRequest(),
    )


@case("ip6_control/drop: session-share-used-up")
def _control_share(dp: Dataplane) -> None:
    lab6.furnish(dp)
    ip6_control(dp, *[PING] * 41)


@case("session6_output/drop: ip6-not-served")
def _to_session_without(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab6.serve(dp, generation, on=False)
    dp.node("session6_output", [lab6.at_ip(lab6.FRAME, session=0)])


@case("ip6_input/ip6_lookup", "ip6_input/twin_output")
def _ip6_input(dp: Dataplane) -> None:
    for packet in (lab6.FRAME, lab6.udp("fe80::1", lab6.BOX)):
        frame = lab6.routed_frame(packet)
        dp.node("ip6_input", [Frame(data=frame, skip=14, rx_port=WAN)])


@case("icmp6_error/session6_output")
def _policy(dp: Dataplane) -> None:
    lab6.furnish(dp)
    frame = lab6.at_ip(lab6.FRAME, rx_port=TWIN, cause=1, arg=5, session=0)
    dp.node("icmp6_error", [frame])
