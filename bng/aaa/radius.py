"""The RADIUS backend, sans-IO: what is asked, and what an answer, or none, means.

Whoever owns the sockets gives every question to a server and calls `RadiusBackend.answer` or
`unanswered`. With no answer the policy decides: refuse, admit as the last good answer for that user
said, or admit to a fallback profile. Who is admitted so could not be asked for a password that a
server knows: he must come from the line that his last good answer was for, and with PAP bring the
same password; MS-CHAPv2, which needs a proof from the server, is refused.
"""

import hmac
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bng.aaa import attributes, requests
from bng.aaa.model import (
    NO_NAT,
    AccessAccept,
    AccessAnswer,
    AccessReject,
    AccessRequest,
    Pending,
    RejectReason,
    SubscriberProfile,
)
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import Nas
from bng.ppp.credentials import Credentials, MsChap2Credentials, PapCredentials

MAX_REMEMBERED = 1_000_000


class WithoutServer(StrEnum):
    """What to do when no server answers."""

    REFUSE = "refuse"
    LAST_GOOD = "last-good"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What happens without an answer. *max_age_s*: of a last good answer.

    *profile*, *classes*, *interim_interval_s*: what those get who are admitted to a profile.
    """

    without_server: WithoutServer = WithoutServer.REFUSE
    max_age_s: float = 86_400
    profile: SubscriberProfile | None = None
    classes: tuple[bytes, ...] = ()
    interim_interval_s: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """An Access-Request for a server: attributes, and the password of PAP, not hidden yet."""

    request: AccessRequest
    attributes: tuple[tuple[str, Value], ...]
    password: bytes | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer: attributes by name in order; not accepted: a reject or a challenge."""

    accepted: bool
    attributes: tuple[tuple[str, Value], ...]
    server: str = ""


@dataclass(frozen=True, slots=True)
class _Good:
    """The last good answer for a user: when, from where, with what password."""

    at: float
    place: tuple[object, ...]
    proof: bytes | None
    answer: AccessAccept


class RadiusBackend:
    """A `bng.aaa.model.Backend`. *ask* takes every `Question`; *entropy* returns random bytes.

    *withdraw* takes the key of a session that waits for no answer any more.
    """

    def __init__(
        self,
        *,
        nas: Nas,
        offered: Offered,
        policy: Policy,
        ask: Callable[[Question], None],
        withdraw: Callable[[tuple[int, int]], None],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.nas, self.offered, self.policy = nas, offered, policy
        self.counters: Counter[str] = Counter()
        self._ask, self.cancel = ask, withdraw
        self._salt = entropy(32)
        self._good: OrderedDict[str, _Good] = OrderedDict()

    def start(self, request: AccessRequest, now: float) -> Pending:
        """Ask the servers; the answer comes later."""
        pairs, password = requests.access(self.nas, request, request.credentials)
        self._ask(Question(request, tuple(pairs), password))
        return Pending(request.acct_session_id, request.request_id)

    def answer(
        self, question: Question, reply: Reply, now: float
    ) -> tuple[AccessAnswer, list[str]]:
        """Return what *reply* means, and what of it has no effect, for the log."""
        request = question.request
        if not reply.accepted:
            return _rejected(reply.attributes), []
        reading = attributes.read(reply.attributes, self.offered)
        if reading.refusal is not None:
            self.counters["accept_not_served"] += 1
            return AccessReject(RejectReason.NOT_SERVED, detail=reading.refusal), reading.warnings
        profile = attributes.profile(reading, request.user_name)
        accept = AccessAccept(
            profile,
            profile.reply_message,
            _authenticator_response(reply.attributes),
            classes=tuple(reading.classes),
            interim_interval_s=reading.interim_interval_s,
            source=f"RADIUS server {reply.server}",
            sources=dict(reading.sources),
        )
        self._remember(request, accept, now)
        return accept, reading.warnings

    def reconfigure(self, offered: Offered, policy: Policy) -> None:
        """Take what the configuration has now; answers that name what is gone are forgotten."""
        self.offered, self.policy = offered, policy
        self._good = OrderedDict(
            (user, good) for user, good in self._good.items() if _serves(offered, good.answer)
        )

    def not_askable(self, why: str) -> AccessReject:
        """Return the reject of a client whose name, password or line fits no request."""
        self.counters["not_askable"] += 1
        return AccessReject(RejectReason.NOT_ASKABLE, detail=why)

    def unanswered(self, question: Question, reason: str, now: float) -> AccessAnswer:
        """Return what the policy says when no server answered; *reason* is for the log."""
        request, policy = question.request, self.policy
        self.counters["unanswered"] += 1
        refused = AccessReject(RejectReason.NO_ANSWER, "Try again later", reason)
        if policy.without_server is WithoutServer.REFUSE:
            return refused
        if isinstance(request.credentials, MsChap2Credentials):
            return replace(refused, detail=f"{reason}; MS-CHAPv2 needs a server's proof")
        if policy.without_server is WithoutServer.PROFILE and policy.profile is not None:
            self.counters["admitted_to_fallback"] += 1
            fallback = replace(policy.profile, user_name=request.user_name)
            return AccessAccept(
                fallback,
                fallback.reply_message,
                classes=policy.classes,
                interim_interval_s=policy.interim_interval_s,
                source="fallback profile",
                degraded=True,
            )
        good = self._good.get(request.user_name)
        if good is None or now - good.at > policy.max_age_s:
            return replace(refused, detail=f"{reason}; no good answer to go by")
        if good.place != _place(request) or not self._proves(good, request.credentials):
            return replace(refused, detail=f"{reason}; another line or password than last time")
        self.counters["admitted_as_last_time"] += 1
        return replace(
            good.answer,
            authenticator_response=None,
            source=f"last good answer, {now - good.at:.0f} s old",
            degraded=True,
        )

    def _remember(self, request: AccessRequest, accept: AccessAccept, now: float) -> None:
        if self.policy.without_server is not WithoutServer.LAST_GOOD:
            return
        proof = self._proof(request.credentials)
        self._good[request.user_name] = _Good(now, _place(request), proof, accept)
        self._good.move_to_end(request.user_name)
        if len(self._good) > MAX_REMEMBERED:
            self._good.popitem(last=False)

    def _proof(self, credentials: Credentials) -> bytes | None:
        """Return a keyed digest of PAP's password: memory does not hold the password itself."""
        if not isinstance(credentials, PapCredentials):
            return None
        return hmac.digest(self._salt, credentials.password, "sha256")

    def _proves(self, good: _Good, credentials: Credentials) -> bool:
        proof = self._proof(credentials)
        if proof is None or good.proof is None:
            return proof is good.proof
        return hmac.compare_digest(proof, good.proof)


def _serves(offered: Offered, answer: AccessAccept) -> bool:
    """Say whether all that *answer* names is still there."""
    profile = answer.profile
    return all(
        name is None or name in known
        for name, known in (
            (profile.ipv4_pool, offered.pools),
            (profile.ipv6_pool, offered.ipv6_pools),
            (profile.ipv6_address_pool, offered.ipv6_pools),
            (profile.delegated_pool, offered.ipv6_pools),
            (profile.ipv6_profile, offered.ipv6_profiles),
            (profile.acl_in, offered.acls),
            (profile.acl_out, offered.acls),
            (profile.nat_profile, (*offered.nat_profiles, NO_NAT)),
        )
    )


def _place(request: AccessRequest) -> tuple[object, ...]:
    return (request.line, request.circuit_id, request.remote_id)


def _rejected(pairs: Iterable[tuple[str, Value]]) -> AccessReject:
    """Return the reject with its Reply-Message (RFC 2865 §5.18), which the client is shown."""
    messages = [attributes.text_of(value) for name, value in pairs if name == "Reply-Message"]
    return AccessReject(
        RejectReason.REFUSED_BY_SERVER,
        "\n".join(messages) or "Authentication failed",
        "; ".join(messages),
    )


def _authenticator_response(pairs: Iterable[tuple[str, Value]]) -> bytes | None:
    """Return ``S=...`` of MS-CHAP2-Success, behind its identifier (RFC 2548 §2.3.3)."""
    for name, value in pairs:
        if name == "MS-CHAP2-Success" and isinstance(value, bytes) and len(value) > 1:
            return value[1:]
    return None
