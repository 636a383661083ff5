"""What is drained is known again: ports for one run of the dataplane, addresses for ever."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bng.io import drained

ADDRESSES = {IPv4Address("198.51.100.7"), IPv4Address("198.51.100.12")}


def test_ports_are_drained_as_long_as_the_dataplane_runs(tmp_path: Path) -> None:
    assert drained.load_ports(tmp_path, 7) == set()
    drained.save_ports(tmp_path / "new", 7, {"acc0", None})
    assert drained.load_ports(tmp_path / "new", 7) == {"acc0", None}
    assert drained.load_ports(tmp_path / "new", 8) == set()
    drained.save_ports(tmp_path / "new", 8, ())
    assert drained.load_ports(tmp_path / "new", 8) == set()


def test_ports_and_addresses_are_kept_apart(tmp_path: Path) -> None:
    drained.save(tmp_path, ADDRESSES)
    drained.save_ports(tmp_path, 7, {"acc0"})
    assert drained.load(tmp_path) == ADDRESSES
    assert drained.load_ports(tmp_path, 7) == {"acc0"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nat-drained", "ports-drained"]


@pytest.mark.parametrize("content", [b"never\nacc0\n", b"7\n\xff\n"])
def test_what_cannot_be_read_is_logged_and_drains_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / drained.PORTS_FILE_NAME).write_bytes(content)
    with capture_logs() as logs:
        assert drained.load_ports(tmp_path, 7) == set()
    assert [log["event"] for log in logs] == ["drains-not-read"]
