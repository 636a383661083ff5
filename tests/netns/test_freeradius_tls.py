"""The sample site over TLS (RFC 6614): authentication and accounting, and nothing in clear.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +-------------------------------------+
| client  sub0  |----| acc0             wan0 |----| inet0 192.0.2.2                     |
+---------------+    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS, conf/freeradius bng-tls |
                     +-----------------------+    +-------------------------------------+
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.conftest import running_lab
from tests.support.freeradius import SampleSite, certificates
from tests.support.lab import SERVER, Lab, merged
from tests.support.radius_lab import SAMPLE_OPTIONS, wait_for_record
from tests.support.tshark import Capture, count


@pytest.fixture
def over_tls(tmp_path: Path) -> Iterator[tuple[SampleSite, Lab]]:
    ours = certificates(tmp_path / "certs", SERVER)
    tls = {"ca": ours / "ca.pem", "certificate": ours / "client.pem", "key": ours / "client.key"}
    server = {
        "name": "aaa1",
        "address": SERVER,
        "tls": {name: str(path) for name, path in tls.items()},
    }
    radius = {"server": [server], "probe_s": 2}  # bngd is there before its server
    config = merged(SAMPLE_OPTIONS["config"], {"radius": radius})
    with running_lab(tmp_path / "lab", config=config) as lab:
        site = SampleSite(tmp_path / "raddb", lab.inet)
        theirs = site.directory / "bng" / "certs"
        theirs.mkdir()
        for name in ("ca.pem", "server.pem", "server.key"):
            (theirs / name).write_bytes((ours / name).read_bytes())
        link = site.directory / "sites-enabled" / "bng-tls"
        link.symlink_to("../sites-available/bng-tls")
        site.check()
        with site:
            yield site, lab


def test_a_subscriber_gets_in_and_is_accounted_for(
    over_tls: tuple[SampleSite, Lab], tmp_path: Path
) -> None:
    site, lab = over_tls
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "udp", "or", "tcp") as capture:
        with lab.subscriber("alice", "alice-secret"):
            (row,) = lab.sessions()
            wait_for_record(site, row["id"], "Start")
        stop = wait_for_record(site, row["id"], "Stop")
    assert (stop["User-Name"], stop["Class"]) == ("alice", "0x676f6c64")
    states = {(r["role"], r["transport"], r["state"]) for r in lab.ctl_json("show", "radius")}
    assert states == {("authentication", "tls", "alive"), ("accounting", "tls", "alive")}
    assert count(capture.path, "tcp.port == 2083") > 10
    assert count(capture.path, "radius || udp.port == 1812 || udp.port == 1813") == 0
    assert count(capture.path, 'tcp contains "alice"') == 0
