"""What every command of bngctl shares: the socket's options, asking, printing as JSON."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bng.cli.client import call

DEFAULT_SOCKET = "/run/bng/bngd.sock"

Json = Annotated[bool, typer.Option("--json", help="Print JSON: raw numbers, every key.")]


@dataclass(slots=True)
class Options:
    """What stands before the command."""

    socket: str = DEFAULT_SOCKET


def ask(context: typer.Context, command: str, **args: str | bool | int | None) -> Any:  # noqa: ANN401
    """Return what bngd answers; its shape is that of the command. Numbers go as text."""
    options = context.find_object(Options) or Options()
    given: dict[str, str | bool | None] = {
        name: value if isinstance(value, bool | None) else str(value)
        for name, value in args.items()
    }
    return call(options.socket, command, **given)
