"""Byte rings of the arena against a model, in a ring so small that it wraps all the time."""

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import binding
from tests.node.harness import DEFAULT_ARGS, Dataplane, dataplane, ffi, lib

SIZE = 256
WRAP = 0xFFFFFFFF


class TinyRing:
    """The worker's event ring, cut down to SIZE bytes."""

    def __init__(self, dp: Dataplane) -> None:
        self.dp = dp
        rings = dp.section(lib.SECTION_RING, "struct ring")
        self.ring: Any = rings[binding.Ring.EVENT]
        arena = ffi.cast("uint8_t *", dp.header)
        self.bytes = arena + self.ring.offset
        self.reset()

    def reset(self) -> None:
        self.ring.size = SIZE
        self.ring.head = self.ring.tail = self.ring.full = 0

    def push(self, record: bytes) -> bool:
        return bool(
            lib.binding_push(self.dp._binding, 0, binding.Ring.EVENT, record, len(record), 1)
        )

    def pop(self, room_bytes: int = 1 << 12) -> list[bytes]:
        """Pop what fits in so many bytes."""
        room = ffi.new("uint8_t[]", room_bytes)
        used = lib.binding_pop(self.dp._binding, 0, binding.Ring.EVENT, room, room_bytes)
        raw = bytes(ffi.buffer(room, used))
        records = []
        while raw:
            (length,) = struct.unpack_from("<I", raw)
            records.append(raw[8 : 8 + length])
            raw = raw[8 + (length + 7) // 8 * 8 :]
        return records


@pytest.fixture(scope="module")
def ring() -> Iterator[TinyRing]:
    with dataplane(*DEFAULT_ARGS) as dp:
        yield TinyRing(dp)


# A length pushes a record of it; None pops one record's worth of room or more.
steps = st.lists(st.one_of(st.integers(0, SIZE), st.none()), max_size=200)


@given(steps=steps)
def test_records_come_out_whole_and_in_order(ring: TinyRing, steps: list[int | None]) -> None:
    ring.reset()
    model: deque[bytes] = deque()
    refused = 0
    for number, step in enumerate(steps):
        if step is None:
            for record in ring.pop():
                assert record == model.popleft()
            assert not model
            continue
        record = bytes([number % 256]) * step
        if ring.push(record):
            model.append(record)
        else:
            refused += 1
        assert ring.ring.full == refused
        assert ring.ring.head - ring.ring.tail <= SIZE
    assert b"".join(ring.pop()) == b"".join(model)


@given(length=st.integers(0, SIZE // 2 - 8), start=st.integers(0, SIZE // 8))
def test_an_empty_ring_takes_a_record_of_half_its_size_wherever_it_stands(
    ring: TinyRing, length: int, start: int
) -> None:
    ring.reset()
    ring.ring.head = ring.ring.tail = start * 8
    assert ring.push(b"x" * length)
    assert ring.pop() == [b"x" * length]


@given(length=st.integers(SIZE // 2 - 7, SIZE * 2))
def test_a_longer_record_is_refused_and_counted(ring: TinyRing, length: int) -> None:
    ring.reset()
    assert not ring.push(b"x" * length)
    assert ring.ring.full == 1


positions = st.one_of(st.integers(0, 2 * SIZE), st.integers(0, 2**64 - 1))
words = st.one_of(st.integers(0, SIZE), st.just(WRAP), st.integers(0, 2**32 - 1))


@given(
    head=positions,
    tail=positions,
    content=st.lists(words, min_size=SIZE // 4, max_size=SIZE // 4),
)
def test_impossible_positions_and_lengths_read_nothing_outside_the_ring(
    ring: TinyRing, head: int, tail: int, content: list[int]
) -> None:
    ring.reset()
    image = struct.pack(f"<{SIZE // 4}I", *content)
    ffi.memmove(ring.bytes, image, SIZE)
    ring.ring.head, ring.ring.tail = head, tail
    sound = (head - tail) % 2**64 <= SIZE and head % 8 == tail % 8 == 0
    records = ring.pop()
    assert sound or not records
    assert sum(8 + len(r) for r in records) <= SIZE
    for record in records:
        assert record in image
    ring.push(b"still alive")  # may be refused, must not write outside
    after = bytes(ffi.buffer(ring.bytes + SIZE, 64))
    assert after == bytes(64)


def test_a_worker_mends_a_command_ring_that_makes_no_sense(ring: TinyRing) -> None:
    commands = ring.dp.section(lib.SECTION_RING, "struct ring")[binding.Ring.COMMAND]
    commands.head += 12
    errors = ring.dp.section(lib.SECTION_WORKER, "struct worker_shared")[0].command_errors
    ring.dp.run()
    worker = ring.dp.section(lib.SECTION_WORKER, "struct worker_shared")[0]
    assert worker.command_errors == errors + 1
    commands.head = commands.tail
    nop = binding.COMMAND.pack(binding.CommandType.NOP, 0, 0, 0, 0, 7, b"")
    assert ring.dp.command(nop) == 0
