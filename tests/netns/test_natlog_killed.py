"""bngd is killed with -9 while ports are given out: the log is the table, without a gap.

PREFIX-sub                         PREFIX-bng                      PREFIX-inet
+--------------------------+    +-----------------------+    +-------------------+
| 60 subscribers that      |    |  bngd: kill -9        |    |                   |
| dial again, new ports    |----|  bng-dataplane        |----| inet0             |
| all the time        sub0 |    |    ring -> nat.log    |    |                   |
+--------------------------+    +-----------------------+    +-------------------+
"""

import random
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from bng.natlog.files import all_files
from bng.natlog.lines import Header, Key, Record
from tests.netns.test_break_processes import redialling, settle
from tests.support.client import wire
from tests.support.client.load import LoadClient, Phase
from tests.support.lab import SERVER, Lab, load_users
from tests.support.natlog import entries

_COUNT = 60
_KILLS = 6
LAB_OPTIONS = {
    "config": {
        "session": {"setup_per_s": 1000, "keep_on_stop": False},
        "journal": {"flush_interval_s": 0.02},
        "nat": {"log_mappings": True, "port_block_size": 64, "port_quarantine_s": 0},
    },
    "users": load_users(_COUNT),
}


def frames(client: LoadClient, first_port: int, ports: int) -> Iterator[bytes]:
    """Yield a UDP packet of every subscriber from each of some ports."""
    server = bytes(map(int, SERVER.split(".")))
    for subscriber in client.subscribers:
        if subscriber.phase != Phase.UP:
            continue
        addresses = subscriber.address.packed + server
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 32, 0, 0, 64, 17, 0) + addresses
        ip = ip[:10] + struct.pack("!H", wire.checksum(ip) ^ 0xFFFF) + ip[12:]
        head = subscriber.head + struct.pack("!HH", 34, wire.P_IP) + ip
        for port in range(first_port, first_port + ports):
            yield head + struct.pack("!HHHH", port, 9, 12, 0) + b"nat!"


def open_ports(client: LoadClient, first_port: int, ports: int) -> None:
    for frame in frames(client, first_port, ports):
        client.port.send(frame)


def logged(folder: Path) -> list[Record]:
    """Return every record of the log; all of it is of one run of the dataplane."""
    found = [entry for path in all_files(folder / "nat.log") for entry in entries(path)]
    assert len({entry.boot for entry in found if isinstance(entry, Header)}) == 1
    return [e for e in found if isinstance(e, Record) and e.event[0] != "="]


def replayed(records: list[Record]) -> dict[Key, Record]:
    """Return what is given out after all records; each begins once and ends once."""
    given: dict[Key, Record] = {}
    for record in records:
        if record.event[0] == "+":
            assert record.key not in given, record
            given[record.key] = record
            continue
        assert given.pop(record.key).inner == record.inner
        if record.kind == "block":
            whose = record.key[4:]
            for key in [k for k, r in given.items() if k[0] == "map" and k[4:] == whose]:
                if record.first <= key[2] <= record.last:
                    del given[key]
    return given


def test_the_log_is_the_table_however_often_bngd_is_killed(lab: Lab) -> None:
    rng = random.Random(6)
    state = lab.directory / "state"
    with redialling(lab, _COUNT, rate=4000) as client:
        client.run(timeout_s=5)
        for kill in range(_KILLS):
            open_ports(client, 10_000 + 100 * kill, 50)
            client.serve(rng.uniform(0, 0.06))
            open_ports(client, 20_000 + 100 * kill, 20)
            lab.stop("bngd", signal.SIGKILL)
            open_ports(client, 30_000 + 100 * kill, 30)  # the dataplane gives on
            time.sleep(0.1)
            lab.start_bngd()
            lab.ctl("terminate", "--all", "--yes")  # all blocks go back; everybody dials again
            client.run(timeout_s=1, until=lambda c: not c.up)
            client.run(timeout_s=3, until=lambda c: c.up == _COUNT)
        settle(lab, client)
        open_ports(client, 40_000, 100)  # two blocks each
        client.serve(1.0)

        nat = lab.ask("show nat")
        assert (nat["log"]["lost"], nat["log"]["errors"]) == (0, 0)
        records = logged(state)
        assert [record.sequence for record in records] == list(range(len(records)))
        assert len(records) > _COUNT * _KILLS * 50
        given = list(replayed(records).values())
        blocks = [record for record in given if record.kind == "block"]
        mappings = [record for record in given if record.kind == "map"]
        assert len(blocks) == sum(row["blocks_used"] for row in nat["addresses"]) == 2 * _COUNT
        assert len(mappings) == sum(row["udp"] for row in nat["addresses"]) == 100 * _COUNT
        whose = {(r.outer, port): r.inner for r in blocks for port in range(r.first, r.last + 1)}
        assert all(whose[r.outer, r.first] == r.inner for r in mappings)
        users = {(s["address"], s["user"]) for s in lab.sessions()}
        assert {(record.inner, record.user) for record in blocks} == users
    lab.wait_for_sessions(0)
    lab.stop("bngd")
    records = logged(state)
    assert [record.sequence for record in records] == list(range(len(records)))
    assert not replayed(records)
    assert all(record.user for record in records if record.kind == "block")
