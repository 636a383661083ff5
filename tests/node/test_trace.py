"""Packet trace: what each node leaves of a marked packet, which packets are marked, how it ends."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from dataplane import binding, sight

from . import lab
from .harness import (
    ACC,
    DEFAULT_ARGS,
    FEATURE_IN_NAT44,
    TWIN,
    WAN,
    Dataplane,
    dataplane,
    lib,
)

POOL = "10.8.0.1"
OTHER_CLIENT = "100.64.0.2"
LEASE_MS = 3000
FIRST, LAST, HAS_TUPLE, INJECTED = 1, 2, 4, 8
UP = lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 30))
NAT_UP = ["ethernet_input", "pppoe_input", "antispoof4", "nat44_in2out", "ip4_lookup"]
NAT_UP += ["ip4_rewrite", "port_output"]
DOWN = ["ethernet_input", "ip4_input", "ip4_lookup", "session_output", "pppoe_output"]
DOWN += ["port_output"]


class Box:
    """A dataplane with session 0 behind NAT, session 1 without, and a view of its arena."""

    def __init__(self, dp: Dataplane) -> None:
        self.dp = dp
        self.view = binding.Dataplane(dp._binding)
        self.nodes = sight.nodes(self.view)
        self.generation = lab.furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
        lab.adjacency(dp, "10.8").index = 0
        self.other = dp.session(1, OTHER_CLIENT, session_id=2)

    def trace(self, number: int = 1, count: int = 100, **filters: Any) -> int:
        """Start a trace; return the status of the command."""
        record = sight.TraceFilter(**filters).record(number, count, LEASE_MS)
        return self.dp.command(record[:16] + (1).to_bytes(8, "little") + record[24:])

    def records(self) -> list[sight.TraceRecord]:
        """Take all records."""
        taken: list[sight.TraceRecord] = []
        while batch := sight.trace_records(self.view, 0):
            taken += batch
        return taken

    def paths(self) -> list[list[str]]:
        """Take all records; return the nodes of each packet, with the reason of a drop."""
        paths: dict[int, list[str]] = {}
        for record in self.records():
            node = self.nodes[record.node]
            path = paths.setdefault(record.packet, [])
            path.append(node.name)
            if reason := node.edges[record.edge].reason:
                path.append(reason)
        return list(paths.values())


@pytest.fixture
def box() -> Iterator[Box]:
    with dataplane(*DEFAULT_ARGS, f"--nat-address={POOL}", "--nat-block-size=512") as dp:
        yield Box(dp)


def tuple_of(record: sight.TraceRecord) -> tuple[str, int, str, int]:
    return (
        str(IPv4Address(record.source)),
        int.from_bytes(record.source_port, "big"),
        str(IPv4Address(record.destination)),
        int.from_bytes(record.destination_port, "big"),
    )


def answer(box: Box) -> bytes:
    """Send a packet up and return the frame of the answer to it."""
    box.dp.receive(ACC, UP)
    sent = IP(box.dp.sent(WAN)[-1][14:])
    return lab.routed_frame(bytes(IP(src=sent.dst, dst=sent.src) / UDP(sport=53, dport=sent.sport)))


@pytest.mark.parametrize("count", [100, 2])
def test_fragments_that_the_box_makes_are_traced_as_packets_of_their_own(
    box: Box, count: int
) -> None:
    assert box.trace(count=count, prefix=IPv4Network(OTHER_CLIENT)) == 0
    whole = lab.udp(lab.SERVER, OTHER_CLIENT, 1480)
    box.dp.receive(WAN, lab.routed_frame(whole))
    assert len(box.dp.sent(ACC)) == 2
    records = box.records()
    numbers = sorted({r.packet & 0xFFFF for r in records})
    assert numbers == list(range(1, min(count, 3) + 1))
    for number in numbers[1:]:
        own = [r for r in records if r.packet & 0xFFFF == number]
        names = [box.nodes[r.node].name for r in own]
        assert names == ["session_output", "pppoe_output", "port_output"]
        assert [r.flags & (FIRST | LAST) for r in own] == [FIRST, 0, LAST]
        assert IP(own[0].data).dst == OTHER_CLIENT


def test_a_packet_through_nat_leaves_a_record_at_each_node(box: Box) -> None:
    assert box.trace() == 0
    box.dp.receive(ACC, UP)
    records = box.records()
    (sent,) = box.dp.sent(WAN)
    assert [box.nodes[r.node].name for r in records] == NAT_UP
    assert [r.flags & (FIRST | LAST) for r in records] == [FIRST, 0, 0, 0, 0, 0, LAST]
    assert [bool(r.flags & HAS_TUPLE) for r in records] == [False] + [True] * 6
    assert len({r.packet for r in records}) == 1
    assert [r.tsc for r in records] == sorted(r.tsc for r in records)
    assert records[0].data == UP
    assert records[-1].data == sent
    assert {r.session for r in records[1:]} == {0}

    before, after = records[2], records[3]
    assert tuple_of(before) == (lab.CLIENT_IP, 4000, lab.SERVER, 53)
    ip = IP(sent[14:])
    assert tuple_of(after) == (POOL, ip.sport, lab.SERVER, 53)
    leaf = sight.Leaf.of(records[4].leaf)
    assert (leaf.kind, leaf.index) == (lib.LEAF_ADJACENCY, lab.leaf_of(box.dp, "192.0") & 0x3FFFFF)
    assert (records[5].ttl, records[5].tx_port) == (63, WAN)


def test_a_packet_down_shows_where_it_goes(box: Box) -> None:
    assert box.trace() == 0
    box.dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, OTHER_CLIENT, 30)))
    records = box.records()
    assert [box.nodes[r.node].name for r in records] == DOWN
    assert sight.Leaf.of(records[2].leaf) == sight.Leaf(32, lib.LEAF_SESSION, 1)
    assert records[-1].data == box.dp.sent(ACC)[0]


def test_a_dropped_packet_shows_the_reason_and_its_bytes(box: Box) -> None:
    assert box.trace() == 0
    packet = lab.udp("203.0.113.9", lab.SERVER)
    box.dp.receive(ACC, lab.session_frame(packet))
    *path, last = box.records()
    assert box.nodes[path[-1].node].name == "antispoof4"
    assert box.nodes[path[-1].node].edges[path[-1].edge] == ("drop", "source-spoofed")
    assert box.nodes[last.node].name == "drop"
    assert (last.flags & LAST, last.data) == (LAST, packet)


def test_a_frame_for_the_kernel_is_followed_to_the_tap(box: Box) -> None:
    assert box.trace() == 0
    arp = lab.ethernet(bytes(46), 0x0806, source=lab.NEIGHBOUR, destination=lab.BROADCAST)
    box.dp.receive(WAN, arp)
    assert box.paths() == [["ethernet_input", "twin_output", "port_output"]]
    assert box.dp.sent(TWIN) == [arp]


def test_a_long_packet_is_cut_and_its_length_told(box: Box) -> None:
    assert box.trace() == 0
    frame = lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 1000))
    box.dp.receive(ACC, frame)
    first = box.records()[0]
    assert (first.data, first.bytes_of) == (frame[: lib.TRACE_BYTES], len(frame))


def test_passwords_of_pap_are_kept_nowhere(box: Box) -> None:
    assert box.trace() == 0
    header = b"\x01\x07\x00\x11"
    request = header + b"\x05alice\x06wonder"
    plain = lab.session_frame(request, 0xC023)
    box.dp.receive(ACC, plain)
    records = box.records()
    assert [box.nodes[r.node].name for r in records] == ["ethernet_input", "pppoe_input", "punt"]
    assert records[0].data == plain[: 14 + 8] + header
    assert records[0].bytes_of == len(plain)
    assert records[-1].data == plain[14 : 14 + 8] + header
    box.dp.bind(3, session_id=4, outer=lab.QINQ[0], inner=lab.QINQ[1], domain=1, domain_page=1)
    box.dp.receive(ACC, lab.session_frame(request, 0xC023, session_id=4, tags=lab.QINQ))
    assert not any(b"wonder" in r.data for r in box.records())


@pytest.mark.parametrize(
    ("filters", "taken"),
    [
        ({}, 4),
        ({"port": WAN}, 1),
        ({"port": ACC}, 3),
        ({"prefix": IPv4Network("100.64.0.1/32")}, 2),
        ({"prefix": IPv4Network("100.64.0.0/24")}, 4),
        ({"prefix": IPv4Network("192.0.2.1/32")}, 4),
        ({"prefix": IPv4Network("192.0.2.2/32")}, 0),
        ({"protocol": 17}, 3),
        ({"protocol": 6}, 0),
        ({"protocol": 1, "prefix": IPv4Network("100.64.0.1/32")}, 1),
        ({"l4_port": 53}, 3),
        ({"l4_port": 4000}, 3),
        ({"l4_port": 54}, 0),
        ({"l4_port": 9}, 1),
        ({"l4_port": 2048}, 0),  # the type and code of an echo request
        ({"l4_port": 53, "protocol": 1}, 0),
    ],
    ids=str,
)
def test_only_what_fits_the_filter_is_marked(box: Box, filters: dict[str, Any], taken: int) -> None:
    assert box.trace(**filters) == 0
    from_other = lab.udp(OTHER_CLIENT, lab.SERVER)
    box.dp.receive(
        ACC,
        UP,
        lab.session_frame(lab.ping(lab.CLIENT_IP, lab.SERVER)),
        lab.session_frame(from_other, session_id=2),
    )
    box.dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, OTHER_CLIENT)))
    assert len(box.paths()) == taken


def test_a_trace_of_a_session_has_both_directions_of_it_alone(box: Box) -> None:
    back = answer(box)
    assert box.trace(session=(0, box.generation)) == 0
    other = lab.session_frame(lab.udp(OTHER_CLIENT, lab.SERVER), session_id=2)
    box.dp.receive(ACC, UP, other)
    box.dp.receive(WAN, back, lab.routed_frame(lab.udp(lab.SERVER, OTHER_CLIENT)))
    through_nat = [*DOWN[:3], "nat44_out2in", *DOWN[3:]]
    assert box.paths() == [NAT_UP, through_nat]


def test_a_trace_of_a_session_finds_it_by_the_fib_and_by_its_vlans(box: Box) -> None:
    generation = box.dp.session(
        2, "100.64.0.3", outer=lab.QINQ[0], inner=lab.QINQ[1], domain=1, domain_page=1
    )
    assert box.trace(session=(2, generation)) == 0
    tagged = lab.session_frame(lab.udp("100.64.0.3", lab.SERVER), session_id=3, tags=lab.QINQ)
    box.dp.receive(ACC, tagged, UP)
    box.dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, "100.64.0.3")))
    assert box.paths() == [[*NAT_UP[:3], *NAT_UP[4:]], DOWN]


def test_an_icmp_error_to_the_session_joins_its_trace_on_the_way(box: Box) -> None:
    box.dp.receive(ACC, UP)
    sent = box.dp.sent(WAN)[0][14:]
    error = IP(src="192.0.2.7", dst=POOL) / ICMP(type=3, code=3) / Raw(sent[:28])
    assert box.trace(session=(0, box.generation)) == 0
    box.dp.receive(WAN, lab.routed_frame(bytes(error)))
    (path,) = box.paths()
    assert path == ["nat44_out2in", *DOWN[3:]]


def test_what_bngd_sends_into_a_session_is_traced(box: Box) -> None:
    assert box.trace(session=(0, box.generation)) == 0
    frame = b"\xc0\x21\x01\x01\x00\x04"
    for session, generation in ((0, box.generation), (1, box.other)):
        head = binding.INJECT.pack(
            binding.INJECT_SESSION, 0, 0, session, generation, 0, 0, 0, 0, b"", 0, 0
        )
        box.dp.push(0, binding.Ring.INJECT, head + frame)
    box.dp.run()
    first, last = box.records()
    assert (box.nodes[first.node].name, first.flags) == ("inject", FIRST | INJECTED)
    assert (box.nodes[last.node].name, last.flags) == ("port_output", LAST)
    assert last.data == box.dp.sent(ACC)[0]


def test_no_more_packets_are_marked_than_asked_for(box: Box) -> None:
    assert box.trace(count=3) == 0
    box.dp.receive(ACC, *[UP] * 5)
    assert len(box.paths()) == 3
    assert box.trace(count=3) == 0  # renewed: still the same trace
    box.dp.receive(ACC, UP)
    assert box.paths() == []
    assert box.trace(number=2, count=3) == 0
    box.dp.receive(ACC, UP)
    assert box.paths() == [NAT_UP]


def test_a_trace_ends_with_its_lease_unless_it_is_renewed(box: Box) -> None:
    assert box.trace() == 0
    box.dp.advance(LEASE_MS / 1000 - 0.5)
    assert box.trace() == 0
    box.dp.advance(LEASE_MS / 1000 - 0.5)
    box.dp.receive(ACC, UP)
    assert box.paths() == [NAT_UP]
    assert box.view.workers[0].tracing == 1
    box.dp.advance(0.6)
    box.dp.receive(ACC, UP)
    assert box.paths() == []
    assert box.view.workers[0].tracing == 0


def test_a_trace_ends_when_it_is_told_to(box: Box) -> None:
    assert box.trace() == 0
    record = sight.trace_off_record()
    assert box.dp.command(record) == 0
    box.dp.receive(ACC, UP)
    assert box.paths() == []


def test_a_trace_ends_with_the_session_it_is_of(box: Box) -> None:
    assert box.trace(session=(1, box.other)) == 0
    for kind in (binding.CommandType.SESSION_CLOSE, binding.CommandType.SESSION_RELEASE):
        assert box.dp.command(lab.command(kind, 1, box.other)) == 0
    box.dp.bind(1, session_id=2)
    box.dp.receive(ACC, lab.session_frame(b"\x01\x01\x00\x04", lab.PPP_LCP, session_id=2))
    assert box.paths() == []
    assert box.view.workers[0].tracing == 0


def test_a_ring_without_room_loses_records_and_counts_them_but_stops_no_packet(box: Box) -> None:
    assert box.trace(count=5000) == 0
    for _ in range(20):
        box.dp.receive(ACC, *[UP] * 100)
    assert len(box.dp.sent(WAN, 2048)) == 2000
    ring = box.view.rings[binding.Ring.TRACE]
    lost = int(ring.full)
    assert lost > 0
    assert len(box.records()) + lost == 2000 * len(NAT_UP)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"count": 0}, -22),
        ({"count": 10001}, -22),
        ({"number": 4096}, -22),
        ({"port": 3}, -22),
        ({"session": (0, 999)}, -116),
        ({"session": (1024, 1)}, -22),
    ],
    ids=str,
)
def test_a_command_that_makes_no_sense_is_refused(
    box: Box, change: dict[str, Any], status: int
) -> None:
    assert box.trace(**change) == status
    box.dp.receive(ACC, UP)
    assert box.paths() == []


def test_a_traced_packet_is_followed_to_the_worker_that_owns_it() -> None:
    args = (*DEFAULT_ARGS, "--workers=-,-")
    with dataplane(*args) as dp:
        view = binding.Dataplane(dp._binding)
        names = sight.nodes(view)
        lab.furnish(dp, worker=1)
        for worker in range(2):
            record = sight.TraceFilter().record(7, 10, LEASE_MS)
            dp.command(record[:16] + (1).to_bytes(8, "little") + record[24:], group=worker)
        dp.receive(ACC, UP)
        paths = [
            [(names[r.node].name, r.packet) for r in sight.trace_records(view, worker)]
            for worker in range(2)
        ]
        (packet,) = {packet for path in paths for _, packet in path}
        assert packet == 7 << 20 | 1
        assert [[name for name, _ in path] for path in paths] == [
            ["ethernet_input", "pppoe_input", "handoff"],
            ["pppoe_input", "antispoof4", "ip4_lookup", "ip4_rewrite", "port_output"],
        ]
