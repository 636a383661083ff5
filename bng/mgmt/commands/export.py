"""``show export``: the prefixes that a routing daemon finds in the kernel."""

from bng.box import Box
from bng.mgmt.registry import Args, command


@command("show export", summary="Prefixes put into the kernel for a routing daemon, and why.")
def show_export(box: Box, args: Args) -> object:
    """Return one row for each prefix: *state* is installed, pending or refused."""
    rows = sorted(box.exporter.rows(), key=lambda row: (row[0].version, row[0].network_address))
    return [
        {"prefix": str(prefix), "kind": kind.value, "state": state} for prefix, kind, state in rows
    ]
