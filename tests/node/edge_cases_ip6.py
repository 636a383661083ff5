"""Edge cases of the IPv6 nodes, and of what nodes of both families make of IPv6."""

from . import lab, lab6
from .edge_cases_nat import along, start
from .edges import CASES, IP_FRAME, case
from .harness import ACC, Dataplane


@case("ip4_off_in/drop: ip4-not-served", "ip4_off_out/drop: ip4-not-served")
def _ip4_off(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("ip4_off_in", [lab.at_ip(IP_FRAME, session=0, arc=0x10)])
    dp.node("ip4_off_out", [lab.at_ip(IP_FRAME, session=0, arc=0x10)])


CASES["pppoe_input/ip4_off_in"] = start("pppoe_input", 4)
CASES["session_output/ip4_off_out"] = start("session_output", 4)
for _bit, _node in {1: "antispoof4", 3: "acl_in"}.items():
    CASES[f"{_node}/ip4_off_in"] = along(_node, _bit, 4)
for _bit, _node in {1: "nat44_static_out", 2: "nat44_guard", 3: "acl_out"}.items():
    CASES[f"{_node}/ip4_off_out"] = along(_node, _bit, 4)


@case("acl_in/drop: ip6-upper-layer-hidden", "acl_out/drop: ip6-upper-layer-hidden")
def _hidden(dp: Dataplane) -> None:
    generation = lab6.furnish(dp)
    lab.filter_by(dp, generation, [])
    cut = lab6.FRAME[:43]
    dp.node("acl_in", [lab6.at_ip(cut, session=0, arc=0x8008)])
    dp.node("acl_out", [lab6.at_ip(cut, session=0, arc=0x8008)])


@case("punt/drop: ip6-control-policed")
def _all_control(dp: Dataplane) -> None:
    lab6.furnish(dp)
    frame = lab.at_pppoe(lab.session_frame(lab6.FRAME, lab6.PPP_IP6), session=0, cause=6)
    frame.rx_port = ACC
    for _ in range(50_000 // 40 + 1):
        dp.session_in(0).punt_tokens = 40_000
        dp.node("punt", [frame] * 40)
        dp.punts()
