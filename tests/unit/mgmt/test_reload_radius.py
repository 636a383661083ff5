"""What a reload changes of accounting and RADIUS: Class, intervals, timing, dictionaries."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bng.aaa.radius import WithoutServer
from bng.aaa.requests import AccountStatus
from bng.session import restart
from bng.session.actions import Account
from bng.session.model import Session
from tests.support.managed_box import Managed, managed_box

from .test_live_features import reload, user

INTERVAL_S = 600
SERVER = {"name": "acct1", "address": "127.0.0.1", "secret": "s", "acct_port": 9}
EXTRA = (
    "VENDOR Sample 9999999\nBEGIN-VENDOR Sample\nATTRIBUTE Sample-{0} 1 string\nEND-VENDOR Sample\n"
)


@dataclass(slots=True)
class Bed:
    """A box that accounts for sessions of the user file, and what it was told of them."""

    box: Managed
    told: list[Account]

    def session(self, name: str = "user00001") -> Session:
        (session,) = (s for s in self.box.memory.manager.table if s.user_name == name)
        return session

    def write(self, **radius: Any) -> None:
        self.box.write(radius={**self.box.config["radius"], **radius})

    def interims(self, seconds: float) -> int:
        """Return how many interim updates come within *seconds*."""
        before = len(self.told)
        self.box.memory.run(seconds, step=1.0)
        return sum(a.status is AccountStatus.INTERIM for a in self.told[before:])


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    radius = {
        "server": [{**SERVER, "roles": ["accounting"]}],
        "accounting": {
            "interim_interval_s": INTERVAL_S,
            "start_delay_s": 0,
            "spool": str(tmp_path / "spool"),
        },
    }
    with managed_box(tmp_path, radius=radius) as (_, box):
        told: list[Account] = []
        box.memory.executor.account = told.append
        box.memory.dial(box.memory.subscriber(1), box.memory.subscriber(2))
        yield Bed(box, told)


def test_classes_of_the_user_file_are_those_of_the_next_record_and_of_an_adoption(
    bed: Bed,
) -> None:
    session = bed.session()
    assert session.accept is not None
    assert session.accept.classes == ()
    assert reload(bed.box, user00001=user(classes=["gold"])) == {"changed": 1}
    assert session.accept.classes == (b"gold",)
    record = bed.box.memory.dataplane.read_control(session.index)
    assert record is not None
    adopted = restart.restore(restart.read(record[1]), session.handle, session.method)
    assert adopted.accept is not None
    assert adopted.accept.classes == (b"gold",)
    assert reload(bed.box, user00001=user(classes=["gold"])) == {}
    assert reload(bed.box, user00001=None) == {"of_unknown_users": 1}
    assert session.accept.classes == (b"gold",)


def test_an_interval_of_the_user_file_counts_at_once_and_for_those_to_come(bed: Bed) -> None:
    assert reload(bed.box, user00001=user(interim_interval_s=60)) == {"changed": 1}
    assert bed.interims(300) in {4, 5}  # user00001 alone; 60 s, 10 % either way
    assert reload(bed.box) == {"changed": 1}
    assert bed.interims(2 * INTERVAL_S) in {3, 4, 5}


def test_what_coa_said_of_accounting_is_reset_by_a_reload(bed: Bed) -> None:
    session = bed.session()
    assert session.accept is not None
    said = {"classes": "CoA oss: Class", "ipv4_pool": "pool"}
    session.accept = replace(
        session.accept, classes=(b"coa",), interim_interval_s=INTERVAL_S, sources=said
    )
    assert reload(bed.box) == {"changed": 1}
    assert (session.accept.classes, session.accept.interim_interval_s) == ((), None)
    assert session.accept.sources == {"ipv4_pool": "pool"}


def test_the_interval_where_nobody_says_one_changes_live(bed: Bed) -> None:
    radius = bed.box.config["radius"]
    reload(bed.box, user00002=user(interim_interval_s=70))
    at = bed.session("user00002").interim_at
    spool = radius["accounting"]["spool"]
    bed.write(accounting={"interim_interval_s": 0, "spool": spool})
    assert reload(bed.box, user00002=user(interim_interval_s=70)) == {"changed": 1}
    assert (bed.session().interim_at, bed.session("user00002").interim_at) == (None, at)
    bed.write(accounting={"interim_interval_s": 60, "spool": spool})
    assert reload(bed.box, user00002=user(interim_interval_s=70)) == {"changed": 1}
    now, due = bed.box.memory.now, bed.session().interim_at
    assert due is not None
    assert now <= due <= now + 60.1
    bed.write(accounting={"interim_interval_s": 60, "spool": spool, "checkpoint_s": 5})
    data = bed.box.ask("reload")["data"]
    needs = {"key": "radius.accounting.checkpoint_s", "needs": "restart bngd"}
    assert (data["applied"], data["not_applied"]) == ([], [needs])


SERVERS = {
    "aaa": {"users": "users.toml", "method": "radius"},
    "radius": {"server": [{**SERVER, "auth_port": 9}]},
}


def test_timing_and_what_happens_without_an_answer_change_live(tmp_path: Path) -> None:
    with managed_box(tmp_path, **SERVERS) as (_, box):
        service = box.box.radius
        assert service.access is not None
        assert service.backend is not None
        radius = {**SERVERS["radius"], "without_server": "profile", "fallback_user": "user00003"}
        timing = {"timeout_s": 5.0, "tries": 7, "give_up_s": 60.0, "queue_limit": 3, "probe_s": 0}
        box.write(**{**SERVERS, "radius": {**radius, **timing}})
        data = box.ask("reload")["data"]
        wanted = {f"radius.{key}" for key in (*timing, "without_server", "fallback_user")}
        assert (set(data["applied"]), data["not_applied"]) == (wanted, [])
        for core in (service.access.link.client, service.acct_clients["main"]):
            group = core.group
            assert [server.name for server in group.servers] == ["acct1"]
            assert (group.timeout_s, group.tries, group.give_up_s) == (5, 7, 60)
            assert (group.queue_limit, group.probe_s) == (3, None)
        policy = service.backend.policy
        assert policy.without_server is WithoutServer.PROFILE
        assert policy.profile is not None
        assert policy.profile.user_name == "user00003"
        box.write(**{**SERVERS, "radius": {**radius, "fallback_user": "nobody"}})
        assert "there is no user nobody" in box.ask("reload")["error"]
        assert service.backend.policy is policy


def test_a_dictionary_that_has_changed_is_named_and_a_wrong_one_refused(tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.write_text(EXTRA.format("One"))
    tables = {**SERVERS, "radius": {**SERVERS["radius"], "dictionaries": ["extra"]}}
    with managed_box(tmp_path, **tables) as (_, box):
        assert box.ask("reload")["data"]["not_applied"] == []
        extra.write_text(EXTRA.format("Two"))
        needs = [{"key": "radius.dictionaries", "needs": "restart bngd"}]
        for _ in range(2):
            assert box.ask("reload")["data"]["not_applied"] == needs
        extra.write_text("ATTRIBUTE nonsense\n")
        error = box.ask("reload")["error"]
        assert f"{tmp_path}/bng.toml" in error
        assert "radius.dictionaries" in error
        box.write(**{**tables, "radius": SERVERS["radius"]})
        assert box.ask("reload")["data"]["not_applied"] == needs
