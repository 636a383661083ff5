"""``show route``, ``show neighbors``, ``show control``: the network's side of the box."""

import sys
from typing import Annotated

import typer

from bng.cli import render
from bng.cli.common import Json, ask
from bng.cli.sight import explain

Port = Annotated[str | None, typer.Option(help="Only this routed port.")]


def show_neighbors(context: typer.Context, port: Port = None, json: Json = False) -> None:
    """Show the neighbours and next hops that the dataplane sends to.

    Without a MAC: the kernel has asked, and nobody has answered yet.
    """
    rows = ask(context, "show neighbors", port=port)
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, ("port", "address", "mac", "unused_s"), sys.stdout)


def show_control(context: typer.Context, port: Port = None, json: Json = False) -> None:
    """Show what came for the kernel and left it on routed ports, by protocol.

    Dropped, of what was received: more than the protocol may have. Neighbour is ARP and ND,
    stranger are routing protocols of those that the box does not talk with, other is all else.
    JSON has rows of which nothing was seen, too.
    """
    rows = ask(context, "show control", port=port)
    if json:
        render.as_json(rows, sys.stdout)
        return
    seen = [row for row in rows if row["received"] or row["sent"]]
    render.table(seen, ("port", "class", "received", "dropped", "sent"), sys.stdout)


def register(show: typer.Typer) -> None:
    """Add the commands; a route is what `explain` says of an address."""
    show.command("route")(explain)
    show.command("neighbors")(show_neighbors)
    show.command("control")(show_control)
