"""The CoA drill, shortened: 500 changes a second against 1,000 sessions, every ACK true.

`packaging/bench coa` runs it for 20 s; `tests/support/coa_drill.py` says what is held against what.
"""

from tests.bench import coa
from tests.support.coa_drill import NO_ANSWER, WRONG_KINDS
from tests.support.lab import load_users

from .conftest import MakeLab

SESSIONS, CHANGES_PER_S, SECONDS = 1_000, 500, 5


def test_every_acknowledgement_is_true_and_every_wrong_request_has_its_cause(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(config=coa.config(SESSIONS), users=load_users(SESSIONS))
    run = coa.drill(lab, SESSIONS, CHANGES_PER_S, SECONDS)
    assert coa.faults(run) == []
    result = run.result
    assert result.acks == run.shown["acks"] == CHANGES_PER_S * SECONDS
    assert set(result.naks) == {expected for expected, _, _ in WRONG_KINDS} - {NO_ANSWER}
    assert result.probed == CHANGES_PER_S * SECONDS // 25
    assert result.dropped > 0
    assert 0 < run.shown["duplicates"] <= result.repetitions
    counters = lab.ctl_json("show", "dynauth")
    assert counters["dropped"]["wrong_authenticator"] > 0
    assert counters["dropped"]["stale"] > 0
    assert (counters["waiting"], counters["restored"]) == (0, 0)
    assert len(lab.sessions()) == SESSIONS
