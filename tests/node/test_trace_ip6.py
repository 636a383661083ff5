"""Packet trace of IPv6: addresses and ports in every record, and filters that look at them."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.packet import Raw

from dataplane import binding, sight

from . import lab, lab6
from .harness import ACC, DEFAULT_ARGS, WAN, Dataplane, dataplane, lib

LEASE_MS = 3000
UP = ["ethernet_input", "pppoe_input", "pppoe6_input", "antispoof6", "ip6_lookup", "ip6_rewrite"]
UP += ["port_output"]
DOWN = ["ethernet_input", "ip6_input", "ip6_lookup", "session6_output", "pppoe6_output"]
DOWN += ["port_output"]
FRAME = lab.session_frame(lab6.FRAME, lab6.PPP_IP6)
BACK = lab6.routed_frame(lab6.udp(lab6.SERVER, lab6.CLIENT))


class Box:
    """A dataplane with session 0, and a view of its arena."""

    def __init__(self, dp: Dataplane) -> None:
        self.dp = dp
        self.view = binding.Dataplane(dp._binding)
        self.names = [node.name for node in sight.nodes(self.view)]
        self.generation = lab6.furnish(dp)

    def trace(self, **filters: Any) -> int:
        record = sight.TraceFilter(**filters).record(1, 100, LEASE_MS)
        return self.dp.command(record[:16] + (1).to_bytes(8, "little") + record[24:])

    def records(self) -> list[sight.TraceRecord]:
        return sight.trace_records(self.view, 0)


@pytest.fixture
def box() -> Iterator[Box]:
    with dataplane(*DEFAULT_ARGS) as dp:
        yield Box(dp)


def flow(record: sight.TraceRecord) -> tuple[str, str, int, int]:
    assert record.flags & lib.TRACE_HAS_TUPLE
    source, destination = ip_address(record.source), ip_address(record.destination)
    ports = record.source_port + record.destination_port
    return str(source), str(destination), int.from_bytes(ports, "big"), record.protocol


@pytest.mark.parametrize(("port", "frame", "path"), [(ACC, FRAME, UP), (WAN, BACK, DOWN)])
def test_every_node_tells_of_the_addresses(
    box: Box, port: int, frame: bytes, path: list[str]
) -> None:
    assert box.trace() == 0
    box.dp.receive(port, frame)
    records = box.records()
    assert [box.names[r.node] for r in records] == path
    ends = (lab6.CLIENT, lab6.SERVER) if port == ACC else (lab6.SERVER, lab6.CLIENT)
    known = [r for r in records if r.flags & lib.TRACE_IP6]
    assert len(known) >= len(path) - 2  # all that see the IPv6 header or a whole frame
    assert {flow(r) for r in known} == {(*ends, 4000 << 16 | 53, 17)}
    assert records[0].data == frame
    assert records[-1].data[-len(lab6.FRAME) :][8:] == frame[-len(lab6.FRAME) :][8:]
    assert records[-1].ttl == 63


@pytest.mark.parametrize(
    ("filters", "packets"),
    [
        ({"prefix": IPv6Network(f"{lab6.CLIENT}/128")}, 2),
        ({"prefix": IPv6Network("2a02::/15")}, 2),
        ({"prefix": IPv6Network("2a02::/64")}, 2),
        ({"prefix": IPv6Network("2a02::2/128")}, 0),
        ({"prefix": IPv6Network("2a02:0:0:1::/64")}, 0),
        ({"prefix": IPv4Network("100.64.0.0/10")}, 1),
        ({"protocol": 17}, 3),
        ({"l4_port": 53}, 3),
        ({"l4_port": 54}, 0),
        ({"protocol": 58}, 0),
        ({"port": WAN}, 1),
        ({"session": (0, 1)}, 3),
    ],
)
def test_a_filter_sees_both_families(box: Box, filters: dict[str, Any], packets: int) -> None:
    assert box.trace(**filters) == 0
    box.dp.receive(ACC, FRAME, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
    box.dp.receive(WAN, BACK)
    assert len({record.packet for record in box.records()}) == packets


def test_ports_are_found_behind_extension_headers_and_not_in_later_fragments(box: Box) -> None:
    base = IPv6(src=lab6.CLIENT, dst=lab6.SERVER)
    packets = [
        base / IPv6ExtHdrDestOpt() / TCP(sport=7, dport=80),
        base / IPv6ExtHdrFragment(offset=5, nh=6) / Raw(bytes(24)),
        base / ICMPv6EchoRequest(id=0x1234),
        base / Raw(bytes(3)),
    ]
    assert box.trace() == 0
    box.dp.receive(ACC, *(lab.session_frame(bytes(p), lab6.PPP_IP6) for p in packets))
    last = [r for r in box.records() if r.flags & lib.TRACE_LAST]
    assert [flow(r)[2:] for r in sorted(last, key=lambda r: r.packet)] == [
        (7 << 16 | 80, 6),
        (0, 6),
        (0x1234_8000, 58),
        (0, 59),
    ]


def test_the_id_of_a_ping_is_no_port_of_its_destination(box: Box) -> None:
    ping = IPv6(src=lab6.CLIENT, dst=lab6.SERVER) / ICMPv6EchoRequest(id=7)
    assert box.trace(l4_port=0x8000) == 0
    box.dp.receive(ACC, lab.session_frame(bytes(ping), lab6.PPP_IP6))
    assert box.records() == []
    assert box.trace(l4_port=7) == 0
    box.dp.receive(ACC, lab.session_frame(bytes(ping), lab6.PPP_IP6))
    assert len(box.records()) == len(UP)


def test_a_prefix_longer_than_an_address_is_refused(box: Box) -> None:
    record = bytearray(sight.TraceFilter().record(1, 100, LEASE_MS))
    record[24 + 36] = 129
    assert box.dp.command(bytes(record[:16]) + (1).to_bytes(8, "little") + bytes(record[24:])) < 0
