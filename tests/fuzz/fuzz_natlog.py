"""Fuzz the NAT log's reader: files that were damaged, cut off, or never ours.

Input: a byte that says how the rest becomes a file (1: behind a good header; 2: the rest is in
gzip), a byte that moves the time asked about, then the file.
"""

import io
import tempfile
import zlib
from contextlib import suppress
from gzip import GzipFile
from ipaddress import IPv4Address
from pathlib import Path
from typing import BinaryIO, cast

from bng.io.natlog import Written
from bng.natlog.files import all_files, lines_with
from bng.natlog.lines import Header, NatLogFormatError, parse
from bng.natlog.search import (
    Holding,
    Question,
    Search,
    look_up,
    read_protocol,
    read_time,
    row,
)

BEHIND_HEADER, IN_GZIP = 1, 2
NOON_NS = 1_800_000_000_000_000_000
HEADER = f"{Header(NOON_NS, 5, (0, 0))}\n".encode()
MOST_BYTES = 1 << 20
FOLDER = tempfile.TemporaryDirectory(prefix="bng-fuzz-")
LOG = Path(FOLDER.name, "nat.log")
OLD = Path(FOLDER.name, "nat.log-20270115T080000.000000Z.gz")


def from_files(data: bytes, how: int, question: Question) -> list[Holding]:
    """Return what the log as files says, the first of them as it is."""
    LOG.write_bytes(HEADER)
    (OLD if how & IN_GZIP else LOG).write_bytes(data)
    try:
        return look_up(all_files(LOG), question).holdings
    except (NatLogFormatError, OSError):
        return []
    finally:
        OLD.unlink(missing_ok=True)


def unpacked(data: bytes) -> bytes:
    """Return what is in a gzip file, as far as it goes."""
    try:
        return GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def recover(text: bytes) -> None:
    """Read it as bngd does at start."""
    found = Written()
    for line in text.split(b"\n")[:-1]:
        try:
            found.take(line)
        except NatLogFormatError:
            assert found.boot is None
    assert all(key == record.key for key, record in found.given.items())


def answer(search: Search, lines: list[bytes]) -> list[Holding]:
    """Return who had it, without the shortcut of a search that ends early."""
    for line in lines:
        search.feed([line])
    return search.result()


def test_one_input(data: bytes) -> None:
    """Run one input."""
    how, shift = (data[0], data[1]) if len(data) > 1 else (0, 0)
    text = unpacked(data[2:]) if how & IN_GZIP else data[2:]
    text = HEADER + text if how & BEHIND_HEADER else text
    recover(text)
    lines = text.split(b"\n")[:-1]
    for line in lines:
        try:
            entry = parse(line.decode("ascii", "replace"))
        except NatLogFormatError:
            continue
        assert parse(str(entry)) == entry
    question = Question(IPv4Address("198.51.100.1"), 1030, NOON_NS + shift * 1_000_000_000)
    search = Search(question)
    try:
        wanted = list(lines_with(cast(BinaryIO, io.BytesIO(text)), search.needle))
    except NatLogFormatError:
        return
    from_files(data[2:], how, question)
    for word in text[:200].decode("latin-1").split():
        with suppress(ValueError):
            assert read_time(word) >= 0
        with suppress(ValueError):
            assert 0 < read_protocol(word) < 256
    found = answer(search, wanted)
    assert found == answer(Search(question), lines)
    for holding in found:
        assert holding.from_ns is None or holding.from_ns <= question.at_ns
        assert holding.to_ns is None or holding.to_ns > question.at_ns
        assert row(holding)["outer"] == "198.51.100.1"
