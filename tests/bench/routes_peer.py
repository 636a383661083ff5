"""A routing daemon's routes into the FIB, while packets are forwarded: ``routes --from bird``.

BIRD in the namespace of a neighbour has the routes of both families and announces them by BGP, each
over a session of its own family; beside the dataplane stands BIRD or FRR (bgpd and zebra), which
puts them into the kernel. Then the neighbour dies, and everything is withdrawn.

Of each phase: when the last route was in the kernel or out of it, what CPU time the daemons had
until then, how much later the FIB had followed, how often the kernel had no room for its messages
to the dataplane, and pings lost on routes of both families that did not change: how many, when, and
what was dropped meanwhile and where, in the dataplane or before it. The kernel's routes
are counted five times a second: later than by that it cannot have been seen.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

from tests.bench import routes6
from tests.bench.losses import legs, losses, lost_on, told
from tests.bench.routes import Table, expected, is_right, kernel_table, snapshot, spot_check
from tests.support.netns import command, run
from tests.support.pinger import pinging
from tests.support.router_lab import BOX_B, HOST_A, HOST_B, RouterLab, until
from tests.support.routing_lab import Frr

HOST_A6, HOST_B6, BOX_B6 = "2001:db8:9::2", "2001:db8:8::2", "2001:db8:8::1"
TICK_S = 0.2
LIMIT_S = 900.0

_PEER = """router id 10.255.0.3;
protocol device {{ }}
protocol static {{
    ipv4;
include "{routes}";
}}
protocol static {{
    ipv6;
include "{routes6}";
}}
protocol bgp box {{
    local {host} as 64502; neighbor {box} as 64500; connect delay time 1; hold time 240;
    ipv4 {{ import none; export all; }};
}}
protocol bgp box6 {{
    local {host6} as 64502; neighbor {box6} as 64500; connect delay time 1; hold time 240;
    ipv6 {{ import none; export all; }};
}}
"""
_BOX = """router id 10.255.0.1;
protocol device {{ }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol bgp peer {{
    local {box} as 64500; neighbor {host} as 64502; connect delay time 1; hold time 240;
    ipv4 {{ import all; export none; }};
}}
protocol kernel {{ ipv6 {{ import none; export all; }}; }}
protocol bgp peer6 {{
    local {box6} as 64500; neighbor {host6} as 64502; connect delay time 1; hold time 240;
    ipv6 {{ import all; export none; }};
}}
"""
_PEERS = (("ipv4", HOST_B), ("ipv6", HOST_B6))
_FRR = (
    "no zebra nexthop kernel enable",
    "route-map ALL permit 10",
    "exit",
    "router bgp 64500",
    "bgp router-id 10.255.0.1",
    "no bgp default ipv4-unicast",
    *(
        f"neighbor {host} {words}"
        for _, host in _PEERS
        for words in ("remote-as 64502", "timers 60 240", "timers connect 1")
    ),
    *(
        line
        for family, host in _PEERS
        for line in (
            f"address-family {family} unicast",
            f"neighbor {host} activate",
            f"neighbor {host} route-map ALL in",
            "exit-address-family",
        )
    ),
)


class PeerRow(NamedTuple):
    """One phase: seconds from its start, *right* whether the FIB was the kernel's at its end."""

    phase: str
    routes: int
    routes6: int
    kernel_s: float
    daemon_cpu_s: float
    follows_s: float
    right: bool
    overruns: int
    pings: int
    lost: int
    slowest_s: float
    """The longest time that a packet and its answer took."""
    lost_at: list[tuple[float, int]]
    """When pings began to be lost, in seconds, and how many in a row."""
    losses: dict[str, int]
    """What was lost on the way of anything at all, by place and reason."""
    legs: dict[str, int]
    """Where pings were lost."""


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Tables(NamedTuple):
    """What is announced, of each family."""

    ip4: Table
    ip6: routes6.Table


class Routers:
    """The daemons of a bench: BIRD in b, *kind* beside the box."""

    def __init__(self, lab: RouterLab, directory: Path, kind: str, tables: "Tables") -> None:
        self._lab, self._directory, self._kind = lab, directory, kind
        self.frr = Frr(lab.netns("bng"), ("bgpd",)) if kind == "frr" else None
        routes, routes_6 = directory / "routes.conf", directory / "routes6.conf"
        for file, make, table in (
            (routes, IPv4Address, tables.ip4),
            (routes_6, IPv6Address, tables.ip6),
        ):
            file.write_text("".join(f"route {make(p)}/{n} blackhole;\n" for p, n in table))
        names = {"routes": routes, "host": HOST_B, "box": BOX_B}
        names |= {"routes6": routes_6, "host6": HOST_B6, "box6": BOX_B6}
        (directory / "peer.conf").write_text(_PEER.format(**names))
        (directory / "box.conf").write_text(_BOX.format(**names))
        self._birds: list[subprocess.Popen[bytes]] = []

    def _bird(self, side: str, name: str) -> subprocess.Popen[bytes]:
        files = ("-c", f"{self._directory}/{name}.conf", "-s", f"{self._directory}/{name}.ctl")
        argv = command(self._lab.netns(side), ["/usr/sbin/bird", "-f", *files])
        with (self._directory / f"{name}.log").open("wb") as log:
            self._birds.append(subprocess.Popen(argv, stdout=log, stderr=log))
        return self._birds[-1]

    def begin(self) -> list[int]:
        """Start all; return the daemons beside the box. The neighbour has read its routes first."""
        self.peer = self._bird("b", "peer")
        until(self._has_read, "BIRD has read its routes", 120)
        if self.frr is None:
            return [self._bird("bng", "box").pid]
        self.frr.start()
        self.frr.configure(*_FRR)
        return [int(file.read_text()) for file in self.frr.directory.glob("*.pid")]

    def _has_read(self) -> bool:
        log = (self._directory / "peer.log").read_text()
        assert self.peer.poll() is None and "error" not in log, log
        socket = str(self._directory / "peer.ctl")
        return run(None, "birdc", "-s", socket, "show", "status", check=False).returncode == 0

    def end(self) -> None:
        """Kill them all."""
        for bird in self._birds:
            bird.kill()
            bird.wait(10)
        if self.frr is not None:
            self.frr.remove()


class Counts(NamedTuple):
    """How many routes there are, of each family."""

    ip4: int
    ip6: int


def _in_kernel(lab: RouterLab) -> Counts:
    """Return how many routes the kernel has, quickly; IPv4: its main table."""
    text = lab.run("bng", "cat", "/proc/net/fib_triestat", "/proc/net/rt6_stats").stdout
    main = text.partition("Main:")[2].partition("Local:")[0]
    entries = text.splitlines()[-1].split()[3]
    return Counts(int(re.findall(r"Prefixes:\s+(\d+)", main)[0]), int(entries, 16))


def _in_fib(lab: RouterLab) -> Counts:
    return Counts(int(lab.arena.mirror.routes), int(lab.arena.mirror.routes6))


def _watch(lab: RouterLab, kernel: Counts, fib: Counts) -> tuple[float, float]:
    """Wait until kernel and FIB have that many routes; return when each had."""
    begin, kernel_s, fib_s = time.monotonic(), 0.0, 0.0
    while not (kernel_s and fib_s):
        passed = time.monotonic() - begin
        assert passed < LIMIT_S, f"{_in_kernel(lab)} of {kernel}, {_in_fib(lab)} of {fib}"
        if not fib_s and _in_fib(lab) == fib:
            fib_s = passed
        if not kernel_s and _in_kernel(lab) == kernel:
            kernel_s = passed
        time.sleep(TICK_S)
    return kernel_s, fib_s


def _is_right(lab: RouterLab) -> bool:
    taken, taken6 = snapshot(lab), routes6.snapshot(lab)
    return (
        is_right(taken, *expected(kernel_table(lab)))
        and not spot_check(lab, taken)
        and routes6.judge(lab, [(0.0, taken6)]) is not None
    )


def _more(counts: Counts, tables: Tables) -> Counts:
    return Counts(counts.ip4 + len(tables.ip4), counts.ip6 + len(tables.ip6))


def _meet(lab: RouterLab) -> None:
    """Both hosts have IPv6 too, and all neighbours are in the FIB."""
    lab.meet()
    lab.ip("bng", f"route add default via {HOST_A}")
    routes6.prepare(lab, 0)
    for side, host in (("a", HOST_A6), ("b", HOST_B6)):
        lab.ip(side, f"-6 addr add {host}/64 dev e nodad")
        lab.ip(side, f"-6 route add default via {host[:-1]}1")
        until(partial(lab.ping, "bng", host), f"{host} answers")
    lab.ip("bng", f"-6 route add 2000::/3 via {HOST_A6}")
    until(lambda: lab.ping("a", HOST_B6), "IPv6 from host to host")
    time.sleep(3)  # the box's own addresses of the links are its own; counters are shared


def measure(tables: Tables, kind: str) -> Iterator[PeerRow]:
    """Yield what came of learning *tables* and of losing them."""
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as name,
        RouterLab(f"bp{os.getpid()}", Path(name)) as lab,
    ):
        lab.options = (f"--fib6-nodes={len(tables.ip6) * 5 // 4 + 1024}",)
        lab.start()
        _meet(lab)
        before = _in_kernel(lab), _in_fib(lab)
        routers = Routers(lab, Path(name), kind, tables)
        try:
            pids = routers.begin()
            for phase, more in (("learned", tables), ("withdrawn", Tables({}, {}))):
                cpu_s, lost_events = _cpu_s(pids), int(lab.arena.mirror.events_lost)
                causes, way, a = losses(lab), legs(lab), lab.netns("a")
                with pinging(a, HOST_B) as pings, pinging(a, HOST_B6) as pings6:
                    if phase == "withdrawn":
                        routers.peer.send_signal(signal.SIGKILL)
                    kernel_s, fib_s = _watch(lab, *(_more(counts, more) for counts in before))
                    cpu_s = _cpu_s(pids) - cpu_s
                yield PeerRow(
                    phase,
                    *_more(Counts(0, 0), more),
                    kernel_s,
                    cpu_s,
                    max(0.0, fib_s - kernel_s),
                    _is_right(lab),
                    int(lab.arena.mirror.events_lost) - lost_events,
                    pings.sent + pings6.sent,
                    pings.missing + pings6.missing,
                    max(pings.slowest_s, pings6.slowest_s),
                    sorted([*pings.lost, *pings6.lost]),
                    dict(losses(lab) - causes),
                    dict(lost_on(pings.sent + pings6.sent, way, legs(lab))),
                )
        finally:
            routers.end()


def show(rows: list[PeerRow]) -> None:
    """Print the rows."""
    print(
        "phase         routes  of IPv6  kernel s  daemon CPU s  FIB later s  FIB is right"
        "  overruns    pings   lost  slowest ms"
    )
    for row in rows:
        print(
            f"{row.phase:10} {row.routes:9,} {row.routes6:8,} {row.kernel_s:9.1f} "
            f"{row.daemon_cpu_s:13.1f} {row.follows_s:12.1f} {row.right!s:>13} {row.overruns:9} "
            f"{row.pings:8} {row.lost:6} {row.slowest_s * 1000:11.0f}"
        )
    for row in rows:
        print(f"{row.phase}: dropped on the way: {told(Counter(row.losses))}")
        if row.legs:
            print(f"    pings were {told(Counter(row.legs))}")
        for at, count in row.lost_at:
            print(f"    {count} pings in a row were lost {at:.3f} s after it began")


def version(kind: str) -> str:
    """Return which daemon it was."""
    if kind == "bird":
        return run(None, "bird", "--version", check=False).stderr.strip()
    return run(None, "/usr/lib/frr/zebra", "--version", check=False).stdout.splitlines()[0]
