"""What an answer of AAA means for a session: the single-session policy and the address.

A user who may not have one more session, or whose static address an older session of his still
holds, waits until that one has ended: never two owners.
"""

from typing import TYPE_CHECKING, assert_never

from bng.aaa.model import (
    AccessAccept,
    AccessAnswer,
    AccessReject,
    RejectReason,
    SubscriberProfile,
)
from bng.ppp.config import Ipv4Params, Ipv6Params
from bng.session import features, logs
from bng.session.model import Cause, Session, State

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

WRONG = (RejectReason.UNKNOWN_USER, RejectReason.WRONG_PASSWORD, RejectReason.REFUSED_BY_SERVER)
"""Reasons that are the client's: it is held off when it tries again and again."""
LOCAL_SCOPE = ~(1 << 57)
"""Clears the "u" bit: our interface identifier is unique on its link only (RFC 5072 §4.1)."""


class Grants:
    """Sessions by user, and what each is given; a part of *manager*."""

    def __init__(self, manager: "SessionManager") -> None:
        self.by_user: dict[str, set[Session]] = {}
        self._manager = manager

    def answer(self, session: Session, answer: AccessAnswer, user: str, now: float) -> None:
        """Act on what AAA says of a session whose peer called itself *user*."""
        match answer:
            case AccessReject():
                self._manager.counters["access_reject"] += 1
                self._reject(session, user, answer.message, answer.reason, answer.detail, now)
            case AccessAccept():
                self._manager.counters["access_accept"] += 1
                self._accepted(session, answer, now)
            case _:
                assert_never(answer)

    def leave(self, session: Session) -> None:
        """Count a session that ends as its user's no longer."""
        if session.user_name is None:
            return
        mine = self.by_user[session.user_name]
        mine.discard(session)
        if not mine:
            del self.by_user[session.user_name]

    def released(self, session: Session, now: float) -> None:
        """Let those go on who waited for this session's end."""
        for waiter in session.waiters or ():
            waiter.waits_for -= 1
            if not waiter.waits_for and waiter.state is State.WAITING and waiter.answer:
                waiter.state = State.SETUP
                self._grant(waiter, waiter.answer, now)
                self._manager.reschedule(waiter)

    def _reject(
        self, session: Session, user: str, message: str, reason: str, detail: str, now: float
    ) -> None:
        self._manager.emit(logs.rejected(session, user, reason, detail))
        session.cause = session.cause or Cause.USER_ERROR
        session.detail = reason
        session.method.reject(session, message, now, wrong=reason in WRONG)

    def _accepted(self, session: Session, answer: AccessAccept, now: float) -> None:
        """Apply the single-session policy; older sessions that must go, go first."""
        manager, name = self._manager, answer.profile.user_name
        if session.user_name is not None and session.user_name != name:
            manager.end(session, Cause.USER_ERROR, f"now authenticates as {name}", now)
            return
        mine = self.by_user.setdefault(name, set())
        if session in mine:  # it authenticates again and keeps what it has
            self._grant(session, answer, now)
            return
        others = sorted(mine, key=lambda other: (other.created_at, other.acct_session_id))
        surplus = len(others) + 1 - (answer.profile.simultaneous_use or 1)
        victims: list[Session] = []
        if surplus > 0 and manager.settings.single_session == "deny":
            manager.counters["denied_simultaneous_use"] += 1
            self._reject(session, name, "Already connected", "simultaneous-use", "", now)
            return
        if surplus > 0 and manager.settings.single_session == "replace":
            victims = others[:surplus]
        victims += [o for o in others if _has_static(o, answer.profile) and o not in victims]
        mine.add(session)
        session.user_name = name
        if not victims:
            self._grant(session, answer, now)
        for victim in victims:
            manager.counters["replaced"] += 1
            _wait(session, victim, answer)
            manager.end(victim, Cause.PORT_PREEMPTED, "same user dialled again", now)

    def _grant(self, session: Session, answer: AccessAccept, now: float) -> None:
        """Give an address and tell the client."""
        manager, profile = self._manager, answer.profile
        session.answer = None
        serves4, serves6 = (
            manager.settings.serves_ipv4(profile),
            manager.settings.ipv6.serves(profile),
        )
        if not serves4 and not serves6:
            self._reject(session, profile.user_name, "No service", "no-family", "", now)
            return
        if serves4 and session.ipv4_address is None and not self._assign(session, answer, now):
            return
        if session.told is None or session.paused:
            session.profile = profile
        session.accept = answer
        if session.state is not State.UP:
            session.state = State.READY
        ipv4 = self.ipv4_params(session, profile) if serves4 else None
        ipv6 = self._ipv6_params(session, profile) if serves6 else None
        session.method.accept(session, answer, ipv4, ipv6, now)
        if session.told is not None:  # it authenticates again, and lives
            features.refresh(manager, session, profile, features.Refreshed(), now)
        manager.write_down(session)

    def ipv4_params(self, session: Session, profile: SubscriberProfile) -> Ipv4Params:
        """Return what IPCP tells the client, whose address is known, and set the gateway."""
        manager, peer = self._manager, session.ipv4_address
        name = manager.settings.pool_of(profile)
        assert name is not None and peer is not None  # noqa: S101 - the caller looked
        pool = manager.settings.pools[name]
        if session.gateway is None or session.told is None or session.paused:
            session.gateway = pool.gateway
        return Ipv4Params(
            local=session.gateway,
            peer=peer,
            dns=profile.ipv4_dns or pool.dns,
            nbns=profile.ipv4_nbns or pool.nbns,
        )

    def _ipv6_params(self, session: Session, profile: SubscriberProfile) -> Ipv6Params:
        """Return the interface identifiers of IPv6CP; ours stays the same while the session lives.

        The client may have our link-local address as its gateway.
        """
        if session.local_interface_id is None:
            random = int.from_bytes(self._manager.entropy(8))
            session.local_interface_id = random & LOCAL_SCOPE or 1
        return Ipv6Params(
            local_interface_id=session.local_interface_id,
            peer_interface_id=profile.ipv6_interface_id,
        )

    def adopt(self, session: Session) -> None:
        """Count a session as its user's that is one since before a restart."""
        assert session.user_name is not None  # noqa: S101 - the caller looked
        self.by_user.setdefault(session.user_name, set()).add(session)

    def _assign(self, session: Session, answer: AccessAccept, now: float) -> bool:
        """Find the session's IPv4 address; False when it is refused or has to wait."""
        if answer.profile.ipv4_address is not None:
            return self._claim(session, answer, now)
        return self._allocate(session, answer.profile, now)

    def _claim(self, session: Session, answer: AccessAccept, now: float) -> bool:
        """Take the user's static address."""
        manager, user, static = self._manager, answer.profile.user_name, answer.profile.ipv4_address
        assert static is not None  # noqa: S101 - the caller looked
        holder = manager.pools.claim(static, session.acct_session_id, now)
        if holder is None:
            session.ipv4_address = static
            return True
        for leaving in manager.ending.values():
            if leaving.ipv4_address == static:  # on its way out: the address is ours next
                _wait(session, leaving, answer)
                return False
        manager.counters["address_conflict"] += 1
        detail = f"{static} is held by {holder}"
        self._reject(session, user, "Address in use", "address-conflict", detail, now)
        return False

    def _allocate(self, session: Session, profile: SubscriberProfile, now: float) -> bool:
        """Take an address of the user's pool."""
        manager, user = self._manager, profile.user_name
        pool = manager.settings.pool_of(profile)
        assert pool is not None  # noqa: S101 - the caller looked
        session.ipv4_address = manager.pools.allocate(pool, user, now)
        if session.ipv4_address is None:
            manager.counters["pool_exhausted"] += 1
            self._reject(session, user, "No address available", "pool-exhausted", pool, now)
            return False
        return True


def _has_static(session: Session, profile: SubscriberProfile) -> bool:
    """Say whether *session* has an address or a prefix that *profile* names."""
    if profile.ipv4_address is not None and session.ipv4_address == profile.ipv4_address:
        return True
    side = session.ipv6
    if side is None:
        return False
    named = {profile.ipv6_prefix, profile.delegated_prefix, profile.ipv6_address} - {None}
    return bool(named & {side.prefix, *side.delegated, *side.addresses})


def _wait(session: Session, victim: Session, answer: AccessAccept) -> None:
    """Let *session* wait until *victim* is released."""
    session.state = State.WAITING
    session.answer = answer
    session.waits_for += 1
    if victim.waiters is None:
        victim.waiters = []
    victim.waiters.append(session)
