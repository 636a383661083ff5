"""Edge cases of the NAT features on the session arcs, and the arcs' edges that lead to them."""

from dataplane.binding import Direction

from . import lab
from .edges import CASES, IP_FRAME, Case
from .harness import Dataplane

IN = {10: "nat44_static_in"}
OUT = {1: "nat44_static_out"}
"""By their bits."""
IN_BEFORE = {1: "antispoof4", 3: "acl_in", 5: "policer_in", 7: "mss_clamp_in"}
IN_END, OUT_END = "ip4_lookup", "pppoe_output"
OUT_AFTER = {3: "acl_out", 5: "policer_out", 7: "mss_clamp_out"}


def along(node: str, bit: int, to: int) -> Case:
    """Return a case that takes a packet from the feature *bit* to the feature *to*, 0: the end."""

    def run(dp: Dataplane) -> None:
        generation = lab.furnish(dp)
        if node == "acl_in":
            lab.filter_by(dp, generation, [])
        if node == "policer_in":
            lab.police(dp, generation, Direction.IN, cir_bps=8, cbs_bytes=len(IP_FRAME))
        arc = 1 << bit | (1 << to if to else 0)
        dp.node(node, [lab.at_ip(IP_FRAME, session=0, arc=arc)])

    return run


def start(node: str, bit: int) -> Case:
    """Return a case that enters the arc where the first feature is *bit*."""

    def run(dp: Dataplane) -> None:
        lab.furnish(dp)
        dp.session_in(0).features = dp.session_out(0).features = 1 << bit
        if node == "pppoe_input":
            dp.node(node, [lab.at_pppoe(lab.session_frame(IP_FRAME))])
        else:
            dp.node(node, [lab.at_ip(IP_FRAME, session=0)])

    return run


for _to, _name in IN.items():
    CASES[f"pppoe_input/{_name}"] = start("pppoe_input", _to)
    for _bit, _node in (IN_BEFORE | IN).items():
        if _bit < _to:
            CASES[f"{_node}/{_name}"] = along(_node, _bit, _to)
    CASES[f"{_name}/{IN_END}"] = along(_name, _to, 0)
for _bit, _node in OUT.items():
    CASES[f"session_output/{_node}"] = start("session_output", _bit)
    for _to, _name in ({0: OUT_END} | OUT | OUT_AFTER).items():
        if not _to or _to > _bit:
            CASES[f"{_node}/{_name}"] = along(_node, _bit, _to)
