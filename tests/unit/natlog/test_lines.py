"""Lines of the NAT log: what is written is read, anything else is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bng.natlog.lines import (
    EVENTS,
    MAX_SEQUENCE,
    Header,
    NatLogFormatError,
    Record,
    parse,
    time_text,
)
from dataplane.binding import NatLogType

TIMES = st.integers(0, 253_402_300_799_999_999).map(lambda us: us * 1000)
ADDRESSES = st.ip_addresses(v=4).map(str)
PORTS = st.integers(0, 65_535)
INDEXES = st.integers(0, 2**32 - 1)
EVENT = st.sampled_from([*EVENTS.values(), "=block", "=forward", "=static"])
BLOCK = "2027-01-15T08:00:00.000000Z 0 0 +block 1 1 100.64.0.1 0 198.51.100.1 1024 1535 0 - -"
MAP = "2027-01-15T08:00:00.000000Z 0 0 +map 1 1 100.64.0.1 5 198.51.100.1 1030 1030 17"
HEADER = "#bng-nat-log 1 time=2027-01-15T08:00:00.000000Z boot=5 next=0,7 fields=time"


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    event = draw(EVENT)
    named = event[1:] != "map"
    names = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    return Record(
        time_ns=draw(TIMES),
        worker=draw(st.integers(0, 15)),
        sequence=draw(st.integers(0, MAX_SEQUENCE)),
        event=event,
        session=draw(INDEXES),
        generation=draw(INDEXES),
        inner=draw(ADDRESSES),
        inner_port=draw(PORTS),
        outer=draw(ADDRESSES),
        first=draw(PORTS),
        last=draw(PORTS),
        protocol=draw(st.integers(0, 255)),
        acct_id=draw(names) if named else "",
        user=draw(names) if named else "",
    )


@given(any_record())
def test_a_record_that_was_written_is_read(record: Record) -> None:
    line = str(record)
    assert line.isascii()
    assert line.isprintable()
    assert parse(line) == record


@given(TIMES, st.integers(0, 2**64 - 1), st.lists(st.integers(0, MAX_SEQUENCE), min_size=1))
def test_a_header_that_was_written_is_read(time_ns: int, boot: int, following: list[int]) -> None:
    header = Header(time_ns, boot, tuple(following))
    assert parse(str(header)) == header


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        entry = parse(text)
    except NatLogFormatError as error:
        assert str(error)
    else:
        assert parse(str(entry)) == entry


def test_the_samples_are_lines() -> None:
    assert str(parse(BLOCK)) == BLOCK
    assert str(parse(MAP)) == MAP
    assert parse(HEADER) == Header(1_800_000_000_000_000_000, 5, (0, 7))


@pytest.mark.parametrize(
    ("good", "old", "new", "why"),
    [
        (HEADER, "#bng-nat-log", "#bng", "no header"),
        (HEADER, "log 1", "log 2", "version 2"),
        (HEADER, "boot=5 ", "", "no header"),
        (HEADER, "next=0,7", "next=0,", "''"),
        (HEADER, "time=2027", "time", "dictionary"),
        (BLOCK, "+block", "+blocks", "no record"),
        (BLOCK, "+block", "block", "no record"),
        (BLOCK, "+block", "*block", "no record"),
        (BLOCK, " - -", " -", "13 fields"),
        (BLOCK, " - -", " - - -", "15 fields"),
        (BLOCK, " - -", " - %ff", "utf-8"),
        (BLOCK, "2027-01-15", "2027-13-15", "month"),
        (BLOCK, "T08", " 08", "no record"),
        (BLOCK, ".000000Z", ".000000", "no time"),
        (BLOCK, "100.64.0.1", "100.64.0", "4 octets"),
        (BLOCK, "1535", "65536", "no number"),
        (BLOCK, "1024", "01024", "no number"),
        (BLOCK, " 0 - -", " 256 - -", "no number"),
        (BLOCK, "Z 0 0", f"Z 0 {MAX_SEQUENCE + 1}", "no number"),
        (MAP, "+map", "=map", "no record"),
        (MAP, " 17", " 17 - -", "14 fields"),
        (MAP, " 17", " 17" + "7" * 5_000, "a line of 5079 bytes"),
    ],
)
def test_what_is_no_line_is_refused_with_a_reason(good: str, old: str, new: str, why: str) -> None:
    assert old in good
    with pytest.raises(NatLogFormatError, match=why):
        parse(good.replace(old, new))


def test_events_are_those_of_the_dataplane() -> None:
    begins = ("ALLOCATED", "CREATED", "ADDED")
    kinds = {"BLOCK": "block", "MAPPING": "map", "FORWARD": "forward", "STATIC": "static"}
    for kind in NatLogType:
        noun, verb = kind.name.split("_")
        assert EVENTS[kind] == ("+" if verb in begins else "-") + kinds[noun]
    assert len(EVENTS) == len(NatLogType)


def test_times_are_in_utc_with_microseconds() -> None:
    assert time_text(1_800_000_000_123_456_789) == "2027-01-15T08:00:00.123456Z"
