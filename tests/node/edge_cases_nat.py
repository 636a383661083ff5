"""Edge cases of the NAT features on the session arcs."""

from . import lab
from .edges import case
from .harness import FEATURE_IN_NAT44, WAN, Dataplane, lib


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
