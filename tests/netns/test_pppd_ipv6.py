"""Debian's pppd gets IPv4 and IPv6: the kernel's SLAAC, dhcp6c and dhcpcd, judged by tshark.

    guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
    +------------------------+   +------+   +----------------------+   +------------------------+
    | ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 192.0.2.2        |
    | lan0 with a /64 of     |   +--^---+   |      ip_forward=1    |   |  ^    2001:db8:2::2    |
    |   the delegated /56    |      |       +----------------------+   |  |    HTTP, iperf3     |
    +------------------------+   capture                              +--|---------------------+
      User Mode Linux                                                 capture

The first guest is alice, with wide-dhcpv6-client, the second bob, with dhcpcd. The kernel's own
router solicitation brings the address of ppp0; radvdump reads what it was answered.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import interface_mac
from tests.support import uml
from tests.support.lab import PAGE, SERVER, Lab
from tests.support.lab6 import DELEGATED, DNS6, LINKS, SERVER6, DualLab
from tests.support.netns import run
from tests.support.tshark import Capture, complaints, count, fields

LAB_OPTIONS = {"kind": DualLab}
_SOLICIT = (
    "import socket as s; x = s.socket(s.AF_INET6, s.SOCK_RAW, s.IPPROTO_ICMPV6);"
    " x.setsockopt(s.IPPROTO_IPV6, s.IPV6_MULTICAST_HOPS, 255);"
    " x.sendto(bytes([133]) + bytes(7), ('ff02::2', 0, 0, s.if_nametoindex('ppp0')))"
)
_GATEWAY = "$(ip -6 route show default dev ppp0 | sed 's/.* via \\([^ ]*\\).*/\\1/;q')%ppp0"
_LAN = "lan=$(ip -6 -o addr show dev lan0 scope global | awk '{print $4}'); lan=${lan%/*}"
_ALICE = f"""radvdump >/run/radvdump & ip -6 -o addr show dev ppp0 scope global; ip -6 route
ping -6 -c 3 -i 0.2 {SERVER6} && ping -6 -c 1 -M do -s 1444 {SERVER6} && echo PINGED &&
ping -6 -c 1 {_GATEWAY} && echo GATEWAY-ANSWERS &&
curl -4 -fsS --max-time 10 http://{SERVER}/ && curl -6 -fsS --max-time 10 'http://[{SERVER6}]/' &&
iperf3 -6 -c {SERVER6} -n 8M && iperf3 -6 -c {SERVER6} -n 8M -R && echo TCP-DONE &&
guest-pd.sh wide && {_LAN} && ping -6 -c 3 -i 0.2 -I $lan {SERVER6} && echo FROM-LAN && sleep 5
python3 -c "{_SOLICIT}"; sleep 1; echo RADVDUMP; cat /run/radvdump
kill $(cat /run/dhcp6c.pid); sleep 1; echo END"""
_BOB = f"guest-pd.sh dhcpcd && {_LAN} && ping -6 -c 3 -i 0.2 -I $lan {SERVER6}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the dials left behind."""

    alice: str
    bob: str
    session: dict[str, Any]
    pinged: dict[str, str]
    """What the internet side got from alice's addresses: on the link, of her network."""
    access: Path
    internet: Path


@pytest.fixture(scope="module")
def evidence(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Dial both, do everything, and keep both captures for the tests below."""
    directory = tmp_path_factory.mktemp("captures")
    lab.spawn("inet", "iperf3", "iperf3", "-s", "-B", SERVER6)
    with (
        Capture(lab.sub, "sub0", directory / "access.pcap") as access,
        Capture(lab.inet, "inet0", directory / "internet.pcap") as internet,
    ):
        with uml.dial_in_background(
            lab.sub, "sub0", "alice", "wonder", _ALICE, want="4 6 g"
        ) as guest:
            guest.wait_for("FROM-LAN")
            session = lab.ctl_json("show", "session", "alice")
            pinged = {
                name: run(lab.inet, "ping", "-c", "2", "-i", "0.2", str(address.ip)).stdout
                for name, address in addresses(guest.output()).items()
            }
            alice = guest.wait()
            assert alice.status == 0, alice.output
        bob = uml.dial(lab.sub, "sub0", "bob", "builder", _BOB, want="4 6 g")
        assert bob.status == 0, bob.output
    yield Evidence(alice.output, bob.output, session, pinged, access.path, internet.path)


def addresses(output: str) -> dict[str, IPv6Interface]:
    """Return the address of ppp0 and the one that the prefix's client set on lan0."""
    patterns = {"link": r"ppp0 +inet6 (\S+) ", "lan": r"PD \w+ lan0 (\S+)"}
    found = {name: re.search(pattern, output) for name, pattern in patterns.items()}
    return {name: IPv6Interface(match[1]) for name, match in found.items() if match}


def test_ping_page_and_tcp_come_through_in_both_families(evidence: Evidence) -> None:
    assert evidence.alice.count("3 received, 0% packet loss") == 2
    assert "PINGED" in evidence.alice
    assert evidence.alice.count(PAGE) == 2
    assert "TCP-DONE" in evidence.alice
    assert "GATEWAY-ANSWERS" in evidence.alice


def test_the_kernel_made_an_address_of_the_64_on_the_link(evidence: Evidence) -> None:
    link = addresses(evidence.alice)["link"]
    assert link.network.prefixlen == 64
    assert link.network.subnet_of(LINKS)
    assert evidence.session["ipv6_prefix"] == str(link.network)


def test_each_client_put_a_64_of_its_own_56_on_its_network(evidence: Evidence) -> None:
    alice, bob = (addresses(output)["lan"].network for output in (evidence.alice, evidence.bob))
    for lan in (alice, bob):
        assert lan.prefixlen == 64
        assert lan.subnet_of(DELEGATED)
    of_alice = alice.supernet(new_prefix=56)
    assert not bob.subnet_of(of_alice)
    assert evidence.session["delegated_prefixes"] == [str(of_alice)]


def test_the_internet_reaches_both_of_her_addresses(evidence: Evidence) -> None:
    assert evidence.pinged.keys() == {"link", "lan"}
    for name, output in evidence.pinged.items():
        assert "2 received, 0% packet loss" in output, name


def test_the_server_saw_her_own_ipv6_address_and_not_her_ipv4_one(
    lab: Lab, evidence: Evidence
) -> None:
    page = next(line for line in lab.log("http6").splitlines()[::-1] if '"GET / ' in line)
    assert IPv6Address(page.split()[0]) == addresses(evidence.alice)["link"].ip
    page = next(line for line in lab.log("http").splitlines()[::-1] if '"GET / ' in line)
    assert page.split()[0] != evidence.session["address"]


def test_every_ipv6_echo_request_crossed_exactly_once(evidence: Evidence) -> None:
    mine = f"icmpv6.type == 128 && ipv6.dst == {SERVER6}"
    names = ("ipv6.src", "icmpv6.echo.identifier", "icmpv6.echo.sequence_number")
    requests = fields(evidence.internet, mine, *names)
    assert len(requests) == 3 + 1 + 3 + 3
    assert len({tuple(row) for row in requests}) == len(requests)


def test_radvdump_reads_our_advertisement(evidence: Evidence) -> None:
    said = evidence.alice.partition("RADVDUMP")[2]
    assert f"prefix {addresses(evidence.alice)['link'].network}" in said, said
    assert "AdvAutonomous on;" in said
    assert "AdvOtherConfigFlag on;" in said
    assert f"RDNSS {DNS6}" in said
    assert "AdvDefaultLifetime 1800;" in said


def test_tshark_reads_our_advertisement_and_our_reply(lab: Lab, evidence: Evidence) -> None:
    mac = interface_mac(lab.bng, "acc0")
    ra = fields(
        evidence.access,
        f"eth.src == {mac} && icmpv6.type == 134",
        "icmpv6.opt.prefix",
        "icmpv6.opt.prefix.length",
        "ipv6.hlim",
    )
    assert {(row[1], row[2]) for row in ra} == {("64", "255")}
    networks = {IPv6Network((row[0], 64)) for row in ra}
    assert addresses(evidence.alice)["link"].network in networks
    reply = f"eth.src == {mac} && dhcpv6.msgtype == 7"
    given = fields(evidence.access, reply, "dhcpv6.iaprefix.pref_len")
    assert len([row for row in given if row == ["56"]]) >= 2


def test_tshark_finds_no_malformed_packet_and_no_wrong_checksum(
    lab: Lab, evidence: Evidence
) -> None:
    for path, port in ((evidence.access, "acc0"), (evidence.internet, "wan0")):
        mac = interface_mac(lab.bng, port)
        assert count(path, f"eth.src == {mac} && tcp && ipv6") > 1000
        assert complaints(path, mac) == []


def test_no_frame_to_the_subscriber_is_longer_than_its_mru(lab: Lab, evidence: Evidence) -> None:
    mac = interface_mac(lab.bng, "acc0")
    assert count(evidence.access, f"eth.src == {mac} && frame.len > 1514") == 0
    largest = fields(evidence.access, f"eth.src == {mac} && tcp && ipv6", "frame.len")
    assert max(int(row[0]) for row in largest) > 1400, "the MSS was clamped far too low"


def test_after_hanging_up_nothing_is_left(lab: Lab, evidence: Evidence) -> None:
    assert evidence.session["state"] == "up", "there was one before"
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()
