"""Subscribers join and leave for minutes while all others forward near capacity; nothing is lost.

Two workers, one receives the subscribers, the other the network; sessions and public addresses are
spread over both, so a half of the packets is handed over each way. First all subscribers dial in;
then subscribers leave and others join all the time. The capacity is measured: both directions at
once, as fast as packets are taken; traffic runs at a share of it; and that again and again, since
what a machine can do changes with its neighbours. A leaving subscriber stops sending first; from
his joining to that moment every packet both ways must arrive, in order and undamaged.
At the end all leave, and the arena must be as it was before. The memory of bngd grows with those
who are there, and with the ids that rest (`pppoe.id_rest_s`, some 180 bytes each), not with those
who came and went: see its growth in the second half.

Exit status 1 when a packet was lost, something leaked, or a command failed. The lab: see
tests/support/soak.py.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.setup import resident_bytes
from tests.support import soak
from tests.support.client.dialer import Dialer
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Phase, Profile
from tests.support.client.raw import PacketPort
from tests.support.client.subscriber import Subscriber
from tests.support.lab import load_users
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FIRST_PORT, FLOWS_EACH, UNLIMITED, UP, Count

SETTLE_S, LOST_S = 0.05, 2.0
"""How long a flow that was stopped may still be under way: looked at first, and given up."""
FILL_PER_S = 400
CAPACITY_S = 2.0
SLICE_S = 30.0
"""How long traffic runs at a share of what was measured right before."""
PROFILES = (
    Profile(auth=("chap",), wants=Wants(delegate=56)),
    Profile(auth=("chap",), wants=Wants(delegate=56), mru=1500, max_payload=1500),
)
"""Of subscribers, in turn: both families; every other one has the longer packets of RFC 4638."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a run; rates in packets a second."""

    seconds: float = 0.0
    subscribers: int = 0
    joined: int = 0
    left: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    capacity_up: int = 0
    capacity_down: int = 0
    """Mean of all that was measured; the sum of both directions was in *capacity_range*."""
    capacity_range: tuple[int, int] = (0, 0)
    offered_up: int = 0
    offered_down: int = 0
    behind: int = 0
    up: Count = field(default_factory=Count)
    down: Count = field(default_factory=Count)
    stray: int = 0
    handed_off: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    command_errors: int = 0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    memory_grown_bytes: dict[str, int] = field(default_factory=dict)
    late_joins: int = 0
    late_growth_bytes: int = 0
    """Of bngd in the second half, when ids at rest and memory of those who left are level."""

    def problems(self) -> list[str]:
        """Return what must not be, in words."""
        said = []
        for name, count in (("upstream", self.up), ("downstream", self.down)):
            if not count.whole or not count.received:
                said.append(f"{name}: {count}")
        if self.stray:
            said.append(f"{self.stray} packets of nobody")
        if self.failures:
            said.append(f"joins failed, or sessions ended: {self.failures}")
        if self.dropped:
            said.append(f"dropped: {self.dropped}")
        if self.command_errors:
            said.append(f"{self.command_errors} command errors")
        said += [
            f"leaked: {name} {self.before[name]} before, {value} after"
            for name, value in self.after.items()
            if self.before[name] != value
        ]
        return said


@dataclass(frozen=True, slots=True)
class Slice:
    """A time of traffic at a share of *capacity*; what was *sent*, and given up as *behind*."""

    seconds: float
    capacity: tuple[int, int]
    sent: tuple[int, int]
    behind: int


class Population:
    """Subscribers of whom *count* are there at a time, and as many away as change in a second."""

    def __init__(self, lab: SoakLab, count: int, spare: int) -> None:
        self.lab, self.area, self.count = lab, lab.area, count
        self.port = PacketPort("sub0", netns=lab.sub, frames=16384)
        self.dialer = Dialer(self.port, lambda _subscriber, _packet: None)
        self.away: deque[Subscriber] = deque()
        self.here: deque[Subscriber] = deque()
        self.ended: dict[int, Count] = {UP: Count(), DOWN: Count()}
        self.failures: Counter[str] = Counter()
        self.joined = self.left = 0
        self._dialling: set[int] = set()
        self._leaving: deque[tuple[float, float, Subscriber]] = deque()
        self._incarnation = 0
        self._silent: set[int] = set()
        for index in range(count + spare):
            subscriber = Subscriber(
                index,
                b"\x02\xb0" + index.to_bytes(4, "big"),
                f"user{index:05d}",
                "secret",
                profile=PROFILES[index % len(PROFILES)],
                send=self.port.send,
                report=self._event,
            )
            self.dialer.add(subscriber)
            self.away.append(subscriber)

    def close(self) -> None:
        """Give the port back."""
        self.port.close()

    # ---- who comes and goes ----

    def join(self) -> None:
        """Have the one dial who was away longest."""
        if self.away:
            subscriber = self.away.popleft()
            subscriber.start(time.monotonic())
            self.dialer.arm(subscriber)
            self._dialling.add(subscriber.index)

    def leave(self) -> None:
        """Have the one stop sending who was there longest, and then hang up."""
        if not self.here:
            return
        subscriber = self.here.popleft()
        for flow in self._flows(subscriber):
            self.area.stop(flow)
        now = time.monotonic()
        self._leaving.append((now + SETTLE_S, now + LOST_S, subscriber))

    def step(self, timeout_s: float) -> None:
        """Take what has come; hang up those whose packets have all arrived."""
        self.dialer.step(timeout_s)
        now = time.monotonic()
        while self._leaving and self._leaving[0][0] <= now:
            _, lost_at, subscriber = self._leaving.popleft()
            counts = self._counts(subscriber)
            if not all(count.whole for count in counts) and now < lost_at:
                self._leaving.append((now + SETTLE_S, lost_at, subscriber))
                continue
            for direction, count in enumerate(counts):
                self.ended[direction] += count
            subscriber.terminate("terminate", now)
            self.dialer.arm(subscriber)

    def run(self, seconds: float, per_s: float) -> None:
        """Have so many leave and as many join each second."""
        start = time.monotonic()
        turns = 0
        while (now := time.monotonic()) < start + seconds:
            for _ in range(int((now - start) * per_s) - turns):
                turns += 1
                self.leave()
                self.join()
            self.step(0.002)

    def fill(self, count: int) -> None:
        """Dial until *count* are there. Raises: RuntimeError when they do not come up."""
        start, dialled = time.monotonic(), 0
        deadline = start + (count - len(self.here)) / FILL_PER_S + 60
        while len(self.here) < count:
            now = time.monotonic()
            missing = count - len(self.here) - len(self._dialling)
            due = min(missing, int((now - start) * FILL_PER_S) - dialled)
            for _ in range(due):
                self.join()
                dialled += 1
            self.step(0.002)
            if now > deadline:
                raise RuntimeError(f"{len(self.here)} of {count} came up: {self.failures}")

    def empty(self) -> None:
        """Have all leave. Raises: RuntimeError when they do not."""
        start, sent_away = time.monotonic(), 0
        everybody = len(self.here) + len(self._dialling)
        deadline = start + everybody / FILL_PER_S + 60
        while self.here or self._leaving or self._dialling or self._closing():
            now = time.monotonic()
            while self.here and sent_away < (now - start) * FILL_PER_S:
                self.leave()
                sent_away += 1
            self.step(0.002)
            if now > deadline:
                raise RuntimeError(f"{len(self.here)} did not leave: {self.failures}")

    def _closing(self) -> bool:
        return len(self.away) < self.count and any(
            subscriber.phase is not Phase.IDLE for subscriber in self.dialer.subscribers()
        )

    def silence(self, subscriber: Subscriber) -> None:
        """Have one never send data again, whatever becomes of his session."""
        self._silent.add(subscriber.index)
        for flow in self._flows(subscriber):
            self.area.stop(flow)

    # ---- what clients say ----

    def port_of(self, flow: int, number: int) -> int:
        """Return the inner port of a flow, the *number*-th of its subscriber."""
        return FIRST_PORT + (self._incarnation + 7 * number) % 40_000

    def _flows(self, subscriber: Subscriber) -> range:
        return range(subscriber.index * FLOWS_EACH, (subscriber.index + 1) * FLOWS_EACH)

    def _counts(self, subscriber: Subscriber) -> tuple[Count, Count]:
        flows = self._flows(subscriber)
        up = sum((self.area.count(flow, UP) for flow in flows), Count())
        return up, sum((self.area.count(flow, DOWN) for flow in flows), Count())

    def _event(self, subscriber: Subscriber, name: str, detail: str) -> None:
        if subscriber.index in self._silent:
            return
        if name in {"up", "ipv6"} and subscriber.index not in self._dialling:
            self.failures["negotiated again"] += 1  # which pauses the session
        elif name in {"up", "ipv6"} and _has_all(subscriber):
            self._dialling.discard(subscriber.index)
            self.joined += 1
            self._incarnation += 1
            for number, flow in enumerate(self._flows(subscriber)):
                self.area.start(flow, self._incarnation, subscriber, self.port_of(flow, number))
            self.here.append(subscriber)
        elif name == "down":
            if detail == "terminated" and subscriber.index not in self._dialling:
                self.left += 1
            else:
                self._ended(subscriber, subscriber.failure or detail)
            self.away.append(subscriber)

    def _ended(self, subscriber: Subscriber, why: str) -> None:
        """Count a session that ended, or a dial that failed, without our wish."""
        if subscriber.index in self._dialling:
            self._dialling.discard(subscriber.index)
            self.failures[f"while dialling: {why}"] += 1
            return
        self.failures[f"ended: {why}"] += 1
        for flow in self._flows(subscriber):
            self.area.stop(flow)
        if subscriber in self.here:
            self.here.remove(subscriber)


def _has_all(subscriber: Subscriber) -> bool:
    return subscriber.phase is Phase.UP and subscriber.v6 is not None and subscriber.v6.complete


class Run:
    """One run on one lab."""

    def __init__(self, lab: SoakLab, args: argparse.Namespace) -> None:
        self.lab, self.args = lab, args
        self.people = Population(lab, args.subscribers, 2 * args.churn)
        self.result = Result(subscribers=args.subscribers)

    def go(self) -> Result:
        """Fill, measure the capacity, let people come and go, empty, compare."""
        args, area, people, result = self.args, self.lab.area, self.people, self.result
        area.rate(20_000, 20_000)
        people.fill(min(args.subscribers, 100))  # neighbours known, every path walked once
        people.empty()
        result.before = self._settled({})
        memory = self._memory()
        counters = self._counters()
        area.rate(args.subscribers, args.subscribers)
        people.fill(args.subscribers)
        joined = people.joined
        slices = self._loaded(args.seconds / 2)
        half = people.joined, self._memory()["bngd"]
        slices += self._loaded(args.seconds / 2)
        result.late_joins = people.joined - half[0]
        result.late_growth_bytes = self._memory()["bngd"] - half[1]
        result.joined = people.joined - joined
        self._sum_up(slices)
        area.rate(args.subscribers, args.subscribers)
        people.empty()
        result.left = people.left
        result.up, result.down = people.ended[UP], people.ended[DOWN]
        result.failures = dict(people.failures + self._reasons())
        result.stray = area.stray()
        result.after = self._settled(result.before)
        result.memory_grown_bytes = {
            name: size - memory[name] for name, size in self._memory().items()
        }
        self._compare(counters)
        return result

    def _loaded(self, seconds: float) -> list[Slice]:
        """Have people come and go, at a share of a capacity that is measured time and again."""
        area, people, churn = self.lab.area, self.people, self.args.churn
        slices = []
        for _ in range(max(1, round(seconds / SLICE_S))):
            capacity = self._capacity()
            area.rate(*(n * self.args.load // 100 for n in capacity))
            begun, start = [area.offered(direction) for direction in (UP, DOWN)], time.monotonic()
            people.run(min(seconds, SLICE_S), churn)
            ended = [area.offered(direction) for direction in (UP, DOWN)]
            sent = [after.sent - before.sent for before, after in zip(begun, ended, strict=True)]
            behind = sum(a.behind - b.behind for b, a in zip(begun, ended, strict=True))
            slices.append(Slice(time.monotonic() - start, capacity, (sent[UP], sent[DOWN]), behind))
        return slices

    def _capacity(self) -> tuple[int, int]:
        """Return packets a second that arrive, up and down, when there is no limit."""
        area, churn = self.lab.area, self.args.churn
        area.rate(UNLIMITED, UNLIMITED)
        self.people.run(CAPACITY_S / 4, churn)
        start, before = time.monotonic(), area.received()
        self.people.run(CAPACITY_S, churn)
        after, seconds = area.received(), time.monotonic() - start
        return int((after[UP] - before[UP]) / seconds), int((after[DOWN] - before[DOWN]) / seconds)

    def _sum_up(self, slices: list[Slice]) -> None:
        result = self.result
        result.seconds = sum(s.seconds for s in slices)
        result.behind = sum(s.behind for s in slices)
        up, down = (
            int(sum(s.capacity[d] * s.seconds for s in slices) / result.seconds) for d in (UP, DOWN)
        )
        result.capacity_up, result.capacity_down = up, down
        both = [sum(s.capacity) for s in slices]
        result.capacity_range = min(both), max(both)
        result.offered_up, result.offered_down = (
            int(sum(s.sent[d] for s in slices) / result.seconds) for d in (UP, DOWN)
        )

    def _settled(self, wanted: dict[str, int]) -> dict[str, int]:
        """Return how full the tables are once nothing is under way, and rings are read."""
        deadline = time.monotonic() + self.args.patience
        with self.lab.arena() as arena:
            while True:
                self.people.run(0.5, 0)
                usage = soak.usage(arena)
                empty = not usage["sessions"] and not usage["ring_bytes"]
                if (empty and usage == (wanted or usage)) or time.monotonic() > deadline:
                    return usage

    def _reasons(self) -> Counter[str]:
        """Return why bngd ended sessions that did not want to leave, as it logged that."""
        lines = (json.loads(line) for line in self.lab.log("bngd").splitlines() if line[:1] == "{")
        return Counter(
            f"{line['event']}: {line['cause']} {line['detail']}"
            for line in lines
            if line["event"] in ("session-stop", "setup-failed") and line["cause"] != "user-request"
        )

    def _memory(self) -> dict[str, int]:
        return {n: resident_bytes(self.lab.process(n).pid) for n in ("bngd", "bng-dataplane")}

    def _counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self.lab.ask("show counters")
        return counters

    def _compare(self, before: dict[str, Any]) -> None:
        after, result = self._counters(), self.result
        drops = {name: n - before["drops"][name] for name, n in after["drops"].items()}
        result.dropped = {name: n for name, n in drops.items() if n}
        result.handed_off = sum(
            n - before["edges"][name]
            for name, n in after["edges"].items()
            if name.endswith(" handoff")
        )
        result.command_errors = sum(worker["command_errors"] for worker in after["workers"])


def soak_run(args: argparse.Namespace, directory: Path, prefix: str) -> Result:
    """Build the lab in *directory* and run. Raises: RuntimeError, LabError."""
    people = args.subscribers + 2 * args.churn
    binary = soak.sanitized() if args.sanitize else soak.program()
    with SoakLab(
        prefix,
        directory,
        binary,
        flows=people * FLOWS_EACH,
        config=soak.config(directory, people),
        users=load_users(people),
    ) as lab:
        run = Run(lab, args)
        try:
            return run.go()
        finally:
            run.people.close()


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the settings of a run."""
    parser = argparse.ArgumentParser(prog="packaging/bench soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--subscribers", type=int, default=5_000)
    parser.add_argument("--churn", type=int, default=200, help="join, and leave, a second")
    parser.add_argument("--load", type=int, default=60, help="percent of the capacity")
    parser.add_argument("--patience", type=float, default=30, help="seconds until tables are empty")
    parser.add_argument("--sanitize", action="store_true", help="a build with ASan and UBSan")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def main() -> None:
    """Print what came of it; exit status 1 when something must not be."""
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="bng-soak-") as directory:
        result = soak_run(args, Path(directory), f"bs{os.getpid()}")
    problems = result.problems()
    if args.json:
        print(json.dumps(asdict(result) | {"problems": problems}))
    else:
        print(_text(result))
        print("\n".join(problems) or "nothing lost, nothing leaked")
    sys.exit(1 if problems else 0)


def _text(r: Result) -> str:
    grown = ", ".join(f"{n} {size >> 10:+,} KiB" for n, size in r.memory_grown_bytes.items())
    share = (r.offered_up + r.offered_down) / max(1, r.capacity_up + r.capacity_down)
    return (
        f"{r.subscribers:,} subscribers, {r.joined:,} joins in {r.seconds:.0f} s\n"
        f"capacity   up {r.capacity_up:>11,}  down {r.capacity_down:>11,} packets/s, "
        f"mean; both {r.capacity_range[0]:,} to {r.capacity_range[1]:,}\n"
        f"offered    up {r.offered_up:>11,}  down {r.offered_down:>11,} packets/s, "
        f"{share:.0%} of it\n"
        f"arrived    up {r.up.received:>11,}  down {r.down.received:>11,}"
        f" of {r.up.sent:,} and {r.down.sent:,}\n"
        f"handed over between workers {r.handed_off:,}; given up by the generators {r.behind:,}\n"
        f"memory     {grown}; bngd in the second half {r.late_growth_bytes >> 10:+,} KiB, "
        f"{r.late_growth_bytes / max(1, r.late_joins):.0f} bytes a join"
    )


if __name__ == "__main__":
    main()
