"""Each edge of each node is taken at least once: a case by name, and no edge without a case."""

from collections.abc import Callable

import pytest

from dataplane import binding

from . import lab
from .harness import ACC, CLIENT_MAC, DEFAULT_ARGS, TWIN, WAN, Dataplane, Frame, dataplane, lib

NODES = (
    "ethernet_input",
    "twin_output",
    "pppoe_input",
    "pppoe_padt",
    "antispoof4",
    "mss_clamp_in",
    "mss_clamp_out",
    "ip4_input",
    "ip4_lookup",
    "ip4_rewrite",
    "ip4_local",
    "session_output",
    "pppoe_output",
    "punt",
    "inject",
    "lcp_echo",
    "icmp4_error",
    "ip4_fragment",
)
NO_FEATURE = "drop: no such feature"  # an arc's bit that nobody stands on

Case = Callable[[Dataplane], None]
CASES: dict[str, Case] = {}


def case(*edges: str) -> Callable[[Case], Case]:
    """Say which edges a function takes a packet along."""

    def register(function: Case) -> Case:
        for edge in edges:
            assert edge not in CASES, edge
            CASES[edge] = function
        return function

    return register


def edges_of(dp: Dataplane, node: str) -> set[str]:
    """Return the names of all edges of a node."""
    nodes = dp.section(lib.SECTION_NODE, "struct node_name")
    for number in range(dp.header.n_nodes):
        if lib_string(nodes[number].name) == node:
            names = {dp.edge_name(node, edge) for edge in range(nodes[number].n_edges)}
            return {f"{node}/{name}" for name in names - {NO_FEATURE}}
    raise AssertionError(node)


def lib_string(chars: object) -> str:
    """Return a C string as text."""
    return bytes(lab.ffi.string(chars)).decode()


# ---- ethernet_input, twin_output ----

IP_FRAME = lab.udp(lab.CLIENT_IP, lab.SERVER)
PADI = bytes.fromhex("110900000004") + bytes.fromhex("01010000")


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


# ---- pppoe_input, pppoe_padt ----


def pppoe_input(dp: Dataplane, frame: bytes) -> None:
    dp.node("pppoe_input", [lab.at_pppoe(frame)])


def arc_of_session_0(bit: int) -> Case:
    def run(dp: Dataplane) -> None:
        lab.furnish(dp)
        dp.session_in(0).features = 1 << bit if bit else 0
        pppoe_input(dp, lab.session_frame(IP_FRAME))

    return run


for _bit, _next in ((0, "ip4_lookup"), (1, "antispoof4"), (7, "mss_clamp_in"), (9, "nat44_in2out")):
    CASES[f"pppoe_input/{_next}"] = arc_of_session_0(_bit)


def live(edge: str, payload: bytes, protocol: int = lab.PPP_IP4) -> None:
    @case(edge)
    def run(dp: Dataplane) -> None:
        generation = lab.furnish(dp)
        lab.start_echo(dp, generation)
        pppoe_input(dp, lab.session_frame(payload, protocol))


def bad_ip(source: str = lab.CLIENT_IP, destination: str = lab.SERVER) -> bytes:
    return lab.udp(source, destination)


IP4_FAULTS = {
    "ip4-truncated": IP_FRAME[:19],
    "ip4-version-wrong": b"\x65" + IP_FRAME[1:],
    "ip4-header-length-wrong": b"\x44" + IP_FRAME[1:],
    "ip4-total-length-wrong": IP_FRAME[:2] + b"\x00\x13" + IP_FRAME[4:],
    "ip4-length-beyond-frame": IP_FRAME[:-1],
    "ip4-checksum-wrong": IP_FRAME[:8] + bytes((IP_FRAME[8] ^ 1,)) + IP_FRAME[9:],
    "ip4-source-martian": bad_ip("127.0.0.1"),
    "ip4-destination-martian": bad_ip(destination="255.255.255.255"),
    "ip4-destination-multicast": bad_ip(destination="224.0.0.5"),
}
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


def clients(n: int) -> list[bytes]:
    """Return MACs that differ."""
    return [b"\x02\x00" + i.to_bytes(4, "big") for i in range(n)]


@case("pppoe_padt/drop: rate-limited")
def _padt_limited(dp: Dataplane) -> None:
    padt(dp, *[lab.session_frame(IP_FRAME, source=mac) for mac in clients(256)])


# ---- session-in arc, session-out arc ----


@case(
    "antispoof4/ip4_lookup",
    "antispoof4/mss_clamp_in",
    "antispoof4/nat44_in2out",
    "antispoof4/drop: source-spoofed",
)
def _antispoof(dp: Dataplane) -> None:
    lab.furnish(dp)
    spoofed = lab.udp("100.65.0.2", lab.SERVER)
    frames = [lab.at_ip(IP_FRAME, session=0, arc=arc) for arc in (0x2, 0x82, 0x202)]
    dp.node("antispoof4", [*frames, lab.at_ip(spoofed, session=0, arc=2)])


@case("mss_clamp_in/ip4_lookup", "mss_clamp_in/nat44_in2out", "mss_clamp_out/pppoe_output")
def _clamp(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("mss_clamp_in", [lab.at_ip(IP_FRAME, session=0, arc=arc) for arc in (0x80, 0x280)])
    dp.node("mss_clamp_out", [lab.at_ip(IP_FRAME, session=0, arc=0x80)])


def session_output(dp: Dataplane, packet: bytes, **metadata: int) -> None:
    dp.node("session_output", [lab.at_ip(packet, session=0, **metadata)])


@case("session_output/pppoe_output", "session_output/mss_clamp_out")
def _to_session(dp: Dataplane) -> None:
    lab.furnish(dp)
    session_output(dp, IP_FRAME)
    dp.session_out(0).features = 1 << 7
    session_output(dp, IP_FRAME)


@case("session_output/icmp4_error", "session_output/ip4_fragment")
def _to_session_too_big(dp: Dataplane) -> None:
    lab.furnish(dp)
    session_output(dp, lab.udp(lab.SERVER, lab.CLIENT_IP, 1466))
    session_output(dp, lab.udp(lab.SERVER, lab.CLIENT_IP, 1466, flags="DF"))


@case("session_output/handoff")
def _to_other_owner(dp: Dataplane) -> None:
    lab.furnish(dp, worker=1)
    session_output(dp, IP_FRAME)


@case("session_output/drop: generation-stale")
def _stale(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.session_out(0).generation += 1
    session_output(dp, IP_FRAME, flags=lab.TO_SESSION)


@case("session_output/drop: session-paused", "session_output/drop: session-not-live")
def _to_session_not_live(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for kind in (binding.CommandType.SESSION_PAUSE, binding.CommandType.SESSION_CLOSE):
        assert dp.command(lab.command(kind, 0, generation)) == 0
        session_output(dp, IP_FRAME)


@case("pppoe_output/port_output")
def _pppoe_output(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("pppoe_output", [lab.at_ip(IP_FRAME, session=0)])


# ---- IPv4 ----


@case("ip4_input/ip4_lookup")
def _ip4_fine(dp: Dataplane) -> None:
    dp.node("ip4_input", [lab.at_ip(IP_FRAME)])


def ip4_fault(reason: str, packet: bytes) -> None:
    @case(f"ip4_input/drop: {reason}")
    def run(dp: Dataplane) -> None:
        dp.node("ip4_input", [lab.at_ip(packet)])


for _reason, _packet in IP4_FAULTS.items():
    ip4_fault(_reason, _packet)


@case(
    "ip4_lookup/ip4_rewrite",
    "ip4_lookup/session_output",
    "ip4_lookup/nat44_out2in",
    "ip4_lookup/ip4_local",
    "ip4_lookup/icmp4_error",
    "ip4_lookup/drop: unresolved",
    "ip4_lookup/drop: blackhole",
    "ip4_lookup/drop: adjacency-gone",
)
def _lookup(dp: Dataplane) -> None:
    lab.furnish(dp)
    prefixes = (*lab.ADJACENCIES, "100.64", "9.9")
    frames = [lab.at_ip(lab.udp(lab.SERVER, f"{prefix}.0.1")) for prefix in prefixes]
    dp.node("ip4_lookup", frames)


@case(
    "ip4_rewrite/port_output",
    "ip4_rewrite/icmp4_error",
    "ip4_rewrite/ip4_fragment",
    "ip4_rewrite/drop: unresolved",
)
def _rewrite(dp: Dataplane) -> None:
    lab.furnish(dp)
    leaf = lab.leaf_of(dp, "192.0")
    lab.adjacency(dp, "192.0").mtu = 1000
    big = lab.udp(lab.CLIENT_IP, lab.SERVER, 1000)
    expired = lab.udp(lab.CLIENT_IP, lab.SERVER, ttl=1)
    dp.node("ip4_rewrite", [lab.at_ip(packet, leaf=leaf) for packet in (IP_FRAME, big, expired)])
    dp.node("ip4_rewrite", [lab.at_ip(IP_FRAME, leaf=lab.leaf_of(dp, "10.5"))])


def ip4_local(dp: Dataplane, *packets: bytes, flags: int = lab.FROM_SESSION) -> None:
    leaf = lab.leaf_of(dp, "10.2")
    for packet in packets:
        dp.node("ip4_local", [lab.at_ip(packet, leaf=leaf, flags=flags)])


@case("ip4_local/twin_output")
def _to_kernel(dp: Dataplane) -> None:
    lab.furnish(dp)
    frame = lab.routed_frame(lab.ping(lab.SERVER, lab.WAN_IP))
    leaf = lab.leaf_of(dp, "10.1")
    dp.node("ip4_local", [Frame(data=frame, skip=14, l3=14, leaf=leaf, rx_port=WAN)])


PING = lab.ping(lab.CLIENT_IP, lab.GATEWAY)


@case("ip4_local/ip4_lookup")
def _ping(dp: Dataplane) -> None:
    lab.furnish(dp)
    ip4_local(dp, PING)


@case("ip4_local/drop: own-error")
def _own(dp: Dataplane) -> None:
    lab.furnish(dp)
    ip4_local(dp, PING, flags=lab.ICMP_MADE)


@case(
    "ip4_local/drop: not-echo-request",
    "ip4_local/drop: echo-fragment",
    "ip4_local/drop: echo-options",
    "ip4_local/drop: echo-truncated",
    "ip4_local/drop: echo-checksum-wrong",
)
def _no_ping(dp: Dataplane) -> None:
    lab.furnish(dp)
    router_alert = bytes.fromhex("94040000")
    with_options = lab.IP(src=lab.CLIENT_IP, dst=lab.GATEWAY, options=lab.raw_option(router_alert))
    ip4_local(
        dp,
        lab.udp(lab.CLIENT_IP, lab.GATEWAY),
        lab.ping(lab.CLIENT_IP, lab.GATEWAY, flags="MF"),
        bytes(with_options / lab.ICMP()),
        PING[:27],
        PING[:-1] + b"\x01",
    )


@case("ip4_local/drop: source-share-used-up")
def _many_pings(dp: Dataplane) -> None:
    lab.furnish(dp)
    ip4_local(dp, *[PING] * 51)


@case("ip4_local/drop: rate-limited")
def _pings_of_many(dp: Dataplane) -> None:
    lab.furnish(dp)
    leaf = lab.leaf_of(dp, "10.2")
    for third in range(21):
        frames = [
            lab.at_ip(PING[:14] + bytes((third, fourth)) + PING[16:], leaf=leaf, flags=1)
            for fourth in range(256)
        ]
        dp.node("ip4_local", frames)


def icmp4_error(dp: Dataplane, *packets: bytes, **metadata: int) -> None:
    frames = [lab.at_ip(p, cause=3, rx_port=WAN, **metadata) for p in packets]
    dp.node("icmp4_error", frames)


@case(
    "icmp4_error/ip4_lookup",
    "icmp4_error/drop: about-icmp-error",
    "icmp4_error/drop: about-later-fragment",
    "icmp4_error/drop: source-share-used-up",
)
def _errors(dp: Dataplane) -> None:
    lab.furnish(dp)
    about_error = bytes(lab.IP(src=lab.SERVER) / lab.ICMP(type=11) / IP_FRAME)
    icmp4_error(dp, about_error, lab.udp(lab.SERVER, lab.CLIENT_IP, frag=1), *[IP_FRAME] * 51)


@case("icmp4_error/drop: about-own-packet")
def _error_about_own(dp: Dataplane) -> None:
    lab.furnish(dp)
    icmp4_error(dp, IP_FRAME, flags=lab.ICMP_MADE)


@case("icmp4_error/drop: no-source-address")
def _no_address(dp: Dataplane) -> None:
    icmp4_error(dp, IP_FRAME)


@case("icmp4_error/drop: rate-limited")
def _errors_to_many(dp: Dataplane) -> None:
    lab.furnish(dp)
    for third in range(5):
        icmp4_error(dp, *[IP_FRAME[:14] + bytes((third, n)) + IP_FRAME[16:] for n in range(256)])


@case("ip4_fragment/consumed", "ip4_fragment/drop: mtu-too-small")
def _fragment(dp: Dataplane) -> None:
    dp.node("ip4_fragment", [lab.at_ip(IP_FRAME, arg=mtu) for mtu in (28, 27)])


@case("ip4_fragment/drop: no-buffer", "ip4_fragment/drop: graph-full")
def _fragments(dp: Dataplane) -> None:
    dp.node("ip4_fragment", [lab.at_ip(lab.udp(lab.SERVER, lab.CLIENT_IP, 1472), arg=68)] * 256)


# ---- punt, inject, lcp_echo ----


def discovery(source: bytes = CLIENT_MAC, vid: int = 0) -> Frame:
    tag = (0x8100, vid) if vid else (0, 0)
    frame = lab.ethernet(PADI, 0x8863, source=source, tags=(tag,) if vid else ())
    return Frame(data=frame, skip=18 if vid else 14, cause=1, rx_port=ACC, outer=tag)


@case("punt/consumed", "punt/drop: client-share-used-up")
def _one_client(dp: Dataplane) -> None:
    dp.node("punt", [discovery()] * 21)


@case("punt/drop: svlan-share-used-up")
def _one_svlan(dp: Dataplane) -> None:
    macs = clients(20224)
    for at in range(0, len(macs), 256):
        dp.node("punt", [discovery(mac) for mac in macs[at : at + 256]])
        dp.punts()


@case("punt/drop: discovery-policed")
def _all_discovery(dp: Dataplane) -> None:
    for number in range(160):
        dp.node("punt", [discovery(mac, number + 1) for mac in clients(256)])
        dp.punts()


@case("punt/drop: ring-full")
def _full(dp: Dataplane) -> None:
    for vid in range(1, 160):
        frames = [discovery(mac, vid) for mac in clients(250)]
        for frame in frames:
            frame.data += bytes(1400)
        if "drop: ring-full" in {f.edge_name for f in dp.node("punt", frames)}:
            break


def control(cause: int) -> Frame:
    frame = lab.session_frame(bytes(4), lab.PPP_LCP)
    return lab.at_pppoe(frame, session=0, cause=cause)


@case("punt/drop: session-share-used-up")
def _one_session(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("punt", [control(2)] * 41)


def all_sessions(cause: int, edge: str, most: int) -> None:
    @case(f"punt/drop: {edge}")
    def run(dp: Dataplane) -> None:
        lab.furnish(dp)
        for _ in range(most // 40 + 1):
            dp.session_in(0).punt_tokens = 40_000
            dp.node("punt", [control(cause)] * 40)
            dp.punts()


all_sessions(2, "lcp-policed", 50_000)
all_sessions(3, "auth-policed", 50_000)
all_sessions(4, "ncp-policed", 50_000)
all_sessions(5, "ppp-unknown-policed", 1_000)


def inject(dp: Dataplane, *records: bytes) -> None:
    dp.node("inject", [Frame(data=record) for record in records])


def record(kind: int, data: bytes, **fields: int) -> bytes:
    values = {"port": ACC, "session": 0, "generation": 1, "tpid": 0, "vid": 0} | fields
    return (
        binding.INJECT.pack(
            kind,
            values["port"],
            0,
            values["session"],
            values["generation"],
            values["tpid"],
            values["vid"],
            0,
            0,
            CLIENT_MAC,
            0,
            0,
        )
        + data
    )


@case(
    "inject/port_output",
    "inject/drop: truncated",
    "inject/drop: kind-unknown",
    "inject/drop: port-unknown",
    "inject/drop: tags-wrong",
    "inject/drop: session-unknown",
    "inject/drop: generation-stale",
)
def _inject(dp: Dataplane) -> None:
    lab.furnish(dp)
    inject(
        dp,
        record(2, b"\xc0\x21"),
        record(2, b"\xc0"),
        record(3, b""),
        record(1, PADI, port=WAN),
        record(1, PADI, tpid=0x1234),
        record(2, b"\xc0\x21", session=1 << 31),
        record(2, b"\xc0\x21", generation=9),
    )


@case("inject/drop: other-worker")
def _inject_elsewhere(dp: Dataplane) -> None:
    lab.furnish(dp, worker=1)
    inject(dp, record(2, b"\xc0\x21"))


@case(
    "lcp_echo/port_output",
    "lcp_echo/consumed",
    "lcp_echo/drop: length-wrong",
    "lcp_echo/drop: our-own-magic",
    "lcp_echo/drop: reply-magic-wrong",
    "lcp_echo/drop: session-share-used-up",
)
def _echoes(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.start_echo(dp, generation)
    packets = [
        lab.echo(10, 0x22222222),
        lab.echo(10, 0x33333333),
        lab.echo(9, 0x11111111),
        lab.echo(9, 0x22222222, length=9),
        *[lab.echo(9, 0x22222222)] * 41,
    ]
    frames = [lab.at_pppoe(lab.session_frame(p, lab.PPP_LCP), session=0) for p in packets]
    dp.node("lcp_echo", frames)


# ---- the tests ----


def test_no_edge_is_without_a_case(dp: Dataplane) -> None:
    edges = {edge for node in NODES for edge in edges_of(dp, node)}
    assert edges == set(CASES)


@pytest.mark.parametrize("edge", sorted(CASES))
def test_the_case_takes_its_edge(edge: str) -> None:
    args = list(DEFAULT_ARGS)
    if "graph-full" in edge:
        args.append("--buffers=8192")
    if "handoff" in edge or "other-worker" in edge:
        args.append("--workers=-,-")
    with dataplane(*args) as dp:
        CASES[edge](dp)
        assert dp.counters().get(edge, 0) > 0, dp.counters()
