"""Edge cases of the session arcs: each edge from where one begins to where it ends, by family."""

from dataplane.binding import Direction

from . import lab
from .edges import CASES, Case
from .family import IP4, IP6, Family
from .harness import Dataplane

IN4 = {
    1: "antispoof4",
    3: "acl_in",
    4: "ip4_off_in",
    5: "policer_in",
    6: "nat44_bypass",
    7: "mss_clamp_in",
    8: "nat44_forward",
    9: "nat44_in2out",
    10: "nat44_static_in",
    0: "ip4_lookup",
}
"""Nodes by their bits, at last the end."""
OUT4 = {
    1: "nat44_static_out",
    2: "nat44_guard",
    3: "acl_out",
    4: "ip4_off_out",
    5: "policer_out",
    7: "mss_clamp_out",
    0: "pppoe_output",
}
END6 = 15
IN6 = {2: "antispoof6", 3: "acl_in", 5: "policer_in", 7: "mss_clamp_in", END6: "ip6_lookup"}
OUT6 = {3: "acl_out", 5: "policer_out", 7: "mss_clamp_out", END6: "pppoe6_output"}
NOT_FROM = {"ip4_off_in", "ip4_off_out", "nat44_in2out"}
"""The first two only drop; the third is of the tests of NAT44."""


def mask(bit: int) -> int:
    """Return the bitmap of a feature; the end of IPv4's arcs has none."""
    return 1 << bit if bit else 0


def along(family: Family, node: str, bit: int, to: int) -> Case:
    """Return a case that takes a packet from the feature *bit* to the feature *to*, or the end."""

    def run(dp: Dataplane) -> None:
        generation = family.furnish(dp)
        if node.startswith("acl_"):
            lab.filter_by(dp, generation, [])
        if node.startswith("policer_"):
            for direction in Direction:
                lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=len(family.frame))
        family.node(dp, node, family.frame, session=0, arc=mask(bit) | mask(to))

    return run


def start(family: Family, node: str, bit: int) -> Case:
    """Return a case that enters the arc where the first feature is *bit*."""

    def run(dp: Dataplane) -> None:
        family.furnish(dp)
        dp.session_in(0).features = mask(bit)
        dp.session_out(0).features = mask(bit) | (1 << END6 if family is IP6 else 0)
        if node.startswith("pppoe"):
            frame = lab.session_frame(family.frame, family.ppp)
            dp.node(node, [lab.at_pppoe(frame, session=0)])
        else:
            family.node(dp, node, family.frame, session=0)

    return run


def register(family: Family, first: str, arc: dict[int, str]) -> None:
    """Enter the edges of an arc; those that both families go along are IPv4's case."""
    for to, name in arc.items():
        CASES[f"{first}/{name}"] = start(family, first, to)
        for bit, node in arc.items():
            if bit and (bit < to or not to) and node not in NOT_FROM:
                CASES.setdefault(f"{node}/{name}", along(family, node, bit, to))


register(IP4, "pppoe_input", IN4)
register(IP4, "session_output", OUT4)
register(IP6, "pppoe6_input", IN6)
register(IP6, "session6_output", OUT6)
