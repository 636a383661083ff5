"""Fuzz what comes out of the dataplane's rings: any record costs that record and nothing else.

Input: steps of one operation byte, one length byte and a payload: records of any content in the
punt, event and completion rings, punts with a right header, and time. One session is up.
"""

from bng.ethernet import MAC_BROADCAST
from dataplane.binding import EVENT, NO_SESSION, PUNT, PuntCause, Ring, ffi, lib
from tests.support.memory_box import MemoryBox

CLIENT = bytes.fromhex("02b000000001")
OURS = bytes.fromhex("02005e000000")
RINGS = (Ring.PUNT, Ring.EVENT, Ring.COMPLETION)


class Bed:
    """A box with one session, made anew when that ends."""

    def __init__(self) -> None:
        self.box: MemoryBox | None = None

    def ready(self) -> MemoryBox:
        """Return a box whose session is up."""
        box = self.box
        if box is not None and box.manager.table.count != 1:
            box.close()
            box = None
        if box is None:
            self.box = box = MemoryBox(args=("--sessions=64",))
            box.dial(box.subscriber(1))
        return box


bed = Bed()


def push(box: MemoryBox, ring: Ring, record: bytes) -> None:
    """Push a record as a worker, or the control thread, does."""
    lib.binding_push(box.dataplane._binding, 0, ring, ffi.from_buffer(record), len(record), 1)


def punt(box: MemoryBox, cause: int, data: bytes) -> bytes:
    """Return a record with a right header."""
    discovery = cause == PuntCause.DISCOVERY
    generation = int(box.dataplane.session_in[0].generation)
    destination = MAC_BROADCAST if discovery and data[1:2] == b"\x09" else OURS
    return PUNT.pack(
        round(box.now * 1e9),
        NO_SESSION if discovery else 0,
        0 if discovery else generation,
        0, 0, 0, 0,
        CLIENT, destination, cause, 0, len(data),
    ) + data  # fmt: skip


def step(box: MemoryBox, operation: int, payload: bytes) -> None:
    """Run one step."""
    match operation % 8:
        case 0 | 1 | 2 as ring:
            push(box, RINGS[ring], payload)
        case 3 | 4 | 5:
            push(box, Ring.PUNT, punt(box, operation // 8 % 6, payload))
        case 6:
            record = payload[:4].ljust(4, b"\0") + bytes(4)
            generation = int(box.dataplane.session_in[0].generation).to_bytes(4, "little")
            push(box, Ring.EVENT, (record + generation).ljust(EVENT.size, b"\0"))
        case _:
            box.run(len(payload) / 4, step=0.25)
    box.turn()


def test_one_input(data: bytes) -> None:
    """Run one input."""
    box = bed.ready()
    while len(data) >= 2:
        operation, length = data[0], data[1]
        step(box, operation, data[2 : 2 + length])
        data = data[2 + length :]
    assert box.dispatcher.counters["record_error"] == 0
    assert box.dataplane.inject_dropped == 0
