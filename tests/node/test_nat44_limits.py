"""What a subscriber may have (RFC 6888 REQ-4), and how long freed ports rest (REQ-8)."""

from collections.abc import Iterator
from typing import Any

import pytest

from dataplane import binding
from dataplane.binding import EventType, NatRefusal, NatSet

from .harness import lib
from .nat44 import PASSED, Nat, nat, nat_args, tcp, udp

USABLE = 15  # blocks of 4096 ports from port 1024 on
SMALL = nat_args(block_size=4096, blocks=1)


@pytest.fixture
def few() -> Iterator[Nat]:
    yield from nat(*nat_args(), "--nat-session-mappings=10")


@pytest.fixture
def slow() -> Iterator[Nat]:
    yield from nat(*nat_args(), "--nat-mappings-per-s=5")


@pytest.fixture
def resting() -> Iterator[Nat]:
    yield from nat(*SMALL, "--nat-quarantine=120", "--nat-quarantine-percent=100")


def tell(box: Nat, **wanted: Any) -> int:
    return box.dp.control(binding.nat_set_record(1, NatSet(**wanted)))


def ask(box: Nat, port: int, session: int = 0) -> str:
    """Return the edge that a UDP packet from *port* takes; a refusal must be reported right."""
    packet = udp(sport=port, session=session)
    frame = box.out(packet, session)
    if frame.edge_name != PASSED:
        assert frame.data == bytes(packet)
        assert frame.cause == 3
    return frame.edge_name


def refusals(box: Nat) -> list[tuple[int, NatRefusal]]:
    events = box.dp.events()
    assert all(e.type == EventType.NAT_REFUSED for e in events)
    return [(e.session, NatRefusal(e.arg)) for e in events]


def pool(box: Nat) -> Any:
    return box.dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0]


def block_of(box: Nat, session: int = 0) -> int:
    return int(box.dp.session_in(session).nat_block)


def test_a_subscriber_has_so_many_mappings_and_no_more(few: Nat) -> None:
    assert [ask(few, port) for port in range(9)] == [PASSED] * 9
    few.sent(tcp("S"))  # those of all protocols count
    assert ask(few, 100) == "drop: mapping-limit"
    assert few.out(udp(sport=100)).arg == 13
    assert ask(few, 3) == PASSED
    assert ask(few, 100, session=1) == PASSED
    assert few.dp.session_cold(0).nat_refused == 2
    assert few.dp.session_cold(0).in_drops[lib.IN_DROP_NAT] == 2
    assert few.dp.counters()["nat44_in2out/drop: mapping-limit"] == 2


def test_mappings_whose_time_is_over_do_not_count(few: Nat) -> None:
    for port in range(10):
        ask(few, port)
    few.at(299)
    assert ask(few, 100) == "drop: mapping-limit"
    few.at(300)
    assert ask(few, 100) == PASSED
    assert few.dp.session_cold(0).nat_mappings == 1


def test_bngd_hears_of_refusals_once_a_minute_for_each_subscriber(few: Nat) -> None:
    for session in (0, 1):
        for port in range(20):
            ask(few, port, session)
    assert refusals(few) == [(0, NatRefusal.MAPPINGS), (1, NatRefusal.MAPPINGS)]
    few.at(59)
    ask(few, 100)
    assert refusals(few) == []
    few.at(60)
    ask(few, 101)
    assert refusals(few) == [(0, NatRefusal.MAPPINGS)]


def test_new_mappings_come_at_a_rate(slow: Nat) -> None:
    assert [ask(slow, port) for port in range(5)] == [PASSED] * 5
    assert ask(slow, 5) == "drop: mapping-rate"
    assert slow.out(udp(sport=5)).arg == 13
    assert ask(slow, 0) == PASSED  # what is there goes on
    assert ask(slow, 5, session=1) == PASSED
    slow.at(0.2)
    assert [ask(slow, port) for port in (5, 6)] == [PASSED, "drop: mapping-rate"]
    slow.at(100)
    assert [ask(slow, port) for port in range(10, 16)] == [PASSED] * 5 + ["drop: mapping-rate"]
    assert refusals(slow) == [(0, NatRefusal.RATE), (0, NatRefusal.RATE)]


def test_limits_change_live(few: Nat) -> None:
    for port in range(10):
        ask(few, port)
    assert ask(few, 10) == "drop: mapping-limit"
    assert tell(few) == 0
    assert ask(few, 10) == PASSED
    assert tell(few, mappings_per_s=1) == 0
    few.at(1)
    assert [ask(few, port) for port in (11, 12)] == [PASSED, "drop: mapping-rate"]
    assert tell(few, mappings_per_s=1_000_001) == -22
    assert tell(few, quarantine_percent=101) == -22


def test_a_new_session_begins_with_nothing_used_up(slow: Nat) -> None:
    for port in range(6):
        ask(slow, port)
    slow.release(0)
    assert slow.dp.session_cold(0).nat_mappings == 0
    slow.connect(0)
    assert [ask(slow, port) for port in range(6)] == [PASSED] * 5 + ["drop: mapping-rate"]


def test_ports_given_back_rest_before_they_are_anothers(resting: Nat) -> None:
    first = block_of(resting)
    resting.release(0)
    assert pool(resting).resting_blocks == 1
    seen = set()
    for _ in range(USABLE - 2):
        resting.connect(0)
        seen.add(block_of(resting))
        resting.release(0)
    assert first not in seen
    assert (pool(resting).free_blocks, pool(resting).resting_blocks) == (0, USABLE - 1)
    with pytest.raises(RuntimeError, match="-28"):
        resting.connect(0)
    resting.at(119)
    resting.generations[0] = resting.dp.bind(2, session_id=77)
    with pytest.raises(RuntimeError, match="-28"):
        resting.dp.up(2, resting.generations[0], "100.64.0.9", nat_address=1, features_in=1 << 9)
    resting.at(120)
    resting.dp.up(2, resting.generations[0], "100.64.0.9", nat_address=1, features_in=1 << 9)
    assert block_of(resting, 2) == first


def test_the_sweep_finds_blocks_that_have_rested(resting: Nat) -> None:
    free = pool(resting).free_blocks
    resting.release(0)
    resting.release(1)
    resting.at(119)
    resting.dp.run()
    assert pool(resting).resting_blocks == 2
    resting.dp.advance(62)
    assert (pool(resting).resting_blocks, pool(resting).free_blocks) == (0, free + 2)


def test_no_more_than_a_share_of_the_blocks_rests() -> None:
    for box in nat(*SMALL, "--nat-quarantine=120"):
        for _ in range(40):
            box.release(0)
            box.connect(0)
        assert pool(box).resting_blocks == 8  # half of 16


def test_the_rest_ends_live(resting: Nat) -> None:
    resting.release(0)
    assert tell(resting, quarantine_s=0) == 0
    resting.release(1)
    assert pool(resting).resting_blocks == 0
    assert pool(resting).free_blocks == USABLE


def test_an_address_without_a_free_block_is_reported() -> None:
    for box in nat(*nat_args(block_size=4096, blocks=64)):
        for n in range(2, USABLE):
            generation = box.dp.bind(n)
            box.dp.up(n, generation, f"100.64.1.{n}", nat_address=1, features_in=1 << 9)
        for port in range(4096):
            assert ask(box, port) == PASSED
        assert ask(box, 5000) == "drop: no-free-block"
        assert box.out(udp(sport=5000)).arg == 1
        assert refusals(box) == [(0, NatRefusal.EXHAUSTED)]
