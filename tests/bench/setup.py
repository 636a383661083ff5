"""Control plane: CPU of bngd for each session, from PADI to IPCP opened and installed.

Both processes run as in production (CHAP, local users, log and journal on); the load client dials
over a veth pair, and has IPv4 only. With ``--ipv6`` it is dual stack: each subscriber opens IPv6CP,
too, and gets a /64 by Router Advertisement and a delegated /56 by DHCPv6, and a run ends when all
have them. CPU is user + system time of the bngd process (getrusage's
numbers), memory the growth of its resident set.

    PREFIX-sub                   PREFIX-bng
    +------------------+   +--------------------+
    | load client sub0 |---| acc0          wan0 |---
    +------------------+   +--------------------+
"""

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.lab import Lab, load_users
from tests.support.lab6 import IPV6

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the sign-up."""

    families: str
    sessions: int
    opened: int
    offered_per_s: float
    cpu_us_per_session: float
    opened_per_s: float
    p50_open_s: float
    p99_open_s: float
    memory_bytes_per_session: float


def cpu_s(pid: int) -> float:
    """Return user + system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_bytes(pid: int) -> int:
    """Return the anonymous memory of a process: the shared arena is the dataplane's."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no RssAnon of {pid}")


def config(count: int, *, ipv6: bool = False) -> dict[str, Any]:
    """Return what a lab for *count* sessions has in its bng.toml."""
    return {
        "ipv6": IPV6 if ipv6 else {"pool": []},
        "dataplane": {"max_sessions": count + 64, "workers": [0]},
        "session": {"setup_per_s": 100_000},
        "pppoe": {"max_half_open": count, "max_sessions_per_vlan": 65_534},
        "pool": [
            {"name": "bench", "ranges": ["100.64.0.10-100.65.255.254"], "gateway": "100.64.0.1"}
        ],
        "nat": {"pool": [{"name": "public", "addresses": ["198.18.0.0/23"]}]},
    }


def profile(*, ipv6: bool) -> Profile:
    """Return what every subscriber asks for."""
    return Profile(auth=("chap",), ipv6=ipv6, wants=Wants(delegate=56) if ipv6 else None)


def _all_have_prefixes(client: LoadClient) -> bool:
    return client.dual == len(client.subscribers)


def sign_up(lab: Lab, client: LoadClient) -> Run:
    """Dial everybody of *client*."""
    count = len(client.subscribers)
    pid = lab.process("bngd").pid
    memory, cpu = resident_bytes(pid), cpu_s(pid)
    done = _all_have_prefixes if client.subscribers[0].profile.wants else None
    result = client.run(timeout_s=30 + 3 * count / client.rate, until=done)
    return Run(
        families="IPv4 and IPv6" if done else "IPv4 only",
        sessions=count,
        opened=client.dual if done else result.opened,
        offered_per_s=client.rate,
        cpu_us_per_session=(cpu_s(pid) - cpu) / max(1, result.opened) * 1e6,
        opened_per_s=result.rate,
        p50_open_s=result.open_s.get("p50", 0.0),
        p99_open_s=result.open_s.get("p99", 0.0),
        memory_bytes_per_session=(resident_bytes(pid) - memory) / max(1, result.opened),
    )


def measure(count: int, rate: float, *, ipv6: bool = False) -> Run:
    """Dial *count* subscribers at *rate* a second."""
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as directory,
        Lab(
            f"be{os.getpid()}",
            Path(directory),
            config=config(count, ipv6=ipv6),
            users=load_users(count),
        ) as lab,
    ):
        client = LoadClient("sub0", count, rate, netns=lab.sub, profile=profile(ipv6=ipv6))
        try:
            return sign_up(lab, client)
        finally:
            client.close()


def line(run: Run) -> str:
    """Return *run* as people read it."""
    return (
        f"{run.families}: {run.opened}/{run.sessions} open, offered {run.offered_per_s:.0f}/s, "
        f"opened {run.opened_per_s:.0f}/s: {run.cpu_us_per_session:.0f} us CPU each, time to open "
        f"p50 {run.p50_open_s * 1e3:.0f} ms p99 {run.p99_open_s * 1e3:.0f} ms, "
        f"{run.memory_bytes_per_session / 1024:.1f} KiB each"
    )


def median_line(rows: list[Run]) -> str:
    """Return the median CPU of several runs as people read it."""
    median = statistics.median(run.cpu_us_per_session for run in rows)
    return f"{rows[0].families}: median of {len(rows)}: {median:.0f} us of bngd CPU a session"


def main() -> None:
    """Print each run, and the median CPU."""
    parser = argparse.ArgumentParser(prog="packaging/bench setup", description=__doc__)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1_500, help="dials a second")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ipv6", action="store_true", help="with a /64 and a delegated /56 each")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    runs = [measure(args.sessions, args.rate, ipv6=args.ipv6) for _ in range(args.runs)]
    if args.json:
        print(json.dumps([asdict(run) for run in runs]))
        return
    for run in runs:
        print(line(run))
    print(median_line(runs))


if __name__ == "__main__":
    main()
