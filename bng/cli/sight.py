"""``show runtime``, ``errors``, ``interfaces``; ``measure``, ``trace``, ``explain``."""

import json as json_module
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from bng.cli import rates, render
from bng.cli.client import CtlError
from bng.cli.common import Json, ask
from bng.cli.pcapng import Writer
from bng.cli.trace import Packets, Step, capture, fate
from bng.cli.trace import show as show_packet

POLL_S = 0.2
LAST_STEPS_S = 0.4
"""After the last packet was marked, or the time is over: what is still under way."""

Interval = Annotated[
    float,
    typer.Option(min=0, max=60, help="Seconds to look for rates; 0: only totals since the start."),
]
Worker = Annotated[int | None, typer.Option(min=0, help="Only this worker.")]
WORKER_COLUMNS = (
    *("worker", "cpu", "sleeping", "sessions", "loops", "idle_percent"),
    *("busy_percent", "rx_pps", "buffers_free", "measuring", "tracing"),
)
NODE_COLUMNS = ("worker", "node", "calls", "packets", "per_call", "clocks_per_packet", "pps")
PORT_COLUMNS = (
    *("port", "up", "rx_packets", "rx_bytes", "rx_errors", "rx_lost", "control_lost"),
    *("rx_pps", "rx_bps"),
    *("tx_packets", "tx_bytes", "tx_errors", "tx_pps", "tx_bps"),
)


def _twice(context: typer.Context, interval: float, command: str, **args: int | None) -> Any:  # noqa: ANN401
    """Return two answers, *interval* seconds apart; the same one twice for 0."""
    before = ask(context, command, **args)
    if not interval:
        return before, before
    time.sleep(interval)
    return before, ask(context, command, **args)


def show_runtime(
    context: typer.Context, worker: Worker = None, interval: Interval = 1.0, json: Json = False
) -> None:
    """Show what workers and nodes do: calls, packets a call, clocks a packet.

    Clocks are counted while `bngctl measure on` is in force, TSC clocks.
    """
    data = rates.runtime(*_twice(context, interval, "show runtime", worker=worker))
    if json:
        render.as_json(data, sys.stdout)
        return
    render.table(data["workers"], WORKER_COLUMNS, sys.stdout)
    sys.stdout.write("\n")
    render.table(data["nodes"], NODE_COLUMNS, sys.stdout)


def show_errors(context: typer.Context, interval: Interval = 1.0, json: Json = False) -> None:
    """Show what was dropped or refused, why, and how much of it a second."""
    rows = rates.errors(*_twice(context, interval, "show errors"))
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, ("where", "reason", "count", "per_s"), sys.stdout)


def show_interfaces(context: typer.Context, interval: Interval = 1.0, json: Json = False) -> None:
    """Show the ports' counters, packets and bits a second."""
    started = time.monotonic()
    before, after = _twice(context, interval, "show ports")
    rows = rates.ports(before, after, time.monotonic() - started if interval else 0)
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, PORT_COLUMNS, sys.stdout)
        for row in rows:
            for alarm in row["alarms"]:
                sys.stdout.write(f"alarm: {row['port']}: {alarm}\n")


def measure(
    context: typer.Context, state: Annotated[str, typer.Argument(metavar="on|off")]
) -> None:
    """Count TSC clocks per node from now on, or no longer. Costs two clock reads a vector."""
    workers = ask(context, "measure", state=state)["workers"]
    print(f"measuring: {state}, {workers} workers")


def explain(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="An IPv4 or IPv6 address.")],
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of a public address: whose is it?")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Of a public port: tcp, udp or icmp; none: all.")
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--from", help="A session: id, user name, address or MAC.")
    ] = None,
    json: Json = False,
) -> None:
    """Say whose an address is and where a packet to it would go, from the live tables."""
    args = {"port": port, "protocol": protocol, "from": sender}
    data = ask(context, "explain", address=address, **args)
    if json:
        render.as_json(data, sys.stdout)
        return
    parts = {key: value for key, value in data.items() if isinstance(value, dict)}
    plain = {key: value for key, value in data.items() if key not in parts and key != "verdict"}
    render.section(f"verdict: {data['verdict']}", plain, sys.stdout)
    for title, part in parts.items():
        render.section(title, part, sys.stdout)


def trace(
    context: typer.Context,
    session: Annotated[
        str | None,
        typer.Option("--session", "--user", help="A session: id, user name, address or MAC."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Source or destination: an address or prefix.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="icmp, icmpv6, tcp, udp, gre, esp or a number.")
    ] = None,
    l4_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="TCP or UDP port, or identifier of ICMP or ICMPv6, either side."
        ),
    ] = None,
    port: Annotated[str | None, typer.Option(help="Port of the box that packets enter by.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10000, help="End after that many.")] = 10,
    timeout: Annotated[int, typer.Option(min=1, max=600, help="End after that many seconds.")] = 60,
    pcapng: Annotated[
        Path | None, typer.Option(help="Write frames for Wireshark, with comments.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, a packet a line.")] = False,
) -> None:
    """Follow packets through the dataplane, node by node, as they enter.

    All options given must fit. Addresses and ports are those with which a packet enters: before NAT
    from a subscriber, after NAT from outside; --session has both directions. The trace ends with
    this command.
    """
    with ExitStack() as stack:
        writer = None
        if pcapng is not None:
            writer = Writer(stack.enter_context(_opened(pcapng)))
        started = ask(
            context,
            "trace start",
            session=session,
            address=address,
            protocol=protocol,
            l4_port=l4_port,
            port=port,
            count=count,
            timeout_s=timeout,
        )
        stack.callback(_stop, context, started["number"])
        sink = _Sink(writer, started["tsc_hz"], json=json)
        with suppress(KeyboardInterrupt):
            _follow(context, started["number"], count, timeout, sink)
        sink.finish()


def _opened(path: Path) -> Any:  # noqa: ANN401
    try:
        return path.open("wb")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--pcapng") from None


class _Sink:
    """Prints and writes packets as they are complete."""

    def __init__(self, writer: Writer | None, tsc_hz: int, *, json: bool) -> None:
        self.packets = Packets()
        self.shown = 0
        self.lost = 0
        self._writer = writer
        self._tsc_hz = tsc_hz
        self._json = json

    @property
    def seen(self) -> int:
        """Packets that began."""
        return self.shown + len(self.packets)

    def take(self, rows: list[Step]) -> Step:
        """Take an answer of ``trace read``; return its status."""
        status: Step = rows[-1]["status"]
        self.lost = status["lost"]
        for path in self.packets.add(rows[:-1]):
            self._show(path)
        return status

    def finish(self) -> None:
        """Show what has no end, and say what is missing."""
        for path in self.packets.rest():
            self._show(path)
        print(f"{self.shown} packets, {self.lost} records lost", file=sys.stderr)

    def _show(self, path: list[Step]) -> None:
        self.shown += 1
        if self._json:
            print(json_module.dumps({"fate": fate(path), "steps": path}))
        else:
            show_packet(self.shown, path, sys.stdout)
        sys.stdout.flush()
        if self._writer is not None:
            capture(path, self._writer, self._tsc_hz)


def _follow(context: typer.Context, number: int, count: int, timeout: int, sink: _Sink) -> None:
    end = time.monotonic() + timeout
    ended = False
    while not ended:
        time.sleep(POLL_S)
        status = sink.take(ask(context, "trace read", number=number))
        ended = sink.seen >= count or time.monotonic() >= end or not status["on"]
    time.sleep(LAST_STEPS_S)
    sink.take(ask(context, "trace read", number=number))


def _stop(context: typer.Context, number: int) -> None:
    with suppress(CtlError):  # it ends by itself
        ask(context, "trace stop", number=number)


def register(app: typer.Typer, show: typer.Typer) -> None:
    """Add the commands."""
    show.command("runtime")(show_runtime)
    show.command("errors")(show_errors)
    show.command("interfaces")(show_interfaces)
    app.command()(measure)
    app.command()(trace)
    app.command()(explain)
