import time
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from bng.pool.core import PoolStats
from bng.pool.ipv6 import DECLINED, DECLINED_S, MAX_DECLINED, Ipv6PoolConfig, Ipv6Pools


def net(text: str) -> IPv6Network:
    return IPv6Network(text)


def config(length: int, *prefixes: str, **settings: object) -> Ipv6PoolConfig:
    base = Ipv6PoolConfig(
        prefixes=tuple(map(net, prefixes)), length=length, sticky_s=100.0, hold_down_s=10.0
    )
    return replace(base, **settings)


FOUR = config(56, "2001:db8::/54")
P0, P1, P2, P3 = FOUR.prefixes[0].subnets(new_prefix=56)
OUTSIDE = net("2001:db8:f000::/48")


def drained(pools: Ipv6Pools, name: str = "a") -> list[IPv6Network]:
    """Allocate until there is no more."""
    given = []
    while (prefix := pools.allocate(name, f"owner{len(given)}", 0.0)) is not None:
        given.append(prefix)
    return given


@pytest.mark.parametrize(
    ("length", "prefixes", "expected"),
    [
        (56, ["2001:db8::/54"], [P0, P1, P2, P3]),
        (56, ["2001:db8:0:300::/56", "2001:db8::/56"], [P0, P3]),
        (128, ["2001:db8::/126"], [net(f"2001:db8::{number}") for number in (1, 2, 3)]),
        (128, ["2001:db8::4/127"], [net("2001:db8::4"), net("2001:db8::5")]),
        (0, ["::/0"], [net("::/0")]),
        (128, ["ffff::/128"], [net("ffff::/128")]),
    ],
)
def test_every_prefix_of_a_pool_is_given_out_once(
    length: int, prefixes: list[str], expected: list[IPv6Network]
) -> None:
    pools = Ipv6Pools({"a": config(length, *prefixes)})
    assert drained(pools) == expected
    size = len(expected)
    assert pools.stats()["a"] == PoolStats(size=size, used=size, held=0, sticky=0, free=0)


@pytest.mark.parametrize("exclude", ["2001:db8:0:100::/56", "2001:db8:0:1ab::/64"])
def test_a_prefix_that_touches_an_exclusion_is_not_given_out(exclude: str) -> None:
    pools = Ipv6Pools({"a": replace(FOUR, exclude=(net(exclude),))})
    assert drained(pools) == [P0, P2, P3]
    assert Ipv6Pools({"a": replace(FOUR, exclude=(net("2001::/16"),))}).stats()["a"].size == 0


def test_a_returning_user_gets_the_same_prefix_again() -> None:
    pools = Ipv6Pools({"a": FOUR})
    pools.allocate("a", "x", 0.0)
    assert pools.allocate("a", "me", 0.0) == P1
    assert pools.remembered("a", "me") is None
    assert pools.release(P1, 1.0) == "me"
    assert pools.remembered("a", "me") == P1
    assert pools.allocate("a", "me", 2.0) == P1
    pools.release(P1, 3.0, remember=False)
    assert pools.allocate("a", "me", 4.0) == P2


def test_the_length_that_is_asked_for_decides_in_a_chain_but_not_over_what_was_there() -> None:
    pools = Ipv6Pools({"a": replace(FOUR, next_pool="b"), "b": config(60, "2001:db8:1::/56")})
    assert pools.allocate("a", "me", 0.0, length=60) == net("2001:db8:1::/60")
    assert pools.allocate("a", "you", 0.0, length=64) == P0
    pools.release(P0, 1.0)
    assert pools.allocate("a", "you", 2.0, length=60) == P0


def test_a_proposal_is_taken_when_it_is_a_free_prefix_of_the_chain() -> None:
    pools = Ipv6Pools({"a": FOUR})
    assert pools.allocate("a", "me", 0.0, prefer=P2) == P2
    for other in (P2, OUTSIDE, net("2001:db8::/55"), net("2001:db8:0:300::/64")):
        given = pools.allocate("a", "you", 0.0, prefer=other)
        assert given == P0
        pools.release(P0, 0.0)
        pools.expire(10.0)


def test_a_static_prefix_has_one_owner_whatever_its_length() -> None:
    pools = Ipv6Pools({"a": FOUR})
    part = net("2001:db8:0:1ff::/64")
    assert pools.claim(part, "me", 0.0) is None
    for other in (part, P1, net("2001:db8::/54"), net("::/0"), net("2001:db8:0:1ff::1")):
        assert pools.claim(other, "you", 0.0) == "me"
        assert pools.owner(other) == "me"
        assert pools.release(other, 0.0) is None or other == part
        if other == part:
            assert pools.claim(part, "me", 0.0) is None
    assert pools.claim(net("2001:db8:0:1fe::/64"), "you", 0.0) is None
    assert pools.used_outside() == 2
    assert drained(pools) == [P0, P2, P3]


def test_what_lay_across_a_pool_is_given_out_when_it_is_gone() -> None:
    pools = Ipv6Pools({"a": FOUR, "b": config(64, "2001:db8:0:400::/56")})
    wide = net("2001:db8::/53")
    assert pools.claim(wide, "me", 0.0) is None
    assert pools.allocate("a", "x", 0.0) is None
    assert pools.allocate("b", "x", 0.0) is None
    assert pools.release(wide, 0.0) == "me"
    assert drained(pools) == [P0, P1, P2, P3]
    assert len(drained(pools, "b")) == 256


def test_a_large_static_prefix_is_stepped_over_at_once() -> None:
    pools = Ipv6Pools({"a": config(64, "2001:db8::/32")})
    assert pools.claim(net("2001:db8::/33"), "me", 0.0) is None
    started = time.process_time()
    assert pools.allocate("a", "x", 0.0) == net("2001:db8:8000::/64")
    assert time.process_time() - started < 1.0  # one by one, 2 ** 31 of them would take an hour


def test_what_was_freed_is_not_given_out_while_something_lies_across_it() -> None:
    pools = Ipv6Pools({"a": replace(FOUR, hold_down_s=0.0, sticky_s=0.0)})
    assert len(drained(pools)) == 4
    for prefix in (P0, P1):
        pools.release(prefix, 0.0)
    part = net("2001:db8:0:7::/64")
    assert pools.claim(part, "me", 0.0) is None
    assert drained(pools) == [P1]
    pools.release(part, 0.0)
    assert drained(pools) == [P0]


def test_a_remembered_prefix_is_not_given_back_while_something_lies_across_it() -> None:
    pools = Ipv6Pools({"a": FOUR})
    assert [pools.allocate("a", name, 0.0) for name in ("me", "you")] == [P0, P1]
    pools.release(P0, 0.0)
    assert pools.claim(net("2001:db8::/64"), "static", 1.0) is None
    assert pools.allocate("a", "me", 2.0) == P2


def test_an_adopted_prefix_is_in_use() -> None:
    pools = Ipv6Pools({"a": FOUR})
    pools.adopt(P1, "me")
    pools.adopt(OUTSIDE, "you")
    with pytest.raises(ValueError, match=r"in use by me"):
        pools.adopt(net("2001:db8:0:100::/64"), "x")
    assert drained(pools) == [P0, P2, P3]
    assert (pools.pool_of(P1), pools.pool_of(OUTSIDE)) == ("a", None)
    assert pools.used_outside() == 1


def test_a_reload_with_another_length_leaves_what_is_in_use_alone() -> None:
    pools = Ipv6Pools({"a": FOUR})
    assert pools.allocate("a", "me", 0.0) == P0
    pools.reconfigure({"a": replace(FOUR, length=55)}, 1.0)
    assert (pools.used_outside(), pools.stats()["a"].used) == (1, 0)
    wide = net("2001:db8:0:200::/55")
    assert pools.allocate("a", "you", 1.0) == wide
    assert pools.allocate("a", "x", 1.0) is None
    assert pools.release(P0, 2.0) == "me"
    assert pools.allocate("a", "x", 2.0) == net("2001:db8::/55")


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"a": FOUR, "b": config(64, "2001:db8:0:3ff::/64")}, "overlap"),
        ({"a": FOUR, "b": config(48, "2001:db8::/48")}, "overlap"),
        ({"a": replace(FOUR, next_pool="a")}, "loop"),
        ({"a": replace(FOUR, next_pool="c")}, "does not exist"),
    ],
)
def test_wrong_pools_are_refused_and_nothing_changes(
    configs: dict[str, Ipv6PoolConfig], message: str
) -> None:
    pools = Ipv6Pools({"a": FOUR})
    pools.allocate("a", "me", 0.0)
    with pytest.raises(ValueError, match=message):
        pools.reconfigure(configs, 0.0)
    assert pools.stats() == {"a": PoolStats(size=4, used=1, held=0, sticky=0, free=3)}


def test_pools_side_by_side_do_not_overlap() -> None:
    pools = Ipv6Pools({"a": config(56, "2001:db8::/56"), "b": config(48, "2001:db8:1::/48")})
    assert (drained(pools), drained(pools, "b")) == ([P0], [net("2001:db8:1::/48")])


@pytest.mark.parametrize(
    "values", [{"length": 53}, {"length": 129}, {"length": 55, "hold_down_s": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"has no prefixes|negative"):
        replace(FOUR, **values)  # type: ignore[arg-type]


# ---- Decline ----

FOUR_OTHER = config(56, "2001:db8:9::/54")
HOSTS = config(128, "2001:db8::/126", "2001:db8::4/128")
ONE, TWO, THREE, FOURTH = (net(f"2001:db8::{number}") for number in (1, 2, 3, 4))


def declined(count: int = 1) -> Ipv6Pools:
    """Return a pool whose first *count* addresses were declined at 0, at 1, and so on."""
    pools = Ipv6Pools({"a": HOSTS})
    for number in range(count):
        address = pools.allocate("a", "alice", float(number))
        assert address is not None
        pools.decline(address, float(number))
    return pools


def test_a_declined_address_is_given_to_nobody_for_a_day() -> None:
    pools = declined()
    assert pools.allocate("a", "alice", 1.0) == TWO
    assert pools.allocate("a", "bob", 1.0, ONE) == THREE
    assert pools.next_deadline() == DECLINED_S
    pools.reconfigure({"a": HOSTS, "b": FOUR_OTHER}, 2.0)
    assert pools.owner(ONE) == DECLINED
    pools.expire(DECLINED_S)
    pools.expire(DECLINED_S + 10.0)
    assert pools.owner(ONE) is None
    assert pools.allocate("a", "carol", DECLINED_S + 10.0, ONE) == ONE


def test_where_nothing_else_is_left_what_was_declined_first_is_given_again() -> None:
    pools = declined(3)
    given = [pools.allocate("a", name, 5.0) for name in "bcdef"]
    assert given == [FOURTH, ONE, TWO, THREE, None]
    assert pools.release(ONE, 6.0) == "c"
    assert pools.allocate("a", "c", 6.0) == ONE


def test_who_is_to_have_a_declined_address_claims_it() -> None:
    pools = declined()
    assert pools.claim(ONE, "static", 1.0) is None
    assert pools.owner(ONE) == "static"
    assert pools.next_deadline() is None


def test_what_is_not_in_use_cannot_be_declined_and_of_too_many_the_oldest_ends() -> None:
    pools = Ipv6Pools({"a": config(128, "2001:db8::/64", hold_down_s=0.0)})
    pools.decline(ONE, 0.0)
    assert pools.owner(ONE) is None
    for number in range(MAX_DECLINED + 1):
        address = pools.allocate("a", "alice", 1.0)
        assert address is not None
        pools.decline(address, 1.0)
        assert int(address.network_address) & 0xFFFF == number + 1
    assert (pools.owner(ONE), pools.owner(TWO)) == (None, DECLINED)
