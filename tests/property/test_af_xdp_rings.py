"""The rings of the driver af_xdp: data leaves room for control frames, and buffers for them.

Its two functions that fill a ring are run over rings in memory; the device takes frames when the
test says so.
"""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
SLOTS, KEPT, KEPT_BUFFERS, BUFFERS = 2048, 64, 256, 1 << 13
DATA, CONTROL = 0, 1


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out, dataplane = tmp_path_factory.mktemp("af_xdp") / "af_xdp.so", ROOT / "dataplane"
    argv = ["cc", "-O2", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-march=x86-64-v2"]
    argv += [
        "-D_GNU_SOURCE",
        f"-I{dataplane / 'include'}",
        f"-I{dataplane / 'src'}",
        "-o",
        str(out),
    ]
    source = ROOT / "tests/support/c/af_xdp_shim.c"
    subprocess.run([*argv, str(source), "-lxdp"], check=True)
    return ctypes.CDLL(str(out))


def test_data_never_fills_the_ring_and_control_does(library: ctypes.CDLL) -> None:
    library.shim_reset(BUFFERS)
    assert library.shim_send(SLOTS, DATA) == KEPT
    assert library.shim_send(1, DATA) == 1
    assert library.shim_send(KEPT, CONTROL) == 0
    assert library.shim_send(1, CONTROL) == 1
    library.shim_device_sends(KEPT)
    assert library.shim_send(1, DATA) == 1, "what the device took was control's"
    assert library.shim_send(1, CONTROL) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((DATA, CONTROL, None)), st.integers(1, 256)),
        min_size=1,
        max_size=60,
    )
)
def test_each_frame_is_in_the_ring_or_dropped_as_its_kind_says(
    library: ctypes.CDLL, steps: list[tuple[int | None, int]]
) -> None:
    library.shim_reset(BUFFERS)
    library.shim_send(SLOTS - 2 * KEPT, DATA)  # nearly full
    waiting = SLOTS - 2 * KEPT
    for kind, count in steps:
        if kind is None:
            waiting -= library.shim_device_sends(count)
            continue
        room = max(0, SLOTS - waiting - (KEPT if kind == DATA else 0))
        assert library.shim_send(count, kind) == max(0, count - room)
        waiting += min(count, room)
        assert library.shim_waiting() == waiting
        assert library.shim_free() == BUFFERS - waiting
    assert library.shim_freed_twice() == 0


@pytest.mark.parametrize(
    ("free", "missing", "given_away"),
    [
        (KEPT_BUFFERS, SLOTS, 0),
        (KEPT_BUFFERS - 1, SLOTS, 0),
        (KEPT_BUFFERS + 1, SLOTS, 1),
        (KEPT_BUFFERS + 100, 40, 40),
        (BUFFERS, SLOTS, SLOTS),
    ],
)
def test_buffers_that_are_kept_for_control_are_not_given_to_the_device(
    library: ctypes.CDLL, free: int, missing: int, given_away: int
) -> None:
    library.shim_reset(free)
    assert library.shim_refill(missing) == given_away
    assert library.shim_free() == free - given_away
