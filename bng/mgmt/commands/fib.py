"""``show fib``: how full the FIB is, and what the mirror of the kernel's routes counted."""

from bng.box import Box
from bng.mgmt.registry import Args, command


@command("show fib", summary="Routes, room for them, what was left out, kernel dumps.")
def show_fib(box: Box, args: Args) -> object:
    """Return the numbers of ``struct mirror_shared``, those of one matter together."""
    mirror = box.dataplane.mirror
    return {
        "routes": {
            "installed": int(mirror.routes),
            "installed_ipv6": int(mirror.routes6),
            "waiting_for_room": int(mirror.waiting),
            "unsupported": int(mirror.unsupported),
            "no_memory": int(mirror.no_memory),
            "writes": int(mirror.fib_writes),
        },
        "pages": {"total": int(mirror.pages), "free": int(mirror.pages_free)},
        "nodes_ipv6": {"total": int(mirror.nodes6), "free": int(mirror.nodes6_free)},
        "next_hops": {
            "adjacencies": int(mirror.adjacencies),
            "objects": int(mirror.nexthops),
            "repoints": int(mirror.repoints),
            "resolved_for_packets": int(mirror.resolves),
            "over_the_rate": int(mirror.resolves_cut),
            "held": int(mirror.held),
        },
        "kernel": {
            "events_lost": int(mirror.events_lost),
            "dumps": int(mirror.dumps),
            "dump_messages": int(mirror.dump_messages),
            "dump_ms": int(mirror.dump_ms),
            "dump_kernel_cpu_ms": int(mirror.dump_kernel_us) // 1000,
            "dump_own_cpu_ms": int(mirror.dump_own_us) // 1000,
        },
    }
