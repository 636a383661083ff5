"""``show export``: what a routing daemon finds in the kernel."""

import sys

import typer

from bng.cli import render
from bng.cli.common import Json, ask

COLUMNS = ("prefix", "kind", "state")


def show_export(context: typer.Context, json: Json = False) -> None:
    """Show the prefixes put into the kernel for a routing daemon to announce, and why.

    Kinds: pool and nat are aggregates, static and framed a user's own, host an address of a pool.
    """
    rows = ask(context, "show export")
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, COLUMNS, sys.stdout)


def register(show: typer.Typer) -> None:
    """Add the command."""
    show.command("export")(show_export)
