"""Syslog and IPFIX beside the NAT log's file: received on sockets, and nobody there."""

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from bng.config import parse as parse_config
from bng.io import natlog_export
from bng.io.nat import nat_log_of
from bng.io.natlog import Exporter, NatLog
from bng.io.natlog_export import Endpoint, Ipfix, Syslog
from bng.io.natlog_file import NatLogSettings
from bng.natlog.lines import Record, parse
from tests.support.memory_box import MemoryBox, memory_box
from tests.support.natlog import Source, records, text_of
from tests.unit.test_config_errors import BASE

RFC5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) "
    r"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) "
    r"(?P<id>[!-~]{1,32}) - (?P<text>[ -~]+)"
)


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(5)
        yield one


def endpoint(of: socket.socket) -> Endpoint:
    host, port = of.getsockname()
    return Endpoint(IPv4Address(host), port)


def log_of(box: MemoryBox, folder: Path, *exporters: Exporter) -> NatLog:
    return NatLog(box.dataplane, NatLogSettings(path=folder / "nat.log"), exporters)


def test_each_record_is_a_syslog_message_of_rfc_5424(
    box: MemoryBox, tmp_path: Path, collector: socket.socket
) -> None:
    syslog = Syslog(endpoint(collector), "local3", "bng one ü")
    log, source = log_of(box, tmp_path, syslog), Source(box.dataplane)
    source.block()
    source.mapping()
    log.flush()
    lines = []
    for _ in range(2):
        found = RFC5424.fullmatch(collector.recv(2_048).decode("ascii"))
        assert found is not None
        assert (found["pri"], found["host"], found["app"]) == ("158", "bng-one--", "bngd")
        assert found["id"] == "nat"
        lines.append(f"{found['time']} {found['text']}")
    assert lines == text_of(log.path).splitlines()[1:]
    assert isinstance(parse(lines[0]), Record)
    assert log.stats()["exporters"] == [
        {"exporter": "syslog", "to": str(endpoint(collector)), "sent": 2, "errors": 0, "dropped": 0}
    ]
    log.close()


def test_syslog_goes_to_a_unix_socket(box: MemoryBox, tmp_path: Path) -> None:
    path = tmp_path / "devlog"
    syslog = Syslog(Endpoint(path), "daemon", "bng")
    log, source = log_of(box, tmp_path, syslog), Source(box.dataplane)
    source.block()
    log.flush()
    assert (syslog.sent, syslog.stats()["errors"]) == (0, 1)  # nobody is there yet
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(5)
        source.mapping()
        log.flush()
        assert server.recv(2_048).startswith(b"<30>1 2027-")
    assert syslog.stats()["to"] == str(path)
    log.close()


def test_a_burst_of_syslog_messages_is_cut_and_counted(
    box: MemoryBox, tmp_path: Path, collector: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(natlog_export, "MOST_AT_ONCE", 10)
    syslog = Syslog(endpoint(collector), "user", "bng")
    log, source = log_of(box, tmp_path, syslog), Source(box.dataplane)
    for _ in range(2):
        for port in range(25):
            source.mapping(inner_port=port)
        log.flush()
    assert (syslog.sent, syslog.dropped) == (20, 30)
    assert len(records(log.path)) == 50
    log.close()


def test_records_are_ipfix_messages(
    box: MemoryBox, tmp_path: Path, collector: socket.socket
) -> None:
    ipfix = Ipfix(endpoint(collector), 7, 576, 600)
    log, source = log_of(box, tmp_path, ipfix), Source(box.dataplane)
    for port in range(100):
        source.mapping(inner_port=port)
    log.flush()
    sequences = []
    while (message := collector.recv(2_048))[:2] == b"\0\x0a":
        assert len(message) <= 576 - 28
        assert message[12:16] == b"\0\0\0\x07"
        sequences.append(int.from_bytes(message[8:12], "big"))
        if len(sequences) == ipfix.messages:
            break
    assert sequences[0] == 0
    assert sequences == sorted(sequences)
    assert (ipfix.sent, ipfix.dropped) == (100, 0)
    log.close()


def test_a_collector_that_is_away_harms_nothing(box: MemoryBox, tmp_path: Path) -> None:
    nowhere = Endpoint(IPv4Address("127.0.0.1"), 1)
    unreachable = Endpoint(IPv6Address("2001:db8::9"), 4739)
    exporters = (Syslog(nowhere, "local0", "bng"), Ipfix(unreachable, 0, 1_500, 600))
    log, source = log_of(box, tmp_path, *exporters), Source(box.dataplane)
    for port in range(3_000):
        source.mapping(inner_port=port)
    log.flush()
    assert (log.written, log.errors) == (3_000, 0)
    assert exporters[1].sent + exporters[1].dropped == 3_000
    assert str(unreachable) == "[2001:db8::9]:4739"
    log.close()


def test_the_configuration_says_where_the_log_goes(
    box: MemoryBox, tmp_path: Path, collector: socket.socket
) -> None:
    to = str(endpoint(collector))
    tables = f'[nat.log]\npath = "{tmp_path}/nat.log"\nrotate_mb = 1\n'
    tables += f'[nat.log.syslog]\nserver = "{tmp_path}/devlog"\n'
    tables += f'[nat.log.ipfix]\ncollector = "{to}"\ndomain = 5\n[[nat.pool]]'
    text = BASE.replace("[[nat.pool]]", tables)
    log = nat_log_of(box.dataplane, parse_config(Path("bng.toml"), text.encode()))
    box.dial(box.subscriber(1))
    log.flush()
    assert collector.recv(2_048)[12:16] == b"\0\0\0\x05"
    assert log.stats() == {
        **{"file": f"{tmp_path}/nat.log", "written": 1, "errors": 0, "lost": 0, "rotated": 0},
        "waiting_bytes": 0,
        "exporters": [
            {
                **{"exporter": "syslog", "to": f"{tmp_path}/devlog"},
                **{"sent": 0, "errors": 1, "dropped": 0},
            },
            {"exporter": "ipfix", "to": to, "sent": 1, "errors": 0, "dropped": 0},
        ],
    }
    log.close()


def test_what_is_not_on_disk_is_not_sent(
    box: MemoryBox, tmp_path: Path, collector: socket.socket
) -> None:
    syslog = Syslog(endpoint(collector), "local0", "bng")
    log, source = log_of(box, tmp_path, syslog), Source(box.dataplane)
    source.block()
    log.path.unlink()
    log.path.mkdir()
    log.flush()
    assert (log.errors, syslog.sent) == (1, 0)
    log.path.rmdir()
    log.flush()
    assert syslog.sent == 1
    log.close()
