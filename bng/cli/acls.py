"""``show acls``: the ACLs, or the rules of one with what they decided of."""

import sys
from typing import Annotated

import typer

from bng.cli import render
from bng.cli.common import Json, ask

COUNTS = ("in_packets", "in_bytes", "out_packets", "out_bytes")
ACL_COLUMNS = ("acl", "rules", "sessions_in", "sessions_out", "memory_bytes", *COUNTS)
RULE_COLUMNS = ("rule", "text", *COUNTS)


def show_acls(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Show the rules of this ACL.")] = None,
    json: Json = False,
) -> None:
    """Show the ACLs, or the rules of one: packets and IP bytes that each decided of.

    Counted since the ACL came or was last changed; a reload that does not change it keeps them.
    """
    rows = ask(context, "show acls", acl=name)
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, ACL_COLUMNS if name is None else RULE_COLUMNS, sys.stdout)


def register(show: typer.Typer) -> None:
    """Add the command."""
    show.command("acls")(show_acls)
