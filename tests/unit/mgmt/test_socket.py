"""The management socket itself: who may connect, what stands in its place, its limits."""

import asyncio
import grp
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from bng.config.model import System
from bng.mgmt.server import (
    MAX_CLIENTS,
    MAX_REQUEST_BYTES,
    ManagementError,
    ManagementServer,
)
from tests.support.managed_box import Managed

Bed = tuple[asyncio.Runner, Managed]
REQUEST = b'{"command": "show version"}\n'


def system(directory: Path, **keys: str) -> System:
    return System.model_validate({"run_dir": str(directory / "run"), **keys})


async def exchange(path: Path, *requests: bytes) -> list[dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 24)
    answers = []
    for request in requests:
        writer.write(request)
        answers.append(json.loads(await reader.readline()))
    writer.close()
    return answers


@pytest.mark.parametrize("mode", ["0600", "0660", "0666"])
def test_the_socket_has_the_mode_and_group_of_the_configuration(
    bed: Bed, tmp_path: Path, mode: str
) -> None:
    runner, managed = bed
    group = grp.getgrgid(os.getgid()).gr_name
    wanted = system(tmp_path, socket_mode=mode, socket_group=group)
    runner.run(managed.server.start(wanted))
    status = wanted.management_socket.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == int(mode, 8)
    assert status.st_gid == os.getgid()
    runner.run(managed.server.stop())
    assert not wanted.management_socket.exists()


def test_an_unknown_owner_is_an_error_that_names_the_socket(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path, socket_user="no-such-user")
    with pytest.raises(ManagementError, match=r"bngd\.sock.*no-such-user"):
        runner.run(managed.server.start(wanted))


def test_one_connection_serves_many_requests(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path)
    runner.run(managed.server.start(wanted))
    answers = runner.run(exchange(wanted.management_socket, REQUEST, b"garbage\n", REQUEST))
    assert [answer["ok"] for answer in answers] == [True, False, True]


def test_a_request_that_is_too_long_is_refused(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path)
    runner.run(managed.server.start(wanted))
    long = b" " * (MAX_REQUEST_BYTES + 1) + REQUEST
    (answer,) = runner.run(exchange(wanted.management_socket, long))
    assert answer == {"ok": False, "error": f"a request has at most {MAX_REQUEST_BYTES} bytes"}
    assert runner.run(exchange(wanted.management_socket, REQUEST))[0]["ok"] is True


def test_one_client_too_many_is_refused_and_a_place_becomes_free(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    path = system(tmp_path).management_socket
    runner.run(managed.server.start(system(tmp_path)))

    async def crowd() -> tuple[bytes, dict[str, object]]:
        opened = [await asyncio.open_unix_connection(str(path)) for _ in range(MAX_CLIENTS)]
        for reader, writer in opened:  # answered: it is surely counted
            writer.write(REQUEST)
            await reader.readline()
        reader, surplus = await asyncio.open_unix_connection(str(path))
        refusal = await reader.read()
        for _, writer in (*opened, (reader, surplus)):
            writer.close()
        while managed.server._clients:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return refusal, (await exchange(path, REQUEST))[0]

    refusal, after = runner.run(crowd())
    assert json.loads(refusal) == {"ok": False, "error": "too many clients"}
    assert after["ok"] is True


def test_who_is_still_connected_at_the_stop_is_hung_up_on(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    path = system(tmp_path).management_socket
    runner.run(managed.server.start(system(tmp_path)))

    async def stop() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(REQUEST)
        await reader.readline()
        await managed.server.stop()
        rest = await reader.read()
        writer.close()
        return rest

    assert runner.run(stop()) == b""
    assert not managed.server._clients


def test_the_socket_of_a_dead_bngd_is_replaced(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path)
    wanted.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(wanted.management_socket))
    runner.run(managed.server.start(wanted))
    assert runner.run(exchange(wanted.management_socket, REQUEST))[0]["ok"] is True


def test_a_second_bngd_is_refused_and_the_first_goes_on(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path)
    runner.run(managed.server.start(wanted))
    with pytest.raises(ManagementError, match="another bngd listens on it"):
        runner.run(ManagementServer(managed.box).start(wanted))
    assert runner.run(exchange(wanted.management_socket, REQUEST))[0]["ok"] is True


def test_a_file_in_the_place_of_the_socket_is_left_alone(bed: Bed, tmp_path: Path) -> None:
    runner, managed = bed
    wanted = system(tmp_path)
    wanted.run_dir.mkdir()
    wanted.management_socket.write_text("mine")
    with pytest.raises(ManagementError, match="no socket"):
        runner.run(managed.server.start(wanted))
    assert wanted.management_socket.read_text() == "mine"
