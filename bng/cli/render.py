"""What bngctl prints: tables, sections of names and values, JSON.

On a terminal tables are fitted to its width, with colour. On a pipe, and when they are long, they
are plain text in full width, one row a line.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from bng.cli.values import shown

Row = Mapping[str, object]

RICH_ROWS = 500
"""Longer tables are not fitted to the terminal: it takes rich a millisecond a row."""
STATE_STYLES = {"up": "green", "setup": "cyan", "ready": "cyan", "waiting": "cyan"}
OTHER_STATE_STYLE = "yellow"


def table(rows: Sequence[Row], columns: Sequence[str], out: TextIO) -> None:
    """Print *rows* under a header of *columns*."""
    cells = [[shown(key, row.get(key)) for key in columns] for row in rows]
    right = [any(_is_number(row.get(key)) for row in rows) for key in columns]
    if out.isatty() and len(rows) <= RICH_ROWS:
        _fitted(cells, columns, right, out)
    else:
        _plain(cells, columns, right, out)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(cells: list[list[str]], columns: Sequence[str], right: list[bool], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (list(columns), *cells):
        aligned = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        out.write("  ".join(aligned).rstrip() + "\n")


def _fitted(cells: list[list[str]], columns: Sequence[str], right: list[bool], out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column, to_right in zip(columns, right, strict=True):
        grid.add_column(
            column,
            justify="right" if to_right else "left",
            no_wrap=column != "user",
            overflow="ellipsis",
        )
    for row in cells:
        grid.add_row(
            *(Text(cell, style=_style(key, cell)) for key, cell in zip(columns, row, strict=True))
        )
    Console(file=out, highlight=False).print(grid)


def _style(key: str, cell: str) -> str:
    if key == "state":
        return STATE_STYLES.get(cell, OTHER_STATE_STYLE)
    return "red" if key == "up" and cell == "no" else ""


def section(title: str, values: Row, out: TextIO, indent: int = 0) -> None:
    """Print names and values under *title*, values aligned; nothing for an empty section.

    Of a list of tables each has a line of its own.
    """
    if not values:
        return
    margin = " " * indent
    out.write(f"{margin}{title}\n")
    width = max(len(key) for key in values)
    for key, value in values.items():
        for item in _rows(value):
            out.write(f"{margin}  {key:<{width}}  {shown(key.rpartition('.')[2], item)}\n")
            key = ""


def _rows(value: object) -> Sequence[object]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    return [value]


def as_json(data: object, out: TextIO) -> None:
    """Print JSON: of a list each item on a line of its own, so that line tools can filter it."""
    if isinstance(data, list):
        rows = ",\n".join(json.dumps(item) for item in data)
        out.write(f"[\n{rows}\n]\n" if data else "[]\n")
    else:
        out.write(json.dumps(data, indent=2) + "\n")


def counters(data: Row, wanted: str, out: TextIO, *, zeros: bool) -> None:
    """Print the counters whose name contains *wanted*, drop reasons under their node.

    What is 0 is left out unless *zeros* is set.
    """
    for title, group in data.items():
        lines = {
            name: value
            for name, value in _flat(group)
            if (value or zeros) and wanted.lower() in f"{title} {name}".lower()
        }
        if title == "drops":
            _by_node(lines, out)
        else:
            section(title, lines, out)


def _flat(group: object, prefix: str = "") -> Iterable[tuple[str, object]]:
    match group:
        case dict():
            for name, value in group.items():
                yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
        case list():
            for index, value in enumerate(group):
                yield from _flat(value, f"{prefix}.{index}" if prefix else str(index))
        case _:
            yield prefix, group


def _by_node(drops: Row, out: TextIO) -> None:
    nodes: dict[str, dict[str, object]] = {}
    for name, count in drops.items():
        node, _, reason = name.partition(" ")
        nodes.setdefault(node, {})[reason] = count
    if nodes:
        out.write("drops\n")
    for node, reasons in sorted(nodes.items()):
        section(node, reasons, out, indent=2)
