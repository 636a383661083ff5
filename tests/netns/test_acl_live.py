"""ACLs of a subscriber with a real client: applied live, counted rule by rule, taken away live.

guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
+------------------------+   +------+   +----------------------+   +-----------------------+
| ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 192.0.2.2       |
+------------------------+   +------+   |        bngctl reload |   |   2001:db8:2::2  HTTP |
  User Mode Linux: fetches a page       +----------------------+   +-----------------------+
  again and again, of both families
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import uml
from tests.support.lab import SERVER, Lab
from tests.support.lab6 import SERVER6, DualLab

LAB_OPTIONS = {"kind": DualLab}
FETCH = f"curl -sS -m 2 http://{SERVER}/ >/dev/null && echo GOT-IT || echo REFUSED"
FETCH6 = f"curl -sS -m 2 'http://[{SERVER6}]/' >/dev/null && echo GOT-IT-6 || echo REFUSED-6"
PINGS = f"ping -c 1 -W 1 {SERVER} >/dev/null; ping -6 -c 1 -W 1 {SERVER6} >/dev/null"
COMMANDS = f"for i in $(seq 600); do {FETCH}; {FETCH6}; {PINGS}; sleep 0.1; done"
RULES = [f"reject tcp any {SERVER} port 80", "permit icmp any any"]
BACK = [f"deny tcp {SERVER} port 80 any"]
RULES6 = [f"reject tcp any {SERVER6} port 80", "permit icmpv6 any any"]


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Iterator[uml.Dial]:
    """Dial, and fetch pages until the tests are over."""
    with uml.dial_in_background(
        lab.sub, "sub0", "alice", "wonder", COMMANDS, want="4 6 g", limit_s=120
    ) as dial:
        dial.wait_for("GOT-IT-6")
        yield dial


def reload(lab: Lab, acls: list[dict[str, Any]], **attributes: str) -> dict[str, Any]:
    """Reload with these ACLs, and with *attributes* for alice."""
    lab.config["acl"] = acls
    lab.users["alice"] = {"password": "wonder", **attributes}
    lab.write_config()
    answer: dict[str, Any] = lab.ctl_json("reload")
    return answer


def wait_until(what: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def fetches(guest: uml.Dial, family: str) -> list[str]:
    words = (f"GOT-IT{family}", f"REFUSED{family}")
    return [line for line in guest.output().split() if line in words]


def next_fetches(guest: uml.Dial, family: str = "") -> set[str]:
    """Return how the next two whole fetches end; *family* is "-6" for those of IPv6."""
    seen = len(fetches(guest, family)) + 1  # one may be under way
    wait_until(lambda: len(fetches(guest, family)) >= seen + 2)
    return set(fetches(guest, family)[seen : seen + 2])


def counts(lab: Lab, acl: str, key: str) -> list[int]:
    return [int(row[key]) for row in lab.ctl_json("show", "acls", acl)]


def test_an_acl_is_applied_counted_and_taken_away_while_the_session_lives(
    lab: Lab, guest: uml.Dial
) -> None:
    (before,) = lab.sessions()
    web = {"name": "no-web", "default": "permit", "rules": RULES}
    assert reload(lab, [web], acl_in="no-web")["sessions_changed"] == 1
    assert next_fetches(guest) == {"REFUSED"}
    rejected, pings, _ = counts(lab, "no-web", "in_packets")
    assert rejected >= 2 and pings >= 1
    assert "curl: (7)" in guest.output(), "told at once, not timed out"
    drops = lab.ctl_json("show", "session", "alice")["in_drops_by_reason"]["acl"]
    assert drops >= rejected

    back = {"name": "no-answer", "default": "permit", "rules": BACK}
    assert reload(lab, [web, back], acl_out="no-answer")["sessions_changed"] == 1
    kept = counts(lab, "no-web", "in_packets")
    assert next_fetches(guest) == {"REFUSED"}
    assert counts(lab, "no-web", "in_packets") == kept, "no session has it"
    denied, others = counts(lab, "no-answer", "out_packets")
    assert denied >= 2 and others >= 1
    assert counts(lab, "no-answer", "in_packets") == [0, 0]

    assert reload(lab, [])["sessions_changed"] == 1
    assert next_fetches(guest) == {"GOT-IT"}
    reload(lab, [])  # what sessions had when the ACLs left the file stays until the next reload
    assert lab.ctl_json("show", "acls") == []
    (after,) = lab.sessions()
    assert (after["id"], after["state"]) == (before["id"], "up"), "the same session"


def test_one_of_ipv6_stops_that_family_alone_and_lets_it_go_on(lab: Lab, guest: uml.Dial) -> None:
    (before,) = lab.sessions()
    assert next_fetches(guest, "-6") == {"GOT-IT-6"}
    web = {"name": "no-web-6", "default": "permit", "rules": RULES6}
    assert reload(lab, [web], acl_in="no-web-6")["sessions_changed"] == 1
    assert next_fetches(guest, "-6") == {"REFUSED-6"}
    assert next_fetches(guest) == {"GOT-IT"}
    assert "curl: (7)" in guest.output().rpartition("GOT-IT-6")[2], "told at once, not timed out"
    rejected, pings, others = counts(lab, "no-web-6", "in_packets")
    assert rejected >= 2 and pings >= 1 and others >= 1
    drops = lab.ctl_json("show", "session", "alice")["in_drops_by_reason"]["acl"]
    assert drops >= rejected

    assert reload(lab, [])["sessions_changed"] == 1
    assert next_fetches(guest, "-6") == {"GOT-IT-6"}
    (after,) = lab.sessions()
    assert (after["id"], after["state"]) == (before["id"], "up"), "the same session"
