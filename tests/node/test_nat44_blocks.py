"""NAT44 port blocks: limits, exhaustion, the log, and that nothing stays behind."""

import errno
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP

from .harness import FEATURE_IN_NAT44, Frame, ffi, lib
from .nat44 import DELIVERED, INNER, PASSED, PUBLIC, REMOTE, Nat, nat, nat_args, udp, udp_back

LIMIT, EXHAUSTED = "drop: port-limit", "drop: no-free-block"
PLANES, PORTS = 3, 65536


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def slots_in_use(box: Nat) -> int:
    """Count slots that are not as they were at the start, the counts of lines among them."""
    slots = box.dp.section(lib.SECTION_NAT_SLOT, "uint64_t")
    words = memoryview(ffi.buffer(slots, PLANES * PORTS * 16)).cast("Q")
    return len(words) - words.tolist().count(0)


def blocks_in_use(box: Nat) -> int:
    config = box.dp.section(lib.SECTION_NAT_CONFIG, "struct nat_config")[0]
    blocks = box.dp.section(lib.SECTION_NAT_BLOCK, "struct nat_block")
    return sum(1 for i in range(config.blocks_per_address) if blocks[i].session)


def test_the_limit_of_a_subscriber_refuses_with_13_and_touches_nobody_else(box: Nat) -> None:
    external = {box.port_of(port) for port in range(128)}
    assert len(external) == 128
    for _ in range(3):
        frame = box.out(udp(sport=128))
        assert (frame.edge_name, frame.cause, frame.arg) == (LIMIT, 3, 13)
        assert frame.data == bytes(udp(sport=128))
    cold = box.dp.session_cold(0)
    assert (cold.nat_refused, cold.nat_mappings, cold.in_drops[lib.IN_DROP_NAT]) == (3, 128, 3)
    assert box.port_of(128, session=1) not in external
    assert {box.port_of(port) for port in range(128)} == external


def test_an_address_without_free_blocks_refuses_with_1() -> None:
    for box in nat(*nat_args(block_size=4096)):  # 15 blocks: the lowest has the low ports
        for index in range(2, 15):
            generation = box.dp.bind(index)
            box.dp.up(index, generation, f"100.64.0.{index + 1}", nat_address=1)
        with pytest.raises(RuntimeError, match=f"up: -{errno.ENOSPC}"):
            box.dp.up(15, box.dp.bind(15), "100.64.0.16", nat_address=1)
        template = bytearray(bytes(IP(src=INNER[0], dst=REMOTE) / UDP(dport=53, chksum=0)))
        for first in range(0, 4096, 256):
            frames = []
            for port in range(first, first + 256):
                template[20:22] = port.to_bytes(2, "big")
                frames.append(Frame(data=bytes(template), session=0, arc=FEATURE_IN_NAT44))
            assert {f.edge_name for f in box.dp.node("nat44_in2out", frames)} == {PASSED}
        frame = box.out(udp(sport=4096))
        assert (frame.edge_name, frame.cause, frame.arg) == (EXHAUSTED, 3, 1)
        box.release(1)
        assert box.out(udp(sport=4096)).edge_name == PASSED


def test_a_refused_port_is_given_again_when_a_mapping_has_expired(box: Nat) -> None:
    for port in range(128):
        box.port_of(port)
    assert box.out(udp(sport=200)).edge_name == LIMIT
    box.at(300)
    assert box.out(udp(sport=200)).edge_name == PASSED
    assert box.dp.session_cold(0).nat_mappings == 1


def test_every_block_is_logged_when_given_and_when_given_back(box: Nat) -> None:
    ports = {box.port_of(port) for port in range(65)}
    box.release(0)
    box.release(1)
    log = box.log()
    assert [r.sequence for r in log] == list(range(6))
    kinds = Counter(r.type for r in log)
    assert kinds == {lib.NAT_LOG_BLOCK_ALLOCATED: 3, lib.NAT_LOG_BLOCK_RELEASED: 3}
    mine = [r for r in log if r.session == 0]
    logged = {port for r in mine for port in range(r.port_first, r.port_last + 1)}
    assert ports <= logged
    assert len(logged) == 128
    for record in mine:
        assert record.generation == box.generations[0]
        assert record.inner == int.from_bytes(IPv4Address(INNER[0]).packed, "little")
        assert record.outer == int.from_bytes(IPv4Address(PUBLIC).packed, "little")
        assert record.wall_ns > 1_600_000_000 * 10**9


def test_a_full_log_refuses_blocks_and_later_has_no_gap(box: Nat) -> None:
    sequences = [r.sequence for r in box.log()]
    ring = box.dp.section(lib.SECTION_RING, "struct ring")[lib.RING_NAT_LOG]
    ring.size = 1024
    reconnected = 0
    with pytest.raises(RuntimeError, match=f"up: -{errno.ENOSPC}"):
        while reconnected < 100:
            box.release(0)
            box.connect(0)
            reconnected += 1
    assert reconnected > 5
    assert ring.full
    assert box.dp.session_in(0).nat_block == 0
    for port in range(64):
        box.port_of(port, session=1)
    frame = box.out(udp(sport=64, session=1), session=1)
    assert (frame.edge_name, frame.cause, frame.arg) == ("drop: log-full", 3, 1)

    sequences += [r.sequence for r in box.log()]
    assert box.out(udp(sport=64, session=1), session=1).edge_name == PASSED
    box.dp.advance(61)  # the release that found no room is written
    log = box.log()
    sequences += [r.sequence for r in log]
    assert sequences == list(range(len(sequences)))
    assert blocks_in_use(box) == 2


def test_after_all_sessions_ended_every_table_is_empty(box: Nat) -> None:
    address = box.dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0]
    free = address.free_blocks + 2
    for port in range(100):
        box.port_of(port)
        box.port_of(port, session=1)
    box.sent(IP(src=INNER[0], dst=REMOTE) / UDP(sport=1, dport=2))
    assert slots_in_use(box) > 200
    assert blocks_in_use(box) == 4
    box.release(0)
    box.release(1)
    assert slots_in_use(box) == 0
    assert blocks_in_use(box) == 0
    assert address.free_blocks == free
    assert box.dp.session_in(0).nat_block == 0


def test_a_closed_session_gets_nothing_and_keeps_its_blocks_until_release(box: Nat) -> None:
    external = box.port_of(5000)
    box.close(0)
    assert box.back(udp_back(external)).edge_name == "drop: session-not-live"
    assert blocks_in_use(box) == 2
    box.release(0)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"
    assert blocks_in_use(box) == 1


def test_a_new_session_in_the_same_place_gets_nothing_of_the_old_ones(box: Nat) -> None:
    external = {box.port_of(port) for port in range(60)}
    box.release(0)
    box.connect(0)
    for port in external:
        assert box.back(udp_back(port)).edge_name == "drop: no-mapping"
    # nor if the table were left behind: the block says for which session it was given
    fresh = box.port_of(5000)
    assert box.back(udp_back(fresh)).edge_name == DELIVERED
    block = box.dp.session_in(0).nat_block - 1
    box.dp.section(lib.SECTION_NAT_BLOCK, "struct nat_block")[block].generation -= 1
    assert box.back(udp_back(fresh)).edge_name == "drop: session-not-live"
    box.dp.section(lib.SECTION_NAT_BLOCK, "struct nat_block")[block].generation += 1
