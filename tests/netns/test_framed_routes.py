"""A network behind the subscriber (Framed-Route, RFC 2865 §5.22), as hosts on both sides see it.

PREFIX-sub                               PREFIX-bng               PREFIX-inet
+---------------------------------+    +-------------+    +---------------------------+
| 203.0.113.65/29 - ppp0 - sub0   |----| acc0   wan0 |----| inet0 192.0.2.2           |
| (lo: a host behind the router)  |    +-------------+    | 203.0.113.0/24 via .1     |
+---------------------------------+                       +---------------------------+
 office: 100.64.x.y translated, 203.0.113.64/29 behind it not translated
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import SERVER, Lab
from tests.support.netns import run
from tests.support.tshark import Capture, fields

BEHIND, OUTSIDE = "203.0.113.65", "203.0.113.80"
LAB_OPTIONS: dict[str, Any] = {
    "users": {"office": {"password": "secret", "routes": [{"prefix": "203.0.113.64/29"}]}}
}


@pytest.fixture
def office(lab: Lab) -> Iterator[dict[str, Any]]:
    """Dial in, with hosts behind the router: one in its network, one that lies about it."""
    for address in (BEHIND, OUTSIDE):
        run(lab.sub, "ip", "addr", "replace", f"{address}/32", "dev", "lo")
    with lab.subscriber("office", "secret") as event:
        yield event
    lab.wait_for_sessions(0)


def _ping(netns: str, *words: str) -> str:
    return run(netns, "ping", "-c", "3", "-i", "0.2", "-W", "1", *words, check=False).stdout


@pytest.mark.usefixtures("office")
def test_the_network_is_reached_from_outside(lab: Lab) -> None:
    assert "3 received" in _ping(lab.inet, BEHIND)


@pytest.mark.usefixtures("office")
def test_the_network_reaches_the_outside_under_its_own_address(lab: Lab, tmp_path: Path) -> None:
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "icmp") as capture:
        assert "3 received" in _ping(lab.sub, "-I", BEHIND, SERVER)
    sources = {row[0] for row in fields(capture.path, "icmp.type == 8", "ip.src")}
    assert sources == {BEHIND}


def test_the_subscribers_own_address_is_translated_all_the_same(
    lab: Lab, tmp_path: Path, office: dict[str, Any]
) -> None:
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "icmp") as capture:
        assert "3 received" in _ping(lab.sub, "-I", office["address"], SERVER)
    [source] = {row[0] for row in fields(capture.path, "icmp.type == 8", "ip.src")}
    assert source.startswith("198.51.100.")


@pytest.mark.usefixtures("office")
def test_a_source_outside_of_the_network_is_dropped(lab: Lab, tmp_path: Path) -> None:
    before = lab.drops("antispoof4")
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "icmp") as capture:
        assert "0 received" in _ping(lab.sub, "-I", OUTSIDE, SERVER)
    assert fields(capture.path, "icmp", "ip.src") == []
    assert lab.drops("antispoof4") >= before + 3


def test_after_the_session_the_network_is_reached_no_more(lab: Lab) -> None:
    with lab.subscriber("office", "secret"):
        assert "3 received" in _ping(lab.inet, BEHIND)
    lab.wait_for_sessions(0)
    assert "0 received" in _ping(lab.inet, BEHIND)
    used = {name: count for name, count in lab.occupancy().items() if count}
    assert used == {}
