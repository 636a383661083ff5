"""Sockets of a `radius.client.Client`: UDP (RFC 2865 §3) and TLS (RFC 6614), opened when needed."""

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

import structlog

from radius.client import Answered, Client, Failed, Send
from radius.datagram import MAX_BACKLOG, Datagrams
from radius.errors import MalformedPacket
from radius.filter import attach, drops
from radius.packet import take_packets
from radius.settings import Peer, Server, Tls, Transport

READ_BYTES = 65_536
"""Of a stream, at a turn."""
CONNECT_TIMEOUT_S = 5.0
RECEIVE_BUFFER_BYTES = 1 << 20


class _Port(ABC):
    """One source port: a socket, a reader, a writer."""

    def __init__(self, link: "Link", server: int, number: int, settings: Server) -> None:
        self.link, self.server, self.number, self.settings = link, server, number, settings
        self._backlog: deque[bytes] = deque(maxlen=MAX_BACKLOG)
        self._wake = asyncio.Event()

    def send(self, data: bytes) -> None:
        """Send as soon as the socket is open."""
        self._backlog.append(data)
        self._wake.set()

    def drops(self) -> int:
        """Return how many packets the kernel dropped: not the server's, or more than fit."""
        return 0

    @abstractmethod
    async def run(self) -> None:
        """Keep the socket."""

    async def _outgoing(self) -> bytes:
        """Return the next packet to send."""
        while not self._backlog:
            self._wake.clear()
            await self._wake.wait()
        return self._backlog.popleft()


class _UdpPort(_Port):
    """A socket that takes packets from the server alone: the kernel drops others, unread."""

    def __init__(self, link: "Link", server: int, number: int, settings: Server) -> None:
        super().__init__(link, server, number, settings)
        self._peer = (str(settings.address), settings.port)
        self._datagrams = Datagrams(self._take, self._unsent)
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send as soon as the socket is open."""
        self._datagrams.send(data, self._peer)

    async def run(self) -> None:
        while True:
            try:
                self._socket = self._open()
                await self._datagrams.run(self._socket)
            except OSError as error:
                self.link.failed(self.settings.name, error)
            finally:
                self._socket = None
            await asyncio.sleep(CONNECT_TIMEOUT_S)

    def drops(self) -> int:
        return 0 if self._socket is None else drops(self._socket)

    def _open(self) -> socket.socket:
        settings = self.settings
        v6 = settings.address.version == 6
        port = socket.socket(
            socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        try:
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            attach(port, settings.address, settings.port)  # first: nothing comes in without it
            wildcard = "::" if v6 else "0.0.0.0"  # noqa: S104 - a client
            port.bind((wildcard if settings.source is None else str(settings.source), 0))
        except BaseException:
            port.close()
            raise
        return port

    def _take(self, data: bytes, peer: Peer) -> None:
        self.link.received(self.server, self.number, data)

    def _unsent(self) -> None:
        """No route, no room: it is sent again in time."""
        self.link.client.servers[self.server].counters["unsent"] += 1


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what both ends' certificates are checked with (RFC 6614 §2.3).

    Raises: OSError, ssl.SSLError when a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    return context


class _TlsPort(_Port):
    async def run(self) -> None:
        clock = self.link.clock
        while True:
            first = await self._outgoing()  # a connection is made when there is something to say
            opened_at: float | None = None
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    reader, writer = await self._connect()
                opened_at = clock()
                await self._talk(first, reader, writer)
            except (OSError, EOFError, TimeoutError) as error:
                self.link.failed(self.settings.name, error)
            self._backlog.clear()  # the client sends them anew
            self.link.lost(self.server, self.number, opened_at)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        settings = self.settings
        assert settings.tls is not None  # noqa: S101 - checked with the configuration
        return await asyncio.open_connection(
            str(settings.address),
            settings.port,
            ssl=tls_context(settings.tls),
            server_hostname=settings.tls.server_name or str(settings.address),
            local_addr=None if settings.source is None else (str(settings.source), 0),
        )

    async def _talk(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry packets until the connection ends. Raises: OSError, EOFError."""
        reading = asyncio.create_task(self._read(reader))
        writing = asyncio.create_task(self._write(first, writer))
        try:
            done, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            writer.close()

    async def _write(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(data)
            await writer.drain()
            data = await self._outgoing()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        while data := await reader.read(READ_BYTES):
            buffer += data
            try:
                packets = take_packets(buffer)
            except MalformedPacket as error:
                raise EOFError(str(error)) from None
            if not self.link.received(self.server, self.number, *packets):
                raise EOFError("a packet that is broken, or not the server's")
        raise EOFError("closed by the server")


class Link:
    """Runs one `Client` on the event loop: its sockets, its time.

    *on_end* takes every `Answered` and `Failed`, in order; *clock* is the client's time.
    """

    def __init__(
        self,
        client: Client,
        on_end: Callable[[Answered | Failed], None],
        clock: Callable[[], float],
    ) -> None:
        self.client = client
        self.clock = clock
        self._on_end = on_end
        self._ports: dict[tuple[int, int], _Port] = {}
        self._new: deque[_Port] = deque()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._log = structlog.get_logger("radius")

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    while self._new:
                        tasks.create_task(self._new.popleft().run())
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def count_drops(self) -> None:
        """Bring the servers' counters of what the kernel dropped up to date."""
        for server, state in enumerate(self.client.servers):
            ports = (port for (of, _), port in self._ports.items() if of == server)
            state.counters["dropped"] = sum(port.drops() for port in ports)

    def settle(self) -> None:
        """Carry out what the client wants, after every event."""
        while actions := self.client.take():
            for action in actions:
                if isinstance(action, Send):
                    self._port(action.server, action.socket).send(action.data)
                else:
                    self._on_end(action)
        self._arm()

    def received(self, server: int, number: int, *packets: bytes) -> bool:
        """Take packets that have come to a port; False when one of them is none of the server's."""
        now = self.clock()
        sound = [self.client.receive(server, number, data, now) for data in packets]
        self.settle()
        return all(sound)

    def lost(self, server: int, number: int, opened_at: float | None) -> None:
        """A connection has ended, or was not made."""
        self.client.lost(server, number, self.clock(), opened_at=opened_at)
        self.settle()

    def failed(self, name: str, error: BaseException) -> None:
        """Log that a socket does not work."""
        self._log.warning("radius-connection", server=name, error=str(error) or repr(error))

    def _port(self, server: int, number: int) -> _Port:
        port = self._ports.get((server, number))
        if port is None:
            settings = self.client.servers[server].settings
            make = _TlsPort if settings.transport is Transport.TLS else _UdpPort
            port = self._ports[server, number] = make(self, server, number, settings)
            self._new.append(port)
            self._wake.set()
        return port

    def _arm(self) -> None:
        """Have `_tick` called in time. A timer that is early for it stays: answers move it on."""
        at = self.client.next_deadline()
        if at is None or (self._timer_at is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0.0, at - self.clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer_at = None
        self.client.tick(self.clock())
        self.settle()
