"""Each mapping on record (RFC 6888 REQ-12): its begin and end, and nothing that is not."""

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane import binding
from dataplane.binding import NatLogType, NatRefusal, NatSet

from .harness import lib
from .nat44 import INNER, PASSED, PUBLIC, REMOTE, Nat, nat, nat_args, tcp, udp

FULL = "drop: log-full"


@pytest.fixture
def box() -> Iterator[Nat]:
    for one in nat(*nat_args(), "--nat-log-mib=1"):
        assert tell(one, log_mappings=True) == 0
        one.log()
        yield one


def tell(box: Nat, **wanted: Any) -> int:
    return box.dp.control(binding.nat_set_record(1, NatSet(**wanted)))


def mappings(box: Nat) -> list[tuple[NatLogType, int, int, int]]:
    """Take the log: (type, protocol, inner port, outer port) of mappings."""
    log = box.log()
    for record in log:
        assert record.inner.to_bytes(4, "little") == bytes(map(int, INNER[0].split(".")))
        assert record.outer.to_bytes(4, "little") == bytes(map(int, PUBLIC.split(".")))
        assert record.session == 0
        assert record.generation == box.generations[0]
        assert record.port_first == record.port_last
    return [(NatLogType(r.type), r.protocol, r.inner_port, r.port_first) for r in log]


def fill_the_log(box: Nat) -> Any:
    """Leave no room; the ring that is returned has some again once its size is put back."""
    ring = box.dp.section(lib.SECTION_RING, "struct ring")[lib.RING_NAT_LOG]
    assert ring.size == 1 << 20
    ring.size = 8
    return ring


def test_begin_and_end_of_mappings_of_all_protocols_are_logged(box: Nat) -> None:
    outer_tcp = box.sent(tcp("S", sport=6000))[TCP].sport
    outer_udp = box.port_of(5000)
    echo = IP(src=INNER[0], dst=REMOTE) / ICMP(id=77)
    outer_icmp = box.sent(echo)[ICMP].id
    box.sent(udp(sport=5000, dport=54))
    assert mappings(box) == [
        (NatLogType.MAPPING_CREATED, 6, 6000, outer_tcp),
        (NatLogType.MAPPING_CREATED, 17, 5000, outer_udp),
        (NatLogType.MAPPING_CREATED, 1, 77, outer_icmp),
    ]
    box.dp.advance(361)
    assert sorted(mappings(box)) == [
        (NatLogType.MAPPING_DELETED, 1, 77, outer_icmp),
        (NatLogType.MAPPING_DELETED, 6, 6000, outer_tcp),
        (NatLogType.MAPPING_DELETED, 17, 5000, outer_udp),
    ]


def test_a_mapping_that_is_made_anew_ends_first(box: Nat) -> None:
    first = box.port_of(5000)
    box.at(301)
    second = box.port_of(5000)
    assert mappings(box) == [
        (NatLogType.MAPPING_CREATED, 17, 5000, first),
        (NatLogType.MAPPING_DELETED, 17, 5000, first),
        (NatLogType.MAPPING_CREATED, 17, 5000, second),
    ]


def test_without_room_in_the_log_no_mapping_begins_and_none_ends(box: Nat) -> None:
    external = box.port_of(5000)
    ring = fill_the_log(box)
    frame = box.out(udp(sport=5001))
    assert (frame.edge_name, frame.cause, frame.arg) == (FULL, 3, 1)
    assert box.out(udp(sport=5000)).edge_name == PASSED, "what is there goes on"
    assert [NatRefusal(e.arg) for e in box.dp.events()] == [NatRefusal.LOG_FULL]
    box.at(301)
    frame = box.out(udp(sport=5000))
    assert (frame.edge_name, frame.cause, frame.arg) == (FULL, 3, 1)
    assert box.dp.session_cold(0).nat_refused == 2
    assert box.dp.session_cold(0).nat_mappings == 1

    ring.size = 1 << 20
    assert box.port_of(5001) != external
    box.dp.advance(361)
    assert [kind.name for kind, *_ in mappings(box)] == [
        *("MAPPING_CREATED", "MAPPING_CREATED"),
        *("MAPPING_DELETED", "MAPPING_DELETED"),
    ]


def tunnel(remote: str = REMOTE) -> IP:
    return IP(src=INNER[0], dst=remote, proto=47) / bytes(8)


def test_begin_and_end_of_a_flow_without_ports_are_logged(box: Nat) -> None:
    box.sent(tunnel())
    assert mappings(box) == [(NatLogType.MAPPING_CREATED, 47, 0, 0)]
    box.at(300)
    box.sent(tunnel())
    assert [kind.name for kind, *_ in mappings(box)] == ["MAPPING_DELETED", "MAPPING_CREATED"]
    box.dp.advance(361)
    assert mappings(box) == [(NatLogType.MAPPING_DELETED, 47, 0, 0)]


def test_without_room_in_the_log_no_flow_without_ports_begins_and_none_ends(box: Nat) -> None:
    box.sent(tunnel())
    ring = fill_the_log(box)
    frame = box.out(tunnel("192.0.2.1"))
    assert (frame.edge_name, frame.cause, frame.arg) == (FULL, 3, 1)
    assert box.out(tunnel()).edge_name == PASSED
    box.dp.advance(361)
    assert box.out(tunnel()).edge_name == FULL
    assert box.dp.session_cold(0).nat_mappings == 1

    ring.size = 1 << 20
    box.dp.advance(61)
    assert [kind.name for kind, *_ in mappings(box)] == ["MAPPING_CREATED", "MAPPING_DELETED"]
    assert box.dp.session_cold(0).nat_mappings == 0


def test_mappings_are_logged_from_now_on_or_no_more(box: Nat) -> None:
    assert tell(box, log_mappings=False) == 0
    external = box.port_of(5000)
    assert mappings(box) == []
    assert tell(box, log_mappings=True) == 0
    box.at(301)
    box.sent(IP(src=INNER[0], dst=REMOTE) / UDP(sport=5000, dport=53))
    deleted, created = mappings(box)
    assert deleted == (NatLogType.MAPPING_DELETED, 17, 5000, external)
    assert created[0] == NatLogType.MAPPING_CREATED
    body = binding.NAT_SET.pack(0, 1, 0, 0, 0, 50, 2)
    kind = binding.CommandType.NAT_SET
    assert box.dp.control(binding.COMMAND.pack(kind, 0, 0, 0, 0, 1, body)) == -22
