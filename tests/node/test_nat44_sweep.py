"""The sweep: every block is visited once a minute, however seldom an idle worker wakes."""

import pytest

from dataplane.binding import NatMode, nat_address_record

from . import lab
from .harness import DEFAULT_ARGS, FEATURE_IN_NAT44, Frame, dataplane, lib

ADDRESSES, UDP_TIMEOUT_S, ROUND_S = 16, 300, 60


@pytest.mark.parametrize("wake_s", [0.02, 0.1], ids=["each 20 ms", "each 100 ms"])
def test_an_idle_worker_visits_every_block_of_its_own_once_a_minute(wake_s: float) -> None:
    """16,384 blocks, half of them of each worker; one mapping on each address."""
    addresses = [f"--nat-address=203.0.113.{i}" for i in range(ADDRESSES)]
    args = (*DEFAULT_ARGS, "--workers=-,-", "--nat-block-size=64", *addresses)
    with dataplane(*args) as dp:
        for i in range(ADDRESSES):
            generation = dp.bind(i, session_id=i + 1, worker=i % 2)
            inner = f"100.64.0.{i + 1}"
            options = {"nat_address": i + 1, "features_in": FEATURE_IN_NAT44, "worker": i % 2}
            dp.up(i, generation, inner, **options)
            frame = Frame(data=lab.udp(inner, lab.SERVER), session=i)
            dp.node("nat44_in2out", [frame], worker=i % 2)
        table = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")
        assert [int(table[i].live[1]) for i in range(ADDRESSES)] == [1] * ADDRESSES
        dp.advance(UDP_TIMEOUT_S - 1, step=wake_s)
        assert sum(int(table[i].live[1]) for i in range(ADDRESSES)) == ADDRESSES
        dp.advance(ROUND_S + 2, step=wake_s)
        assert sum(int(table[i].live[1]) for i in range(ADDRESSES)) == 0


def test_an_address_that_goes_while_it_is_swept_leaves_the_others_in_step() -> None:
    """What is nobody's is passed whole: the next address is swept from its first block on."""
    args = (*DEFAULT_ARGS, "--nat-block-size=64", *(f"--nat-address=203.0.113.{i}" for i in (1, 2)))
    with dataplane(*args) as dp:
        dp.advance(15.0, step=0.1)  # half way through the first
        record = nat_address_record(1, bytes((203, 0, 113, 1)), 0, NatMode.PORT_BLOCKS, on=False)
        assert dp.command(record) == 0
        dp.up(0, dp.bind(0), "100.64.0.1", nat_address=2, features_in=FEATURE_IN_NAT44)
        dp.node("nat44_in2out", [Frame(data=lab.udp("100.64.0.1", lab.SERVER), session=0)])
        table = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")
        dp.advance(UDP_TIMEOUT_S + ROUND_S + 2, step=0.1)
        assert int(table[1].live[1]) == 0
