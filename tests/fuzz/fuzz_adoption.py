"""Fuzz what a former bngd left in the arena: a session goes on or ends, whatever its record says.

Input: two flag bytes, then the record. The first picks whether it is written as bngd does, or is
the memory of the record itself, checksum, lengths and all; the second picks the session's state and
what else the dataplane has of it.
"""

from bng.session import restart
from bng.session.model import Cause
from dataplane.binding import CommandType, ffi, lib, session_record
from dataplane.nat import forward_record, static_record
from tests.node.harness import ACC, CLIENT_MAC
from tests.support.memory_box import MemoryBox

INDEX = 1
ADDRESS, PUBLIC = "100.64.0.9", bytes((203, 0, 113, 2))
RECORD_BYTES = int(ffi.sizeof("struct control_record"))
STATE, ECHO_LOST, IDLE, PORT_DOWN, FORWARD, OWN = 3, 4, 8, 16, 32, 64
ACLS = [
    {"name": "in", "default": "permit", "rules": ["deny udp any any port 666"]},
    {"name": "out", "default": "permit", "rules": ["deny udp any port 667 any"]},
]


class Bed:
    """A box, and a session that nobody of this bngd made."""

    def __init__(self) -> None:
        self.box = MemoryBox(config={"acl": ACLS}, args=("--sessions=4",))
        self.embedded = self.box.embedded

    def prepare(self, how: int, state: int, record: bytes) -> None:
        """Make a session that somebody else left, with its record."""
        nat = {"nat_address": 1} if state & FORWARD else {}
        generation = self.embedded.session(INDEX, ADDRESS, mac=CLIENT_MAC, **nat)
        if state & FORWARD:
            forward = forward_record(
                INDEX, generation, 0, protocol=6, external=700, inner=80, on=True
            )
            self.tell(forward)
        if state & OWN:
            inner = bytes(map(int, ADDRESS.split(".")))
            self.tell(static_record(INDEX, generation, 0, PUBLIC, inner))
        if state & STATE:
            kind = (CommandType.SESSION_PAUSE, CommandType.SESSION_CLOSE)[state & 1]
            assert self.embedded.command(session_record(kind, INDEX, generation, 1)) == 0
        cold = self.embedded.session_cold(INDEX)
        cold.flags = (state & ECHO_LOST and lib.SESSION_FLAG_ECHO_LOST) | (
            state & IDLE and lib.SESSION_FLAG_IDLE
        )
        self.embedded.port(ACC).flags = 0 if state & PORT_DOWN else lib.PORT_UP
        if how & 1:
            raw = record.ljust(RECORD_BYTES, b"\0")[:RECORD_BYTES]
            section = lib.binding_section(self.embedded._binding, lib.SECTION_CONTROL)
            ffi.memmove(ffi.cast("uint8_t *", section) + INDEX * RECORD_BYTES, raw, RECORD_BYTES)
        else:
            data = record[: lib.CONTROL_RECORD_LEN]
            self.box.dataplane.write_control(INDEX, generation, data)

    def tell(self, command: bytes) -> None:
        """Have worker 0 carry out a command."""
        self.box.dataplane.command(0, command)
        self.box.dataplane.flush()
        self.embedded.run()

    def end(self) -> None:
        """End what goes on; what would be written of it says the same again."""
        for session in list(self.box.manager.table):
            if data := restart.encode(session):
                again = restart.restore(restart.read(data), session.handle, session.method)
                assert again.profile == session.profile
            self.box.manager.end(session, Cause.ADMIN_RESET, "", self.box.now)
        self.box.turn()
        self.embedded.sent(ACC)


bed = Bed()


def test_one_input(data: bytes) -> None:
    """Run one input."""
    how, state = (data[0], data[1]) if len(data) > 1 else (0, 0)
    bed.prepare(how, state, data[2:])
    came = bed.box.restart()
    assert len(came.adopted) + len(came.ended) == 1
    bed.end()
    assert bed.embedded.session_in(INDEX).state == lib.SESSION_FREE
    assert bed.box.dataplane.read_control(INDEX) is None
    assert not bed.box.manager.table.count
