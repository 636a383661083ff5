"""Commands of the management socket: each module in `bng.mgmt.commands` registers its own."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bng.box import Box

Args = Mapping[str, object]
Handler = Callable[[Box, Args], object]
"""Returns what JSON can say, an iterator of rows, or an awaitable of either."""


class CommandError(Exception):
    """The request cannot be carried out. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: *args* are the names it takes, *help* one line."""

    name: str
    help: str
    args: tuple[str, ...]
    run: Handler


_commands: dict[str, Command] = {}


def command(name: str, *args: str, summary: str) -> Callable[[Handler], Handler]:
    """Register a function as the command *name*."""

    def register(run: Handler) -> Handler:
        if name in _commands:
            raise ValueError(f"two commands are called {name!r}")
        _commands[name] = Command(name, summary, args, run)
        return run

    return register


def commands() -> Mapping[str, Command]:
    """Return all commands by name."""
    package = importlib.import_module("bng.mgmt.commands")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bng.mgmt.commands.{module.name}")
    return _commands
