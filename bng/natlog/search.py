"""Who had a public address and port at a time, from the files of the NAT log.

Files are read as streams, from the last one that begins before the time to where the answer is
complete; nothing is kept of them but what fits the question. A mapping that began in an older file
is known there by its end only: its block says whose it was. GRE and ESP have port 0.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address
from pathlib import Path

from bng.natlog.files import lines_with, open_log, read_header
from bng.natlog.lines import Header, Key, NatLogFormatError, Record, parse, time_text

RESTARTED = "dataplane-restarted"
RELEASED = "released"
COLUMNS = (
    *("kind", "user", "id", "inner", "inner_port", "port_first", "port_last", "protocol"),
    *("from", "to", "ended"),
)
"""Keys of a row that people want to see."""
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp"}
MAX_NS = 1 << 63


@dataclass(frozen=True, slots=True)
class Question:
    """*protocol* is that of IP, None for any; *at_ns* counts from 1970."""

    address: IPv4Address
    port: int
    at_ns: int
    protocol: int | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """Somebody had it: *begin* says who. *from_ns* None: the log begins later; *to_ns*: not over.

    *ended* says how it ended, "" when it did not.
    """

    begin: Record
    from_ns: int | None
    to_ns: int | None
    ended: str


def read_time(text: str) -> int:
    """Return nanoseconds since 1970. Raises: ValueError with what it should look like."""
    with suppress(ValueError, InvalidOperation, OverflowError):
        if text.replace(".", "", 1).isdecimal():
            ns = int(Decimal(text) * 1_000_000_000)
        else:
            when = datetime.fromisoformat(text)
            if when.tzinfo is None:
                raise ValueError(text)
            ns = int(when.replace(microsecond=0).timestamp()) * 1_000_000_000
            ns += when.microsecond * 1_000
        if 0 <= ns < MAX_NS:
            return ns
    raise ValueError(
        f"time {text!r}: RFC 3339 with its zone, 2026-11-21T10:50:14Z, or seconds since 1970"
    )


def read_protocol(text: str) -> int:
    """Return the number of an IP protocol. Raises: ValueError."""
    numbers = {name: number for number, name in PROTOCOLS.items()}
    if text in numbers:
        return numbers[text]
    if text.isascii() and text.isdecimal() and len(text) <= 3 and 0 < int(text) <= 255:
        return int(text)
    raise ValueError(f"protocol {text!r}: {', '.join(numbers)}, or 1 to 255")


def row(holding: Holding) -> dict[str, object]:
    """Return a holding as bngctl shows it; what is not known or does not apply is None."""
    begin = holding.begin
    return {
        "kind": "mapping" if begin.kind == "map" else begin.kind,
        "user": begin.user or None,
        "id": begin.acct_id or None,
        "inner": begin.inner,
        "inner_port": begin.inner_port if begin.kind in ("map", "forward") else None,
        "outer": begin.outer,
        "port_first": begin.first,
        "port_last": begin.last,
        "protocol": PROTOCOLS.get(begin.protocol, begin.protocol or None),
        "session": begin.session,
        "generation": begin.generation,
        "from": None if holding.from_ns is None else time_text(holding.from_ns),
        "to": None if holding.to_ns is None else time_text(holding.to_ns),
        "ended": holding.ended or None,
    }


class Search:
    """Takes the lines of a log in order, finds the holdings at the time of the question."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.needle = f" {question.address} ".encode()
        self.damaged = 0
        self._boot: int | None = None
        self._open: dict[Key, Record] = {}
        self._more: Counter[Key] = Counter()  # flows without ports that look the same
        self._found: list[Holding] = []

    def feed(self, lines: Iterable[bytes]) -> bool:
        """Take lines; True: nothing that comes later can change the answer."""
        for line in lines:
            try:
                entry = parse(line.decode("ascii", "replace"))
            except NatLogFormatError:
                self.damaged += 1
                continue
            if isinstance(entry, Header):
                self._header(entry)
            elif self._concerns(entry):
                self._record(entry)
                if entry.time_ns > self.question.at_ns and not self._holders():
                    return True
        return False

    def result(self) -> list[Holding]:
        """Return who had it; mappings with the user of their block. Blocks come first."""
        for begin in self._holders():
            self._found.append(Holding(begin, begin.time_ns, None, ""))
        self._open.clear()
        named = [h for h in self._found if h.begin.kind != "map"]
        who = {(h.begin.session, h.begin.generation): h.begin for h in named}
        mappings = [h for h in self._found if h.begin.kind == "map"]
        holders = [h for h in named if h.begin.first <= self.question.port <= h.begin.last]
        return holders + [replace(h, begin=_named(h.begin, who)) for h in mappings]

    def _holders(self) -> list[Record]:
        return [r for r in self._open.values() if r.time_ns <= self.question.at_ns]

    def _concerns(self, record: Record) -> bool:
        q = self.question
        if record.outer != str(q.address):
            return False
        if record.kind == "block" and not q.port:  # says whose a flow without ports is
            return True
        fits = q.protocol is None or record.protocol in (0, q.protocol)
        return fits and record.first <= q.port <= record.last

    def _header(self, header: Header) -> None:
        if self._boot is not None and header.boot != self._boot:
            for key in list(self._open):
                self._close(key, header.boot, RESTARTED)
        self._boot = header.boot

    def _record(self, record: Record) -> None:
        key = record.key
        if record.event[0] != "-":
            self._more[key] += key in self._open and record.kind == "map"
            self._open.setdefault(key, record)
        elif self._more[key] > 0:
            self._more[key] -= 1
        elif key in self._open:
            self._close(key, record.time_ns, RELEASED)
        elif record.time_ns > self.question.at_ns:
            self._found.append(Holding(record, None, record.time_ns, RELEASED))
        if record.event == "-block":
            self._last_block(key[4:], record.time_ns)

    def _last_block(self, whose: tuple[int, int], at_ns: int) -> None:
        """With a subscriber's last block that concerns us end all of his mappings."""
        his = [key for key in self._open if key[4:] == whose]
        if any(key[0] == "block" for key in his):
            return
        for key in his:
            if key[0] == "map":
                self._close(key, at_ns, RELEASED)

    def _close(self, key: Key, at_ns: int, how: str) -> None:
        begin = self._open.pop(key)
        del self._more[key]
        if begin.time_ns <= self.question.at_ns < at_ns:
            self._found.append(Holding(begin, begin.time_ns, at_ns, how))


def _named(mapping: Record, who: dict[tuple[int, int], Record]) -> Record:
    block = who.get((mapping.session, mapping.generation))
    if block is None:
        return mapping
    return replace(mapping, acct_id=block.acct_id, user=block.user)


@dataclass(frozen=True, slots=True)
class Answer:
    """*begins_ns* is when the oldest file begins; *damaged* lines could not be read."""

    holdings: list[Holding]
    begins_ns: int
    damaged: int


def look_up(files: Sequence[Path], question: Question) -> Answer:
    """Search *files*, oldest first. One that rotation takes away meanwhile is passed over.

    Raises: NatLogFormatError, which names the file, when one is no NAT log; OSError.
    """
    headers: list[tuple[Header, Path]] = []
    for path in files:
        with suppress(FileNotFoundError):
            headers.append((_header_of(path), path))
    if not headers:
        raise NatLogFormatError("there is no NAT log")
    before = [i for i, (header, _) in enumerate(headers) if header.time_ns <= question.at_ns]
    search = Search(question)
    for _, path in headers[before[-1] if before else 0 :]:
        try:
            with open_log(path) as stream:
                if search.feed(lines_with(stream, search.needle)):
                    break
        except FileNotFoundError:
            continue
        except (EOFError, zlib.error, NatLogFormatError) as error:
            raise NatLogFormatError(f"{path}: {error}") from None
    return Answer(search.result(), headers[0][0].time_ns, search.damaged)


def _header_of(path: Path) -> Header:
    try:
        return read_header(path)
    except (EOFError, zlib.error, NatLogFormatError) as error:
        raise NatLogFormatError(f"{path}: {error}") from None
