"""A million routes from the kernel into the FIB, while packets are forwarded.

Phases: ``events``, ``ip -batch`` adds the routes; ``dump``, an address that goes makes the
dataplane dump all; ``lost``, 150,000 deletions while it is stopped overflow its socket, it dumps
and sweeps; then commands of bngd's kind are timed while it dumps once more, and an object with
50,000 routes is replaced.

Each phase is right when both ends of every prefix are as the kernel's table has them, and 1,000
random addresses as ``ip route get`` says; ``right after`` is the first of some copies of the FIB
after the last message that is. Memory is that of the whole process: the FIB's pages (64 MiB) are in
it from the start. Of a dump: how long it took, CPU time of the kernel and our own, and the messages
a second that the latter makes.

Then IPv6 beside them (``routes6.py``): ``events6``, ``dump6`` and ``lost6`` are the same.

The lab is that of ``tests.support.router_lab``. The routes are /20s to /24s, one in 200 a /25
to /32, spread over 1.0.0.0 to 223.255.255.255; they lead to 62 gateways on two ports.
"""

import argparse
import contextlib
import dataclasses
import json
import operator
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.binding import CommandType, route_record
from tests.bench import routes6
from tests.support.netns import command
from tests.support.pinger import Pings, pinging
from tests.support.router_lab import HOST_A, HOST_B, ROUTED_PORTS, RouterLab, until

RANDOM_ADDRESSES = 1_000
CHANGED = 150_000
IDLE = "idle"
GATEWAYS = tuple(f"10.{net}.0.{host}" for net in (8, 9) for host in range(100, 131))
SNAPSHOTS_S = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""When after the last message the FIB is copied, to see from when on it was right."""
ON_AN_OBJECT = 50_000
_DUMP = re.compile(r"event=mirror-dump messages=(\d+) ms=(\d+) kernel-ms=(\d+) own-ms=(\d+)")

Table = dict[tuple[int, int], str]
"""(prefix, length) to gateway."""


class Dump(NamedTuple):
    """A dump of all that the kernel has."""

    messages: int
    wall_ms: int
    kernel_ms: int
    own_ms: int

    @property
    def rate(self) -> int:
        """Messages decoded and installed in a second of CPU time."""
        return self.messages * 1000 // max(self.own_ms, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one phase; *right_after_s* is None when the FIB never was as it must be."""

    phase: str
    batch_s: float
    right_after_s: float | None
    dumps: list["Dump"]
    memory_mb: float
    pings: int
    lost: int


def make_routes(count: int) -> Table:
    """Return *count* different routes outside of the lab's own networks."""
    rng = random.Random(1)
    table: Table = {}
    while len(table) < count:
        length = rng.randint(25, 32) if rng.random() < 0.005 else rng.choice((20, 22, 23, 24, 24))
        prefix = rng.randrange(1 << 24, 224 << 24) >> (32 - length) << (32 - length)
        if prefix >> 24 not in (10, 127):
            table[prefix, length] = rng.choice(GATEWAYS)
    return table


def _lines(verb: str, table: Table) -> list[str]:
    return [
        f"route {verb} {IPv4Address(prefix)}/{length} via {gateway}"
        for (prefix, length), gateway in table.items()
    ]


# ---- the FIB, and what it must be ----


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the FIB: its trie, and each adjacency's next hop."""

    root: memoryview
    pages: memoryview
    next_hop: list[str]

    def lookup(self, address: int) -> str:
        """Return the next hop, "" when there is no route."""
        leaf = self.root[address >> 16]
        for shift in (8, 0):
            if leaf & 1 << 31:
                leaf = self.pages[(leaf & 0x7FFFFFFF) << 8 | address >> shift & 0xFF]
        return self.next_hop[leaf & 0x3FFFFF] if leaf else ""


def snapshot(lab: RouterLab) -> Snapshot:
    """Copy the FIB as it stands."""
    box = lab.arena
    hops = [int(box.adjacencies[i].address) for i in range(box.header.max_adjacencies)]
    return Snapshot(
        memoryview(bytes(box.fib4_root)).cast("I"),
        memoryview(bytes(box.fib4_pages)).cast("I"),
        [str(IPv4Address(hop.to_bytes(4, "little"))) for hop in hops],
    )


def kernel_table(lab: RouterLab) -> Table:
    """Return the kernel's routes by gateways."""
    table: Table = {}
    for line in lab.run("bng", "ip", "-4", "route", "show").stdout.splitlines():
        words = line.split()
        if words[1] == "via":
            prefix, _, length = words[0].replace("default", "0.0.0.0/0").partition("/")
            table[int(IPv4Address(prefix)), int(length or 32)] = words[2]
    return table


def longest(table: Table, lengths: list[int], address: int) -> str:
    """Return the next hop of the longest prefix, "" when there is none."""
    for length in lengths:
        if found := table.get((address >> (32 - length) << (32 - length), length)):
            return found
    return ""


def expected(table: Table) -> tuple[list[int], list[str]]:
    """Return addresses and their next hops: both ends of each prefix."""
    lengths = sorted({length for _, length in table}, reverse=True)
    ends = (prefix | last for prefix, length in table for last in (0, (1 << (32 - length)) - 1))
    addresses = [address for address in ends if address >> 24 != 10]
    return addresses, [longest(table, lengths, address) for address in addresses]


def is_right(fib: Snapshot, addresses: list[int], hops: list[str]) -> bool:
    """Say whether the FIB has all of that."""
    return all(map(operator.eq, map(fib.lookup, addresses), hops))


def spot_check(lab: RouterLab, fib: Snapshot) -> int:
    """Return at how many random addresses the FIB is not of the kernel's opinion."""
    rng = random.Random(2)
    addresses = [IPv4Address(rng.randrange(11 << 24, 126 << 24)) for _ in range(RANDOM_ADDRESSES)]
    argv = command(lab.netns("bng"), ["ip", "-batch", "-"])
    lines = "".join(f"route get {address}\n" for address in addresses)
    done = subprocess.run(argv, input=lines, capture_output=True, text=True, check=True)
    kernel = dict(re.findall(r"^(\S+) via (\S+)", done.stdout, re.MULTILINE))
    return sum(fib.lookup(int(address)) != kernel.get(str(address)) for address in addresses)


# ---- the phases ----


def _memory_mb(lab: RouterLab) -> float:
    assert lab.process is not None
    status = Path(f"/proc/{lab.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _dumps(lab: RouterLab) -> list[Dump]:
    return [Dump(*map(int, found)) for found in _DUMP.findall(lab.log.read_text())]


def _snapshots(copy: Callable[[], Any]) -> list[tuple[float, Any]]:
    begin = time.monotonic()
    taken = []
    for at in SNAPSHOTS_S:
        time.sleep(max(0.0, begin + at - time.monotonic()))
        taken.append((time.monotonic() - begin, copy()))
    return taken


def _judge(lab: RouterLab, taken: list[tuple[float, Snapshot]]) -> float | None:
    """Return when the FIB was right at first; it has to be so at the end as well."""
    addresses, hops = expected(kernel_table(lab))
    last = taken[-1][1]
    if not is_right(last, addresses, hops) or spot_check(lab, last):
        return None
    return next(at for at, fib in taken if is_right(fib, addresses, hops))


def _ip_batch(lab: RouterLab, batch: Path) -> None:
    """Run a batch, however long it takes."""
    argv = command(lab.netns("bng"), ["ip", "-batch", str(batch)])
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


class Look(NamedTuple):
    """How the FIB of a family is looked at."""

    copy: Callable[[RouterLab], Any]
    judge: Callable[[RouterLab, list[tuple[float, Any]]], float | None]


IP4 = Look(snapshot, _judge)


def phase(
    lab: RouterLab, name: str, lines: list[str], *, stopped: bool = False, look: Look = IP4
) -> Row:
    """Give *lines* to ``ip -batch``, the dataplane meanwhile *stopped* or forwarding."""
    assert lab.process is not None
    seen = len(_dumps(lab))
    batch = lab.log.with_name("batch")
    batch.write_text("\n".join(lines) + "\n")
    quiet = contextlib.nullcontext(Pings())
    with quiet if stopped else pinging(lab.netns("a"), HOST_B) as pings:
        begin = time.monotonic()
        if stopped:
            lab.process.send_signal(signal.SIGSTOP)
        _ip_batch(lab, batch)
        if stopped:
            lab.process.send_signal(signal.SIGCONT)
        batch_s = time.monotonic() - begin
        taken = _snapshots(partial(look.copy, lab))
    memory = _memory_mb(lab)
    dumps = _dumps(lab)[seen:]
    return Row(name, batch_s, look.judge(lab, taken), dumps, memory, pings.sent, pings.missing)


def command_ms(lab: RouterLab) -> list[float]:
    """Return how long commands to the control thread took during a dump, sorted."""
    box = lab.arena
    record = route_record(CommandType.ROUTE4_DEL, bytes([100, 64, 0, 1]), 32)
    before = int(box.mirror.dumps)
    lab.ip("bng", "addr add 10.9.0.3/32 dev bng-wan0")
    lab.ip("bng", "addr del 10.9.0.3/32 dev bng-wan0")
    took = []
    while int(box.mirror.dumps) == before:
        begin = time.perf_counter()
        box.command(box.control_group, record)
        box.flush()
        while not box.completions(box.control_group):
            time.sleep(0)
        took.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.002)
    return sorted(took)


def repoint_ms(lab: RouterLab) -> tuple[float, int, int]:
    """Return how long the routes of an object took to follow it; writes to FIB and to groups."""
    box = lab.arena
    lab.ip("bng", f"nexthop add id 1 via {HOST_A} dev bng-wan0")
    prefixes = (f"10.{16 + (i >> 8)}.{i & 255}.0/24" for i in range(ON_AN_OBJECT))
    batch = lab.log.with_name("batch")
    batch.write_text("".join(f"route replace {prefix} nhid 1\n" for prefix in prefixes))
    _ip_batch(lab, batch)
    last = f"10.{16 + ((ON_AN_OBJECT - 1) >> 8)}.{(ON_AN_OBJECT - 1) & 255}.1"
    until(lambda: set(lab.slots_or_none(last) or ()) == {HOST_A}, "all are there", 60)
    time.sleep(1)
    writes, repoints = int(box.mirror.fib_writes), int(box.mirror.repoints)
    begin = time.perf_counter()
    lab.ip("bng", f"nexthop replace id 1 via {HOST_B} dev bng-wan1")
    while set(lab.slots(last)) != {HOST_B}:
        pass
    took = (time.perf_counter() - begin) * 1000
    time.sleep(1)
    return took, int(box.mirror.fib_writes) - writes, int(box.mirror.repoints) - repoints


def measure(count: int, count6: int) -> Iterator[Row | str]:
    """Yield the phases, and lines on commands and nexthop objects."""
    table = make_routes(count)
    changed = dict(list(table.items())[:CHANGED])
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as directory,
        RouterLab(f"br{os.getpid()}", Path(directory), ROUTED_PORTS) as lab,
    ):
        lab.options = (f"--fib6-nodes={count6 * 5 // 4 + 1024}",)
        lab.start()
        lab.meet()
        for gateway in GATEWAYS:
            device = "bng-wan0" if gateway.startswith("10.9.") else "bng-wan1"
            lab.ip("bng", f"neigh replace {gateway} lladdr 02:00:00:00:00:99 dev {device}")
        yield Row(IDLE, 0, None, [], _memory_mb(lab), 0, 0)
        lines = [f"route add default via {GATEWAYS[0]}", *_lines("add", table)]
        yield phase(lab, "events", lines)
        lines = [f"addr {verb} 10.9.0.3/32 dev bng-wan0" for verb in ("add", "del")]
        yield phase(lab, "dump", lines)
        yield phase(lab, "lost", _lines("del", changed), stopped=True)
        table6 = routes6.prepare(lab, count6)
        look = Look(routes6.snapshot, routes6.judge)
        yield phase(lab, "events6", routes6.lines("add", table6), look=look)
        yield phase(lab, "dump6", routes6.LOSE_AN_ADDRESS, look=look)
        some = dict(list(table6.items())[:CHANGED])
        yield phase(lab, "lost6", routes6.lines("del", some), stopped=True, look=look)
        took = command_ms(lab)
        yield (
            f"{len(took)} commands during a dump: {took[len(took) // 2]:.2f} ms, "
            f"99 in 100 {took[len(took) * 99 // 100]:.2f} ms, longest {took[-1]:.2f} ms"
        )
        ms, writes, repoints = repoint_ms(lab)
        yield (
            f"an object with {ON_AN_OBJECT:,} routes replaced: {ms:.1f} ms, ip(8) included; "
            f"{repoints} write, {writes} to the FIB"
        )


def _from_peer(count: int, count6: int, kind: str, *, as_json: bool) -> None:
    from tests.bench import routes_peer  # which imports this module

    tables = routes_peer.Tables(make_routes(count), routes6.make_routes(count6))
    with contextlib.redirect_stdout(sys.stderr):
        rows = list(routes_peer.measure(tables, kind))
    if as_json:
        print(json.dumps([row._asdict() for row in rows]))
    else:
        print(routes_peer.version(kind))
        routes_peer.show(rows)


def main() -> None:
    """Print a row for each phase."""
    parser = argparse.ArgumentParser(prog="packaging/bench routes", description=__doc__)
    parser.add_argument("--routes", type=int, default=1_000_000)
    parser.add_argument("--routes6", type=int, default=250_000)
    parser.add_argument("--from", dest="peer", choices=("bird", "frr"), help="by BGP, from BIRD")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.peer:
        _from_peer(args.routes, args.routes6, args.peer, as_json=args.json)
        return
    with contextlib.redirect_stdout(sys.stderr):  # the lab tells its log
        found = list(measure(args.routes, args.routes6))
    rows = [row for row in found if isinstance(row, Row)]
    lines = [line for line in found if isinstance(line, str)]
    if args.json:
        table: list[dict[str, Any]] = [dataclasses.asdict(row) for row in rows]
        print(json.dumps({"phases": table, "more": lines}))
        return
    print("phase    ip -batch s   right after s   memory MB    pings   lost")
    for row in rows:
        right = "never" if row.right_after_s is None else f"{row.right_after_s:.2f}"
        right = "" if row.phase == IDLE else right
        print(
            f"{row.phase:8} {row.batch_s:11.1f} {right:>15} {row.memory_mb:11.0f} "
            f"{row.pings:8} {row.lost:6}"
        )
        for dump in row.dumps:
            print(
                f"         dump of {dump.messages:,}: {dump.wall_ms} ms, CPU of the kernel "
                f"{dump.kernel_ms} ms, own {dump.own_ms} ms: {dump.rate:,} a second"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
