"""The RADIUS client (RFC 2865, 2866, 5080, 5997), sans-IO: one group of servers in one role.

`submit` a request; `receive` what comes from servers; `tick` when `next_deadline` has come; `take`
what is to be sent and what has ended. A request goes to the best server that is alive: the same
packet again after 2, 4, 8 s (RFC 5080 §2.2.1), later when its answers take longer, then anew to the
next server. A server to which a request was in vain is dead when it answered nothing else since
that request was first sent; all that waits for it goes to others at once. With every server dead,
requests fail at once: whoever asked has a policy for that. Over a reliable transport nothing is
sent twice (RFC 6613 §2.6.1).

A request that nobody waits for any more is cancelled: it leaves the queue, or is not sent again.
Its identifier is free when it is answered or would have been given up (RFC 5080 §2.2.2). That it
has no answer says little of a server that was not asked again: one that is silent is probed.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from radius.dictionary import Dictionary
from radius.errors import MalformedPacket
from radius.packet import (
    HEADER_BYTES,
    SIGNED,
    BadReply,
    Code,
    Encoded,
    Packet,
    Request,
    encode,
    verify_reply,
)
from radius.server import ServerState
from radius.settings import Group, Transport

JITTER = 0.1
ANSWER_COUNTERS = {
    Code.ACCESS_ACCEPT: "accepts",
    Code.ACCESS_REJECT: "rejects",
    Code.ACCESS_CHALLENGE: "challenges",
    Code.ACCOUNTING_RESPONSE: "responses",
}


class Failure(StrEnum):
    """Why a request got no answer."""

    TIMEOUT = "timeout"
    NO_SERVER = "no-server"
    """Every server is dead."""
    QUEUE_FULL = "queue-full"


@dataclass(frozen=True, slots=True)
class Send:
    """Send *data* to a server from one of its source ports, numbers of both."""

    server: int
    socket: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The request called *token* is answered by *server*."""

    token: object
    reply: Packet
    server: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The request called *token* has no answer and gets none."""

    token: object
    reason: Failure


Action = Send | Answered | Failed


@dataclass(slots=True, eq=False)
class Exchange:
    """A request under way. *token* None: nobody is told of its end, a probe or cancelled."""

    request: Request
    token: object | None
    submitted_at: float
    server: int = -1
    place: tuple[int, int] = (0, 0)
    sent: Encoded | None = None
    first_sent_at: float = 0.0
    tries: int = 0
    wait_s: float = 0.0
    deadline: float = 0.0
    tried: set[int] = field(default_factory=set)
    done: bool = False


class Client:
    """Requests to one *group*. *entropy* gives random bytes, *jitter* a number in -1..1.

    Assign to *group* what differs in its timing alone: it holds for waits to come.
    *wall* returns the time of day in seconds, for Acct-Delay-Time.
    """

    def __init__(
        self,
        group: Group,
        dictionary: Dictionary,
        *,
        entropy: Callable[[int], bytes],
        jitter: Callable[[], float],
        wall: Callable[[], float],
        probe: Request,
    ) -> None:
        self.group = group
        self.servers = [ServerState(settings) for settings in group.servers]
        self.counters: Counter[str] = Counter()
        self._dictionary = dictionary
        self._entropy, self._jitter, self._wall = entropy, jitter, wall
        self._probe = probe
        self._actions: list[Action] = []
        self._under_way: dict[tuple[int, int, int], Exchange] = {}
        self._queue: OrderedDict[Exchange, None] = OrderedDict()
        self._heap: list[tuple[float, int, Exchange]] = []
        self._serial = 0

    # ---- from outside ----

    def submit(self, request: Request, token: object, now: float) -> Exchange:
        """Ask; *token* comes back with the answer; what is returned is for `cancel`.

        Raises: MalformedValue, DictionaryError.
        """
        exchange = Exchange(request, token, now)
        self._assign(exchange, now)
        return exchange

    def cancel(self, exchange: Exchange) -> None:
        """Take notice that nobody waits for *exchange* any more: its token never comes back."""
        if exchange.done or exchange.token is None:
            return
        self.counters["cancelled"] += 1
        exchange.token = None
        if exchange.server < 0:
            del self._queue[exchange]
            exchange.done = True

    def receive(self, server: int, socket: int, data: bytes, now: float) -> bool:
        """Take a packet from a server, to one of its source ports. What is none is counted.

        False: it is broken or not the server's; a stream has to be closed (RFC 6613 §2.6.4).
        """
        state = self.servers[server]
        if len(data) < HEADER_BYTES:
            state.counters["malformed"] += 1
            return False
        exchange = self._under_way.get((server, socket, data[1]))
        if exchange is None or exchange.sent is None:
            state.counters["unexpected"] += 1  # a late answer, or a forged one
            return True
        try:
            reply = verify_reply(
                self._dictionary,
                exchange.sent,
                data,
                demand_signature=state.settings.demand_signature,
            )
        except MalformedPacket:
            state.counters["malformed"] += 1
        except BadReply:
            state.counters["bad_replies"] += 1
        else:
            self._answer(exchange, state, reply, now)
            return True
        return False

    def lost(self, server: int, socket: int, now: float, *, opened_at: float | None) -> None:
        """A reliable connection broke, or (*opened_at* None) could not be made.

        What waits on it is sent elsewhere, or anew (RFC 6613 §2.6.1). A server that answered
        nothing over it is dead.
        """
        state = self.servers[server]
        state.counters["connections_lost"] += 1
        if opened_at is None or state.heard_at is None or state.heard_at < opened_at:
            self._bury(server, now)
            return
        stranded = [e for (of, at, _), e in self._under_way.items() if (of, at) == (server, socket)]
        for exchange in stranded:
            self._elsewhere(exchange, now)

    def tick(self, now: float) -> None:
        """Send again, go to the next server, give up, probe."""
        while self._heap and self._heap[0][0] <= now:
            _, _, exchange = heapq.heappop(self._heap)
            if not exchange.done and exchange.deadline <= now:
                self._timed_out(exchange, now)
        for index, state in enumerate(self.servers):
            if state.probe_at is not None and state.probe_at <= now:
                state.probe_at = None
                if not state.alive(now):
                    self._send_probe(index, now)
        self._serve_queue(now)

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        while self._heap and self._heap[0][2].done:
            heapq.heappop(self._heap)
        due = self._heap[0][0] if self._heap else None
        for state in self.servers:
            if state.probe_at is not None and (due is None or state.probe_at < due):
                due = state.probe_at
        return due

    def take(self) -> list[Action]:
        """Return what is to be done, in order."""
        actions, self._actions = self._actions, []
        return actions

    @property
    def waiting(self) -> int:
        """How many requests wait for a free identifier."""
        return len(self._queue)

    def heard_since(self, at: float) -> bool:
        """Say whether any server has answered anything since *at*."""
        return any(state.heard_at is not None and state.heard_at > at for state in self.servers)

    def available(self, now: float) -> bool:
        """Say whether any server is alive."""
        return any(state.alive(now) for state in self.servers)

    # ---- where a request goes ----

    def _assign(self, exchange: Exchange, now: float) -> None:
        """Send *exchange* to the best server, queue it, or let it fail."""
        alive = [i for i, state in enumerate(self.servers) if state.alive(now)]
        if not alive:
            self._fail(exchange, Failure.NO_SERVER)
            return
        candidates = [index for index in alive if index not in exchange.tried]
        if not candidates:  # all that live were asked in vain: once more, until time is up
            exchange.tried.clear()
            candidates = alive
        best = min([self.servers[i].settings.priority for i in candidates])
        equals = [i for i in candidates if self.servers[i].settings.priority == best]
        server = self._weighted([i for i in equals if not self.servers[i].full])
        if server is not None:
            self._send(exchange, server, now)
        elif len(self._queue) >= self.group.queue_limit:
            self._fail(exchange, Failure.QUEUE_FULL)
        else:
            self._await(exchange, exchange.submitted_at + self.group.give_up_s)
            self._queue[exchange] = None

    def _weighted(self, candidates: list[int]) -> int | None:
        """Choose in turn, by weight, evenly spread."""
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        total = 0
        for index in candidates:
            state = self.servers[index]
            state.credit += state.settings.weight
            total += state.settings.weight
        chosen = max(candidates, key=lambda index: self.servers[index].credit)
        self.servers[chosen].credit -= total
        return chosen

    def _send(self, exchange: Exchange, server: int, now: float) -> None:
        """Send to *server* for the first time: a packet of its own."""
        state = self.servers[server]
        request = exchange.request
        delay_s = 0 if request.event_at is None else max(0, int(self._wall() - request.event_at))
        place = state.take_identifier()
        try:
            exchange.sent = encode(
                self._dictionary,
                request,
                identifier=place[1],
                secret=state.settings.secret,
                entropy=self._entropy,
                delay_s=delay_s,
            )
        except BaseException:
            state.free_identifier(place)
            raise
        exchange.server, exchange.place = server, place
        exchange.tried.add(server)
        exchange.first_sent_at = now
        exchange.tries = 0
        self._under_way[server, *place] = exchange
        self._transmit(exchange, now)

    def _transmit(self, exchange: Exchange, now: float) -> None:
        state, sent = self.servers[exchange.server], exchange.sent
        assert sent is not None  # noqa: S101 - _send encoded it
        state.counters["retransmits" if exchange.tries else "requests"] += 1
        exchange.tries += 1
        self._actions.append(Send(exchange.server, exchange.place[0], sent.data))
        self._await(exchange, now + self._wait_s(exchange))

    def _wait_s(self, exchange: Exchange) -> float:
        """RFC 5080 §2.2.1: IRT at first, then doubled up to MRT, each with its jitter.

        A server that answers late gets the time that it takes: what it is asked again then would
        only make it later.
        """
        group, state = self.group, self.servers[exchange.server]
        if state.settings.transport is Transport.TLS:
            return group.timeout_s * float(2**group.tries - 1)  # what all tries over UDP would take
        if exchange.tries == 1:
            first_s = max(group.timeout_s, state.patience_s)
            exchange.wait_s = first_s * (1 + JITTER * self._jitter())
        else:
            exchange.wait_s *= 2 + JITTER * self._jitter()
        if exchange.wait_s > group.max_timeout_s:
            exchange.wait_s = group.max_timeout_s * (1 + JITTER * self._jitter())
        return exchange.wait_s

    def _await(self, exchange: Exchange, deadline: float) -> None:
        if exchange.request is not self._probe:
            deadline = min(deadline, exchange.submitted_at + self.group.give_up_s)
        exchange.deadline = deadline
        self._serial += 1
        heapq.heappush(self._heap, (deadline, self._serial, exchange))

    # ---- how it ends ----

    def _answer(self, exchange: Exchange, state: ServerState, reply: Packet, now: float) -> None:
        state.answered(now - exchange.first_sent_at, now)
        state.probe_at = None
        self._release(exchange)
        exchange.done = True
        if exchange.request is self._probe:
            state.counters["probes_answered"] += 1
        else:
            state.counters[ANSWER_COUNTERS[reply.code]] += 1
        if exchange.token is not None:
            self._actions.append(Answered(exchange.token, reply, state.settings.name))
        self._serve_queue(now)

    def _timed_out(self, exchange: Exchange, now: float) -> None:
        if exchange.server < 0:  # it waited in the queue all the time
            del self._queue[exchange]
            self._fail(exchange, Failure.TIMEOUT)
            return
        state = self.servers[exchange.server]
        probe = exchange.request is self._probe
        given_up = not probe and now >= exchange.submitted_at + self.group.give_up_s
        silent = state.heard_at is None or state.heard_at < exchange.first_sent_at
        if exchange.token is None and not probe and not given_up:
            if silent:
                self._doubt(exchange.server, exchange.first_sent_at, now)
            self._await(exchange, exchange.submitted_at + self.group.give_up_s)
            return
        last = exchange.tries >= self.group.tries or (
            state.settings.transport is Transport.TLS or probe
        )
        if not last and not given_up:
            self._transmit(exchange, now)
            return
        state.counters["timeouts"] += 1
        server = exchange.server
        if given_up or probe:
            self._release(exchange)
            exchange.done = True
        if given_up and exchange.token is not None:
            self._fail(exchange, Failure.TIMEOUT)
        if last and silent:
            self._bury(server, now)
        elif not exchange.done:
            self._elsewhere(exchange, now)

    def _doubt(self, server: int, since: float, now: float) -> None:
        """Probe a server that has said nothing *since*, once."""
        state = self.servers[server]
        asked = state.probed_at is not None and state.probed_at >= since
        if self.group.probe_s is not None and state.alive(now) and not asked:
            self._send_probe(server, now)

    def _bury(self, server: int, now: float) -> None:
        """Mark a server dead; whatever waits for it goes to others at once."""
        state, group = self.servers[server], self.group
        if state.alive(now):
            state.counters["deaths"] += 1
        state.dead_until = now + group.dead_s
        if group.probe_s is not None:
            state.probe_at = now + group.probe_s * (1 + JITTER * self._jitter())
        stranded = [e for (of, _, _), e in self._under_way.items() if of == server]
        for exchange in stranded:
            if exchange.token is not None:
                self._elsewhere(exchange, now)

    def _elsewhere(self, exchange: Exchange, now: float) -> None:
        if exchange.done or exchange.sent is None:
            return
        self._release(exchange)
        if exchange.token is None:
            exchange.done = True
            return
        self.servers[exchange.server].counters["failovers"] += 1
        exchange.server = -1
        self._assign(exchange, now)

    def _release(self, exchange: Exchange) -> None:
        del self._under_way[exchange.server, *exchange.place]
        self.servers[exchange.server].free_identifier(exchange.place)
        exchange.sent = None

    def _fail(self, exchange: Exchange, reason: Failure) -> None:
        exchange.done = True
        self.counters[reason.value] += 1
        self._actions.append(Failed(exchange.token, reason))

    def _serve_queue(self, now: float) -> None:
        """Give identifiers that became free to those that waited longest."""
        while self._queue and any(s.alive(now) and not s.full for s in self.servers):
            before = len(self._queue)
            self._assign(self._queue.popitem(last=False)[0], now)
            if len(self._queue) >= before:  # nothing fit for it is free
                self._queue.move_to_end(next(reversed(self._queue)), last=False)
                return

    def _send_probe(self, server: int, now: float) -> None:
        """Ask a dead server whether it lives (RFC 5997 §4.2)."""
        state = self.servers[server]
        if state.full:
            state.probe_at = now + self.group.timeout_s
            return
        state.counters["probes"] += 1
        state.probed_at = now
        assert self._probe.code in SIGNED  # noqa: S101 - a Status-Server
        self._send(Exchange(self._probe, None, now), server, now)
