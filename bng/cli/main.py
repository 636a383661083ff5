"""bngctl: the operator's commands. Exit status: 1 refused by bngd, 2 usage, 3 no bngd."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bng.cli import acls, export, fib, nat, radius, render, routing, sessions, sight
from bng.cli.client import EXIT_USAGE, CtlError
from bng.cli.common import DEFAULT_SOCKET, Json, Options, ask

PLAIN: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
app = typer.Typer(
    **PLAIN,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Look into a running bngd and tell it what to do.",
    epilog="Exit status: 1 bngd refused, 2 wrong usage, 3 bngd is not reachable.",
)
show = typer.Typer(
    **PLAIN, help="Sessions, pools, ports, counters, NAT, ACLs, routes, export, runtime, errors."
)
clear = typer.Typer(**PLAIN, help="Forget what bngd holds against clients.")
test = typer.Typer(**PLAIN, help="Ask others what bngd would ask them.")
app.add_typer(show, name="show")
app.add_typer(test, name="test")
app.add_typer(clear, name="clear")
acls.register(show)
export.register(show)
fib.register(show)
routing.register(show)
radius.register(show, test)
sight.register(app, show)
nat.register(app, PLAIN)

Id = Annotated[str | None, typer.Option("--id", help="Acct-Session-Id.")]
User = Annotated[str | None, typer.Option(help="User name, exactly.")]
Address = Annotated[
    str | None, typer.Option(help="An address, or IPv6 prefix, that leads to the subscriber.")
]
Mac = Annotated[str | None, typer.Option(help="The client's Ethernet address.")]
Port = Annotated[str | None, typer.Option(help="Name of the access port.")]
Vlan = Annotated[str | None, typer.Option(help="VLAN ids, outer first: 100 or 100.7.")]


@app.callback()
def bngctl(
    context: typer.Context,
    socket: Annotated[
        str, typer.Option(envvar="BNGCTL_SOCKET", help="The management socket of bngd.")
    ] = DEFAULT_SOCKET,
) -> None:
    """Take the options that stand before the command."""
    context.obj = Options(socket)


# ---- show


@show.command("sessions", epilog=f"Keys of a session: {', '.join(sessions.KEYS)}.")
def show_sessions(
    context: typer.Context,
    session_id: Id = None,
    user: User = None,
    address: Address = None,
    mac: Mac = None,
    port: Port = None,
    vlan: Vlan = None,
    state: Annotated[
        str | None, typer.Option(help="setup, waiting, ready, up, paused or ending.")
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="KEY[,-KEY]", help="Sort by keys; -KEY from high to low.")
    ] = "",
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="KEY,KEY",
            help="Keys to show, in this order.",
            show_default=f"{','.join(sessions.COLUMNS)}, and ipv6_prefix where there is one",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Show the first N only.")] = None,
    json: Json = False,
) -> None:
    """List the sessions that fit every option given."""
    order = _keys("--sort", sort) if sort else []
    chosen = None if columns is None else _keys("--columns", columns)
    rows = ask(
        context,
        "show sessions",
        id=session_id,
        user=user,
        address=address,
        mac=mac,
        port=port,
        vlan=vlan,
        state=state,
    )
    sessions.sort(rows, order)
    rows = rows[:limit]
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, chosen or sessions.columns_of(rows), sys.stdout)


def _keys(option: str, text: str) -> list[str]:
    try:
        return sessions.split_keys(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


@show.command("session")
def show_session(
    context: typer.Context,
    session: Annotated[
        str, typer.Argument(help="Its id, user name, an IP address or IPv6 prefix of it, or MAC.")
    ],
    json: Json = False,
) -> None:
    """Show everything about one session, counters live."""
    data = ask(context, "show session", session=session)
    if json:
        render.as_json(data, sys.stdout)
    else:
        sessions.show_one(data, sys.stdout)


@show.command("pools")
def show_pools(context: typer.Context, json: Json = False) -> None:
    """Show the address pools and how full they are."""
    columns = ("pool", "family", "length", "size", "used", "held", "sticky", "free")
    _rows(ask(context, "show pools"), columns, json)


@show.command("ports")
def show_ports(context: typer.Context, json: Json = False) -> None:
    """Show the ports of the dataplane: state and counters.

    Control is what has queues of its own on routed ports: routing protocols, ARP, ND.
    """
    columns = (
        *("port", "interface", "vlan", "driver", "role", "up", "mac", "mtu", "sessions"),
        *("rx_packets", "rx_bytes", "rx_errors", "rx_lost", "tx_packets", "tx_bytes", "tx_errors"),
        *("control_received", "control_lost", "control_sent", "control_errors"),
    )
    _rows(ask(context, "show ports"), columns, json)


@show.command("holdoffs")
def show_holdoffs(context: typer.Context, json: Json = False) -> None:
    """Show the clients that are held off after wrong passwords."""
    columns = ("port", "vlan", "mac", "failures", "held_for_s")
    _rows(ask(context, "show holdoffs"), columns, json)


def _rows(rows: list[dict[str, object]], columns: Sequence[str], json: bool) -> None:
    if json:
        render.as_json(rows, sys.stdout)
    else:
        render.table(rows, columns, sys.stdout)


@show.command("nat")
def show_nat(context: typer.Context, json: Json = False) -> None:
    """Show NAT44: sessions, blocks and mappings by address."""
    data = ask(context, "show nat")
    if json:
        render.as_json(data, sys.stdout)
        return
    apart = ("addresses", "fragments", "log")
    render.section("nat44", {k: v for k, v in data.items() if k not in apart}, sys.stdout)
    log = {k: v for k, v in data["log"].items() if k != "exporters"}
    sys.stdout.write("\n")
    render.section("fragments", data["fragments"], sys.stdout)
    sys.stdout.write("\n")
    render.section("log", log, sys.stdout)
    if exporters := data["log"]["exporters"]:
        sys.stdout.write("\n")
        render.table(exporters, ("exporter", "to", "sent", "errors", "dropped"), sys.stdout)
    columns = (
        *("address", "pool", "state", "worker", "sessions", "blocks_used", "blocks_free"),
        *("tcp", "udp", "icmp", "gre_esp"),
    )
    sys.stdout.write("\n")
    render.table(data["addresses"], columns, sys.stdout)


@show.command("counters")
def show_counters(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Only counters whose name holds TEXT.")
    ] = "",
    zeros: Annotated[bool, typer.Option("--all", help="Show counters that are 0, too.")] = False,
    json: Json = False,
) -> None:
    """Show packets by node, drops by reason, tables, rings.

    JSON has all of them, zeros too, whatever TEXT is.
    """
    data = ask(context, "show counters")
    if json:
        render.as_json(data, sys.stdout)
    else:
        render.counters(data, wanted, sys.stdout, zeros=zeros)


@show.command("version")
def show_version(context: typer.Context, json: Json = False) -> None:
    """Show versions, uptime, what is drained."""
    data = ask(context, "show version")
    if json:
        render.as_json(data, sys.stdout)
    else:
        render.section("bng", data, sys.stdout)


# ---- act


@app.command()
def terminate(
    context: typer.Context,
    session_id: Id = None,
    user: User = None,
    address: Address = None,
    mac: Mac = None,
    port: Port = None,
    vlan: Vlan = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every session of the box.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about --all.")] = False,
) -> None:
    """End sessions politely.

    Those that fit every option given get a Terminate-Request, then a PADT.
    """
    chosen = {
        "id": session_id,
        "user": user,
        "address": address,
        "mac": mac,
        "port": port,
        "vlan": vlan,
    }
    narrowed = any(value is not None for value in chosen.values())
    if narrowed == everybody:
        raise typer.BadParameter("say which sessions, or --all, not both")
    if everybody and not yes:
        typer.confirm("End every session of this box?", abort=True, err=True)
    data = ask(context, "terminate", **chosen, all=everybody or None)
    print(f"{data['terminated']} sessions end")


@app.command()
def reload(context: typer.Context, json: Json = False) -> None:
    """Apply bng.toml and the user file, all or nothing.

    Nobody is dropped. What needs a restart of a process is listed and not applied.
    """
    data = ask(context, "reload")
    if json:
        render.as_json(data, sys.stdout)
        return
    if not data["applied"] and not data["not_applied"]:
        print("bng.toml has no changes")
    if data["applied"]:
        print("applied:", *data["applied"], sep="\n  ")
    if data["not_applied"]:
        render.section(
            "not applied, needs a restart:",
            {change["key"]: change["needs"] for change in data["not_applied"]},
            sys.stdout,
        )
    print(f"{data['users']} users")
    if data["sessions_changed"]:
        print(f"{data['sessions_changed']} living sessions changed")
    if data["sessions_need_redial"]:
        title = "sessions that have to dial again for:"
        render.section(title, data["sessions_need_redial"], sys.stdout)
    if data["sessions_of_unknown_users"]:
        print(f"{data['sessions_of_unknown_users']} sessions of users that are no more: they stay")


PortArgument = Annotated[str | None, typer.Argument(help="An access port; none: the whole box.")]


@app.command()
def drain(context: typer.Context, port: PortArgument = None) -> None:
    """Take no new sessions and end those there.

    They end with PADT at the pace of session.drain_per_s.
    """
    data = ask(context, "drain", port=port)
    print(f"{port or 'the box'} drains: {data['ending']} sessions will end")


@app.command()
def undrain(context: typer.Context, port: PortArgument = None) -> None:
    """Take new sessions again."""
    ask(context, "undrain", port=port)
    print(f"{port or 'the box'} takes new sessions")


@clear.command("holdoffs")
def clear_holdoffs(
    context: typer.Context,
    mac: Annotated[str | None, typer.Option(help="Only this Ethernet address.")] = None,
) -> None:
    """Let clients in that are held off after wrong passwords."""
    print(f"{ask(context, 'clear holdoffs', mac=mac)['cleared']} clients may try again")


@app.command("hash-password")
def hash_password(
    context: typer.Context,
    method: Annotated[
        str, typer.Option(help="scrypt, pbkdf2-sha256, ssha256 (for PAP), nt (PAP, MS-CHAP).")
    ] = "scrypt",
) -> None:
    """Read a password and print it as users.toml takes it. CHAP needs it in clear there."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    print(ask(context, "hash password", method=method, password=password)["stored"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run bngctl and return the exit status."""
    try:
        app(args=None if argv is None else list(argv), prog_name="bngctl")
    except CtlError as error:
        print(f"bngctl: {error}", file=sys.stderr)
        return error.status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
