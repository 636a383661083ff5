"""``nat lookup``: from the tables, and from the log."""

import time

import pytest

from tests.node import lab
from tests.support.managed_box import Managed

from .test_sight import ACC, ADDRESS, client_frame, data


@pytest.fixture
def box(dialled: Managed) -> Managed:
    """Return a box in which user00001 has a UDP mapping of port 4000."""
    dialled.memory.embedded.receive(ACC, client_frame(dialled, lab.udp(ADDRESS, "192.0.2.77")))
    return dialled


def public_port(box: Managed) -> tuple[str, int]:
    """Return the public address and the first port of user00001's block."""
    box.box.nat_log.flush()
    (record,) = [r for r in box.box.nat_log.given.values() if r.user == "user00001"]
    return record.outer, record.first


def mapped_port(box: Managed, address: str, first: int) -> int:
    for port in range(first, first + 512):
        if len(data(box.ask("nat lookup", address=address, port=str(port)))["holders"]) > 1:
            return port
    raise LookupError("no mapping")


def test_without_a_time_the_tables_answer(box: Managed) -> None:
    address, first = public_port(box)
    port = mapped_port(box, address, first)
    block, mapping = data(box.ask("nat lookup", address=address, port=str(port)))["holders"]
    session = next(s for s in box.box.manager.table if s.user_name == "user00001")
    assert (block["kind"], block["user"], block["inner"]) == ("block", "user00001", ADDRESS)
    assert (block["id"], block["to"]) == (session.acct_session_id, None)
    assert (block["port_first"], block["port_last"]) == (first, first + 511)
    assert (mapping["kind"], mapping["protocol"], mapping["inner_port"]) == ("mapping", "udp", 4000)
    assert (mapping["user"], mapping["remote"]) == ("user00001", "192.0.2.77")
    only = data(box.ask("nat lookup", address=address, port=str(port), protocol="tcp"))["holders"]
    assert [row["kind"] for row in only] == ["block"]
    assert data(box.ask("nat lookup", address=address, port="80")) == {"holders": []}
    assert data(box.ask("nat lookup", address="192.0.2.9", port="80")) == {"holders": []}


def test_a_block_without_a_record_is_found_in_the_table(box: Managed) -> None:
    address, first = public_port(box)
    box.box.nat_log.given.clear()  # as of deterministic pools
    (block, *_) = data(box.ask("nat lookup", address=address, port=str(first + 5)))["holders"]
    assert (block["user"], block["inner"], block["from"]) == ("user00001", ADDRESS, None)
    assert (block["port_first"], block["port_last"]) == (first, first + 511)


def test_with_a_time_the_log_answers_even_for_who_has_left(box: Managed) -> None:
    address, first = public_port(box)
    then = f"{time.time():.6f}"
    time.sleep(0.001)
    session = next(s for s in box.box.manager.table if s.user_name == "user00001")
    box.box.terminate([session])
    box.memory.run(5.0)
    assert data(box.ask("nat lookup", address=address, port=str(first))) == {"holders": []}
    answer = data(box.ask("nat lookup", address=address, port=str(first), time=then))
    (row,) = answer["holders"]
    assert (row["user"], row["id"]) == ("user00001", session.acct_session_id)
    assert row["from"] < row["to"]
    assert row["ended"] == "released"
    assert answer["damaged"] == 0
    before = data(box.ask("nat lookup", address=address, port=str(first), time="1700000000"))
    assert before["holders"] == []
    assert before["begins"].startswith("20")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"port": "1"}, "address: not an IPv4 address: None"),
        ({"address": "x", "port": "1"}, "address: not an IPv4 address: 'x'"),
        ({"address": "192.0.2.1"}, "port: is missing"),
        ({"address": "192.0.2.1", "port": "65536"}, "port: a whole number, 0 to 65535"),
        (
            {"address": "192.0.2.1", "port": "1", "time": "noon"},
            "nat lookup: time 'noon': RFC 3339",
        ),
        ({"address": "192.0.2.1", "port": "1", "protocol": "x"}, "protocol: icmp, tcp"),
    ],
)
def test_what_makes_no_sense_is_an_error(still: Managed, args: dict[str, str], error: str) -> None:
    answer = still.ask("nat lookup", **args)
    assert answer["ok"] is False
    assert answer["error"].startswith(error)


def test_a_log_that_is_gone_is_an_error(box: Managed) -> None:
    path = box.box.nat_log.path
    path.unlink()
    path.mkdir()
    answer = box.ask("nat lookup", address="192.0.2.1", port="1", time="1800000000")
    assert answer["ok"] is False
    assert "nat.log" in answer["error"]
