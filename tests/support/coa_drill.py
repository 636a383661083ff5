"""The CoA drill: rate changes by the thousand, each acknowledgement held against the dataplane.

One client of dynamic authorisation with several ports sends at a pace: changes of rates, never two
at once for a session; repetitions, at once and later; requests that are wrong, each in its own way.
When an ACK arrives, the policer is read from the arena; of some, packets are sent against it. All
that is not as it must be is a violation.
"""

import collections
import contextlib
import itertools
import random
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from dataplane.binding import Direction, ffi, lib
from tests.support.client.load import LoadClient, percentiles
from tests.support.client.subscriber import Subscriber
from tests.support.netns import inside
from tests.support.radius_orders import Request, Value, cause_of, verified

PORTS = 8
RETRY_S = 2.0
PATIENCE_S = 10.0
REPEATED, WRONG, MEASURED = 0.05, 0.1, 25
"""Shares of the requests that are repeated or wrong; of so many changes one is measured."""
NO_ANSWER = -1
LOW_BPS, HIGH_BPS = 100_000, 50_000_000
BURST_BYTES = 15_000
"""What a policer's bucket holds at the low rate (`bng.aaa.model.LEAST_BURST_BYTES`)."""
PROBES, PROBE_BYTES, PROBE_EVERY_S, PROBE_TAKES_S = 40, 1_000, 0.03, 0.3
PPP_IPV4 = b"\x00\x21"
PROXY_STATE, PROXY_BYTES = 33, 8

Pairs = tuple[tuple[str, Value], ...]


@dataclass(slots=True)
class Target:
    """A session, and the rate that was acknowledged last."""

    subscriber: Subscriber
    index: int
    rate: int = 0
    busy: bool = False


@dataclass(slots=True)
class Sent:
    """A request on its way, or answered."""

    port: int
    data: bytes
    expected: int | None
    at: float
    target: Target | None = None
    rate: int = 0
    probe: bool = False
    tries: int = 1
    repeated_at: float = 0.0
    answer: bytes | None = None


@dataclass(slots=True)
class Probe:
    """A burst to be sent, or to be looked at: then *before* is what was charged before it."""

    target: Target
    rate: int
    due_at: float
    sent_at: float = 0.0
    before: int | None = None


@dataclass(slots=True)
class Result:
    """What came of it. *violations* is empty when every answer was true."""

    requests: int = 0
    repetitions: int = 0
    acks: int = 0
    naks: dict[int, int] = field(default_factory=dict)
    dropped: int = 0
    probed: int = 0
    retransmitted: int = 0
    seconds: float = 0.0
    answer_s: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


class Arena:
    """What is read of the dataplane's arena."""

    def __init__(self, binding: Any) -> None:
        self._in = _entries(binding, lib.SECTION_SESSION_IN, "struct session_in")
        self._policers = _entries(binding, lib.SECTION_POLICER, "struct policer")
        header = ffi.cast("struct arena_header *", lib.binding_base(binding))
        self._size = int(header.max_sessions)

    def indexes(self) -> dict[IPv4Address, int]:
        """Return the sessions that forward, by address."""
        found = {}
        for index in range(self._size):
            if self._in[index].state == lib.SESSION_LIVE:
                raw = bytes(ffi.buffer(ffi.addressof(self._in[index], "ip4"), 4))
                found[IPv4Address(raw)] = index
        return found

    def rate(self, index: int, direction: Direction) -> int:
        """Return the committed rate of a policer."""
        return int(self._policers[2 * index + direction].cir_bps)

    def charged(self, index: int) -> int:
        """Return how many packets of the subscriber were let through."""
        return int(self._in[index].packets)


def _entries(binding: Any, section: int, kind: str) -> Any:
    return ffi.cast(f"{kind} *", lib.binding_section(binding, section))


class Drill:
    """One run: *clients* are up, *arena* is theirs, the box listens at *box*."""

    def __init__(
        self,
        clients: LoadClient,
        arena: Arena,
        box: tuple[str, int],
        netns: str | None,
        *,
        secret: bytes,
        seed: int = 1,
    ) -> None:
        self.result = Result()
        self._clients, self._arena, self._secret = clients, arena, secret
        indexes = arena.indexes()
        self._targets = [Target(s, indexes[s.address]) for s in clients.subscribers]
        self._random = random.Random(seed)
        self._serials = itertools.count(1)
        self._wrong = itertools.cycle(WRONG_KINDS)
        self._under_way: dict[tuple[int, int], Sent] = {}
        self._done: dict[tuple[int, int], Sent] = {}
        self._probes: collections.deque[Probe] = collections.deque()
        self._answer_s: list[float] = []
        with inside(netns):
            self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PORTS)]
        for made in self._sockets:
            made.setblocking(False)
            made.connect(box)
        self._identifiers = [itertools.cycle(range(256)) for _ in range(PORTS)]

    def run(self, changes: int, per_s: float) -> Result:
        """Send *changes* rate changes and what goes with them; return when all is answered."""
        began = time.monotonic()
        made = 0
        while made < changes:
            due = min(changes, int((time.monotonic() - began) * per_s) + 1)
            for _ in range(min(due - made, 16)):
                if not self._change(made):
                    break
                made += 1
                if self._random.random() < WRONG:
                    self._send_wrong()
                if self._random.random() < REPEATED:
                    self._repeat()
            self._receive(0.001)
        self.result.seconds = time.monotonic() - began
        end = time.monotonic() + PATIENCE_S
        while (self._waiting() or self._probes) and time.monotonic() < end:
            self._receive(0.01)
        for sent in self._waiting():
            self._violate(f"no answer to what expects {sent.expected}")
        self._final_state()
        self.result.answer_s = percentiles(self._answer_s)
        for made_socket in self._sockets:
            made_socket.close()
        return self.result

    # ---- what is sent

    def _change(self, number: int) -> bool:
        """Change a rate of a session that nothing is under way for; False: those tried are busy."""
        free = [t for t in self._random.sample(self._targets, 8) if not t.busy]
        if not free:
            return False
        target = free[0]
        probe = number % MEASURED == 0
        way = "Up" if probe else "Down"
        rate = self._random.choice((LOW_BPS, HIGH_BPS) if probe else range(1_000_000, 99_000_000))
        key = ("Framed-IP-Address", target.subscriber.address)
        sent = self._send((key, (f"WISPr-Bandwidth-Max-{way}", rate)), None)
        sent.target, sent.rate, sent.probe = target, rate, probe
        target.busy = True
        if self._random.random() < REPEATED:  # before it can have been answered
            self._again(sent)
        return True

    def _send_wrong(self) -> None:
        expected, pairs, options = next(self._wrong)
        user = self._random.choice(self._targets).subscriber.user.decode()
        self._send(pairs(user), expected, **options)

    def _repeat(self) -> None:
        """Send what was answered lately once more: maybe a rate that its session had before."""
        if self._done:
            self._again(self._random.choice(list(self._done.values())))

    def _send(self, pairs: Pairs, expected: int | None, **options: Any) -> Sent:
        serial = next(self._serials)
        port = serial % PORTS
        while not self._free(key := (port, next(self._identifiers[port]))):
            self._receive(0)
        unique = bytes((PROXY_STATE, 2 + PROXY_BYTES)) + serial.to_bytes(PROXY_BYTES, "big")
        request = Request(
            *pairs, identifier=key[1], raw=unique, **{"secret": self._secret, **options}
        )
        sent = Sent(port, request.encode(), expected, time.monotonic())
        self._done.pop(key, None)
        self._under_way[key] = sent
        self._put(sent)
        if expected == NO_ANSWER:
            self.result.dropped += 1
        else:
            self.result.requests += 1
        return sent

    def _free(self, key: tuple[int, int]) -> bool:
        """Say whether an identifier has no answer to come."""
        done = self._done.get(key)
        repeated = done is not None and time.monotonic() - done.repeated_at < RETRY_S
        return key not in self._under_way and not repeated

    def _again(self, sent: Sent) -> None:
        if sent.expected != NO_ANSWER:
            self.result.repetitions += 1
            sent.repeated_at = time.monotonic()
            self._put(sent)

    def _put(self, sent: Sent) -> None:
        with contextlib.suppress(BlockingIOError):  # it is sent again
            self._sockets[sent.port].send(sent.data)

    # ---- what comes back

    def _waiting(self) -> list[Sent]:
        return [s for s in self._under_way.values() if s.expected != NO_ANSWER]

    def _receive(self, timeout_s: float) -> None:
        ready, _, _ = select.select(self._sockets, [], [], timeout_s)
        self._clients.dialer.step(0)
        for made in ready:
            port = self._sockets.index(made)
            while (data := _received(made)) is not None:
                self._take(port, data)
        self._go_on()
        now = time.monotonic()
        for key, sent in list(itertools.islice(self._under_way.items(), 64)):
            if sent.expected == NO_ANSWER:
                if now - sent.at > RETRY_S:  # nothing came: as it must be
                    del self._under_way[key]
            elif now - sent.at > RETRY_S * sent.tries:
                sent.tries += 1
                self.result.retransmitted += 1
                self._again(sent)

    def _take(self, port: int, data: bytes) -> None:
        """Judge an answer."""
        sent = self._under_way.pop((port, data[1]), None)
        if sent is None:
            before = self._done.get((port, data[1]))
            if before is None or before.answer != data:
                self._violate("an answer to nothing, or another one than before")
            return
        sent.answer = data
        self._answer_s.append(time.monotonic() - sent.at)
        try:
            verified(data, sent.data, self._secret)
            if data[-PROXY_BYTES:] != sent.data[-PROXY_BYTES:]:
                self._violate("Proxy-State is not as it was")
            found = cause_of(data)
        except AssertionError as error:
            self._violate(f"not genuine: {error}")
            return
        if found != sent.expected:
            self._violate(f"{found} in place of {sent.expected}")
        if found is None:
            self.result.acks += 1
        else:
            self.result.naks[found] = self.result.naks.get(found, 0) + 1
        if sent.target is not None:
            self._hold_against(sent, sent.target, found)
        self._done[port, data[1]] = sent

    def _hold_against(self, sent: Sent, target: Target, found: int | None) -> None:
        """Compare what is acknowledged with what the dataplane does."""
        target.busy = False
        if found is not None:
            return
        direction = Direction.IN if sent.probe else Direction.OUT
        rate = self._arena.rate(target.index, direction)
        if rate != sent.rate:
            self._violate(f"{sent.rate} bit/s is acknowledged, the policer has {rate}")
        if sent.probe:
            self._begin_probe(target, sent.rate)
        else:
            target.rate = sent.rate

    def _begin_probe(self, target: Target, rate: int) -> None:
        """Have a burst sent when a bucket that was empty has filled at the new rate."""
        target.busy = True
        self._probes.append(Probe(target, rate, time.monotonic() + PROBE_EVERY_S))

    def _go_on(self) -> None:
        """Send the bursts that are due, and look at what became of those before."""
        while self._probes and self._probes[0].due_at <= time.monotonic():
            probe = self._probes.popleft()
            if probe.before is not None:
                self._judge(probe, probe.before)
                continue
            target = probe.target
            probe.before = self._arena.charged(target.index)
            for number in range(PROBES):
                packet = udp(target.subscriber.address, number)
                target.subscriber.send_ppp(PPP_IPV4 + packet)
            probe.sent_at = time.monotonic()
            probe.due_at = probe.sent_at + PROBE_TAKES_S
            self._probes.append(probe)

    def _judge(self, probe: Probe, before: int) -> None:
        """At the low rate a burst is cut to the bucket, at the high one it is not."""
        passed = self._arena.charged(probe.target.index) - before
        age = time.monotonic() - probe.sent_at
        if passed < PROBES and probe.rate == HIGH_BPS and age < PATIENCE_S / 2:
            probe.due_at += PROBE_TAKES_S  # they are on their way on a busy machine
            self._probes.append(probe)
            return
        self.result.probed += 1
        probe.target.busy = False
        filled = (BURST_BYTES + LOW_BPS / 8 * age) / PROBE_BYTES
        most = filled if probe.rate == LOW_BPS else PROBES
        least = PROBES if probe.rate == HIGH_BPS else 1
        if not least <= passed <= most:
            self._violate(f"at {probe.rate} bit/s {passed} of {PROBES} packets passed")

    def _final_state(self) -> None:
        """No repetition of an old change has changed anything."""
        for target in self._targets:
            rate = self._arena.rate(target.index, Direction.OUT)
            if target.rate and rate != target.rate:
                self._violate(f"in the end the policer has {rate}, not {target.rate}")

    def _violate(self, what: str) -> None:
        self.result.violations.append(what)


def _received(made: socket.socket) -> bytes | None:
    try:
        return made.recv(4096)
    except BlockingIOError:
        return None


def udp(source: IPv4Address, number: int) -> bytes:
    """Return an IPv4 packet of `PROBE_BYTES` to the internet side."""
    body = struct.pack("!HHHH", 40_000, 9, PROBE_BYTES - 20, 0).ljust(PROBE_BYTES - 20, b"\0")
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, PROBE_BYTES, number, 0, 64, 17, 0),
        source.packed,
        IPv4Address("192.0.2.2").packed,
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum: int = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + checksum.to_bytes(2, "big") + head[12:] + body


RATE = ("WISPr-Bandwidth-Max-Down", 77_777)
WrongKind = tuple[int, Callable[[str], Pairs], dict[str, Any]]
WRONG_KINDS: tuple[WrongKind, ...] = (
    (401, lambda user: (("User-Name", user), ("Framed-Pool", "x"), RATE), {}),
    (402, lambda user: (RATE,), {}),
    (403, lambda user: (("User-Name", user), ("NAS-Identifier", "other"), RATE), {}),
    (404, lambda user: (("User-Name", user), ("User-Name", user), RATE), {}),
    (405, lambda user: (("User-Name", user), ("Service-Type", 1), RATE), {}),
    (407, lambda user: (("User-Name", user), RATE, ("Filter-Id", "nosuch")), {}),
    (503, lambda user: (("User-Name", user), ("NAS-Port-Id", "elsewhere"), RATE), {}),
    (508, lambda user: (("Called-Station-Id", "acc0"), RATE), {}),
    (NO_ANSWER, lambda user: (("User-Name", user), RATE), {"secret": b"guess"}),
    (NO_ANSWER, lambda user: (("User-Name", user), RATE, ("Event-Timestamp", 1_000)), {}),
)
"""Error-Cause, attributes, and how else the request is made. None may change the rate."""
