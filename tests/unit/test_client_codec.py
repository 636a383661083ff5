"""The test client's own MS-CHAPv2 and codec, against RFC 2759 §9.2 and RFC 1320 §A.5."""

import pytest

from tests.support.client import mschap, wire
from tests.support.client.load import percentiles

_AUTHENTICATOR = bytes.fromhex("5b5d7c7d7b3f2f3e3c2c602132262628")
_PEER = bytes.fromhex("21402324255e262a28295f2b3a337c7e")


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_gives_the_digests_of_the_rfc(text: bytes, digest: str) -> None:
    assert mschap.md4(text).hex() == digest


def test_nt_response_is_that_of_the_rfc() -> None:
    response = mschap.nt_response(_AUTHENTICATOR, _PEER, b"User", "clientPass")
    assert response.hex() == "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df"
    success = mschap.authenticator_response("clientPass", response, _PEER, _AUTHENTICATOR, b"User")
    assert success == "S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_an_option_that_reaches_past_the_packet_is_refused() -> None:
    assert wire.options(bytes.fromhex("010405d4")) == [(1, b"\x05\xd4")]
    with pytest.raises(ValueError, match="past the packet"):
        wire.options(bytes.fromhex("010505d4"))
    with pytest.raises(ValueError, match="past the packet"):
        wire.options(bytes.fromhex("0100"))


def test_two_vlan_tags_are_802_1ad_over_802_1q() -> None:
    assert wire.vlan_bytes("100.7").hex() == "88a8006481000007"
    assert wire.vlan_bytes("7").hex() == "81000007"
    assert wire.vlan_bytes(None) == b""


def test_percentiles_count_from_the_smallest() -> None:
    marks = percentiles([float(n) for n in range(101)])
    assert marks == {"p50": 50, "p90": 90, "p99": 99, "max": 100}
