"""``show runtime``, ``show errors``, ``measure``: what the workers do, and what goes wrong.

Numbers only grow; rates are the difference of two answers, which *monotonic_s* dates.
"""

from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import number, text
from dataplane import sight
from dataplane.binding import Ring, ffi, lib


@command("show runtime", "worker", summary="Workers and nodes: calls, packets, clocks.")
def show_runtime(box: Box, args: Args) -> object:
    """Return the workers, or one of them, and each node of theirs that was called."""
    dataplane = box.dataplane
    wanted = range(dataplane.n_workers)
    if args.get("worker") is not None:
        which = number(args, "worker", 0, 0, dataplane.n_workers - 1)
        wanted = range(which, which + 1)
    return {
        "monotonic_s": box.loop.now(),
        "tsc_hz": int(dataplane.header.tsc_hz),
        "workers": [_worker(box, index) for index in wanted],
        "nodes": [
            {"worker": w, "node": node, "calls": calls, "packets": packets, "clocks": clocks}
            for w, node, calls, packets, clocks in sight.node_runtime(dataplane)
            if calls and w in wanted
        ],
    }


def _worker(box: Box, index: int) -> dict[str, object]:
    worker = box.dataplane.workers[index]
    return {
        "worker": index,
        "cpu": None if worker.cpu == 0xFFFFFFFF else int(worker.cpu),
        "sleeping": bool(worker.sleeping),
        "measuring": bool(worker.measuring),
        "tracing": bool(worker.tracing),
        "sessions": int(worker.sessions),
        "buffers_free": int(worker.buffers_free),
        "loops": int(worker.loops),
        "idle_loops": int(worker.idle_loops),
        "busy_clocks": int(worker.busy_clocks),
        "rx_packets": int(worker.rx_packets),
    }


@command("measure", "state", summary="Count clocks per node, or no longer.")
def measure(box: Box, args: Args) -> object:
    """Turn the counting of clocks on or off on all workers: two reads of the TSC a vector."""
    state = text(args, "state")
    if state not in {"on", "off"}:
        raise CommandError("measure: on or off")
    for worker in range(box.dataplane.n_workers):
        box.dataplane.command(worker, sight.measure_record(state == "on"))
    box.dataplane.flush()
    return {"workers": box.dataplane.n_workers}


@command("show errors", summary="What was dropped or refused, and why.")
def show_errors(box: Box, args: Args) -> object:
    """Return every counter of a loss that has moved: drops of nodes, ports, workers, rings."""
    rows = [*_drops(box), *_ports(box), *_workers(box), *_rings(box)]
    return {
        "monotonic_s": box.loop.now(),
        "errors": [
            {"where": where, "reason": reason, "count": count}
            for where, reason, count in rows
            if count
        ],
    }


Row = tuple[str, str, int]


def _drops(box: Box) -> list[Row]:
    edges = box.dataplane.edge_counters().items()
    return [(node, reason, count) for (node, _, reason), count in edges if reason]


def _ports(box: Box) -> list[Row]:
    rows: list[Row] = []
    for index in range(box.dataplane.header.n_ports):
        port = box.dataplane.ports[index]
        name = f"port {ffi.string(port.name).decode()}"
        sent, full, control_full = (
            sum(int(getattr(port.tx[w], field)) for w in range(box.dataplane.n_workers))
            for field in ("errors", "rx_lost", "control_lost")
        )
        rows += [
            (name, "receive-error", int(port.rx_errors) - full - control_full),
            (name, "ring-full", full),
            (name, "control-ring-full", control_full),
            (name, "send-error", sent),
        ]
    return rows


def _workers(box: Box) -> list[Row]:
    rows: list[Row] = []
    for index in range(box.dataplane.n_workers):
        worker = box.dataplane.workers[index]
        name = f"worker {index}"
        rows.append((name, "no-buffer", int(worker.no_buffer)))
        rows.append((name, "command-refused", int(worker.command_errors)))
    return rows


def _rings(box: Box) -> list[Row]:
    dataplane = box.dataplane
    rows: list[Row] = [("inject", "ring-full", dataplane.inject_dropped)]
    for group in range(dataplane.n_workers + 1):
        owner = "control" if group == dataplane.n_workers else f"worker {group}"
        for kind in Ring:
            full = int(dataplane.rings[group * lib.RINGS_PER_GROUP + kind].full)
            rows.append((f"{owner} {kind.name.lower().replace('_', '-')}", "ring-full", full))
    return rows
