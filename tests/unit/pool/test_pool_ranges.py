from ipaddress import IPv4Address

import pytest

from bng.pool.ranges import Ipv4Range, segments


def ranges(*texts: str) -> list[Ipv4Range]:
    return [Ipv4Range.parse(text) for text in texts]


def shown(found: list[tuple[int, int]]) -> list[str]:
    return [f"{IPv4Address(first)}-{IPv4Address(last)}" for first, last in found]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("192.0.2.0/24", "192.0.2.0-192.0.2.255"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9"),
        (" 192.0.2.1 - 192.0.2.9 ", "192.0.2.1-192.0.2.9"),
        ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
    ],
)
def test_a_range_is_a_prefix_an_address_or_first_and_last(text: str, meaning: str) -> None:
    assert str(Ipv4Range.parse(text)) == meaning


@pytest.mark.parametrize(
    "text", ["", "x", "192.0.2.1/24", "192.0.2.9-192.0.2.1", "192.0.2.1-", "::1", "1-2-3"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Ipv4Range.parse(text)


@pytest.mark.parametrize(
    ("take", "leave", "left"),
    [
        (["10.0.0.0/30"], [], ["10.0.0.0-10.0.0.3"]),
        (["10.0.0.0/30", "10.0.0.2-10.0.0.9"], [], ["10.0.0.0-10.0.0.9"]),
        (["10.0.0.4/30", "10.0.0.0/30"], [], ["10.0.0.0-10.0.0.7"]),
        (["10.0.0.8/30", "10.0.0.0/30"], [], ["10.0.0.0-10.0.0.3", "10.0.0.8-10.0.0.11"]),
        (["10.0.0.0/29"], ["10.0.0.0", "10.0.0.7"], ["10.0.0.1-10.0.0.6"]),
        (["10.0.0.0/29"], ["10.0.0.3"], ["10.0.0.0-10.0.0.2", "10.0.0.4-10.0.0.7"]),
        (["10.0.0.0/29"], ["10.0.0.2-10.0.1.0"], ["10.0.0.0-10.0.0.1"]),
        (["10.0.0.0/29"], ["9.0.0.0/8", "11.0.0.0/8"], ["10.0.0.0-10.0.0.7"]),
        (["10.0.0.0/29"], ["10.0.0.0/8"], []),
        (
            ["10.0.0.0/30", "10.0.1.0/30"],
            ["10.0.0.2-10.0.1.1"],
            ["10.0.0.0-10.0.0.1", "10.0.1.2-10.0.1.3"],
        ),
    ],
)
def test_segments_are_the_ranges_without_the_exclusions(
    take: list[str], leave: list[str], left: list[str]
) -> None:
    assert shown(segments(ranges(*take), ranges(*leave))) == left
