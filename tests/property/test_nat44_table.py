"""The NAT44 mapping table against a dictionary, and its invariants counted anew.

The table's C files are built alone (tests/support/nat44_table.py); a packet never appears here, see
tests/node/test_nat44*.py for that.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.nat44_table import Table, nat44_table

TCP, UDP, ICMP = range(3)
TIMEOUT_S = (240, 300, 60)  # TCP is transitory: the table alone sees no handshake
LIMIT, EXHAUSTED, LOG_FULL = -1, -2, -3
ALLOCATED, RELEASED, CREATED, DELETED = 1, 2, 3, 4


@pytest.fixture
def make() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(nat44_table(**options))


@dataclass(slots=True)
class Mapping:
    """What the model knows of one mapping."""

    external: int
    last_s: int


@dataclass(slots=True)
class Model:
    """A dictionary that does what the table promises."""

    table: Table
    address_of: dict[int, int] = field(default_factory=dict)
    mappings: dict[tuple[int, int, int], Mapping] = field(default_factory=dict)
    now_s: int = 1
    refusals: int = 0

    def live(self, session: int, plane: int, port: int) -> Mapping | None:
        mapping = self.mappings.get((session, plane, port))
        if mapping and self.now_s - mapping.last_s < TIMEOUT_S[plane]:
            return mapping
        return None

    def count(self, session: int, plane: int) -> int:
        return sum(
            1
            for s, p, port in self.mappings
            if (s, p) == (session, plane) and self.live(s, p, port)
        )

    def map(self, session: int, plane: int, port: int) -> None:
        known = self.live(session, plane, port)
        external = self.table.map(session, plane, port)
        if external < 0:
            assert known is None, "a live mapping was refused"
            assert external == LIMIT
            full = self.table.block_size * self.table.blocks_per_session
            assert self.count(session, plane) == full, "refused, though a port was free"
            self.refusals += 1
            return
        if known:
            assert external == known.external, "endpoint-independent mapping changed its port"
        self.mappings[session, plane, port] = Mapping(external, self.now_s)

    def drop(self, session: int) -> None:
        self.table.down(session)
        self.address_of.pop(session, None)
        for key in [key for key in self.mappings if key[0] == session]:
            del self.mappings[key]

    def compare(self) -> None:
        """Both directions of every live mapping, and no external port twice."""
        seen = set()
        for (session, plane, port), mapping in self.mappings.items():
            if not self.live(session, plane, port):
                continue
            address = self.address_of[session]
            assert self.table.find(session, plane, port) == mapping.external
            inside = self.table.inside(address, plane, mapping.external)
            assert inside == session << 16 | port
            assert (address, plane, mapping.external) not in seen
            seen.add((address, plane, mapping.external))


def step(model: Model, rng: random.Random, ports: int) -> None:
    """One random operation; sessions 0..7 exist, address = session % 2."""
    session = rng.randrange(8)
    action = rng.random()
    if session not in model.address_of:
        assert model.table.up(session, session % 2) != 0
        model.address_of[session] = session % 2
    if action < 0.95:
        # session 0 asks for more than it may have, the others stay below
        span = ports if session == 0 else ports // 4
        model.map(session, rng.randrange(3), rng.randrange(span))
    elif action < 0.99:
        plane, port = rng.randrange(3), rng.randrange(ports)
        if mapping := model.live(session, plane, port):
            model.table.delete(model.address_of[session], plane, mapping.external)
            del model.mappings[session, plane, port]
    elif action < 0.998:
        model.now_s += 1
        model.table.time(model.now_s)
    elif action < 0.9995:
        model.table.sweep_all()
    else:
        model.drop(session)


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_thousand_random_operations_agree_with_a_dictionary(make: Any, seed: int) -> None:
    table = make(addresses=2, seed=seed + 1)
    model = Model(table)
    table.time(model.now_s)
    rng = random.Random(seed)
    for i in range(100_000):
        step(model, rng, ports=320)
        if i % 5_000 == 0:
            assert table.check() == 0
            model.compare()
    assert table.check() == 0
    model.compare()
    assert model.refusals > 100, "the run never filled a subscriber's blocks"
    for session in range(8):
        model.drop(session)
    assert table.is_zero()
    assert table.check() == 0
    assert table.logged(ALLOCATED) == table.logged(RELEASED) > 8


def test_all_ports_of_four_blocks_are_given_and_then_none(make: Any) -> None:
    table = make(block_size=512, blocks=4)
    table.time(1)
    assert table.up(0, 0)
    external = {table.map(0, UDP, port) for port in range(10_000, 12_048)}
    assert len(external) == 2048
    assert min(external) >= 1024
    assert table.blocks(0) == 4
    assert table.map(0, UDP, 9_999) == LIMIT
    assert table.check() == 0
    # the planes are apart: TCP has all of its ports still
    assert len({table.map(0, TCP, port) for port in range(2048)}) == 2048
    assert table.map(0, TCP, 9_999) == LIMIT
    # whoever is refused may have the port of what expired since, without a sweep
    table.time(301)
    assert table.map(0, UDP, 9_999) >= 1024
    assert table.mappings(0) == 2048 + 1
    assert table.check() == 0


def test_deleting_in_any_order_leaves_no_count_behind(make: Any) -> None:
    table = make(blocks=4)
    table.time(1)
    table.up(0, 0)
    external = [table.map(0, TCP, port) for port in range(256)]
    random.Random(5).shuffle(external)
    for port in external:
        table.delete(0, TCP, port)
    assert table.is_zero()
    assert table.check() == 0


def test_the_port_chosen_is_not_foreseen_from_the_inner_port(make: Any) -> None:
    chosen = set()
    for seed in range(64):
        table = make(seed=seed + 1)
        table.time(1)
        table.up(0, 0)
        chosen.add(table.map(0, UDP, 5000))
    assert len(chosen) > 55


def test_an_empty_extra_block_is_given_back_and_the_first_is_kept(make: Any) -> None:
    table = make()
    table.time(1)
    table.up(0, 0)
    free = table.free_blocks(0)
    for port in range(65):
        table.map(0, ICMP, port)
    assert table.blocks(0) == 2
    assert table.free_blocks(0) == free - 1
    table.time(61)
    table.sweep_all()
    assert table.blocks(0) == 1
    assert table.free_blocks(0) == free
    assert (table.logged(ALLOCATED), table.logged(RELEASED)) == (2, 1)
    assert table.mappings(0) == 0
    assert table.check() == 0


def test_a_middle_block_that_empties_leaves_the_mappings_behind_it_reachable(make: Any) -> None:
    table = make(blocks=3)
    table.time(1)
    table.up(0, 0)
    ports = {port: table.map(0, UDP, port) for port in range(192)}
    first, middle, last = (sorted({p // 64 for p in list(ports.values())[i : i + 64]})
                           for i in (0, 64, 128))  # fmt: skip
    assert len(first) == len(middle) == len(last) == 1
    table.time(200)
    for port in [*range(64), *range(128, 192)]:
        assert table.map(0, UDP, port) == ports[port]
    table.time(350)
    table.sweep_all()
    assert table.blocks(0) == 2
    assert table.check() == 0
    for port in range(128, 192):
        assert table.find(0, UDP, port) == ports[port]
    assert table.find(0, UDP, 64) == -1


def test_an_address_without_blocks_refuses_and_a_release_makes_room(make: Any) -> None:
    table = make(block_size=4096, sessions=32, blocks=2)  # 15 blocks: the lowest has port 0
    table.time(1)
    for session in range(15):
        assert table.up(session, 0)
    assert table.up(15, 0) == 0
    for port in range(4096):
        table.map(0, UDP, port)
    assert table.map(0, UDP, 4096) == EXHAUSTED
    table.down(3)
    assert table.map(0, UDP, 4096) >= 4096
    assert table.check() == 0


def test_a_released_block_rests_longest(make: Any) -> None:
    table = make(block_size=4096, sessions=2)
    table.time(1)
    first = table.up(0, 0)
    table.down(0)
    others = []
    for _ in range(14):
        others.append(table.up(0, 0))
        table.down(0)
    assert first not in others
    assert len(set(others)) == 14
    assert table.up(0, 0) == first


def test_nothing_is_given_that_cannot_be_logged(make: Any) -> None:
    table = make()
    table.time(1)
    table.up(0, 0)
    for port in range(64):
        table.map(0, UDP, port)
    free = table.free_blocks(0)
    table.log_full(True)
    assert table.up(1, 0) == 0
    assert table.map(0, UDP, 64) == LOG_FULL
    assert table.free_blocks(0) == free
    assert table.check() == 0


def test_a_release_waits_until_the_log_has_room(make: Any) -> None:
    table = make()
    table.time(1)
    free = table.free_blocks(0)
    table.up(0, 0)
    external = table.map(0, UDP, 7)
    table.log_full(True)
    table.down(0)
    assert table.is_zero()
    assert table.inside(0, UDP, external) == -1
    assert table.free_blocks(0) == free - 1
    table.log_full(False)
    table.sweep_all()
    assert table.free_blocks(0) == free
    assert (table.logged(ALLOCATED), table.logged(RELEASED)) == (1, 1)
    assert table.check() == 0


def test_every_mapping_is_on_record_when_the_log_is_to_have_them(make: Any) -> None:
    table = make(addresses=2)
    table.log_mappings(True)
    model = Model(table)
    table.time(model.now_s)
    rng = random.Random(7)
    for session in range(8):
        assert table.up(session, session % 2)
        model.address_of[session] = session % 2
    for _ in range(20_000):
        if rng.random() < 0.01:
            model.now_s += 20
            table.time(model.now_s)
            table.sweep_all()
        model.map(rng.randrange(8), rng.randrange(3), rng.randrange(60))
    live = sum(table.mappings(session) for session in range(8))
    assert table.logged(DELETED) > 1_000
    assert table.logged(CREATED) - table.logged(DELETED) == live > 0
    model.compare()


def test_a_mapping_that_cannot_be_logged_is_not_made_and_not_ended(make: Any) -> None:
    table = make()
    table.log_mappings(True)
    table.time(1)
    table.up(0, 0)
    external = table.map(0, UDP, 7)
    table.log_full(True)
    assert table.map(0, UDP, 8) == LOG_FULL
    assert table.mappings(0) == 1
    assert table.check() == 0
    assert not table.delete(0, UDP, external)
    table.time(301)
    table.sweep_all()
    assert table.find(0, UDP, 7) == external
    assert table.inside(0, UDP, external) == -1, "its time is over, whatever the log says"
    assert table.map(0, UDP, 7) == LOG_FULL
    table.log_full(False)
    table.sweep_all()
    assert table.find(0, UDP, 7) == -1
    assert table.map(0, UDP, 8) > 0
    assert (table.logged(CREATED), table.logged(DELETED)) == (2, 1)
    assert table.check() == 0


def test_the_release_of_a_block_ends_its_mappings_without_a_record_of_each(make: Any) -> None:
    table = make()
    table.log_mappings(True)
    table.time(1)
    table.up(0, 0)
    for port in range(65):
        table.map(0, UDP, port)
    table.down(0)
    assert (table.logged(CREATED), table.logged(DELETED)) == (65, 0)
    assert (table.logged(ALLOCATED), table.logged(RELEASED)) == (2, 2)
    assert table.is_zero()


def test_no_block_below_the_lowest_port_is_ever_given(make: Any) -> None:
    table = make(block_size=64, port_min=1000, sessions=1100, blocks=1)
    table.time(1)
    given = 0
    while table.up(given, 0):
        external = table.map(given, TCP, 1)
        assert external >= 1024  # 1000 rounded up to a block
        given += 1
    assert given == 1024 - 16


def test_addresses_of_others_give_no_block(make: Any) -> None:
    table = make(addresses=2)
    assert table.up(0, 2) == 0
    assert table.up(0, 1) != 0
    assert table.check() == 0
