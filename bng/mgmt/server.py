"""The management socket: a request a line, an answer a line, both JSON.

Request: ``{"command": "show sessions", "args": {...}}``. Answer: ``{"ok": true, "data": ...}`` or
``{"ok": false, "error": "..."}``. Who may talk to it is a matter of the socket's owner and mode.

A command that returns an iterator of rows is answered piece by piece: packets are served in
between. Still the answer is one line; should it fail half way, that line is no JSON.
"""

import asyncio
import grp
import json
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from inspect import isawaitable
from itertools import islice
from pathlib import Path

import structlog

from bng.box import Box
from bng.config.model import System
from bng.errors import ConfigError
from bng.mgmt.registry import Args, CommandError, commands

MAX_REQUEST_BYTES = 65_536
MAX_CLIENTS = 32
IDLE_TIMEOUT_S = 300.0
"""For a request to come, and for its answer to be read."""
PROBE_TIMEOUT_S = 1.0
ROWS_AT_ONCE = 250
"""Takes some 3 ms: what a packet may have to wait."""


class ManagementError(Exception):
    """The management socket cannot be opened. The text names it."""


class ManagementServer:
    """Serves `bng.mgmt.commands` on a unix socket."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._commands = commands()
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("mgmt")

    async def start(self, system: System) -> None:
        """Listen. A socket that nobody answers on is replaced.

        Raises: ManagementError.
        """
        path = system.management_socket
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_dead(path)
            listener = _listen(path, system)
        except (OSError, KeyError) as error:
            raise ManagementError(f"management socket {path}: {error}") from None
        self._path = path
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=MAX_REQUEST_BYTES
        )

    async def stop(self) -> None:
        """Stop listening, hang up on everybody, remove the socket."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.current_task()
        assert client is not None  # noqa: S101 - a coroutine runs in one
        self._clients.add(client)
        try:
            if len(self._clients) > MAX_CLIENTS:
                writer.write(_refusal("too many clients"))
                return
            while await self._turn(reader, writer):
                pass
        except ValueError:
            writer.write(_refusal(f"a request has at most {MAX_REQUEST_BYTES} bytes"))
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the task ends here; streams make noise about one that was cancelled
        finally:
            self._clients.remove(client)
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request. False at the end of the connection."""
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            line = await reader.readline()
            if line:
                async for piece in self.answer(line):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        return bool(line)

    async def answer(self, line: bytes) -> AsyncIterator[bytes]:
        """Yield the answer to a request in pieces; never raises."""
        try:
            request = json.loads(line)
            name, args = request["command"], request.get("args", {})
            if not isinstance(name, str) or not isinstance(args, dict):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            yield _refusal('a request is {"command": NAME, "args": {...}}')
            return
        try:
            data = self._run(name, args)
            for piece in _pieces(await data if isawaitable(data) else data):
                yield piece
        except (CommandError, ConfigError) as error:
            yield _refusal(str(error))
        except Exception:
            # The command-in edge: a defect of ours must cost one command, not the box.
            self._log.exception("command-error", command=name)
            yield _refusal("internal error, see the log of bngd")

    def _run(self, name: str, args: Args) -> object:
        found = self._commands.get(name)
        if found is None:
            raise CommandError(f"no command {name!r}")
        unknown = [key for key in args if key not in found.args]
        if unknown:
            raise CommandError(f"{name}: no argument {', '.join(unknown)}")
        return found.run(self._box, args)


def _pieces(data: object) -> Iterator[bytes]:
    if not isinstance(data, Iterator):
        yield json.dumps({"ok": True, "data": data}).encode() + b"\n"
        return
    yield b'{"ok": true, "data": ['
    separator = b""
    while rows := list(islice(data, ROWS_AT_ONCE)):
        yield separator + json.dumps(rows)[1:-1].encode()
        separator = b", "
    yield b"]}\n"


def _refusal(text: str) -> bytes:
    return json.dumps({"ok": False, "error": text}).encode() + b"\n"


def _remove_dead(path: Path) -> None:
    """Remove a socket whose owner is gone. Raises: OSError when somebody answers."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("another bngd listens on it")


def _listen(path: Path, system: System) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    old_mask = os.umask(0o177)  # nobody gets in before owner and mode are right
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    user = pwd.getpwnam(system.socket_user).pw_uid if system.socket_user else -1
    group = grp.getgrnam(system.socket_group).gr_gid if system.socket_group else -1
    os.chown(path, user, group)
    path.chmod(system.socket_mode)
    return listener
