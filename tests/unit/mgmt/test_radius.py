"""``show radius``, ``show accounting``, ``test radius`` of a box with servers, and without."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bng.aaa.model import AccessAnswer, AccessReject, AccessRequest, Pending, RejectReason
from bng.errors import ConfigError
from bng.ethernet import AccessLine, Mac
from bng.io.radius_service import RadiusService
from bng.ppp.credentials import PapCredentials
from radius.accounting import Accounting
from radius.spool import Record, Spool
from tests.support.managed_box import Managed, managed_box

SERVERS = {
    "aaa": {"users": "users.toml", "method": "radius"},
    "radius": {
        "without_server": "refuse",
        "server": [{"name": "aaa1", "address": "127.0.0.1", "secret": "s", "auth_port": 9}],
    },
}

ASKED_ALONE: dict[str, Any] = {
    **SERVERS,
    "radius": {
        "server": [
            {"name": "aaa1", "address": "127.0.0.1", "secret": "s", "roles": ["authentication"]}
        ]
    },
}
"""A server that is told nothing."""


def with_spool(directory: Path) -> dict[str, Any]:
    """Return `SERVERS` with a spool in *directory*."""
    spool = {"accounting": {"spool": str(directory / "spool"), "start_delay_s": 0}}
    return {**SERVERS, "radius": {**SERVERS["radius"], **spool}}


def accounted_for(box: Managed) -> tuple[RadiusService, Accounting]:
    """Have accounting told of the sessions of the box in memory."""
    service = box.box.radius
    assert service.accounting is not None
    box.memory.executor.account = service.accounting.account
    box.memory.manager.settings = replace(box.memory.manager.settings, accounting=True)
    return service, service.accounting.accounting


def test_without_radius_there_is_nothing_to_show_or_to_test(tmp_path: Path) -> None:
    with managed_box(tmp_path) as (_, box):
        assert box.ask("show radius")["data"] == []
        assert box.ask("show accounting")["data"] == {"enabled": False, "groups": []}
        answer = box.ask("test radius", user="alice", password="x")
        assert answer["error"] == 'test radius: aaa.method is not "radius"'


def test_servers_are_shown_by_role_and_the_spool_by_group(tmp_path: Path) -> None:
    with managed_box(tmp_path, **with_spool(tmp_path)) as (_, box):
        rows = box.ask("show radius")["data"]
        assert [(row["server"], row["role"], row["port"], row["state"]) for row in rows] == [
            ("aaa1", "authentication", 9, "alive"),
            ("aaa1", "accounting", 1813, "alive"),
        ]
        shown = box.ask("show accounting")["data"]
        assert shown["spool"] == str(tmp_path / "spool")
        assert shown["groups"] == [
            {"group": "main", "on_disk": 0, "under_way": 0, "oldest_s": None, "not_sendable": 0}
        ]
        assert (shown["open_accounts"], shown["checkpoint_s_ago"]) == (0, None)
        assert shown["made_up_for"] == {"starts": 0, "stops": 0, "last_known": 0}
        assert box.ask("test radius", user=5)["error"] == (
            "test radius: user and password are strings"
        )


def test_an_answered_record_is_not_the_oldest_while_its_row_is_there(tmp_path: Path) -> None:
    with managed_box(tmp_path, **with_spool(tmp_path)) as (runner, box):
        accounting = box.box.radius.accounting
        assert accounting is not None
        spool = accounting.accounting.spool
        spool.put(Record("s1", time.time() - 100, ()))
        end = time.monotonic() + 10
        while not spool.depth["main"]:
            assert time.monotonic() < end
            runner.run(spool.flush())
        (group,) = box.ask("show accounting")["data"]["groups"]
        assert (group["on_disk"], group["oldest_s"] >= 100) == (1, True)
        (stored,) = runner.run(spool.load("main", 0, 9))
        spool.done(stored.row, "main")
        (group,) = box.ask("show accounting")["data"]["groups"]
        assert (group["on_disk"], group["oldest_s"]) == (0, None)


def test_a_spool_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"no database of SQLite, whatever its name says" * 9)
    with (
        pytest.raises(ConfigError, match=f"accounting spool {tmp_path}/spool"),
        managed_box(tmp_path, **with_spool(tmp_path)),
    ):
        asyncio.get_running_loop()


def test_a_reload_gives_no_session_of_a_server_what_the_user_file_says(tmp_path: Path) -> None:
    with managed_box(tmp_path, **ASKED_ALONE) as (_, box):
        alice = box.memory.subscriber(1)
        box.memory.dial(alice)
        (session,) = box.memory.manager.table
        assert session.profile is not None
        said = session.profile = replace(session.profile, mss_clamp=True)
        box.write_users(user00001={"password": "secret", "mss_clamp": False})
        answer = box.ask("reload")
        assert "error" not in answer
        assert session.profile is said


def test_a_reload_tells_the_backend_what_answers_may_name(tmp_path: Path) -> None:
    with managed_box(tmp_path, **SERVERS) as (_, box):
        backend = box.box.radius.backend
        assert backend is not None
        assert "web" not in backend.offered.acls
        box.write(
            **SERVERS, acl=[{"name": "web", "default": "deny", "rules": ["permit ip any any"]}]
        )
        assert "error" not in box.ask("reload")
        assert "web" in backend.offered.acls


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        (PapCredentials(user_name="u" * 254, password=b"x"), "User-Name: 254 bytes"),
        (PapCredentials(user_name="u", password=b"x" * 129), "User-Password: more than 128 bytes"),
    ],
)
def test_a_client_that_fits_no_request_is_rejected(
    tmp_path: Path, credentials: PapCredentials, why: str
) -> None:
    with managed_box(tmp_path, **SERVERS) as (runner, box):
        backend = box.box.radius.backend
        assert backend is not None
        answers: list[AccessAnswer] = []
        box.box.radius.attach(lambda _, answer: answers.append(answer), lambda *_: None)
        request = AccessRequest(
            acct_session_id="1",
            request_id=1,
            credentials=credentials,
            line=AccessLine(0),
            mac=Mac(bytes(6)),
        )

        async def ask() -> None:
            assert isinstance(backend.start(request, 0), Pending)
            assert answers == []  # the core does not wait yet
            await asyncio.sleep(0)

        runner.run(ask())
        (answer,) = answers
        assert isinstance(answer, AccessReject)
        assert answer.reason is RejectReason.NOT_ASKABLE
        assert answer.detail.startswith(why)


def test_the_request_of_a_client_that_is_gone_is_cancelled_and_that_is_shown(
    tmp_path: Path,
) -> None:
    with managed_box(tmp_path, **SERVERS) as (runner, box):
        service, memory = box.box.radius, box.memory
        assert service.backend is not None
        assert service.access is not None
        memory.manager.backend = service.backend
        gone, kept = memory.subscriber(1), memory.subscriber(2)

        async def scenario() -> None:
            memory.dial(gone, kept, seconds=0.5)
            gone.terminate("padt", memory.now)
            memory.run(0.1)

        runner.run(scenario())
        row, _ = box.ask("show radius")["data"]
        assert (row["cancelled"], row["requests"], row["outstanding"]) == (1, 2, 2)
        client = service.access.link.client
        client.tick(time.monotonic() + 3)
        assert client.servers[0].counters["retransmits"] == 1  # of the one who waits


def test_a_checkpoint_writes_down_what_living_sessions_have_carried(tmp_path: Path) -> None:
    with managed_box(tmp_path, **with_spool(tmp_path)) as (runner, box):
        service, accounting = accounted_for(box)
        spool = accounting.spool
        clients = [box.memory.subscriber(index) for index in (1, 2)]
        box.memory.dial(*clients)

        async def until(wanted: int) -> None:
            async with asyncio.timeout(5):
                while spool.open_accounts != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        runner.run(until(2))
        stays, leaves = sorted(box.memory.manager.table, key=lambda s: str(s.user_name))
        for session in (stays, leaves):
            box.memory.dataplane.session_in[session.index].bytes = 5 << 32
        clients[1].terminate("padt", box.memory.now)
        box.memory.run(0.1)
        runner.run(service.checkpoint())
        runner.run(until(1))
        assert runner.run(accounting.step())  # the Stop may have been written without it
        (account,) = spool.accounts().values()
        assert account.session == stays.acct_session_id
        assert account.counters[1] == 5 << 32
        shown = box.ask("show accounting")["data"]
        assert (shown["open_accounts"], shown["checkpoint_s_ago"]) == (1, 0)


def test_records_of_a_group_that_is_gone_are_told(tmp_path: Path) -> None:
    old = Spool(tmp_path / "spool", ["main", "old"])
    old.put(Record("s", 900.0, (("NAS-Port", 1),)))
    asyncio.run(old.flush())
    old.close()
    with capture_logs() as logs, managed_box(tmp_path, **with_spool(tmp_path)) as (_, box):
        shown = box.ask("show accounting")["data"]
        assert shown["of_no_group"] == {"old": 1}
        assert shown["groups"][0]["on_disk"] == 1
    (line,) = (line for line in logs if line["event"] == "records-of-no-group")
    assert (line["group"], line["count"]) == ("old", 1)


def test_a_stop_that_keeps_sessions_writes_down_what_they_have_carried(tmp_path: Path) -> None:
    with managed_box(tmp_path, **with_spool(tmp_path)) as (runner, box):
        service, accounting = accounted_for(box)
        spool = accounting.spool
        box.memory.dial(box.memory.subscriber(1))
        (session,) = box.memory.manager.table
        box.memory.dataplane.session_in[session.index].bytes = 77
        runner.run(asyncio.wait_for(service.stop(None), 10))
        runner.run(accounting.step())
        (account,) = spool.accounts().values()
        assert account.counters[1] == 77
        assert spool.recall("arena") is None
