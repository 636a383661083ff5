"""Clients whose sessions died with the dataplane are told, by what the journal knows of them."""

import asyncio
from dataclasses import dataclass, field

import pytest

from bng.io.lost import BATCH, tell_lost
from bng.pppoe.packet import Code, parse
from bng.session.actions import SendDiscovery
from bng.session.restart import encode
from tests.support.memory_box import memory_box


@dataclass
class Sink:
    """Takes what an executor would carry out; its own dataplane."""

    told: list[SendDiscovery] = field(default_factory=list)
    flushes: int = 0

    @property
    def dataplane(self) -> "Sink":
        return self

    def run(self, todo: list[SendDiscovery]) -> None:
        self.told += todo

    def flush(self) -> bool:
        self.flushes += 1
        return True


def tell(*records: bytes) -> tuple[int, Sink]:
    sink = Sink()
    count = asyncio.run(tell_lost(sink, records))  # type: ignore[arg-type]
    return count, sink


def test_each_client_gets_a_padt_for_his_session_on_his_line() -> None:
    with memory_box() as box:
        box.dial(box.subscriber(1), box.subscriber(2, vlan="100.7"))
        sessions = list(box.manager.table)
        records = [encode(session) or b"" for session in sessions]
    count, sink = tell(*records)
    assert count == len(sink.told) == 2
    for session, padt in zip(sessions, sink.told, strict=True):
        assert (padt.line, padt.destination) == (session.line, session.mac)
        packet = parse(padt.payload)
        assert (packet.code, packet.session_id) == (
            Code.PADT,
            session.method.session_id(session),
        )


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[]", b"x\x9c", b'{"line":[0,[]],"mac":"02","pppoe":1}', b'{"pppoe":1}']
)
def test_a_record_that_cannot_be_read_stops_nobody(record: bytes) -> None:
    with memory_box() as box:
        box.dial(box.subscriber(1))
        good = encode(next(iter(box.manager.table))) or b""
    count, sink = tell(record, good)
    assert (count, len(sink.told)) == (1, 1)


def test_many_are_told_in_batches() -> None:
    with memory_box() as box:
        box.dial(box.subscriber(1))
        record = encode(next(iter(box.manager.table))) or b""
    count, sink = tell(*[record] * (2 * BATCH + 1))
    assert (count, sink.flushes) == (2 * BATCH + 1, 3)
