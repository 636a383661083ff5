"""Installing sessions: from Python through the command rings to the worker's completion.

prepared: ready-made records, batches of 1,000 in one call; live: what bngd does for one session —
bind, up with NAT block, echo, route — built from values, to the last completion. The dataplane is a
process of its own with ports in memory.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dataplane
from bng.access.domains import Domains
from bng.ethernet import AccessLine, Mac
from bng.io.executor import Executor
from bng.io.journal import Journal
from bng.session.actions import (
    Action,
    AddRoute,
    BindSession,
    EchoSession,
    Handle,
    UpSession,
)
from bng.session.install import IN_ANTISPOOF4, IN_MSS_CLAMP, IN_NAT44, OUT_MSS_CLAMP
from bng.session.nat import NatPlace
from dataplane import binding
from dataplane.binding import AttachError, Dataplane

FEATURES_IN = IN_ANTISPOOF4 | IN_MSS_CLAMP | IN_NAT44
FEATURES_OUT = OUT_MSS_CLAMP
BATCH = 1_000


@contextmanager
def attached(count: int) -> Iterator[Dataplane]:
    """Yield a fresh dataplane process with room for *count* sessions."""
    with tempfile.TemporaryDirectory(prefix="bng-bench-") as directory:
        path = Path(directory, "dataplane.sock")
        addresses = [f"--nat-address=198.51.{i // 256}.{i % 256}" for i in range(count // 120 + 1)]
        argv = [
            str(dataplane.program()),
            f"--socket={path}",
            "--workers=0",
            f"--sessions={count}",
            "--port=name=acc0,driver=gen,role=access,mtu=1508",
            "--access=port=acc0,outer=any,inner=any",
            "--port=name=wan0,driver=gen,role=routed,mtu=1500,tap=bng-wan0,tap-driver=gen",
            *addresses,
        ]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            box = _attach(str(path))
            yield box
            box.close()
        finally:
            process.terminate()
            process.wait(10)


def _attach(path: str) -> Dataplane:
    deadline = time.monotonic() + 30
    while True:
        try:
            return Dataplane.attach(path)
        except AttachError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def wait(box: Dataplane, count: int, group: int) -> None:
    """Wait for *count* completions of a group. Raises: RuntimeError for one that failed."""
    deadline = time.monotonic() + 30
    while count > 0:
        done = box.completions(group)
        count -= len(done)
        failed = [c for c in done if c.status]
        if failed or time.monotonic() > deadline:
            raise RuntimeError(f"{count} completions missing, failed: {failed[:3]}")


def actions_of(index: int, domains: Domains) -> list[Action]:
    """Return what bngd does to bring up session *index*."""
    handle = Handle(index, 1, 0)
    line = AccessLine(0)
    session_id = index % 65_000 + 1
    domain, page = domains.place(0, 0, session_id)
    address = IPv4Address(0x64400000 + index)
    mac = Mac(b"\x02\xb0" + index.to_bytes(4, "big"))
    place = NatPlace(index // 120)
    return [
        BindSession(handle, line, mac, session_id, domain, page),
        EchoSession(handle, 1, 2),
        UpSession(handle, address, place, FEATURES_IN, FEATURES_OUT, 1492, 1492, 1452, 0),
        AddRoute(handle, IPv4Network(address), answered=True),
    ]


def live(count: int) -> float:
    """Return live sessions installed a second."""
    with attached(count) as box:
        executor = Executor(box, Journal(None), 20, 3)
        domains = Domains(box.header.max_domains, box.header.max_domain_pages)
        begin = time.perf_counter()
        for first in range(0, count, BATCH):
            for index in range(first, min(first + BATCH, count)):
                executor.run(actions_of(index, domains))
            while not box.flush():
                time.sleep(0)
            n = min(BATCH, count - first)
            wait(box, n, 0)
            wait(box, n, box.control_group)
        return count / (time.perf_counter() - begin)


def prepared(count: int) -> float:
    """Return prepared sessions (bind and up) installed a second."""
    with attached(count) as box:
        domains = Domains(box.header.max_domains, box.header.max_domain_pages)
        batches = []
        for first in range(0, count, BATCH):
            indexes = range(first, min(first + BATCH, count))
            batches.append(b"".join(_records(index, domains) for index in indexes))
        begin = time.perf_counter()
        for batch in batches:
            size = binding.COMMAND.size
            pushed = 0
            while pushed < len(batch) // size:
                pushed += box.push_prepared(0, batch[pushed * size :], size)
            wait(box, len(batch) // size // 2, 0)
        return count / (time.perf_counter() - begin)


def _records(index: int, domains: Domains) -> bytes:
    session_id = index % 65_000 + 1
    domain, page = domains.place(0, 0, session_id)
    bind = binding.bind_record(
        index,
        1,
        1,
        outer=(0, 0),
        inner=(0, 0),
        domain=domain,
        domain_page=page,
        session_id=session_id,
        mac=b"\x02\xb0" + index.to_bytes(4, "big"),
        port=0,
        quiet=True,
    )
    up = binding.up_record(
        index,
        1,
        2,
        ip4=(0x64400000 + index).to_bytes(4, "big"),
        nat_address=index // 120 + 1,
        features_in=FEATURES_IN,
        features_out=FEATURES_OUT,
        mtu_in=1492,
        mtu_out=1492,
        mss=1452,
        idle_timeout_ms=0,
    )
    return bind + up


def main() -> None:
    """Print rates: median, lowest and highest of several runs."""
    parser = argparse.ArgumentParser(prog="packaging/bench install", description=__doc__)
    parser.add_argument("--sessions", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = {}
    for name, run in (("prepared", prepared), ("live", live)):
        rates = [run(args.sessions) for _ in range(args.runs)]
        rows[name] = {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}
    if args.json:
        print(json.dumps(rows))
        return
    for name, row in rows.items():
        print(
            f"{name:9} {row['median']:>10,.0f} sessions/s"
            f"   ({row['min']:,.0f} to {row['max']:,.0f}, {args.runs} runs of {args.sessions:,})"
        )


if __name__ == "__main__":
    main()
