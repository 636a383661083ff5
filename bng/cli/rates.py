"""Rates out of two answers: what a counter that only grows did in between."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def rate(before: float, after: float, seconds: float) -> float | None:
    """Return a rate, None when there is no time in between."""
    return round((after - before) / seconds, 1) if seconds > 0 else None


def by_key(rows: Sequence[Row], *keys: str) -> dict[tuple[Any, ...], Row]:
    """Return rows by the values of *keys*."""
    return {tuple(row[key] for key in keys): row for row in rows}


def runtime(before: Row, after: Row) -> dict[str, list[dict[str, Any]]]:
    """Return workers and nodes with what they did in between.

    All since the start when there is no time in between.
    """
    seconds = after["monotonic_s"] - before["monotonic_s"]
    old_workers = by_key(before["workers"], "worker")
    old_nodes = by_key(before["nodes"], "worker", "node")
    nodes = [
        _node(old_nodes.get((row["worker"], row["node"]), {}) if seconds else {}, row, seconds)
        for row in after["nodes"]
    ]
    return {
        "workers": [
            _worker(old_workers[(row["worker"],)] if seconds else {}, row, seconds, after["tsc_hz"])
            for row in after["workers"]
        ],
        "nodes": [row for row in nodes if row["calls"]],
    }


def _worker(old: Row, new: Row, seconds: float, tsc_hz: int) -> dict[str, Any]:
    loops = new["loops"] - old.get("loops", 0)
    idle = new["idle_loops"] - old.get("idle_loops", 0)
    return {
        **new,
        "loops": loops,
        "idle_percent": round(100 * idle / loops, 1) if loops else None,
        "busy_percent": rate(
            100 * old.get("busy_clocks", 0), 100 * new["busy_clocks"], seconds * tsc_hz
        ),
        "rx_pps": rate(old.get("rx_packets", 0), new["rx_packets"], seconds),
    }


def _node(old: Row, new: Row, seconds: float) -> dict[str, Any]:
    calls, packets, clocks = (new[key] - old.get(key, 0) for key in ("calls", "packets", "clocks"))
    return {
        "worker": new["worker"],
        "node": new["node"],
        "calls": calls,
        "packets": packets,
        "per_call": round(packets / calls, 1) if calls else None,
        "clocks_per_packet": round(clocks / packets, 1) if seconds and packets and clocks else None,
        "pps": rate(0, packets, seconds),
    }


def errors(before: Row, after: Row) -> list[dict[str, Any]]:
    """Return the losses with what they were a second."""
    seconds = after["monotonic_s"] - before["monotonic_s"]
    old = by_key(before["errors"], "where", "reason")
    return [
        {
            **row,
            "per_s": rate(
                old.get((row["where"], row["reason"]), {"count": 0})["count"], row["count"], seconds
            ),
        }
        for row in after["errors"]
    ]


def ports(before: Sequence[Row], after: Sequence[Row], seconds: float) -> list[dict[str, Any]]:
    """Return ports with packets and bits a second, both ways."""
    old = by_key(before, "port")
    rows = []
    for row in after:
        was = old.get((row["port"],), row)
        rates = {
            f"{way}_{name}": rate(was[key] * scale, row[key] * scale, seconds)
            for way in ("rx", "tx")
            for name, key, scale in (
                ("pps", f"{way}_packets", 1),
                ("bps", f"{way}_bytes", 8),
            )
        }
        rows.append({**row, **rates})
    return rows
