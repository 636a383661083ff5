"""The automaton's table against the RFC's own text, RFC 1661 §4.1."""

import re
from pathlib import Path

import pytest

from bng.ppp.table import TABLE, TIMER_RUNS, Cell, Do, Event, State

RFC_TEXT = Path(__file__).parents[2] / "vectors" / "ppp" / "rfc1661_4_1.txt"
EVENT_NAMES = (
    "Up Down Open Close TO+ TO- RCR+ RCR- RCA RCN RTR RTA RUC RXJ+ RXJ- RXR".split()  # noqa: SIM905
)


def cells_of_the_rfc() -> dict[tuple[str, int], str]:
    """Read both halves of the printed table: {(event, state): text without footnotes}."""
    cells: dict[tuple[str, int], str] = {}
    states: list[int] = []
    for line in RFC_TEXT.read_text().splitlines():
        head, bar, rest = line.partition("|")
        if not bar:
            continue
        if re.fullmatch(r"[\s\d]+", rest) and not head.strip():
            states = [int(number) for number in rest.split()]
        elif head.strip() and head.strip() != "Events":
            texts = rest.split()
            assert len(texts) == len(states), line
            for state, text in zip(states, texts, strict=True):
                cells[head.strip(), state] = re.sub(r"(?<=\d)[prx]$", "", text)
    return cells


def as_text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    actions, after = cell
    return ",".join(action.name.lower() for action in actions) + "/" * bool(actions) + str(+after)


def differences(table: tuple[Cell | None, ...]) -> list[tuple[str, int]]:
    """Cells of *table* that are not what the RFC prints."""
    return [
        (name, state)
        for (name, state), text in cells_of_the_rfc().items()
        if as_text(table[EVENT_NAMES.index(name) * 10 + state]) != text
    ]


def test_the_rfc_text_has_160_cells() -> None:
    assert set(cells_of_the_rfc()) == {(name, state) for name in EVENT_NAMES for state in range(10)}
    assert len(TABLE) == 160


def test_every_cell_is_the_rfc_s() -> None:
    assert differences(TABLE) == []


@pytest.mark.parametrize("index", range(0, 160, 7))
def test_a_broken_cell_is_noticed(index: int) -> None:
    broken: Cell = ((Do.TLU, Do.SER), State.INITIAL)
    table = (*TABLE[:index], broken, *TABLE[index + 1 :])
    assert differences(table) == [(EVENT_NAMES[index // 10], index % 10)]


def test_events_and_states_are_numbered_as_printed() -> None:
    printed = [event.name.replace("_PLUS", "+").replace("_MINUS", "-") for event in Event]
    assert printed == [name.upper() for name in EVENT_NAMES]


def test_the_restart_timer_runs_where_the_rfc_prints_a_timeout() -> None:
    rfc = cells_of_the_rfc()
    assert [rfc["TO+", state] != "-" for state in range(10)] == list(TIMER_RUNS)
