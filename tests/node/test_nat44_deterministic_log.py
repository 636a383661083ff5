"""Mappings of a deterministic subscriber on record: his block names them, and ends them."""

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP

from dataplane import binding
from dataplane.binding import CommandType, NatLogType, NatSet, Ring

from .harness import DEFAULT_ARGS, FEATURE_IN_NAT44, dataplane, lib
from .nat44 import INNER, PUBLIC, REMOTE, Nat

ARGS = (*DEFAULT_ARGS, f"--nat-address={PUBLIC},deterministic", "--nat-block-size=64")
FIRST, BLOCKS = 21, 2
NAMED, ENDED = NatLogType.BLOCK_ALLOCATED, NatLogType.BLOCK_RELEASED
CREATED, DELETED = NatLogType.MAPPING_CREATED, NatLogType.MAPPING_DELETED


@pytest.fixture
def box() -> Iterator[Nat]:
    with dataplane(*ARGS, "--nat-log-mib=1") as dp:
        one = Nat(dp, [0, 0])
        one.at(0)
        assert up(one) == 0
        assert tell(one, log_mappings=True) == 0
        yield one


def up(box: Nat) -> int:
    """Give session 0 its two blocks; a second time with a new generation."""
    box.generations[0] = generation = box.dp.bind(0)
    inner = bytes(map(int, INNER[0].split(".")))
    body = binding.UP.pack(inner, 1, FEATURE_IN_NAT44, 0, 1492, 1492, 0, 0, FIRST, BLOCKS)
    record = binding.COMMAND.pack(CommandType.SESSION_UP, 0, 0, generation, 0, 1, body)
    return box.dp.command(record)


def tell(box: Nat, **wanted: Any) -> int:
    return box.dp.control(binding.nat_set_record(1, NatSet(**wanted)))


def log(box: Nat) -> list[tuple[NatLogType, int]]:
    """Take the log: (type, first port)."""
    return [(NatLogType(record.type), record.port_first) for record in box.log()]


def first_port(block: int) -> int:
    return (FIRST - 1 + block) * 64


def used_blocks(box: Nat) -> int:
    return int(box.dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0].used_blocks)


def test_the_first_mapping_names_the_block_and_the_end_of_the_session_ends_both(box: Nat) -> None:
    one, two = box.port_of(5000), box.port_of(5001)
    assert log(box) == [(NAMED, first_port(0)), (CREATED, one), (CREATED, two)]
    box.release(0)
    assert log(box) == [(ENDED, first_port(0))]
    assert used_blocks(box) == 0


def test_each_block_is_named_for_itself(box: Nat) -> None:
    for inner in range(65):
        box.port_of(5000 + inner)
    named = [port for kind, port in log(box) if kind is NAMED]
    assert named == [first_port(0), first_port(1)]
    box.release(0)
    assert log(box) == [(ENDED, first_port(0)), (ENDED, first_port(1))]


def test_a_mapping_that_ends_before_the_session_has_its_own_record(box: Nat) -> None:
    port = box.port_of(5000)
    box.dp.advance(361)
    assert log(box) == [(NAMED, first_port(0)), (CREATED, port), (DELETED, port)]
    box.release(0)
    assert log(box) == [(ENDED, first_port(0))]


def test_a_flow_without_ports_names_the_first_block(box: Nat) -> None:
    box.sent(IP(src=INNER[0], dst=REMOTE, proto=47) / bytes(8))
    assert log(box) == [(NAMED, first_port(0)), (CREATED, 0)]
    box.release(0)
    assert log(box) == [(ENDED, first_port(0))]


def test_what_was_on_record_ends_there_though_mappings_are_logged_no_more(box: Nat) -> None:
    box.port_of(5000)
    log(box)
    assert tell(box, log_mappings=False) == 0
    box.port_of(5001)
    box.release(0)
    assert log(box) == [(ENDED, first_port(0))]


def test_without_mappings_on_record_nothing_is(box: Nat) -> None:
    assert tell(box, log_mappings=False) == 0
    box.port_of(5000)
    box.release(0)
    assert box.dp.pop(0, Ring.NAT_LOG) == []
    assert up(box) == 0, "the blocks are free"


def test_without_room_in_the_log_there_is_no_mapping_and_the_blocks_wait(box: Nat) -> None:
    ring = box.dp.section(lib.SECTION_RING, "struct ring")[lib.RING_NAT_LOG]
    size = ring.size
    ring.size = 8
    refused = box.out(IP(src=INNER[0], dst=REMOTE, proto=47) / bytes(8))
    assert refused.edge_name == "drop: log-full"
    ring.size = size
    box.port_of(5000)
    log(box)
    ring.size = 8
    box.release(0)
    assert used_blocks(box) == 1
    assert up(box) == -errno.EEXIST
    ring.size = size
    box.dp.advance(61)
    assert log(box) == [(ENDED, first_port(0))]
    assert used_blocks(box) == 0
