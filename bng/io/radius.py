"""RADIUS on the event loop: questions to servers, answers to the core, accounting to the spool."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

import structlog

from bng.aaa import requests
from bng.aaa.model import AccessAnswer, AccessRequest
from bng.aaa.radius import Question, RadiusBackend, Reply
from bng.aaa.reading import Value
from bng.aaa.requests import AccountStatus, Nas, Usage
from bng.ppp.credentials import encode_name
from bng.session.actions import Account
from bng.session.ipv6_side import Ipv6Side
from bng.session.model import Cause, Counters, Session
from radius.accounting import EVERYBODY, Accounting
from radius.client import Answered, Client, Exchange, Failed
from radius.dictionary import Dictionary
from radius.errors import MalformedValue
from radius.link import Link
from radius.packet import Code, Packet, Request
from radius.settings import Group
from radius.spool import Account as OpenAccount
from radius.spool import Record, Spool

OF_BOTH = 4
"""Counters in the spool of accounts that say nothing of IPv6."""


def client(group: Group, dictionary: Dictionary, nas: Nas) -> Client:
    """Return a client for *group* with the entropy and the time of day of this host."""
    return Client(
        group,
        dictionary,
        entropy=os.urandom,
        jitter=lambda: random.uniform(-1, 1),
        wall=time.time,
        probe=Request(code=Code.STATUS_SERVER, attributes=tuple(requests.identity(nas))),
    )


def values(packet: Packet) -> tuple[tuple[str, Value], ...]:
    """Return the attributes of *packet* by name; a value that is malformed is its bytes."""
    dictionary = packet.dictionary
    found: list[tuple[str, Value]] = []
    for key, data in packet.attributes:
        try:
            value = dictionary.decode(key, data)
        except MalformedValue:
            value = data
        found.append((dictionary.name(key), value))
    return tuple(found)


class RadiusAccess:
    """Access-Requests: carries questions of a `RadiusBackend`, brings *answered* the answers."""

    def __init__(
        self, core: Client, answered: Callable[[AccessRequest, AccessAnswer], None]
    ) -> None:
        self.link = Link(core, self._ended, time.monotonic)
        self.backend: RadiusBackend | None = None
        self._answered = answered
        self._asked: dict[tuple[int, int], Exchange] = {}
        self._log = structlog.get_logger("radius")

    def ask(self, question: Question) -> None:
        """Send an Access-Request; one that cannot be written is answered with a reject."""
        request = Request(
            code=Code.ACCESS_REQUEST,
            attributes=question.attributes,
            password=question.password,
        )
        try:
            key = question.request.key
            self._asked[key] = self.link.client.submit(request, question, time.monotonic())
        except MalformedValue as why:  # the core waits for no answer yet
            reject = self._backend.not_askable(str(why))
            asyncio.get_running_loop().call_soon(self._answered, question.request, reject)
        self.link.settle()

    def withdraw(self, key: tuple[int, int]) -> None:
        """Cancel the request of a session that is gone, or asks anew."""
        if (exchange := self._asked.pop(key, None)) is not None:
            self.link.client.cancel(exchange)

    @property
    def _backend(self) -> RadiusBackend:
        assert self.backend is not None  # noqa: S101 - set when the box starts
        return self.backend

    async def try_out(self, request: Request) -> Answered | Failed:
        """Send *request*, of which nothing comes but its end."""
        end: asyncio.Future[Answered | Failed] = asyncio.get_running_loop().create_future()
        self.link.client.submit(request, end, time.monotonic())
        self.link.settle()
        return await end

    def _ended(self, end: Answered | Failed) -> None:
        if isinstance(end.token, asyncio.Future):
            if not end.token.done():
                end.token.set_result(end)
            return
        question = cast(Question, end.token)
        backend, request = self._backend, question.request
        self._asked.pop(request.key, None)
        now = time.monotonic()
        if isinstance(end, Answered):
            accepted = end.reply.code is Code.ACCESS_ACCEPT
            reply = Reply(accepted, values(end.reply), end.server)
            answer, warnings = backend.answer(question, reply, now)
            for warning in warnings:
                self._log.warning(
                    "attribute-without-effect",
                    session=request.acct_session_id,
                    user=request.user_name,
                    server=end.server,
                    attribute=warning,
                )
        else:
            answer = backend.unanswered(question, end.reason.value, now)
        self._answered(request, answer)


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended whose core is gone: when (wall time), why, with what counters.

    *counters* None: nobody has them; those of its account are the last that are known.
    """

    wall: float
    cause: Cause
    counters: Counters | None = None


class RadiusAccounting:
    """Accounting-Requests: from `bng.session.actions.Account` to the spool.

    *read* reads the counters of a session index as they are. *committed* is called with index and
    generation of each session whose Stop is on disk.
    """

    def __init__(
        self,
        spool: Spool,
        clients: Mapping[str, Client],
        nas: Nas,
        read: Callable[[int], Counters],
        committed: Callable[[int, int], None],
    ) -> None:
        self.nas = nas
        self._read = read
        self._committed = committed
        self.accounting = Accounting(spool, clients, time.monotonic, self._written)

    def account(self, action: Account) -> None:
        """Take what a session has to report."""
        self._report(action, time.time() - (time.monotonic() - action.at))

    def start(self, session: Session, now: float) -> None:
        """Report a Start that was lost: the session has been up for a while."""
        assert session.up_at is not None  # noqa: S101 - it is up
        lost = Account(session, AccountStatus.START, None, 0, session.up_at)
        self._report(lost, time.time() - (now - session.up_at))

    def whole(self, session: Session, counters: Counters, now: float) -> None:
        """Report Start and Stop of a session of which nothing was reported."""
        assert session.up_at is not None  # noqa: S101 - it was up
        seconds, wall = int(now - session.up_at), time.time()
        start = Account(session, AccountStatus.START, None, 0, session.up_at)
        self._put(start, None, wall - seconds)
        self._put(Account(session, AccountStatus.STOP, None, seconds, now), counters, wall)

    def _report(self, action: Account, wall: float) -> None:
        session, status, counters = action.session, action.status, action.counters
        if status is AccountStatus.START:
            self._put(action, None, wall)
            return
        if not self.accounting.spool.is_open(session.acct_session_id):  # its Start was lost
            start = replace(action, status=AccountStatus.START)
            self._put(start, None, wall - action.seconds)
        tag = None
        if status is AccountStatus.STOP:
            tag = (session.acct_session_id, session.handle.index, session.handle.generation)
        self._put(action, counters or self._read(session.index), wall, tag)

    def _put(
        self, action: Account, counters: Counters | None, wall: float, tag: object = None
    ) -> None:
        session = action.session
        pairs = _attributes(self.nas, session, action, counters, wall)
        record = Record(session.acct_session_id, wall, tuple(pairs))
        if action.status is AccountStatus.STOP:
            self.accounting.put(record, tag, closes=True)
        else:
            seconds = 0 if counters is None else action.seconds
            self.accounting.put(record, counters=_numbers(counters or Counters(), seconds))

    def stop(self, account: OpenAccount, end: End) -> None:
        """Report the Stop of a session that is gone; *account* is what was known of it."""
        try:
            last, (seconds, carried) = account.attributes, _usage(account.counters)
        except ValueError as why:  # damaged on the disk: a server still learns that it ended
            log = structlog.get_logger("accounting")
            log.error("account-damaged", session=account.session, error=str(why))
            last = (*requests.identity(self.nas), ("Acct-Session-Id", account.session))
            seconds, carried = 0, Usage()
        if end.counters is not None:
            seconds = max(seconds, seconds + int(end.wall - account.seen_at))
            carried = _carried(end.counters)
        pairs = requests.closing(last, carried, seconds, end.wall, end.cause.acct_terminate_cause)
        self.accounting.put(Record(account.session, end.wall, tuple(pairs)), closes=True)

    def checkpoint(self, session: Session, now: float) -> None:
        """Write down what a session has carried so far; `radius.accounting.Accounting.write`."""
        assert session.up_at is not None  # noqa: S101 - it is accounted for
        known = _numbers(self._read(session.index), int(now - session.up_at))
        self.accounting.spool.checkpoint(session.acct_session_id, time.time(), known)

    def box(self, status: AccountStatus, acct_session_id: str) -> None:
        """Report Accounting-On or -Off (RFC 2866 §4.1)."""
        wall = time.time()
        pairs = requests.on_off(self.nas, status, acct_session_id, wall)
        self.accounting.put(Record(EVERYBODY, wall, tuple(pairs)), None)

    def _written(self, tag: object) -> None:
        """The Stop of a session is on disk: its entry may go, then what tells that it had one."""
        session, index, generation = cast(tuple[str, int, int], tag)
        self._committed(index, generation)
        self.accounting.spool.released(session)


def _attributes(
    nas: Nas, session: Session, action: Account, counters: Counters | None, wall: float
) -> requests.Attributes:
    accept, cause = session.accept, session.cause
    found: requests.Attributes = [
        ("Acct-Status-Type", int(action.status)),
        ("User-Name", encode_name(session.user_name or "")),
    ]
    found += requests.subscriber(nas, session)
    if session.ipv4_address is not None:
        found.append(("Framed-IP-Address", session.ipv4_address))
    if session.ipv6 is not None:
        found += _ipv6(session.ipv6)
    if session.nat_public is not None:
        found.append(("Bng-Nat-Address", session.nat_public))
    if accept is not None:
        found.append(
            (
                "Acct-Authentic",
                requests.AUTHENTIC_RADIUS if accept.by_server else requests.AUTHENTIC_LOCAL,
            )
        )
        found += (("Class", value) for value in accept.classes)
    found.append(("Event-Timestamp", int(wall)))
    if counters is not None:
        found += requests.usage(_carried(counters), action.seconds)
    if action.status is AccountStatus.STOP and cause is not None:
        found.append(("Acct-Terminate-Cause", cause.acct_terminate_cause))
    return found


def _ipv6(side: Ipv6Side) -> requests.Attributes:
    """Return what a session has: RFC 3162 §2.3, RFC 6911 §3.1, RFC 4818 §3."""
    found: requests.Attributes = []
    if side.prefix is not None:
        found.append(("Framed-IPv6-Prefix", side.prefix))
    found += (("Framed-IPv6-Address", address) for address in side.addresses)
    found += (("Delegated-IPv6-Prefix", prefix) for prefix in side.delegated)
    return found


def _carried(counters: Counters) -> Usage:
    return Usage(
        in_bytes=counters.in_bytes,
        in_packets=counters.in_packets,
        out_bytes=counters.out_bytes,
        out_packets=counters.out_packets,
        in6_bytes=counters.in6_bytes,
        in6_packets=counters.in6_packets,
        out6_bytes=counters.out6_bytes,
        out6_packets=counters.out6_packets,
    )


def _numbers(counters: Counters, seconds: int) -> tuple[int, ...]:
    """Return what the spool keeps of an open account; `_usage` reads it."""
    return seconds, *_carried(counters).numbers


def _usage(numbers: tuple[int, ...]) -> tuple[int, Usage]:
    """Return the seconds that a session had lasted, and what it had carried by then.

    What was written by a bngd without IPv6 has the first counters alone. Raises: ValueError.
    """
    seconds, *carried = numbers
    known = [field.name for field in fields(Usage)]
    if len(carried) not in (OF_BOTH, len(known)):
        raise ValueError(f"{len(numbers)} counters")
    return seconds, Usage(**dict(zip(known, carried, strict=False)))
