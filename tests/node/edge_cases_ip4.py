"""Edge cases of the session arcs and of the IPv4 nodes."""

from scapy.layers.inet import ICMP, IP

from dataplane.binding import AclAction, Direction

from . import lab
from .edges import IP4_FAULTS, IP_FRAME, case
from .harness import WAN, Dataplane


@case("antispoof4/drop: source-spoofed")
def _antispoof(dp: Dataplane) -> None:
    lab.furnish(dp)
    spoofed = lab.udp("100.65.0.2", lab.SERVER)
    dp.node("antispoof4", [lab.at_ip(spoofed, session=0, arc=2)])


@case("acl_in/icmp4_error", "acl_in/drop: acl-denied", "acl_out/drop: acl-denied")
def _filter(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for action in (AclAction.REJECT, AclAction.DENY):
        lab.filter_by(dp, generation, [], action)
        for node in ("acl_in", "acl_out"):
            dp.node(node, [lab.at_ip(IP_FRAME, session=0, arc=0x08)])


@case("policer_in/drop: policed", "policer_out/drop: policed")
def _police(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for direction in Direction:
        lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=len(IP_FRAME))
    for node in ("policer_in", "policer_out"):
        dp.node(node, [lab.at_ip(IP_FRAME, session=0, arc=0x20)] * 2)


def session_output(dp: Dataplane, packet: bytes, **metadata: int) -> None:
    dp.node("session_output", [lab.at_ip(packet, session=0, **metadata)])


@case("session_output/ip4_fragment")
def _to_session_too_big(dp: Dataplane) -> None:
    lab.furnish(dp)
    session_output(dp, lab.udp(lab.SERVER, lab.CLIENT_IP, 1466))


@case("ip4_input/ip4_lookup")
def _ip4_fine(dp: Dataplane) -> None:
    dp.node("ip4_input", [lab.at_ip(IP_FRAME)])


def ip4_fault(reason: str, packet: bytes) -> None:
    @case(f"ip4_input/drop: {reason}")
    def run(dp: Dataplane) -> None:
        dp.node("ip4_input", [lab.at_ip(packet)])


for _reason, _packet in IP4_FAULTS.items():
    ip4_fault(_reason, _packet)


@case("ip4_lookup/nat44_out2in")
def _to_pool(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("ip4_lookup", [lab.at_ip(lab.udp(lab.SERVER, "10.8.0.1"))])


@case("ip4_rewrite/ip4_fragment")
def _rewrite_too_big(dp: Dataplane) -> None:
    lab.furnish(dp)
    lab.adjacency(dp, "192.0").mtu = 1000
    big = lab.udp(lab.CLIENT_IP, lab.SERVER, 1000)
    dp.node("ip4_rewrite", [lab.at_ip(big, leaf=lab.leaf_of(dp, "192.0"))])


PING = lab.ping(lab.CLIENT_IP, lab.GATEWAY)


@case(
    "ip4_local/drop: echo-fragment",
    "ip4_local/drop: echo-options",
    "ip4_local/drop: echo-truncated",
)
def _no_ping(dp: Dataplane) -> None:
    lab.furnish(dp)
    router_alert = bytes.fromhex("94040000")
    with_options = IP(src=lab.CLIENT_IP, dst=lab.GATEWAY, options=lab.raw_option(router_alert))
    packets = (
        lab.ping(lab.CLIENT_IP, lab.GATEWAY, flags="MF"),
        bytes(with_options / ICMP()),
        PING[:27],
    )
    leaf = lab.leaf_of(dp, "10.2")
    dp.node("ip4_local", [lab.at_ip(p, leaf=leaf, flags=lab.FROM_SESSION) for p in packets])


@case("icmp4_error/drop: about-later-fragment")
def _error_about_later_fragment(dp: Dataplane) -> None:
    lab.furnish(dp)
    later = lab.udp(lab.SERVER, lab.CLIENT_IP, frag=1)
    dp.node("icmp4_error", [lab.at_ip(later, cause=3, rx_port=WAN)])


@case("ip4_fragment/consumed", "ip4_fragment/drop: mtu-too-small")
def _fragment(dp: Dataplane) -> None:
    dp.node("ip4_fragment", [lab.at_ip(IP_FRAME, arg=mtu) for mtu in (28, 27)])


@case("ip4_fragment/drop: no-buffer", "ip4_fragment/drop: graph-full")
def _fragments(dp: Dataplane) -> None:
    dp.node("ip4_fragment", [lab.at_ip(lab.udp(lab.SERVER, lab.CLIENT_IP, 1472), arg=68)] * 256)
