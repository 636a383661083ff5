"""``bngctl nat lookup``: asks bngd, or reads a log by itself."""

import json
from pathlib import Path

import pytest

from bng.cli.main import main
from tests.support.managed_box import Managed

from .conftest import Ctl

LOG = """\
#bng-nat-log 1 time=2027-01-15T07:00:00.000000Z boot=5 next=0 fields=time
2027-01-15T08:00:00.000000Z 0 0 +block 3 1 100.64.0.9 0 198.51.100.1 1024 1535 0 ab01 alice
2027-01-15T08:00:01.000000Z 0 1 +map 3 1 100.64.0.9 5000 198.51.100.1 1030 1030 17
2027-01-15T09:00:00.000000Z 0 2 -block 3 1 100.64.0.9 0 198.51.100.1 1024 1535 0 ab01 alice
"""
WHO = ("nat", "lookup", "198.51.100.1", "1030")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "nat.log"
    path.write_text(LOG)
    return path


def offline(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["--socket", "/nowhere", *words])
    return (status, *capsys.readouterr())


def test_a_log_is_searched_without_bngd(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when = "2027-01-15T08:30:00Z"
    status, out, err = offline(capsys, *WHO, when, "--log", str(log))
    assert (status, err) == (0, "")
    title, block, mapping = (line.split() for line in out.splitlines() if line.split())
    assert title[:3] == ["kind", "user", "id"]
    times = ["2027-01-15T08:00:00.000000Z", "2027-01-15T09:00:00.000000Z"]
    assert block == [
        *("block", "alice", "ab01", "100.64.0.9", "-", "1024", "1535", "-", *times, "released")
    ]
    assert mapping[:4] == ["mapping", "alice", "ab01", "100.64.0.9"]
    status, out, _ = offline(capsys, *WHO, when, "--protocol=tcp", "--json", "--log", str(log))
    assert [row["kind"] for row in json.loads(out)["holders"]] == ["block"]


def test_nobody_is_an_error_that_says_when_the_log_begins(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = offline(capsys, *WHO, "1700000000", "--log", str(log))
    assert (status, out) == (1, "")
    assert err == "bngctl: nat lookup: nobody; the log begins at 2027-01-15T07:00:00.000000Z\n"


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("--log", "{log}"), 2, "nat lookup: --log needs a TIME"),
        (("noon", "--log", "{log}"), 1, "nat lookup: time 'noon': RFC 3339"),
        (("0", "--protocol=x", "--log", "{log}"), 1, "nat lookup: protocol 'x': icmp"),
        (("0", "--log", "{log}.7"), 1, "nat lookup: there is no NAT log"),
        (("0", "--log", "/dev/null"), 1, "nat lookup: /dev/null: no record of a NAT log"),
        (("0",), 3, "no bngd on /nowhere"),
    ],
)
def test_what_is_wrong_is_said(
    log: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    status: int,
    error: str,
) -> None:
    found = offline(capsys, *WHO, *(word.format(log=log) for word in words))
    assert found[:2] == (status, "")
    assert found[2].startswith(f"bngctl: {error}")


def test_damaged_lines_are_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(LOG.replace(" 0 1 +map", " 0 1 *map"))
    status, out, err = offline(capsys, *WHO, "2027-01-15T08:30:00Z", "--log", str(log))
    assert status == 0
    assert "alice" in out
    assert err == "bngctl: 1 lines of the log are damaged\n"


def test_bngd_is_asked_without_a_log(served: Managed, ctl: Ctl) -> None:
    served.box.nat_log.flush()
    record = next(iter(served.box.nat_log.given.values()))
    run = ctl("nat", "lookup", record.outer, str(record.first))
    assert (run.status, run.err) == (0, "")
    assert [line.split()[:2] for line in run.out.splitlines()][-1] == ["block", record.user]
    run = ctl("nat", "lookup", record.outer, "7")
    assert (run.status, run.err) == (1, "bngctl: nat lookup: nobody\n")
