"""The CoA drill: rate changes at a pace against many sessions, each ACK held against the dataplane.

Both processes run as in production; the clients are those of the load client, the dynamic
authorisation client has 8 ports. Beside the changes, a tenth as many requests are wrong, each in
its own way, and one in ten is repeated. It fails when one answer was not true.

    PREFIX-sub                   PREFIX-bng                 PREFIX-inet
    +------------------+   +--------------------+   +---------------------+
    | load client sub0 |---| acc0          wan0 |---| inet0  CoA-Requests |
    +------------------+   +--------------------+   +---------------------+
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.setup import cpu_s
from tests.support.client.load import LoadClient
from tests.support.coa_drill import Arena, Drill, Result
from tests.support.lab import SERVER, Lab, load_users, merged
from tests.support.radius_orders import SECRET
from tests.support.soak import mapped_arena

BOX = ("192.0.2.1", 3799)
DYNAUTH = {
    "nas_identifier": "lab",
    "dynauth": {
        "listen": [BOX[0]],
        "client": [{"name": "drill", "prefix": SERVER, "secret": SECRET.decode()}],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One drill: what came of it, what bngd spent, what it says of it itself."""

    sessions: int
    changes_per_s: float
    cpu_us_per_request: float
    shown: dict[str, int]
    result: Result


def drill(lab: Lab, sessions: int, per_s: float, seconds: float) -> Run:
    """Sign *sessions* up, then change rates *per_s* times a second for *seconds*."""
    client = LoadClient("sub0", sessions, 500, netns=lab.sub)
    try:
        opened = client.run(timeout_s=60).opened
        if opened < sessions:
            raise RuntimeError(f"{opened} of {sessions} sessions are open")
        with mapped_arena(lab.process("bng-dataplane").pid) as binding:
            run = Drill(client, Arena(binding), BOX, lab.inet, secret=SECRET)
            pid = lab.process("bngd").pid
            cpu = cpu_s(pid)
            changes = round(per_s * seconds)
            result = run.run(changes, per_s)
            spent = cpu_s(pid) - cpu
        shown = lab.ctl_json("show", "dynauth")
        return Run(
            sessions=sessions,
            changes_per_s=round(changes / result.seconds, 1),
            cpu_us_per_request=spent / max(1, result.requests + result.repetitions) * 1e6,
            shown={name: shown[name] for name in ("requests", "acks", "naks", "duplicates")},
            result=result,
        )
    finally:
        client.close()


def config(sessions: int) -> dict[str, object]:
    """Return what the lab's configuration is laid over with."""
    return {
        "dataplane": {"max_sessions": sessions + 64},
        "session": {"setup_per_s": 100_000},
        "pppoe": {"max_half_open": sessions},
        "ppp": {"lcp_echo_interval_s": 300},
        "nat": {"pool": [{"name": "public", "addresses": ["198.51.100.0/26"]}]},
        "radius": DYNAUTH,
    }


def faults(run: Run) -> list[str]:
    """Return what was not as it must be."""
    result, shown = run.result, run.shown
    found = list(result.violations)
    if shown["requests"] != result.requests:
        found.append(f"{shown['requests']} requests acted on, {result.requests} were sent")
    if shown["duplicates"] > result.repetitions:
        found.append(f"{shown['duplicates']} duplicates of {result.repetitions} repetitions")
    return found


def main() -> int:
    """Run and print; the exit status says whether every answer was true."""
    parser = argparse.ArgumentParser(prog="packaging/bench coa", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=500, help="changes a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    over = merged(config(args.sessions), {})
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as directory,
        Lab("be", Path(directory), config=over, users=load_users(args.sessions)) as lab,
    ):
        run = drill(lab, args.sessions, args.rate, args.seconds)
    found = faults(run)
    if args.json:
        print(json.dumps(asdict(run) | {"faults": found}))
        return bool(found)
    result = run.result
    naks = " ".join(f"{cause}:{count}" for cause, count in sorted(result.naks.items()))
    print(
        f"{run.sessions} sessions, {run.changes_per_s:.0f} changes/s for {result.seconds:.0f} s: "
        f"{result.acks} ACKs, all true as {result.probed} bursts of packets and every policer say; "
        f"NAKs {naks}; {result.dropped} rightly not answered; {result.repetitions} repetitions\n"
        f"answer p50 {result.answer_s['p50'] * 1e3:.1f} ms p99 {result.answer_s['p99'] * 1e3:.1f} "
        f"ms; {run.cpu_us_per_request:.0f} us of bngd CPU a request"
        if not found
        else "NOT TRUE: " + "; ".join(found[:20])
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
