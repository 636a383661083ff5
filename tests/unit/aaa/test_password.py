"""Stored passwords: every scheme verifies what it was made from, and nothing else."""

import base64
import hashlib

import pytest

from bng.aaa.password import (
    HASH_METHODS,
    ClearText,
    NtHash,
    Pbkdf2,
    SaltedDigest,
    Scrypt,
    StoredPassword,
    hash_password,
    parse_password,
)

SALT = bytes(range(16))
SECRET = "grüner tee".encode()
STORED = [
    ClearText(SECRET),
    Scrypt.make(SECRET, SALT, ln=4),
    Pbkdf2.make(SECRET, SALT, iterations=10),
    SaltedDigest.make(SECRET, SALT),
    SaltedDigest("sha1", SALT, hashlib.sha1(SECRET + SALT).digest()),
]
KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: type(stored).__name__)
def test_only_the_password_itself_matches(stored: StoredPassword) -> None:
    assert stored.matches(SECRET)
    for wrong in (b"", SECRET[:-1], SECRET + b"!", SECRET.upper()):
        assert not stored.matches(wrong)


@pytest.mark.parametrize("stored", STORED[1:], ids=lambda stored: type(stored).__name__)
def test_what_is_written_reads_back_the_same(stored: StoredPassword) -> None:
    assert parse_password(str(stored)) == stored


def test_plain_text_is_clear_text() -> None:
    assert parse_password("grüner tee") == ClearText(SECRET)


def test_clear_text_can_start_with_a_brace() -> None:
    assert parse_password("{clear}{scrypt}") == ClearText(b"{scrypt}")


def test_an_nt_hash_matches_its_password() -> None:
    stored = parse_password("{nt}8846F7EAEE8FB117AD06BDD830B7586C")  # of "password", well known
    assert isinstance(stored, NtHash)
    assert stored.matches(b"password")
    assert not stored.matches(b"Password")


def test_scrypt_agrees_with_rfc_7914() -> None:
    # RFC 7914 §12: P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1, dkLen=64
    key = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    assert Scrypt(14, 8, 1, b"SodiumChloride", key).matches(b"pleaseletmein")


def test_ldap_ssha_is_taken_as_it_is() -> None:
    digest = hashlib.sha1(b"secret" + b"salt").digest()
    stored = parse_password("{SSHA}" + base64.b64encode(digest + b"salt").decode())
    assert stored.matches(b"secret")


def test_the_largest_scrypt_cost_that_is_allowed_fits_into_its_memory_limit() -> None:
    stored = Scrypt(1, 16, 4, SALT, bytes(32))
    assert not stored.matches(SECRET)  # hashlib raises ValueError when maxmem is too small


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have 1 to 255 bytes"),
        ("x" * 256, "must have 1 to 255 bytes"),
        ("{clear}", "must have 1 to 255 bytes"),
        ("{md5}x", "unknown scheme"),
        ("{nt", "unknown scheme"),
        ("{nt}00", "32 hexadecimal digits"),
        ("{nt}" + "zz" * 16, "32 hexadecimal digits"),
        ("{scrypt}14,8,1$AAAA", "wants LN,R,P$SALT$KEY"),
        (f"{{scrypt}}14,8$AAAA${KEY}", "wants LN,R,P$SALT$KEY"),
        (f"{{scrypt}}17,8,1$AAAA${KEY}", "LN must be a number from 1 to 16"),
        (f"{{scrypt}}14,17,1$AAAA${KEY}", "R must be a number from 1 to 16"),
        (f"{{scrypt}}14,8,5$AAAA${KEY}", "P must be a number from 1 to 4"),
        (f"{{scrypt}}14,8,0$AAAA${KEY}", "P must be a number from 1 to 4"),
        (f"{{scrypt}}14,8,x$AAAA${KEY}", "P must be a number from 1 to 4"),
        (f"{{scrypt}}14,8,²$AAAA${KEY}", "P must be a number from 1 to 4"),
        (f"{{scrypt}}14,8,1$AA!A${KEY}", "not base64"),
        ("{scrypt}14,8,1$AAAA$AAAA", "KEY must have 16 to 64 bytes"),
        (f"{{pbkdf2-sha256}}10$AAAA${KEY}$", "wants ITERATIONS$SALT$KEY"),
        (f"{{pbkdf2-sha256}}1000001$AAAA${KEY}", "from 1 to 1000000"),
        (f"{{ssha256}}{KEY}", "a digest of 32 bytes and a salt"),
        ("{ssha}ü", "not base64"),
    ],
)
def test_what_cannot_be_verified_is_refused_without_being_repeated(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("$", r"\$")) as caught:
        parse_password(text)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("method", HASH_METHODS)
def test_hash_password_makes_what_the_user_file_reads(method: str) -> None:
    stored = parse_password(hash_password(method, "secret", SALT))
    assert stored.matches(b"secret")
    assert not stored.matches(b"Secret")
    assert not isinstance(stored, ClearText)


def test_hash_password_names_its_methods() -> None:
    with pytest.raises(ValueError, match="one of scrypt, pbkdf2-sha256, ssha256, nt"):
        hash_password("md5", "secret", SALT)


def test_hash_password_refuses_what_no_method_carries() -> None:
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        hash_password("nt", "", SALT)
