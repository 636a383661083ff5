"""What the management server makes of a request line, whatever it holds."""

import json
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bng.mgmt import server as server_module
from bng.mgmt.registry import Command, commands
from tests.support.managed_box import Managed

FORM = 'a request is {"command": NAME, "args": {...}}'
CHANGING = {"reload", "drain", "undrain", "clear holdoffs", "terminate", "hash password", "measure"}
CHANGING |= {"trace start", "trace read", "trace stop"}
ASKING = {"show session", "explain", "nat drain", "nat undrain", "nat lookup"}  # want an argument
ASKING |= {"test radius"}
WRONG_TYPES: tuple[object, ...] = (7, 1.5, False, [], {}, ["user00001"])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"show sessions\n",
        b"\x00\xff\xfe\n",
        b"null",
        b"17",
        b'"command"',
        b"[]",
        b"{}",
        b'{"args": {}}',
        b'{"command": null}',
        b'{"command": ["show sessions"]}',
        b'{"command": "show sessions", "args": []}',
        b'{"command": "show sessions", "args": null}',
        b'{"command": "show sessions"',
        b"1" * 5_000,
        b"[" * 60_000,
        b'{"command":' * 5_000,
    ],
)
def test_a_line_that_is_no_request_is_refused(still: Managed, line: bytes) -> None:
    assert still.answer(line) == {"ok": False, "error": FORM}


@pytest.mark.parametrize("name", ["", "show", "show sessions ", "SHOW SESSIONS", "\ud800", "x" * 9])
def test_an_unknown_command_is_refused_by_its_name(still: Managed, name: str) -> None:
    assert still.ask(name) == {"ok": False, "error": f"no command {name!r}"}


@pytest.mark.parametrize("name", sorted(commands()))
def test_an_unknown_argument_is_refused(still: Managed, name: str) -> None:
    answer = still.ask(name, bogus="1")
    assert answer == {"ok": False, "error": f"{name}: no argument bogus"}


@pytest.mark.parametrize(
    ("name", "arg"), [(c.name, arg) for c in commands().values() for arg in c.args]
)
@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
def test_an_argument_of_a_wrong_type_is_refused(
    still: Managed, name: str, arg: str, value: object
) -> None:
    answer = still.ask(name, **{arg: value})
    assert answer["ok"] is False
    assert answer["error"] != "internal error, see the log of bngd"
    assert still.memory.manager.table.count == 2


@pytest.mark.parametrize("name", sorted(set(commands()) - CHANGING - ASKING))
def test_what_only_shows_answers_without_arguments(still: Managed, name: str) -> None:
    assert still.ask(name)["ok"] is True


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 500, 1001])
def test_many_rows_are_one_line_of_json_in_small_pieces(
    still: Managed, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    rows = [{"n": n} for n in range(count)]
    add(still, monkeypatch, lambda: iter(rows))
    assert still.ask("test") == {"ok": True, "data": rows}
    pieces = still.runner.run(still.pieces(b'{"command": "test"}'))
    assert max(piece.count(b'"n"') for piece in pieces) <= server_module.ROWS_AT_ONCE


def test_a_defect_costs_one_command_and_is_logged(
    still: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(still, monkeypatch, lambda: [][1])
    with capture_logs() as logs:
        answer = still.ask("test")
    assert answer == {"ok": False, "error": "internal error, see the log of bngd"}
    assert [(log["event"], log["command"]) for log in logs] == [("command-error", "test")]


def test_a_defect_half_way_through_the_rows_leaves_a_line_that_is_no_json(
    still: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> Iterator[object]:
        yield from [{"n": 1}] * server_module.ROWS_AT_ONCE
        raise LookupError

    add(still, monkeypatch, rows)
    with capture_logs() as logs:
        raw = b"".join(still.runner.run(still.pieces(b'{"command": "test"}')))
    assert raw.index(b"\n") == len(raw) - 1
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(raw)
    assert [log["event"] for log in logs] == ["command-error"]


def test_what_json_cannot_say_is_a_defect_not_a_crash(
    still: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(still, monkeypatch, lambda: {"mac": b"\x02"})
    with capture_logs() as logs:
        assert still.ask("test")["ok"] is False
    assert [log["event"] for log in logs] == ["command-error"]


def add(still: Managed, monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    """Make a command ``test`` that returns what *run* returns."""
    command = Command("test", "", (), lambda box, args: run())  # type: ignore[operator]
    monkeypatch.setitem(still.server._commands, "test", command)
