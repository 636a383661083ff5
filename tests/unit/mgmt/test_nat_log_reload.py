"""The NAT log changed by a reload: other collectors, other rotation; no record is lost by it."""

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bng.io import natlog_export
from bng.natlog.files import aside
from tests.support.managed_box import Managed, managed_box
from tests.support.natlog import Source, records

NAT: dict[str, Any] = {"pool": [{"name": "public", "addresses": ["198.51.100.0/29"]}]}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    with managed_box(tmp_path, nat=NAT) as (_, managed):
        yield managed


@pytest.fixture
def collectors() -> Iterator[list[socket.socket]]:
    sockets = []
    for _ in range(2):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        sockets.append(one)
    yield sockets
    for one in sockets:
        one.close()


def name(of: socket.socket) -> str:
    host, port = of.getsockname()
    return f"{host}:{port}"


def reload(box: Managed, **log: Any) -> dict[str, Any]:
    box.write(nat={**NAT, "log": log})
    answer = box.ask("reload")
    assert answer["ok"] is True, answer
    data: dict[str, Any] = answer["data"]
    return data


def heard(by: socket.socket) -> list[int]:
    """Return the sequences of the syslog messages that have come."""
    sequences = []
    while True:
        try:
            text = by.recv(4096).decode()
        except BlockingIOError:
            return sequences
        sequences.append(int(re.search(r" nat - \d+ (\d+) ", text)[1]))  # type: ignore[index]


def exporters(box: Managed) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = box.ask("show nat")["data"]["log"]["exporters"]
    return rows


def test_each_record_goes_to_the_collector_of_before_or_to_that_of_after(
    box: Managed, collectors: list[socket.socket]
) -> None:
    one, two = collectors
    source = Source(box.memory.dataplane)
    data = reload(box, syslog={"server": name(one)})
    assert data["applied"] == ["nat.log.syslog.server"]
    for number in range(100):
        source.block()
        if number == 30:
            box.box.nat_log.flush()
        if number == 60:  # some wait in the ring, those go to where the change leads
            reload(box, syslog={"server": name(two)})
    box.box.nat_log.flush()
    before, after = heard(one), heard(two)
    assert before and after
    assert before + after == list(range(100))
    assert [r.sequence for r in records(box.box.nat_log.path)] == list(range(100))
    reload(box)
    source.block()
    box.box.nat_log.flush()
    assert (heard(one), heard(two), exporters(box)) == ([], [], [])
    assert box.box.nat_log.lost == 0


def test_an_exporter_that_stays_as_it_is_goes_on(
    box: Managed, collectors: list[socket.socket]
) -> None:
    one, two = collectors
    reload(box, ipfix={"collector": name(one)})
    source = Source(box.memory.dataplane)
    source.block()
    box.box.nat_log.flush()
    reload(box, ipfix={"collector": name(one)}, syslog={"server": name(two)}, keep=3)
    assert [(row["exporter"], row["sent"]) for row in exporters(box)] == [
        ("syslog", 0),
        ("ipfix", 1),
    ]
    reload(box, ipfix={"collector": name(one), "domain": 7}, syslog={"server": name(two)})
    assert [row["sent"] for row in exporters(box)] == [0, 0]
    (closed,) = {row["to"] for row in exporters(box)} - {name(two)}
    assert closed == name(one)


def test_rotation_follows(box: Managed) -> None:
    source = Source(box.memory.dataplane)
    reload(box, rotate_hours=0, compress=False, keep=2)
    path = box.box.nat_log.path
    for _ in range(4):
        source.block()
        box.box.nat_log.flush()
    assert aside(path) == []
    box.box.nat_log._file.begun_at -= 7200
    reload(box, rotate_hours=1, compress=False, keep=2)
    box.box.nat_log._file.wait(5)
    assert len(aside(path)) == 1
    assert [r.sequence for r in records(aside(path)[0])] == [0, 1, 2, 3]


def test_another_file_needs_a_restart(box: Managed, tmp_path: Path) -> None:
    data = reload(box, path=str(tmp_path / "other.log"))
    assert data["applied"] == []
    assert data["not_applied"] == [{"key": "nat.log.path", "needs": "restart bngd"}]
    assert box.box.nat_log.path == tmp_path / "nat.log"


def test_without_a_socket_the_reload_is_refused(
    box: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(natlog_export.socket, "socket", none)
    box.write(nat={**NAT, "log": {"syslog": {"server": "[2001:db8::1]:514"}}})
    answer = box.ask("reload")
    assert answer["ok"] is False
    assert answer["error"].endswith(
        "nat.log: no socket to [2001:db8::1]:514: Address family not supported by protocol"
    )
    assert exporters(box) == []
    assert IPv4Address(box.ask("show nat")["data"]["addresses"][0]["address"])
