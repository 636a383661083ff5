import pytest

from bng.ethernet import AccessLine, Mac, VlanTag
from bng.pppoe import holdoff
from bng.pppoe.holdoff import HoldOffs
from bng.pppoe.place import client_of

LINE = AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7)))
MAC = Mac.parse("02:00:5e:00:00:01")
CLIENT = client_of(LINE, MAC)


def penalize(held: HoldOffs, now: float, mac: Mac = MAC) -> None:
    held.penalize(LINE, mac, now, 2.0, 10.0)


def test_each_failure_doubles_the_hold_off_up_to_its_maximum() -> None:
    held = HoldOffs()
    for now, length in [(0.0, 2.0), (3.0, 4.0), (8.0, 8.0), (17.0, 10.0), (28.0, 10.0)]:
        penalize(held, now)
        assert held.holds(CLIENT, now + length - 0.001)
        assert not held.holds(CLIENT, now + length)


def test_failures_are_forgotten_after_quiet() -> None:
    held = HoldOffs()
    penalize(held, 0.0)
    penalize(held, 2.0)
    held.expire(15.999)  # 2 + 4, and 10 of quiet
    assert [entry.failures for entry in held.entries()] == [2]
    assert held.next_deadline() == 16.0
    held.expire(16.0)
    assert held.entries() == []
    assert held.next_deadline() is None


def test_hundreds_of_failures_still_have_a_finite_hold_off() -> None:
    held = HoldOffs()
    for _ in range(2000):
        penalize(held, 0.0)
    assert not held.holds(CLIENT, 10.0)


def test_an_initial_hold_off_of_0_turns_it_off() -> None:
    held = HoldOffs()
    held.penalize(LINE, MAC, 0.0, 0.0, 10.0)
    assert not held.holds(CLIENT, 0.0)
    assert held.entries() == []


def test_other_clients_are_not_held_off() -> None:
    held = HoldOffs()
    penalize(held, 0.0)
    elsewhere = AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 8)))
    assert not held.holds(client_of(elsewhere, MAC), 0.0)
    assert not held.holds(client_of(AccessLine(1, LINE.tags), MAC), 0.0)
    assert not held.holds(client_of(LINE, Mac.parse("02:00:5e:00:00:02")), 0.0)


def test_a_client_that_knew_its_password_starts_again() -> None:
    held = HoldOffs()
    penalize(held, 0.0)
    penalize(held, 0.0)
    held.forgive(LINE, MAC)
    assert not held.holds(CLIENT, 0.0)
    penalize(held, 5.0)
    assert not held.holds(CLIENT, 7.0)


def test_the_operator_clears_by_line_by_mac_or_all() -> None:
    other = Mac.parse("02:00:5e:00:00:02")
    for line, mac, left in [
        (LINE, None, set()),
        (None, other, {MAC}),
        (LINE, MAC, {other}),
        (AccessLine(9), None, {MAC, other}),
        (None, None, set()),
    ]:
        held = HoldOffs()
        penalize(held, 0.0)
        penalize(held, 0.0, other)
        assert held.clear(line, mac) == 2 - len(left)
        assert {entry.mac for entry in held.entries()} == left


def test_the_client_that_failed_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdoff, "MAX_CLIENTS", 3)
    held = HoldOffs()
    macs = [Mac(bytes([2, 0, 0, 0, 0, n])) for n in range(5)]
    for mac in (macs[0], macs[1], macs[2], macs[0], macs[3]):
        penalize(held, 0.0, mac)
    assert [entry.mac for entry in held.entries()] == [macs[2], macs[0], macs[3]]
    for _ in range(20):  # the heap of deadlines is bounded as well
        penalize(held, 0.0, macs[4])
        held.forgive(LINE, macs[4])
    held.expire(12.0)
    assert [entry.mac for entry in held.entries()] == [macs[0]]
