"""A stream to a server (RFC 6613): closed when what comes over it is not the server's."""

import asyncio
import time
from collections.abc import Callable

import pytest

from radius import link
from radius.client import Answered, Failed
from radius.link import Link
from radius.packet import Code, Request
from radius.settings import Transport
from tests.unit.radius.wire import client, reply, server, tlv

ACCESS = Request(code=Code.ACCESS_REQUEST, attributes=(("User-Name", "alice"),))
ACCEPT, TIMEOUT_S = 2, 10.0


def unsigned(request: bytes) -> bytes:
    """Return an answer whose Message-Authenticator alone is wrong."""
    return reply(request, ACCEPT, tlv(80, bytes(16)), signed=False)


def cut(request: bytes) -> bytes:
    """Return an answer whose attributes do not exactly fill it."""
    return reply(request, ACCEPT, b"\x12\x01", signed=False)


def forged(request: bytes) -> bytes:
    """Return an answer with another secret."""
    return reply(request, ACCEPT, secret=b"guess")


def late(request: bytes) -> bytes:
    """Return an answer to nothing that is under way, and the right one."""
    return reply(request, ACCEPT, identifier=request[1] ^ 1) + reply(request, ACCEPT)


async def asked(
    answers: list[Callable[[bytes], bytes]], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Answered | Failed], list[bytes]]:
    """Ask once; each connection gets the next of *answers*. Return what came, and the requests."""
    requests: list[bytes] = []
    ended: list[Answered | Failed] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = answers[len(requests)]
        head = await reader.readexactly(4)
        requests.append(head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4))
        writer.write(answer(requests[-1]))
        await reader.read()  # until it is closed
        writer.close()

    def end(one: Answered | Failed) -> None:
        ended.append(one)
        over.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]

    async def connect(_: link._TlsPort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    monkeypatch.setattr(link._TlsPort, "_connect", connect)
    of = server("a", transport=Transport.TLS)
    carrier = Link(
        client(of, server("b", transport=Transport.TLS, priority=1)), end, time.monotonic
    )
    running = asyncio.create_task(carrier.run())
    carrier.client.submit(ACCESS, "token", time.monotonic())
    carrier.settle()
    async with asyncio.timeout(TIMEOUT_S):
        await over.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    listening.close()
    return ended, requests


@pytest.mark.parametrize("wrong", [unsigned, cut, forged])
def test_an_answer_that_is_not_the_servers_ends_the_connection(
    wrong: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6613 §2.6.4: whoever sends that is not to be listened to any more."""

    def right(request: bytes) -> bytes:
        return reply(request, ACCEPT)

    (end,), requests = asyncio.run(asked([wrong, right], monkeypatch))
    assert isinstance(end, Answered)
    assert len(requests) == 2
    assert requests[0][4:20] != requests[1][4:20], "asked anew, not again"


def test_an_answer_to_nothing_is_discarded_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (end,), requests = asyncio.run(asked([late], monkeypatch))
    assert isinstance(end, Answered)
    assert len(requests) == 1
