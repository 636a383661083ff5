"""Edge cases of the NAT features on the session arcs, and the arcs' edges that lead to them."""

from . import lab
from .edge_cases_both import along, start
from .edges import CASES, case
from .family import IP4
from .harness import FEATURE_IN_NAT44, WAN, Dataplane, lib

IN = {6: "nat44_bypass", 8: "nat44_forward", 10: "nat44_static_in"}
OUT = {1: "nat44_static_out", 2: "nat44_guard"}
"""By their bits."""
OTHERS_IN = {1: "antispoof4", 3: "acl_in", 5: "policer_in", 7: "mss_clamp_in"}
OTHERS_OUT = {3: "acl_out", 5: "policer_out", 7: "mss_clamp_out"}


def arcs(first: str, ours: dict[int, str], others: dict[int, str], end: str) -> None:
    """Register every edge of an arc that leads to or from one of *ours*."""
    for to, name in ours.items():
        CASES[f"{first}/{name}"] = start(IP4, first, to)
        CASES[f"{name}/{end}"] = along(IP4, name, to, 0)
    nodes = ours | others
    for bit, node in nodes.items():
        for to, name in nodes.items():
            if bit < to and (bit in ours or to in ours):
                CASES[f"{node}/{name}"] = along(IP4, node, bit, to)


arcs("pppoe_input", IN, OTHERS_IN, "ip4_lookup")
arcs("session_output", OUT, OTHERS_OUT, "pppoe_output")
CASES["nat44_bypass/nat44_in2out"] = along(IP4, "nat44_bypass", 6, 9)
CASES["nat44_forward/nat44_in2out"] = along(IP4, "nat44_forward", 8, 9)


@case(
    "nat44_guard/drop: inner-address-from-outside",
    "nat44_guard/drop: inner-address-from-subscriber",
)
def _past_nat(dp: Dataplane) -> None:
    lab.furnish(dp, features_in=FEATURE_IN_NAT44)
    arc = 1 << lib.FEATURE_OUT_NAT44_GUARD
    packet = lab.udp(lab.SERVER, lab.CLIENT_IP)
    frames = [
        lab.at_ip(packet, session=0, arc=arc, rx_port=WAN),
        lab.at_ip(packet, session=0, arc=arc, flags=lab.FROM_SESSION),
    ]
    dp.node("nat44_guard", frames)
