"""``nat deterministic``, ``nat lookup``: whose a public port is or was; ``nat drain``, undrain."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bng.cli import render
from bng.cli.client import EXIT_USAGE, CtlError
from bng.cli.common import Json, ask

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


def lookup(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="The public address.")],
    port: Annotated[
        int, typer.Argument(help="The public port; 0 with gre and esp.", min=0, max=65_535)
    ],
    time: Annotated[
        str | None,
        typer.Argument(
            metavar="[TIME]", help="RFC 3339 (2026-11-21T10:50:14Z) or seconds since 1970."
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="tcp, udp, icmp, gre, esp or a number; default: any.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search this log and the older files beside it."),
    ] = None,
    json: Json = False,
) -> None:
    """Show who has a public address and port, or who had it at TIME.

    Without TIME from the tables of the dataplane; with TIME from the NAT log. With --log bngd need
    not run. Exit status 1: nobody.
    """
    from bng.cli import natlookup

    if log is None:
        data = ask(context, "nat lookup", address=address, port=port, time=time, protocol=protocol)
    elif time is None:
        raise _WrongError("nat lookup: --log needs a TIME")
    else:
        try:
            data = natlookup.search(log, address, port, time, protocol)
        except (ValueError, OSError) as error:
            raise CtlError(f"nat lookup: {error}") from None
    if json:
        render.as_json(data, sys.stdout)
    elif data["holders"]:
        render.table(data["holders"], natlookup.COLUMNS, sys.stdout)
    if data.get("damaged"):
        print(f"bngctl: {data['damaged']} lines of the log are damaged", file=sys.stderr)
    if not data["holders"]:
        begins = f"; the log begins at {data['begins']}" if "begins" in data else ""
        raise CtlError(f"nat lookup: nobody{begins}")


Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The public address.")]


def drain(context: typer.Context, address: Address, json: Json = False) -> None:
    """Give no new session this public address; those that have it keep it.

    Until `bngctl nat undrain`, whatever is restarted. To take an address away for good, take it
    out of its [[nat.pool]] and reload: it goes when its last session has ended.
    """
    _hold(context, "nat drain", address, json=json)


def undrain(context: typer.Context, address: Address, json: Json = False) -> None:
    """Give this public address to new sessions again."""
    _hold(context, "nat undrain", address, json=json)


def _hold(context: typer.Context, command: str, address: str, *, json: bool) -> None:
    data = ask(context, command, address=address)
    if json:
        render.as_json(data, sys.stdout)
    else:
        print(f"{data['address']}: {data['state']}, {data['sessions']} sessions")


def register(app: typer.Typer, plain: dict[str, Any]) -> None:
    """Add the commands of this file to *app*."""
    nat = typer.Typer(**plain, help="Public addresses and ports.")
    nat.command("deterministic")(deterministic)
    nat.command("lookup")(lookup)
    nat.command("drain")(drain)
    nat.command("undrain")(undrain)
    app.add_typer(nat, name="nat")
