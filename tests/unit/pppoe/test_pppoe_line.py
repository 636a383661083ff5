"""What an Access Node tells of a line: the sub-options of TR-101, in the units of RFC 4679."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bng.errors import MalformedPacket
from bng.pppoe.line import LineInfo, parse_line_info
from radius.dictionary import Dictionary

DICTIONARY = Dictionary()
NUMBERS = {
    "Actual-Data-Rate-Upstream": 129,
    "Actual-Data-Rate-Downstream": 130,
    "Minimum-Data-Rate-Upstream": 131,
    "Minimum-Data-Rate-Downstream": 132,
    "Attainable-Data-Rate-Upstream": 133,
    "Attainable-Data-Rate-Downstream": 134,
    "Maximum-Data-Rate-Upstream": 135,
    "Maximum-Data-Rate-Downstream": 136,
    "Minimum-Data-Rate-Upstream-Low-Power": 137,
    "Minimum-Data-Rate-Downstream-Low-Power": 138,
    "Maximum-Interleaving-Delay-Upstream": 139,
    "Actual-Interleaving-Delay-Upstream": 140,
    "Maximum-Interleaving-Delay-Downstream": 141,
    "Actual-Interleaving-Delay-Downstream": 142,
    "Access-Loop-Encapsulation": 144,
    "IWF-Session": 254,
}
"""RFC 4679 §4."""


def option(kind: int, value: bytes = b"") -> bytes:
    return bytes((kind, len(value))) + value


def test_every_sub_option_is_read_in_the_unit_of_its_radius_attribute() -> None:
    numbers = b"".join(option(kind, (kind * 1000).to_bytes(4)) for kind in range(0x81, 0x8F))
    data = option(1, b"eth") + option(2, b"id") + numbers + option(0x90, b"\2\1\5") + option(0xFE)
    info = parse_line_info(data)
    assert (info.circuit_id, info.remote_id, info.ignored) == (b"eth", b"id", 0)
    values = dict(info.attributes)
    assert values.keys() == NUMBERS.keys()
    for name, number in NUMBERS.items():
        if "Rate" in name:
            assert values[name] == number * 1000 * 1000, name  # kbit/s there, bit/s here
        elif "Delay" in name:
            assert values[name] == number * 1000, name
    assert values["Access-Loop-Encapsulation"] == b"\2\1\5"
    assert values["IWF-Session"] == b""


def test_every_name_has_its_number_in_the_radius_dictionary() -> None:
    assert {name: DICTIONARY[name].key for name in NUMBERS} == {
        name: (3561, number) for name, number in NUMBERS.items()
    }


def test_a_rate_that_radius_cannot_carry_is_the_most_that_it_can() -> None:
    assert parse_line_info(option(0x82, bytes(b"\xff" * 4))).attributes == (
        ("Actual-Data-Rate-Downstream", 0xFFFF_FFFF),
    )


@pytest.mark.parametrize(
    "data",
    [
        option(0x81, bytes(2)),
        option(0x81, bytes(5)),
        option(0x90, bytes(2)),
        option(0xFE, b"x"),
        option(0xAA, b"unknown"),
        option(0x00),
        option(0x8F, bytes(4)),
    ],
)
def test_what_is_unknown_or_of_a_wrong_length_is_left_out_and_the_rest_counts(data: bytes) -> None:
    around = option(1, b"a") + data + option(2, b"b")
    assert parse_line_info(around) == LineInfo(circuit_id=b"a", remote_id=b"b", ignored=1)


def test_of_repeated_sub_options_the_first_counts() -> None:
    data = option(1, b"a") + option(1, b"b") + option(0x81, bytes(4)) + option(0x81, b"\1" * 4)
    assert parse_line_info(data) == LineInfo(
        circuit_id=b"a", attributes=(("Actual-Data-Rate-Upstream", 0),), ignored=2
    )


@pytest.mark.parametrize("data", ["01", "0105616263", "010161 81", "010161 8104000000", "fe01"])
def test_of_a_tag_that_does_not_fit_nothing_is_believed(data: str) -> None:
    with pytest.raises(MalformedPacket):
        parse_line_info(bytes.fromhex(data))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=255))))
def test_any_sub_options_are_values_that_radius_carries_or_are_counted(
    options: list[tuple[int, bytes]],
) -> None:
    info = parse_line_info(b"".join(option(kind, value) for kind, value in options))
    taken = len(info.attributes) + (info.circuit_id is not None) + (info.remote_id is not None)
    assert taken + info.ignored == len(options)
    for name, value in info.attributes:
        key, data = DICTIONARY.encode(name, value)
        assert DICTIONARY.decode(key, data) == value
