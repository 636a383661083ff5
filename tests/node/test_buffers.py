"""Data may take every packet buffer but those that are kept for control frames."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP

from . import lab
from .edge_cases_twin import bfd
from .harness import ACC, DEFAULT_ARGS, TWIN, WAN, Dataplane, dataplane, lib

BUFFERS, KEPT = 512, 256
"""The fewest that there may be, and what is kept of them."""


@pytest.fixture
def dp() -> Iterator[Dataplane]:
    """Few buffers, of which devices can hold many."""
    args = (arg for arg in DEFAULT_ARGS if not arg.startswith("--buffers"))
    with dataplane(*args, f"--buffers={BUFFERS}") as one:
        lab.furnish(one)
        yield one


def up(count: int) -> list[bytes]:
    return [lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER))] * count


def control(count: int) -> list[bytes]:
    """Build what the kernel sends by the twin, each frame another one."""
    return [bfd(f"198.18.0.{number}") for number in range(count)]


def no_buffer(dp: Dataplane) -> int:
    return int(dp.section(lib.SECTION_WORKER, "struct worker_shared")[0].no_buffer)


def test_when_devices_hold_all_buffers_but_those_kept_control_goes_on_and_data_waits(
    dp: Dataplane,
) -> None:
    dp.hold(BUFFERS - KEPT)
    dp.put(ACC, *up(10))
    dp.put(TWIN, *control(KEPT))
    with pytest.raises(RuntimeError, match="packets left"):
        dp.run()
    assert dp.sent(WAN) == control(KEPT)
    assert no_buffer(dp) > 0, "data that has to wait is counted"
    dp.hold(0)
    dp.run()
    assert len(dp.sent(WAN)) == 10, "data only waited"


@pytest.mark.parametrize("spare", [1, 100])
def test_data_takes_no_more_than_is_over(dp: Dataplane, spare: int) -> None:
    """What nodes make of a vector of data (here fragments) finds those that are kept, too."""
    dp.hold(BUFFERS - KEPT - spare)
    whole = bytes(IP(src=lab.SERVER, dst=lab.CLIENT_IP) / UDP() / bytes(1472))
    frame = lab.ethernet(whole, 0x0800, source=lab.NEIGHBOUR, destination=lab.WAN_MAC)
    dp.receive(WAN, *[frame] * KEPT)
    dp.hold(0)
    assert len(dp.sent(ACC)) == 2 * KEPT, dp.counters()
