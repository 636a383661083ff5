"""Sessions that a former bngd left in the arena: found, taken over, or ended.

First the dataplane does all that the former one told it: `settle`. Then `find` reads what is there,
and an `Adoption` takes over what can go on. The clients of the others are told by PADT; these
sessions are closed, and released when their accounting is on disk.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TypeVar

import structlog

from bng.aaa.model import FORWARD_PROTOCOLS, PortForward
from bng.ethernet import AccessLine, Mac, VlanTag
from bng.io.executor import Executor
from bng.io.punt import Dispatcher, read_counters
from bng.pppoe.discovery import Discovery
from bng.session import adoption, ipv6_side, restart
from bng.session.access import AccessMethod
from bng.session.actions import DeleteRoute, Handle, SendDiscovery
from bng.session.adoption import NotAdoptedError
from bng.session.model import Cause, Session
from bng.session.restart import Ended, Left, Reconciled
from bng.settings import bypass_name
from dataplane.binding import CommandType, Dataplane, Direction, PolicerMode, lib, session_record

T = TypeVar("T")

WAIT_S = 5.0
POLL_S = 0.001
BATCH = 250
"""Sessions adopted or ended at a time: what is told of them finds room in the rings."""
TCP, UDP = (
    next(number for number, name in FORWARD_PROTOCOLS.items() if name == wanted)
    for wanted in ("tcp", "udp")
)
NO_MESSAGE = "restarted"
IPV6_FEATURES = 1 << 2 | 1 << 15
"""``FEATURES_IN_IP6_ONLY`` of dataplane.h."""


class AdoptionError(Exception):
    """The dataplane does not do in time what sessions that were left need."""


# ---- what is there ----


async def settle(dataplane: Dataplane) -> None:
    """Wait until the dataplane has done all that a former bngd told it; what it answered is lost.

    Raises: AdoptionError when it has not within WAIT_S.
    """
    groups = set(range(dataplane.n_workers + 1))
    mark = dataplane.boot() & (1 << 56) - 1  # no command on a session has such a cookie
    for group in groups:
        dataplane.command(group, session_record(CommandType.NOP, 0, 0, mark))

    def passed() -> bool:
        dataplane.flush()
        for group in tuple(groups):
            if any(done.cookie == mark for done in dataplane.completions(group)):
                groups.discard(group)
        return not groups

    await _until(passed, "has not done what it was told")


def find(dataplane: Dataplane) -> list[Left]:
    """Return every session in the arena, in the order of their indexes."""
    sessions = dataplane.session_in
    return [
        _left(dataplane, index)
        for index in range(dataplane.max_sessions)
        if sessions[index].state != lib.SESSION_FREE
    ]


def _left(dataplane: Dataplane, index: int) -> Left:
    entry, out = dataplane.session_in[index], dataplane.session_out[index]
    cold = dataplane.session_cold[index]
    tags = (VlanTag(cold.outer_tpid, cold.outer_vid), VlanTag(cold.inner_tpid, cold.inner_vid))
    record, data = _record(dataplane, index, int(entry.generation))
    return Left(
        handle=Handle(index, int(entry.generation), int(entry.owner)),
        live=entry.state == lib.SESSION_LIVE,
        line=AccessLine(int(cold.port), tuple(tag for tag in tags if tag.tpid)),
        mac=Mac(bytes(cold.mac)),
        session_id=int(cold.session_id),
        address=_address(int(entry.ip4)),
        ipv6_on=bool(entry.features & IPV6_FEATURES),
        ipv6_prefix=_link_prefix(int(dataplane.session_ip6[index].link_prefix)),
        acl_in=int(entry.acl),
        acl_out=int(out.acl),
        bypass=int(out.bypass),
        policed=any(
            dataplane.policer[2 * index + direction].mode != PolicerMode.OFF
            for direction in Direction
        ),
        nat_public=_address(int(cold.nat_public)),
        forwards=tuple(_forwards(dataplane, int(entry.owner), int(cold.nat_forwards))),
        record=record,
        data=data,
    )


def _address(be32: int) -> IPv4Address | None:
    return IPv4Address(be32.to_bytes(4, "little")) if be32 else None


def _link_prefix(high: int) -> IPv6Network | None:
    return IPv6Network((high << 64, 64)) if high else None


def _forwards(dataplane: Dataplane, worker: int, index_1: int) -> Iterator[tuple[PortForward, int]]:
    """Yield the port forwards of a session, from the first of its chain on."""
    first = worker * int(dataplane.nat_config[0].forwards_per_worker) - 1
    while index_1:
        entry = dataplane.nat_forward[first + index_1]
        protocol = TCP if entry.plane == lib.NAT_TCP else UDP
        external, inner = (
            int.from_bytes(int(port).to_bytes(2, "little"))
            for port in (entry.external, entry.inner)
        )
        yield PortForward(protocol, external, inner), int(entry.address)
        index_1 = int(entry.next_of_session)


def _record(dataplane: Dataplane, index: int, generation: int) -> tuple[dict[str, object], bytes]:
    """Return a session's record; one of another session, or that nobody can read, is none."""
    found = dataplane.read_control(index)
    if found is not None and found[0] == generation:
        with suppress(ValueError):
            return restart.read(found[1]), found[1]
    return {}, b""


def acl_numbers(found: Iterable[Left]) -> dict[str, int]:
    """Return by name what the dataplane calls the ACLs that sessions which forward have.

    A change that was written down, and that the dataplane was not told of any more, makes one
    session call an ACL by another's name: most sessions are right.
    """
    calls: Counter[tuple[str, int]] = Counter()
    for left in found:
        profile = left.record.get("profile")
        if not left.live or not isinstance(profile, dict):
            continue
        nat = profile.get("nat_profile")
        for name, number in (
            (profile.get("acl_in"), left.acl_in),
            (profile.get("acl_out"), left.acl_out),
            (None if nat is None else bypass_name(str(nat)), left.bypass),
        ):
            if name is not None and number:
                calls[str(name), number] += 1
    numbers: dict[str, int] = {}
    for (name, number), _ in calls.most_common():
        if number not in numbers.values():
            numbers.setdefault(name, number)
    return numbers


# ---- what becomes of it ----


class Adoption:
    """Takes over what `find` found, and ends what cannot go on."""

    def __init__(self, dispatcher: Dispatcher, access: AccessMethod, executor: Executor) -> None:
        self._dispatcher = dispatcher
        self._manager = dispatcher.manager
        self._dataplane = dispatcher.dataplane
        self._access = access
        self._executor = executor
        self._log = structlog.get_logger("adoption")

    async def run(self, found: Sequence[Left], now: float) -> Reconciled:
        """Adopt what can go on; tell the clients of the rest, and close it: `release` is to follow.

        Raises: AdoptionError when the dataplane does not follow within WAIT_S.
        """
        adopted: list[Session] = []
        refused: list[Left] = []
        for batch in _batches(found):
            for left in batch:
                session = self._adopt(left, now)
                if session is None:
                    refused.append(left)
                else:
                    adopted.append(session)
            await self._carry_out(now)
        self._catch_up(adopted, now)
        await self._carry_out(now)
        return Reconciled(adopted, await self._end(refused, now))

    async def release(self, ended: Sequence[Ended], now: float) -> None:
        """Let sessions go that were closed: nothing of theirs is owed any more.

        Raises: AdoptionError when the dataplane does not within WAIT_S.
        """
        for batch in _batches(ended):
            for each in batch:
                self._session_command(CommandType.SESSION_RELEASE, each.handle)
            await self._reached([each.handle for each in batch], lib.SESSION_FREE, now)
            for each in batch:
                self._dataplane.clear_control(each.handle.index)

    # ---- those that go on ----

    def _adopt(self, left: Left, now: float) -> Session | None:
        manager = self._manager
        try:
            session = adoption.adopt(manager, self._access, left, now)
        except NotAdoptedError as why:
            self._log.warning(
                "not-adopted",
                session=left.acct_session_id,
                mac=str(left.mac),
                line=str(left.line),
                why=str(why),
            )
            return None
        try:
            self._executor.run(manager.take())
        except Exception:
            # A record that says what no command can carry costs its session, not the box.
            self._log.exception("adoption-error", session=session.acct_session_id)
            manager.end(session, Cause.NAS_ERROR, "adoption", now)
        return session

    def _catch_up(self, adopted: list[Session], now: float) -> None:
        """Act on what the dataplane told a bngd that is gone: of that, only flags are left."""
        manager, dataplane = self._manager, self._dataplane
        for session in adopted:
            index, generation = session.index, session.handle.generation
            flags = int(dataplane.session_cold[index].flags)
            if flags & lib.SESSION_FLAG_ECHO_LOST:
                manager.echo_lost(index, generation, now)
            elif flags & lib.SESSION_FLAG_IDLE:
                manager.idle(index, generation, now)
        for port in {session.line.port for session in adopted}:
            if not dataplane.ports[port].flags & lib.PORT_UP:
                manager.drain.port_down(port, now)

    # ---- those that end ----

    async def _end(self, refused: Sequence[Left], now: float) -> list[Ended]:
        for batch in _batches(refused):
            for left in batch:
                padt = Discovery.padt(left.line, left.mac, left.session_id, NO_MESSAGE)
                send = SendDiscovery(left.handle.worker, left.line, padt.dst, padt.payload)
                routes = (DeleteRoute(left.handle, prefix) for prefix in _routes(left))
                self._executor.run([send, *routes])
                self._session_command(CommandType.SESSION_CLOSE, left.handle)
            await self._reached([left.handle for left in batch], lib.SESSION_CLOSED, now)
        return [
            Ended(
                acct_session_id=left.acct_session_id,
                handle=left.handle,
                record=left.record,
                counters=read_counters(self._dataplane, left.handle.index),
                cause=_cause(left),
            )
            for left in refused
        ]

    def _session_command(self, kind: CommandType, handle: Handle) -> None:
        """Queue a command that is answered when it fails only: no session waits for it."""
        record = session_record(kind, handle.index, handle.generation, 0, quiet=True)
        self._dataplane.command(handle.worker, record)

    # ---- the dataplane ----

    async def _carry_out(self, now: float) -> None:
        """Push what is queued, as the rings have room."""

        def pushed() -> bool:
            self._dispatcher.complete(now)
            return self._dispatcher.settle()

        await _until(pushed, "takes no commands")
        await asyncio.sleep(0)

    async def _reached(self, handles: Sequence[Handle], state: int, now: float) -> None:
        """Wait until the entries are all in *state*."""
        entries = [self._dataplane.session_in[handle.index] for handle in handles]
        await self._carry_out(now)
        await _until(lambda: all(e.state == state for e in entries), "still holds old sessions")


def _cause(left: Left) -> Cause:
    """Return why it ends: what its record says, else that we could not go on with it."""
    said = left.record.get("cause")
    return (
        Cause.__members__.get(said, Cause.NAS_REBOOT) if isinstance(said, str) else Cause.NAS_REBOOT
    )


def _routes(left: Left) -> list[IPv4Network | IPv6Network]:
    """Return what leads to the session: as its record has it, and what the dataplane knows."""
    known = {IPv4Network(host) for host in (left.address, left.nat_public) if host is not None}
    known6 = set() if left.ipv6_prefix is None else {left.ipv6_prefix}
    with suppress(ValueError):
        ipv6 = ipv6_side.read(left.record)
        known6 |= set(() if ipv6 is None else ipv6.routes())
    recorded = left.record.get("routes")
    if isinstance(recorded, list):
        with suppress(ValueError):
            known |= {IPv4Network(str(route)) for route in recorded}
    return [*sorted(known), *sorted(known6)]


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


async def _until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until *condition*. Raises: AdoptionError after WAIT_S."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    while not condition():
        if loop.time() > deadline:
            raise AdoptionError(f"the dataplane {otherwise}")
        await asyncio.sleep(POLL_S)
