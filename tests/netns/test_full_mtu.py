"""1500 bytes through PPPoE: PPP-Max-Payload (RFC 4638) on an access port with an MTU of 1508.

PREFIX-sub                          PREFIX-bng                  PREFIX-inet
+-------------------------+     +---------------------+     +-------------------+
| ppp0 1500 - client sub0 |-----| acc0 1508      wan0 |-----| inet0 192.0.2.2   |
+-------------------------+     +---------------------+     +-------------------+
"""

from pathlib import Path

import pytest

from tests.netns.conftest import interface_mac
from tests.support import uml
from tests.support.lab import PUBLIC_ADDRESS, SERVER, Lab, default_config
from tests.support.netns import run
from tests.support.tshark import Capture, complaints, count, fields

_ACCESS, _ROUTED = default_config(Path("/"))["port"]
LAB_OPTIONS = {
    "config": {
        "pppoe": {"max_payload": 1500},
        "port": [{**_ACCESS, "mtu": 1508}, _ROUTED],
    }
}
FULL = ("-M", "do", "-s", "1472")  # 1500 bytes with both headers, and Don't Fragment
MAX_PAYLOAD = bytes.fromhex("0120000205dc").hex(":")  # tag 0x0120, 2 bytes, 1500


def _ping(netns: str, *words: str) -> str:
    done = run(netns, "ping", "-c", "3", "-i", "0.2", "-W", "2", *words, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("user", "password"), [("alice", "wonder"), ("pat", "public")])
def test_1500_bytes_pass_both_ways_with_and_without_nat(
    lab: Lab, tmp_path: Path, user: str, password: str
) -> None:
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture:
        with lab.subscriber(user, password, "--mru", "1500"):
            assert "3 received" in _ping(lab.sub, *FULL, SERVER)
            if user == "pat":
                assert "3 received" in _ping(lab.inet, *FULL, PUBLIC_ADDRESS)
        lab.wait_for_sessions(0)
    mac = interface_mac(lab.bng, "acc0")
    for code in (0x07, 0x65):  # PADO, PADS
        answer = f"eth.src == {mac} && pppoe.code == {code} && frame contains {MAX_PAYLOAD}"
        assert count(capture.path, answer) == 1
    ours = fields(capture.path, f"eth.src == {mac} && lcp.opt.mru", "lcp.opt.mru")
    assert {row[0] for row in ours} == {"1500"}
    assert count(capture.path, f"eth.src == {mac} && ip.len == 1500") == (6 if user == "pat" else 3)
    assert complaints(capture.path, mac) == []


def test_a_client_that_says_nothing_of_it_gets_1492(lab: Lab, tmp_path: Path) -> None:
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture:
        with lab.subscriber("pat", "public"):
            assert "0 received" in _ping(lab.inet, *FULL, PUBLIC_ADDRESS)
            run(lab.inet, "ip", "route", "flush", "cache")
        lab.wait_for_sessions(0)
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src == {mac} && frame contains 01:20:00:02") == 0
    ours = fields(capture.path, f"eth.src == {mac} && lcp.opt.mru", "lcp.opt.mru")
    assert {row[0] for row in ours} == {"1492"}


def test_pppd_with_an_mtu_of_1500_asks_for_it_and_has_it(lab: Lab, tmp_path: Path) -> None:
    options = "mtu 1500 mru 1500"
    do = f"ip link show dev ppp0 && ping -c 3 -i 0.2 -M do -s 1472 {SERVER}"
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture:
        done = uml.dial(lab.sub, "sub0", "alice", "wonder", do, pppd_options=options)
        assert done.status == 0, done.output
        lab.wait_for_sessions(0)
    assert "mtu 1500" in done.output
    assert "3 received" in done.output
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src != {mac} && frame contains {MAX_PAYLOAD}") >= 1
    assert complaints(capture.path, mac) == []
