"""Debian's pppd uses its session: ping, HTTP and TCP both ways through NAT, judged by tshark.

    guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
    +------------------------+   +------+   +----------------------+   +-----------------------+
    | ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 192.0.2.2       |
    +------------------------+   +--^---+   |      ip_forward=1    |   |   ^   HTTP, iperf3    |
      User Mode Linux               |       +----------------------+   +---|-------------------+
                                 capture                                capture

Captures are taken where the BNG's frames arrive, because they must be complete there.
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bng.ppp import packet as ppp
from bng.pppoe import packet as pppoe
from tests.netns.conftest import interface_mac
from tests.support import uml
from tests.support.lab import NAT_POOL, PAGE, SERVER, Lab
from tests.support.lab6 import DualLab
from tests.support.netns import run
from tests.support.tshark import Capture, complaints, count, fields

LAB_OPTIONS = {"kind": DualLab}

_COMMANDS = f"""ping -c 3 -i 0.2 {SERVER} && ping -c 1 -M do -s 1464 {SERVER} && echo PINGED &&
curl -fsS --max-time 10 http://{SERVER}/ && iperf3 -c {SERVER} -n 8M && echo UP-DONE &&
iperf3 -c {SERVER} -n 8M -R && echo DOWN-DONE && ip -o addr show dev ppp0 && cat $PPPD_LOG"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one dial left behind."""

    output: str
    access: Path
    internet: Path
    sessions: list[dict[str, object]]


@pytest.fixture(scope="module")
def evidence(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Dial once, do everything, and keep both captures for the tests below."""
    directory = tmp_path_factory.mktemp("captures")
    lab.spawn("inet", "iperf3", "iperf3", "-s", "-B", SERVER)
    with (
        Capture(lab.sub, "sub0", directory / "access.pcap") as access,
        Capture(lab.inet, "inet0", directory / "internet.pcap") as internet,
        uml.dial_in_background(
            lab.sub, "sub0", "alice", "wonder", f"{_COMMANDS} && sleep 1"
        ) as guest,
    ):
        guest.wait_for("DOWN-DONE")
        sessions = lab.sessions()
        done = guest.wait()
        assert done.status == 0, done.output
    yield Evidence(done.output, access.path, internet.path, sessions)


def test_ping_page_and_tcp_in_both_directions_come_through(evidence: Evidence) -> None:
    assert "3 received, 0% packet loss" in evidence.output
    assert "1 received, 0% packet loss" in evidence.output
    assert PAGE in evidence.output


def test_pppd_got_address_name_servers_and_an_interface_id(evidence: Evidence) -> None:
    [session] = evidence.sessions
    assert session["user"] == "alice"
    assert f"local  IP address {session['address']}" in evidence.output
    assert "primary   DNS address 192.0.2.53" in evidence.output
    assert "secondary DNS address 192.0.2.54" in evidence.output
    assert "inet6 fe80::" in evidence.output


def test_the_server_saw_public_addresses_and_nothing_else(lab: Lab, evidence: Evidence) -> None:
    pool = ipaddress.IPv4Network(NAT_POOL)
    page = next(line for line in lab.log("http").splitlines()[::-1] if '"GET / ' in line)
    assert ipaddress.IPv4Address(page.split()[0]) in pool
    mac = interface_mac(lab.bng, "wan0")
    sources = {row[0] for row in fields(evidence.internet, f"eth.src == {mac} && ip", "ip.src")}
    inside = {ipaddress.IPv4Address(source) for source in sources} - {
        ipaddress.IPv4Address("192.0.2.1")
    }
    assert len(inside) == 1, "paired pooling (RFC 4787 REQ-2): one public address"
    assert inside <= set(pool)


def test_every_echo_request_crossed_exactly_once(evidence: Evidence) -> None:
    requests = fields(evidence.internet, "icmp.type == 8", "icmp.ident", "icmp.seq")
    assert len(requests) == 4
    assert len({tuple(row) for row in requests}) == 4
    replies = fields(evidence.access, "icmp.type == 0 && pppoes", "icmp.ident", "icmp.seq")
    assert len(replies) == 4
    assert len({tuple(row) for row in replies}) == 4


def test_tshark_finds_no_malformed_packet_and_no_wrong_checksum(
    lab: Lab, evidence: Evidence
) -> None:
    access_mac = interface_mac(lab.bng, "acc0")
    assert count(evidence.access, f"eth.src == {access_mac} && tcp") > 1000
    assert complaints(evidence.access, access_mac) == []
    routed_mac = interface_mac(lab.bng, "wan0")
    assert count(evidence.internet, f"eth.src == {routed_mac} && tcp") > 1000
    assert complaints(evidence.internet, routed_mac) == []


def _packets(path: Path) -> dict[str, bytes]:
    """Return the frames of a capture by the number that tshark gives them, untagged Ethernet."""
    data, offset, found = path.read_bytes(), 24, {}
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset + 8)
        found[str(len(found) + 1)] = data[offset + 16 : offset + 16 + length]
        offset += 16 + length
    return found


def test_our_parsers_read_what_tshark_reads_in_every_discovery_packet(evidence: Evidence) -> None:
    frames = _packets(evidence.access)
    names = ("frame.number", "pppoe.code", "pppoe.session_id", "pppoe.payload_length")
    rows = fields(evidence.access, "pppoed", *names)
    codes = set()
    for number, *numbers in rows:
        found = pppoe.parse(frames[number][14:])
        codes.add(found.code)
        assert [found.code, found.session_id, len(found.tags)] == [int(n, 0) for n in numbers]
    assert codes >= {pppoe.Code.PADI, pppoe.Code.PADO, pppoe.Code.PADR, pppoe.Code.PADS}


@pytest.mark.parametrize(("layer", "least"), [("lcp", 6), ("ipcp", 4), ("ipv6cp", 4)])
def test_our_parsers_read_what_tshark_reads_in_every_ppp_packet(
    evidence: Evidence, layer: str, least: int
) -> None:
    frames = _packets(evidence.access)
    names = ("frame.number", "ppp.code", "ppp.identifier", "ppp.length", f"{layer}.opt.type")
    rows = fields(evidence.access, f"{layer} && pppoes", *names)
    assert len(rows) >= least
    for number, code, identifier, length, types in rows:
        found = ppp.parse_packet(frames[number][20:])
        assert [*found[:2], 4 + len(found[2])] == [int(code), int(identifier), int(length)]
        if int(code) in (1, 2, 3, 4):
            options = [str(kind) for kind, _ in ppp.parse_options(found[2])]
            assert options == (types.split(",") if types else [])


def test_no_frame_to_the_subscriber_is_longer_than_its_mru(lab: Lab, evidence: Evidence) -> None:
    mac = interface_mac(lab.bng, "acc0")
    assert count(evidence.access, f"eth.src == {mac} && frame.len > 1514") == 0
    largest = fields(evidence.access, f"eth.src == {mac} && tcp", "frame.len")
    assert max(int(row[0]) for row in largest) > 1400, "the MSS was clamped far too low"


def test_the_veth_offloads_were_left_as_they_are(lab: Lab) -> None:
    shown = run(lab.inet, "ethtool", "-k", "inet0").stdout
    assert "tx-checksumming: on" in shown
    assert "generic-segmentation-offload: on" in shown


def test_after_hanging_up_no_session_is_left(lab: Lab, evidence: Evidence) -> None:
    assert evidence.sessions, "there was one before"
    lab.wait_for_sessions(0)
