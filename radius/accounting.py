"""Accounting that is not lost (RFC 2866, RFC 5080 §2.2.1): from the spool to all servers.

`Accounting.put` takes a record; it is written first, then sent, and deleted when answered. What has
no answer is sent again, for ever. Records of one session wait for each other. A record of no
session (`EVERYBODY`: Accounting-On and -Off) is sent when all before it are answered, and all after
it wait: a server takes every session that it knows of for ended (RFC 2866 §5.1).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from radius.client import Answered, Client, Failed
from radius.errors import DictionaryError, MalformedValue, SpoolError
from radius.link import Link
from radius.packet import Code, Request
from radius.spool import Record, Spool, Stored

FLUSH_S = 0.02
"""How long records are gathered before they are written: an fsync each time."""
GATHER_S = 0.25
"""The same for interim updates and their answers: nothing depends on them."""
INTERIM = (("Acct-Status-Type", 3),)
"""How an interim update begins."""
RETRY_S, MAX_RETRY_S = 1.0, 30.0
WINDOW = 512
"""Records of one target that are under way at once."""
EVERYBODY = ""
LOADED = 4 * WINDOW
"""Records of one target that are in memory; the rest waits on disk."""


@dataclass(slots=True)
class Target:
    """One group of servers, and what it has still to get."""

    name: str
    link: Link
    last_row: int = 0
    """Rows up to this one are, or were, in memory."""
    behind: bool = True
    """There may be more on disk."""
    barrier: Stored | None = None
    """A record of no session: nothing behind it is loaded before it is answered."""
    sessions: dict[str, deque[Stored]] = field(default_factory=dict)
    ready: deque[str] = field(default_factory=deque)
    loaded: int = 0
    under_way: int = 0
    retry_s: float = RETRY_S
    failed_at: float = 0.0
    hold_until: float = 0.0
    """Nothing is sent before, unless a server was heard since it failed: a probe was answered."""
    dropped: int = 0
    refilling: bool = False
    """More is to be sent as soon as the answers that are there have been taken."""


class Accounting:
    """Moves records through *spool*. *clock* is the event loop's; *clients* are by target.

    *on_written* is called with the tag of each record that is on disk.
    """

    def __init__(
        self,
        spool: Spool,
        clients: Mapping[str, Client],
        clock: Callable[[], float],
        on_written: Callable[[object], None] | None = None,
    ) -> None:
        self.spool = spool
        self._on_written = on_written
        self._clock = clock
        self._targets = [
            Target(name, Link(client, self._on_end(name), clock))
            for name, client in clients.items()
        ]
        self._by_name = {target.name: target for target in self._targets}
        self.damaged = 0
        """Rows of the spool that could not be read, and are set aside."""
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._stepping = asyncio.Lock()
        self._log = structlog.get_logger("accounting")

    def put(
        self,
        record: Record,
        tag: object = None,
        *,
        counters: Sequence[int] | None = None,
        closes: bool = False,
    ) -> None:
        """Take a record: written within FLUSH_S, then sent; *tag* is told when it is written.

        *counters* and *closes* are of the session's account: see `radius.spool.Spool.put`.
        """
        self.spool.put(record, tag, counters=counters, closes=closes)
        self._changed(record)

    def write(self) -> None:
        """Have what the spool was told otherwise written soon."""
        self._wake.set()
        self._hurry.set()

    def _changed(self, record: Record) -> None:
        """Have what is new of *record* written: at once, but an interim update waits for others."""
        self._wake.set()
        if record.attributes[:1] != INTERIM:
            self._hurry.set()

    def targets(self) -> list[Target]:
        """Return the groups of servers, as they are now."""
        return self._targets

    @property
    def under_way(self) -> int:
        """Records that are sent and not answered."""
        return sum(target.under_way for target in self._targets)

    async def run(self) -> None:
        """Write, send and delete until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for target in self._targets:
                tasks.create_task(target.link.run())
            while True:
                self._wake.clear()
                self._hurry.clear()
                if not await self.step():
                    self._hurry.set()  # try again
                await self._pause()

    async def step(self) -> bool:
        """Write what waits, load what has room, send what is ready; False: it is not written."""
        async with self._stepping:
            return await self._step()

    async def _step(self) -> bool:
        written = await self.spool.flush()
        if written is None:
            self._log.error(
                "spool-not-written", path=str(self.spool.path), error=self.spool.last_error
            )
        for name, stored in written or ():
            if stored.tag is not None and self._on_written is not None:
                self._on_written(stored.tag)
            self._take(self._by_name[name], stored)
        for target in self._targets:
            await self._load(target)
            self._send(target)
        return written is not None

    async def _pause(self) -> None:
        """Wait for something to do; at least FLUSH_S, so that records gather, or GATHER_S."""
        await asyncio.sleep(FLUSH_S)
        now = self._clock()
        held = [min(t.hold_until - now, RETRY_S) for t in self._targets if t.ready or t.behind]
        if await _is_set(self._wake, max(min(held), FLUSH_S) if held else None):
            await _is_set(self._hurry, GATHER_S)

    def _take(self, target: Target, stored: Stored) -> None:
        """Keep a record in memory when all before it are there, and there is room."""
        if target.behind or target.loaded >= LOADED:
            target.behind = True
            return
        self._enter(target, stored)
        target.behind = target.barrier is not None

    async def _load(self, target: Target) -> None:
        if not target.behind or target.barrier is not None or target.loaded > LOADED // 2:
            return
        limit = LOADED - target.loaded
        try:
            rows = await self.spool.load(target.name, target.last_row, limit)
        except SpoolError as error:
            self._log.error("spool-not-read", error=str(error))
            return
        self.tell_damaged()
        for stored in rows:
            self._enter(target, stored)
            if target.barrier is not None:
                return
        target.behind = len(rows) == limit

    def tell_damaged(self) -> None:
        """Log what the spool set aside."""
        for row in self.spool.damaged:
            self._log.error("spool-row-damaged", path=str(self.spool.path), row=row)
        self.damaged += len(self.spool.damaged)
        self.spool.damaged.clear()

    def _enter(self, target: Target, stored: Stored) -> None:
        target.last_row = stored.row
        if stored.record.session == EVERYBODY:
            target.barrier = stored
        else:
            self._queue(target, stored)

    def _queue(self, target: Target, stored: Stored) -> None:
        target.loaded += 1
        queue = target.sessions.setdefault(stored.record.session, deque())
        queue.append(stored)
        if len(queue) == 1:
            target.ready.append(stored.record.session)

    def _send(self, target: Target) -> None:
        target.refilling = False
        now = self._clock()
        if now < target.hold_until and not target.link.client.heard_since(target.failed_at):
            return
        if target.barrier is not None and not target.loaded:
            self._queue(target, target.barrier)
        while target.ready and target.under_way < WINDOW:
            session = target.ready.popleft()
            record = target.sessions[session][0].record
            request = Request(
                code=Code.ACCOUNTING_REQUEST,
                attributes=record.attributes,
                event_at=record.event_at,
            )
            target.under_way += 1
            try:
                target.link.client.submit(request, session, now)
            except (MalformedValue, DictionaryError) as error:  # it never can be sent
                self._log.error("record-not-sendable", session=session, error=str(error))
                target.under_way -= 1
                target.dropped += 1
                self._finish(target, session)
        target.link.settle()

    def _on_end(self, name: str) -> Callable[[Answered | Failed], None]:
        def ended(end: Answered | Failed) -> None:
            target = self._by_name[name]
            session = str(end.token)
            target.under_way -= 1
            if isinstance(end, Answered):
                target.retry_s, target.hold_until = RETRY_S, 0.0
                self._finish(target, session)
                if target.ready and not target.refilling:  # no write to the disk is waited for
                    target.refilling = True
                    asyncio.get_running_loop().call_soon(self._send, target)
            else:
                target.ready.append(session)
                now = target.failed_at = self._clock()
                if target.hold_until <= now:
                    target.hold_until = now + target.retry_s
                    target.retry_s = min(2 * target.retry_s, MAX_RETRY_S)
                self.write()

        return ended

    def _finish(self, target: Target, session: str) -> None:
        """Forget the first record of *session*; the next one is ready."""
        queue = target.sessions[session]
        if session == EVERYBODY:
            target.barrier = None
        stored = queue.popleft()
        self.spool.done(stored.row, target.name)
        self._changed(stored.record)
        target.loaded -= 1
        if queue:
            target.ready.append(session)
        else:
            del target.sessions[session]


async def _is_set(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for *event*; False when time was over first."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
