"""UDP for RADIUS, both ends: an asyncio-dgram stream that is read in turns."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

import asyncio_dgram
from asyncio_dgram.aio import DatagramServer, TransportClosed

from radius.settings import Peer

BURST = 64
"""Datagrams that are taken of one socket before others have their turn: a flood stays one of many.

More than libuv reads of a socket at a time, 32, so that the stream's queue does not grow."""
MAX_BACKLOG = 4096
"""Datagrams that wait for the socket to be there; more are dropped, which UDP may do too."""


class Datagrams:
    """One unconnected socket. *take* is given what comes; *unsent* is called for what was not sent.

    Datagrams are sent at once, what is sent before `run` when there is a socket.
    """

    def __init__(self, take: Callable[[bytes, Peer], None], unsent: Callable[[], None]) -> None:
        self._take, self._unsent = take, unsent
        self._backlog: deque[tuple[bytes, Peer]] = deque(maxlen=MAX_BACKLOG)
        self._port: socket.socket | None = None

    def send(self, data: bytes, peer: Peer) -> None:
        """Send; nothing waits for room in the kernel: whoever asked asks again."""
        if self._port is None:
            self._backlog.append((data, peer))
            return
        try:
            self._port.sendto(data, peer)
        except OSError:
            self._unsent()

    async def run(self, port: socket.socket) -> None:
        """Serve *port*, which is bound, until cancelled or it fails; then it is closed."""
        stream = cast(DatagramServer, await asyncio_dgram.from_socket(port))
        self._port = port
        try:
            while self._backlog:
                self.send(*self._backlog.popleft())
            await self._read(stream)
        finally:
            self._port = None
            stream.close()

    async def _read(self, stream: DatagramServer) -> None:
        taken = 0
        while True:
            try:
                data, peer = await stream.recv()
            except OSError:  # of an earlier datagram, which did not arrive
                self._unsent()
                continue
            except TransportClosed:
                return
            self._take(data, cast(Peer, peer))
            taken += 1
            if not taken % BURST:
                await asyncio.sleep(0)
