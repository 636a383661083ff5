"""The Start of accounting that waits for the other IP version: one record for a whole sign-up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bng.session.model import Cause, Counters
from tests.support.client.ipv6 import Wants
from tests.unit.session.test_ipv6_aaa import INTERIM, START, STOP, Bed, bed

__all__ = ["bed"]
BOTH = Wants(delegate=56, address=True)
DELAY_S = 2.0


@pytest.fixture
def late(bed: Bed) -> Iterator[Bed]:
    """Yield a box whose Starts wait."""
    settings = bed.memory.manager.settings
    bed.memory.manager.settings = replace(settings, start_delay_s=DELAY_S)
    yield bed


def statuses(bed: Bed) -> list[str]:
    return [status.name for _, status, _ in bed.told]


def test_one_start_tells_of_all_that_both_versions_brought(late: Bed) -> None:
    late.dial(1, BOTH)
    late.memory.run(1.0, step=0.1)
    assert late.told == []
    late.memory.run(20.0, step=0.1)
    assert statuses(late) == ["START"]
    at, _, pairs = late.told[0]
    session, side = late.session(1), late.side(1)
    assert session.up_at is not None
    assert at - session.up_at == pytest.approx(DELAY_S, abs=0.3)
    assert ("Framed-IP-Address", session.ipv4_address) in pairs
    assert late.said()[1] == [
        ("Framed-IPv6-Prefix", side.prefix),
        ("Framed-IPv6-Address", *side.addresses),
        ("Delegated-IPv6-Prefix", *side.delegated),
    ]


def test_the_start_has_the_time_at_which_the_session_began(late: Bed) -> None:
    actions = []
    late.memory.executor.account = actions.append
    late.dial(1)
    late.memory.run(3.0, step=0.1)
    (start,) = actions
    assert (start.at, start.seconds) == (late.session(1).up_at, 0)


def test_who_gets_one_version_only_is_told_of_at_once(late: Bed) -> None:
    profile = late.memory.manager.backend
    users = profile.users.by_name  # type: ignore[attr-defined]
    assert users["user00002"].profile.ipv6 is None
    settings = late.memory.manager.settings
    off = replace(settings.ipv6, enabled=False)
    late.memory.manager.settings = replace(settings, ipv6=off)
    late.dial(2)
    assert statuses(late) == ["START"]


def test_a_session_that_ends_meanwhile_has_both_records_in_order(late: Bed) -> None:
    client = late.dial(1, BOTH)
    late.memory.run(0.5, step=0.1)
    session = late.session(1)
    client.terminate("padt", late.memory.now)
    late.memory.run(5.0, step=0.1)
    assert statuses(late) == ["START", "STOP"]
    begun, ended = (dict(pairs)["Event-Timestamp"] for _, _, pairs in late.told)
    assert begun == ended == 0  # as the bed has it: the clock of the core is not its own
    assert late.memory.manager.table.get(session.index, session.handle.generation) is None


def test_when_the_dataplane_dies_meanwhile_both_are_said(late: Bed) -> None:
    late.dial(1, BOTH)
    manager = late.memory.manager
    assert manager.accounts.harvest(lambda _: Counters(in_bytes=7), late.memory.now) == 1
    late.memory.executor.run(manager.take())
    assert statuses(late) == ["START", "STOP"]
    assert ("Acct-Terminate-Cause", Cause.NAS_ERROR.acct_terminate_cause) in late.told[-1][2]


def test_what_a_coa_changes_meanwhile_is_in_the_start(late: Bed) -> None:
    late.dial(1, BOTH)
    assert late.order(("User-Name", "user00001"), ("Class", b"gold")) is None
    assert late.order(("User-Name", "user00001"), ("Acct-Interim-Interval", 60)) is None
    assert late.told == []
    late.memory.run(5.0, step=0.1)
    assert statuses(late) == ["START"]
    assert ("Class", b"gold") in late.told[0][2]
    late.memory.run(70.0, step=0.5)
    assert statuses(late) == ["START", "INTERIM"], "the interval is counted from the Start"


def test_what_comes_after_the_start_is_told_by_an_update(late: Bed) -> None:
    late.dial(1)
    late.memory.run(5.0, step=0.1)
    session = late.session(1)
    late.memory.manager.accounts.changed_soon(session, late.memory.now)
    late.memory.run(5.0, step=0.1)
    assert [status for _, status, _ in late.told] == [START, INTERIM]


def test_the_order_of_a_stop_and_its_start_is_kept_when_the_box_drains(late: Bed) -> None:
    for number in (1, 2):
        late.dial(number)
    for number in (1, 2):
        late.memory.manager.end(late.session(number), Cause.ADMIN_REBOOT, "", late.memory.now)
    late.memory.run(1.0, step=0.1)
    by_session: dict[object, list[object]] = {}
    for _, status, pairs in late.told:
        by_session.setdefault(dict(pairs)["Acct-Session-Id"], []).append(status)
    assert list(by_session.values()) == [[START, STOP]] * 2
