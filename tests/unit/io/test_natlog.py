"""NAT log records reach the disk before the dataplane may forget them, each once."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bng.io.natlog import NatLog, NatLogError
from bng.io.natlog_file import LogFile, NatLogSettings
from bng.natlog.files import all_files, aside
from bng.natlog.lines import Header
from dataplane.binding import NatLogType, Ring, lib
from tests.support.memory_box import MemoryBox, memory_box
from tests.support.natlog import NOON_NS, Source, entries, records, text_of


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def log_of(box: MemoryBox, path: Path, **settings: float) -> NatLog:
    return NatLog(box.dataplane, NatLogSettings(path=path, **settings))  # type: ignore[arg-type]


def waiting(box: MemoryBox) -> int:
    return int(lib.binding_pending(box.dataplane._binding, 0, Ring.NAT_LOG))


def test_a_block_is_logged_when_it_is_given_and_when_it_is_taken_back(
    box: MemoryBox, tmp_path: Path
) -> None:
    log = log_of(box, tmp_path / "nat.log")
    client = box.subscriber(1)
    box.dial(client)
    log.flush()
    (given,) = records(log.path)
    assert given.event == "+block"
    assert given.inner == str(client.address)
    assert given.outer.startswith("198.51.100.")
    assert given.last - given.first + 1 == 512
    (session,) = box.manager.table
    assert (given.acct_id, given.user) == (session.acct_session_id, session.user_name)
    assert list(log.given.values()) == [given]
    client.terminate("padt", box.now)
    box.run(1.0)
    log.flush()
    released = records(log.path)[1]
    assert released.event == "-block"
    assert released.key == given.key
    assert (released.acct_id, released.user) == (given.acct_id, given.user)
    assert released.sequence == given.sequence + 1
    assert waiting(box) == 0
    assert not log.given


def test_who_had_it_is_known_even_when_he_left_before_the_log_was_written(
    box: MemoryBox, tmp_path: Path
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    (session,) = box.manager.table
    user = session.user_name
    client.terminate("padt", box.now)
    box.run(1.0)
    log = log_of(box, tmp_path / "nat.log")
    log.flush()
    assert [(r.event, r.user) for r in records(log.path)] == [("+block", user), ("-block", user)]


def test_mappings_are_lines_without_names(box: MemoryBox, tmp_path: Path) -> None:
    log, source = log_of(box, tmp_path / "nat.log"), Source(box.dataplane)
    source.block()
    source.mapping()
    source.mapping(NatLogType.MAPPING_DELETED)
    source.block(NatLogType.BLOCK_RELEASED)
    log.flush()
    time = "2027-01-15T08:00:00"
    assert text_of(log.path).splitlines()[1:] == [
        f"{time}.000000Z 0 0 +block 1 1 100.64.0.1 0 198.51.100.1 1024 1535 0 - -",
        f"{time}.001000Z 0 1 +map 1 1 100.64.0.1 5000 198.51.100.1 1030 1030 17",
        f"{time}.002000Z 0 2 -map 1 1 100.64.0.1 5000 198.51.100.1 1030 1030 17",
        f"{time}.003000Z 0 3 -block 1 1 100.64.0.1 0 198.51.100.1 1024 1535 0 - -",
    ]
    assert log.written == 4


def test_mappings_as_c_writes_them_are_read_back_as_they_are_written_here(
    box: MemoryBox, tmp_path: Path
) -> None:
    log, source = log_of(box, tmp_path / "nat.log"), Source(box.dataplane)
    most = {"generation": 2**32 - 1, "session": 2**32 - 1, "wall_ns": 2**64 - 1}
    ports = {"inner_port": 65_535, "first": 65_535, "last": 65_535, "protocol": 255}
    for second in range(0, 4_000_000_000, 123_456_789):
        source.mapping(wall_ns=second * 1_000_000_000 + second % 1_000_000_000)
    source.sequence = 2**62
    source.mapping(inner="255.255.255.255", outer="255.255.255.255", **most, **ports)
    log.flush()
    lines = text_of(log.path).splitlines()
    maps = [line for line in lines if "+map" in line]
    assert len(maps) == 34
    assert maps == [str(record) for record in records(log.path)]


def test_records_that_cannot_be_written_stay_in_the_ring(box: MemoryBox, tmp_path: Path) -> None:
    log = log_of(box, tmp_path / "there" / "nat.log")
    box.dial(box.subscriber(1))
    log.path.unlink()
    log.path.mkdir()
    before = waiting(box)
    log.flush()
    assert (log.errors, log.written) == (1, 0)
    assert waiting(box) == before > 0
    assert not log.given
    log.path.rmdir()
    log.flush()
    assert log.written == 1
    assert waiting(box) == 0


def test_a_disk_that_is_full_leaves_no_half_a_line(box: MemoryBox, tmp_path: Path) -> None:
    log = log_of(box, tmp_path / "nat.log")
    box.dial(box.subscriber(1))
    log.flush()
    before = log.path.read_bytes()
    box.dial(box.subscriber(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with capture_logs() as logs:
            log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry["event"] for entry in logs] == ["nat-log-not-written"]
    assert log.path.read_bytes() == before
    assert waiting(box) > 0
    log.flush()
    assert [r.event for r in records(log.path)] == ["+block"] * 2
    assert [r.sequence for r in records(log.path)] == [0, 1]


def test_a_log_that_was_moved_away_is_begun_anew_with_what_is_given_out(
    box: MemoryBox, tmp_path: Path
) -> None:
    log = log_of(box, tmp_path / "nat.log")
    box.dial(box.subscriber(1))
    log.flush()
    (first,) = records(log.path)
    log.path.rename(tmp_path / "nat.log.1")
    box.dial(box.subscriber(2))
    log.flush()
    again, second = records(log.path)
    assert (again.event, again.key, again.time_ns) == ("=block", first.key, first.time_ns)
    assert (second.event, second.sequence) == ("+block", 1)


@pytest.mark.parametrize("written", ['{"time": "2026"}\n', "no newline", "\0" * 9_000])
def test_a_file_that_is_no_log_is_not_written_to(
    box: MemoryBox, tmp_path: Path, written: str
) -> None:
    path = tmp_path / "nat.log"
    path.write_text(written)
    with pytest.raises(NatLogError, match=r"nat\.log: .*: move it away"):
        log_of(box, path)
    assert path.read_text() == written


def test_a_log_that_cannot_be_opened_is_an_error_that_names_it(
    box: MemoryBox, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NatLogError, match=r"file/nat\.log"):
        log_of(box, tmp_path / "file" / "nat.log")


# ---- start after a crash


def test_what_was_written_but_not_taken_off_the_ring_is_not_written_twice(
    box: MemoryBox, tmp_path: Path
) -> None:
    source = Source(box.dataplane)
    for port in range(6_000):
        source.mapping(inner_port=port)
    source.block()
    ring = box.dataplane.rings[Ring.NAT_LOG]
    tail = ring.tail
    log_of(box, tmp_path / "nat.log").flush()
    assert waiting(box) == 0
    ring.tail = tail  # killed between fsync and consume
    source.mapping(NatLogType.MAPPING_DELETED, inner_port=1)
    source.block(first=2048, last=2559)
    again = log_of(box, tmp_path / "nat.log")
    again.flush()
    assert [r.sequence for r in records(again.path)] == list(range(6_003))
    assert len([e for e in entries(again.path) if isinstance(e, Header)]) == 1
    assert (again.written, again.lost) == (2, 0)
    assert len(again.given) == 2


def test_half_a_line_is_cut_off_and_its_record_written(box: MemoryBox, tmp_path: Path) -> None:
    source = Source(box.dataplane)
    source.block()
    source.mapping()
    ring = box.dataplane.rings[Ring.NAT_LOG]
    tail = ring.tail
    log = log_of(box, tmp_path / "nat.log")
    log.flush()
    whole = log.path.read_bytes()
    ring.tail = tail
    log.path.write_bytes(whole[:-7])
    log_of(box, log.path).flush()
    assert log.path.read_bytes() == whole


def test_another_run_of_the_dataplane_begins_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "nat.log"
    for user in (1, 2):
        with memory_box() as box:
            log = log_of(box, path)
            box.dial(box.subscriber(user))
            log.flush()
            assert len(log.given) == 1
            assert log.lost == 0
    one, first, two, second = entries(path)
    assert isinstance(one, Header)
    assert isinstance(two, Header)
    assert one.boot != two.boot
    assert not isinstance(first, Header)
    assert not isinstance(second, Header)
    assert (first.sequence, second.sequence) == (0, 0)


def test_a_gap_in_the_sequences_is_counted_and_logged(box: MemoryBox, tmp_path: Path) -> None:
    log, source = log_of(box, tmp_path / "nat.log"), Source(box.dataplane)
    source.mapping()
    source.sequence += 3
    source.mapping()
    with capture_logs() as logs:
        log.flush()
    assert [(entry["event"], entry["count"]) for entry in logs] == [("nat-log-records-missing", 3)]
    assert log.lost == 3


# ---- one file after another


def test_a_file_that_has_grown_is_put_aside_and_compressed(box: MemoryBox, tmp_path: Path) -> None:
    log = log_of(box, tmp_path / "nat.log", rotate_bytes=100_000, keep=3)
    source = Source(box.dataplane)
    source.block()
    for _ in range(6):
        for port in range(1_500):
            source.mapping(inner_port=port)
        log.flush()
        log._file.wait(60)
    old = aside(log.path)
    assert [path.suffix for path in old] == [".gz"] * 3
    assert len(set(tmp_path.iterdir())) == 4
    sequences = [
        r.sequence for path in all_files(log.path) for r in records(path) if r.kind == "map"
    ]
    assert sequences == list(range(sequences[0], 9_001))
    for path in all_files(log.path):
        header, snapshot, *rest = entries(path)
        assert isinstance(header, Header)
        assert not isinstance(snapshot, Header)
        assert (snapshot.event, snapshot.sequence) == ("=block", 0)
        if rest:
            assert not isinstance(rest[0], Header)
            assert header.following == (rest[0].sequence,)
    assert log.stats()["rotated"] == 6


def test_what_is_given_out_does_not_count_as_growth(box: MemoryBox, tmp_path: Path) -> None:
    log, source = log_of(box, tmp_path / "nat.log", rotate_bytes=2_000), Source(box.dataplane)
    for block in range(60):
        source.block(first=block * 512, last=block * 512 + 511)
    log.flush()
    log.flush()
    log._file.wait(60)
    assert len(aside(log.path)) == 1
    assert len(records(log.path)) == 60
    source.mapping()
    log.flush()
    assert len(aside(log.path)) == 1


def test_a_file_goes_on_in_another_when_it_is_old_and_not_empty(tmp_path: Path) -> None:
    file = LogFile(NatLogSettings(path=tmp_path / "nat.log", rotate_s=3_600))
    assert not file.prepare()
    file.begin(b"head\n", now=1_000.0)
    assert not file.is_due(9_999.0)
    file.append(b"a line\n")
    assert not file.is_due(4_599.0)
    assert file.is_due(4_600.0)
    file.rotate(b"head\n", now=4_600.0)
    file.wait(60)
    assert not file.is_due(9_999.0)
    assert [text_of(path) for path in all_files(file.path)] == ["head\na line\n", "head\n"]
    assert aside(file.path)[0].name == "nat.log-19700101T011640.000000Z.gz"


def test_the_age_of_a_file_outlives_bngd(box: MemoryBox, tmp_path: Path) -> None:
    log = log_of(box, tmp_path / "nat.log")
    text = text_of(log.path)
    log.path.write_text(re.sub(r"time=\S+", "time=2020-01-15T08:00:00.000000Z", text))
    again, source = log_of(box, log.path, rotate_s=86_400), Source(box.dataplane)
    source.mapping()
    again.flush()
    assert again.stats()["rotated"] == 1
    source.mapping()
    again.flush()
    again._file.wait(60)
    assert len(aside(log.path)) == 1


def test_a_rotation_that_was_cut_off_is_taken_back(box: MemoryBox, tmp_path: Path) -> None:
    log = log_of(box, tmp_path / "nat.log")
    box.dial(box.subscriber(1))
    log.flush()
    (tmp_path / "nat.log-20270115T080000.000000Z").hardlink_to(log.path)
    (tmp_path / "nat.log.tmp").write_text("half")
    (tmp_path / "nat.log-20270114T080000.000000Z.gz.tmp").write_bytes(b"half")
    again = log_of(box, log.path)
    assert list(tmp_path.iterdir()) == [log.path]
    assert len(again.given) == 1


def test_the_state_is_known_from_the_last_file_when_there_is_no_present_one(
    box: MemoryBox, tmp_path: Path
) -> None:
    log = log_of(box, tmp_path / "nat.log")
    box.dial(box.subscriber(1))
    log.flush()
    (given,) = records(log.path)
    log.path.rename(tmp_path / "nat.log-20270115T080000.000000Z")
    again = log_of(box, tmp_path / "nat.log", compress=False)
    box.dial(box.subscriber(2))
    again.flush()
    assert [(r.event, r.sequence) for r in records(again.path)] == [("=block", 0), ("+block", 1)]
    assert again.lost == 0
    assert records(again.path)[0].user == given.user


def test_a_folder_that_takes_no_other_file_leaves_the_log_in_the_old_one(
    box: MemoryBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, source = log_of(box, tmp_path / "nat.log", rotate_bytes=10), Source(box.dataplane)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    source.block()
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(LogFile, "begin", lambda *_: full(0))
        log.flush()
    assert [entry["event"] for entry in logs] == ["nat-log-not-written"]
    assert (log.written, log.errors) == (1, 1)
    assert list(tmp_path.iterdir()) == [log.path]
    source.mapping()
    log.flush()
    log._file.wait(60)
    assert [r.sequence for path in all_files(log.path) for r in records(path)] == [0, 1, 0]
    assert NOON_NS in {r.time_ns for r in records(log.path)}
