"""UDP for RADIUS, both ends: an asyncio-dgram stream that is read in turns and written in order."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

import asyncio_dgram
from asyncio_dgram.aio import DatagramServer

from radius.settings import Peer

BURST = 32
"""Datagrams that are taken of one socket before others have their turn: a flood stays one of many.

The transport reads no more than that at a time either, so its queue does not grow."""
MAX_BACKLOG = 4096
"""Datagrams that wait to be sent; more are dropped, which UDP may do too."""


class Datagrams:
    """One unconnected socket. *take* is given what comes; *unsent* is called for what was not sent.

    What is sent before `run` has the socket waits for it.
    """

    def __init__(self, take: Callable[[bytes, Peer], None], unsent: Callable[[], None]) -> None:
        self._take, self._unsent = take, unsent
        self._backlog: deque[tuple[bytes, Peer]] = deque(maxlen=MAX_BACKLOG)
        self._wake = asyncio.Event()

    def send(self, data: bytes, peer: Peer) -> None:
        """Send as soon as the socket takes it."""
        self._backlog.append((data, peer))
        self._wake.set()

    async def run(self, port: socket.socket) -> None:
        """Serve *port*, which is bound, until cancelled; then it is closed."""
        stream = cast(DatagramServer, await asyncio_dgram.from_socket(port))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(stream))
                tasks.create_task(self._write(stream))
        finally:
            stream.close()

    async def _read(self, stream: DatagramServer) -> None:
        taken = 0
        while True:
            try:
                data, peer = await stream.recv()
            except OSError:  # of an earlier datagram, which was not sent
                self._unsent()
                continue
            self._take(data, cast(Peer, peer))
            taken += 1
            if not taken % BURST:
                await asyncio.sleep(0)

    async def _write(self, stream: DatagramServer) -> None:
        while True:
            while self._backlog:
                data, peer = self._backlog.popleft()
                try:
                    await stream.send(data, peer)
                except OSError:  # of an earlier one; this one is still to be sent
                    self._unsent()
                    self._backlog.appendleft((data, peer))
            self._wake.clear()
            await self._wake.wait()
