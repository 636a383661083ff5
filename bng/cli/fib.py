"""``show fib``: how full the FIB is."""

import sys

import typer

from bng.cli import render
from bng.cli.common import Json, ask


def show_fib(context: typer.Context, json: Json = False) -> None:
    """Show how full the FIB is, what was left out of it, and the last dump of the kernel's routes.

    Routes wait while the FIB has no room (dataplane.routes, dataplane.routes6). Unsupported, since
    the last dump: encapsulated next hops, routes for one class of traffic or some senders only.
    """
    data = ask(context, "show fib")
    if json:
        render.as_json(data, sys.stdout)
        return
    for title, values in data.items():
        render.section(title.replace("_", " "), values, sys.stdout)


def register(show: typer.Typer) -> None:
    """Add the command."""
    show.command("fib")(show_fib)
