"""Edge cases of the access side: frames in, PPPoE, PADT."""

from dataplane import binding

from . import lab
from .edges import IP4_FAULTS, IP_FRAME, PADI, case, clients
from .harness import ACC, CLIENT_MAC, TWIN, WAN, Dataplane, Frame, lib


def ethernet_input(dp: Dataplane, frame: bytes, port: int = ACC) -> None:
    dp.node("ethernet_input", [Frame(data=frame, rx_port=port)])


@case("ethernet_input/pppoe_input")
def _session(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME))


@case("ethernet_input/punt")
def _padi(dp: Dataplane) -> None:
    ethernet_input(dp, lab.ethernet(PADI, 0x8863, destination=lab.BROADCAST))


@case("ethernet_input/ip4_input")
def _routed(dp: Dataplane) -> None:
    ethernet_input(dp, lab.routed_frame(IP_FRAME), WAN)


@case("ethernet_input/twin_output")
def _arp(dp: Dataplane) -> None:
    ethernet_input(dp, lab.ethernet(bytes(28), 0x0806, destination=lab.BROADCAST), WAN)


@case("ethernet_input/drop: truncated")
def _runt(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME)[:13])


@case("ethernet_input/drop: too-many-tags")
def _three_tags(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME, tags=(*lab.QINQ, (0x8100, 3))))


@case("ethernet_input/drop: ethertype-unknown")
def _ip_on_access(dp: Dataplane) -> None:
    ethernet_input(dp, lab.ethernet(IP_FRAME, 0x0800))


@case("ethernet_input/drop: destination-not-ours")
def _to_another(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME, destination=lab.OTHER))


@case("ethernet_input/drop: source-multicast")
def _from_group(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME, source=b"\x03" + CLIENT_MAC[1:]))


@case("ethernet_input/drop: source-ours")
def _looped(dp: Dataplane) -> None:
    ethernet_input(dp, lab.session_frame(IP_FRAME, source=lab.BOX))


@case("ethernet_input/drop: vlan-not-served")
def _not_served(dp: Dataplane) -> None:
    dp.port(ACC).n_access_ranges = 0
    ethernet_input(dp, lab.ethernet(PADI, 0x8863))


@case("ethernet_input/drop: port-not-in-use")
def _no_role(dp: Dataplane) -> None:
    dp.port(ACC).role = lib.PORT_NONE
    ethernet_input(dp, lab.session_frame(IP_FRAME))


@case("twin_output/port_output", "twin_output/drop: no-twin")
def _twin(dp: Dataplane) -> None:
    dp.node("twin_output", [Frame(data=bytes(60), rx_port=p) for p in (ACC, WAN, TWIN)])


@case("twin_output/control_output")
def _control(dp: Dataplane) -> None:
    arp = lab.ethernet(bytes(46), 0x0806, source=lab.WAN_MAC, destination=lab.BROADCAST)
    dp.node("twin_output", [Frame(data=arp, rx_port=TWIN)])


def pppoe_input(dp: Dataplane, frame: bytes) -> None:
    dp.node("pppoe_input", [lab.at_pppoe(frame)])


def live(edge: str, payload: bytes, protocol: int = lab.PPP_IP4) -> None:
    @case(edge)
    def run(dp: Dataplane) -> None:
        generation = lab.furnish(dp)
        lab.start_echo(dp, generation)
        pppoe_input(dp, lab.session_frame(payload, protocol))


for _reason, _packet in IP4_FAULTS.items():
    live(f"pppoe_input/drop: {_reason}", _packet)

live("pppoe_input/lcp_echo", lab.echo(9, 1), lab.PPP_LCP)
live("pppoe_input/punt", b"\x01\x01\x00\x04", 0x80FD)
live("pppoe_input/drop: protocol-compressed", b"", 0x2145)
live("pppoe_input/drop: ip6-not-served", bytes(40), 0x0057)
live("pppoe_input/drop: packet-too-big", lab.udp(lab.CLIENT_IP, lab.SERVER, 1465))


@case("pppoe_input/pppoe_padt")
def _unknown(dp: Dataplane) -> None:
    pppoe_input(dp, lab.session_frame(IP_FRAME))


@case("pppoe_input/handoff")
def _other_owner(dp: Dataplane) -> None:
    lab.furnish(dp, worker=1)
    pppoe_input(dp, lab.session_frame(IP_FRAME))


@case(
    "pppoe_input/drop: truncated",
    "pppoe_input/drop: version-wrong",
    "pppoe_input/drop: code-wrong",
    "pppoe_input/drop: length-wrong",
    "pppoe_input/drop: length-beyond-frame",
)
def _bad_header(dp: Dataplane) -> None:
    good = lab.pppoe(IP_FRAME)
    for bad in (
        good[:7],
        b"\x21" + good[1:],
        b"\x11\x09" + good[2:],
        lab.pppoe(IP_FRAME, length=1),
        lab.pppoe(IP_FRAME, length=len(IP_FRAME) + 3),
    ):
        pppoe_input(dp, lab.ethernet(bad, 0x8864))


@case("pppoe_input/drop: session-negotiating")
def _negotiating(dp: Dataplane) -> None:
    dp.bind(0)
    pppoe_input(dp, lab.session_frame(IP_FRAME))


@case("pppoe_input/drop: session-paused")
def _paused(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    assert dp.command(lab.command(binding.CommandType.SESSION_PAUSE, 0, generation)) == 0
    pppoe_input(dp, lab.session_frame(IP_FRAME))


def padt(dp: Dataplane, *frames: bytes) -> None:
    dp.node("pppoe_padt", [lab.at_pppoe(frame) for frame in frames])


@case("pppoe_padt/port_output", "pppoe_padt/drop: client-share-used-up")
def _padt_twice(dp: Dataplane) -> None:
    padt(dp, *[lab.session_frame(IP_FRAME)] * 2)


@case("pppoe_padt/drop: session-id-reserved")
def _reserved(dp: Dataplane) -> None:
    padt(dp, lab.session_frame(IP_FRAME, session_id=0xFFFF))


@case("pppoe_padt/drop: vlan-not-served")
def _padt_not_served(dp: Dataplane) -> None:
    dp.port(ACC).n_access_ranges = 0
    padt(dp, lab.session_frame(IP_FRAME))


@case("pppoe_padt/drop: svlan-share-used-up")
def _padt_svlan(dp: Dataplane) -> None:
    padt(dp, *[lab.session_frame(IP_FRAME, source=mac) for mac in clients(256)])


@case("pppoe_padt/drop: rate-limited")
def _padt_limited(dp: Dataplane) -> None:
    macs = clients(256)
    tags = [((0x8100, number % 8 + 1),) for number in range(len(macs))]
    pairs = zip(macs, tags, strict=True)
    dp.receive(ACC, *[lab.session_frame(IP_FRAME, source=m, tags=t) for m, t in pairs])
