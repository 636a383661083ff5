"""Forwarding as Linux hosts on both sides see it: the box itself, TTL, MTU, no NAT for pat.

PREFIX-sub                          PREFIX-bng                       PREFIX-inet
+--------------------------+    +-----------------------+    +-------------------+
| ppp0 (TUN) - client sub0 |----| acc0             wan0 |----| inet0 192.0.2.2   |
+--------------------------+    | TAP bng-wan0 192.0.2.1|    +-------------------+
 alice: 100.64.x.y, NAT         | gateway 100.64.0.1    |
 pat: 203.0.113.7, no NAT       +-----------------------+
"""

from pathlib import Path

from tests.netns.conftest import interface_mac
from tests.support.lab import GATEWAY, PUBLIC_ADDRESS, SERVER, Lab
from tests.support.netns import run
from tests.support.tshark import Capture, complaints, count, fields


def _ping(netns: str, *words: str) -> str:
    done = run(netns, "ping", "-c", "3", "-i", "0.2", "-W", "2", *words, check=False)
    return done.stdout + done.stderr


def test_the_box_answers_ping_on_its_routed_port_once(lab: Lab, tmp_path: Path) -> None:
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "icmp") as capture:
        assert "3 received" in _ping(lab.inet, "192.0.2.1")
    assert count(capture.path, "icmp.type == 0") == 3
    assert complaints(capture.path, interface_mac(lab.bng, "wan0")) == []


def test_the_subscribers_gateway_answers_ping(lab: Lab) -> None:
    with lab.subscriber():
        assert "3 received" in _ping(lab.sub, GATEWAY)


def test_a_public_address_is_reached_from_outside_and_is_not_translated(lab: Lab) -> None:
    with lab.subscriber("pat", "public") as event:
        assert event["address"] == PUBLIC_ADDRESS
        assert "3 received" in _ping(lab.inet, PUBLIC_ADDRESS)
        assert "3 received" in _ping(lab.sub, SERVER)


def test_a_packet_whose_ttl_ends_here_draws_time_exceeded(lab: Lab) -> None:
    with lab.subscriber():
        upstream = _ping(lab.sub, "-t", "1", SERVER)
        assert f"From {GATEWAY} icmp_seq=1 Time to live exceeded" in upstream, upstream
    with lab.subscriber("pat", "public"):
        downstream = _ping(lab.inet, "-t", "1", PUBLIC_ADDRESS)
        assert "From 192.0.2.1 icmp_seq=1 Time to live exceeded" in downstream, downstream


def test_a_packet_too_big_for_the_session_is_reported_with_its_mtu_or_cut(
    lab: Lab, tmp_path: Path
) -> None:
    with (
        lab.subscriber("pat", "public"),
        Capture(lab.inet, "inet0", tmp_path / "inet.pcap", "icmp") as outside,
        Capture(lab.sub, "sub0", tmp_path / "sub.pcap", "pppoes") as access,
    ):
        refused = _ping(lab.inet, "-M", "do", "-s", "1472", PUBLIC_ADDRESS)
        assert "0 received" in refused, refused
        run(lab.inet, "ip", "route", "flush", "cache")
        cut = _ping(lab.inet, "-M", "dont", "-s", "1472", PUBLIC_ADDRESS)
        assert "3 received" in cut, cut
    needed = fields(outside.path, "icmp.type == 3 && icmp.code == 4", "icmp.mtu")
    assert needed, "no Fragmentation Needed was sent"
    assert {row[0] for row in needed} == {"1492"}
    mac = interface_mac(lab.bng, "acc0")
    assert count(access.path, f"eth.src == {mac} && ip.flags.mf == 1") >= 3
    assert complaints(access.path, mac) == []
    assert complaints(outside.path, interface_mac(lab.bng, "wan0")) == []


def test_nothing_but_echo_reaches_the_box_from_a_subscriber(lab: Lab, tmp_path: Path) -> None:
    lab.spawn("bng", "sink", "python3", "-m", "http.server", "80", "--bind", "0.0.0.0")
    with lab.subscriber(), Capture(lab.bng, "bng-wan0", tmp_path / "tap.pcap") as twin:
        for address in (GATEWAY, "192.0.2.1"):
            done = run(lab.sub, "curl", "-sS", "-m", "2", f"http://{address}/", check=False)
            assert done.returncode in {7, 28}, (address, done.returncode, done.stdout)
        assert "3 received" in _ping(lab.sub, SERVER)
    lab.stop("sink")
    assert count(twin.path, "tcp") == 0, "the subscriber's packets came to the kernel"
