"""bngd that dies by SIGKILL at a chosen call.

``python -m tests.support.mortal CALL WHEN SINCE N ARG...``: CALL is one of `CALLS`, WHEN is before
or after it, SINCE is start or serving, N counts the calls that do something, from 1. The rest is
bngd's command line. Nothing of the product knows of it: methods are wrapped from outside.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bng import daemon
from bng.io.executor import Executor
from bng.io.journal import Journal
from dataplane.binding import Dataplane
from radius.spool import Spool

CALLS: dict[str, tuple[type, str]] = {
    "journal": (Journal, "_write"),
    "flush": (Dataplane, "flush"),
    "completions": (Dataplane, "completions"),
    "spool": (Spool, "_write"),
    "release": (Executor, "_release"),
    "record": (Executor, "_record"),
}
"""Commit points: where something becomes true that outlives bngd, or is told to the dataplane."""
WHEN = ("before", "after")
SINCE = ("start", "serving")


def does_something(call: str, args: tuple[Any, ...], result: object) -> bool:
    """Say whether a call is one to die at: not one that found nothing to do."""
    match call:
        case "flush":
            return bool(args[0]._dirty)
        case "completions":
            return bool(result)
        case _:
            return True


class Mortal:
    """Counts calls, and kills the process at one of them."""

    def __init__(self, call: str, when: str, number: int, *, counts: bool) -> None:
        self.call, self.when, self.left, self.counts = call, when, number, counts
        owner, name = CALLS[call]
        self.original: Callable[..., Any] = getattr(owner, name)
        static = isinstance(owner.__dict__[name], staticmethod)

        def wrapped(*args: Any) -> Any:
            return self.run(args)

        setattr(owner, name, staticmethod(wrapped) if static else wrapped)

    def run(self, args: tuple[Any, ...]) -> object:
        """Do what the method does, and die before or after it."""
        if self.call == "completions":  # only its result tells whether there were any
            result = self.original(*args)
            self.count(args, result)
            return result
        if self.when == "before":
            self.count(args, None)
            return self.original(*args)
        counts = does_something(self.call, args, None)
        result = self.original(*args)
        if counts:
            self.count(args, None, sure=True)
        return result

    def count(self, args: tuple[Any, ...], result: object, *, sure: bool = False) -> None:
        """Count a call; the last one is the end."""
        if self.counts and (sure or does_something(self.call, args, result)):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Run bngd."""
    call, when, since, number, *rest = argv
    mortal = Mortal(call, when, int(number), counts=since == "start")
    serve = daemon.ManagementServer.start

    async def start(self: Any, *args: Any) -> None:
        await serve(self, *args)
        mortal.counts = True

    daemon.ManagementServer.start = start  # type: ignore[method-assign]
    return daemon.main(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
