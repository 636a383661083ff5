"""The storm after a power cut, small, with an AAA server that takes its time for every answer.

PREFIX-sub                    PREFIX-bng                          PREFIX-inet
+--------------------+    +----------------------------------+    +-----------------------+
| 50 settled, 1,000  |----| acc0  bngd -- lo -- AAA   wan0   |----| inet0 UDP echo        |
|   who dial    sub0 |    |              answers after 2 s   |    |   counts per flow     |
+--------------------+    +----------------------------------+    +-----------------------+
"""

import pytest

from tests.netns.conftest import MakeLab
from tests.support import storm
from tests.support.answering import AnsweringLab

COUNT, RATE, LIMIT_S = 1_000, 250, 40.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("method", "delay_s"), [("chap", 2), ("pap", 4)])
def test_all_get_in_while_the_server_takes_seconds_and_it_is_not_asked_twice(
    make_lab: MakeLab, method: str, delay_s: int
) -> None:
    """With PAP clients ask again every 3 s: what is being asked is not asked anew."""
    config = storm.config(COUNT, RATE)
    lab = make_lab(kind=AnsweringLab, config=config, server=("--delay", str(delay_s)))
    assert isinstance(lab, AnsweringLab)
    came = storm.run(lab, COUNT, LIMIT_S, "--auth", method)
    assert came.opened == COUNT, came.result
    assert (came.traffic.lost, came.traffic.duplicated) == (0, 0), "the storm disturbed others"
    everybody = COUNT + storm.SETTLED
    asked = came.server
    assert (asked["access"], asked["users"], asked["users_asked_again"]) == (
        everybody,
        everybody,
        0,
    ), asked
    # Before its first answer nobody knows that it is slow, and now and then it is slower than that.
    assert asked.get("access_repeated", 0) <= 2 * storm.SETTLED + COUNT // 4, asked
    rows = {row["role"]: row for row in lab.ctl_json("show", "radius")}
    access = rows["authentication"]
    assert access["retransmits"] == asked.get("access_repeated", 0)
    assert (access["accepts"], access["timeouts"], access["deaths"]) == (everybody, 0, 0)
