"""``show radius``, ``show accounting``, ``test radius`` of a box with servers, and without."""

import asyncio
from pathlib import Path

import pytest

from bng.errors import ConfigError
from tests.support.managed_box import managed_box

SERVERS = {
    "aaa": {"users": "users.toml", "method": "radius"},
    "radius": {
        "without_server": "refuse",
        "server": [{"name": "aaa1", "address": "127.0.0.1", "secret": "s", "auth_port": 9}],
    },
}


def test_without_radius_there_is_nothing_to_show_or_to_test(tmp_path: Path) -> None:
    with managed_box(tmp_path) as (_, box):
        assert box.ask("show radius")["data"] == []
        assert box.ask("show accounting")["data"] == {"enabled": False, "groups": []}
        answer = box.ask("test radius", user="alice", password="x")
        assert answer["error"] == 'test radius: aaa.method is not "radius"'


def test_servers_are_shown_by_role_and_the_spool_by_group(tmp_path: Path) -> None:
    tables = {**SERVERS, "radius": {**SERVERS["radius"]}}
    tables["radius"]["accounting"] = {"spool": str(tmp_path / "spool")}
    with managed_box(tmp_path, **tables) as (_, box):
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
        assert box.ask("test radius", user=5)["error"] == (
            "test radius: user and password are strings"
        )


def test_a_spool_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"no database of SQLite, whatever its name says" * 9)
    tables = {**SERVERS, "radius": {**SERVERS["radius"]}}
    tables["radius"]["accounting"] = {"spool": str(tmp_path / "spool")}
    with (
        pytest.raises(ConfigError, match=f"accounting spool {tmp_path}/spool"),
        managed_box(tmp_path, **tables),
    ):
        asyncio.get_running_loop()
