"""RADIUS under load: CPU of bngd for each session that a server lets in and is told of.

Both processes run as in production; the answering server stands beside bngd, on loopback.

- signup: CHAP by Access-Request, Accounting-Start from the spool; with ``--delay`` a late server.
  Subscribers have IPv4 only; with ``--ipv6`` IPv6CP, a /64 and a delegated /56 as well;
- flood: the same among 50,000 forged replies or CoA-Requests a second;
- storm: all dial within two seconds and are admitted at ``--rate``, best with ``--delay 2``;
- interim: interim updates of sessions that are up, at the pace of 20,000 sessions every 5 minutes
  and faster;
- spool: records written to the disk and drained to the server, no session and no dataplane.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvloop

from bng.aaa import requests
from bng.aaa.model import AccessRequest
from bng.aaa.requests import AccountStatus, Nas
from bng.daemon import SWITCH_INTERVAL_S
from bng.ethernet import AccessLine, Mac
from bng.io import radius as radius_io
from bng.ppp.credentials import PapCredentials
from radius.accounting import Accounting
from radius.dictionary import Dictionary
from radius.settings import Group, Server
from radius.spool import Record, Spool
from tests.bench import setup
from tests.bench.setup import Run, cpu_s, sign_up
from tests.support import answering, storm
from tests.support.answering import AnsweringLab
from tests.support.client.load import LoadClient
from tests.support.lab import merged

PACE = 20_000 / 300
"""Interim updates a second of 20,000 sessions, each every 5 minutes."""
SPOOL_RECORDS = 5_000
SETTLE_S = 1.0
FLOODS = ("replies", "orders", "strangers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interims:
    """Interim updates of *sessions*, each every *interval_s*."""

    sessions: int
    interval_s: float
    per_s: float
    cpu_us_each: float
    core_share: float
    idle_core_share: float
    """What the same sessions cost when they report nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Accounting records from a call of `Accounting.put` to the answer."""

    records: int
    offered_per_s: float
    """0: all at once."""
    written_and_drained_per_s: float
    tail_s: float
    """From the last record to the last answer: what is behind, when it does not keep up."""
    cpu_us_each: float
    most_on_disk: int


@contextmanager
def lab_of(
    count: int,
    radius: dict[str, Any],
    *options: str,
    over: dict[str, Any] | None = None,
    ipv6: bool = False,
) -> Iterator[AnsweringLab]:
    """Build a lab for *count* sessions with an answering server, which gets *options*.

    *over* is laid over the configuration of the benchmarks.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as directory,
        AnsweringLab(
            f"be{os.getpid()}",
            Path(directory),
            config=merged(setup.config(count, ipv6=ipv6), over or {}),
            radius=radius,
            server=options,
        ) as lab,
    ):
        yield lab


def measure(
    count: int,
    rate: float,
    delay_s: float = 0.0,
    flood: str | None = None,
    *,
    ipv6: bool = False,
) -> tuple[Run, dict[str, int]]:
    """Dial *count* subscribers at *rate* a second; return what the server counted, too.

    *flood*: a kind of `tests.support.forger`, meanwhile, 50,000 a second.
    """
    oss = {"name": "oss", "prefix": "127.0.0.1/32", "secret": "unknown to forgers"}
    radius = {"dynauth": {"client": [oss]}}
    with lab_of(count, radius, "--delay", str(delay_s), ipv6=ipv6) as lab:
        if flood is not None:
            argv = (sys.executable, "-m", "tests.support.forger", flood, "--seconds", "3600")
            lab.spawn("bng", "forger", *argv)
            time.sleep(SETTLE_S)
        profile = setup.profile(ipv6=ipv6)
        client = LoadClient("sub0", count, rate, netns=lab.sub, profile=profile)
        try:
            run = sign_up(lab, client)
            client.serve(SETTLE_S + delay_s)
        finally:
            client.close()
        return run, lab.counts()


def interims(sessions: int, interval_s: int, seconds: float) -> Interims:
    """Let *sessions* report for *seconds*, 0 s for never. They dial evenly over one interval."""
    radius = {"accounting": {"interim_interval_s": interval_s}}
    with lab_of(sessions, radius) as lab:
        rate = sessions / interval_s if interval_s else 500
        client = LoadClient("sub0", sessions, rate, netns=lab.sub, control_only=True)
        try:
            opened = sign_up(lab, client).opened
            client.serve(interval_s * 1.1 if interval_s else SETTLE_S)
            pid = lab.process("bngd").pid
            before, cpu, began = lab.counts(), cpu_s(pid), time.monotonic()
            client.serve(seconds)
            took, cpu = time.monotonic() - began, cpu_s(pid) - cpu
            told = lab.counts().get("accounting_3", 0) - before.get("accounting_3", 0)
        finally:
            client.close()
    return Interims(
        sessions=opened,
        interval_s=interval_s,
        per_s=told / took,
        cpu_us_each=cpu / max(1, told) * 1e6,
        core_share=cpu / took,
        idle_core_share=0.0,
    )


# ---- the spool alone ----


def _record(number: int) -> Record:
    """Return a Stop as bngd writes it."""
    session = f"6563a1b2{number:08x}"
    who = AccessRequest(
        acct_session_id=session,
        request_id=1,
        credentials=PapCredentials(user_name=f"user{number:05d}", password=b""),
        line=AccessLine(0),
        mac=Mac.parse("02:00:5e:00:00:01"),
        service_name="internet",
    )
    pairs = [
        ("Acct-Status-Type", int(AccountStatus.STOP)),
        ("User-Name", f"user{number:05d}"),
        *requests.subscriber(Nas(identifier="lab", ports={0: "acc0"}), who),
        ("Framed-IP-Address", ip_address("100.64.0.10")),
        ("Class", b"class-of-them-all"),
        ("Event-Timestamp", 1_700_000_000),
        *requests.usage(requests.Usage(in_bytes=5 << 32, in_packets=9), 60),
        ("Acct-Terminate-Cause", 1),
    ]
    return Record(session, time.time(), tuple(pairs))


async def _drain(spool: Spool, port: int, count: int, rate: float) -> Drain:
    server = Server(
        name="aaa", address=ip_address("127.0.0.1"), port=port, secret=answering.SECRET.encode()
    )
    nas = Nas(identifier="lab")
    core = radius_io.client(Group(servers=(server,)), Dictionary(), nas)
    written: list[object] = []
    accounting = Accounting(spool, {"main": core}, time.monotonic, written.append)
    running = asyncio.create_task(accounting.run())
    records = [_record(number) for number in range(count)]
    began, cpu, put, most = time.monotonic(), time.process_time(), 0, 0
    offered = 0.0
    while len(written) < count or spool.depth["main"]:
        due = min(count, int((time.monotonic() - began) * rate)) if rate else count
        for record in records[put:due]:
            accounting.put(record, tag=record.session)
        if put < due == count:
            offered = time.monotonic() - began
        put = max(put, due)
        most = max(most, spool.depth["main"])
        await asyncio.sleep(0.002)
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await spool.flush()
    return Drain(
        records=count,
        offered_per_s=rate,
        written_and_drained_per_s=count / took,
        tail_s=took - offered,
        cpu_us_each=cpu / count * 1e6,
        most_on_disk=most,
    )


def drain(count: int, rate: float, folder: Path | None = None) -> Drain:
    """Put *count* records, *rate* a second (0: at once), through a spool in *folder*."""
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-", dir=folder) as directory,
        answering.process() as port,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        spool = Spool(Path(directory) / "spool", ["main"])
        try:
            return runner.run(_drain(spool, port, count, rate))
        finally:
            spool.close()


def _sign_ups(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    runs: list[Run] = []
    for _ in range(args.runs):
        run, counted = measure(args.sessions, args.rate, args.delay, ipv6=args.ipv6)
        rows.append({**asdict(run), "server": counted})
        runs.append(run)
        if not args.json:
            print(setup.line(run))
            print(f"  the server: {json.dumps(counted)}")
    if not args.json:
        print(setup.median_line(runs))
    return rows


def _floods(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for kind in (None, *FLOODS):
        for _ in range(args.runs):
            run, counted = measure(args.sessions, args.rate, flood=kind)
            rows.append({"flood": kind, **asdict(run), "server": counted})
            if not args.json:
                print(f"flood of {kind or 'nothing'}: {setup.line(run)}")
    return rows


def _storms(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Everybody dials in two seconds, and is admitted at ``--rate``."""
    rows = []
    for _ in range(args.runs):
        limit_s = 2 * args.sessions / args.rate + 10 * args.delay + SETTLE_S
        over = storm.config(args.sessions, args.rate)
        with lab_of(args.sessions, {}, "--delay", str(args.delay), over=over) as lab:
            pid = lab.process("bngd").pid
            before = cpu_s(pid)
            came = storm.run(lab, args.sessions, limit_s)
            spent = cpu_s(pid) - before
        rows.append({**asdict(came), "cpu_s": spent})
        if not args.json:
            print(
                f"{came.opened}/{args.sessions} of a storm are in after {came.seconds:.1f} s "
                f"({spent:.1f} s of bngd CPU), {came.traffic.lost} of {came.traffic.sent} packets "
                f"of others lost"
            )
            print(f"  the server: {json.dumps(came.server)}")
    return rows


def _interims(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    sessions = args.sessions
    idle = interims(sessions, 0, args.seconds)
    for interval_s in (max(1, round(sessions / PACE)), max(1, round(sessions / PACE / 10))):
        run = interims(sessions, interval_s, args.seconds)
        rows.append({**asdict(run), "idle_core_share": idle.core_share})
        if not args.json:
            print(
                f"{run.sessions} sessions, an interim update each {interval_s} s: "
                f"{run.per_s:.0f}/s cost {run.core_share:.2%} of a core "
                f"({idle.core_share:.2%} without), {run.cpu_us_each:.0f} us each"
            )
    return rows


def _drains(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for rate in (SPOOL_RECORDS, 0):
        for _ in range(args.runs):
            run = drain(args.records, rate, args.folder)
            rows.append(asdict(run))
            if not args.json:
                print(
                    f"{run.records} records, {f'{rate:.0f} a second' if rate else 'all at once'}: "
                    f"{run.written_and_drained_per_s:.0f}/s written and drained, the last "
                    f"{run.tail_s:.2f} s after it was offered, "
                    f"{run.cpu_us_each:.0f} us CPU each, at most {run.most_on_disk} on disk"
                )
    return rows


PARTS = {
    "signup": _sign_ups,
    "flood": _floods,
    "storm": _storms,
    "interim": _interims,
    "spool": _drains,
}


def main() -> None:
    """Print each run of the parts."""
    parser = argparse.ArgumentParser(prog="packaging/bench radius", description=__doc__)
    parser.add_argument("parts", nargs="*", help="all without one")
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1_200, help="dials, or admissions, a second")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds the server takes")
    parser.add_argument("--seconds", type=float, default=30, help="of interim updates")
    parser.add_argument("--records", type=int, default=50_000, help="through the spool")
    parser.add_argument("--folder", type=Path, help="for the spool")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ipv6", action="store_true", help="sign-ups of IPv4 and IPv6")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    found = {part: PARTS[part](args) for part in args.parts or PARTS}
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
