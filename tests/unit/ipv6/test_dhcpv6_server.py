"""RFC 8415 §18.3: what the server answers to each message; a client of scapy asks and reads."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import dhcp6
from scapy.packet import Packet

from bng.ipv6.actions import Install, Lease
from bng.ipv6.config import ServerConfig
from bng.ipv6.messages import INFINITY, MessageType
from tests.unit.ipv6.dhcp_client import (
    ADDRESSES,
    CLIENT_DUID,
    CONFIG,
    DUID,
    PREFIXES,
    Bed,
    given,
    layers,
    na,
    pd,
    server_id,
    status,
)

OTHER_DUID = CLIENT_DUID[:-1] + b"\2"
A, P = str(ADDRESSES[0].network_address), str(PREFIXES[0])
BOTH = {("NA", 1): [f"{A} 1000 2000"], ("PD", 1): [f"{P} 1000 2000"]}
UNICAST = {"source": IPv6Address("2001:db8:0:1::a"), "to": IPv6Address("2001:db8::1")}
FOREIGN = "2001:db8:ff00::/56"


def bound(bed: Bed) -> Bed:
    """Give the client address and prefix."""
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())
    assert given(answer) == BOTH
    return bed


# ---- Solicit


def test_solicit_is_answered_with_an_offer_that_installs_nothing() -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Solicit(), na(), pd())
    assert answer is not None
    assert (answer.msgtype, answer.trid) == (2, 1)
    assert bytes(answer[dhcp6.DHCP6OptClientId].duid) == CLIENT_DUID
    assert bytes(answer[dhcp6.DHCP6OptServerId].duid) == DUID
    assert answer[dhcp6.DHCP6OptPref].prefval == 255
    assert given(answer) == BOTH
    ia = answer[dhcp6.DHCP6OptIA_PD]
    assert (ia.T1, ia.T2) == (500, 800)
    assert (bed.pending, bed.installed, bed.counters["advertise_sent"]) == ([], [], 1)


def test_an_offer_that_nobody_takes_goes_back() -> None:
    bed = Bed()
    bed.send(dhcp6.DHCP6_Solicit(), na(), pd())
    bed.wait(59.9)
    assert len(bed.shelf.taken) == 2
    assert bed.server.next_deadline() == 60.0
    bed.wait(0.1)
    assert (bed.shelf.taken, bed.server.next_deadline()) == ([], None)
    assert bed.counters["lease_expired"] == 0


def test_an_offer_is_renewed_by_asking_again() -> None:
    bed = Bed()
    bed.send(dhcp6.DHCP6_Solicit(), pd())
    bed.wait(30.0)
    assert given(bed.send(dhcp6.DHCP6_Solicit(), pd())) == {("PD", 1): BOTH["PD", 1]}
    bed.wait(59.0)
    assert len(bed.shelf.taken) == 1


def test_rapid_commit_gives_at_once() -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Solicit(), na(), pd(), dhcp6.DHCP6OptRapidCommit())
    assert answer is not None
    assert answer.msgtype == 7
    assert layers(answer, dhcp6.DHCP6OptRapidCommit)
    assert given(answer) == BOTH
    assert bed.installed == [ADDRESSES[0], PREFIXES[0]]


def test_rapid_commit_is_an_offer_where_it_is_turned_off_or_nothing_is_left() -> None:
    for config in (replace(CONFIG, rapid_commit=False), replace(CONFIG, max_prefixes=0)):
        bed = Bed(config)
        answer = bed.send(dhcp6.DHCP6_Solicit(), pd(), dhcp6.DHCP6OptRapidCommit())
        assert answer is not None
        assert answer.msgtype == 2
        assert bed.installed == []


def test_solicit_says_what_is_not_available() -> None:
    bed = Bed(replace(CONFIG, max_addresses=0, max_prefixes=0))
    temporary = dhcp6.DHCP6OptIA_TA(iaid=3)
    assert given(bed.send(dhcp6.DHCP6_Solicit(), na(), pd(), temporary)) == {
        ("NA", 1): ["NoAddrsAvail"],
        ("PD", 1): ["NoPrefixAvail"],
        ("TA", 3): ["NoAddrsAvail"],
    }
    assert (bed.counters["no_addrs_avail"], bed.counters["no_prefix_avail"]) == (2, 1)


def test_an_empty_supply_is_said_too() -> None:
    bed = Bed()
    bed.shelf.free = {False: [], True: []}
    expected = {("NA", 1): ["NoAddrsAvail"], ("PD", 1): ["NoPrefixAvail"]}
    assert given(bed.send(dhcp6.DHCP6_Solicit(), na(), pd())) == expected
    assert given(bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())) == expected


# ---- Request


def test_request_is_answered_when_all_of_it_is_installed() -> None:
    bed = Bed(ok=None)
    assert bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd()) is None
    leases = (Lease(ADDRESSES[0], False), Lease(PREFIXES[0], True))
    assert bed.pending == [Install(1, leases, 2000.0)]
    bed.now = 5.0
    answer = bed.act(bed.server.installed(1, True, bed.now))
    assert answer is not None
    assert (answer.msgtype, answer.trid) == (7, 1)
    assert given(answer) == BOTH
    assert bed.server.next_deadline() == 2005.0


def test_what_a_client_repeats_meanwhile_is_not_answered_twice() -> None:
    bed = Bed(ok=None)
    request = bed.message(dhcp6.DHCP6_Request(), server_id(), pd())
    assert bed.send_raw(request) is None
    assert bed.send_raw(request) is None
    assert bed.counters["busy"] == 1
    assert len(bed.pending) == 1
    assert bed.act(bed.server.installed(7, True, 0.0)) is None  # not the one asked for
    assert bed.act(bed.server.installed(1, True, 0.0)) is not None
    assert bed.act(bed.server.installed(1, True, 0.0)) is None


@pytest.mark.parametrize("ok", [True, False])
def test_a_message_for_each_ia_as_wide_dhcpv6_sends_them_is_answered_in_turn(ok: bool) -> None:
    bed = Bed(ok=None)
    bed.send(dhcp6.DHCP6_Renew(), server_id(), na(1, A))
    repeated = bed.message(dhcp6.DHCP6_Renew(), server_id(), pd(1, P))
    for _ in range(2):
        assert bed.send_raw(repeated) is None
    for _ in range(4):
        bed.send(dhcp6.DHCP6_InfoRequest())
    assert bed.counters["busy"] == 2
    first, install = bed.server.installed(1, ok, 0.0)
    assert (given(bed.act([first])) == {("NA", 1): BOTH["NA", 1]}) is ok
    assert install == Install(2, (Lease(PREFIXES[0], True),), 2000.0)
    second, *others = bed.server.installed(2, True, 0.0)
    assert given(bed.act([second])) == {("PD", 1): BOTH["PD", 1]}
    assert len(others) == 3


def test_what_cannot_be_installed_is_taken_back_and_the_client_told() -> None:
    bed = Bed(ok=False)
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())
    assert (status(answer), given(answer)) == ("UnspecFail", {})
    assert bed.shelf.taken == []
    bed.ok = True
    assert given(bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())) == BOTH


def test_a_second_request_installs_only_what_is_new() -> None:
    bed = Bed()
    bed.send(dhcp6.DHCP6_Request(), server_id(), na())
    assert given(bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())) == BOTH
    assert [install.leases for install in bed.pending] == [
        (Lease(ADDRESSES[0], False),),
        (Lease(PREFIXES[0], True),),
    ]


def test_request_of_an_address_of_another_link_is_told_so() -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), na(1, "2001:db8:ffff::1"), pd())
    assert given(answer) == {("NA", 1): ["NotOnLink"], ("PD", 1): BOTH["PD", 1]}
    assert bed.counters["not_on_link"] == 1
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), na(1, "::"))
    assert given(answer) == {("NA", 1): BOTH["NA", 1]}


def test_the_options_asked_for_are_in_every_answer() -> None:
    bed = Bed()
    wanted = dhcp6.DHCP6OptOptReq(reqopts=[23, 24, 82])
    for message in (dhcp6.DHCP6_Solicit(), dhcp6.DHCP6_Rebind(), dhcp6.DHCP6_InfoRequest()):
        answer = bed.send(message, wanted)
        assert answer is not None
        assert answer[dhcp6.DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
        assert answer[dhcp6.DHCP6OptDNSDomains].dnsdomains == ["example.net."]
        assert b"\0\x52\0\4\0\0\2\x58" in bytes(answer)
        without = bed.send(message.__class__(), dhcp6.DHCP6OptOptReq(reqopts=[82]))
        assert layers(without, dhcp6.DHCP6OptDNSServers) == []


# ---- Confirm


@pytest.mark.parametrize(
    ("address", "expected"),
    [("2001:db8:0:1::77", "Success"), ("2001:db8:9::1", "NotOnLink")],
)
def test_confirm_says_whether_the_link_is_the_same(address: str, expected: str) -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Confirm(), na(1, "2001:db8:0:1::1"), na(2, address))
    assert (status(answer), given(answer)) == (expected, {})


def test_confirm_of_what_is_bound_outside_of_the_link_succeeds() -> None:
    bed = bound(Bed())
    bed.server.on_link = ()
    assert status(bed.send(dhcp6.DHCP6_Confirm(), na(1, A))) == "Success"


def test_confirm_without_addresses_is_not_answered() -> None:
    bed = Bed()
    assert bed.send(dhcp6.DHCP6_Confirm(), na(), pd(1, P)) is None
    assert bed.counters["no_addresses_to_confirm"] == 1


# ---- Renew, Rebind


@pytest.mark.parametrize("message", [dhcp6.DHCP6_Renew, dhcp6.DHCP6_Rebind])
def test_renewing_extends_without_another_installation(message: type[Packet]) -> None:
    bed = bound(Bed())
    bed.wait(1500.0)
    extra = [server_id()] if message is dhcp6.DHCP6_Renew else []
    assert given(bed.send(message(), *extra, na(1, A), pd(1, P))) == BOTH
    assert (len(bed.pending), bed.server.next_deadline()) == (1, 3500.0)
    bed.wait(1999.0)
    assert bed.installed == [ADDRESSES[0], PREFIXES[0]]


@pytest.mark.parametrize("message", [dhcp6.DHCP6_Renew, dhcp6.DHCP6_Rebind])
def test_a_client_that_has_not_noticed_its_new_session_goes_on(message: type[Packet]) -> None:
    bed = Bed()
    extra = [server_id()] if message is dhcp6.DHCP6_Renew else []
    assert given(bed.send(message(), *extra, na(1, A), pd(1, P))) == BOTH
    assert bed.installed == [ADDRESSES[0], PREFIXES[0]]


@pytest.mark.parametrize("message", [dhcp6.DHCP6_Renew, dhcp6.DHCP6_Rebind])
def test_an_old_prefix_is_taken_back_beside_the_new_one(message: type[Packet]) -> None:
    bed = Bed()
    extra = [server_id()] if message is dhcp6.DHCP6_Renew else []
    answer = bed.send(message(), *extra, pd(1, FOREIGN, P, "::/64"))
    assert given(answer) == {("PD", 1): [f"{P} 1000 2000", f"{FOREIGN} 0 0"]}


def test_renew_without_a_binding_gets_no_binding_where_none_is_made() -> None:
    bed = Bed(replace(CONFIG, recreate=False))
    answer = bed.send(dhcp6.DHCP6_Renew(), server_id(), na(1, A), pd(1, P))
    assert given(answer) == {("NA", 1): ["NoBinding"], ("PD", 1): ["NoBinding"]}
    assert bed.counters["no_binding"] == 2
    # RFC 8415 §18.2.4: an IA without leases is one that the client would like to have.
    assert given(bed.send(dhcp6.DHCP6_Renew(), server_id(), na(), pd())) == BOTH


def test_rebind_without_a_binding_takes_the_leases_back() -> None:
    bed = Bed(replace(CONFIG, recreate=False))
    answer = bed.send(dhcp6.DHCP6_Rebind(), na(1, A), pd(1, P, "2001:db8:fe00::/56", FOREIGN))
    assert given(answer) == {
        ("NA", 1): [f"{A} 0 0", "NoBinding"],
        ("PD", 1): [f"{P} 0 0", "2001:db8:fe00::/56 0 0", "NoBinding"],
    }


def test_renew_with_nothing_left_gets_no_binding() -> None:
    bed = Bed(replace(CONFIG, max_prefixes=0))
    answer = bed.send(dhcp6.DHCP6_Renew(), server_id(), pd(1, P), pd(2))
    assert given(answer) == {("PD", 1): ["NoBinding"], ("PD", 2): ["NoPrefixAvail"]}


def test_a_lease_that_is_not_renewed_ends() -> None:
    bed = bound(Bed())
    bed.wait(1999.0)
    assert len(bed.installed) == 2
    bed.wait(1.0)
    assert (bed.installed, bed.shelf.taken, bed.counters["lease_expired"]) == ([], [], 2)


# ---- Release, Decline


def test_release_ends_what_it_names_and_nothing_else() -> None:
    bed = bound(Bed())
    answer = bed.send(dhcp6.DHCP6_Release(), server_id(), pd(1, P), na(1, "2001:db8:0:1::77"))
    assert (status(answer), given(answer)) == ("Success", {})
    assert bed.installed == [ADDRESSES[0]]
    assert given(bed.send(dhcp6.DHCP6_Request(), server_id(), pd())) == {("PD", 1): BOTH["PD", 1]}


def test_release_of_what_is_not_bound_says_so() -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Release(), server_id(), na(1, A), pd(2, P))
    assert (status(answer), given(answer)) == (
        "Success",
        {("NA", 1): ["NoBinding"], ("PD", 2): ["NoBinding"]},
    )


def test_a_declined_address_is_not_given_again() -> None:
    bed = bound(Bed())
    answer = bed.send(dhcp6.DHCP6_Decline(), server_id(), na(1, A), na(2, A), pd(1, P))
    assert (status(answer), given(answer)) == ("Success", {("NA", 2): ["NoBinding"]})
    assert bed.installed == [PREFIXES[0]]  # prefixes are not declined
    answer = bed.send(dhcp6.DHCP6_Solicit(), na())
    assert given(answer) == {("NA", 1): ["2001:db8:0:1::b 1000 2000"]}


# ---- Information-request


def test_information_request_gets_options_also_without_a_client_id() -> None:
    bed = Bed()
    answer = bed.send_raw(bytes(dhcp6.DHCP6_InfoRequest(trid=7)))
    assert answer is not None
    assert (answer.msgtype, answer.trid) == (7, 7)
    assert layers(answer, dhcp6.DHCP6OptClientId) == []
    assert answer[dhcp6.DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
    assert bed.send(dhcp6.DHCP6_InfoRequest(), server_id()) is not None


# ---- RFC 8415 §16: what is discarded


DISCARDED = [
    (dhcp6.DHCP6_Solicit(), [server_id()], {}, "server_id_unexpected"),
    (dhcp6.DHCP6_Confirm(), [server_id(), na(1, A)], {}, "server_id_unexpected"),
    (dhcp6.DHCP6_Rebind(), [server_id()], {}, "server_id_unexpected"),
    (dhcp6.DHCP6_InfoRequest(), [server_id(OTHER_DUID)], {}, "server_id_wrong"),
    (dhcp6.DHCP6_InfoRequest(), [na()], {}, "ia_unexpected"),
    (dhcp6.DHCP6_Solicit(), [], UNICAST, "sent_unicast"),
    (dhcp6.DHCP6_Confirm(), [na(1, A)], UNICAST, "sent_unicast"),
    (dhcp6.DHCP6_Rebind(), [], UNICAST, "sent_unicast"),
    (dhcp6.DHCP6_InfoRequest(), [], UNICAST, "sent_unicast"),
    (dhcp6.DHCP6_Advertise(), [server_id()], {}, "not_for_server"),
    (dhcp6.DHCP6_Reply(), [server_id()], {}, "not_for_server"),
    (dhcp6.DHCP6_Reconf(), [server_id()], {}, "not_for_server"),
    (dhcp6.DHCP6_Solicit(), [pd(n) for n in range(9)], {}, "too_many_ias"),
    (dhcp6.DHCP6_Solicit(), [], {"source": UNICAST["source"]}, "source_not_link_local"),
    *[
        (message(), [*extra, na(1, A)], {}, counter)
        for message in (
            dhcp6.DHCP6_Request,
            dhcp6.DHCP6_Renew,
            dhcp6.DHCP6_Release,
            dhcp6.DHCP6_Decline,
        )
        for extra, counter in (
            ([], "server_id_missing"),
            ([server_id(OTHER_DUID)], "server_id_wrong"),
        )
    ],
]


@pytest.mark.parametrize(("message", "options", "where", "counter"), DISCARDED)
def test_what_rfc_8415_discards_is_counted(
    message: Packet, options: list[Packet], where: dict[str, IPv6Address], counter: str
) -> None:
    bed = Bed()
    assert bed.send(message, *options, **where) is None
    assert {name: n for name, n in bed.counters.items() if n} == {counter: 1}
    assert bed.shelf.taken == []


@pytest.mark.parametrize("kind", [1, 3, 4, 5, 6, 8, 9])
def test_a_message_without_a_client_id_is_discarded(kind: int) -> None:
    bed = Bed()
    assert bed.send_raw(bytes([kind, 0, 0, 1]) + server_id() * (kind in {3, 5, 8, 9})) is None
    assert bed.counters["client_id_missing"] == 1


def test_relay_messages_of_a_subscriber_and_garbage_are_discarded() -> None:
    bed = Bed()
    assert bed.send_raw(bytes(dhcp6.DHCP6_RelayForward())) is None
    assert bed.send_raw(b"\1\0\0\1\0\1\0\0") is None
    assert bed.send_raw(b"") is None
    assert bed.counters["malformed"] == 3
    assert bed.send_raw(b"\xff\0\0\1") is None
    assert bed.counters["not_for_server"] == 1


@pytest.mark.parametrize(
    "message",
    [
        dhcp6.DHCP6_Request(),
        dhcp6.DHCP6_Renew(),
        dhcp6.DHCP6_Release(),
        dhcp6.DHCP6_Decline(),
    ],
)
def test_a_message_to_our_own_address_has_to_be_multicast(message: Packet) -> None:
    bed = bound(Bed())
    answer = bed.send(message, server_id(), na(1, A), **UNICAST)
    assert (status(answer), given(answer)) == ("UseMulticast", {})
    assert (bed.counters["use_multicast"], len(bed.installed)) == (1, 2)


# ---- one client, one prefix


@pytest.mark.parametrize(("duid", "iaid"), [(CLIENT_DUID, 2), (OTHER_DUID, 1), (OTHER_DUID, 9)])
def test_a_client_that_changes_its_duid_or_iaid_keeps_its_prefix(duid: bytes, iaid: int) -> None:
    bed = bound(Bed())
    request = bed.message(dhcp6.DHCP6_Request(), server_id(), pd(iaid), na(iaid), duid=duid)
    answer = bed.send_raw(request)
    assert given(answer) == {("NA", iaid): BOTH["NA", 1], ("PD", iaid): BOTH["PD", 1]}
    assert len(bed.pending) == 1
    assert bed.installed == [ADDRESSES[0], PREFIXES[0]]
    released = bed.send(dhcp6.DHCP6_Release(), server_id(), pd(1, P))
    assert given(released) == {("PD", 1): ["NoBinding"]}
    assert len(bed.installed) == 2


def test_of_several_ia_pds_one_gets_the_prefix() -> None:
    bed = Bed()
    first = bed.send(dhcp6.DHCP6_Request(), server_id(), pd(1), pd(2))
    assert given(first) == {("PD", 1): BOTH["PD", 1], ("PD", 2): ["NoPrefixAvail"]}
    again = bed.send(dhcp6.DHCP6_Renew(), server_id(), pd(2), pd(1, P))
    assert given(again) == {("PD", 2): ["NoPrefixAvail"], ("PD", 1): BOTH["PD", 1]}


def test_as_many_prefixes_are_given_as_are_configured() -> None:
    bed = Bed(replace(CONFIG, max_prefixes=2))
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), pd(1), pd(2), pd(3))
    assert given(answer) == {
        ("PD", 1): [f"{PREFIXES[0]} 1000 2000"],
        ("PD", 2): [f"{PREFIXES[1]} 1000 2000"],
        ("PD", 3): ["NoPrefixAvail"],
    }


def test_an_ia_that_comes_twice_in_a_message_is_answered_once() -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), pd(1), pd(1, FOREIGN))
    assert len(layers(answer, dhcp6.DHCP6OptIA_PD)) == 1
    assert bed.installed == [PREFIXES[0]]


# ---- clients as they are


@pytest.mark.parametrize("hint", ["::/0", "::/64", "::/60", "2001:db8:200::/56", "::/128"])
def test_hints_outside_of_the_policy_are_not_passed_on(hint: str) -> None:
    bed = Bed()
    answer = bed.send(dhcp6.DHCP6_Solicit(), pd(1, hint))
    assert given(answer) == {("PD", 1): BOTH["PD", 1]}
    assert bed.shelf.hints == [None]


def test_hints_within_the_policy_are_passed_on() -> None:
    bed = Bed(replace(CONFIG, hint_lengths=(56, 60), max_prefixes=3))
    bed.send(dhcp6.DHCP6_Solicit(), pd(1, "::/60"), pd(2, "::/64", "2001:db8:200::/56"), na(1, A))
    asked = [IPv6Network("::/60"), PREFIXES[1], ADDRESSES[0]]
    assert bed.shelf.hints == asked
    assert Lease(PREFIXES[1], True) in bed.shelf.taken


def test_dhcpcd_asks_for_all_at_once() -> None:
    """Rapid Commit, a vendor class, an ORO with what nobody has, IAIDs from its interface."""
    bed = Bed()
    answer = bed.send(
        dhcp6.DHCP6_Solicit(),
        dhcp6.DHCP6OptRapidCommit(),
        dhcp6.DHCP6OptVendorClass(
            enterprisenum=40712, vcdata=dhcp6.VENDOR_CLASS_DATA(data=b"dhcpcd-9.4.1:Linux")
        ),
        dhcp6.DHCP6OptElapsedTime(),
        na(0x6F000001),
        pd(0x6F000001),
        dhcp6.DHCP6OptOptReq(reqopts=[17, 23, 24, 31, 32, 39, 56, 64, 82, 83]),
        dhcp6.DHCP6OptReconfAccept(),
    )
    assert answer is not None
    assert answer.msgtype == 7
    assert given(answer) == {(kind, 0x6F000001): says for (kind, _), says in BOTH.items()}


def test_wide_dhcpv6_asks_for_a_64_of_infinite_life_and_gets_what_there_is() -> None:
    bed = Bed()
    hint = dhcp6.DHCP6OptIAPrefix(prefix="::", plen=64, preflft=INFINITY, validlft=INFINITY)
    wish = dhcp6.DHCP6OptIA_PD(iaid=0, T1=0, T2=0, iapdopt=[hint])
    elapsed = dhcp6.DHCP6OptElapsedTime(elapsedtime=0xFFFF)
    assert given(bed.send(dhcp6.DHCP6_Solicit(), elapsed, wish)) == {("PD", 0): BOTH["PD", 1]}
    offer = dhcp6.DHCP6OptIAPrefix(prefix="2001:db8:100::", plen=56, preflft=0, validlft=0)
    wish = dhcp6.DHCP6OptIA_PD(iaid=0, T1=0, T2=0, iapdopt=[offer])
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), elapsed, wish)
    assert given(answer) == {("PD", 0): BOTH["PD", 1]}


def test_eight_ias_with_much_to_take_back_fit_into_the_smallest_mtu() -> None:
    bed = Bed(replace(CONFIG, recreate=False))
    many = [pd(n, *[f"2001:db8:{n}{m:02}::/48" for m in range(9)]) for n in range(8)]
    answer = bed.send(dhcp6.DHCP6_Rebind(), *many)
    assert len(bytes(answer or b"")) <= 1232
    assert {len(says) for says in given(answer).values()} == {3}


def test_a_reply_that_does_not_fit_is_not_sent() -> None:
    options = replace(CONFIG.options, dns=(IPv6Address("2001:db8::53"),) * 80)
    bed = Bed(replace(CONFIG, options=options))
    assert bed.send(dhcp6.DHCP6_InfoRequest()) is None
    assert bed.counters["reply_too_long"] == 1


# ---- settings, restart, end


def test_infinite_lifetimes_never_end() -> None:
    bed = Bed(replace(CONFIG, preferred_s=INFINITY, valid_s=INFINITY))
    answer = bed.send(dhcp6.DHCP6_Request(), server_id(), pd())
    assert given(answer) == {("PD", 1): [f"{P} {INFINITY} {INFINITY}"]}
    assert layers(answer, dhcp6.DHCP6OptIA_PD)[0].T1 == INFINITY
    assert bed.server.next_deadline() is None


def test_new_settings_apply_from_the_next_message_on() -> None:
    bed = bound(Bed())
    bed.server.reconfigure(replace(CONFIG, valid_s=1000, t1_s=100, t2_s=200, max_addresses=0))
    answer = bed.send(dhcp6.DHCP6_Renew(), server_id(), na(1, A), pd(1, P))
    assert given(answer) == {("NA", 1): [f"{A} 1000 1000"], ("PD", 1): [f"{P} 1000 1000"]}
    assert layers(answer, dhcp6.DHCP6OptIA_PD)[0].T1 == 100


@pytest.mark.parametrize("ok", [True, None])
def test_the_end_of_a_session_leaves_nothing(ok: bool | None) -> None:
    bed = Bed()
    bed.send(dhcp6.DHCP6_Request(), server_id(), na())
    bed.ok = ok
    bed.send(dhcp6.DHCP6_Request(), server_id(), na(), pd())
    if ok is None:
        bed.installed.append(PREFIXES[0])  # the dataplane is at it
    assert bed.act(bed.server.close(1.0)) is None
    assert (bed.installed, bed.shelf.taken) == ([], [])
    assert bed.act(bed.server.installed(2, True, 1.0)) is None
    assert bed.server.next_deadline() is None


def test_a_restart_takes_over_what_is_installed() -> None:
    old = bound(Bed())
    new = Bed()
    for binding in old.server.bindings():
        assert new.shelf.take(binding.lease.delegated, binding.network, 0.0) == binding.network
        new.server.adopt(binding)
    new.installed = list(old.installed)
    answer = new.send(dhcp6.DHCP6_Renew(), server_id(), na(1, A), pd(1, P))
    assert (given(answer), new.pending) == (BOTH, [])
    new.wait(2000.0)
    assert new.installed == []


@pytest.mark.parametrize(
    "values",
    [
        {"preferred_s": 0},
        {"preferred_s": 7201},
        {"t1_s": 3000, "t2_s": 2999},
        {"t2_s": 3601},
        {"max_prefixes": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        ServerConfig(duid=DUID, **values)  # type: ignore[arg-type]


def test_every_message_type_of_a_client_is_counted() -> None:
    bed = Bed()
    for kind in (1, 3, 4, 5, 6, 8, 9, 11):
        extra = [server_id()] if kind in {3, 5, 8, 9} else []
        bed.send(getattr(dhcp6, dhcp6.dhcp6_cls_by_type[kind])(), *extra)
        assert bed.counters[MessageType(kind).name.lower()] == 1
