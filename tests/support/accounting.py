"""What an accounting server has of sessions, and checks of it."""

import time
from datetime import UTC, datetime

from tests.support.freeradius import FreeRadius
from tests.support.lab import Lab

Detail = dict[str, dict[str, dict[str, str]]]
"""Records by session and status; those of interim updates are left out."""
OF_THE_BOX = {"Accounting-On", "Accounting-Off"}


def wait_for_spool(lab: Lab, timeout_s: float = 20, groups: set[str] | None = None) -> None:
    """Wait until every record has been answered, by those *groups* of servers, by all without."""
    end = time.monotonic() + timeout_s
    while True:
        shown = lab.ctl_json("show", "accounting")
        rows = [row for row in shown["groups"] if groups is None or row["group"] in groups]
        if not shown["not_written"] and not any(row["on_disk"] for row in rows):
            return
        assert time.monotonic() < end, shown
        time.sleep(0.1)


def sessions(server: FreeRadius) -> Detail:
    """Return the records of each session by status; a record that is there twice is an error."""
    found: Detail = {}
    for record in server.detail():
        status = record["Acct-Status-Type"]
        if status in OF_THE_BOX:
            continue
        of = found.setdefault(record["Acct-Session-Id"], {})
        if status == "Interim-Update":
            continue
        assert status not in of, f"twice: {record}"
        assert status == "Start" or "Start" in of, f"before its Start: {record}"
        of[status] = record
    return found


def box_records(server: FreeRadius) -> list[str]:
    """Return what it was told of the box itself, in order."""
    return [r["Acct-Status-Type"] for r in server.detail() if r["Acct-Status-Type"] in OF_THE_BOX]


def count(found: Detail, status: str) -> int:
    """Return how many sessions have a record of that status."""
    return sum(status in of for of in found.values())


def event_at(record: dict[str, str]) -> float:
    """Return when a record says that its event was, seconds since 1970."""
    text = record["Event-Timestamp"]
    return datetime.strptime(text, "%b %d %Y %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
