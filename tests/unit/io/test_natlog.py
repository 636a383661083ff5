"""NAT log records reach the disk before the dataplane may forget them."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bng.io.natlog import NatLog, NatLogError
from dataplane.binding import Ring, lib
from tests.support.memory_box import MemoryBox, memory_box


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def waiting(box: MemoryBox) -> int:
    return int(lib.binding_pending(box.dataplane._binding, 0, Ring.NAT_LOG))


def test_a_block_is_logged_when_it_is_given_and_when_it_is_taken_back(
    box: MemoryBox, tmp_path: Path
) -> None:
    log = NatLog(box.dataplane, tmp_path / "nat.log")
    client = box.subscriber(1)
    box.dial(client)
    log.flush()
    (given,) = lines(log.path)
    assert given["event"] == "block-allocated"
    assert given["inner"] == str(client.address)
    assert str(given["outer"]).startswith("198.51.100.")
    assert int(str(given["port_last"])) - int(str(given["port_first"])) + 1 == 512
    client.terminate("padt", box.now)
    box.run(1.0)
    log.flush()
    released = lines(log.path)[1]
    assert released["event"] == "block-released"
    keys = ("inner", "outer", "port_first", "port_last", "worker")
    assert [released[key] for key in keys] == [given[key] for key in keys]
    assert int(str(released["sequence"])) == int(str(given["sequence"])) + 1
    assert waiting(box) == 0


def test_records_that_cannot_be_written_stay_in_the_ring(box: MemoryBox, tmp_path: Path) -> None:
    log = NatLog(box.dataplane, tmp_path / "there" / "nat.log")
    box.dial(box.subscriber(1))
    log.path.unlink()
    log.path.mkdir()
    before = waiting(box)
    log.flush()
    assert (log.errors, log.written) == (1, 0)
    assert waiting(box) == before > 0
    log.path.rmdir()
    log.flush()
    assert log.written == 1
    assert waiting(box) == 0


def test_a_disk_that_is_full_leaves_no_half_a_line(box: MemoryBox, tmp_path: Path) -> None:
    log = NatLog(box.dataplane, tmp_path / "nat.log")
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
    assert [line["event"] for line in lines(log.path)] == ["block-allocated"] * 2


def test_a_log_that_was_moved_away_is_begun_anew(box: MemoryBox, tmp_path: Path) -> None:
    log = NatLog(box.dataplane, tmp_path / "nat.log")
    box.dial(box.subscriber(1))
    log.flush()
    log.path.rename(tmp_path / "nat.log.1")
    box.dial(box.subscriber(2))
    log.flush()
    assert len(lines(log.path)) == 1


def test_a_log_that_cannot_be_opened_is_an_error_that_names_it(
    box: MemoryBox, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NatLogError, match=r"file/nat\.log"):
        NatLog(box.dataplane, tmp_path / "file" / "nat.log")
