"""The box's own addresses: what is told of those that other hosts have or claim, and retried."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from itertools import pairwise
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from structlog.testing import capture_logs

from bng.ethernet import Mac
from bng.io import own_addresses
from bng.io.own_addresses import (
    DADFAILED,
    RETRY_MAX_S,
    RETRY_S,
    TENTATIVE,
    Address,
    Claim,
    Found,
    OwnAddresses,
    Port,
)

TAP, PORT = "bng-core", "core"
FOUR, SIX = IPv4Interface("192.0.2.2/24"), IPv6Interface("2001:db8:2::2/64")
LIAR = Mac.parse("02:00:00:00:00:66")


class FakeKernel:
    """Has one IPv6 address, and does what it is asked for."""

    def __init__(self) -> None:
        self.flags = 0
        self.asked: list[str] = []
        self.there = True
        self.refuses = False

    def addresses(self) -> list[Found]:
        others = [Found("eth9", 8, IPv6Interface("2001:db8::9"), 8)]
        return [Found(TAP, 7, SIX, self.flags), *others] if self.there else others

    def renew(self, found: Found, *, dad: bool) -> None:
        self.asked.append(f"renew {found.interface} {'with' if dad else 'without'} dad")
        self.there = not self.refuses
        if self.refuses:
            raise NetlinkError(105, "No buffer space available")
        if not dad:
            self.flags = 0


class FakeDataplane:
    """Has seen claims to addresses, and who has the IPv6 address."""

    def __init__(self) -> None:
        self.claimed: dict[Address, Claim] = {FOUR.ip: Claim(3, LIAR)}
        self.rival: Mac | None = None

    def claims(self, address: Address) -> Claim | None:
        return self.claimed.get(address)

    def advertised(self, port: str, address: IPv6Address) -> Mac | None:
        assert (port, address) == (PORT, SIX.ip)
        return self.rival


class Scene:
    """One routed port, and a clock."""

    def __init__(self, *, dad: bool = True) -> None:
        self.kernel = FakeKernel()
        self.seen = FakeDataplane()
        self.claimed = self.seen.claimed
        ports = {TAP: Port(PORT, (FOUR, SIX), dad)}
        self.own = OwnAddresses(ports, self.seen, self.kernel)
        self.now = 100.0
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def look(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        """Let time pass; return what is logged."""
        self.now += seconds
        with capture_logs() as logs:
            self._runner.run(self.own.look(self.now))
        return [dict(line) for line in logs]

    def state(self) -> object:
        (row,) = (r for r in self.own.rows(PORT, self.now) if r["address"] == str(SIX))
        return row["state"]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def test_addresses_are_read_as_the_kernel_writes_them() -> None:
    line = "20010db8000200000000000000000002 0a 40 00 c8 bng-core\n"
    assert list(own_addresses.read([line])) == [
        Found("bng-core", 10, SIX, 0x80 | TENTATIVE | DADFAILED)
    ]


def test_an_address_that_is_anothers_is_told_shown_and_taken_again(scene: Scene) -> None:
    assert scene.look() == []
    assert (scene.state(), scene.own.alarms(PORT, scene.now)) == ("ready", [])
    scene.kernel.flags = TENTATIVE | DADFAILED
    (told,) = scene.look()
    assert (told["event"], told["log_level"], told["port"]) == ("address-duplicate", "error", PORT)
    assert (told["address"], told["mac"], told["retry_s"]) == (str(SIX), "unknown", 5)
    assert scene.own.alarms(PORT, scene.now) == [f"{SIX} is not in use: another host has it"]
    assert scene.look() == []
    assert scene.look(RETRY_S) == []
    assert scene.kernel.asked == [f"renew {SIX} with dad"]
    scene.seen.rival = LIAR
    (told,) = scene.look()
    assert (told["mac"], told["retry_s"]) == (str(LIAR), 10)
    assert scene.own.alarms(PORT, scene.now) == [f"{SIX} is not in use: {LIAR} has it"]
    scene.look(2 * RETRY_S)
    scene.kernel.flags = TENTATIVE
    assert scene.look() == []
    assert scene.state() == "tentative"
    scene.kernel.flags = 0
    (told,) = scene.look()
    assert (told["event"], told["after_s"]) == ("address-regained", 19)
    assert (scene.state(), scene.own.alarms(PORT, scene.now)) == ("ready", [])


def test_it_is_tried_less_and_less_often_but_for_ever(scene: Scene) -> None:
    scene.kernel.flags = TENTATIVE | DADFAILED
    tries = []
    for _ in range(400):
        before = len(scene.kernel.asked)
        scene.look()
        tries += [scene.now for what in scene.kernel.asked[before:] if what.startswith("renew")]
    gaps = [round(b - a) for a, b in pairwise(tries)]
    assert gaps[:4] == [11, 21, 41, 61]
    assert set(gaps[4:]) == {RETRY_MAX_S + 1}


def test_one_that_the_kernel_took_away_but_did_not_add_is_tried_again(scene: Scene) -> None:
    scene.kernel.flags = TENTATIVE | DADFAILED
    scene.kernel.refuses = True
    scene.look()
    (told,) = scene.look(RETRY_S)
    assert (told["event"], told["port"]) == ("address-not-renewed", PORT)
    scene.look()
    scene.kernel.refuses = False
    assert scene.look(2 * RETRY_S) == []
    assert scene.kernel.asked == [f"renew {SIX} with dad"] * 2
    scene.kernel.flags = 0
    (told,) = scene.look()
    assert told["event"] == "address-regained"


def test_without_dad_it_is_used_at_once() -> None:
    with Scene(dad=False) as scene:
        scene.kernel.flags = TENTATIVE | DADFAILED
        scene.look()
        scene.look()
        assert scene.kernel.asked[-1] == f"renew {SIX} without dad"
        scene.look()
        assert scene.state() == "ready"


@pytest.mark.parametrize("interface", [FOUR, SIX])
def test_claims_are_counted_and_told_at_most_every_ten_seconds(
    scene: Scene, interface: IPv4Interface | IPv6Interface
) -> None:
    scene.claimed[interface.ip] = Claim(3, LIAR)
    assert scene.look() == [], "of before bngd began"
    scene.claimed[interface.ip] = Claim(5, LIAR)
    (told,) = scene.look()
    assert (told["event"], told["log_level"], told["port"]) == ("address-claimed", "warning", PORT)
    assert (told["address"], told["mac"], told["claims"]) == (str(interface), str(LIAR), 2)
    scene.claimed[interface.ip] = Claim(900, LIAR)
    assert scene.look() == []
    scene.claimed[interface.ip] = Claim(1000, LIAR)
    assert [told["claims"] for told in scene.look(9.0)] == [995]
    (alarm,) = scene.own.alarms(PORT, scene.now + 3)
    assert alarm == f"{interface} is claimed by {LIAR}: 1000 times, last 3 s ago"
    scene.look(own_addresses.ALARM_S)
    assert scene.own.alarms(PORT, scene.now) == []
    scene.claimed[interface.ip] = Claim(0, LIAR)
    assert scene.look() == [], "the address was taken away and is back"


def test_an_address_that_is_gone_is_forgotten(scene: Scene) -> None:
    scene.look()
    scene.kernel.addresses = list  # type: ignore[method-assign]
    scene.look()
    assert {row["address"] for row in scene.own.rows(PORT, scene.now)} == {str(FOUR), str(SIX)}
    other = IPv6Interface("fe80::2/64")
    scene.kernel.addresses = lambda: [Found(TAP, 7, other, 0)]  # type: ignore[method-assign]
    scene.look()
    scene.kernel.addresses = list  # type: ignore[method-assign]
    scene.look()
    assert str(other) not in {row["address"] for row in scene.own.rows(PORT, scene.now)}
