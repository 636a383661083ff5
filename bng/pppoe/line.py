"""What an Access Node tells of a line: the DSL Forum's Vendor-Specific tag (TR-101 Appendix A).

`ROWS` has every sub-option, by its number, with the name and the unit of the RADIUS attribute of
RFC 4679 that carries the same. What is unknown, repeated or of another length than TR-101's is
left out and counted; the rest counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bng.errors import MalformedPacket

Value = int | bytes

CIRCUIT_ID: Final = 0x01
REMOTE_ID: Final = 0x02
MAX_NUMBER: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Row:
    """One sub-option: its name in RFC 4679, its length on the wire, what makes it a value."""

    name: str
    size: int
    read: Callable[[bytes], Value]


def _bps(data: bytes) -> int:
    """Kilobits a second in TR-101, bits a second in RFC 4679: the most that fits, at most."""
    return min(int.from_bytes(data) * 1000, MAX_NUMBER)


def _rate(name: str) -> Row:
    return Row(name, 4, _bps)


def _delay(name: str) -> Row:
    return Row(name, 4, int.from_bytes)  # milliseconds in both


ROWS: Final[Mapping[int, Row]] = {
    0x81: _rate("Actual-Data-Rate-Upstream"),
    0x82: _rate("Actual-Data-Rate-Downstream"),
    0x83: _rate("Minimum-Data-Rate-Upstream"),
    0x84: _rate("Minimum-Data-Rate-Downstream"),
    0x85: _rate("Attainable-Data-Rate-Upstream"),
    0x86: _rate("Attainable-Data-Rate-Downstream"),
    0x87: _rate("Maximum-Data-Rate-Upstream"),
    0x88: _rate("Maximum-Data-Rate-Downstream"),
    0x89: _rate("Minimum-Data-Rate-Upstream-Low-Power"),
    0x8A: _rate("Minimum-Data-Rate-Downstream-Low-Power"),
    0x8B: _delay("Maximum-Interleaving-Delay-Upstream"),
    0x8C: _delay("Actual-Interleaving-Delay-Upstream"),
    0x8D: _delay("Maximum-Interleaving-Delay-Downstream"),
    0x8E: _delay("Actual-Interleaving-Delay-Downstream"),
    0x90: Row("Access-Loop-Encapsulation", 3, bytes),
    0xFE: Row("IWF-Session", 0, bytes),
}
"""Sub-options beside circuit and remote id; RFC 4679 §3.3.3 to §3.3.18 have the same numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineInfo:
    """What a tag says. Circuit and remote id are 1 to 63 bytes in TR-101, anything here.

    *attributes* are (name, value) as in RFC 4679: bits a second, milliseconds, bytes; *ignored*
    says how many sub-options were left out.
    """

    circuit_id: bytes | None = None
    remote_id: bytes | None = None
    attributes: tuple[tuple[str, Value], ...] = ()
    ignored: int = 0


def parse_line_info(data: bytes) -> LineInfo:
    """Read the sub-options behind the vendor id; of a repeated one the first counts.

    Raises: MalformedPacket when a sub-option does not fit: nothing of such a tag is believed.
    """
    found: dict[int, bytes] = {}
    ignored = offset = 0
    while offset < len(data):
        if offset + 2 > len(data):
            raise MalformedPacket("line information ends inside a sub-option")
        option, length = data[offset], data[offset + 1]
        value = data[offset + 2 : offset + 2 + length]
        if len(value) != length:
            raise MalformedPacket(f"line sub-option 0x{option:02x} runs past the end")
        if option in found or not _known(option, length):
            ignored += 1
        else:
            found[option] = value
        offset += 2 + length
    return LineInfo(
        circuit_id=found.get(CIRCUIT_ID),
        remote_id=found.get(REMOTE_ID),
        attributes=tuple(
            (row.name, row.read(found[option])) for option, row in ROWS.items() if option in found
        ),
        ignored=ignored,
    )


def _known(option: int, length: int) -> bool:
    row = ROWS.get(option)
    return option in {CIRCUIT_ID, REMOTE_ID} if row is None else row.size == length
