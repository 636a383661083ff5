"""A trace as bngctl shows it: steps gathered to packets, a line a node, frames for Wireshark."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from bng.cli.pcapng import Writer
from bng.cli.values import printable

Step = Mapping[str, Any]

DECISIONS = ("user", "flow", "ttl", "len", "route", "features", "cause", "to")
"""Keys of a step that are shown when they are not what they were after the node before."""
NAME_WIDTH = 16
OUTPUTS = ("port_output", "control_output")
"""Nodes by which a packet leaves the box."""


class Packets:
    """Gathers steps by packet, in the order in which the packets came."""

    def __init__(self) -> None:
        self._open: dict[int, list[Step]] = {}

    def add(self, steps: Iterable[Step]) -> list[list[Step]]:
        """Take steps and return the packets that are complete with them."""
        for step in steps:
            self._open.setdefault(step["packet"], []).append(step)
        done = [number for number, path in self._open.items() if any(s["last"] for s in path)]
        return [in_order(self._open.pop(number)) for number in done]

    def rest(self) -> list[list[Step]]:
        """Return the packets of which the end was not seen."""
        left, self._open = self._open, {}
        return [in_order(path) for path in left.values()]

    def __len__(self) -> int:
        return len(self._open)


def in_order(path: list[Step]) -> list[Step]:
    """Return the steps of a packet as they were taken, by whichever workers."""
    return sorted(path, key=lambda step: step["tsc"])


def show(number: int, path: Sequence[Step], out: TextIO) -> None:
    """Print a packet, node by node: clocks since the node before, and what is new."""
    first = path[0]
    came = "from bngd" if first["injected"] else f"in {first['port']}"
    vlan = next((step["vlan"] for step in path if step["vlan"]), None)
    where = f"{came} vlan {vlan}" if vlan else came
    out.write(f"packet {number}: {where}, worker {first['worker']}: {fate(path)}\n")
    before: Step = {}
    clock = first["tsc"]
    for step in path:
        news = [text for key in DECISIONS if (text := _news(key, step, before))]
        if step["reason"]:
            news.append(f"dropped: {step['reason']}")
        line = f"  {step['tsc'] - clock:>8}  {step['node']:<{NAME_WIDTH}}  {', '.join(news)}"
        out.write(printable(line.rstrip()) + "\n")
        before, clock = step, step["tsc"]


def _news(key: str, step: Step, before: Step) -> str:
    value = step[key]
    if value is None or value == before.get(key):
        return ""
    match key:
        case "flow" | "cause":
            return str(value)
        case "user":
            return f"session {step['session']} {value}"
        case "features":
            return f"then {' '.join(value)}"
        case _:
            return f"{key} {value}"


def fate(path: Sequence[Step]) -> str:
    """Return what became of a packet."""
    for step in path:
        if step["reason"]:
            return f"dropped by {step['node']}: {step['reason']}"
    last = path[-1]
    if last["node"] in OUTPUTS:
        return f"out {last['to']}"
    return f"ends in {last['node']}" if last["last"] else "end not seen"


def comment(path: Sequence[Step]) -> str:
    """Return a packet's way in a line: nodes, session, translations, fate."""
    nodes = " > ".join(step["node"] for step in path)
    user = next((f"session {s['session']} {s['user']}" for s in path if s["user"]), None)
    flows: list[str] = []
    for step in path:
        if step["flow"] and step["flow"] not in flows:
            flows.append(step["flow"])
    routes = [f"route {step['route']}" for step in path if step["route"]]
    parts = [nodes, user, " became ".join(flows) or None, *routes, fate(path)]
    return printable("; ".join(part for part in parts if part))


def capture(path: Sequence[Step], writer: Writer, tsc_hz: int) -> None:
    """Write the frame that came in, and the one that left."""
    first, last = path[0], path[-1]
    text = comment(path)
    if not first["injected"] and first.get("bytes"):
        writer.write(
            first["port"],
            first["wall_ns"],
            bytes.fromhex(first["bytes"]),
            first["bytes_of"],
            outbound=False,
            comment=text,
        )
    if last["node"] in OUTPUTS and last.get("bytes"):
        later = (last["tsc"] - first["tsc"]) * 1_000_000_000 // tsc_hz
        writer.write(
            last["to"],
            first["wall_ns"] + later,
            bytes.fromhex(last["bytes"]),
            last["bytes_of"],
            outbound=True,
            comment=text,
        )
