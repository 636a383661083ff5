"""Fuzz what a former bngd left in the arena: every session ends, whatever its record says.

Input: two flag bytes, then the record. The first picks whether it is written as bngd does, or is
the memory of the record itself, checksum, lengths and all; the second picks the session's state.
"""

import asyncio

from bng.io.executor import Executor
from bng.io.journal import Journal
from bng.io.leftovers import end_leftovers
from bng.session.restart import Ended
from dataplane import binding
from dataplane.binding import CommandType, ffi, lib, session_record
from tests.node.harness import ACC, DEFAULT_ARGS, Dataplane

INDEX = 1
ADDRESS = "100.64.0.9"
RECORD_BYTES = int(ffi.sizeof("struct control_record"))


class Bed:
    """An embedded dataplane, and bngd's end of it."""

    def __init__(self) -> None:
        self.embedded = Dataplane(*DEFAULT_ARGS, "--sessions=4")
        self.attached = binding.Dataplane(self.embedded._binding)
        self.executor = Executor(self.attached, Journal(None), 20, 3)

    def prepare(self, how: int, state: int, record: bytes) -> None:
        """Make a session that somebody else left, with its record."""
        generation = self.embedded.session(INDEX, ADDRESS)
        if state & 3:
            kind = (CommandType.SESSION_PAUSE, CommandType.SESSION_CLOSE)[state & 1]
            assert self.embedded.command(session_record(kind, INDEX, generation, 1)) == 0
        if how & 1:
            raw = record.ljust(RECORD_BYTES, b"\0")[:RECORD_BYTES]
            section = lib.binding_section(self.embedded._binding, lib.SECTION_CONTROL)
            ffi.memmove(ffi.cast("uint8_t *", section) + INDEX * RECORD_BYTES, raw, RECORD_BYTES)
        else:
            self.attached.write_control(INDEX, generation, record[: lib.CONTROL_RECORD_LEN])

    async def end(self) -> int:
        """End what is left; the dataplane runs meanwhile."""
        turns = asyncio.create_task(self.turn())
        try:
            return len(await end_leftovers(self.attached, self.executor, self.report))
        finally:
            turns.cancel()

    async def report(self, ended: list[Ended]) -> None:
        """Look at what accounting is told before anything is released."""
        assert [one.handle.index for one in ended] == [INDEX]
        assert self.embedded.session_in(INDEX).state == lib.SESSION_CLOSED

    async def turn(self) -> None:
        """Turn the workers."""
        while True:
            self.embedded.run()
            await asyncio.sleep(0)

    def forget(self) -> None:
        """Take what the end of the session put into rings and ports."""
        for group in range(self.attached.n_workers + 1):
            self.attached.completions(group)
        self.embedded.sent(ACC)


bed = Bed()


def test_one_input(data: bytes) -> None:
    """Run one input."""
    how, state = (data[0], data[1]) if len(data) > 1 else (0, 0)
    bed.prepare(how, state, data[2:])
    assert asyncio.run(bed.end()) == 1
    assert bed.embedded.session_in(INDEX).state == lib.SESSION_FREE
    assert bed.attached.read_control(INDEX) is None
    bed.forget()
