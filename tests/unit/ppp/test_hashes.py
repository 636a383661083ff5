"""MD4, DES, CHAP and MS-CHAP against the numbers printed in the RFCs."""

import pytest

from bng.ppp import chap, mschap
from bng.ppp.credentials import ChapCredentials, MsChap1Credentials, MsChap2Credentials
from bng.ppp.des import des_encrypt
from bng.ppp.md4 import md4

RFC_1320_A_5 = {
    b"": "31d6cfe0d16ae931b73c59d7e0c089c0",
    b"a": "bde52cb31de33e46245e05fbdbd6fb24",
    b"abc": "a448017aaf21d8525fc10ae87aa6729d",
    b"message digest": "d9130a8164549fe818874806e1c7014b",
    b"abcdefghijklmnopqrstuvwxyz": "d79e1c308aa5bbcdeea8ed63df412da9",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": (
        "043f8582f241db351ce627e153e7f0e4"
    ),
    b"1234567890" * 8: "e33b4ddc9c38f2199c3e7b164fcc0536",
}


@pytest.mark.parametrize(("message", "digest"), RFC_1320_A_5.items())
def test_md4_gives_the_digests_of_rfc_1320(message: bytes, digest: str) -> None:
    assert md4(message).hex() == digest


def without_parity(key: str) -> bytes:
    """Strip the parity bit of each octet of an 8-octet key."""
    bits = "".join(f"{octet >> 1:07b}" for octet in bytes.fromhex(key))
    return int(bits, 2).to_bytes(7)


# Known answers of NBS SP 500-20 and one S-box exercise; key, plain, cipher.
DES_KNOWN_ANSWERS = [
    ("133457799BBCDFF1", "0123456789ABCDEF", "85E813540F0AB405"),
    ("0101010101010101", "95F8A5E5DD31D900", "8000000000000000"),
    ("8001010101010101", "0000000000000000", "95A8D72813DAA94D"),
    ("7CA110454A1A6E57", "01A1D6D039776742", "690F5B0D9A26939B"),
    ("0131D9619DC1376E", "5CD54CA83DEF57DA", "7A389D10354BD271"),
]


@pytest.mark.parametrize(("key", "plain", "cipher"), DES_KNOWN_ANSWERS)
def test_des_gives_known_answers(key: str, plain: str, cipher: str) -> None:
    assert des_encrypt(without_parity(key), bytes.fromhex(plain)) == bytes.fromhex(cipher)


def test_rfc_2759_9_3_key_loses_only_its_parity() -> None:
    assert without_parity("FD0B5B5E7F6E34D9") == bytes.fromhex("FC156AF7EDCD6C")


# RFC 2433, appendix B.2
V1_CHALLENGE = bytes.fromhex("102DB5DF085D3041")
V1_HASH = bytes.fromhex("FC156AF7EDCD6C0EDDE3337D427F4EAC")
V1_RESPONSE = bytes.fromhex("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61")

# RFC 2759 §9.2
V2_CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
V2_PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
V2_HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")
V2_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")


def v1(flag: int = 1, response: bytes = V1_RESPONSE) -> MsChap1Credentials:
    return MsChap1Credentials(
        user_name="MyName",
        identifier=1,
        challenge=V1_CHALLENGE,
        response=bytes(24) + response + bytes((flag,)),
    )


def v2(user_name: str = "User", response: bytes = V2_RESPONSE) -> MsChap2Credentials:
    return MsChap2Credentials(
        user_name=user_name,
        identifier=1,
        challenge=V2_CHALLENGE,
        response=V2_PEER_CHALLENGE + bytes(8) + response + b"\0",
    )


def test_the_nt_hash_of_a_text_and_of_its_octets_is_that_of_the_rfcs() -> None:
    assert mschap.nt_hash("MyPw") == mschap.nt_hash(b"MyPw") == V1_HASH
    assert mschap.nt_hash("clientPass") == V2_HASH
    assert md4(V2_HASH).hex().upper() == "41C00C584BD2D91C4017A2A12FA59F3F"


@pytest.mark.parametrize("password", [b"\xff\xfe", "\udcff", "\U0001f600"])
def test_no_password_is_too_strange_to_hash(password: str | bytes) -> None:
    assert len(mschap.nt_hash(password)) == 16


def test_ms_chap_v1_accepts_the_response_of_rfc_2433() -> None:
    assert mschap.challenge_response(V1_CHALLENGE, V1_HASH) == V1_RESPONSE
    assert mschap.verify_v1(v1(), V1_HASH)


def test_ms_chap_v1_refuses_a_wrong_hash_and_a_response_of_lan_manager_only() -> None:
    assert not mschap.verify_v1(v1(), V2_HASH)
    assert not mschap.verify_v1(v1(flag=0), V1_HASH)


def test_ms_chap_v2_gives_the_numbers_of_rfc_2759() -> None:
    challenge = mschap.challenge_hash(V2_PEER_CHALLENGE, V2_CHALLENGE, "User")
    assert challenge.hex().upper() == "D02E4386BCE91226"
    assert mschap.verify_v2(v2(), V2_HASH) == b"S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_ms_chap_v2_leaves_the_domain_out_of_the_hash() -> None:
    assert mschap.verify_v2(v2("BIGCO\\User"), V2_HASH) is not None


def test_ms_chap_v2_refuses_a_wrong_hash_name_or_proof() -> None:
    assert mschap.verify_v2(v2(), V1_HASH) is None
    assert mschap.verify_v2(v2("user"), V2_HASH) is None
    assert mschap.verify_v2(v2(response=bytes(24)), V2_HASH) is None


def test_chap_md5_hashes_identifier_secret_and_challenge() -> None:
    # md5(01 73 65 63 72 65 74 || 00..0f), worked out with md5sum
    response = bytes.fromhex("740e86463bda3a4d7017d6e0fba0699d")
    challenge = bytes(range(16))
    assert chap.chap_response(1, b"secret", challenge) == response
    good = ChapCredentials(user_name="u", identifier=1, challenge=challenge, response=response)
    other = ChapCredentials(user_name="u", identifier=2, challenge=challenge, response=response)
    assert chap.verify(good, b"secret")
    assert not chap.verify(good, b"Secret")
    assert not chap.verify(other, b"secret")
