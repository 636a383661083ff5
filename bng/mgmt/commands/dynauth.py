"""``show dynauth``: CoA and Disconnect (RFC 5176)."""

from collections.abc import Mapping

from bng.aaa.dynauth import ErrorCause
from bng.box import Box
from bng.mgmt.registry import Args, command

DROPPED = (
    *("unknown_client", "malformed", "unexpected_code", "wrong_authenticator", "wrong_signature"),
    "stale",
)
"""Reasons for which a request has no answer."""


@command("show dynauth", summary="Show CoA and Disconnect: sockets, clients, what came of it.")
def show_dynauth(box: Box, args: Args) -> object:
    """Return the sums, the sockets, and one row for each client."""
    service = box.radius.dynauth
    counters, orders = service.core.counters, box.manager.orders
    return {
        "requests": counters["requests"],
        "acks": counters["acks"],
        "naks": counters["naks"],
        "duplicates": counters["duplicates"],
        "waiting": orders.waiting,
        "restored": orders.counters["restored"],
        "scans": orders.counters["scans"],
        "errors": service.errors,
        "not_sent": counters["unsent"],
        "naks_by_cause": _naks(counters),
        "dropped": {name: counters[name] for name in DROPPED if counters[name]},
        "sockets": [
            {"address": address, "port": service.table.port, "state": error or "open"}
            for address, error in service.sockets.items()
        ],
        "clients": [
            {
                "client": client.name,
                "prefix": str(client.prefix),
                "orders": ",".join(client.orders),
                **_of_client(service.core.by_client[client.name]),
            }
            for client in service.table.client
        ],
    }


def _of_client(counters: Mapping[str, int]) -> dict[str, object]:
    return {
        **{name: counters.get(name, 0) for name in ("requests", "acks", "naks", "duplicates")},
        "dropped": sum(counters.get(name, 0) for name in DROPPED),
        "naks_by_cause": _naks(counters),
    }


def _naks(counters: Mapping[str, int]) -> dict[str, int]:
    """Return how many NAKs there were, by the name of their Error-Cause."""
    return {
        f"{int(cause)} {cause.name.lower().replace('_', '-')}": count
        for cause in ErrorCause
        if (count := counters.get(f"nak_{int(cause)}", 0))
    }
