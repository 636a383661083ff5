"""A routing daemon's routes into the FIB, while packets are forwarded: ``routes --from bird``.

BIRD in the namespace of a neighbour has the routes and announces them by BGP; beside the dataplane
stands BIRD or FRR (bgpd and zebra), which puts them into the kernel. Then the neighbour dies, and
everything is withdrawn.

Of each phase: when the last route was in the kernel or out of it, what CPU time the daemons had
until then, how much later the FIB had followed, and pings lost on a route that did not change. The
kernel's routes are counted five times a second: later than by that it cannot have been seen.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from tests.bench.routes import Pinger, Table, expected, is_right, kernel_table, snapshot, spot_check
from tests.support.netns import command, run
from tests.support.router_lab import BOX_B, HOST_A, HOST_B, RouterLab, until
from tests.support.routing_lab import Frr

TICK_S = 0.2
LIMIT_S = 900.0

_PEER = """router id 10.255.0.3;
protocol device {{ }}
protocol static {{
    ipv4;
include "{routes}";
}}
protocol bgp box {{
    local {host} as 64502; neighbor {box} as 64500; connect delay time 1; hold time 240;
    ipv4 {{ import none; export all; }};
}}
"""
_BOX = """router id 10.255.0.1;
protocol device {{ }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol bgp peer {{
    local {box} as 64500; neighbor {host} as 64502; connect delay time 1; hold time 240;
    ipv4 {{ import all; export none; }};
}}
"""
_FRR = (
    "no zebra nexthop kernel enable",
    "route-map ALL permit 10",
    "exit",
    "router bgp 64500",
    "bgp router-id 10.255.0.1",
    f"neighbor {HOST_B} remote-as 64502",
    f"neighbor {HOST_B} timers 60 240",
    f"neighbor {HOST_B} timers connect 1",
    "address-family ipv4 unicast",
    f"neighbor {HOST_B} route-map ALL in",
)


class PeerRow(NamedTuple):
    """One phase: seconds from its start, *right* whether the FIB was the kernel's at its end."""

    phase: str
    routes: int
    kernel_s: float
    daemon_cpu_s: float
    follows_s: float
    right: bool
    pings: int
    lost: int


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Routers:
    """The daemons of a bench: BIRD in b, *kind* beside the box."""

    def __init__(self, lab: RouterLab, directory: Path, kind: str, table: Table) -> None:
        self._lab, self._directory, self._kind = lab, directory, kind
        self.frr = Frr(lab.netns("bng"), ("bgpd",)) if kind == "frr" else None
        routes = directory / "routes.conf"
        routes.write_text(
            "".join(f"route {IPv4Address(p)}/{length} blackhole;\n" for p, length in table)
        )
        names = {"routes": routes, "host": HOST_B, "box": BOX_B}
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


def _in_kernel(lab: RouterLab) -> int:
    """Return how many routes the kernel's main table has, quickly."""
    text = lab.run("bng", "cat", "/proc/net/fib_triestat").stdout
    main = text.partition("Main:")[2].partition("Local:")[0]
    return int(re.findall(r"Prefixes:\s+(\d+)", main)[0])


def _watch(lab: RouterLab, kernel: int, fib: int) -> tuple[float, float]:
    """Wait until kernel and FIB have that many routes; return when each had."""
    begin, kernel_s, fib_s = time.monotonic(), 0.0, 0.0
    while not (kernel_s and fib_s):
        passed = time.monotonic() - begin
        assert passed < LIMIT_S, f"{_in_kernel(lab)} of {kernel}, {int(lab.arena.mirror.routes)}"
        if not fib_s and int(lab.arena.mirror.routes) == fib:
            fib_s = passed
        if not kernel_s and _in_kernel(lab) == kernel:
            kernel_s = passed
        time.sleep(TICK_S)
    return kernel_s, fib_s


def _is_right(lab: RouterLab) -> bool:
    taken = snapshot(lab)
    return is_right(taken, *expected(kernel_table(lab))) and not spot_check(lab, taken)


def measure(count: int, kind: str, table: Table) -> Iterator[PeerRow]:
    """Yield what came of learning *table* and of losing it."""
    with (
        tempfile.TemporaryDirectory(prefix="bng-bench-") as name,
        RouterLab(f"bp{os.getpid()}", Path(name)) as lab,
    ):
        lab.start()
        lab.meet()
        lab.ip("bng", f"route add default via {HOST_A}")
        time.sleep(0.3)  # counters are shared every 100 ms
        before = _in_kernel(lab), int(lab.arena.mirror.routes)
        routers = Routers(lab, Path(name), kind, table)
        try:
            pids = routers.begin()
            for phase, more in (("learned", count), ("withdrawn", 0)):
                pinger, cpu_s = Pinger(lab), _cpu_s(pids)
                with pinger.pinging():
                    if not more:
                        routers.peer.send_signal(signal.SIGKILL)
                    kernel_s, fib_s = _watch(lab, before[0] + more, before[1] + more)
                    cpu_s = _cpu_s(pids) - cpu_s
                follows_s = max(0.0, fib_s - kernel_s)
                lost = pinger.sent - pinger.received
                right = _is_right(lab)
                yield PeerRow(phase, count, kernel_s, cpu_s, follows_s, right, pinger.sent, lost)
        finally:
            routers.end()


def show(rows: list[PeerRow]) -> None:
    """Print the rows."""
    print("phase         routes  kernel s  daemon CPU s  FIB later s  FIB is right    pings   lost")
    for row in rows:
        print(
            f"{row.phase:10} {row.routes:9,} {row.kernel_s:9.1f} {row.daemon_cpu_s:13.1f} "
            f"{row.follows_s:12.1f} {row.right!s:>13} {row.pings:8} {row.lost:6}"
        )


def version(kind: str) -> str:
    """Return which daemon it was."""
    if kind == "bird":
        return run(None, "bird", "--version", check=False).stderr.strip()
    return run(None, "/usr/lib/frr/zebra", "--version", check=False).stdout.splitlines()[0]
