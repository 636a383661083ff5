"""Put what the box exports into the kernel, for FRR to redistribute: blackhole routes of ours.

They lead nowhere, so they need no device, and no link of the kernel's takes them away; packets to
subscribers never look at them, for the dataplane does not follow them. A thread writes, some
hundred at a time, never more than one; what changes meanwhile is put together. After a start, and
with each reload, the kernel is asked what it has: what is there and wanted stays untouched.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Protocol

import structlog

from bng.io.rtnetlink import Change, Route
from bng.session.actions import Handle
from bng.session.exports import Exports, ExportSettings, Kind, Prefix
from bng.session.model import Session

GATHER_S = 0.02
"""How long changes are gathered before they are written."""
RETRY_S = 10.0
"""When what the kernel refused is tried again."""
SESSIONS_AT_A_TIME = 500
"""Looked at before packets are served again: takes some 3 ms."""
ROUTES_AT_A_TIME = 4096


class Kernel(Protocol):
    """What the exporter needs of the kernel: `bng.io.rtnetlink.RouteSocket`. Raises: OSError."""

    def dump(self) -> set[Route]:
        """Return the routes of ours that are there."""

    def apply(self, changes: Iterable[Change]) -> dict[Route, int]:
        """Carry out *changes*; return the errno of each that was refused."""

    def close(self) -> None:
        """Let go of it."""


class Exporter:
    """Has the kernel's routes of ours be those of *exports*.

    *find* returns the session of an index and generation, *everybody* all sessions. Until `start`
    it gathers, and writes nothing.
    """

    def __init__(
        self,
        exports: Exports,
        find: Callable[[int, int], Session | None],
        everybody: Callable[[], Iterable[Session]],
    ) -> None:
        self.exports = exports
        self.counters: Counter[str] = Counter()
        self._find = find
        self._everybody = everybody
        self._kernel: Kernel | None = None
        self._dirty: dict[int, int] = {}
        self._changed: set[Prefix] = set()
        self._there: set[Route] = set()
        self._refused: dict[Prefix, int] = {}
        self._resync = False
        self._ports: set[int] = set()
        self._drained = False
        self._stopping = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("export")

    # ---- what happens ----

    def rerouted(self, handle: Handle) -> None:
        """Take notice that other prefixes than before lead to a session."""
        self._dirty[handle.index] = handle.generation
        self._wake.set()

    def port(self, port: int, up: bool) -> None:
        """Take notice of an access port's carrier."""
        if up is (port not in self.exports.down):
            return
        self.exports.down ^= {port}
        self._tell_all()

    def drain(self, on: bool) -> None:
        """Say whether every access port is drained: aggregates go with the last session."""
        self._drained = on
        self._wake.set()

    def reconfigure(self, settings: ExportSettings, ports: Iterable[int]) -> None:
        """Follow the configuration: *ports* are the access ports. Asks the kernel anew."""
        self._ports = set(ports)
        self.exports.configure(settings)
        self._resync = True
        self._tell_all()

    def _tell_all(self) -> None:
        for session in self._everybody():
            self._dirty[session.index] = session.handle.generation
        self._wake.set()

    # ---- what is there ----

    def rows(self) -> Iterator[tuple[Prefix, Kind, str]]:
        """Yield every prefix to export, why, and what the kernel made of it."""
        there = {route.prefix for route in self._there}
        for prefix, kind in self.exports:
            if prefix in self._refused:
                yield prefix, kind, f"refused: {os.strerror(self._refused[prefix])}"
            else:
                yield prefix, kind, "installed" if prefix in there else "pending"

    # ---- the work ----

    def start(self, kernel: Kernel) -> None:
        """Begin to write into *kernel*, with what sessions there are."""
        self._kernel = kernel
        self._resync = True
        self._tell_all()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def stop(self, *, withdraw: bool) -> None:
        """Write no more; take everything back first when it is to be withdrawn."""
        if self._task is None:
            return
        assert self._kernel is not None  # noqa: S101 - start() gave it
        self._stopping = True
        self._wake.set()
        await self._task
        self._task = None
        if withdraw:
            await self._write([Change(route, add=False) for route in self._there])
        self._kernel.close()

    async def _serve(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._refused or self._resync else None):
                    await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            try:
                await self._follow()
            except OSError as error:
                self.counters["kernel_errors"] += 1
                self._log.error("export-failed", error=str(error))
                self._resync = True

    async def _follow(self) -> None:
        while self._dirty:
            for _ in range(min(len(self._dirty), SESSIONS_AT_A_TIME)):
                index, generation = self._dirty.popitem()
                self.exports.tell(index, self._find(index, generation))
            await asyncio.sleep(0)
        empty = self._drained and not self.exports.sessions
        self.exports.alive(not empty and bool(self._ports - self.exports.down))
        self._changed |= self.exports.take()
        settled = [p for p in self._refused if self._change(p) is None]
        for prefix in settled:
            del self._refused[prefix]
        if self._resync:
            await self._compare()
        else:
            changed = self._changed | self._refused.keys()
            await self._write([c for prefix in changed if (c := self._change(prefix))])

    def _route(self, prefix: Prefix) -> Route:
        return Route(prefix, self.exports.settings.table, self.exports.settings.metric)

    def _change(self, prefix: Prefix) -> Change | None:
        route, wanted = self._route(prefix), prefix in self.exports
        return Change(route, add=wanted) if wanted is (route not in self._there) else None

    async def _compare(self) -> None:
        """Ask the kernel what it has; have it be what is wanted."""
        assert self._kernel is not None  # noqa: S101 - start() gave it
        self._there = await asyncio.to_thread(self._kernel.dump)
        self._resync = False
        self.counters["dumps"] += 1
        wanted = {self._route(prefix) for prefix, _ in self.exports}
        stale, new = self._there - wanted, wanted - self._there
        await self._write(
            [Change(r, add=False) for r in stale] + [Change(r, add=True) for r in new]
        )

    async def _write(self, changes: list[Change]) -> None:
        """Have the kernel carry out *changes* and keep what came of it."""
        assert self._kernel is not None  # noqa: S101 - start() gave it
        self._changed.clear()
        for at in range(0, len(changes), ROUTES_AT_A_TIME):
            batch = changes[at : at + ROUTES_AT_A_TIME]
            refused = await asyncio.to_thread(self._kernel.apply, batch)
            for change in batch:
                self._done(change, refused.get(change.route, 0))
        if self._refused:
            prefix, code = next(iter(self._refused.items()))
            reason = os.strerror(code)
            self._log.warning(
                "export-refused", count=len(self._refused), first=str(prefix), error=reason
            )

    def _done(self, change: Change, code: int) -> None:
        if code:
            self.counters["refused"] += 1
            self._refused[change.route.prefix] = code
            return
        self._refused.pop(change.route.prefix, None)
        self.counters["added" if change.add else "removed"] += 1
        (self._there.add if change.add else self._there.discard)(change.route)
