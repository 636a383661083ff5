import pytest

from bng.errors import MalformedPacket
from bng.ipv6.names import decode_names, encode_name, encode_names


def test_names_are_labels_with_their_lengths() -> None:
    assert encode_name("a.example.") == b"\1a\7example\0"
    assert encode_name("b\u00fccher.example") == b"\x0dxn--bcher-kva\7example\0"
    assert decode_names(encode_names(("a.example", "b"))) == ("a.example", "b")


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, ".".join(["x" * 63] * 4)])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        encode_name(name)


@pytest.mark.parametrize(
    "data",
    [
        b"\1",
        b"\1a",
        b"\2a\0",
        b"\xc0\x0c",
        b"\1.\0",
        b"\1\xff\0",
        (b"\x3f" + b"x" * 63) * 4 + b"\0",
    ],
)
def test_hostile_names_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_names(data)


def test_zeros_behind_the_names_are_padding() -> None:
    assert decode_names(b"\1a\0\0\0\0") == ("a",)
    assert decode_names(bytes(8)) == ()
