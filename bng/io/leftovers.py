"""Sessions that a former bngd left in the arena: they end before this one begins.

Their clients are told by PADT, so that they dial again; nothing of theirs stays in any table.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from bng.ethernet import AccessLine, Mac, VlanTag
from bng.io.executor import Executor
from bng.io.punt import read_counters
from bng.pppoe.discovery import Discovery
from bng.session.actions import CloseSession, DeleteRoute, Handle, ReleaseSession, SendDiscovery
from bng.session.model import Cause
from bng.session.restart import Ended, read
from dataplane.binding import Dataplane, lib

WAIT_S = 5.0
POLL_S = 0.005


class LeftoversError(Exception):
    """The dataplane did not let go of old sessions in time."""


async def end_leftovers(
    dataplane: Dataplane,
    executor: Executor,
    report: Callable[[list[Ended]], Awaitable[None]],
) -> list[str]:
    """End every session in the arena; returns their Acct-Session-Ids, "" for one without record.

    *report* is told of all of them, with their last counters, when none forwards any more; what it
    does is done before their entries are released.
    Raises: LeftoversError when the dataplane does not release them within WAIT_S.
    """
    found = [i for i in range(dataplane.max_sessions) if _state(dataplane, i) != lib.SESSION_FREE]
    records = [_close(dataplane, executor, index) for index in found]
    await _wait(dataplane, found, {lib.SESSION_CLOSED, lib.SESSION_FREE})
    await report(
        [
            Ended(
                acct_session_id=str(record.get("id", "")),
                handle=_handle(dataplane, index),
                record=record,
                counters=read_counters(dataplane, index),
                cause=Cause.NAS_REBOOT,
            )
            for index, record in zip(found, records, strict=True)
        ]
    )
    for index in found:
        executor.run([ReleaseSession(_handle(dataplane, index))])
        dataplane.clear_control(index)
    await _wait(dataplane, found, {lib.SESSION_FREE})
    return [str(record.get("id", "")) for record in records]


async def _wait(dataplane: Dataplane, found: list[int], states: set[int]) -> None:
    """Wait until each of the sessions *found* is in one of *states*. Raises: LeftoversError."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while any(_state(dataplane, i) not in states for i in found):
        dataplane.flush()
        for group in range(dataplane.n_workers + 1):
            dataplane.completions(group)
        if asyncio.get_running_loop().time() > deadline:
            raise LeftoversError(f"the dataplane still holds some of {len(found)} old sessions")
        await asyncio.sleep(POLL_S)


def _state(dataplane: Dataplane, index: int) -> int:
    return int(dataplane.session_in[index].state)


def _handle(dataplane: Dataplane, index: int) -> Handle:
    entry = dataplane.session_in[index]
    return Handle(index, int(entry.generation), int(entry.owner))


def _close(dataplane: Dataplane, executor: Executor, index: int) -> dict[str, object]:
    entry, cold = dataplane.session_in[index], dataplane.session_cold[index]
    handle = _handle(dataplane, index)
    tags = (VlanTag(cold.outer_tpid, cold.outer_vid), VlanTag(cold.inner_tpid, cold.inner_vid))
    line = AccessLine(int(cold.port), tuple(tag for tag in tags if tag.tpid))
    record = _record(dataplane, index)
    padt = Discovery.padt(line, Mac(bytes(cold.mac)), int(cold.session_id), "restarted")
    executor.run(
        [
            SendDiscovery(handle.worker, line, padt.dst, padt.payload),
            *(DeleteRoute(handle, prefix) for prefix in _routes(record, int(entry.ip4))),
            CloseSession(handle),
        ]
    )
    return record


def _record(dataplane: Dataplane, index: int) -> dict[str, object]:
    """Return a session's record; one of another version that cannot be read is as good as none."""
    found = dataplane.read_control(index)
    if found is not None:
        with suppress(ValueError):
            return read(found[1])
    return {}


def _routes(record: dict[str, object], ip4: int) -> list[IPv4Network]:
    """Return the session's own prefix and its framed routes, as its record has them."""
    routes = record.get("routes")
    if isinstance(routes, list):
        with suppress(ValueError):
            return [IPv4Network(route) for route in routes]
    return [IPv4Network(IPv4Address(ip4.to_bytes(4, "little")))] if ip4 else []
