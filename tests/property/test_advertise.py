"""Router advertisements under any solicitations: their pace (RFC 4861 §6.2.4, §6.2.6)."""

from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bng.ipv6 import nd
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.packet import parse

NETS = list(IPv6Network("2001:db8::/61").subnets(new_prefix=64))
EVENTS = st.lists(
    st.tuples(st.floats(0.0, 20.0), st.sampled_from(["rs", "rs", "rs", "renumber", "settings"])),
    max_size=60,
)


@given(st.integers(), EVENTS, st.floats(4.0, 1800.0))
@settings(max_examples=200, deadline=None)
def test_every_solicitation_is_answered_and_no_two_answers_come_within_3_s(
    seed: int, events: list[tuple[float, str]], longest: float
) -> None:
    config = AdvertiseConfig(
        min_interval_s=max(3.0, longest / 3), max_interval_s=longest, lifetime_s=9000
    )
    core = Advertiser(config, IPv6Address("fe80::1"), Random(seed).randbytes)
    core.start(NETS[0], 0.0)
    now, sent, asked = 0.0, [0.0], []

    def advance(until: float) -> None:
        while (due := core.next_deadline()) is not None and due <= until:
            (advertisement,) = core.tick(due)
            message = nd.parse(parse(advertisement.packet))
            assert isinstance(message, nd.RouterAdvertisement)
            announced = [item.prefix for item in message.prefixes]
            assert len(announced) == len(set(announced)) <= 5
            sent.append(due)

    for number, (seconds, event) in enumerate(events):
        now += seconds
        advance(now)
        match event:
            case "rs":
                core.solicited(now)
                asked.append(now)
            case "renumber":
                core.renumber(NETS[number % len(NETS)], now)
            case _:
                core.reconfigure(config, now)
    advance(now + 4.0)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert all(gap >= 2.999 for gap in gaps)
    assert all(gap <= 16.001 for gap in gaps[:2])
    assert all(gap <= longest + 0.001 for gap in gaps)
    for at in asked:
        assert any(at <= answer <= at + 3.501 for answer in sent)
