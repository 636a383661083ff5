"""Where packets of a router lab were lost: every counter of a loss on their way that has moved.

What the dataplane never saw, for its rings were full or a queue of the kernel's was, is told apart
from what its nodes dropped, which have a reason each. What is said of the whole machine comes from
all of its namespaces: the kernel's neighbours share one table, of 1,024 for each family.
"""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from dataplane.binding import ffi
from tests.support.router_lab import SIDES, RouterLab

_DEVICES = (("a", "e"), ("b", "e"), ("bng", "wan0"), ("bng", "wan1"))
_STATISTICS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors")
_OF_KERNEL = re.compile(r"(Icmp6?OutErrors|Ip6?(?:In|Out)Discards|Ip6?OutNoRoutes)$")
"""Of a host: answers that its ICMP socket had no room for, packets without a neighbour."""
_LEGS = (
    ("requests on their way to b", "b", ("IcmpInEchos", "Icmp6InEchos")),
    ("requests that b did not answer", "b", ("IcmpOutEchoReps", "Icmp6OutEchoReplies")),
    ("answers on their way to a", "a", ("IcmpInEchoReps", "Icmp6InEchoReplies")),
)


def losses(lab: RouterLab) -> Counter[str]:
    """Return what was lost so far, by place and reason; subtract what was before."""
    return Counter({name: n for name, n in _all(lab) if n})


def legs(lab: RouterLab) -> list[int]:
    """Return how many echoes reached each point of their way from host a to b and back."""
    stats = {side: _nstat(lab, side) for side in ("a", "b")}
    return [sum(stats[side].get(name, 0) for name in names) for _, side, names in _LEGS]


def lost_on(sent: int, before: list[int], after: list[int]) -> Counter[str]:
    """Return between which points of their way *sent* echoes were lost."""
    there = [sent, *(now - then for now, then in zip(after, before, strict=True))]
    pairs = zip(_LEGS, pairwise(there), strict=True)
    return Counter({what: here - next_ for (what, _, _), (here, next_) in pairs if here > next_})


def _all(lab: RouterLab) -> list[tuple[str, int]]:
    return [*_rings(lab), *_drops(lab), *_kernel(lab)]


def _rings(lab: RouterLab) -> list[tuple[str, int]]:
    box = lab.arena
    rows = [("worker no-buffer", sum(int(box.workers[w].no_buffer) for w in range(box.n_workers)))]
    for index in range(box.header.n_ports):
        port = box.ports[index]
        name = ffi.string(port.name).decode()
        rows.append((f"{name} receive-error", int(port.rx_errors)))
        for field in ("errors", "control_lost", "control_errors"):
            moved = sum(int(getattr(port.tx[w], field)) for w in range(box.n_workers))
            rows.append((f"{name} {field}", moved))
    return rows


def _drops(lab: RouterLab) -> list[tuple[str, int]]:
    edges = lab.arena.edge_counters().items()
    return [(f"{node} {reason}", count) for (node, _, reason), count in edges if reason]


def _nstat(lab: RouterLab, side: str) -> dict[str, int]:
    stats = json.loads(lab.run(side, "nstat", "-asz", "--json").stdout)["kernel"]
    return {name: int(count) for name, count in stats.items()}


def _neighbours(family: str) -> list[tuple[str, int]]:
    """Return what the table of ``arp`` or ``ndisc`` of the machine has refused and forgotten."""
    head, *rows = Path(f"/proc/net/stat/{family}_cache").read_text().splitlines()
    sums = zip(head.split(), zip(*(row.split() for row in rows), strict=True), strict=True)
    wanted = ("forced_gc_runs", "unresolved_discards", "table_fulls")
    return [
        (f"machine {family} {name}", sum(int(value, 16) for value in values))
        for name, values in sums
        if name in wanted
    ]


def _kernel(lab: RouterLab) -> list[tuple[str, int]]:
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    rows = [("machine backlog", sum(int(line.split()[1], 16) for line in lines))]
    rows += [*_neighbours("arp"), *_neighbours("ndisc")]
    for side, device in _DEVICES:
        files = [f"/sys/class/net/{device}/statistics/{name}" for name in _STATISTICS]
        counts = lab.run(side, "cat", *files).stdout.split()
        names = (f"kernel {side}:{device} {name}" for name in _STATISTICS)
        rows += zip(names, map(int, counts), strict=True)
    for side in SIDES:
        stats = _nstat(lab, side)
        rows += [(f"kernel {side} {n}", stats[n]) for n in stats if _OF_KERNEL.match(n)]
    return rows


def told(lost: Counter[str]) -> str:
    """Return it in words."""
    return ", ".join(f"{count} {name}" for name, count in lost.most_common()) or "none"
