"""Where packets of a router lab were lost: every counter of a loss on their way that has moved.

What the dataplane never saw, for its rings were full or a queue of the kernel's was, is told apart
from what its nodes dropped, which have a reason each.
"""

from collections import Counter
from pathlib import Path

from dataplane.binding import ffi
from tests.support.router_lab import RouterLab

_DEVICES = (("a", "e"), ("b", "e"), ("bng", "wan0"), ("bng", "wan1"))
_STATISTICS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors")


def losses(lab: RouterLab) -> Counter[str]:
    """Return what was lost so far, by place and reason; subtract what was before."""
    return Counter({name: n for name, n in _all(lab) if n})


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


def _kernel(lab: RouterLab) -> list[tuple[str, int]]:
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    rows = [("kernel backlog (whole machine)", sum(int(line.split()[1], 16) for line in lines))]
    for side, device in _DEVICES:
        files = [f"/sys/class/net/{device}/statistics/{name}" for name in _STATISTICS]
        counts = lab.run(side, "cat", *files).stdout.split()
        names = (f"kernel {side}:{device} {name}" for name in _STATISTICS)
        rows += zip(names, map(int, counts), strict=True)
    return rows


def told(lost: Counter[str]) -> str:
    """Return it in words."""
    return ", ".join(f"{count} {name}" for name, count in lost.most_common()) or "none"
