"""A box in memory with everything that the management socket needs; and that socket, served."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bng.aaa import users
from bng.box import Box
from bng.config import load
from bng.io.journal import Journal
from bng.io.loop import CoreLoop
from bng.io.natlog import NatLog
from bng.io.natlog_file import NatLogSettings
from bng.io.punt import read_counters
from bng.io.radius_service import RadiusService
from bng.mgmt.server import ManagementServer
from tests.support.memory_box import CONFIG, DUID, USERS, MemoryBox, memory_box
from tests.support.toml import dump


@dataclass(slots=True)
class Managed:
    """A box, its files in *directory*, the server that answers for it."""

    directory: Path
    config: dict[str, Any]
    memory: MemoryBox
    box: Box
    server: ManagementServer
    runner: asyncio.Runner

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.box.config.system.management_socket

    def write(self, **tables: Any) -> None:
        """Write bng.toml with *tables* in place of those of the box."""
        _write(self.directory, {**self.config, **tables})

    def write_users(self, **users: Any) -> None:
        """Write users.toml with *users* in place of, or beside, those of the box; None: without."""
        table = {name: user for name, user in {**USERS, **users}.items() if user is not None}
        (self.directory / "users.toml").write_text(dump({"user": table}))

    def ask(self, command: str, **args: Any) -> dict[str, Any]:
        """Return the answer to a command."""
        return self.answer(json.dumps({"command": command, "args": args}).encode())

    def answer(self, line: bytes) -> dict[str, Any]:
        """Return the answer to a line; it must be one line of JSON."""
        loop = self.runner.get_loop()
        if loop.is_running():  # in the thread that serves the socket
            return asyncio.run_coroutine_threadsafe(self.exchange(line), loop).result()
        return self.runner.run(self.exchange(line))

    async def exchange(self, line: bytes) -> dict[str, Any]:
        """Return the answer to a line, on a loop that runs."""
        raw = b"".join(await self.pieces(line))
        assert raw.index(b"\n") == len(raw) - 1
        decoded: dict[str, Any] = json.loads(raw)
        return decoded

    async def pieces(self, line: bytes) -> list[bytes]:
        """Return the pieces of the answer to a line."""
        return [piece async for piece in self.server.answer(line)]


def _write(directory: Path, tables: dict[str, Any]) -> None:
    system = {"run_dir": str(directory / "run"), "state_dir": str(directory)}
    config = {**CONFIG, "system": system, **tables}
    (directory / "bng.toml").write_text(dump(config))
    (directory / "users.toml").write_text(dump({"user": USERS}))


async def _managed(
    memory: MemoryBox, directory: Path, runner: asyncio.Runner, tables: dict[str, Any]
) -> Managed:
    _write(directory, tables)
    config = load(directory / "bng.toml")
    box = Box(
        config_path=directory / "bng.toml",
        config=config,
        dataplane=memory.dataplane,
        ports={name: i for i, name in enumerate(memory.dataplane.port_names())},
        manager=memory.manager,
        access=memory.access,
        executor=memory.executor,
        journal=Journal(None),
        acls=memory.acls,
        nat_log=NatLog(memory.dataplane, NatLogSettings(path=directory / "nat.log")),
        dispatcher=memory.dispatcher,
        loop=CoreLoop(memory.dispatcher, lambda: None),
        users=users.load(config.aaa.users, config.known_to_users()),
        started_at=memory.now,
        draining=set(),
        radius=RadiusService(config, {}, None, partial(read_counters, memory.dataplane)),
        duid=DUID,
    )
    box.serve()
    return Managed(directory, tables, memory, box, ManagementServer(box), runner)


@contextmanager
def managed_box(directory: Path, **tables: Any) -> Iterator[tuple[asyncio.Runner, Managed]]:
    """Yield a box that listens nowhere, and the runner whose loop is its own.

    *tables* stand in bng.toml in place of those of `CONFIG`.
    """
    with memory_box(config=tables) as memory, asyncio.Runner() as runner:
        yield runner, runner.run(_managed(memory, directory, runner, tables))


@contextmanager
def served_box(directory: Path) -> Iterator[Managed]:
    """Yield a box whose management socket is served by a thread."""
    with managed_box(directory) as (runner, managed):
        loop = runner.get_loop()
        runner.run(managed.server.start(managed.box.config.system))
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield managed
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            runner.run(managed.server.stop())
