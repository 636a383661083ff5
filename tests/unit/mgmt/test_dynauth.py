"""CoA and Disconnect over UDP into a box in memory, and ``show dynauth``."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bng.cli import main
from dataplane.binding import Direction
from radius.packet import Code
from tests.support.managed_box import Managed, managed_box
from tests.support.radius_orders import SECRET, Request, cause_of, verified
from tests.unit.mgmt.conftest import dial

Bed = tuple[asyncio.Runner, Managed]
CLIENT = {"name": "oss", "prefix": "127.0.0.0/8", "secret": SECRET.decode()}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tables(port: int, *clients: dict[str, Any], **more: Any) -> dict[str, Any]:
    listen = ["127.0.0.1", "::1"]
    table = {"port": port, "listen": listen, "client": list(clients), **more}
    return {"radius": {"nas_identifier": "bng", "dynauth": table}}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def bed(tmp_path: Path, port: int) -> Iterator[Bed]:
    """Yield a box with two sessions that 127.0.0.0/8 may change."""
    with managed_box(tmp_path, **tables(port, CLIENT)) as (runner, managed):
        dial(managed)
        yield runner, managed


async def exchange(
    box: Managed, port: int, *requests: bytes, host: str = "127.0.0.1", wait_s: float = 2.0
) -> list[bytes]:
    """Send *requests* from one port; return the answers, as many or what came in *wait_s*."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        end = loop.time() + 5
        while host not in box.box.radius.dynauth.sockets:
            assert loop.time() < end
            await asyncio.sleep(0.005)
        for request in requests:
            await loop.sock_sendto(sock, request, (host, port))
        answers: list[bytes] = []
        end = loop.time() + wait_s
        while len(answers) < len(requests) and loop.time() < end:
            await asyncio.sleep(0.002)
            box.memory.turn()
            while True:
                try:
                    answers.append(sock.recv(4096))
                except BlockingIOError:
                    break
        return answers


def ask(bed: Bed, port: int, *requests: Request, **options: Any) -> list[int | None]:
    """Return the Error-Cause of each answer, None for an ACK; answers are checked."""
    runner, box = bed
    encoded = [request.encode() for request in requests]
    answers = runner.run(exchange(box, port, *encoded, **options))
    by_id = {request.identifier: data for request, data in zip(requests, encoded, strict=True)}
    causes: dict[int, int | None] = {}
    for answer in answers:
        verified(answer, by_id[answer[1]])
        causes[answer[1]] = cause_of(answer)
    return [causes.get(request.identifier, -1) for request in requests]


def show(box: Managed) -> dict[str, Any]:
    data: dict[str, Any] = box.ask("show dynauth")["data"]
    return data


ONE = ("User-Name", "user00001")
RATE = ("WISPr-Bandwidth-Max-Down", 2_000_000)


def test_a_change_arrives_and_is_answered_when_the_dataplane_has_it(bed: Bed, port: int) -> None:
    _, box = bed
    assert ask(bed, port, Request(ONE, RATE)) == [None]
    assert box.ask("show session", session="user00001")["data"]["policer_down"]["cir_bps"] == (
        2_000_000
    )
    assert ask(bed, port, Request(("User-Name", "x"), RATE, identifier=2)) == [503]
    shown = show(box)
    assert (shown["requests"], shown["acks"], shown["naks"], shown["waiting"]) == (2, 1, 1, 0)
    assert shown["naks_by_cause"] == {"503 session-context-not-found": 1}
    assert shown["sockets"] == [
        {"address": host, "port": port, "state": "open"} for host in ("127.0.0.1", "::1")
    ]
    (client,) = shown["clients"]
    assert (client["client"], client["prefix"], client["requests"]) == ("oss", "127.0.0.0/8", 2)


def test_repetitions_in_one_breath_are_carried_out_once(bed: Bed, port: int) -> None:
    _, box = bed
    repeated = Request(ONE, RATE).encode()
    answers = bed[0].run(exchange(box, port, *[repeated] * 5, wait_s=0.3))
    assert len(set(answers)) == 1
    again = bed[0].run(exchange(box, port, repeated))
    assert len(again) == 1
    shown = show(box)
    assert (shown["requests"] + shown["duplicates"], shown["acks"]) == (6, shown["requests"])
    assert shown["requests"] == 2, "from another port it is another request: it carries no time"


def test_nobody_but_clients_is_heard_and_wrong_secrets_are_dropped(tmp_path: Path) -> None:
    port = free_port()
    stranger = {**CLIENT, "prefix": "192.0.2.0/24"}
    with managed_box(tmp_path, **tables(port, stranger)) as bed:
        dial(bed[1])
        assert ask(bed, port, Request(ONE, RATE), wait_s=0.3) == [-1]
        assert show(bed[1])["dropped"] == {"unknown_client": 1}
        bed[1].write(**tables(port, CLIENT))
        assert bed[0].run(reload(bed[1]))["ok"] is True  # clients change live
        assert ask(bed, port, Request(ONE, RATE, secret=b"guess"), wait_s=0.3) == [-1]
        assert show(bed[1])["clients"][0]["dropped"] == 1
        assert ask(bed, port, Request(ONE, RATE, identifier=9)) == [None]


async def reload(box: Managed) -> dict[str, Any]:
    return await box.exchange(b'{"command": "reload", "args": {}}')


def test_sockets_are_opened_when_the_first_client_comes(tmp_path: Path) -> None:
    port = free_port()
    with managed_box(tmp_path, **tables(port)) as bed:
        dial(bed[1])
        assert show(bed[1])["sockets"] == []
        bed[1].write(**tables(port, CLIENT))
        assert bed[0].run(reload(bed[1]))["ok"] is True
        assert ask(bed, port, Request(ONE, RATE)) == [None]


def test_a_client_may_be_allowed_one_kind_of_order(tmp_path: Path) -> None:
    port = free_port()
    six = {"name": "six", "prefix": "::1", "secret": SECRET.decode(), "orders": ["coa"]}
    four = {**CLIENT, "orders": ["disconnect"]}
    with managed_box(tmp_path, **tables(port, four, six)) as bed:
        dial(bed[1])
        assert ask(bed, port, Request(ONE, RATE)) == [501]
        ends = Request(ONE, code=Code.DISCONNECT_REQUEST)
        assert ask(bed, port, ends, host="::1") == [501]
        assert ask(bed, port, Request(ONE, RATE, identifier=8), host="::1") == [None]


def test_a_signature_and_a_time_can_be_demanded(tmp_path: Path) -> None:
    port = free_port()
    strict = {**CLIENT, "message_authenticator": True, "event_timestamp": True, "window_s": 60}
    with managed_box(tmp_path, **tables(port, strict)) as bed:
        dial(bed[1])
        now = ("Event-Timestamp", int(time.time()))
        old = ("Event-Timestamp", int(time.time()) - 90)
        refused = [
            Request(ONE, RATE, now, identifier=1),
            Request(ONE, RATE, identifier=2, sign=True),
            Request(ONE, RATE, old, identifier=3, sign=True),
        ]
        assert ask(bed, port, *refused, wait_s=0.3) == [-1, -1, -1]
        assert show(bed[1])["dropped"] == {"wrong_signature": 1, "stale": 2}
        assert ask(bed, port, Request(ONE, RATE, now, identifier=4, sign=True)) == [None]


def test_a_value_that_is_malformed_is_an_invalid_request(bed: Bed, port: int) -> None:
    assert ask(bed, port, Request(ONE, raw=bytes((27, 4, 0, 9)))) == [404]


def test_two_changes_at_once_for_one_session_are_both_made_in_order(bed: Bed, port: int) -> None:
    _, box = bed
    rates = [Request(ONE, (RATE[0], n * 1_000_000), identifier=n) for n in range(1, 21)]
    assert ask(bed, port, *rates) == [None] * 20
    (session,) = box.memory.manager.grants.by_user["user00001"]
    policer = box.memory.dataplane.policer[2 * session.index + Direction.OUT]
    assert policer.cir_bps == 20_000_000


def test_a_defect_costs_one_request(bed: Bed, port: int) -> None:
    _, box = bed
    service, orders = box.box.radius.dynauth, box.memory.manager.orders

    def broken() -> None:
        raise RuntimeError("a defect")

    service.attach(orders, broken)
    ask(bed, port, Request(ONE, RATE), wait_s=0.2)
    assert show(box)["errors"] == 1
    service.attach(orders, box.box.loop.settle)
    assert ask(bed, port, Request(ONE, RATE, identifier=2)) == [None]
    assert show(box)["errors"] == 1


def test_an_address_that_cannot_be_had_is_shown(tmp_path: Path) -> None:
    port = free_port()
    elsewhere = tables(port, CLIENT, listen=["127.0.0.1", "203.0.113.250"])
    with managed_box(tmp_path, **elsewhere) as bed:
        dial(bed[1])
        assert ask(bed, port, Request(ONE, RATE)) == [None]
        rows = {row["address"]: row["state"] for row in show(bed[1])["sockets"]}
        assert rows["127.0.0.1"] == "open"
        assert "assign" in rows["203.0.113.250"]


def test_bngctl_shows_it(bed: Bed, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    runner, box = bed
    ask(bed, port, Request(("User-Name", "x"), RATE))
    runner.run(box.server.start(box.box.config.system))

    async def run() -> None:
        await asyncio.to_thread(
            main.app, ["--socket", str(box.socket), "show", "dynauth"], standalone_mode=False
        )

    runner.run(run())
    runner.run(box.server.stop())
    text = capsys.readouterr().out
    assert "503 session-context-not-found  1" in text
    assert "127.0.0.0/8" in text
    assert "open" in text
