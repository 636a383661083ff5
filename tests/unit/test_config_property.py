"""Damaged configuration files: refused as a ConfigError with lines that exist, or taken."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bng.tomlfile import locate
from tests.fuzz.fuzz_config import test_one_input as run_one_input

ROOT = Path(__file__).parents[2]
CORPUS = sorted((ROOT / "tests/fuzz/corpus/config").iterdir())
CONF = [
    b"\0" + (ROOT / "conf/bng.toml").read_bytes(),
    b"\1" + (ROOT / "conf/users.toml").read_bytes(),
]
VALUES = [
    "-1",
    "0",
    "99999999999999999999",
    "nan",
    "1e400",
    "true",
    '""',
    '"\\u0000"',
    "[]",
    "[[]]",
    "{}",
    '"x"',
    "1979-05-27",
    '["x"]',
    "{a=1}",
    '"0.0.0.0/0"',
    '"255.255.255.255"',
    '"::1"',
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """One of the shipped files with a few lines dropped, doubled, moved, or given other values."""
    raw = draw(st.sampled_from(CONF))
    lines = raw[1:].decode().split("\n")
    lines = [line for line in lines if line and not line.startswith("#")]
    for _ in range(draw(st.integers(1, 4))):
        spot = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "move", "value", "key", "cut"])):
            case "drop":
                lines[spot] = ""
            case "double":
                lines.insert(spot, lines[spot])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines[spot])
            case "value":
                lines[spot] = lines[spot].split("=")[0] + "= " + draw(st.sampled_from(VALUES))
            case "key":
                lines[spot] = draw(st.sampled_from(["x", "name", '"a b"', "a.b"])) + " = 1"
            case "cut":
                lines[spot] = lines[spot][: draw(st.integers(0, len(lines[spot])))]
    return raw[:1] + "\n".join(lines).encode()


@given(damaged())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_taken_or_refused_by_line(data: bytes) -> None:
    run_one_input(data)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_taken_or_refused_by_line(data: bytes) -> None:
    run_one_input(data)


@given(st.text("{}scrypt$,0123456789A=-hanot", max_size=60))
@settings(max_examples=300, deadline=None)
def test_arbitrary_stored_passwords_are_taken_or_refused(text: str) -> None:
    run_one_input(b"\2" + text.encode())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_passes(path: Path) -> None:
    run_one_input(path.read_bytes())


def test_the_locator_knows_every_way_to_write_a_key() -> None:
    text = """\
a.b."c.d" = [1, [
  2, { x = \"\"\"
\"\"\" } ], 'x', # ] "
 1979-05-27 07:32:00.5 ]
'q' = "\\" # = [" # comment
n = -1.5e3

[[t.u]]
[t.u.v] # table of the first t.u
k = '''
]'''
[[t.u]]
w = { a.b = 1, c = [] }
[t . "x y"]
z = \"\"\"quote\"\"\"\"
last = 1
"""
    lines = locate(text)
    assert lines == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", "c.d"): 1,
        ("a", "b", "c.d", 0): 1,
        ("a", "b", "c.d", 1): 1,
        ("a", "b", "c.d", 1, 0): 2,
        ("a", "b", "c.d", 1, 1): 2,
        ("a", "b", "c.d", 1, 1, "x"): 2,
        ("a", "b", "c.d", 2): 3,
        ("a", "b", "c.d", 3): 4,
        ("q",): 5,
        ("n",): 6,
        ("t",): 8,
        ("t", "u"): 8,
        ("t", "u", 0): 8,
        ("t", "u", 0, "v"): 9,
        ("t", "u", 0, "v", "k"): 10,
        ("t", "u", 1): 12,
        ("t", "u", 1, "w"): 13,
        ("t", "u", 1, "w", "a"): 13,
        ("t", "u", 1, "w", "a", "b"): 13,
        ("t", "u", 1, "w", "c"): 13,
        ("t", "x y"): 14,
        ("t", "x y", "z"): 15,
        ("t", "x y", "last"): 16,
    }
