"""Replies from others than the server are dropped by the kernel: no code of ours sees them.

A client on loopback, a server that is a socket of the test, and strangers with other addresses and
ports who know everything but the secret.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from radius.client import Answered, Failed
from radius.link import Link
from radius.packet import Code, Request
from tests.unit.radius.wire import client, reply, server

ASK = Request(code=Code.ACCESS_REQUEST, attributes=(("User-Name", "alice"),))
HOST = {4: "127.0.0.1", 6: "::1"}


@contextlib.contextmanager
def sockets(version: int, count: int) -> Iterator[list[socket.socket]]:
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(count)]
        for number, one in enumerate(made):
            one.bind((f"127.0.0.{number + 1}" if version == 4 else HOST[6], 0))
            one.setblocking(False)
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_another_address_or_port_is_not_heard_and_the_server_is(version: int) -> None:
    async def scenario(own: socket.socket, strangers: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Queue[Answered | Failed] = asyncio.Queue()
        port = own.getsockname()[1]
        core = client(server("a", address=ip_address(HOST[version]), port=port))
        link = Link(core, ended.put_nowait, time.monotonic)
        running = asyncio.create_task(link.run())
        core.submit(ASK, "token", time.monotonic())
        link.settle()
        data, peer = await loop.sock_recvfrom(own, 4096)
        for stranger in strangers:
            for code in (2, 3, 2):
                stranger.sendto(reply(data, code), peer)
        await asyncio.sleep(0.2)
        assert ended.empty()
        link.count_drops()
        assert core.servers[0].counters == {"requests": 1, "dropped": 3 * len(strangers)}
        own.sendto(reply(data, 2), peer)
        end = await ended.get()
        assert isinstance(end, Answered)
        assert end.reply.code is Code.ACCESS_ACCEPT
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with sockets(version, 3) as (own, *strangers):
        asyncio.run(scenario(own, strangers))
