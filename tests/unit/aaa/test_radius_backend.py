"""What a RADIUS answer means, and what happens without one."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bng.aaa import requests
from bng.aaa.model import (
    AccessAccept,
    AccessReject,
    AccessRequest,
    Pending,
    RejectReason,
    SubscriberProfile,
)
from bng.aaa.radius import Policy, Question, RadiusBackend, Reply, WithoutServer
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import Nas
from bng.ethernet import AccessLine, Mac, VlanTag
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
    decode_name,
    encode_name,
)

PAP = PapCredentials(user_name="alice", password=b"secret")
CHAP = ChapCredentials(user_name="alice", identifier=7, challenge=b"c" * 16, response=b"r" * 16)
MSCHAP1 = MsChap1Credentials(
    user_name="alice", identifier=7, challenge=b"c" * 8, response=b"l" * 24 + b"n" * 24 + b"\1"
)
MSCHAP2 = MsChap2Credentials(
    user_name="alice",
    identifier=7,
    challenge=b"c" * 16,
    response=b"p" * 16 + bytes(8) + b"n" * 24 + b"\0",
)
LINE = AccessLine(2, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7)))


class Asker:
    """A backend and the questions that it asked."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.questions: list[Question] = []
        self.withdrawn: list[tuple[int, int]] = []
        self.backend = RadiusBackend(
            nas=Nas(
                identifier="bng1",
                ip4=IPv4Address("192.0.2.1"),
                ports={2: "acc0"},
                calling_station_id="{mac_dashes} {circuit_id}",
                nas_port_id="{port} {svid}/{cvid}",
            ),
            offered=Offered(),
            policy=policy or Policy(),
            ask=self.questions.append,
            withdraw=self.withdrawn.append,
            entropy=lambda size: bytes(size),
        )

    def ask(
        self, credentials: Credentials = PAP, line: AccessLine = LINE, circuit: bytes = b"c1"
    ) -> Question:
        request = AccessRequest(
            acct_session_id="0001",
            request_id=5,
            credentials=credentials,
            line=line,
            mac=Mac.parse("02:00:5e:00:00:01"),
            circuit_id=circuit,
            remote_id=b"r1",
        )
        assert self.backend.start(request, 0) == Pending("0001", 5)
        return self.questions[-1]

    def accept(self, question: Question, *pairs: tuple[str, Value], now: float = 0) -> AccessAccept:
        answer, warnings = self.backend.answer(question, Reply(True, pairs, "aaa1"), now)
        assert isinstance(answer, AccessAccept), answer
        assert warnings == []
        return answer


def test_an_access_request_says_who_where_and_from_which_line() -> None:
    question = Asker().ask()
    assert question.attributes == (
        ("User-Name", b"alice"),
        ("NAS-Identifier", "bng1"),
        ("NAS-IP-Address", IPv4Address("192.0.2.1")),
        ("NAS-Port", 2 << 24 | 100 << 12 | 7),
        ("NAS-Port-Type", 34),
        ("NAS-Port-Id", "acc0 100/7"),
        ("Calling-Station-Id", "02-00-5E-00-00-01 c1"),
        ("Called-Station-Id", "acc0"),
        ("Service-Type", 2),
        ("Framed-Protocol", 1),
        ("ADSL-Agent-Circuit-Id", b"c1"),
        ("ADSL-Agent-Remote-Id", b"r1"),
        ("Acct-Session-Id", "0001"),
    )
    assert question.password == b"secret"


def test_of_what_the_access_node_measured_only_what_rfc_4679_allows_is_asked_with() -> None:
    """RFC 4679 §4: accounting has all of it."""
    told: tuple[tuple[str, int | bytes], ...] = (
        ("Actual-Data-Rate-Upstream", 1_024_000),
        ("Maximum-Data-Rate-Upstream", 2_048_000),
        ("Actual-Interleaving-Delay-Upstream", 8),
        ("Access-Loop-Encapsulation", b"\2\1\0"),
        ("IWF-Session", b""),
    )
    who = AccessRequest(
        acct_session_id="0001",
        request_id=5,
        credentials=PAP,
        line=LINE,
        mac=Mac.parse("02:00:5e:00:00:01"),
        line_attributes=told,
    )
    asked, _ = requests.access(Nas(identifier="bng1"), who, PAP)
    names = {name for name, _ in told}
    assert [pair for pair in asked if pair[0] in names] == [told[0], told[3], told[4]]
    assert set(told) <= set(requests.subscriber(Nas(identifier="bng1"), who))


def test_who_authenticates_again_is_asked_about_with_his_interface_identifier() -> None:
    who = AccessRequest(
        acct_session_id="0001",
        request_id=5,
        credentials=PAP,
        line=LINE,
        mac=Mac.parse("02:00:5e:00:00:01"),
    )
    first, _ = requests.access(Nas(identifier="bng1"), who, PAP)
    again, _ = requests.access(Nas(identifier="bng1"), replace(who, interface_id=0x0102), PAP)
    assert set(again) - set(first) == {("Framed-Interface-Id", bytes(6) + b"\1\2")}


@pytest.mark.parametrize(
    ("credentials", "pairs"),
    [
        (CHAP, {"CHAP-Password": b"\x07" + b"r" * 16, "CHAP-Challenge": b"c" * 16}),
        (
            MSCHAP1,
            {
                "MS-CHAP-Challenge": b"c" * 8,
                "MS-CHAP-Response": b"\x07\x01" + b"l" * 24 + b"n" * 24,
            },
        ),
        (
            MSCHAP2,
            {
                "MS-CHAP-Challenge": b"c" * 16,
                "MS-CHAP2-Response": b"\x07\x00" + b"p" * 16 + bytes(8) + b"n" * 24,
            },
        ),
    ],
)
def test_challenges_and_responses_are_passed_on(
    credentials: Credentials, pairs: dict[str, Value]
) -> None:
    question = Asker().ask(credentials)
    found = dict(question.attributes)
    assert {name: found[name] for name in pairs} == pairs
    assert question.password is None


def test_an_untagged_line_is_pppoeoe_and_one_tag_is_pppoeovlan() -> None:
    for line, kind in ((AccessLine(2), 32), (AccessLine(2, (VlanTag(0x8100, 5),)), 33)):
        assert dict(Asker().ask(line=line).attributes)["NAS-Port-Type"] == kind


def test_an_accept_is_a_profile_with_its_sources() -> None:
    asker = Asker()
    accept = asker.accept(
        asker.ask(MSCHAP2),
        ("Framed-IP-Address", IPv4Address("203.0.113.7")),
        ("Class", b"k"),
        ("Acct-Interim-Interval", 300),
        ("Reply-Message", "hello"),
        ("MS-CHAP2-Success", b"\x07S=0123"),
    )
    assert accept.profile.ipv4_address == IPv4Address("203.0.113.7")
    assert (accept.classes, accept.interim_interval_s, accept.message) == ((b"k",), 300, "hello")
    assert accept.authenticator_response == b"S=0123"
    assert accept.source == "RADIUS server aaa1"
    assert accept.sources == {
        "ipv4_address": "Framed-IP-Address",
        "classes": "Class",
        "interim_interval_s": "Acct-Interim-Interval",
        "reply_message": "Reply-Message",
    }


def test_a_reject_shows_its_message_and_an_accept_that_cannot_be_served_is_one() -> None:
    asker = Asker()
    answer, _ = asker.backend.answer(
        asker.ask(), Reply(False, (("Reply-Message", "pay"), ("Reply-Message", "up"))), 0
    )
    assert answer == AccessReject(RejectReason.REFUSED_BY_SERVER, "pay\nup", "pay; up")
    answer, warnings = asker.backend.answer(
        asker.ask(), Reply(True, (("Framed-MTU", 5), ("Framed-Pool", "none"))), 0
    )
    assert answer == AccessReject(
        RejectReason.NOT_SERVED, detail="Framed-Pool: there is no pool none"
    )
    assert warnings == ["Framed-MTU: 5 is not 576 to 1912"]
    assert asker.backend.counters["accept_not_served"] == 1


def refused(asker: Asker, question: Question, now: float) -> str:
    answer = asker.backend.unanswered(question, "timeout", now)
    assert isinstance(answer, AccessReject)
    assert answer.reason is RejectReason.NO_ANSWER
    return answer.detail


def test_without_an_answer_nobody_gets_in_unless_a_policy_says_so() -> None:
    asker = Asker()
    asker.accept(asker.ask())
    assert refused(asker, asker.ask(), 1) == "timeout"


def test_the_last_good_answer_counts_for_the_same_line_and_password() -> None:
    asker = Asker(Policy(without_server=WithoutServer.LAST_GOOD, max_age_s=100))
    assert refused(asker, asker.ask(), 0) == "timeout; no good answer to go by"
    good = asker.accept(asker.ask(), ("Session-Timeout", 60), ("Class", b"k"), now=10)
    again = asker.backend.unanswered(asker.ask(), "timeout", 60)
    assert isinstance(again, AccessAccept)
    assert (again.profile, again.classes) == (good.profile, (b"k",))
    assert (again.degraded, again.source) == (True, "last good answer, 50 s old")
    other = "timeout; another line or password than last time"
    wrong = PapCredentials(user_name="alice", password=b"guess")
    assert refused(asker, asker.ask(wrong), 60) == other
    assert refused(asker, asker.ask(CHAP), 60) == other
    assert refused(asker, asker.ask(circuit=b"c2"), 60) == other
    assert refused(asker, asker.ask(line=AccessLine(2)), 60) == other
    assert refused(asker, asker.ask(), 111) == "timeout; no good answer to go by"
    assert asker.backend.counters["admitted_as_last_time"] == 1


def test_with_chap_the_line_alone_counts_and_ms_chap_v2_never_does() -> None:
    asker = Asker(Policy(without_server=WithoutServer.LAST_GOOD))
    asker.accept(asker.ask(CHAP))
    assert isinstance(asker.backend.unanswered(asker.ask(CHAP), "timeout", 1), AccessAccept)
    asker.accept(asker.ask(MSCHAP2))
    assert refused(asker, asker.ask(MSCHAP2), 1) == "timeout; MS-CHAPv2 needs a server's proof"


def test_a_reject_does_not_make_an_answer_to_go_by() -> None:
    asker = Asker(Policy(without_server=WithoutServer.LAST_GOOD))
    asker.backend.answer(asker.ask(), Reply(False, ()), 0)
    assert refused(asker, asker.ask(), 1) == "timeout; no good answer to go by"


def test_a_fallback_profile_lets_everybody_in_under_his_own_name() -> None:
    guest = SubscriberProfile(user_name="guest", session_timeout_s=60, reply_message="hello")
    policy = Policy(
        without_server=WithoutServer.PROFILE,
        profile=guest,
        classes=(b"degraded",),
        interim_interval_s=60,
    )
    asker = Asker(policy)
    answer = asker.backend.unanswered(asker.ask(), "no-server", 0)
    assert isinstance(answer, AccessAccept)
    assert (answer.profile.user_name, answer.profile.session_timeout_s) == ("alice", 60)
    assert (answer.degraded, answer.source) == (True, "fallback profile")
    assert (answer.classes, answer.interim_interval_s) == ((b"degraded",), 60)
    assert answer.message == "hello"


def test_a_reload_forgets_good_answers_that_name_what_is_gone() -> None:
    policy = Policy(without_server=WithoutServer.LAST_GOOD)
    asker = Asker(policy)
    asker.backend.reconfigure(Offered(acls={"web"}), policy)
    question = asker.ask()
    asker.accept(question, ("Filter-Id", "web"))
    asker.backend.reconfigure(Offered(acls={"web", "mail"}), policy)
    assert isinstance(asker.backend.unanswered(question, "timeout", 1), AccessAccept)
    asker.backend.reconfigure(Offered(acls={"mail"}), policy)
    refused = asker.backend.unanswered(question, "timeout", 1)
    assert isinstance(refused, AccessReject)
    assert refused.detail == "timeout; no good answer to go by"


def test_a_reload_changes_what_answers_may_name_and_the_policy() -> None:
    asker = Asker()
    question = asker.ask()
    asker.backend.reconfigure(
        Offered(pools={"new"}),
        Policy(without_server=WithoutServer.PROFILE, profile=SubscriberProfile(user_name="f")),
    )
    assert asker.accept(question, ("Framed-Pool", "new")).profile.ipv4_pool == "new"
    assert isinstance(asker.backend.unanswered(question, "timeout", 0), AccessAccept)


def test_octets_that_are_no_utf8_are_kept_in_names_and_shown_in_messages() -> None:
    asker = Asker()
    name = b"j\xf6rg"
    question = asker.ask(PapCredentials(user_name=decode_name(name), password=b"x"))
    assert question.attributes[0] == ("User-Name", name)
    accept = asker.accept(question, ("User-Name", name), ("Reply-Message", b"hall\xf6"))
    assert encode_name(accept.profile.user_name) == name
    assert accept.message == "hall\ufffd"
    reject, _ = asker.backend.answer(question, Reply(False, (("Reply-Message", b"\xf6"),)), 0)
    assert isinstance(reject, AccessReject)
    assert reject.message == "\ufffd"
