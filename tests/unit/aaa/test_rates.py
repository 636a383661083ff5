"""Rates in our notation and in the dialects of RADIUS servers."""

import pytest

from bng.aaa import rates
from bng.aaa.model import RatePolicy, default_burst_bytes
from bng.aaa.rates import Rates


def plain(cir_bps: int) -> RatePolicy:
    return RatePolicy(cir_bps=cir_bps, cbs_bytes=default_burst_bytes(cir_bps))


@pytest.mark.parametrize(
    ("text", "bits"), [("1000", 1000), ("512k", 512_000), ("20M", 20_000_000), ("1G", 10**9)]
)
def test_rates_may_have_a_unit(text: str, bits: int) -> None:
    assert rates.own(text) == plain(bits)


def test_our_own_notation_says_bursts_and_a_peak() -> None:
    assert rates.own("10M cbs=20000 ebs=30000") == RatePolicy(
        cir_bps=10_000_000, cbs_bytes=20_000, ebs_bytes=30_000
    )
    assert rates.own("10M pir=20M") == RatePolicy(
        cir_bps=10_000_000, cbs_bytes=250_000, pir_bps=20_000_000, pbs_bytes=500_000
    )


@pytest.mark.parametrize(
    "text",
    (
        *("", "fast", "10X", "999", "10M 5", "10M cbs=1", "10M cbs=x", "10M pir=5M"),
        *("10M cbs=1 cbs=2", "10M ebs=3000 pir=20M", "10M mtu=3", "-5", "9999999999G"),
    ),
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rates.own(text)


def test_a_filter_id_of_two_rates_is_down_and_up_in_kbit() -> None:
    assert rates.filter_id("20000/5000") == Rates(plain(5_000_000), plain(20_000_000))
    assert rates.filter_id("20M/512k") == Rates(plain(512_000), plain(20_000_000))
    for name in ("customers", "a/b", "10/", "/10"):
        assert rates.filter_id(name) is None
    with pytest.raises(ValueError, match="a rate of 0 bit/s"):
        rates.filter_id("0/5000")


def test_cisco_rate_limits_are_input_and_output_with_their_bursts() -> None:
    tail = "conform-action transmit exceed-action drop"
    up = RatePolicy(cir_bps=512_000, cbs_bytes=96_000, ebs_bytes=96_000)
    text = f"lcp:interface-config#1=rate-limit input 512000 96000 192000 {tail}"
    assert rates.cisco(text) == Rates(up=up)
    down = RatePolicy(cir_bps=2_000_000, cbs_bytes=8_000)
    text = f"lcp:interface-config=rate-limit output 2000000 8000 8000 {tail}"
    assert rates.cisco(text) == Rates(down=down)
    assert rates.cisco("ip:addr-pool=main") is None
    with pytest.raises(ValueError, match="only conform-action transmit"):
        rates.cisco("lcp:interface-config=rate-limit input 512000 96000 192000 drop")


def test_mikrotik_rates_are_rx_and_tx_of_the_router() -> None:
    assert rates.mikrotik("5M/20M") == Rates(plain(5_000_000), plain(20_000_000))
    assert rates.mikrotik("5M") == Rates(plain(5_000_000), plain(5_000_000))
    assert rates.mikrotik("0/20M") == Rates(None, plain(20_000_000))


def test_mikrotik_bursts_become_the_bytes_above_the_rate() -> None:
    """20M for 10M * 8 s / 20M = 4 s: 10M * 4 s / 8 = 5,000,000 bytes above the rate."""
    found = rates.mikrotik("10M/10M 20M/20M 10M/10M 8/8 5 1M/1M")
    assert found.up == found.down == RatePolicy(cir_bps=10_000_000, cbs_bytes=5_000_000)
    assert rates.mikrotik("10M 0/0 5M 8") == Rates(plain(10_000_000), plain(10_000_000))


@pytest.mark.parametrize("text", ["", "x/y", "5M/20M z", "5M/20M 10M 5M x"])
def test_what_is_no_mikrotik_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rates.mikrotik(text)
