"""Fuzz requests on the management socket: each is answered by one line of JSON, never by a defect.

Input: requests, one a line, to a box with two sessions.
"""

import atexit
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bng.mgmt.server import MAX_REQUEST_BYTES
from tests.support.managed_box import Managed, managed_box

DEFECT = "internal error"
MAX_LINES = 16


class Bed:
    """A box that is made anew once a request changed it."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.managed: Managed | None = None

    def ready(self) -> Managed:
        """Return a box with two sessions that nothing was done to."""
        managed = self.managed
        if managed is None or managed.box.draining or managed.memory.manager.table.count != 2:
            self.stack.close()
            directory = self.stack.enter_context(tempfile.TemporaryDirectory())
            _, managed = self.stack.enter_context(managed_box(Path(directory)))
            memory = managed.memory
            memory.dial(memory.subscriber(1), memory.subscriber(2, vlan="100.7"))
            self.managed = managed
        return managed


bed = Bed()
atexit.register(bed.stack.close)  # later, when all is collected, its loop can no longer be closed


def test_one_input(data: bytes) -> None:
    """Run one input."""
    managed = bed.ready()
    for line in data[:MAX_REQUEST_BYTES].split(b"\n")[:MAX_LINES]:
        answer = managed.answer(line)
        assert type(answer["ok"]) is bool
        assert answer["ok"] or DEFECT not in answer["error"], answer
        json.dumps(answer, allow_nan=False)
    managed.memory.turn()
