"""``show neighbors``, ``show control``: who is on the links, and what routers and the box say."""

from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text
from dataplane import sight
from dataplane.binding import ffi, lib


def _wanted(box: Box, args: Args) -> str | None:
    """Return the port that is asked for, None: all. Raises: CommandError."""
    port = text(args, "port")
    if port is None:
        return None
    if port not in box.ports or box.dataplane.ports[box.ports[port]].role != lib.PORT_ROUTED:
        raise CommandError(f"port: no routed port {port!r}")
    return port


@command("show neighbors", "port", summary="Neighbours and next hops on routed ports.")
def show_neighbors(box: Box, args: Args) -> object:
    """Return those that the dataplane sends to, or would: without *mac* the kernel asks for it."""
    wanted = _wanted(box, args)
    now_ms = box.loop.now() * 1000
    return [
        {
            "port": row["port"],
            "address": row["address"],
            "mac": row.get("mac"),
            "unused_s": round(max(0.0, now_ms - used) / 1000, 1) if used else None,
        }
        for row, used in sight.neighbours(box.dataplane)
        if wanted in {None, row["port"]}
    ]


@command("show control", "port", summary="What routed ports and the kernel exchange, by protocol.")
def show_control(box: Box, args: Args) -> object:
    """Return a row for each routed port and class; *dropped* were policed, of those received."""
    wanted = _wanted(box, args)
    rows = []
    for index in range(box.dataplane.header.n_ports):
        port = box.dataplane.ports[index]
        name = ffi.string(port.name).decode()
        if port.role == lib.PORT_ROUTED and wanted in {None, name}:
            for kind, received, dropped, sent in sight.control(box.dataplane, index):
                counts = {"received": received, "dropped": dropped, "sent": sent}
                rows.append({"port": name, "class": kind, **counts})
    return rows
