"""``nat deterministic``: who has which public ports, from the configuration file alone."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bng.cli import render
from bng.cli.client import EXIT_USAGE, CtlError
from bng.cli.common import Json

COLUMNS = ("pool", "inner", "outer", "port_first", "port_last")


class _WrongError(CtlError):
    status = EXIT_USAGE


def deterministic(
    config: Annotated[Path, typer.Option(help="The configuration file.")] = Path(
        "/etc/bng/bng.toml"
    ),
    inner: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only the ports of this subscriber.")
    ] = None,
    outer: Annotated[
        tuple[str, int] | None,
        typer.Option(metavar="ADDRESS PORT", help="Only who has this public port."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the ports of deterministic NAT (RFC 7422): all, one subscriber's, or whose a port is.

    Asks the configuration file alone: bngd need not run. Exit status 1: nobody.
    """
    from bng.cli import deterministic as computed  # pydantic takes its time to load

    if inner is not None and outer is not None:
        raise _WrongError("nat deterministic: --inner or --outer, not both")
    try:
        rows = computed.ranges(config, inner, outer)
    except ValueError as error:
        raise _WrongError(f"nat deterministic: {error}") from None
    if json:
        render.as_json(rows, sys.stdout)
    elif rows:
        render.table(rows, COLUMNS, sys.stdout)
    if not rows and (inner is not None or outer is not None):
        raise CtlError("nat deterministic: nobody's in any deterministic pool")


def register(app: typer.Typer, plain: dict[str, Any]) -> None:
    """Add the commands of this file to *app*."""
    nat = typer.Typer(**plain, help="Public addresses and ports.")
    nat.command("deterministic")(deterministic)
    app.add_typer(nat, name="nat")
