"""Sessions that a former bngd left in the arena: they end before this one begins.

Their clients are told by PADT, so that they dial again; nothing of theirs stays in any table.
"""

import asyncio
import json
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from bng.ethernet import AccessLine, Mac, VlanTag
from bng.io.executor import Executor
from bng.pppoe.discovery import Discovery
from bng.session.actions import CloseSession, DeleteRoute, Handle, ReleaseSession, SendDiscovery
from dataplane.binding import Dataplane, lib

WAIT_S = 5.0
POLL_S = 0.005


class LeftoversError(Exception):
    """The dataplane did not let go of old sessions in time."""


async def end_leftovers(dataplane: Dataplane, executor: Executor) -> list[str]:
    """End every session in the arena; returns their Acct-Session-Ids, "" for one without record.

    Raises: LeftoversError when the dataplane does not release them within WAIT_S.
    """
    found = [i for i in range(dataplane.max_sessions) if _state(dataplane, i) != lib.SESSION_FREE]
    ended = [_end(dataplane, executor, index) for index in found]
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while any(_state(dataplane, i) != lib.SESSION_FREE for i in found):
        dataplane.flush()
        for group in range(dataplane.n_workers + 1):
            dataplane.completions(group)
        if asyncio.get_running_loop().time() > deadline:
            raise LeftoversError(f"the dataplane still holds some of {len(found)} old sessions")
        await asyncio.sleep(POLL_S)
    return ended


def _state(dataplane: Dataplane, index: int) -> int:
    return int(dataplane.session_in[index].state)


def _end(dataplane: Dataplane, executor: Executor, index: int) -> str:
    entry, cold = dataplane.session_in[index], dataplane.session_cold[index]
    handle = Handle(index, int(entry.generation), int(entry.owner))
    tags = (VlanTag(cold.outer_tpid, cold.outer_vid), VlanTag(cold.inner_tpid, cold.inner_vid))
    line = AccessLine(int(cold.port), tuple(tag for tag in tags if tag.tpid))
    record = _record(dataplane, index)
    padt = Discovery.padt(line, Mac(bytes(cold.mac)), int(cold.session_id), "restarted")
    executor.run(
        [
            SendDiscovery(handle.worker, line, padt.dst, padt.payload),
            *(DeleteRoute(handle, prefix) for prefix in _routes(record, int(entry.ip4))),
            CloseSession(handle),
            ReleaseSession(handle),
        ]
    )
    dataplane.clear_control(index)
    return str(record.get("id", ""))


def _record(dataplane: Dataplane, index: int) -> dict[str, object]:
    """Return a session's record; one of another version that cannot be read is as good as none."""
    found = dataplane.read_control(index)
    if found is not None:
        with suppress(ValueError, RecursionError):
            record = json.loads(found[1])
            if isinstance(record, dict):
                return record
    return {}


def _routes(record: dict[str, object], ip4: int) -> list[IPv4Network]:
    """Return the session's own prefix and its framed routes, as its record has them."""
    routes = record.get("routes")
    if isinstance(routes, list):
        with suppress(ValueError):
            return [IPv4Network(route) for route in routes]
    return [IPv4Network(IPv4Address(ip4.to_bytes(4, "little")))] if ip4 else []
