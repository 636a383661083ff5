"""Edge cases of NAT44's fragments; the two NAT nodes have tests of their own for every edge."""

from scapy.layers.inet import IP, UDP

from . import lab
from .edges import case
from .harness import FEATURE_IN_NAT44, WAN, Dataplane, Frame
from .nat44 import PUBLIC, REMOTE, Nat

HELD_MS = 2000


def let_in(dp: Dataplane) -> Nat:
    """Furnish the lab with a translated session; the first fragment of datagram 1 is let in."""
    generation = lab.furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
    box = Nat(dp, [generation])
    external = box.port_of(5000)
    first = IP(src=REMOTE, dst=PUBLIC, id=1, flags="MF") / UDP(sport=53, dport=external) / bytes(16)
    frame = box.back(first)
    assert frame.edge_name == "nat44_fragment"
    dp.node("nat44_fragment", [frame])
    return box


def later(box: Nat, number: int = 1) -> Frame:
    """Return a later fragment of a datagram."""
    packet = IP(src=REMOTE, dst=PUBLIC, id=number, frag=3, proto=17) / bytes(16)
    return Frame(data=bytes(packet), leaf=box.pool_leaf())


def receive(box: Nat, number: int) -> None:
    """Take a later fragment through the whole graph."""
    box.dp.receive(WAN, lab.routed_frame(later(box, number).data))


@case("nat44_fragment/session_output")
def _follow(dp: Dataplane) -> None:
    box = let_in(dp)
    (frame,) = dp.node("nat44_fragment", [later(box)])
    assert (frame.edge_name, frame.session) == ("session_output", 0)


@case("nat44_fragment/drop: session-not-live")
def _gone(dp: Dataplane) -> None:
    box = let_in(dp)
    box.close(0)
    dp.node("nat44_fragment", [later(box)])


@case("nat44_fragment/consumed", "nat44_fragment/drop: first-came-too-late")
def _held(dp: Dataplane) -> None:
    box = let_in(dp)
    receive(box, 2)
    assert dp.buffers_in_use() == 1
    dp.advance(HELD_MS / 1000 + 0.02)


@case("nat44_fragment/drop: too-many-held")
def _many(dp: Dataplane) -> None:
    box = let_in(dp)
    for _ in range(50):
        receive(box, 2)
    dp.advance(HELD_MS / 1000 + 0.02)
