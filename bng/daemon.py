"""bngd: the control plane as a process. Command line, logging, signals, start and stop."""

import argparse
import asyncio
import gc
import json
import logging
import signal
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bng.aaa import users
from bng.box import Box, start
from bng.config import Config, load, wrong_key
from bng.config.model import System
from bng.errors import ConfigError
from bng.io.adoption import AdoptionError
from bng.io.journal import JournalError
from bng.io.kernel import KernelError
from bng.io.natlog import NatLogError
from bng.io.radius_service import WrongKey, read_dictionaries
from bng.mgmt.server import ManagementError, ManagementServer
from dataplane.binding import AttachError
from radius.errors import SpoolError

GC_THRESHOLD = (50_000, 20, 100)
"""Sessions make few cycles and live long: the default would walk all of them over and over."""
EXIT_FAILURE = 1
EXIT_CONFIG = 2
SWITCH_INTERVAL_S = 0.001
"""What a packet may have to wait for a thread that reads files: each of its turns."""
_JSON = json.JSONEncoder(default=repr)
"""Of the log; `json.dumps` would make one for each line."""
FAILURES = (
    AdoptionError,
    AttachError,
    JournalError,
    KernelError,
    ManagementError,
    NatLogError,
    SpoolError,
)
"""What keeps bngd from starting, with a text for the operator."""


def set_up_logging(system: System) -> None:
    """Log to standard error, one event a line."""
    level = logging.getLevelNamesMapping()[system.log_level.upper()]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(lambda event, **_: _JSON.encode(event))
        if system.log_format == "json"
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class Daemon:
    """One run of bngd."""

    def __init__(self, config_path: Path, config: Config) -> None:
        self._config_path = config_path
        self._config = config
        self._ended = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._status = 0
        self._log = structlog.get_logger("bngd")

    async def run(self) -> int:
        """Serve until a signal or until the dataplane is gone; returns the exit status."""
        gc.set_threshold(*GC_THRESHOLD)
        gc.collect()
        gc.disable()  # what start builds stays: with many sessions, looking at it takes seconds
        box = await start(self._config_path, self._config, self._dataplane_lost)
        server = ManagementServer(box)
        await server.start(self._config.system)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)
        loop.set_exception_handler(self._defect)
        gc.freeze()  # nor need a later collection
        gc.enable()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._log.info("ready", version=version("bng"), users=len(box.users))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush(box))
            reloader = group.create_task(self._reload(box))
            await self._ended.wait()
            reloader.cancel()
        await server.stop()
        keep = box.config.session.keep_on_stop or self._status != 0
        if self._status:
            await box.dataplane_lost()
        else:
            await box.stop(keep_sessions=keep)
        self._log.info("stopped", sessions_kept=keep)
        return self._status

    def _signalled(self, number: int) -> None:
        self._log.info("signal", signal=signal.Signals(number).name)
        self._ended.set()

    def _dataplane_lost(self) -> None:
        self._log.error("dataplane-lost")
        self._status = EXIT_FAILURE
        self._ended.set()

    def _defect(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what nobody caught; the event loop goes on."""
        self._log.error(
            "internal-error", where=context["message"], exc_info=context.get("exception")
        )

    async def _reload(self, box: Box) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            try:
                await box.reload()
            except ConfigError as error:
                self._log.error("reload-failed", error=str(error))

    async def _flush(self, box: Box) -> None:
        """Write to the disk now and then. Ends by itself: a flush is never cut off."""
        while not self._ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(box.config.journal.flush_interval_s):
                    await self._ended.wait()
            await box.flush()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="bngd", description="BNG control plane")
    parser.add_argument(
        "--config", type=Path, default=Path("/etc/bng/bng.toml"), help="default: %(default)s"
    )
    parser.add_argument(
        "--check", action="store_true", help="check the configuration and the user file, then exit"
    )
    parser.add_argument("--version", action="version", version=f"bngd {version('bng')}")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run bngd; the exit status is 2 for a wrong configuration, 1 for any other failure."""
    args = parse_args(argv)
    try:
        config = load(args.config)
        if args.check:
            loaded = users.load(config.aaa.users, config.known_to_users())
            read_dictionaries(config)
            print(f"{args.config}: ok, {len(config.port)} ports, {len(loaded)} users")
            return 0
        set_up_logging(config.system)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Daemon(args.config, config).run())
    except WrongKey as wrong:
        error = wrong_key(args.config, wrong.key, wrong.message)
    except ConfigError as found:
        error = found
    except FAILURES as failure:
        print(f"bngd: {failure}", file=sys.stderr)
        return EXIT_FAILURE
    print(f"bngd: {error}", file=sys.stderr)
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
