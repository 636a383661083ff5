"""Sessions that live get other prefixes: what clients are told, byte by byte, what is forwarded.

A reload takes pools or gives users others, CoA names another pool. Packets are judged by scapy.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.packet import Packet

from bng.aaa.dynauth import ErrorCause, Known
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import Nas
from bng.session.coa import Outcome
from bng.session.renumber import MAX_OLD
from tests.support.client.subscriber import Subscriber
from tests.support.managed_box import Managed, managed_box
from tests.support.memory_box import CONFIG, MemoryBox
from tests.unit.session.test_ipv6 import (
    RAPID,
    SERVER_ID,
    Listener,
    ask,
    dial,
    get_prefix,
    gone,
    na,
    of,
    pd,
    prefixes,
    send,
    side,
)

LINKS, HOMES = CONFIG["ipv6"]["pool"][:2]
SOON = {"hold_down_s": 1, "sticky_s": 5}
OTHER = {"name": "other", "prefixes": ["2001:db8:9::/48"], "length": 64, **SOON}
OTHER_HOMES = {"name": "other-homes", "prefixes": ["2001:db8:900::/40"], "length": 56, **SOON}
SMALL = {"name": "small", "prefixes": ["2001:db8:8::/64"], "length": 64, **SOON}
POOLS = [LINKS, HOMES, OTHER, OTHER_HOMES, SMALL]
FIRST, SECOND = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:9::/64")
OTHER_LINK = IPv6Network("2001:db8:1:77::/64")
HOME, SECOND_HOME = IPv6Network("2001:db8:100::/56"), IPv6Network("2001:db8:900::/56")


def ipv6(*pools: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**deepcopy(CONFIG["ipv6"]), "pool": list(pools), **changes}


@dataclass
class Bed:
    """A box with a session of `user00001`, and what its client heard."""

    managed: Managed
    memory: MemoryBox
    heard: Listener
    client: Subscriber

    def reload(self, *pools: dict[str, Any], user: dict[str, Any] | None = None) -> None:
        if pools:
            self.managed.write(ipv6=ipv6(*pools, address_from_link=True))
        if user is not None:
            self.managed.write_users(user00001={"password": "secret", **user})
        answer = self.managed.ask("reload")
        assert answer["ok"], answer
        self.memory.run(5.0, step=0.05)

    def advertised(self) -> dict[IPv6Network, tuple[int, int]]:
        """Return valid and preferred lifetimes of the last Router Advertisement, by prefix."""
        return prefixes(self.heard.take(self.client, ICMPv6ND_RA)[-1])

    def passes(self, *sources: IPv6Network) -> list[bool]:
        """Say from which of *sources* a packet is forwarded."""
        index = of(self.memory, self.client).index
        passed = []
        for network in sources:
            before = int(self.memory.dataplane.session_in[index].packets)
            packet = IPv6(src=str(network.network_address + 7), dst="2001:db8:ffff::1")
            send(self.memory, self.client, packet / UDP(dport=9) / b"data")
            passed.append(int(self.memory.dataplane.session_in[index].packets) > before)
        return passed

    def renew(self, *ias: Packet, kind: type[Packet] = dhcp6.DHCP6_Renew) -> Packet:
        extra = [] if kind is dhcp6.DHCP6_Rebind else [SERVER_ID]
        send(self.memory, self.client, ask(kind(), *extra, *ias))
        (reply,) = self.heard.take(self.client, dhcp6.DHCP6_Reply)
        return reply

    def order(self, *pairs: tuple[str, Value]) -> ErrorCause | None:
        answers: list[Outcome] = []
        named = [("User-Name", "user00001"), *pairs]
        self.memory.manager.orders.take(
            named, answers.append, self.memory.now, disconnect=False, source="oss"
        )
        self.memory.run(5.0, step=0.05)
        (answer,) = answers
        return answer.cause


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with managed_box(tmp_path, ipv6=ipv6(*POOLS, address_from_link=True)) as (_, managed):
        memory = managed.memory
        managed.box.loop.now = lambda: memory.now  # type: ignore[method-assign]
        offered = Offered(
            ipv6_pools={pool["name"]: pool["length"] for pool in POOLS}, ipv6_profiles={"gold"}
        )
        memory.manager.orders.known = Known(nas=Nas(identifier="bng", ports={}), offered=offered)
        made = Bed(managed, memory, Listener(memory), dial(memory))
        assert side(memory, made.client).prefix == FIRST
        yield made


def leases(reply: Packet) -> dict[str, tuple[int, int]]:
    """Return valid and preferred lifetimes of what is in an IA_PD and an IA_NA."""
    found = {}
    if dhcp6.DHCP6OptIA_PD in reply:
        for one in reply[dhcp6.DHCP6OptIA_PD].iapdopt:
            found[f"{one.prefix}/{one.plen}"] = one.validlft, one.preflft
    if dhcp6.DHCP6OptIA_NA in reply:
        for one in reply[dhcp6.DHCP6OptIA_NA].ianaopts:
            found[one.addr] = one.validlft, one.preflft
    return found


# ---- the prefix of the link ----


def test_the_pool_of_a_link_is_gone_and_the_old_prefix_is_deprecated(bed: Bed) -> None:
    bed.memory.run(20.0, step=0.1)
    bed.heard.take(bed.client)
    bed.reload(OTHER, HOMES)
    told = bed.advertised()
    assert list(told) == [SECOND, FIRST]
    assert told[SECOND] == (5400, 2700)
    valid, preferred = told[FIRST]
    assert preferred == 0
    assert 5390 < valid <= 5400
    assert bed.passes(FIRST, SECOND, OTHER_LINK) == [True, True, False]
    data = bed.managed.ask("show session", session="user00001")["data"]
    (old,) = data["deprecated_prefixes"]
    assert (data["ipv6_prefix"], old["prefix"]) == (str(SECOND), str(FIRST))
    assert 5390 <= old["ends_in_s"] <= 5400
    bed.memory.run(5300.0, step=5.0)
    assert bed.passes(FIRST, SECOND) == [True, True]
    assert set(bed.advertised()) == {FIRST, SECOND}
    bed.memory.run(800.0, step=5.0)
    assert bed.passes(FIRST, SECOND) == [False, True]
    assert set(bed.advertised()) == {SECOND}
    assert bed.memory.manager.pools6.owner(FIRST) is None
    gone(bed.memory, bed.client)


def test_what_the_pools_still_have_stays(bed: Bed) -> None:
    bed.reload(OTHER, OTHER_HOMES, LINKS, HOMES)  # another default, and it is new sessions' alone
    assert side(bed.memory, bed.client).prefix == FIRST
    bed.reload(LINKS | {"length": 64, "sticky_s": 9}, HOMES)
    assert side(bed.memory, bed.client).prefix == FIRST
    assert bed.memory.manager.counters["ipv6_renumbered"] == 0


def test_without_another_prefix_a_session_keeps_what_it_has(bed: Bed) -> None:
    second = dial(bed.memory, 2)
    bed.reload(SMALL, HOMES)
    links = {side(bed.memory, client).prefix for client in (bed.client, second)}
    assert links == {IPv6Network("2001:db8:8::/64"), IPv6Network("2001:db8:1:1::/64")}
    assert bed.memory.manager.counters["ipv6_renumbered"] == 1
    bed.reload(OTHER, HOMES)
    assert bed.memory.manager.counters["ipv6_renumbered"] == 3
    gone(bed.memory, bed.client, second)


def test_a_user_of_the_file_gets_a_prefix_of_his_own_and_loses_it_again(bed: Bed) -> None:
    own = IPv6Network("2001:db8:77:1::/64")
    bed.reload(user={"ipv6_prefix": str(own)})
    assert list(bed.advertised()) == [own, FIRST]
    assert bed.memory.manager.pools6.owner(own) == of(bed.memory, bed.client).acct_session_id
    bed.reload(user={})
    told = bed.advertised()
    assert list(told) == [FIRST, own], "the one of before again, it was still his"
    assert told[FIRST] == (5400, 2700)
    assert bed.passes(FIRST, own) == [True, True]
    gone(bed.memory, bed.client)


def test_a_prefix_that_is_another_s_is_not_taken_from_him(bed: Bed) -> None:
    second = dial(bed.memory, 2)
    theirs = side(bed.memory, second).prefix
    bed.reload(user={"ipv6_prefix": str(theirs)})
    assert side(bed.memory, bed.client).prefix == FIRST
    assert bed.memory.manager.counters["ipv6_conflict"] == 1
    gone(bed.memory, bed.client, second)


def test_of_too_many_prefixes_of_before_the_oldest_ends(bed: Bed) -> None:
    own = [IPv6Network(f"2001:db8:77:{number}::/64") for number in range(MAX_OLD + 1)]
    for prefix in own:
        bed.reload(user={"ipv6_prefix": str(prefix)})
    assert list(side(bed.memory, bed.client).old) == own[:-1]
    assert bed.passes(FIRST, *own) == [False] + [True] * len(own)
    assert list(bed.advertised()) == [own[-1], *own[:-1]]
    gone(bed.memory, bed.client)


def test_ipv6cp_that_is_closed_meanwhile_opens_with_the_new_prefix(bed: Bed) -> None:
    client, memory = bed.client, bed.memory
    client.send_ppp(b"\x80\x57\x05\x09\x00\x04")  # Terminate-Request
    memory.turn()
    bed.heard.take(client)
    bed.reload(OTHER, HOMES)
    assert bed.heard.take(client) == []
    client.ipv6cp.reset()
    client._request(client.ipv6cp, memory.now)
    memory.run(1.0)
    told = bed.advertised()
    assert (list(told), told[FIRST][1]) == ([SECOND, FIRST], 0)
    assert bed.passes(FIRST, SECOND) == [True, True]
    gone(memory, client)


# ---- what DHCPv6 gave ----


@pytest.mark.parametrize("kind", [dhcp6.DHCP6_Renew, dhcp6.DHCP6_Rebind])
def test_a_renewal_brings_the_new_prefix_and_deprecates_the_old_one(
    bed: Bed, kind: type[Packet]
) -> None:
    assert get_prefix(bed.memory, bed.heard, bed.client) == HOME
    bed.memory.run(1000.0, step=5.0)
    bed.reload(LINKS, OTHER_HOMES)
    assert bed.passes(HOME) == [True], "until it is renewed nothing changes"
    got = leases(bed.renew(pd(hint=str(HOME)), kind=kind))
    assert list(got) == [str(SECOND_HOME), str(HOME)]
    assert got[str(SECOND_HOME)] == (7200, 3600)
    assert got[str(HOME)][1] == 0
    assert 6190 <= got[str(HOME)][0] <= 6200, "as long as it was promised"
    assert bed.passes(HOME, SECOND_HOME) == [True, True]
    data = bed.managed.ask("show session", session="user00001")["data"]
    assert data["delegated_prefixes"] == [str(HOME), str(SECOND_HOME)]
    bed.memory.run(3000.0, step=5.0)
    again = leases(bed.renew(pd(hint=str(SECOND_HOME)), kind=kind))
    assert again == {str(SECOND_HOME): (7200, 3600)}
    bed.memory.run(3300.0, step=5.0)
    assert bed.passes(HOME, SECOND_HOME) == [False, True]
    assert bed.memory.manager.pools6.owner(HOME) is None
    gone(bed.memory, bed.client)


def test_an_old_prefix_can_be_released_for_itself(bed: Bed) -> None:
    get_prefix(bed.memory, bed.heard, bed.client)
    bed.reload(LINKS, OTHER_HOMES)
    bed.renew(pd(hint=str(HOME)))
    bed.renew(pd(hint=str(HOME)), kind=dhcp6.DHCP6_Release)
    assert bed.passes(HOME, SECOND_HOME) == [False, True]
    bed.renew(pd(hint=str(SECOND_HOME)), kind=dhcp6.DHCP6_Release)
    assert bed.passes(HOME, SECOND_HOME) == [False, False]
    gone(bed.memory, bed.client)


def test_a_client_that_starts_anew_gets_the_new_prefix(bed: Bed) -> None:
    get_prefix(bed.memory, bed.heard, bed.client)
    bed.reload(LINKS, OTHER_HOMES)
    assert get_prefix(bed.memory, bed.heard, bed.client, iaid=9) == SECOND_HOME
    assert bed.passes(HOME, SECOND_HOME) == [True, True]
    gone(bed.memory, bed.client)


def test_an_address_of_the_link_goes_with_its_prefix(bed: Bed) -> None:
    send(bed.memory, bed.client, ask(dhcp6.DHCP6_Solicit(), RAPID, na()))
    (reply,) = bed.heard.take(bed.client, dhcp6.DHCP6_Reply)
    (old,) = leases(reply)
    assert IPv6Address(old) in FIRST
    bed.reload(OTHER, HOMES)
    confirm = ask(dhcp6.DHCP6_Confirm(), reply[dhcp6.DHCP6OptIA_NA])
    send(bed.memory, bed.client, confirm)
    (answer,) = bed.heard.take(bed.client, dhcp6.DHCP6_Reply)
    assert answer[dhcp6.DHCP6OptStatusCode].statuscode == 4, "NotOnLink"
    held = dhcp6.DHCP6OptIA_NA(iaid=1, ianaopts=[dhcp6.DHCP6OptIAAddress(addr=old)])
    new, before = leases(bed.renew(held)).items()
    assert IPv6Address(new[0]) in SECOND
    assert (new[1], before[0], before[1][1]) == ((7200, 3600), old, 0)
    assert bed.passes(FIRST, SECOND) == [True, True]
    bed.memory.run(3600.0, step=5.0)
    renewed = dhcp6.DHCP6OptIA_NA(iaid=1, ianaopts=[dhcp6.DHCP6OptIAAddress(addr=new[0])])
    assert leases(bed.renew(renewed)) == {new[0]: (7200, 3600)}
    bed.memory.run(1900.0, step=5.0)
    assert bed.passes(FIRST) == [True], "the address was promised for longer than the prefix"
    bed.memory.run(1800.0, step=5.0)
    assert bed.passes(FIRST, SECOND) == [False, True]
    gone(bed.memory, bed.client)


# ---- orders of RADIUS ----


def test_coa_names_other_pools_and_is_answered_when_the_link_has_its_prefix(bed: Bed) -> None:
    get_prefix(bed.memory, bed.heard, bed.client)
    pools = ("Framed-IPv6-Pool", "other"), ("Delegated-IPv6-Prefix-Pool", "other-homes")
    assert bed.order(*pools) is None
    assert list(bed.advertised()) == [SECOND, FIRST]
    assert bed.passes(FIRST, SECOND, HOME) == [True, True, True]
    assert set(leases(bed.renew(pd(hint=str(HOME))))) == {str(SECOND_HOME), str(HOME)}
    for key in (FIRST, SECOND):
        assert bed.order(("Framed-IPv6-Prefix", key), ("Idle-Timeout", 77)) is None
    gone(bed.memory, bed.client)


def test_coa_of_a_pool_that_is_exhausted_is_refused_whole(bed: Bed) -> None:
    second = dial(bed.memory, 2)
    small = ("Framed-IPv6-Pool", "small")
    assert bed.order(small) is None
    answers: list[Outcome] = []
    bed.memory.manager.orders.take(
        [("User-Name", "user00002"), small, ("Idle-Timeout", 77)],
        answers.append,
        bed.memory.now,
        disconnect=False,
        source="oss",
    )
    bed.memory.run(1.0)
    assert answers[0].cause is ErrorCause.RESOURCES_UNAVAILABLE
    profile = of(bed.memory, second).profile
    assert profile is not None
    assert (profile.ipv6_pool, profile.idle_timeout_s) == (None, None)
    assert side(bed.memory, second).prefix == IPv6Network("2001:db8:1:1::/64")
    gone(bed.memory, bed.client, second)


# ---- what clients are told ----


def hop_limits(bed: Bed) -> list[int]:
    """Return what the Router Advertisements said that the client heard since it was asked last."""
    return [ra.chlim for ra in bed.heard.take(bed.client, ICMPv6ND_RA)]


def test_another_profile_is_told_at_once_and_by_dhcpv6_with_the_renewal(bed: Bed) -> None:
    profile = {"ra": {"hop_limit": 9}, "server": {"preferred_s": 50, "valid_s": 70}}
    pools = deepcopy(CONFIG["ipv6"]) | {"pool": POOLS, "address_from_link": True}

    def reload(user: dict[str, Any] | None = None, **changes: Any) -> None:
        bed.managed.write(ipv6={**pools, **changes})
        bed.managed.write_users(user00001={"password": "secret", **(user or {})})
        assert bed.managed.ask("reload")["ok"]
        bed.memory.run(5.0, step=0.05)

    get_prefix(bed.memory, bed.heard, bed.client)
    reload(profile={"gold": profile})
    hop_limits(bed)
    assert bed.order(("Bng-Ipv6-Profile", "none")) == ErrorCause.INVALID_ATTRIBUTE_VALUE
    assert hop_limits(bed) == []
    assert bed.order(("Bng-Ipv6-Profile", "gold"), ("Idle-Timeout", 77)) is None
    assert set(hop_limits(bed)) == {9}
    assert leases(bed.renew(pd())) == {str(HOME): (70, 50)}
    reload()
    assert set(hop_limits(bed)) == {64}, "there is no such profile, and the user file names none"
    user = {"ipv6_profile": "silver"}
    reload(user, profile={"silver": {"ra": {"hop_limit": 8}}})
    assert set(hop_limits(bed)) == {8}
    reload(user, profile={"silver": {"ra": {"hop_limit": 7}}})
    assert set(hop_limits(bed)) == {7}
    gone(bed.memory, bed.client)


# ---- restart ----


def test_a_client_that_was_not_told_when_bngd_died_is_told_by_the_next_one(bed: Bed) -> None:
    memory = bed.memory
    bed.managed.write(ipv6=ipv6(OTHER, HOMES, address_from_link=True))
    assert bed.managed.ask("reload")["ok"]
    memory.turn()
    bed.heard.take(bed.client)
    memory.restart(config={"ipv6": ipv6(OTHER, HOMES, address_from_link=True)})
    memory.run(20.0, step=0.1)
    told = bed.advertised()
    assert (list(told), told[FIRST][1]) == ([SECOND, FIRST], 0)
    memory.run(6100.0, step=5.0)
    assert set(bed.advertised()) == {SECOND}
    gone(memory, bed.client)


def test_what_is_deprecated_is_forwarded_by_the_next_bngd_and_ends_in_time(bed: Bed) -> None:
    memory, client = bed.memory, bed.client
    get_prefix(memory, bed.heard, client)
    pools = ("Framed-IPv6-Pool", "other"), ("Delegated-IPv6-Prefix-Pool", "other-homes")
    assert bed.order(*pools) is None
    bed.renew(pd(hint=str(HOME)))
    old = dict(side(memory, client).old)
    came = memory.restart()
    assert (len(came.adopted), came.ended) == (1, [])
    assert side(memory, client).old == pytest.approx(old, abs=0.1)
    assert bed.passes(FIRST, SECOND, HOME, SECOND_HOME) == [True] * 4
    got = leases(bed.renew(pd(hint=str(HOME))))
    assert (list(got), got[str(HOME)][1]) == ([str(SECOND_HOME), str(HOME)], 0)
    memory.run(7300.0, step=5.0)
    assert bed.passes(FIRST, SECOND, HOME) == [False, True, False]
    gone(memory, client)
