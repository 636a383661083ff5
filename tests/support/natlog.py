"""NAT log records put into a ring by hand, and files of the log read back."""

import gzip
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from bng.natlog.lines import Header, Record, parse
from dataplane.binding import NAT_LOG, Dataplane, NatLogType, Ring, lib

NOON_NS = 1_800_000_000_000_000_000


@dataclass(slots=True)
class Source:
    """Makes records of a worker with sequences in order, as the dataplane does."""

    dataplane: Dataplane
    worker: int = 0
    sequence: int = 0
    made: list[bytes] = field(default_factory=list)

    def put(self, kind: NatLogType, **fields: int | str) -> None:
        """Put one record into the ring."""
        given: dict[str, int | str] = {
            "wall_ns": NOON_NS + self.sequence * 1_000_000,
            "protocol": 0,
            "inner_port": 0,
            "session": 1,
            "generation": 1,
            "inner": "100.64.0.1",
            "outer": "198.51.100.1",
            "first": 1024,
            "last": 1535,
            **fields,
        }
        inner, outer = (IPv4Address(given.pop(name)).packed for name in ("inner", "outer"))
        numbers = (given[n] for n in ("protocol", "inner_port", "session", "generation"))
        record = NAT_LOG.pack(
            *(self.sequence, given["wall_ns"], kind, *numbers, inner, outer),
            *(given["first"], given["last"]),
        )
        self.sequence += 1
        self.made.append(record)
        binding = self.dataplane._binding
        assert lib.binding_push(binding, self.worker, Ring.NAT_LOG, record, len(record), 1) == 1

    def block(self, kind: NatLogType = NatLogType.BLOCK_ALLOCATED, **fields: int | str) -> None:
        """Put the record of a block."""
        self.put(kind, **fields)

    def mapping(self, kind: NatLogType = NatLogType.MAPPING_CREATED, **fields: int | str) -> None:
        """Put the record of a UDP mapping, by default from port 5000 to port 1030."""
        port = {"first": 1030, "last": 1030, "protocol": 17, "inner_port": 5000}
        self.put(kind, **{**port, **fields})


def text_of(path: Path) -> str:
    """Return what a file of the log holds."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")


def entries(path: Path) -> list[Header | Record]:
    """Return all lines of a file; the last one must be whole."""
    text = text_of(path)
    assert text.endswith("\n")
    return [parse(line) for line in text.splitlines()]


def records(path: Path) -> list[Record]:
    """Return the records of a file."""
    return [entry for entry in entries(path) if isinstance(entry, Record)]
