"""Admission follows what can be served."""

from bng.pppoe.pace import BURST_S, MAX_WAIT_S, Pace


def test_a_quiet_box_answers_at_once() -> None:
    pace = Pace(100.0)
    assert pace.slot(10, 200.0) == 200.0


def test_a_storm_is_spread_at_the_pace() -> None:
    pace = Pace(0.0)
    slots = [pace.slot(100, 50.0) for _ in range(200)]
    taken = [slot for slot in slots if slot is not None]
    assert taken == sorted(taken)
    burst = sum(slot == 50.0 for slot in taken)
    assert burst == round(BURST_S * 100) + 1
    assert abs(taken[-1] - (50.0 + (200 - burst) / 100)) < 0.02


def test_who_would_wait_longer_than_its_own_patience_is_not_answered() -> None:
    pace = Pace(0.0)
    slots = [pace.slot(100, 10.0) for _ in range(1000)]
    answered = [slot for slot in slots if slot is not None]
    assert slots[-1] is None
    assert max(answered) <= 10.0 + MAX_WAIT_S
    assert pace.slot(100, 11.0) is not None
