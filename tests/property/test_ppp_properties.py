"""A PPP link against arbitrary bytes and arbitrary orders of events."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bng.errors import MalformedPacket
from bng.ppp.actions import DownReason, LinkDown
from bng.ppp.packet import build_option, parse_options, parse_packet
from tests.fuzz import fuzz_ppp_link
from tests.fuzz.fuzz_ppp_link import CHAP, IPCP, IPV6CP, LCP, Script, packet

CORPUS = sorted((Path(__file__).parents[1] / "fuzz" / "corpus" / "ppp_link").iterdir())

PROTOCOLS = st.sampled_from([LCP, CHAP, 0xC023, IPCP, IPV6CP, 0x80FD, 0x0021])
OPTIONS = st.lists(
    st.builds(
        build_option,
        st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 129, 130, 131, 255]),
        st.one_of(st.binary(max_size=9), st.sampled_from([bytes(4), bytes(8), b"\x05\xd4"])),
    ),
    max_size=5,
).map(b"".join)
FRAMES = st.one_of(
    st.binary(max_size=64),
    st.builds(packet, PROTOCOLS, st.integers(0, 14), st.integers(0, 255), OPTIONS),
    st.builds(packet, PROTOCOLS, st.integers(0, 14), st.integers(0, 255), st.binary(max_size=60)),
)
RECORDS = st.one_of(
    st.tuples(st.just(0), FRAMES),
    st.tuples(st.integers(2, 6), st.binary(max_size=20)),
    st.tuples(st.just(2), st.sampled_from([b"\0", b"\1", b"\2"])),  # Acks of our requests
    st.tuples(st.just(3), st.sampled_from([bytes(16), bytes(49)])),  # good Responses
    st.tuples(st.just(4), st.just(b"\0")),  # accept
    st.tuples(st.just(7), st.binary(max_size=1)),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 15), st.lists(RECORDS, max_size=40))
def test_no_order_of_events_breaks_a_promise_of_the_link(
    variant: int, records: list[tuple[int, bytes]]
) -> None:
    script = Script(variant)
    for operation, payload in records:
        script.step(operation, payload)
    script.finish()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3), st.integers(0, 8), st.binary(max_size=100))
def test_a_terminate_request_ends_an_opened_link_once_and_soon(
    variant: int, steps: int, data: bytes
) -> None:
    script = Script(variant)
    dial: list[tuple[int, bytes]] = [
        (0, packet(LCP, 1, 1, b"")),
        (2, b"\0"),
        (0, packet(0xC023, 1, 1, b"\1u\1p")),
        (3, bytes(16 if variant == 0 else 49)),
        (4, b"\0"),
        (0, packet(IPCP, 1, 1, bytes.fromhex("03060a000009"))),
        (6, b""),
        (2, b"\1"),
    ]
    for operation, payload in dial[: 2 + steps]:
        script.step(operation, payload)
    assert LCP in script.up
    script.step(0, packet(LCP, 5, 9, data))
    assert script.pass_time(10.0) <= 2
    assert script.downs == 1


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_a_peer_that_talks_nonsense_is_given_up_after_ten_requests(frame: bytes) -> None:
    script = Script()
    script.step(0, frame)
    actions: list[object] = []
    while (at := script.link.next_deadline()) is not None:
        actions += script.link.tick(at)
    assert actions[-1] == LinkDown(DownReason.NO_ANSWER)


@given(st.binary(max_size=200))
def test_parsers_raise_malformed_packet_or_nothing(data: bytes) -> None:
    with contextlib.suppress(MalformedPacket):
        parse_packet(data)
    with contextlib.suppress(MalformedPacket):
        assert b"".join(build_option(*option) for option in parse_options(data)) == data


@given(PROTOCOLS, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=99), st.binary())
def test_a_packet_is_read_back_as_written_with_padding_dropped(
    protocol: int, code: int, identifier: int, data: bytes, padding: bytes
) -> None:
    frame = packet(protocol, code, identifier, data)
    assert parse_packet(frame + padding) == (code, identifier, data)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_fuzz_corpus_passes(path: Path) -> None:
    fuzz_ppp_link.test_one_input(path.read_bytes())
