"""The files of a NAT log: the one that is written, and older ones, which may be compressed.

``nat.log`` is the newest; ``nat.log-20261121T105014.123456Z`` and the same with ``.gz`` were put
aside at the time in their name.
"""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from bng.natlog.lines import MAGIC, MAX_LINE_BYTES, Header, NatLogFormatError, parse

CHUNK_BYTES = 1 << 20
COMPRESSED = ".gz"
TEMPORARY = ".tmp"
_STAMP = re.compile(r"-\d{8}T\d{6}\.\d{6}Z", re.ASCII)


def aside(path: Path) -> list[Path]:
    """Return the older files of the log at *path*, oldest first; one that is there twice once."""
    try:
        names = {entry.name for entry in path.parent.iterdir()}
    except FileNotFoundError:
        return []
    found = {}
    for name in names:
        stamp = name.removeprefix(path.name).removesuffix(COMPRESSED)
        if name.startswith(path.name) and _STAMP.fullmatch(stamp):
            plain = path.name + stamp
            found[stamp] = path.with_name(plain if plain in names else plain + COMPRESSED)
    return [found[stamp] for stamp in sorted(found)]


def all_files(path: Path) -> list[Path]:
    """Return all files of the log at *path*, oldest first."""
    return [*aside(path), *([path] if path.exists() else [])]


def open_log(path: Path) -> BinaryIO:
    """Open a file for reading, compressed in the meantime or not. Raises: OSError."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        path = path.with_name(path.name + COMPRESSED)
        stream = path.open("rb")
    return cast(BinaryIO, gzip.open(stream)) if path.suffix == COMPRESSED else stream


def read_header(path: Path) -> Header:
    """Return the header of a file. Raises: OSError, EOFError, NatLogFormatError."""
    with open_log(path) as stream:
        line = stream.readline(MAX_LINE_BYTES)
    header = parse(line.rstrip(b"\n").decode("ascii", "replace"))
    if not isinstance(header, Header):
        raise NatLogFormatError("the first line is no header of a NAT log")
    return header


def lines_with(stream: BinaryIO, needle: bytes) -> Iterator[bytes]:
    """Yield the lines that contain *needle*, and every header, in order.

    A last line without an end is still being written, and is left out. Raises: OSError, EOFError,
    NatLogFormatError.
    """
    rest = b""
    while chunk := stream.read(CHUNK_BYTES):
        text, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise NatLogFormatError(f"a line of more than {MAX_LINE_BYTES} bytes")
        yield from _lines(text + newline, needle)


def _lines(text: bytes, needle: bytes) -> Iterator[bytes]:
    places = sorted({*_starts(text, needle), *_starts(text, MAGIC.encode())})
    for start in places:
        yield text[start : text.index(b"\n", start)]


def _starts(text: bytes, needle: bytes) -> Iterator[int]:
    """Yield where the lines start that contain *needle*."""
    at = text.find(needle)
    while at >= 0:
        yield text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        at = text.find(needle, end) if end >= 0 else -1
