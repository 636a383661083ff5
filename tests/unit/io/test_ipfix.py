"""NAT events as IPFIX: decoded by hand after RFC 7011, and by tshark."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.utils import wrpcap

from bng.io.ipfix import TEMPLATES, Encoder
from dataplane.binding import NAT_LOG, NatLogType
from tests.support import tshark

NOON_NS = 1_800_000_000_000_000_000
SIZES = {323: "Q", 8: "4s", 225: "4s", 4: "B", 7: "H", 227: "H", 361: "H", 362: "H", 230: "B"}


def record(kind: NatLogType, number: int = 0) -> bytes:
    addresses = IPv4Address("100.64.0.1").packed, IPv4Address("198.51.100.1").packed
    numbers = (number, NOON_NS + number * 1_000_000, kind, 17, 5000, 3, 1)
    return NAT_LOG.pack(*numbers, *addresses, 1024, 1535)


@dataclass(slots=True)
class Collector:
    """Decodes messages as RFC 7011 says; keeps templates from one to the next."""

    templates: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    records: list[dict[int, object]] = field(default_factory=list)
    following: int = 0

    def take(self, message: bytes) -> list[int]:
        """Take a message; return the ids of its sets."""
        version, length, _, sequence, domain = struct.unpack_from(">HHIII", message)
        assert (version, length, domain) == (10, len(message), 77)
        assert sequence == self.following & 0xFFFFFFFF
        before = len(self.records)
        at, found = 16, []
        while at < length:
            number, size = struct.unpack_from(">HH", message, at)
            assert size >= 4
            found.append(number)
            self._set(number, message[at + 4 : at + size])
            at += size
        assert at == length
        self.following += len(self.records) - before
        return found

    def _set(self, number: int, body: bytes) -> None:
        if number == 2:
            words = iter(struct.unpack(f">{len(body) // 2}H", body))
            for template in words:
                self.templates[template] = [(next(words), next(words)) for _ in range(next(words))]
            return
        fields = self.templates[number]
        layout = struct.Struct(">" + "".join(SIZES[element] for element, _ in fields))
        assert layout.size == sum(size for _, size in fields)
        assert body
        assert len(body) % layout.size == 0
        for values in layout.iter_unpack(body):
            self.records.append(dict(zip((e for e, _ in fields), values, strict=True)))


def messages(encoder: Encoder, *batches: bytes, now: float = 1_800_000_000.0) -> Iterator[bytes]:
    for batch in batches:
        yield from (message for message, _ in encoder.add(batch, now))
    yield from (message for message, _ in encoder.finish(now))


def test_every_kind_of_record_has_its_template_and_event() -> None:
    collector = Collector()
    (message,) = messages(Encoder(77, 1472, 600), b"".join(record(kind) for kind in NatLogType))
    assert collector.take(message) == [2, 257, 256, 258]
    assert collector.templates == {n: list(fields) for n, fields in TEMPLATES.items()}
    time = NOON_NS // 1_000_000
    ends = {323: time, 8: b"\x64\x40\x00\x01", 225: b"\xc6\x33\x64\x01"}
    block, mapping = {361: 1024, 362: 1535}, {4: 17, 7: 5000, 227: 1024}
    assert collector.records == [
        *({**ends, **block, 230: event} for event in (16, 17)),
        *({**ends, **mapping, 230: event} for event in (8, 9, 8, 9)),
        *({**ends, 230: event} for event in (14, 15)),
    ]


@pytest.mark.parametrize("most", [548, 1472])
def test_messages_are_full_and_never_too_long(most: int) -> None:
    kinds = [NatLogType.MAPPING_CREATED] * 5 + [NatLogType.BLOCK_ALLOCATED]
    records = [record(kinds[n % 6], n) for n in range(1_000)]
    collector = Collector()
    sent = list(messages(Encoder(77, most, 600), b"".join(records[:300]), b"".join(records[300:])))
    for message in sent:
        collector.take(message)
        assert len(message) <= most
    assert all(len(message) > most - 30 for message in sent[:-1])
    times = [NOON_NS // 1_000_000 + n for n in range(1_000)]
    assert [found[323] for found in collector.records] == times


def test_templates_come_first_and_again_when_it_is_time() -> None:
    encoder, collector = Encoder(77, 1472, 600), Collector()
    one = record(NatLogType.MAPPING_CREATED)
    assert [collector.take(m) for m in messages(encoder, one, now=1_000.0)] == [[2, 256]]
    assert [collector.take(m) for m in messages(encoder, one, now=1_599.0)] == [[256]]
    assert [collector.take(m) for m in messages(encoder, one, now=1_600.0)] == [[2, 256]]
    assert list(messages(encoder, now=1_700.0)) == []
    assert [collector.take(m) for m in messages(encoder, now=2_200.0)] == [[2]]
    assert [collector.take(m) for m in messages(encoder, one, now=50.0)] == [[2, 256]]  # set back
    assert collector.following == 4


def test_a_record_of_an_unknown_kind_is_left_out() -> None:
    unknown = bytearray(record(NatLogType.MAPPING_CREATED))
    unknown[16] = 200
    encoder, collector = Encoder(77, 1472, 600), Collector()
    for message in messages(encoder, bytes(unknown), record(NatLogType.STATIC_ADDED)):
        collector.take(message)
    assert [found[230] for found in collector.records] == [14]


def test_tshark_reads_what_is_sent(tmp_path: Path) -> None:
    encoder = Encoder(77, 1472, 600)
    sent = list(messages(encoder, b"".join(record(kind) for kind in NatLogType)))
    sent += messages(encoder, record(NatLogType.MAPPING_CREATED) * 60)
    head = IP(src="192.0.2.1", dst="192.0.2.9") / UDP(sport=40_000, dport=4739)
    path = tmp_path / "ipfix.pcap"
    wrpcap(str(path), [head / message for message in sent])
    assert tshark.count(path, "cflow && !_ws.malformed") == len(sent) == 2
    names = [
        *("cflow.sequence", "cflow.od_id", "cflow.srcaddr", "cflow.post_natsource_ipv4_address"),
        *("cflow.nat_event", "cflow.srcport", "cflow.post_naptsource_transport_port"),
        *("cflow.protocol", "cflow.port_range_start", "cflow.port_range_end"),
    ]
    rows = tshark.fields(path, "cflow", *names)
    first = dict(zip(names, rows[0], strict=True))
    assert first["cflow.sequence"] == "0"
    assert first["cflow.od_id"] == "77"
    assert first["cflow.srcaddr"].split(",") == ["100.64.0.1"] * 8
    assert first["cflow.post_natsource_ipv4_address"].split(",") == ["198.51.100.1"] * 8
    assert first["cflow.nat_event"].split(",") == ["16", "17", "8", "9", "8", "9", "14", "15"]
    assert first["cflow.srcport"].split(",") == ["5000"] * 4
    assert first["cflow.post_naptsource_transport_port"].split(",") == ["1024"] * 4
    assert first["cflow.protocol"].split(",") == ["17"] * 4
    assert first["cflow.port_range_start"].split(",") == ["1024"] * 2
    assert first["cflow.port_range_end"].split(",") == ["1535"] * 2
    assert rows[1][0] == "8"
    assert rows[1][4].split(",") == ["8"] * 60
