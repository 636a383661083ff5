"""What pools remember outlives bngd: sticky addresses and prefixes, and those held down."""

import asyncio
import sqlite3
import time
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bng.io import pasts
from bng.io.journal import Journal
from bng.pool.ipv4 import Ipv4PoolConfig, Ipv4Pools
from bng.pool.ipv6 import Ipv6PoolConfig, Ipv6Pools
from bng.pool.ranges import Ipv4Range

FIRST = IPv4Address("10.0.0.0")
PREFIXES = (IPv6Network("2001:db8::/46"),)
STICKY_S, HOLD_S = 100.0, 10.0


class Bngd:
    """The pools of one run of bngd, and its journal; *now* is its clock."""

    def __init__(self, path: Path, now: float = 1_000.0, addresses: str = "10.0.0.0/30") -> None:
        settings = {"sticky_s": STICKY_S, "hold_down_s": HOLD_S}
        self.now = now
        self.journal = Journal(path)
        self.four = Ipv4Pools(
            {"a": Ipv4PoolConfig(ranges=(Ipv4Range.parse(addresses),), **settings)}
        )
        self.six = Ipv6Pools({"d": Ipv6PoolConfig(prefixes=PREFIXES, length=48, **settings)})

    def restore(self) -> None:
        pasts.restore(self.journal, {4: self.four, 6: self.six}, self.now)

    def lost(self, records: list[bytes]) -> None:
        pasts.lost({4: self.four, 6: self.six}, records, self.now)

    def flush(self) -> None:
        pasts.save(self.journal, {4: self.four, 6: self.six}, self.now)
        asyncio.run(self.journal.flush())

    def get(self, user: str) -> IPv4Address | None:
        return self.four.allocate("a", user, self.now)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day: its last item."""
    times = [1.7e9]
    monkeypatch.setattr(time, "time", lambda: times[-1])
    return times


def left(path: Path) -> Bngd:
    """Return a bngd under which alice and bob had addresses, alice a prefix as well."""
    bngd = Bngd(path)
    assert (bngd.get("alice"), bngd.get("bob")) == (FIRST, FIRST + 1)
    prefix = bngd.six.allocate("d", "alice", bngd.now)
    assert prefix is not None
    bngd.six.release(prefix, bngd.now)
    for address in (FIRST, FIRST + 1):
        bngd.four.release(address, bngd.now)
    bngd.flush()
    return bngd


def test_who_comes_back_after_a_restart_gets_what_he_had(path: Path, wall: list[float]) -> None:
    left(path)
    wall.append(wall[-1] + 20)
    bngd = Bngd(path, now=7.0)  # the machine was started anew: so was its clock
    bngd.restore()
    assert bngd.get("carol") == FIRST + 2
    assert bngd.get("bob") == FIRST + 1
    assert bngd.get("alice") == FIRST
    assert bngd.six.remembered("d", "alice") == IPv6Network("2001:db8::/48")


def test_what_is_held_down_stays_so(path: Path, wall: list[float]) -> None:
    left(path)
    bngd = Bngd(path, addresses="10.0.0.0/31")
    bngd.restore()
    assert bngd.get("carol") is None
    bngd.now += HOLD_S
    assert bngd.get("carol") == FIRST, "sticky ones are given when nothing else is left"


def test_what_is_in_use_again_or_gone_has_no_past(path: Path, wall: list[float]) -> None:
    left(path)
    bngd = Bngd(path, addresses="10.0.0.1-10.0.0.2")
    bngd.four.adopt(FIRST + 1, "dave")
    bngd.restore()
    bngd.flush()
    assert bngd.four.stats()["a"].held == 0
    assert list(bngd.journal.pasts()) == ["2001:db8::/48"]


def test_the_journal_follows_what_pools_remember(path: Path, wall: list[float]) -> None:
    bngd = left(path)
    assert bngd.journal.pasts() == {
        "10.0.0.0/32": ("alice", 1.7e9, True),
        "10.0.0.1/32": ("bob", 1.7e9, True),
        "2001:db8::/48": ("alice", 1.7e9, True),
    }
    bngd.now += HOLD_S
    bngd.get("alice")
    bngd.flush()
    assert list(bngd.journal.pasts()) == ["10.0.0.1/32", "2001:db8::/48"]
    bngd.now += STICKY_S
    bngd.four.expire(bngd.now)
    bngd.six.expire(bngd.now)
    bngd.flush()
    assert bngd.journal.pasts() == {}


def test_sessions_that_died_with_the_machine_leave_their_addresses_to_their_users(
    path: Path, wall: list[float]
) -> None:
    bngd = Bngd(path)
    records = [b'{"user": "bob", "ip4": "10.0.0.1"}', b'{"user": "eve"}', b'{"user": 1}', b"["]
    bngd.lost(records)
    assert (bngd.get("alice"), bngd.get("carol"), bngd.get("bob")) == (FIRST, FIRST + 2, FIRST + 1)


@pytest.mark.parametrize(
    "had",
    [
        '["2001:db8:2::/48", [], [], []]',
        '[null, [["2001:db8:2::/48", true, 9.5]], [], []]',
        '["fe80:1::/64", [["2001:db8:2::/48", true, 9.5, 7, "AAE="]], ["2001:db8:1::/48"], []]',
    ],
    ids=["on the link", "delegated, of a short record", "delegated, and others of no pool"],
)
def test_they_leave_their_prefixes_to_them_too(path: Path, wall: list[float], had: str) -> None:
    bngd = Bngd(path)
    bngd.lost([f'{{"user": "bob", "ip4": "10.0.0.1", "ip6": {had}}}'.encode()])
    assert bngd.six.remembered("d", "bob") == IPv6Network("2001:db8:2::/48")
    assert bngd.four.allocate("a", "bob", bngd.now) == FIRST + 1
    bngd.flush()
    assert bngd.journal.pasts() == {"2001:db8:2::/48": ("bob", 1.7e9, True)}
    again = Bngd(path)
    again.restore()
    assert again.six.allocate("d", "eve", again.now) == IPv6Network("2001:db8::/48")
    assert again.six.allocate("d", "bob", again.now) == IPv6Network("2001:db8:2::/48")


@pytest.mark.parametrize("had", ["5", '["2001:db8::/200"]', '[null, [["2001:db8::/48"]], [], []]'])
def test_a_record_with_nonsense_of_ipv6_leaves_the_address_or_nothing(path: Path, had: str) -> None:
    bngd = Bngd(path)
    bngd.lost([f'{{"user": "bob", "ip4": "10.0.0.1", "ip6": {had}}}'.encode()])
    assert bngd.six.remembered("d", "bob") is None
    assert bngd.six.stats()["d"].sticky == 0


def test_what_is_too_old_is_forgotten(path: Path, wall: list[float]) -> None:
    left(path)
    wall.append(wall[-1] + STICKY_S)
    bngd = Bngd(path)
    bngd.restore()
    assert bngd.get("carol") == FIRST
    bngd.flush()
    assert bngd.journal.pasts() == {}


def test_what_cannot_be_read_is_forgotten(path: Path, wall: list[float]) -> None:
    left(path)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO past VALUES ('no network', 'eve', 1.0, 1)")
    bngd = Bngd(path)
    bngd.restore()
    assert bngd.get("alice") == FIRST
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO past VALUES ('10.0.0.2/32', 'eve', 'noon', 1)")
    bngd = Bngd(path)
    with capture_logs() as logs:
        bngd.restore()
    assert [log["event"] for log in logs] == ["pasts-not-read"]
