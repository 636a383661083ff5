"""``show neighbors`` and ``show control``: the links' other ends, what the kernel gets of them."""

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest

from dataplane.binding import lib
from tests.node import edge_cases_twin as twin
from tests.node import lab
from tests.support.managed_box import Managed


@pytest.fixture
def box(dialled: Managed) -> Managed:
    return dialled


def data(box: Managed, command: str, **args: str) -> Any:
    answer = box.ask(command, **args)
    assert answer["ok"] is True, answer
    return answer["data"]


def last_adjacencies(box: Managed, *kinds: int) -> Iterator[Any]:
    """Write adjacencies on wan0 that nothing else uses."""
    table = box.memory.dataplane.adjacencies
    for number, kind in enumerate(kinds, box.memory.dataplane.header.max_adjacencies - len(kinds)):
        table[number].kind = kind
        table[number].port = box.box.ports["wan0"]
        yield table[number]


def test_neighbours_of_both_families_with_and_without_a_mac(box: Managed) -> None:
    kinds = (lib.ADJ_NEIGHBOUR, lib.ADJ_NEIGHBOUR, lib.ADJ_GLEAN, lib.ADJ_GLEAN, lib.ADJ_FREE)
    four, six, asked, link, gone = last_adjacencies(box, *kinds)
    for entry, last in ((four, 2), (asked, 9), (gone, 11)):
        entry.address = int.from_bytes(ip_address(f"192.0.2.{last}").packed, "little")
    six.ip6 = list(IPv6Address("fe80::5").packed)
    for entry in (four, six):
        entry.rewrite[0:6] = list(lab.NEIGHBOUR)
    four.used = int((box.box.loop.now() - 30) * 1000)
    assert link.port == four.port  # of a connected prefix: no address, no neighbour
    rows = data(box, "show neighbors")
    assert rows == data(box, "show neighbors", port="wan0")
    assert [(row["address"], row["mac"]) for row in rows] == [
        ("192.0.2.2", "02:00:00:00:01:01"),
        ("fe80::5", "02:00:00:00:01:01"),
        ("192.0.2.9", None),
    ]
    assert rows[0]["unused_s"] == pytest.approx(30, abs=5)
    assert rows[1]["unused_s"] is None


def test_what_the_kernel_gets_is_counted_by_protocol(box: Managed) -> None:
    wan = box.box.ports["wan0"]
    for frame, count in ((twin.ospf("192.0.2.8"), 3), (twin.isis("192.0.2.8"), 4_010)):
        for _ in range(count):
            box.memory.embedded.receive(wan, frame)
    rows = {row.pop("class"): row for row in data(box, "show control", port="wan0")}
    assert rows.pop("ospf") == {"port": "wan0", "received": 3, "dropped": 0, "sent": 0}
    isis = rows.pop("isis")
    assert (isis["received"], isis["sent"]) == (4_010, 0)
    assert 0 < isis["dropped"] <= 10, "more than one neighbour may send at once"
    assert set(rows) == {"bgp", "bfd", "routing", "neighbour", "stranger", "other"}
    everything = data(box, "show control")
    assert {row["port"] for row in everything} == {"wan0"}, "access ports have no twin"


@pytest.mark.parametrize("command", ["show neighbors", "show control"])
@pytest.mark.parametrize("port", ["acc0", "bng-wan0", "nowhere"])
def test_only_a_routed_port_has_them(box: Managed, command: str, port: str) -> None:
    answer = box.ask(command, port=port)
    assert answer == {"ok": False, "error": f"port: no routed port {port!r}"}
