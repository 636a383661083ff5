"""Edge cases that the nodes of both families have alike."""

from collections.abc import Callable

from dataplane import binding

from . import lab
from .edges import case
from .family import BOTH, Family, of_many
from .harness import TWIN, WAN, Dataplane, Frame

BothCase = Callable[[Dataplane, Family], None]


def both(*edges: str) -> Callable[[BothCase], BothCase]:
    """Say which edges of each family's nodes a function takes a packet along."""

    def register(function: BothCase) -> BothCase:
        for family in BOTH:
            case(*map(family.name, edges))(lambda dp, family=family: function(dp, family))
        return function

    return register


@both("session{s}_output/icmp{v}_error")
def _to_session_too_big(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    fields = {"flags": "DF"} if family.v == "4" else {}
    packet = family.udp(family.server, family.client, 1466, **fields)
    family.node(dp, "session{s}_output", packet, session=0)


@both("session{s}_output/handoff")
def _to_other_owner(dp: Dataplane, family: Family) -> None:
    family.furnish(dp, worker=1)
    family.node(dp, "session{s}_output", family.frame, session=0)


@both("session{s}_output/drop: generation-stale")
def _stale(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    dp.session_out(0).generation += 1
    family.node(dp, "session{s}_output", family.frame, session=0, flags=lab.TO_SESSION)


@both("session{s}_output/drop: session-paused", "session{s}_output/drop: session-not-live")
def _to_session_not_live(dp: Dataplane, family: Family) -> None:
    generation = family.furnish(dp)
    for kind in (binding.CommandType.SESSION_PAUSE, binding.CommandType.SESSION_CLOSE):
        assert dp.command(lab.command(kind, 0, generation)) == 0
        family.node(dp, "session{s}_output", family.frame, session=0)


@both("pppoe{s}_output/port_output")
def _pppoe_output(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    family.node(dp, "pppoe{s}_output", family.frame, session=0)


def local(dp: Dataplane, family: Family, *packets: bytes, flags: int = lab.FROM_SESSION) -> None:
    leaf = family.leaf_of(dp, family.local)
    for at in range(0, len(packets), 256):
        family.node(dp, "ip{v}_local", *packets[at : at + 256], leaf=leaf, flags=flags)


def ping(family: Family) -> bytes:
    return family.ping(family.client, family.box)


@both("ip{v}_local/twin_output")
def _to_kernel(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    frame = family.routed_frame(family.ping(family.server, family.box))
    leaf = family.leaf_of(dp, family.local)
    dp.node(family.name("ip{v}_local"), [Frame(data=frame, skip=14, leaf=leaf, rx_port=WAN)])


@both(
    "ip{v}_local/ip{v}_lookup",
    "ip{v}_local/drop: not-echo-request",
    "ip{v}_local/drop: echo-checksum-wrong",
    "ip{v}_local/drop: source-share-used-up",
)
def _local(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    wrong = ping(family)[:-1] + b"\x01"
    local(dp, family, family.udp(family.client, family.box), wrong, *[ping(family)] * 51)


@both("ip{v}_local/drop: own-error")
def _own(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    local(dp, family, ping(family), flags=lab.ICMP_MADE)


@both("ip{v}_local/drop: rate-limited")
def _pings_of_many(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    local(dp, family, *of_many(ping(family), 21 * 256))


def error(dp: Dataplane, family: Family, *packets: bytes, flags: int = 0) -> None:
    port = WAN if family.v == "4" else TWIN
    for at in range(0, len(packets), 256):
        some = packets[at : at + 256]
        family.node(dp, "icmp{v}_error", *some, cause=3, rx_port=port, flags=flags)


@both(
    "icmp{v}_error/ip{v}_lookup",
    "icmp{v}_error/drop: about-icmp-error",
    "icmp{v}_error/drop: source-share-used-up",
)
def _errors(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    error(dp, family, family.about_error, *[family.frame] * 51)


@both("icmp{v}_error/drop: about-own-packet")
def _error_about_own(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    error(dp, family, family.frame, flags=lab.ICMP_MADE)


@both("icmp{v}_error/drop: no-source-address")
def _no_address(dp: Dataplane, family: Family) -> None:
    error(dp, family, family.frame)


@both("icmp{v}_error/drop: rate-limited")
def _errors_to_many(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    error(dp, family, *of_many(family.frame, 5 * 256))


@both(
    "ip{v}_lookup/ip{v}_rewrite",
    "ip{v}_lookup/session{s}_output",
    "ip{v}_lookup/ip{v}_local",
    "ip{v}_lookup/icmp{v}_error",
    "ip{v}_lookup/drop: unresolved",
    "ip{v}_lookup/drop: blackhole",
    "ip{v}_lookup/drop: adjacency-gone",
)
def _lookup(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    packets = [family.udp(family.server, address) for address in family.everywhere]
    family.node(dp, "ip{v}_lookup", *packets)


@both("ip{v}_rewrite/port_output", "ip{v}_rewrite/icmp{v}_error", "ip{v}_rewrite/drop: unresolved")
def _rewrite(dp: Dataplane, family: Family) -> None:
    family.furnish(dp)
    expired = family.udp(family.client, family.server, **{family.hops: 1})
    leaf = family.leaf_of(dp, family.neighbour)
    family.node(dp, "ip{v}_rewrite", family.frame, expired, leaf=leaf)
    family.node(dp, "ip{v}_rewrite", family.frame, leaf=family.leaf_of(dp, family.lost))
