"""``show radius``, ``show accounting``, ``show dynauth``, ``test radius``."""

import sys
from typing import Annotated, Any

import typer

from bng.cli import render
from bng.cli.common import Json, ask

SERVER_COLUMNS = (
    *("server", "role", "address", "port", "transport", "state", "outstanding", "waiting"),
    *(
        "cancelled",
        "answer_ms_median",
        "answer_ms_p99",
        "requests",
        "retransmits",
        "timeouts",
        "accepts",
    ),
    *("rejects", "responses", "bad_replies"),
)
CLIENT_COLUMNS = (
    *("client", "prefix", "orders", "requests", "acks", "naks", "duplicates", "dropped"),
)
GROUP_COLUMNS = ("group", "on_disk", "under_way", "oldest_s", "not_sendable")


def show_radius(context: typer.Context, json: Json = False) -> None:
    """Show RADIUS servers: state, requests under way, answer times, counters."""
    rows = ask(context, "show radius")
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, SERVER_COLUMNS, sys.stdout)


def show_accounting(context: typer.Context, json: Json = False) -> None:
    """Show open accounts, what accounting has still to tell, and since when."""
    data = ask(context, "show accounting")
    if json:
        render.as_json(data, sys.stdout)
        return
    plain: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            plain |= {f"{key}_{name}": item for name, item in value.items()}
        elif key != "groups":
            plain[key] = value
    render.section("accounting", plain, sys.stdout)
    sys.stdout.write("\n")
    render.table(data["groups"], GROUP_COLUMNS, sys.stdout)


def show_dynauth(context: typer.Context, json: Json = False) -> None:
    """Show who changes and ends sessions by CoA and Disconnect, what came, what it came to.

    NAKs are counted by Error-Cause (RFC 5176), what was dropped without an answer by its reason.
    """
    data = ask(context, "show dynauth")
    if json:
        render.as_json(data, sys.stdout)
        return
    naks, dropped = data.pop("naks_by_cause"), data.pop("dropped")
    sockets, clients = data.pop("sockets"), data.pop("clients")
    render.section("dynauth", data, sys.stdout)
    for title, counts in (("naks", naks), ("dropped", dropped)):
        if counts:
            render.section(title, counts, sys.stdout)
    sys.stdout.write("\n")
    render.table(sockets, ("address", "port", "state"), sys.stdout)
    sys.stdout.write("\n")
    render.table(clients, CLIENT_COLUMNS, sys.stdout)


def try_radius(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User name.")],
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, help="Sent by PAP; asked for without.")
    ],
    json: Json = False,
) -> None:
    """Ask RADIUS about a user: show request, answer, and what each attribute would set.

    No session comes of it, and nothing is accounted for.
    """
    data: dict[str, Any] = ask(context, "test radius", user=user, password=password)
    if json:
        render.as_json(data, sys.stdout)
        return
    render.table(data["request"], ("attribute", "value"), sys.stdout)
    sys.stdout.write("\n")
    plain = {k: v for k, v in data.items() if k not in {"request", "attributes", "profile"}}
    render.section("answer", plain, sys.stdout)
    if data["attributes"]:
        render.table(data["attributes"], ("attribute", "value", "sets"), sys.stdout)
    if data.get("profile"):
        render.section("profile", data["profile"], sys.stdout)


def register(show: typer.Typer, test: typer.Typer) -> None:
    """Add the commands."""
    show.command("radius")(show_radius)
    show.command("accounting")(show_accounting)
    show.command("dynauth")(show_dynauth)
    test.command("radius")(try_radius)
