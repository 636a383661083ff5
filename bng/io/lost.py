"""Clients whose sessions died with the dataplane or the machine: they are told, and dial again.

The journal knows where each of them was. A PADT (RFC 2516 §5.5) for a session that nobody has does
no harm, so it is sent to all.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from bng.io.executor import Executor
from bng.pppoe.discovery import Discovery
from bng.session.actions import SendDiscovery
from bng.session.model import Session
from bng.session.packing import reader, readers_of, unpack_fields
from bng.session.restart import read

WORKER = 0
BATCH, PAUSE_S = 200, 0.01
"""PADTs at a time: the dataplane sends them in between."""
PLACE = {"line": "line", "mac": "mac"}
"""Where a record says its client is, by key."""
_READERS = readers_of(Session, PLACE.values())
_SESSION_ID = reader(int)


async def tell_lost(executor: Executor, records: Iterable[bytes]) -> int:
    """Send a PADT to the client of each of the journal's *records*; returns to how many."""
    padts = [padt for padt in map(_padt, records) if padt is not None]
    for at in range(0, len(padts), BATCH):
        executor.run([*padts[at : at + BATCH]])
        executor.dataplane.flush()
        await asyncio.sleep(PAUSE_S)
    return len(padts)


def _padt(record: bytes) -> SendDiscovery | None:
    """Return the PADT for a record; None for one that cannot be read."""
    with suppress(ValueError, KeyError):
        fields = read(record)
        found = unpack_fields(_READERS, PLACE, fields)
        session_id = _SESSION_ID(fields["pppoe"])
        padt = Discovery.padt(found["line"], found["mac"], session_id, "restarted")
        return SendDiscovery(WORKER, padt.line, padt.dst, padt.payload)
    return None
