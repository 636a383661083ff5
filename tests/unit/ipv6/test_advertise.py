from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import pytest

from bng.ipv6 import nd
from bng.ipv6.actions import SendPacket
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.packet import ALL_NODES, parse

US = IPv6Address("fe80::1")
OLD, NEW = IPv6Network("2001:db8:0:1::/64"), IPv6Network("2001:db8:0:2::/64")
CONFIG = AdvertiseConfig(
    managed=True,
    mtu=1492,
    rdnss=(IPv6Address("2001:db8::53"),),
    dnssl=("example.net",),
)


def least(count: int) -> bytes:
    return bytes(count)


def most(count: int) -> bytes:
    return b"\xff" * count


def read(actions: list[SendPacket]) -> nd.RouterAdvertisement:
    (action,) = actions
    packet = parse(action.packet)
    assert (packet.source, packet.destination, packet.hop_limit) == (US, ALL_NODES, 255)
    message = nd.parse(packet)
    assert isinstance(message, nd.RouterAdvertisement)
    return message


def started(
    config: AdvertiseConfig = CONFIG, entropy: Callable[[int], bytes] = least
) -> Advertiser:
    core = Advertiser(config, US, entropy)
    read(core.start(OLD, 0.0))
    return core


def due(core: Advertiser) -> float:
    deadline = core.next_deadline()
    assert deadline is not None
    return deadline


def advance(core: Advertiser) -> tuple[float, nd.RouterAdvertisement]:
    """Go to the next deadline."""
    now = due(core)
    assert core.tick(now - 0.001) == []
    return now, read(core.tick(now))


def lifetimes(message: nd.RouterAdvertisement) -> dict[IPv6Network, tuple[int, int]]:
    return {item.prefix: (item.preferred_s, item.valid_s) for item in message.prefixes}


def test_the_first_advertisement_says_all_that_is_configured() -> None:
    core = Advertiser(CONFIG, US, least)
    assert core.next_deadline() is None
    assert read(core.start(OLD, 0.0)) == nd.RouterAdvertisement(
        hop_limit=64,
        managed=True,
        other=True,
        lifetime_s=1800,
        mtu=1492,
        prefixes=(nd.PrefixInformation(prefix=OLD, valid_s=5400, preferred_s=2700),),
        rdnss=CONFIG.rdnss,
        rdnss_s=1800,
        dnssl=CONFIG.dnssl,
        dnssl_s=1800,
    )


def test_more_specific_routes_are_valid_as_long_as_the_router_is() -> None:
    config = replace(CONFIG, routes=(IPv6Network("2001:db8::/32"),))
    core = started(config)
    assert (read(core.stop(1.0)).routes, read(core.start(OLD, 2.0)).routes_s) == (
        config.routes,
        1800,
    )
    assert read(core.stop(3.0)).routes_s == 0
    no_default = replace(config, lifetime_s=0)
    assert read(Advertiser(no_default, US, least).start(OLD, 0.0)).routes_s == 1800


def test_flags_of_the_prefix_and_its_absence_are_configured() -> None:
    config = replace(CONFIG, autonomous=False, on_link=False, managed=False, other=False)
    message = read(Advertiser(config, US, least).start(OLD, 0.0))
    assert not (message.managed or message.other)
    assert not (message.prefixes[0].on_link or message.prefixes[0].autonomous)
    assert read(Advertiser(config, US, least).start(None, 0.0)).prefixes == ()


@pytest.mark.parametrize(("entropy", "interval"), [(least, 200.0), (most, 600.0)])
def test_three_advertisements_come_within_16_s_each_and_then_random_ones(
    entropy: Callable[[int], bytes], interval: float
) -> None:
    core = started(entropy=entropy)
    times = [0.0, *(advance(core)[0] for _ in range(4))]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([16.0, 16.0, interval, interval], abs=0.001)


def test_short_intervals_are_kept_also_at_the_beginning() -> None:
    core = started(replace(CONFIG, min_interval_s=3.0, max_interval_s=4.0))
    assert [advance(core)[0] for _ in range(3)] == [3.0, 6.0, 9.0]


def test_a_solicitation_is_answered_within_half_a_second() -> None:
    core = started(entropy=most)
    core.solicited(10.0)
    assert 10.0 < due(core) <= 10.5
    answered, _ = advance(core)
    assert due(core) - answered > 3.0


def test_a_solicitation_does_not_put_off_what_is_due_sooner() -> None:
    core = started(entropy=most)
    core.solicited(15.9)
    assert due(core) == 16.0


def test_solicitations_get_no_more_than_one_answer_in_three_seconds() -> None:
    core = started()
    sent = []
    for tenths in range(1, 100):
        core.solicited(tenths / 10)
        if core.tick(tenths / 10):
            sent.append(tenths / 10)
    assert sent == [3.0, 6.0, 9.0]


def test_stopping_says_that_there_is_no_router_any_more() -> None:
    core = started()
    core.deprecate(NEW, 0.0)
    message = read(core.stop(5.0))
    assert (message.lifetime_s, message.rdnss_s, message.dnssl_s) == (0, 0, 0)
    assert lifetimes(message) == {OLD: (0, 0), NEW: (0, 0)}
    assert core.next_deadline() is None
    assert core.stop(6.0) == []
    core.solicited(7.0)
    core.renumber(NEW, 7.0)
    assert core.next_deadline() is None
    assert core.tick(1000.0) == []


def test_after_a_stop_it_starts_again() -> None:
    core = started()
    core.stop(5.0)
    assert lifetimes(read(core.start(OLD, 6.0))) == {OLD: (2700, 5400)}
    assert due(core) == 22.0


def test_an_old_prefix_is_deprecated_until_it_is_valid_no_longer() -> None:
    core = started()
    core.renumber(NEW, 100.0)
    assert due(core) == 100.0
    _, message = advance(core)
    assert lifetimes(message) == {NEW: (2700, 5400), OLD: (0, 5400)}
    assert due(core) == 116.0  # as at the beginning, three times
    last: dict[IPv6Network, tuple[int, int]] = {}
    now = 100.0
    while True:
        now, message = advance(core)
        if OLD not in lifetimes(message):
            break
        last = lifetimes(message)
        assert last[OLD] == (0, round(5500 - now))
    assert now >= 5500.0
    assert last[OLD][1] <= 600


def test_a_prefix_of_a_long_life_is_deprecated_for_two_hours() -> None:
    core = started(replace(CONFIG, valid_s=86_400))
    core.renumber(NEW, 100.0)
    assert lifetimes(advance(core)[1])[OLD] == (0, 7200)


def test_a_prefix_that_comes_back_is_deprecated_no_longer() -> None:
    core = started()
    core.renumber(NEW, 100.0)
    core.renumber(OLD, 101.0)
    assert lifetimes(advance(core)[1]) == {OLD: (2700, 5400), NEW: (0, 5400)}
    core.deprecate(OLD, 102.0)
    core.renumber(OLD, 110.0)
    assert lifetimes(advance(core)[1])[OLD] == (2700, 5400)


def test_only_the_last_four_old_prefixes_are_announced() -> None:
    core = started()
    nets = list(IPv6Network("2001:db8:1::/61").subnets(new_prefix=64))
    for net in nets[:6]:
        core.deprecate(net, 1.0)
    assert list(lifetimes(advance(core)[1])) == [OLD, *nets[2:6]]


def test_new_settings_are_told_soon_but_not_at_once_again() -> None:
    core = started()
    core.reconfigure(replace(CONFIG, managed=False), 1.0)
    now, message = advance(core)
    assert (now, message.managed) == (3.0, False)


@pytest.mark.parametrize(
    "values",
    [
        {"max_interval_s": 3.9},
        {"max_interval_s": 1801.0},
        {"min_interval_s": 2.9},
        {"min_interval_s": 451.0},
        {"lifetime_s": 599},
        {"lifetime_s": 9001},
        {"preferred_s": 5401},
        {"mtu": 1279},
    ],
)
def test_settings_that_rfc_4861_forbids_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        replace(CONFIG, **values)  # type: ignore[arg-type]


def test_no_router_at_all_is_announced_with_lifetime_0() -> None:
    message = read(Advertiser(replace(CONFIG, lifetime_s=0), US, least).start(OLD, 0.0))
    assert (message.lifetime_s, message.rdnss_s) == (0, 1800)
