"""Public addresses that come and go while the box runs, by reload and by the operator."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bng import settings
from bng.io import drained
from bng.io.nat import nat_table
from bng.session.nat import NatAddresses
from tests.node.test_mirror_commands import adjacency_of
from tests.support.client.layer import Phase
from tests.support.managed_box import Managed, managed_box
from tests.support.nat_traffic import inbound, join_network, outbound, session_of

ADJ_NAT_POOL = 5
OLD, KEPT, NEW = "198.51.100.0", "198.51.100.1", "203.0.113.0"


def pool(*addresses: str, **keys: Any) -> dict[str, Any]:
    return {"pool": [{"name": "public", "addresses": [f"{a}/32" for a in addresses], **keys}]}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    """Return a box with room for eight addresses, which starts with two of them."""
    with managed_box(tmp_path, nat=pool(OLD, KEPT)) as (_, managed):
        managed.box.loop.now = lambda: managed.memory.now  # type: ignore[method-assign]
        join_network(managed.memory)
        managed.memory.turn()
        yield managed


def reload(box: Managed, **nat: Any) -> dict[str, Any]:
    box.write(nat=nat)
    answer = box.ask("reload")
    box.memory.turn()
    return answer


def states(box: Managed) -> dict[str, str]:
    """Return the state of each address, as bngctl shows it."""
    return {row["address"]: row["state"] for row in box.ask("show nat")["data"]["addresses"]}


def routed(box: Managed, address: str) -> bool:
    """Say whether the FIB leads to the NAT table with *address*, and to its entry there."""
    found = adjacency_of(box.memory.embedded, address)
    if found is None or found[0] != ADJ_NAT_POOL:
        return False
    entry = box.memory.dataplane.nat_address[found[1]]
    return int(entry.address).to_bytes(4, "little") == IPv4Address(address).packed


def dial(box: Managed, index: int) -> tuple[IPv4Address, int]:
    """Dial in and send; return what the server saw."""
    memory = box.memory
    client = memory.subscriber(index)
    memory.dial(client)
    assert client.phase is Phase.UP
    seen = outbound(memory, session_of(memory, f"user{index:05d}"), 4_000)
    assert seen is not None
    return seen


def hang_up(box: Managed, index: int) -> None:
    client = box.memory._by_mac[bytes.fromhex("02b0") + index.to_bytes(4, "big")]
    client.terminate("padt", box.memory.now)
    client.deadline = None
    box.memory.run(1.0)


def test_addresses_that_the_configuration_lacks_are_removed_at_the_start(box: Managed) -> None:
    assert states(box) == {OLD: "ready", KEPT: "ready"}
    assert not routed(box, "198.51.100.2")
    assert int(box.memory.dataplane.nat_address[2].address) == 0
    assert box.ask("show nat")["data"]["max_addresses"] == 8


def test_an_added_address_is_usable_at_once(box: Managed) -> None:
    answer = reload(box, **pool(OLD, KEPT, NEW))
    assert answer["data"]["applied"] == ["nat.pool[public].addresses"]
    assert states(box) == {OLD: "ready", KEPT: "ready", NEW: "ready"}
    assert routed(box, NEW)
    seen = {dial(box, index) for index in range(3)}
    assert IPv4Address(NEW) in {address for address, _ in seen}
    assert all(inbound(box.memory, *place) for place in seen)


def test_a_removed_address_keeps_its_sessions_and_then_leaves_fib_and_table(box: Managed) -> None:
    places = [dial(box, index) for index in range(2)]
    (leaving,) = (index for index, place in enumerate(places) if str(place[0]) == OLD)
    reload(box, **pool(KEPT, NEW))
    assert states(box) == {OLD: "draining", KEPT: "ready", NEW: "ready"}
    assert inbound(box.memory, *places[leaving])
    session = session_of(box.memory, f"user{leaving:05d}")
    again = outbound(box.memory, session, 5_000)
    assert again is not None and str(again[0]) == OLD
    assert OLD not in {str(dial(box, index)[0]) for index in range(10, 14)}
    hang_up(box, leaving)
    assert states(box) == {KEPT: "ready", NEW: "ready"}
    assert adjacency_of(box.memory.embedded, OLD) is None
    known = box.memory.dataplane.nat_addresses()
    assert {str(address) for _, address, _, _ in known} == {KEPT, NEW}
    assert not inbound(box.memory, *places[leaving])
    assert inbound(box.memory, *places[1 - leaving])


def test_an_address_that_comes_back_while_it_drains_is_as_before(box: Managed) -> None:
    place = dial(box, 0)
    reload(box, **pool(*{OLD, KEPT} - {str(place[0])}))
    assert states(box)[str(place[0])] == "draining"
    reload(box, **pool(OLD, KEPT))
    assert states(box) == {OLD: "ready", KEPT: "ready"}
    assert inbound(box.memory, *place)


def test_all_can_be_exchanged_and_what_there_is_no_room_for_waits(box: Managed) -> None:
    places = [dial(box, index) for index in range(2)]
    eight = [f"203.0.113.{i}" for i in range(8)]
    reload(box, **pool(*eight))
    data = box.ask("show nat")["data"]
    assert (len(data["addresses"]), data["addresses_waiting"]) == (8, 2)
    for index in range(2):
        hang_up(box, index)
    assert states(box) == dict.fromkeys(eight, "ready")
    assert box.ask("show nat")["data"]["addresses_waiting"] == 0
    assert all(routed(box, address) for address in eight)
    assert not any(inbound(box.memory, *place) for place in places)


def test_more_addresses_than_there_is_room_for_are_refused(box: Managed) -> None:
    answer = reload(box, **pool(*(f"203.0.113.{i}" for i in range(9))))
    assert answer["ok"] is False
    assert "nat.pool: 9 public addresses, the running dataplane has room for 8" in answer["error"]
    assert states(box) == {OLD: "ready", KEPT: "ready"}


def test_an_address_changes_its_mode_when_it_is_empty(box: Managed) -> None:
    inside = ["100.64.0.0/26"]
    computed = pool(OLD, KEPT, mode="deterministic", inside=inside)
    place = dial(box, 0)
    reload(box, **computed)
    assert sorted(states(box).values()) == ["draining", "ready"]
    hang_up(box, 0)
    assert states(box) == {OLD: "ready", KEPT: "ready"}
    rows = box.ask("show nat")["data"]["addresses"]
    assert {row["mode"] for row in rows} == {"deterministic"}
    seen = dial(box, 1)
    assert str(seen[0]) == OLD and 1024 + 10 * 512 <= seen[1] < 1024 + 12 * 512
    assert not inbound(box.memory, *place)


def test_an_address_with_blocks_that_wait_for_the_log_goes_a_second_later(
    box: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = box.memory
    place = dial(box, 0)
    (index,) = (i for i, e in memory.manager.nat.entries.items() if e.address == place[0])
    session = session_of(memory, "user00000")
    reload(box, **pool(*{OLD, KEPT} - {str(place[0])}))
    # a block that nobody has: as one is that the log had no room for
    block = memory.dataplane.session_in[session.index].nat_block - 1
    memory.dataplane.nat_address[index].used_blocks += 1
    hang_up(box, 0)
    assert not routed(box, str(place[0]))
    assert states(box)[str(place[0])] == "leaving"
    memory.dataplane.nat_address[index].used_blocks -= 1
    memory.run(1.5, step=0.1)
    assert str(place[0]) not in states(box)
    assert memory.manager.counters["nat_address_failed"] >= 1
    assert int(memory.dataplane.nat_block[block].session) == 0


def test_the_operator_drains_an_address_and_takes_it_back(box: Managed) -> None:
    place = dial(box, 0)
    address = str(place[0])
    assert box.ask("nat drain", address=address)["data"] == {
        "address": address,
        "state": "draining",
        "sessions": 1,
    }
    assert address not in {str(dial(box, index)[0]) for index in range(10, 14)}
    assert inbound(box.memory, *place)
    hang_up(box, 0)
    assert states(box)[address] == "drained"
    assert routed(box, address)
    assert box.ask("nat undrain", address=address)["data"]["state"] == "ready"
    assert address in {str(dial(box, index)[0]) for index in range(20, 24)}


def restarted(box: Managed) -> NatAddresses:
    """Return the addresses as the next bngd finds them."""
    held = drained.load(box.box.config.system.state_dir)
    found = NatAddresses(nat_table(box.memory.dataplane), held)
    found.reconfigure(settings.nat_pools(box.box.config))
    return found


def test_a_drain_outlives_bngd(box: Managed) -> None:
    assert not (box.directory / drained.FILE_NAME).exists()
    box.ask("nat drain", address=OLD)
    found = restarted(box)
    assert [e.address for e in found.entries.values() if e.takes_sessions] == [IPv4Address(KEPT)]
    assert {found.entries[found._take(0, None).address].address for _ in range(3)} == {  # type: ignore[union-attr]
        IPv4Address(KEPT)
    }
    box.ask("nat undrain", address=OLD)
    assert all(entry.takes_sessions for entry in restarted(box).entries.values())


def test_a_drained_address_that_leaves_its_pool_and_comes_back_is_drained(box: Managed) -> None:
    box.ask("nat drain", address=OLD)
    reload(box, **pool(KEPT))
    assert OLD not in states(box)
    reload(box, **pool(OLD, KEPT))
    assert states(box) == {OLD: "drained", KEPT: "ready"}
    reload(box, **pool(KEPT))
    answer = box.ask("nat undrain", address=OLD)
    assert answer["data"] == {"address": OLD, "state": "in no pool", "sessions": 0}
    reload(box, **pool(OLD, KEPT))
    assert states(box) == {OLD: "ready", KEPT: "ready"}


def test_a_drain_that_cannot_be_kept_says_so(box: Managed) -> None:
    (box.directory / f"{drained.FILE_NAME}.tmp").mkdir()
    answer = box.ask("nat drain", address=OLD)
    assert answer["ok"] is False
    assert answer["error"] == "nat drain: done, but a restart will not know of it: Is a directory"
    assert states(box)[OLD] == "drained"


@pytest.mark.parametrize("text", [b"198.51.100.0\nnonsense\n", b"\xff\xfe"])
def test_a_damaged_file_of_drains_drains_nothing_and_is_logged(tmp_path: Path, text: bytes) -> None:
    (tmp_path / drained.FILE_NAME).write_bytes(text)
    with capture_logs() as logged:
        assert drained.load(tmp_path) == set()
    assert [entry["event"] for entry in logged] == ["drains-not-read"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "nat drain: say which address"),
        ({"address": "x"}, "nat drain: Expected 4 octets in 'x'"),
        ({"address": NEW}, f"nat drain: {NEW} is no address of a NAT pool"),
    ],
)
def test_a_wrong_address_is_refused(box: Managed, args: dict[str, str], error: str) -> None:
    assert box.ask("nat drain", **args) == {"ok": False, "error": error}
