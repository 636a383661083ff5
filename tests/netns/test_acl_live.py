"""ACLs of a subscriber with a real client: applied live, counted rule by rule, taken away live.

guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
+------------------------+   +------+   +----------------------+   +-----------------------+
| ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 192.0.2.2       |
+------------------------+   +------+   |        bngctl reload |   |   HTTP                |
  User Mode Linux: fetches a page       +----------------------+   +-----------------------+
  again and again
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import uml
from tests.support.lab import SERVER, Lab

FETCH = f"curl -sS -m 2 http://{SERVER}/ >/dev/null && echo GOT-IT || echo REFUSED"
COMMANDS = f"for i in $(seq 600); do {FETCH}; ping -c 1 -W 1 {SERVER} >/dev/null; sleep 0.1; done"
RULES = [f"reject tcp any {SERVER} port 80", "permit icmp any any"]
BACK = [f"deny tcp {SERVER} port 80 any"]


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Iterator[uml.Dial]:
    """Dial, and fetch pages until the tests are over."""
    with uml.dial_in_background(lab.sub, "sub0", "alice", "wonder", COMMANDS, limit_s=120) as dial:
        dial.wait_for("GOT-IT")
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


def fetches(guest: uml.Dial) -> list[str]:
    return [line for line in guest.output().split() if line in ("GOT-IT", "REFUSED")]


def next_fetches(guest: uml.Dial) -> set[str]:
    """Return how the next two whole fetches end."""
    seen = len(fetches(guest)) + 1  # one may be under way
    wait_until(lambda: len(fetches(guest)) >= seen + 2)
    return set(fetches(guest)[seen : seen + 2])


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
