"""Values and tables as bngctl prints them."""

import io
import re

import pytest

from bng.cli import render
from bng.cli.sessions import sort
from bng.cli.values import duration, shown, size


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (9_996, "10.0 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_500_000_000, "1.50 GB"),
        (2**64, "18.4 EB"),
    ],
)
def test_bytes_are_shown_with_their_unit(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.03, "0.03s"),
        (59, "59s"),
        (59.99, "59s"),
        (60, "1m00s"),
        (3_599, "59m59s"),
        (3_600, "1h00m"),
        (86_399, "23h59m"),
        (93_600, "1d02h"),
    ],
)
def test_durations_are_shown_as_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("vlan", "", "-"),
        ("address", None, "-"),
        ("routes", [], "-"),
        ("routes", ["a", "b"], "a, b"),
        ("echo", {}, "-"),
        ("echo", {"interval_s": 90, "missed": 0}, "interval_s 1m30s, missed 0"),
        ("up", False, "no"),
        ("in_packets", 1234567, "1234567"),
        ("in_bytes", 1234567, "1.23 MB"),
        ("features_in", 10, "0xa"),
        ("user", "käthe", "käthe"),
        ("user", "a\x07\x9b", "a\\x07\\x9b"),
        ("user", ["a\x1b"], "a\\x1b"),
    ],
)
def test_values_are_shown_by_their_key(key: str, value: object, text: str) -> None:
    assert shown(key, value) == text


ROWS = [
    {"user": "alice", "state": "up", "in_bytes": 5},
    {"user": "bob with a long name", "state": "paused", "in_bytes": 123_456_789},
]


def test_a_pipe_gets_aligned_columns_in_full_width() -> None:
    out = io.StringIO()
    render.table(ROWS, ["user", "state", "in_bytes"], out)
    assert out.getvalue().splitlines() == [
        "user                  state   in_bytes",
        "alice                 up           5 B",
        "bob with a long name  paused    123 MB",
    ]


def test_an_empty_table_is_its_header() -> None:
    out = io.StringIO()
    render.table([], ["user", "state"], out)
    assert out.getvalue() == "user  state\n"


def test_a_terminal_gets_colour_and_no_line_longer_than_it_is_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    render.table(ROWS, ["user", "state", "in_bytes"], out)
    assert "\x1b[32mup" in out.getvalue()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert 25 <= max(map(len, lines)) <= 30
    assert any("123 MB" in line for line in lines)


def test_markup_in_a_name_is_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    render.table([{"user": "[red]eve[/red]"}], ["user"], out)
    assert "[red]eve[/red]" in out.getvalue()


def test_a_long_table_is_plain_on_a_terminal_too() -> None:
    out = Terminal()
    render.table(ROWS * render.RICH_ROWS, ["user", "state"], out)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 2 * render.RICH_ROWS + 1


def test_a_json_list_has_an_item_a_line() -> None:
    out = io.StringIO()
    render.as_json([{"a": 1}, {"a": 2}], out)
    assert out.getvalue() == '[\n{"a": 1},\n{"a": 2}\n]\n'


def test_sorting_knows_numbers_inside_text_and_puts_what_is_missing_last() -> None:
    rows: list[dict[str, object]] = [
        {"address": value} for value in ("100.64.0.10", None, "100.64.0.9", "9.1.1.1", "")
    ]
    sort(rows, ["address"])
    up = [row["address"] for row in rows]
    assert up[:3] == ["9.1.1.1", "100.64.0.9", "100.64.0.10"]
    sort(rows, ["-address"])
    assert [row["address"] for row in rows][:3] == up[2::-1]


def test_sorting_by_several_keys_takes_the_first_first() -> None:
    rows: list[dict[str, object]] = [{"port": p, "mtu": m} for p in "ba" for m in (1500, 900)]
    sort(rows, ["port", "-mtu"])
    assert [(row["port"], row["mtu"]) for row in rows] == [
        ("a", 1500),
        ("a", 900),
        ("b", 1500),
        ("b", 900),
    ]
