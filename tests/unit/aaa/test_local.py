"""The local backend: each method against each form of stored password."""

import hashlib
from collections.abc import Callable

import pytest

from bng.aaa.local import LocalBackend
from bng.aaa.model import (
    AccessAccept,
    AccessReject,
    AccessRequest,
    Backend,
    RejectReason,
    SubscriberProfile,
)
from bng.aaa.password import ClearText, NtHash, Pbkdf2, SaltedDigest, Scrypt, StoredPassword
from bng.aaa.users import User, Users
from bng.ethernet import AccessLine, Mac
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
)

# RFC 2759 §9.2
NAME = "User"
PASSWORD = b"clientPass"
NT_HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")
V2_CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
V2_PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
V2_NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
V2_AUTHENTICATOR = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
# RFC 2433 appendix B.2: challenge and NT response for the password "MyPw"
V1_CHALLENGE = bytes.fromhex("102DB5DF085D3041")
V1_NT_RESPONSE = bytes.fromhex("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61")
V1_PASSWORD = b"MyPw"

SALT = bytes(range(16))
HASHED: list[StoredPassword] = [
    Scrypt.make(PASSWORD, SALT, ln=4),
    Pbkdf2.make(PASSWORD, SALT, iterations=10),
    SaltedDigest.make(PASSWORD, SALT),
]


def backend(stored: StoredPassword) -> LocalBackend:
    profile = SubscriberProfile(user_name=NAME, reply_message="welcome")
    return LocalBackend(Users({NAME: User(stored, profile)}))


def ask(served: Backend, credentials: Credentials) -> AccessAccept | AccessReject:
    request = AccessRequest(
        acct_session_id="1",
        request_id=1,
        credentials=credentials,
        line=AccessLine(0),
        mac=Mac(b"\x02\0\0\0\0\1"),
    )
    answer = served.start(request, now=0.0)
    assert isinstance(answer, AccessAccept | AccessReject)
    return answer


def pap(password: bytes = PASSWORD, name: str = NAME) -> PapCredentials:
    return PapCredentials(user_name=name, password=password)


def chap(password: bytes = PASSWORD, name: str = NAME) -> ChapCredentials:
    challenge = b"sixteen octets.."
    response = hashlib.md5(b"\x07" + password + challenge).digest()
    return ChapCredentials(user_name=name, identifier=7, challenge=challenge, response=response)


def mschap1(nt_response: bytes = V1_NT_RESPONSE) -> MsChap1Credentials:
    return MsChap1Credentials(
        user_name=NAME,
        identifier=1,
        challenge=V1_CHALLENGE,
        response=bytes(24) + nt_response + b"\x01",
    )


def mschap2(nt_response: bytes = V2_NT_RESPONSE) -> MsChap2Credentials:
    return MsChap2Credentials(
        user_name=NAME,
        identifier=1,
        challenge=V2_CHALLENGE,
        response=V2_PEER_CHALLENGE + bytes(8) + nt_response + b"\0",
    )


@pytest.mark.parametrize("stored", [ClearText(PASSWORD), NtHash(NT_HASH), *HASHED])
def test_pap_is_accepted_against_every_form(stored: StoredPassword) -> None:
    answer = ask(backend(stored), pap())
    assert isinstance(answer, AccessAccept)
    assert answer.profile.user_name == NAME
    assert answer.message == "welcome"
    assert answer.authenticator_response is None


@pytest.mark.parametrize("stored", [ClearText(PASSWORD), NtHash(NT_HASH), *HASHED])
def test_pap_with_a_wrong_password_is_rejected(stored: StoredPassword) -> None:
    answer = ask(backend(stored), pap(b"ClientPass"))
    assert answer == AccessReject(RejectReason.WRONG_PASSWORD)


def test_chap_is_accepted_against_clear_text() -> None:
    answer = ask(backend(ClearText(PASSWORD)), chap())
    assert isinstance(answer, AccessAccept)
    assert answer.authenticator_response is None


def test_chap_with_a_wrong_password_is_rejected() -> None:
    answer = ask(backend(ClearText(PASSWORD)), chap(b"ClientPass"))
    assert answer == AccessReject(RejectReason.WRONG_PASSWORD)


@pytest.mark.parametrize("stored", [NtHash(NT_HASH), *HASHED])
def test_chap_against_a_hash_is_rejected_and_the_log_learns_why(stored: StoredPassword) -> None:
    answer = ask(backend(stored), chap())
    assert isinstance(answer, AccessReject)
    assert answer.reason is RejectReason.PASSWORD_NOT_USABLE
    assert answer.detail == "CHAP needs the password as clear text, the user file has a hash"


@pytest.mark.parametrize("stored", [ClearText(PASSWORD), NtHash(NT_HASH)])
def test_mschap_v2_of_rfc_2759_is_accepted_with_its_authenticator_response(
    stored: StoredPassword,
) -> None:
    answer = ask(backend(stored), mschap2())
    assert isinstance(answer, AccessAccept)
    assert answer.authenticator_response == V2_AUTHENTICATOR


def test_mschap_v2_with_a_wrong_response_is_rejected() -> None:
    answer = ask(backend(ClearText(PASSWORD)), mschap2(bytes(24)))
    assert answer == AccessReject(RejectReason.WRONG_PASSWORD)


def test_mschap_v1_of_rfc_2433_is_accepted() -> None:
    answer = ask(backend(ClearText(V1_PASSWORD)), mschap1())
    assert isinstance(answer, AccessAccept)
    assert answer.authenticator_response is None


def test_mschap_v1_with_a_wrong_response_is_rejected() -> None:
    answer = ask(backend(ClearText(V1_PASSWORD)), mschap1(bytes(24)))
    assert answer == AccessReject(RejectReason.WRONG_PASSWORD)


@pytest.mark.parametrize("stored", HASHED)
@pytest.mark.parametrize("credentials", [mschap1(), mschap2()])
def test_mschap_against_a_hash_is_rejected_and_the_log_learns_why(
    stored: StoredPassword, credentials: Credentials
) -> None:
    answer = ask(backend(stored), credentials)
    assert isinstance(answer, AccessReject)
    assert answer.reason is RejectReason.PASSWORD_NOT_USABLE
    assert "needs the password as clear text or {nt}" in answer.detail


@pytest.mark.parametrize("make", [pap, chap])
def test_an_unknown_user_and_a_wrong_password_look_the_same_to_the_peer(
    make: Callable[..., Credentials],
) -> None:
    served = backend(ClearText(PASSWORD))
    unknown, wrong = ask(served, make(name="nobody")), ask(served, make(b"wrong"))
    assert isinstance(unknown, AccessReject) and isinstance(wrong, AccessReject)
    assert unknown.reason is RejectReason.UNKNOWN_USER
    assert unknown.message == wrong.message


def test_an_unknown_user_is_rejected_even_with_the_password_of_the_decoy() -> None:
    served = backend(ClearText(PASSWORD))
    assert served.users.decoy == ClearText(PASSWORD)
    answer = ask(served, pap(name="nobody"))
    assert answer == AccessReject(RejectReason.UNKNOWN_USER)


def test_an_unknown_user_costs_the_check_that_most_users_cost() -> None:
    users = {
        str(n): User(stored, SubscriberProfile(user_name=str(n)))
        for n, stored in enumerate([ClearText(b"x"), HASHED[0], HASHED[0], HASHED[1]])
    }
    assert Users(users).decoy == HASHED[0]


def test_a_file_without_users_rejects_everybody() -> None:
    assert ask(LocalBackend(Users({})), pap()) == AccessReject(RejectReason.UNKNOWN_USER)


def test_user_names_are_compared_exactly() -> None:
    answer = ask(backend(ClearText(PASSWORD)), pap(name="user"))
    assert answer == AccessReject(RejectReason.UNKNOWN_USER)


def test_a_name_that_is_not_utf8_is_an_unknown_user() -> None:
    answer = ask(backend(ClearText(PASSWORD)), pap(name="\udcff"))
    assert answer == AccessReject(RejectReason.UNKNOWN_USER)


def test_a_reload_holds_for_the_next_request() -> None:
    served = backend(ClearText(PASSWORD))
    served.users = backend(ClearText(b"other")).users
    assert ask(served, pap()) == AccessReject(RejectReason.WRONG_PASSWORD)
    assert isinstance(ask(served, pap(b"other")), AccessAccept)


def test_what_the_file_says_for_accounting_comes_with_the_accept() -> None:
    profile = SubscriberProfile(user_name=NAME)
    user = User(ClearText(PASSWORD), profile, classes=(b"gold",), interim_interval_s=300)
    answer = ask(LocalBackend(Users({NAME: user})), pap())
    assert isinstance(answer, AccessAccept)
    assert (answer.classes, answer.interim_interval_s) == ((b"gold",), 300)


def test_secrets_are_in_no_repr_of_answers_and_profiles() -> None:
    answer = ask(backend(ClearText(PASSWORD)), pap())
    assert "clientPass" not in repr(answer)
