"""The DUID on disk, and the socket to external DHCPv6 servers."""

import asyncio
import socket
from errno import EADDRNOTAVAIL
from ipaddress import IPv6Address
from os import strerror
from pathlib import Path
from unittest.mock import patch

from structlog.testing import capture_logs

from bng.config.ipv6 import Dhcpv6External
from bng.io import dhcpv6_relay, duid
from bng.io.dhcpv6_relay import Dhcpv6Relay
from bng.ipv6.dhcpv6 import build_relay
from bng.ipv6.messages import MessageType, RelayMessage


def test_the_duid_is_made_once_and_kept(tmp_path: Path) -> None:
    place = tmp_path / "state"
    first = duid.load(place)
    assert first[:2] == b"\0\4"
    assert len(first) == 18
    assert duid.load(place) == first
    assert (place / duid.FILE_NAME).stat().st_mode & 0o777 == duid.MODE


def test_a_duid_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / duid.FILE_NAME).write_text("what is this\n")
    made = duid.load(tmp_path)
    assert duid.load(tmp_path) == made
    (tmp_path / duid.FILE_NAME).write_text("00\n")
    assert len(duid.load(tmp_path)) == 18


def test_a_duid_that_cannot_be_kept_is_good_for_now(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(duid.load(tmp_path / "file")) == 18


def relayed(kind: MessageType = MessageType.RELAY_REPL) -> bytes:
    return build_relay(
        RelayMessage(
            kind=kind,
            hop_count=0,
            link_address=IPv6Address("::"),
            peer_address=IPv6Address("fe80::2"),
            message=b"\7\0\0\1",
            interface_id=b"0000000100000001",
        )
    )


def test_messages_go_to_the_servers_and_their_answers_come_back() -> None:
    async def run() -> None:
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("::1", 0))
        server.setblocking(False)
        port = server.getsockname()[1]
        probe = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        probe.bind(("::1", 0))
        ours = probe.getsockname()[1]
        probe.close()
        taken: list[RelayMessage] = []
        came = asyncio.Event()

        def take(message: RelayMessage) -> None:
            taken.append(message)
            came.set()

        table = Dhcpv6External.model_validate({"servers": ["::1"], "source": "::1"})
        relay = Dhcpv6Relay(table, take)
        bound = dhcpv6_relay.bound
        with (
            patch.object(dhcpv6_relay, "SERVER_PORT", port),
            patch.object(dhcpv6_relay, "bound", lambda address, _: bound(address, ours)),
        ):
            relay.send(relayed(MessageType.RELAY_FORW))  # waits for the socket
            task = asyncio.create_task(relay.run())
            loop = asyncio.get_running_loop()
            data, peer = await asyncio.wait_for(loop.sock_recvfrom(server, 2000), 5)
            assert data == relayed(MessageType.RELAY_FORW)
            stranger = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            stranger.sendto(relayed(), peer)
            for answer in (b"x", relayed()):
                server.sendto(answer, peer)
            await came.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert [message.interface_id for message in taken] == [b"0000000100000001"]
        assert dict(relay.counters) == {
            **{"sent": 1, "received": 1},
            **{"malformed": 1, "not_a_server": 1},
        }
        server.close()
        stranger.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_what_is_sent_while_the_address_is_tentative_waits_for_it() -> None:
    """The socket cannot be had twice, as while duplicate address detection runs."""

    async def run() -> list[str]:
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("::1", 0))
        server.setblocking(False)
        relay = Dhcpv6Relay(
            Dhcpv6External.model_validate({"servers": ["::1"], "source": "::1"}), lambda _: None
        )
        bound, refusals = dhcpv6_relay.bound, [EADDRNOTAVAIL, EADDRNOTAVAIL]

        def bind(address: IPv6Address, _: int) -> socket.socket:
            if refusals:
                error = refusals.pop()
                raise OSError(error, strerror(error))
            assert relay.error, "while it waits there is a reason"
            return bound(address, 0)

        with (
            patch.object(dhcpv6_relay, "SERVER_PORT", server.getsockname()[1]),
            patch.object(dhcpv6_relay, "bound", bind),
            patch.object(dhcpv6_relay, "RETRY_S", 0.01),
            capture_logs() as logs,
        ):
            relay.send(relayed(MessageType.RELAY_FORW))
            task = asyncio.create_task(relay.run())
            loop = asyncio.get_running_loop()
            data = await asyncio.wait_for(loop.sock_recv(server, 2000), 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert data == relayed(MessageType.RELAY_FORW)
        assert (relay.error, relay.counters["unsent"]) == ("", 0)
        server.close()
        assert "not yet known to be unique" in logs[0]["error"]
        return [entry["event"] for entry in logs]

    told = asyncio.run(asyncio.wait_for(run(), 20))
    assert told == ["dhcpv6-socket", "dhcpv6-socket-is-there"], "once each"
