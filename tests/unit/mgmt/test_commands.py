"""What each command says and does, on a box with real sessions."""

import asyncio
import threading
from typing import Any

import pytest

from bng import box as box_module
from bng.cli import sessions as cli_sessions
from bng.mgmt import server as server_module
from bng.session.model import Cause, State
from tests.support.managed_box import Managed


def users(answer: dict[str, Any]) -> list[str]:
    assert answer["ok"] is True, answer
    return [row["user"] for row in answer["data"]]


BOTH = ["user00001", "user00002"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, BOTH),
        ({"user": "user00002"}, ["user00002"]),
        ({"user": "USER00002"}, []),
        ({"mac": "02:b0:00:00:00:01"}, ["user00001"]),
        ({"mac": "02B0.0000.0001"}, ["user00001"]),
        ({"vlan": "100.7"}, ["user00002"]),
        ({"vlan": ""}, ["user00001"]),
        ({"port": "acc0"}, BOTH),
        ({"port": "wan0"}, []),
        ({"state": "up"}, BOTH),
        ({"state": "setup"}, []),
        ({"id": "00000001-"}, []),
        ({"user": "user00001", "vlan": "100.7"}, []),
    ],
    ids=str,
)
def test_selectors_must_all_fit(still: Managed, args: dict[str, str], expected: list[str]) -> None:
    assert users(still.ask("show sessions", **args)) == expected


def test_a_session_is_found_by_its_own_id_and_address(still: Managed) -> None:
    for row in still.ask("show sessions")["data"]:
        for key in ("id", "address"):
            assert users(still.ask("show sessions", **{key: row[key]})) == [row["user"]]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"mac": "02:b0"}, "mac: not an Ethernet address: '02:b0'"),
        ({"address": "100.64.0"}, "address: not an IP address: '100.64.0'"),
        ({"port": "acc7"}, "port: no port 'acc7'"),
        ({"state": "dead"}, "state: one of setup, waiting, ready, up, paused, ending"),
    ],
)
def test_a_value_that_no_session_can_have_is_refused(
    still: Managed, args: dict[str, str], error: str
) -> None:
    assert still.ask("show sessions", **args) == {"ok": False, "error": error}


def test_rows_have_the_keys_that_bngctl_sorts_by(still: Managed) -> None:
    rows = still.ask("show sessions")["data"]
    assert [tuple(row) for row in rows] == [cli_sessions.KEYS] * 2


def test_a_session_that_ends_while_the_rows_are_read_is_left_out(
    dialled: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ROWS_AT_ONCE", 1)
    memory = dialled.memory
    first, second = memory.manager.table

    async def show() -> tuple[bytes, bytes]:
        pieces = dialled.server.answer(b'{"command": "show sessions"}')
        head = await anext(pieces) + await anext(pieces)
        memory.manager.end(second, Cause.NAS_REQUEST, "", memory.now)
        memory.run(0.1)
        return head, b"".join([piece async for piece in pieces])

    head, rest = dialled.runner.run(show())
    assert memory.manager.table.count == 1
    assert first.acct_session_id.encode() in head
    assert second.acct_session_id.encode() not in rest


@pytest.mark.parametrize("key", ["id", "user", "address", "mac"])
def test_show_session_finds_it_by_any_of_its_names(still: Managed, key: str) -> None:
    row = still.ask("show sessions", user="user00002")["data"][0]
    data = still.ask("show session", session=row[key])["data"]
    assert (data["user"], data["vlan"], data["gateway"]) == ("user00002", "100.7", "100.64.0.1")
    assert data["session_id"] > 0
    assert data["nat_address"].startswith("198.51.100.")
    assert data["routes"] == [f"{row['address']}/32"]


def test_show_session_knows_every_section_of_bngctl(still: Managed) -> None:
    data = still.ask("show session", session="user00001")["data"]
    placed = {key for keys in cli_sessions.SECTIONS.values() for key in keys}
    assert set(data) == placed | {"profile", "sources"}


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "show session: say which: id, user, address or MAC"),
        ({"session": "nobody"}, "no session 'nobody'"),
        ({"session": ""}, "no session ''"),
    ],
)
def test_show_session_of_none_is_refused(still: Managed, args: dict[str, str], error: str) -> None:
    assert still.ask("show session", **args) == {"ok": False, "error": error}


def test_terminate_ends_whom_it_names_and_nobody_else(dialled: Managed) -> None:
    assert dialled.ask("terminate", user="user00001")["data"] == {"terminated": 1}
    dialled.memory.run(10.0)
    assert users(dialled.ask("show sessions")) == ["user00002"]


def test_terminate_all_ends_all(dialled: Managed) -> None:
    assert dialled.ask("terminate", all=True)["data"] == {"terminated": 2}
    dialled.memory.run(10.0)
    assert users(dialled.ask("show sessions")) == []


def test_terminate_of_many_lets_the_loop_serve_others_in_between(
    bed: tuple[asyncio.Runner, Managed], dialled: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_module, "TERMINATE_BATCH", 1)
    closed: list[int] = []

    async def terminate() -> None:
        request = b'{"command": "terminate", "args": {"all": true}}'
        assert (await dialled.exchange(request))["data"] == {"terminated": 2}
        for _ in range(2):
            closed.append(sum(s.cause is not None for s in dialled.memory.manager.table))
            await asyncio.sleep(0)

    bed[0].run(terminate())
    assert closed == [1, 2]


@pytest.mark.parametrize("args", [{}, {"all": False}, {"all": "yes"}], ids=str)
def test_terminate_without_a_selector_wants_all(still: Managed, args: dict[str, Any]) -> None:
    answer = still.ask("terminate", **args)
    assert answer == {"ok": False, "error": "terminate: say which sessions, or --all"}


def test_terminate_of_nobody_is_refused(still: Managed) -> None:
    answer = still.ask("terminate", user="nobody")
    assert answer == {"ok": False, "error": "terminate: no such session"}


def test_drain_says_how_many_will_end_and_undrain_takes_it_back(dialled: Managed) -> None:
    assert dialled.ask("drain", port="acc0")["data"] == {"ending": 2}
    assert dialled.ask("show version")["data"]["draining"] == ["acc0"]
    assert dialled.ask("undrain", port="acc0")["data"] == {}
    assert dialled.ask("show version")["data"]["draining"] == []


def test_a_drain_is_there_again_until_it_is_undone_and_says_when_it_cannot_be_kept(
    dialled: Managed,
) -> None:
    box, state = dialled.box, dialled.directory / "ports-drained"
    dialled.ask("drain")
    dialled.ask("drain", port="acc0")
    boot = box.dataplane.boot()
    assert state.read_text().split() == [str(boot), "*", "acc0"]
    dialled.ask("undrain")
    assert state.read_text().split() == [str(boot), "acc0"]
    state.unlink()
    state.mkdir()
    error = dialled.ask("undrain", port="acc0")["error"]
    assert error.startswith("undrain: done, but a restart will not know of it: ")
    assert box.draining == set()


@pytest.mark.parametrize("port", ["wan0", "nix", ""])
def test_only_access_ports_drain(still: Managed, port: str) -> None:
    for name in ("drain", "undrain"):
        answer = still.ask(name, port=port)
        assert answer == {"ok": False, "error": f"{name}: no access port {port!r}"}


def test_reload_applies_what_is_live_and_names_what_is_not(dialled: Managed) -> None:
    dialled.write(ppp={"max_failure": 7}, dataplane={"max_sessions": 2_000})
    data = dialled.ask("reload")["data"]
    assert data["applied"] == ["ppp.max_failure"]
    assert data["not_applied"] == [{"key": "dataplane.max_sessions", "needs": "restart dataplane"}]
    assert data["users"] == 64
    assert users(dialled.ask("show sessions")) == BOTH


def test_packets_are_served_while_a_reload_reads_the_files(
    dialled: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    read = box_module._read

    def slowly(*args: Any) -> Any:
        assert go_on.wait(10)
        return read(*args)

    monkeypatch.setattr(box_module, "_read", slowly)
    dialled.write(ppp={"max_failure": 7})
    memory = dialled.memory

    async def reload() -> dict[str, Any]:
        asked = asyncio.create_task(dialled.exchange(b'{"command": "reload"}'))
        await asyncio.sleep(0)
        memory.dial(memory.subscriber(3))
        assert memory.manager.table.count == 3
        assert dialled.box.config.ppp.max_failure == 5
        go_on.set()
        return await asked

    assert dialled.runner.run(reload())["data"]["applied"] == ["ppp.max_failure"]
    assert dialled.box.config.ppp.max_failure == 7


def test_two_reloads_at_once_come_one_after_the_other(dialled: Managed) -> None:
    dialled.write(ppp={"max_failure": 7})

    async def both() -> list[dict[str, Any]]:
        request = b'{"command": "reload"}'
        return await asyncio.gather(dialled.exchange(request), dialled.exchange(request))

    first, second = dialled.runner.run(both())
    assert first["data"]["applied"] == ["ppp.max_failure"]
    assert second["data"]["applied"] == []


def test_reload_of_a_wrong_file_changes_nothing_and_says_where(dialled: Managed) -> None:
    before = dialled.box.config
    dialled.write(ppp={"max_failure": 7, "bogus": 1})
    answer = dialled.ask("reload")
    assert answer["ok"] is False
    assert "ppp.bogus" in answer["error"]
    assert dialled.box.config is before


def test_a_held_off_client_is_shown_and_cleared(dialled: Managed) -> None:
    memory = dialled.memory
    memory.subscriber(3, password="wrong").start(memory.now)
    memory.run(1.0)
    dialled.box.loop.now = lambda: memory.now  # type: ignore[method-assign]
    (row,) = dialled.ask("show holdoffs")["data"]
    assert (row["port"], row["mac"], row["failures"]) == ("acc0", "02:b0:00:00:00:03", 1)
    assert dialled.ask("clear holdoffs", mac="02:b0:00:00:00:04")["data"] == {"cleared": 0}
    assert dialled.ask("clear holdoffs", mac=row["mac"])["data"] == {"cleared": 1}
    assert dialled.ask("show holdoffs")["data"] == []


def test_show_counters_counts_the_sessions_and_what_they_hold(still: Managed) -> None:
    tables = still.ask("show counters")["data"]["tables"]
    expected = {"sessions": 2, "sessions_up": 2, "pool_used": 2, "nat_sessions": 2, "nat_blocks": 2}
    assert {key: tables[key] for key in expected} == expected
    assert set(tables) >= {f"sessions_{state.value}" for state in State}


def test_show_ports_pools_and_nat_agree_with_the_table(still: Managed) -> None:
    ports = {row["port"]: row for row in still.ask("show ports")["data"]}
    assert (ports["acc0"]["sessions"], ports["acc0"]["role"], ports["acc0"]["up"]) == (
        2,
        "access",
        True,
    )
    assert ports["acc0"]["rx_packets"] > 10 < ports["acc0"]["tx_packets"]
    pool, links, homes = still.ask("show pools")["data"]
    assert [(row["family"], row["length"]) for row in (pool, links, homes)] == [
        *(("ipv4", 32), ("ipv6", 64), ("ipv6", 56))
    ]
    assert (links["size"], links["used"], homes["used"]) == (1 << 16, 2, 0)
    assert (pool["pool"], pool["used"]) == ("subscribers", 2)
    assert pool["size"] == pool["used"] + pool["held"] + pool["sticky"] + pool["free"]
    nat = still.ask("show nat")["data"]
    assert sum(row["sessions"] for row in nat["addresses"]) == 2
    assert sum(row["blocks_used"] for row in nat["addresses"]) == 2
    assert {row["gre_esp"] for row in nat["addresses"]} == {0}
    assert nat["fragments"] == {
        "delivered": 0,
        "held": 0,
        "session-not-live": 0,
        "first-came-too-late": 0,
        "too-many-held": 0,
    }


def test_hash_password_makes_what_the_user_file_reads(still: Managed) -> None:
    data = still.ask("hash password", method="nt", password="secret")["data"]
    assert data == {"stored": "{nt}878d8014606cda29677a44efa1353fc7"}


def test_hash_password_salts_afresh_each_time(still: Managed) -> None:
    args = {"method": "ssha256", "password": "secret"}
    first, second = (still.ask("hash password", **args)["data"]["stored"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("args", [{}, {"method": "nt"}, {"method": "md5", "password": "x"}])
def test_hash_password_refuses_what_it_cannot_hash(still: Managed, args: dict[str, str]) -> None:
    answer = still.ask("hash password", **args)
    assert answer["error"].startswith("hash password: ")
