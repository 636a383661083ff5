import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bng.pool.ipv4 import Ipv4PoolConfig, Ipv4Pools, Ipv4PoolStats
from bng.pool.ranges import Ipv4Range

A0, A1, A2, A3 = (IPv4Address(f"10.0.0.{n}") for n in range(4))
B0 = IPv4Address("10.0.1.0")
OUTSIDE = IPv4Address("192.0.2.1")


def config(*ranges: str, **settings: object) -> Ipv4PoolConfig:
    base = Ipv4PoolConfig(
        ranges=tuple(Ipv4Range.parse(text) for text in ranges), sticky_s=100.0, hold_down_s=10.0
    )
    return replace(base, **settings)


FOUR = config("10.0.0.0/30")


def drained(pools: Ipv4Pools, name: str = "a") -> list[IPv4Address]:
    """Allocate until there is no more."""
    given = []
    while (address := pools.allocate(name, f"owner{len(given)}", 0.0)) is not None:
        given.append(address)
    return given


def test_every_address_of_a_pool_is_given_out_once() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0/30", "10.0.1.0-10.0.1.1")})
    expected = [A0, A1, A2, A3, B0, IPv4Address("10.0.1.1")]
    assert sorted(drained(pools)) == expected
    assert pools.stats()["a"] == Ipv4PoolStats(size=6, used=6, held=0, sticky=0, free=0)


def test_excluded_addresses_are_not_given_out() -> None:
    pools = Ipv4Pools({"a": replace(FOUR, exclude=(Ipv4Range(A0, A0), Ipv4Range(A2, A2)))})
    assert drained(pools) == [A1, A3]


def test_an_unknown_pool_gives_nothing() -> None:
    pools = Ipv4Pools({"a": FOUR})
    assert ("a" in pools, "b" in pools) == (True, False)
    assert pools.allocate("b", "x", 0.0) is None


def test_a_full_pool_hands_over_to_the_next_in_its_chain() -> None:
    pools = Ipv4Pools(
        {
            "a": config("10.0.0.0", next_pool="b"),
            "b": config("10.0.1.0", next_pool="c"),
            "c": config("10.0.2.0"),
        }
    )
    assert drained(pools) == [A0, B0, IPv4Address("10.0.2.0")]
    assert [stats.used for stats in pools.stats().values()] == [1, 1, 1]


def test_a_returning_user_gets_the_same_address_again() -> None:
    pools = Ipv4Pools({"a": FOUR})
    pools.allocate("a", "x", 0.0)
    mine = pools.allocate("a", "me", 0.0)
    assert mine == A1
    pools.release(A0, 0.0)
    assert pools.release(mine, 1.0) == "me"
    for now in (2.0, 50.0, 149.0):  # in hold-down, after it, and remembered anew
        assert pools.allocate("a", "me", now) == mine
        pools.release(mine, now)


def test_a_user_is_forgotten_after_sticky_s() -> None:
    pools = Ipv4Pools({"a": FOUR})
    pools.allocate("a", "me", 0.0)
    pools.allocate("a", "x", 0.0)
    pools.release(A0, 0.0)
    assert pools.allocate("a", "y", 100.0) == A0
    assert pools.allocate("a", "me", 100.0) == A2


def test_a_remembered_address_is_found_in_a_chained_pool_before_a_fresh_one() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0", next_pool="b"), "b": config("10.0.1.0")})
    pools.allocate("a", "x", 0.0)
    assert pools.allocate("a", "me", 0.0) == B0
    pools.release(A0, 1.0)
    pools.release(B0, 1.0)
    assert pools.allocate("a", "me", 50.0) == B0


def test_remembered_addresses_go_to_others_only_when_nothing_else_is_left() -> None:
    pools = Ipv4Pools({"a": FOUR})
    for owner in ("me", "you"):
        pools.allocate("a", owner, 0.0)
    pools.release(A0, 1.0)
    pools.release(A1, 2.0)
    assert {pools.allocate("a", f"x{n}", 50.0) for n in range(2)} == {A2, A3}
    assert pools.allocate("a", "x2", 50.0) == A0  # freed longest ago
    assert pools.allocate("a", "me", 50.0) == A1
    assert pools.allocate("a", "you", 50.0) is None


def test_a_freed_address_is_not_given_to_another_during_hold_down() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0")})
    pools.allocate("a", "me", 0.0)
    pools.release(A0, 5.0)
    assert pools.allocate("a", "x", 14.9) is None
    assert pools.stats()["a"].held == 1
    assert pools.allocate("a", "x", 15.0) == A0


@pytest.mark.parametrize("settings", [{"sticky_s": 0.0}, {"sticky_max": 0}])
def test_without_stickiness_hold_down_binds_the_last_owner_too(settings: dict[str, float]) -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0/31", **settings)})
    assert pools.allocate("a", "me", 0.0) == A0
    pools.release(A0, 0.0)
    assert pools.allocate("a", "me", 1.0) == A1
    assert pools.allocate("a", "you", 1.0) is None


def test_addresses_without_hold_down_or_stickiness_are_free_at_once() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0", sticky_s=0.0, hold_down_s=0.0)})
    for n in range(3):
        assert pools.allocate("a", f"x{n}", 0.0) == A0
        pools.release(A0, 0.0)
        assert pools.stats()["a"].free == 1


def test_the_user_that_left_longest_ago_is_forgotten_when_there_are_too_many() -> None:
    pools = Ipv4Pools({"a": replace(FOUR, sticky_max=1)})
    for owner in ("me", "you"):
        pools.allocate("a", owner, 0.0)
    pools.release(A1, 0.0)
    pools.release(A0, 0.0)
    pools.allocate("a", "x", 0.0)  # keeps the pool from being all fresh again
    pools.expire(20.0)
    assert pools.stats()["a"].sticky == 1
    assert pools.allocate("a", "z", 20.0) == A1
    assert pools.allocate("a", "me", 20.0) == A0


def test_a_static_address_has_one_owner_in_a_pool_or_not() -> None:
    pools = Ipv4Pools({"a": FOUR})
    for address in (A0, OUTSIDE):
        assert pools.claim(address, "me", 0.0) is None
        assert pools.claim(address, "you", 0.0) == "me"
        assert pools.claim(address, "me", 0.0) == "me"
        assert pools.owner(address) == "me"
    assert pools.used_outside() == 1
    assert drained(pools) == [A1, A2, A3]
    assert pools.release(OUTSIDE, 1.0) == "me"
    assert pools.release(OUTSIDE, 1.0) is None
    assert (pools.owner(OUTSIDE), pools.used_outside()) == (None, 0)
    assert pools.claim(OUTSIDE, "you", 1.0) is None


def test_a_static_address_is_granted_in_hold_down_and_no_longer_anybody_elses() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0/31")})
    pools.allocate("a", "me", 0.0)
    pools.release(A0, 0.0)
    assert pools.claim(A0, "static", 1.0) is None
    assert pools.allocate("a", "me", 1.0) == A1


def test_a_clients_own_proposal_is_taken_when_it_is_free_and_nobody_elses() -> None:
    pools = Ipv4Pools({"a": config("10.0.0.0/30", next_pool="b"), "b": config("10.0.1.0/30")})
    assert pools.allocate("a", "me", 0.0, prefer=A3) == A3
    assert pools.allocate("a", "you", 0.0, prefer=A3) == A0  # in use
    assert pools.allocate("a", "x", 0.0, prefer=B0) == B0  # of the chain
    assert pools.allocate("b", "y", 0.0, prefer=A2) == IPv4Address("10.0.1.1")  # another pool's
    assert pools.allocate("a", "z", 0.0, prefer=OUTSIDE) == A1
    pools.release(A3, 1.0)
    assert pools.allocate("a", "w", 50.0, prefer=A3) == A2  # remembered for another
    assert pools.allocate("a", "me", 50.0, prefer=A3) == A3


def test_an_adopted_address_is_in_use() -> None:
    pools = Ipv4Pools({"a": FOUR})
    pools.adopt(A1, "me")
    pools.adopt(OUTSIDE, "you")
    with pytest.raises(ValueError, match=r"in use by me"):
        pools.adopt(A1, "x")
    assert drained(pools) == [A0, A2, A3]


def test_deadlines_lead_to_an_empty_pool() -> None:
    pools = Ipv4Pools({"a": FOUR})
    drained(pools)
    assert pools.next_deadline() is None
    for n, address in enumerate((A2, A0, A3, A1)):
        pools.release(address, float(n))
    assert pools.stats()["a"].held == 4
    seen = []
    for _ in range(8):
        at = pools.next_deadline()
        assert at is not None
        pools.expire(at)
        stats = pools.stats()["a"]
        seen.append((at, stats.held, stats.sticky, stats.free))
    assert seen == [
        (10.0, 3, 1, 0),
        (11.0, 2, 2, 0),
        (12.0, 1, 3, 0),
        (13.0, 0, 4, 0),
        (100.0, 0, 3, 1),
        (101.0, 0, 2, 2),
        (102.0, 0, 1, 3),
        (103.0, 0, 0, 4),
    ]
    assert pools.next_deadline() is None
    assert drained(pools) == [A0, A1, A2, A3]  # as if nobody had been there


def test_of_two_addresses_the_one_freed_last_is_remembered_whoever_takes_the_other() -> None:
    pools = Ipv4Pools({"a": FOUR})
    assert [pools.allocate("a", "me", 0.0) for _ in range(2)] == [A0, A1]
    pools.release(A0, 1.0)
    pools.release(A1, 2.0)
    assert pools.claim(A0, "static", 3.0) is None
    assert pools.allocate("a", "me", 3.0) == A1


def test_a_reload_moves_what_is_known_and_leaves_used_addresses_alone() -> None:
    pools = Ipv4Pools({"a": FOUR})
    drained(pools)
    pools.release(A0, 0.0)
    pools.release(A1, 1.0)
    pools.reconfigure({"new": config("10.0.0.0/31", next_pool="b"), "b": config("10.0.1.0")}, 5.0)
    assert pools.stats()["new"] == Ipv4PoolStats(size=2, used=0, held=2, sticky=0, free=0)
    assert pools.used_outside() == 2
    assert pools.allocate("new", "x", 5.0) == B0  # A0 and A1 are still in hold-down
    assert pools.allocate("new", "owner1", 5.0) == A1
    assert pools.release(A3, 6.0) == "owner3"
    assert pools.used_outside() == 1
    pools.reconfigure({"a": FOUR}, 7.0)
    assert pools.stats()["a"] == Ipv4PoolStats(size=4, used=2, held=1, sticky=0, free=1)
    assert pools.allocate("a", "y", 7.0) == A3


def test_a_reload_applies_new_times_to_what_was_freed_before() -> None:
    pools = Ipv4Pools({"a": FOUR})
    drained(pools)
    pools.release(A0, 0.0)
    pools.reconfigure({"a": replace(FOUR, hold_down_s=2.0, sticky_s=4.0)}, 3.0)
    assert pools.stats()["a"].sticky == 1
    assert pools.next_deadline() == 4.0


def test_a_reload_does_not_remember_users_that_were_forgotten() -> None:
    pools = Ipv4Pools({"a": replace(FOUR, sticky_max=0)})
    pools.allocate("a", "me", 0.0)
    pools.release(A0, 0.0)
    pools.reconfigure({"a": FOUR}, 1.0)
    assert pools.allocate("a", "me", 1.0) == A1


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"a": FOUR, "b": config("10.0.0.3-10.0.0.9")}, "overlap"),
        ({"a": config("10.0.0.0", next_pool="a")}, "loop"),
        ({"a": config("10.0.0.0", next_pool="b"), "b": config("10.0.1.0", next_pool="a")}, "loop"),
        ({"a": config("10.0.0.0", next_pool="c")}, "does not exist"),
    ],
)
def test_wrong_pools_are_refused_and_nothing_changes(
    configs: dict[str, Ipv4PoolConfig], message: str
) -> None:
    pools = Ipv4Pools({"a": FOUR})
    pools.allocate("a", "me", 0.0)
    with pytest.raises(ValueError, match=message):
        pools.reconfigure(configs, 0.0)
    assert pools.stats() == {"a": Ipv4PoolStats(size=4, used=1, held=0, sticky=0, free=3)}


def test_negative_times_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        replace(FOUR, hold_down_s=-1.0)


def test_a_pool_of_16_million_addresses_costs_no_more_than_a_small_one() -> None:
    started = time.process_time()
    pools = Ipv4Pools({"a": config("10.0.0.0/8", sticky_s=0.0, hold_down_s=0.0)})
    given = [pools.allocate("a", "x", 0.0) for _ in range(2000)]
    assert len(set(given)) == 2000
    for address in given:
        assert address is not None
        pools.release(address, 0.0)
    assert pools.stats()["a"].free == 1 << 24
    assert time.process_time() - started < 2.0  # walking or listing it takes longer by far
