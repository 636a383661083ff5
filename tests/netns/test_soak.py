"""Subscribers join and leave near capacity on two workers: nothing lost, reordered or leaked.

A short run of ``packaging/bench soak``, and a shorter one of a build with sanitizers. The lab is
drawn in tests/support/soak.py.
"""

import os
from pathlib import Path

import pytest

from tests.bench import soak


def _run(directory: Path, *words: str) -> soak.Result:
    args = soak.arguments(list(words))
    return soak.soak_run(args, directory, prefix=f"t{os.getpid()}s")


@pytest.mark.timeout(180)
def test_joins_and_leaves_near_capacity_lose_and_leak_nothing(tmp_path: Path) -> None:
    result = _run(tmp_path, "--subscribers", "1000", "--churn", "200", "--seconds", "10")
    assert not result.problems()
    assert result.joined > 500, "hardly anybody joined"
    assert result.left > 1500
    assert result.handed_off > result.up.received // 3, "workers handed hardly anything over"
    assert result.after["sessions"] == result.after["nat_slot_bytes"] == 0


@pytest.mark.timeout(300)
def test_the_same_with_sanitizers(tmp_path: Path) -> None:
    words = ("--subscribers", "200", "--churn", "40", "--seconds", "3", "--sanitize")
    result = _run(tmp_path, *words)
    assert not result.problems()
    assert result.joined > 20
    log = (tmp_path / "log" / "bng-dataplane.log").read_text()
    assert "Sanitizer" not in log
    assert "runtime error" not in log
