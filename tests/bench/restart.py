"""Restart: how long a new bngd takes to adopt the sessions of one that was killed; nothing is lost.

Subscribers dial in and have traffic of both families both ways, made and checked by the dataplane
itself; bngd is killed with -9 and started again. *adopted_s* is what bngd says that taking over
took, *ready_s* the time from its start until it answers, CPU what it had used by then. Every packet
is accounted for, and no client may notice. Exit status 1 otherwise. The lab: see
tests/support/soak.py.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.setup import cpu_s
from tests.bench.soak import SETTLE_S, Population
from tests.support import soak
from tests.support.lab import LabError, load_users, merged, program
from tests.support.soak import SoakLab
from tests.support.soak_area import DOWN, FLOWS_EACH, IP6, KINDS, UP

PACKETS_PER_S = 8_000
BLOCKS_OF_AN_ADDRESS = 250
BEFORE_S, DEAD_S, TIMEOUT_S = 1.0, 0.5, 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One restart; packets are those of both directions, from before the kill to after it."""

    sessions: int
    adopted: int
    adopted_s: float
    ready_s: float
    cpu_s: float
    packets: int
    packets_of_ipv6: int
    lost: int
    wrong: int
    """Late, damaged, or nobody's."""
    noticed: dict[str, int]
    """What clients had to say, but that they are up."""

    @property
    def whole(self) -> bool:
        """Say whether nobody and nothing was lost."""
        served = self.adopted == self.sessions and not self.noticed
        both = self.packets > self.packets_of_ipv6 > 0
        return served and both and not self.lost and not self.wrong


def config(directory: Path, count: int) -> dict[str, Any]:
    """Return bng.toml for *count* subscribers, laid over the lab's."""
    public = 32 - max(6, (count // BLOCKS_OF_AN_ADDRESS).bit_length())
    return merged(
        soak.config(directory, count),
        {
            "dataplane": {"max_sessions": count + 64},
            "pool": [
                {"name": "bench", "ranges": ["100.64.0.10-100.65.255.254"], "gateway": "100.64.0.1"}
            ],
            "nat": {"pool": [{"name": "public", "addresses": [f"198.51.100.0/{public}"]}]},
        },
    )


def restart(lab: SoakLab, people: Population) -> Run:
    """Kill bngd under the sessions of *people*, and start another one."""
    lab.area.rate(PACKETS_PER_S, PACKETS_PER_S)
    people.run(BEFORE_S, 0)
    lab.stop("bngd", signal.SIGKILL)
    people.run(DEAD_S, 0)
    started = time.monotonic()
    lab.spawn_bngd(program("bngd"))
    while not _answers(lab):
        if time.monotonic() > started + TIMEOUT_S:
            raise RuntimeError(f"bngd is not ready after {TIMEOUT_S:.0f} s")
        people.run(SETTLE_S, 0)
    ready_s, spent = time.monotonic() - started, cpu_s(lab.process("bngd").pid)
    people.run(BEFORE_S, 0)
    lab.area.rate(0, 0)
    people.run(10 * SETTLE_S, 0)
    families = [
        (kind.family, lab.area.of_kind(n, way))
        for n, kind in enumerate(KINDS)
        for way in (UP, DOWN)
    ]
    counts = [count for _, count in families]
    said = json.loads(next(x for x in reversed(lab.log("bngd").splitlines()) if '"adopted"' in x))
    return Run(
        sessions=len(people.here),
        adopted=said["sessions"],
        adopted_s=said["seconds"],
        ready_s=round(ready_s, 2),
        cpu_s=spent,
        packets=sum(count.sent for count in counts),
        packets_of_ipv6=sum(count.sent for family, count in families if family == IP6),
        lost=sum(count.sent - count.received for count in counts),
        wrong=sum(count.late + count.damaged for count in counts) + lab.area.stray(),
        noticed=dict(people.failures),
    )


def _answers(lab: SoakLab) -> bool:
    try:
        return bool(lab.ask("show version"))
    except LabError:
        return False


def measure(count: int, runs: int) -> list[Run]:
    """Dial *count* subscribers, and restart bngd *runs* times under them."""
    binary = soak.program()
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as name,
        SoakLab(
            f"be{os.getpid()}",
            Path(name),
            binary,
            flows=count * FLOWS_EACH,
            config=config(Path(name), count),
            users=load_users(count),
        ) as lab,
    ):
        people = Population(lab, count, 0)
        try:
            people.fill(count)
            return [restart(lab, people) for _ in range(runs)]
        finally:
            people.close()


def main() -> None:
    """Print each restart."""
    parser = argparse.ArgumentParser(prog="packaging/bench restart", description=__doc__)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    runs = measure(args.sessions, args.runs)
    if args.json:
        print(json.dumps([asdict(run) for run in runs]))
    else:
        for run in runs:
            print(
                f"{run.adopted}/{run.sessions} sessions adopted in {run.adopted_s:.2f} s, bngd is "
                f"ready {run.ready_s:.2f} s after its start ({run.cpu_s:.2f} s of CPU); "
                f"{run.lost} of {run.packets} packets ({run.packets_of_ipv6} of IPv6) lost, "
                f"{run.wrong} wrong; "
                f"clients noticed {run.noticed or 'nothing'}"
            )
    sys.exit(0 if all(run.whole for run in runs) else 1)


if __name__ == "__main__":
    main()
