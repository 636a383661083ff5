"""tshark, which has not read our code either, on what a session's IPv6 sends."""

from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6ND_RS
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from bng.ipv6 import nd
from bng.ipv6.actions import Action, Install, SendPacket
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.counters import new_counters
from bng.ipv6.link import Ipv6Link
from bng.ipv6.options import ClientOptions
from bng.ipv6.server import Server
from tests.support import tshark
from tests.unit.ipv6.dhcp_client import CONFIG, LINK, PREFIXES, US, Shelf, na, pd, server_id
from tests.unit.ipv6.test_ipv6_link import icmpv6, udp

MAC = "02:00:5e:00:00:01"
DNS = (IPv6Address("2001:db8::53"),)
OPTIONS = ClientOptions(
    dns=DNS,
    domains=("example.net",),
    sntp=DNS,
    ntp=DNS,
    ntp_names=("ntp.example",),
    aftr_name="aftr.example.net",
    sol_max_rt_s=600,
    inf_max_rt_s=700,
    information_refresh_s=800,
)


class Session:
    """A session whose dataplane installs everything; keeps what was sent."""

    def __init__(self) -> None:
        counters = new_counters()
        config = AdvertiseConfig(managed=True, mtu=1492, rdnss=DNS, dnssl=("example.net",))
        server = Server(CONFIG, Shelf(), US, counters, (LINK,))
        server.reconfigure(type(CONFIG)(duid=CONFIG.duid, options=OPTIONS))
        self.link = Ipv6Link(Advertiser(config, US, bytes), server, US, counters)
        self.sent: list[bytes] = []
        self.act(self.link.start(LINK, 0.0))

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Install(request):
                    self.act(self.link.installed(request, True, 0.0))
                case SendPacket(packet):
                    self.sent.append(packet)

    def ask(self, packet: bytes) -> None:
        self.act(self.link.receive(packet, 0.0))


@pytest.fixture(scope="module")
def pcap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    session = Session()
    client = dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL())
    wanted = dhcp6.DHCP6OptOptReq(reqopts=[23, 24, 31, 32, 56, 64, 82, 83])
    server = Raw(server_id())
    session.ask(icmpv6(ICMPv6ND_NS(tgt=str(US)), to="ff02::1:ff00:1"))
    session.ask(icmpv6(ICMPv6ND_RS()))
    session.act(session.link.tick(3.5))
    ias = na() / pd()
    session.ask(udp(dhcp6.DHCP6_Solicit(trid=1) / client / wanted / ias))
    session.ask(udp(dhcp6.DHCP6_Request(trid=2) / client / server / wanted / ias))
    session.ask(udp(dhcp6.DHCP6_Request(trid=3) / client / server / pd(7) / pd(8)))
    session.ask(udp(dhcp6.DHCP6_Confirm(trid=4) / client / na(1, "2001:db8:9::1")))
    session.ask(udp(dhcp6.DHCP6_Rebind(trid=5) / client / pd(7, "2001:db8:ff00::/56")))
    session.ask(udp(dhcp6.DHCP6_Release(trid=6) / client / server / pd(7, PREFIXES[0]) / na(9)))
    session.ask(udp(dhcp6.DHCP6_InfoRequest(trid=7) / wanted))
    session.act(session.link.close(4.0))
    path = tmp_path_factory.mktemp("ipv6") / "sent.pcap"
    wrpcap(
        str(path), [Ether(src=MAC, dst="33:33:00:00:00:01", type=0x86DD) / p for p in session.sent]
    )
    return path


def test_tshark_finds_nothing_wrong(pcap: Path) -> None:
    assert tshark.count(pcap, "ipv6") == 11
    assert tshark.complaints(pcap, MAC) == []
    bad = "icmpv6.checksum.status != 1 || _ws.expert.severity >= 0x600000"
    assert tshark.count(pcap, bad) == 0


def test_tshark_reads_the_advertisements(pcap: Path) -> None:
    names = ["router_lifetime", "flag.m", "flag.o"]
    options = ["mtu", "prefix.valid_lifetime", "rdnss.lifetime", "dnssl"]
    fields = [f"icmpv6.nd.ra.{name}" for name in names] + [f"icmpv6.opt.{n}" for n in options]
    first, answer, last = tshark.fields(
        pcap, f"icmpv6.type == {nd.Type.ROUTER_ADVERTISEMENT}", *fields
    )
    assert first == answer
    assert first == ["1800", "1", "1", "1492", "5400", "1800", "example.net"]
    assert last == ["0", "1", "1", "1492", "0", "0", "example.net"]


def test_tshark_reads_the_answers_of_the_server(pcap: Path) -> None:
    fields = ["msgtype", "xid", "iaprefix.pref_addr", "status_code"]
    assert tshark.fields(pcap, "dhcpv6", *[f"dhcpv6.{name}" for name in fields]) == [
        ["2", "0x000001", "2001:db8:100::", ""],
        ["7", "0x000002", "2001:db8:100::", ""],
        ["7", "0x000003", "2001:db8:100::", "6"],
        ["7", "0x000004", "", "4"],
        ["7", "0x000005", "2001:db8:100::,2001:db8:ff00::", ""],
        ["7", "0x000006", "", "0,3"],
        ["7", "0x000007", "", ""],
    ]


def test_tshark_reads_the_options(pcap: Path) -> None:
    names = ["dns_server", "search_list_entry", "sntp_server", "ntpserver.addr", "ntpserver.fqdn"]
    names += ["aftr_name", "lifetime"]
    got = tshark.fields(pcap, "dhcpv6.xid == 7", *[f"dhcpv6.{name}" for name in names])
    dns = "2001:db8::53"
    assert got == [[dns, "example.net.", dns, dns, "ntp.example.", "aftr.example.net.", "800"]]
