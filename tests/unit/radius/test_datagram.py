"""A UDP socket of RADIUS: what goes wrong with one datagram stops nothing."""

import asyncio
import socket

import pytest

from radius.datagram import Datagrams
from radius.settings import Peer

MOST_OF_UDP = 65_507


class End:
    """One end on loopback, and what came of it."""

    def __init__(self) -> None:
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.port.bind(("127.0.0.1", 0))
        self.peer: Peer = self.port.getsockname()
        self.taken: list[tuple[bytes, Peer]] = []
        self.unsent = 0
        self.datagrams = Datagrams(lambda data, peer: self.taken.append((data, peer)), self._failed)

    def _failed(self) -> None:
        self.unsent += 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.taken) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


def test_what_was_sent_before_there_was_a_socket_goes_first() -> None:
    async def run() -> list[bytes]:
        one, other = End(), End()
        one.datagrams.send(b"early", other.peer)
        running = [asyncio.create_task(end.datagrams.run(end.port)) for end in (one, other)]
        await asyncio.sleep(0.01)
        one.datagrams.send(b"late", other.peer)
        await other.until(2)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert {peer for _, peer in other.taken} == {one.peer}
        return [data for data, _ in other.taken]

    assert asyncio.run(run()) == [b"early", b"late"]


def test_a_datagram_that_cannot_be_sent_is_counted_and_others_go_on() -> None:
    async def run() -> tuple[int, list[bytes]]:
        one, other = End(), End()
        running = [asyncio.create_task(end.datagrams.run(end.port)) for end in (one, other)]
        await asyncio.sleep(0.01)
        one.datagrams.send(bytes(MOST_OF_UDP + 1), other.peer)
        one.datagrams.send(b"next", other.peer)
        await other.until(1)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return one.unsent, [data for data, _ in other.taken]

    assert asyncio.run(run()) == (1, [b"next"])


def test_an_error_that_the_stream_reports_ends_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = []
    original = Datagrams._read

    async def read(self: Datagrams, stream: object) -> None:
        streams.append(stream)
        await original(self, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Datagrams, "_read", read)

    async def run() -> tuple[int, list[bytes], bool]:
        one, other = End(), End()
        task = asyncio.create_task(other.datagrams.run(other.port))
        await asyncio.sleep(0.01)
        streams[0]._excq.put_nowait(ConnectionRefusedError())
        for data in (b"1", b"2"):
            one.port.sendto(data, other.peer)
        await other.until(2)
        streams[0].close()
        async with asyncio.timeout(5):
            await task  # whoever runs it opens another socket
        one.port.close()
        return other.unsent, [data for data, _ in other.taken], task.done()

    assert asyncio.run(run()) == (1, [b"1", b"2"], True)
