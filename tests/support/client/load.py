"""Many subscribers at a rate: sign-up storms, numbered traffic, hostile behaviour."""

import collections
import ipaddress
import math
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from tests.support.client import wire
from tests.support.client.dialer import Dialer
from tests.support.client.flows import ECHO_PORT, Address, Flow, numbered
from tests.support.client.layer import Phase, Profile
from tests.support.client.raw import PacketPort
from tests.support.client.subscriber import Subscriber

SOURCES: tuple[Callable[[Subscriber], Address], ...] = (
    attrgetter("address"),
    attrgetter("on_link"),
    attrgetter("at_home"),
)
"""What a subscriber with both families sends from."""


@dataclass(slots=True)
class LoadResult:
    """What came of a sign-up run."""

    count: int
    dialled: int
    opened: int
    seconds: float
    open_s: dict[str, float]
    failures: dict[str, int]
    lost: dict[str, int]
    cpu_s: float
    unsent: int
    overruns: int
    wrong_vlan: int
    malformed: int

    @property
    def rate(self) -> float:
        """Sessions opened per second, from the first dial to the last one open."""
        return self.opened / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class TrafficResult:
    """What came of numbered packets that a server echoed."""

    sent: int = 0
    returned: int = 0
    duplicated: int = 0
    misdelivered: int = 0
    seconds: float = 0.0
    gaps: dict[int, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Packets that never came back."""
        return self.sent - self.returned


def percentiles(values: list[float]) -> dict[str, float]:
    """Give p50, p90, p99 and the maximum of *values*, in their unit."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    marks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[math.ceil(last * share)], 4) for name, share in marks.items()}


def default_vlan(template: str | None, index: int) -> str | None:
    """Fill ``{c}`` (1..4094) and ``{s}`` (from 100) of a VLAN template for one subscriber."""
    return template.format(c=1 + index % 4094, s=100 + index // 4094) if template else None


class LoadClient:
    """*count* subscribers on one interface, dialled at *rate* per second.

    Subscriber *n* is ``user_format.format(n)`` with the Ethernet address 02:b0 and n, n counting
    from *first*, so several clients can share a port. *redial_s* dials a failed or lost one again.
    """

    def __init__(
        self,
        interface: str,
        count: int,
        rate: float,
        *,
        netns: str | None = None,
        user_format: str = "user{:05d}",
        password: str = "secret",
        auth: tuple[str, ...] = ("chap",),
        first: int = 0,
        vlan: str | None = None,
        redial_s: float | None = None,
        profile: Profile | None = None,
        control_only: bool = False,
        ring_frames: int = 16384,
    ) -> None:
        self.port = PacketPort(
            interface, netns=netns, frames=ring_frames, control_only=control_only
        )
        self.rate = rate
        self.dialer = Dialer(self.port, self._drop_data)
        self._redial_s = redial_s
        self._redials: collections.deque[tuple[float, Subscriber]] = collections.deque()
        self._dialled = 0
        self._started_at = self._last_open_at = 0.0
        self._up: set[int] = (
            set()
        )  # by index: one that negotiates anew, or dials again, counts once
        self._dual: set[int] = set()
        self._pending = count
        self._first_dial_at: dict[int, float] = {}
        self._open_s: dict[int, float] = {}
        self._failures: collections.Counter[str] = collections.Counter()
        self._lost: collections.Counter[str] = collections.Counter()
        self._cpu_s = 0.0
        profile = profile or Profile(auth=auth)
        self.subscribers = [
            Subscriber(
                index,
                b"\x02\xb0" + struct.pack("!I", index),
                user_format.format(index),
                password,
                profile=profile,
                send=self.port.send,
                report=self._event,
                tags=wire.vlan_bytes(default_vlan(vlan, index)),
            )
            for index in range(first, first + count)
        ]
        for subscriber in self.subscribers:
            self.dialer.add(subscriber)

    # --- Sign-up ---

    @property
    def up(self) -> int:
        """How many sessions are up now."""
        return len(self._up)

    @property
    def dual(self) -> int:
        """How many have got all that they want of IPv6 since they dialled first."""
        return len(self._dual)

    def run(
        self, *, timeout_s: float = 60, until: Callable[["LoadClient"], bool] | None = None
    ) -> LoadResult:
        """Dial everybody; return when all are open or failed, *until* says so, or time is over."""
        cpu_s = time.process_time()
        self._started_at = now = time.monotonic()
        end = now + timeout_s
        while (now := time.monotonic()) < end:
            due = min(len(self.subscribers), int((now - self._started_at) * self.rate) + 1)
            for subscriber in self.subscribers[self._dialled : min(due, self._dialled + 64)]:
                subscriber.start(now)
                self.dialer.arm(subscriber)
                self._first_dial_at[subscriber.index] = now
                self._dialled += 1
            self._redial(now)
            if until(self) if until else self._pending == 0:
                break
            self.dialer.step(0.001 if self._dialled < len(self.subscribers) else 0.05)
        self._cpu_s += time.process_time() - cpu_s
        return self.result()

    def serve(self, seconds: float) -> None:
        """Keep the sessions alive (answer echoes, take what comes) for *seconds*."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._redial(now)
            self.dialer.step(min(0.05, end - now))

    def result(self) -> LoadResult:
        """Say what came of it so far."""
        return LoadResult(
            count=len(self.subscribers),
            dialled=self._dialled,
            opened=len(self._open_s),
            seconds=round(max(self._last_open_at - self._started_at, 0.0), 4),
            open_s=percentiles(list(self._open_s.values())),
            failures=dict(self._failures),
            lost=dict(self._lost),
            cpu_s=round(self._cpu_s, 3),
            unsent=self.port.unsent,
            overruns=self.port.overruns(),
            wrong_vlan=self.dialer.wrong_vlan,
            malformed=self.dialer.malformed,
        )

    def terminate_all(self, how: str = "terminate", *, timeout_s: float = 10) -> None:
        """End all sessions: ``terminate`` (LCP, then PADT), ``padt`` or ``silence``."""
        self._redial_s = None
        self._redials.clear()
        now = time.monotonic()
        for subscriber in self.subscribers:
            if subscriber.phase != Phase.IDLE:
                subscriber.terminate(how, now)
                self.dialer.arm(subscriber)
                self.dialer.step(0)
        end = now + timeout_s
        while time.monotonic() < end and any(s.phase != Phase.IDLE for s in self.subscribers):
            self.dialer.step(0.02)

    def close(self) -> None:
        """Give the port back; sessions that are up are left to the server."""
        self.port.close()

    def _redial(self, now: float) -> None:
        while self._redials and self._redials[0][0] <= now:
            _, subscriber = self._redials.popleft()
            subscriber.start(now)
            self.dialer.arm(subscriber)

    def _event(self, subscriber: Subscriber, name: str, detail: str) -> None:
        index = subscriber.index
        if name == "up":
            self._last_open_at = subscriber.opened_at
            self._up.add(index)
            if index not in self._open_s:
                self._open_s[index] = subscriber.opened_at - self._first_dial_at[index]
                self._pending -= 1
        elif name == "ipv6":
            self._dual.add(index)
        elif name == "failed":
            self._failures[detail] += 1
            if self._redial_s is None and index not in self._open_s:
                self._pending -= 1
        elif name == "down":
            if not subscriber.failure and subscriber.opened_at:
                self._up.discard(index)
                self._lost[detail] += 1
            if not subscriber.failure and not subscriber.opened_at and self._redial_s is None:
                self._failures[detail] += 1
                self._pending -= 1
            if self._redial_s is not None:
                self._redials.append((time.monotonic() + self._redial_s, subscriber))

    # --- Traffic ---

    def _drop_data(self, _subscriber: Subscriber, _packet: bytes) -> None:
        return

    def send_traffic(
        self,
        pps: float,
        seconds: float,
        *,
        server: str = "192.0.2.2",
        port: int = ECHO_PORT,
        size: int = 64,
        senders: int | None = None,
        source: Callable[[Subscriber], Address] = lambda subscriber: subscriber.address,
        spoof: Callable[[Subscriber], Address] | None = None,
        drain_s: float = 0.5,
    ) -> TrafficResult:
        """Send numbered UDP packets to an echo server, round robin from the sessions that are up.

        *senders* takes only the first so many. *source* says from which of a subscriber's
        addresses, of the family of *server*; *spoof* is sent in its place.
        """
        report = TrafficResult()
        waiting: dict[int, set[int]] = {}
        own: dict[int, bytes] = {}

        def take(subscriber: Subscriber, packet: bytes) -> None:
            found = numbered(packet)
            if found is None:
                return
            flow, number, destination = found
            if flow != subscriber.index or destination != own[flow]:
                report.misdelivered += 1
            elif number in waiting[flow]:
                waiting[flow].remove(number)
                report.returned += 1
            else:
                report.duplicated += 1

        up = [s for s in self.subscribers if s.phase == Phase.UP][:senders]
        to = ipaddress.ip_address(server)
        flows = [Flow(s, (spoof or source)(s), to, port, size) for s in up]
        for subscriber in up:
            waiting[subscriber.index] = set()
            own[subscriber.index] = source(subscriber).packed
        self.dialer.on_data = take
        started_at = time.monotonic()
        while flows and (now := time.monotonic()) < started_at + seconds:
            due = int((now - started_at) * pps)
            for _ in range(min(due - report.sent, 64)):
                flow = flows[report.sent % len(flows)]
                waiting[flow.index].add(flow.number)
                self.port.send(flow.next())
                report.sent += 1
            self.dialer.step(min(0.001, 0.5 / pps))
        report.seconds = round(time.monotonic() - started_at, 3)
        self.serve(drain_s)
        self.dialer.on_data = self._drop_data
        report.gaps = {index: len(left) for index, left in waiting.items() if left}
        return report

    def export(
        self,
        path: Path,
        sources: Sequence[Callable[[Subscriber], Address]] = (
            lambda subscriber: subscriber.address,
        ),
    ) -> int:
        """Write the sessions that are up for the C traffic program; say how many.

        One record for each of their *sources*: length of the frame head, the head (through the
        PPPoE session id), length of the address, address.
        """
        up = [s for s in self.subscribers if s.phase == Phase.UP]
        addresses = [(s, source(s).packed) for s in up for source in sources]
        path.write_bytes(
            b"".join(
                struct.pack("!H", len(s.head)) + s.head + bytes([len(packed)]) + packed
                for s, packed in addresses
            )
        )
        return len(up)

    def hostile_configure_requests(self, pps: float, seconds: float, subscriber: int = 0) -> int:
        """Have one subscriber send LCP Configure-Requests at *pps*; say how many were sent."""
        hostile = self.subscribers[subscriber]
        body = wire.option(1, b"\x05\xd4") + wire.option(5, b"mean")
        packets = [wire.ppp(wire.P_LCP, wire.CONF_REQ, ident, body) for ident in range(256)]
        frames = [hostile.head + struct.pack("!H", len(p)) + p for p in packets]
        sent = 0
        started_at = time.monotonic()
        while (now := time.monotonic()) < started_at + seconds:
            for _ in range(min(int((now - started_at) * pps) - sent, 64)):
                self.port.send(frames[sent % 256])
                sent += 1
            self.port.receive(lambda _frame: None)
            self.port.wait(0.0005)
        return sent
