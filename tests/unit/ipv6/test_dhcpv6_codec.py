"""DHCPv6 on the wire; scapy, which has not read our code, builds and judges."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import dhcp6
from scapy.packet import Packet

from bng.errors import MalformedPacket
from bng.ipv6.dhcpv6 import build, build_relay, option, parse, parse_relay
from bng.ipv6.messages import (
    Ia,
    IaLease,
    IaType,
    Message,
    MessageType,
    OptionCode,
    RelayMessage,
    Status,
    StatusCode,
    duid_ll,
    duid_uuid,
)
from bng.ipv6.options import ClientOptions

CLIENT, SERVER = duid_ll(bytes.fromhex("02005e000001")), duid_uuid(bytes(range(16)))
ADDRESS = IaLease(network=IPv6Network("2001:db8::7"), preferred_s=30, valid_s=60)
PREFIX = IaLease(network=IPv6Network("2001:db8:7::/56"), preferred_s=30, valid_s=60)
IA_NA = Ia(kind=IaType.NA, iaid=1, t1_s=15, t2_s=24, leases=(ADDRESS,))
IA_TA = Ia(kind=IaType.TA, iaid=2, leases=(ADDRESS,))
IA_PD = Ia(kind=IaType.PD, iaid=3, t1_s=15, t2_s=24, leases=(PREFIX,))
NO_PREFIX = Ia(kind=IaType.PD, iaid=4, status=Status(StatusCode.NO_PREFIX_AVAIL, "none left"))
FULL = Message(
    kind=MessageType.REPLY,
    transaction_id=0xABCDEF,
    client_id=CLIENT,
    server_id=SERVER,
    ias=(IA_NA, IA_TA, IA_PD, NO_PREFIX),
    status=Status(StatusCode.SUCCESS, "welcome"),
    requested=(23, 24),
    preference=255,
    elapsed_s=1.25,
    rapid_commit=True,
    reconfigure_accept=True,
    user_class=(b"one", b""),
    vendor_class=(3561, (b"cpe",)),
    options=((99, b"raw"),),
)


def test_a_message_is_read_back_as_it_was_built() -> None:
    assert parse(build(FULL)) == FULL
    assert parse(build(Message(kind=1, transaction_id=0))) == Message(kind=1, transaction_id=0)


def test_scapy_reads_every_field_of_ours() -> None:
    reply = dhcp6.DHCP6_Reply(build(FULL))
    assert (reply.msgtype, reply.trid) == (7, 0xABCDEF)
    assert bytes(reply[dhcp6.DHCP6OptClientId].duid) == CLIENT
    assert bytes(reply[dhcp6.DHCP6OptServerId].duid) == SERVER
    na = reply[dhcp6.DHCP6OptIA_NA]
    assert (na.iaid, na.T1, na.T2) == (1, 15, 24)
    (address,) = na.ianaopts
    assert (address.addr, address.preflft, address.validlft) == ("2001:db8::7", 30, 60)
    ta = reply[dhcp6.DHCP6OptIA_TA]
    assert (ta.iaid, ta.iataopts[0].addr) == (2, "2001:db8::7")
    pd = reply[dhcp6.DHCP6OptIA_PD]
    assert (pd.iaid, pd.T1, pd.T2) == (3, 15, 24)
    (prefix,) = pd.iapdopt
    assert (prefix.prefix, prefix.plen) == ("2001:db8:7::", 56)
    assert (prefix.preflft, prefix.validlft) == (30, 60)
    (status,) = reply.getlayer(dhcp6.DHCP6OptIA_PD, 2).iapdopt
    assert (status.statuscode, status.statusmsg) == (6, b"none left")
    assert reply[dhcp6.DHCP6OptStatusCode].statusmsg == b"welcome"
    assert reply[dhcp6.DHCP6OptOptReq].reqopts == [23, 24]
    assert reply[dhcp6.DHCP6OptPref].prefval == 255
    assert reply[dhcp6.DHCP6OptElapsedTime].elapsedtime == 125
    assert dhcp6.DHCP6OptRapidCommit in reply
    assert dhcp6.DHCP6OptReconfAccept in reply
    assert reply[dhcp6.DHCP6OptUserClass].userclassdata[0].data == b"one"
    vendor = reply[dhcp6.DHCP6OptVendorClass]
    assert (vendor.enterprisenum, vendor.vcdata[0].data) == (3561, b"cpe")


def test_the_options_of_clients_are_what_scapy_reads() -> None:
    servers = (IPv6Address("2001:db8::53"), IPv6Address("2001:db8::54"))
    options = ClientOptions(
        dns=servers,
        domains=("example.net", "corp.example"),
        sntp=servers,
        ntp=servers[:1],
        ntp_names=("ntp.example",),
        aftr_name="aftr.example.net",
        sol_max_rt_s=600,
        inf_max_rt_s=601,
        information_refresh_s=86_400,
    )
    requested = (23, 24, 31, 32, 56, 64, 82, 83, 999)
    reply = dhcp6.DHCP6_Reply(build(replace(FULL, options=options.answer(requested))))
    assert reply[dhcp6.DHCP6OptDNSServers].dnsservers == [str(server) for server in servers]
    assert reply[dhcp6.DHCP6OptDNSDomains].dnsdomains == ["example.net.", "corp.example."]
    assert reply[dhcp6.DHCP6OptSNTPServers].sntpservers == [str(server) for server in servers]
    address, name = reply[dhcp6.DHCP6OptNTPServer].ntpserver
    assert (address.addr, name.fqdn) == ("2001:db8::53", b"ntp.example.")
    assert reply[dhcp6.DHCP6OptInfoRefreshTime].reftime == 86_400
    raw = dict(options.answer(requested))
    assert raw[64] == b"\4aftr\7example\3net\0"
    assert (raw[82], raw[83]) == ((600).to_bytes(4), (601).to_bytes(4))
    assert [code for code, _ in options.answer((24, 64))] == [24, 64]
    assert [code for code, _ in options.answer(None)] == [23, 24]
    assert ClientOptions().answer(requested) == ()


@pytest.mark.parametrize(
    "values",
    [
        {"sol_max_rt_s": 59},
        {"inf_max_rt_s": 86_401},
        {"information_refresh_s": 599},
        {"domains": ("a..b",)},
        {"aftr_name": ""},
    ],
)
def test_options_that_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ClientOptions(**values)  # type: ignore[arg-type]


def ours(packet: Packet) -> Message:
    return parse(bytes(packet))


def test_a_solicit_of_scapy_is_read() -> None:
    duid = dhcp6.DUID_LL(lladdr="02:00:5e:00:00:01")
    solicit = dhcp6.DHCP6_Solicit(trid=7) / dhcp6.DHCP6OptClientId(duid=duid)
    solicit /= dhcp6.DHCP6OptElapsedTime(elapsedtime=300)
    solicit /= dhcp6.DHCP6OptOptReq(reqopts=[23, 82])
    solicit /= dhcp6.DHCP6OptRapidCommit()
    solicit /= dhcp6.DHCP6OptIA_NA(iaid=9, T1=0, T2=0)
    hint = dhcp6.DHCP6OptIAPrefix(prefix="::", plen=60, preflft=0, validlft=0)
    solicit /= dhcp6.DHCP6OptIA_PD(iaid=9, T1=0, T2=0, iapdopt=[hint])
    solicit /= dhcp6.DHCP6OptVendorClass(
        enterprisenum=40_712, vcdata=dhcp6.VENDOR_CLASS_DATA(data=b"dhcpcd")
    )
    assert ours(solicit) == Message(
        kind=MessageType.SOLICIT,
        transaction_id=7,
        client_id=CLIENT,
        ias=(
            Ia(kind=IaType.NA, iaid=9),
            Ia(kind=IaType.PD, iaid=9, leases=(IaLease(network=IPv6Network("::/60")),)),
        ),
        requested=(23, 82),
        elapsed_s=3.0,
        rapid_commit=True,
        vendor_class=(40_712, (b"dhcpcd",)),
    )


@pytest.mark.parametrize("kind", [k for k in MessageType if k < MessageType.RELAY_FORW])
def test_every_message_type_is_read(kind: MessageType) -> None:
    packet = getattr(dhcp6, dhcp6.dhcp6_cls_by_type[kind])(trid=0x10203)
    assert ours(packet) == Message(kind=kind, transaction_id=0x10203)


def test_bits_behind_the_length_of_a_prefix_are_ignored() -> None:
    prefix = dhcp6.DHCP6OptIAPrefix(prefix="2001:db8:7:ff01::1", plen=56)
    got = ours(dhcp6.DHCP6_Renew() / dhcp6.DHCP6OptIA_PD(iapdopt=[prefix]))
    assert got.ias[0].leases[0].network == IPv6Network("2001:db8:7:ff00::/56")


def test_of_what_may_come_once_the_first_counts() -> None:
    twice = build(FULL) + option(OptionCode.CLIENTID, SERVER) + option(OptionCode.PREFERENCE, b"\1")
    assert parse(twice) == FULL


def ia(kind: OptionCode, *inner: bytes) -> bytes:
    return option(kind, bytes(4 if kind == OptionCode.IA_TA else 12) + b"".join(inner))


BROKEN = {
    "nothing": b"",
    "short header": b"\1\0\0",
    "relay": bytes([12, 0, 0, 0]),
    "half an option": b"\1\0\0\0\0\1\0",
    "option past the end": b"\1\0\0\0\0\1\0\5abc",
    "DUID too short": b"\1\0\0\0" + option(1, b"ab"),
    "DUID too long": b"\1\0\0\0" + option(2, bytes(131)),
    "IA_NA cut": b"\1\0\0\0" + option(3, bytes(11)),
    "IA_TA cut": b"\1\0\0\0" + option(4, bytes(3)),
    "IAADDR cut": b"\1\0\0\0" + ia(OptionCode.IA_NA, option(5, bytes(23))),
    "IAPREFIX cut": b"\1\0\0\0" + ia(OptionCode.IA_PD, option(26, bytes(24))),
    "IAPREFIX of 129": b"\1\0\0\0"
    + ia(OptionCode.IA_PD, option(26, bytes(8) + b"\x81" + bytes(16))),
    "status cut": b"\1\0\0\0" + option(13, b"\0"),
    "status cut, deep": b"\1\0\0\0"
    + ia(OptionCode.IA_NA, option(5, bytes(24) + option(13, b"\0"))),
    "ORO odd": b"\1\0\0\0" + option(6, b"\0\x17\0"),
    "preference": b"\1\0\0\0" + option(7, b"\0\0"),
    "elapsed time": b"\1\0\0\0" + option(8, b"\0"),
    "rapid commit": b"\1\0\0\0" + option(14, b"x"),
    "reconfigure accept": b"\1\0\0\0" + option(20, b"x"),
    "class past the end": b"\1\0\0\0" + option(15, b"\0\2a"),
    "vendor class": b"\1\0\0\0" + option(16, b"\0\0\0"),
    "too many options": b"\1\0\0\0" + 65 * option(99),
    "too many leases": b"\1\0\0\0" + ia(OptionCode.IA_NA, 65 * option(5, bytes(24))),
    "too many classes": b"\1\0\0\0" + option(15, bytes(130)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_hostile_bytes_are_malformed(name: str) -> None:
    with pytest.raises(MalformedPacket):
        parse(BROKEN[name])


def test_64_options_and_classes_are_read() -> None:
    assert len(parse(b"\1\0\0\0" + 64 * ia(OptionCode.IA_NA)).ias) == 64
    assert parse(b"\1\0\0\0" + option(15, bytes(128))).user_class == 64 * (b"",)


RELAYED = RelayMessage(
    kind=MessageType.RELAY_FORW,
    hop_count=0,
    link_address=IPv6Address("2001:db8::1"),
    peer_address=IPv6Address("fe80::2"),
    message=b"\1\0\0\7",
    interface_id=b"session-7",
    options=((37, b"\0\0\x0d\xe9line"),),
)


def test_a_relay_message_is_what_scapy_reads() -> None:
    data = build_relay(RELAYED)
    got = dhcp6.DHCP6_RelayForward(data)
    assert (got.hopcount, got.linkaddr, got.peeraddr) == (0, "2001:db8::1", "fe80::2")
    assert got[dhcp6.DHCP6OptIfaceId].ifaceid == b"session-7"
    assert got[dhcp6.DHCP6OptRemoteID].remoteid == b"line"
    assert bytes(got[dhcp6.DHCP6OptRelayMsg].message) == RELAYED.message
    assert parse_relay(data) == RELAYED


def test_a_relay_reply_of_scapy_is_read() -> None:
    inner = dhcp6.DHCP6_Reply(trid=7)
    reply = dhcp6.DHCP6_RelayReply(linkaddr="2001:db8::1", peeraddr="fe80::2")
    reply /= dhcp6.DHCP6OptIfaceId(ifaceid=b"x") / dhcp6.DHCP6OptRelayMsg(message=inner)
    got = parse_relay(bytes(reply))
    assert (got.kind, got.interface_id) == (MessageType.RELAY_REPL, b"x")
    assert parse(got.message) == Message(kind=7, transaction_id=7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        build_relay(RELAYED)[:33],
        b"\1" + build_relay(RELAYED)[1:],
        build_relay(RELAYED)[:-1],
        build_relay(replace(RELAYED, message=b"")),
    ],
)
def test_hostile_relay_messages_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_relay(data)
