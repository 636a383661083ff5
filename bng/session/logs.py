"""What is logged of a session: every event by one function, so that its fields are in one place.

Who had which address or prefix, and when, is in these lines: from ``session-start`` or
``ipv6-given`` on, until ``ipv6-ended`` or ``session-stop``, which names all that there was then.
"""

from collections.abc import Iterable
from ipaddress import IPv6Network

from bng.ipv6.actions import Lease
from bng.session.actions import Log
from bng.session.model import Counters, Session
from bng.session.nat import NatAddresses


def started(session: Session, now: float) -> Log:
    """Return the line for a session whose first network protocol is up."""
    fields: dict[str, object] = {
        "user": session.user_name,
        "address": str(session.ipv4_address or ""),
        "ipv6_prefix": _prefix(session),
        "mac": str(session.mac),
        "line": str(session.line),
        "session_id": session.method.session_id(session),
        "setup_ms": round((now - session.created_at) * 1000),
    }
    return Log("session-start", session.acct_session_id, fields)


def ended(session: Session, counters: Counters, nat: NatAddresses, now: float) -> Log:
    """Return the line for a session that is closed, or for one that never came up."""
    event = "session-stop" if session.up_at is not None else "setup-failed"
    since = session.created_at if session.up_at is None else session.up_at
    fields: dict[str, object] = {
        "user": session.user_name,
        "address": str(session.ipv4_address or ""),
        "ipv6_prefix": _prefix(session),
        **_leases(() if session.ipv6 is None else session.ipv6.leases),
        "nat_address": str(session.nat_public or nat.text(session.nat_place)),
        "mac": str(session.mac),
        "line": str(session.line),
        "cause": session.cause.word if session.cause else "",
        "detail": session.detail,
        "lasted_s": round(now - since, 1),
        "in_packets": counters.in_packets,
        "in_bytes": counters.in_bytes,
        "out_packets": counters.out_packets,
        "out_bytes": counters.out_bytes,
    }
    return Log(event, session.acct_session_id, fields)


def _prefix(session: Session) -> str:
    side = session.ipv6
    return "" if side is None else side.prefix_text


def _leases(leases: Iterable[Lease]) -> dict[str, object]:
    """Return what DHCPv6 gave, as two fields of text, each where there is any."""
    delegated = [str(lease.network) for lease in leases if lease.delegated]
    addresses = [str(lease.network.network_address) for lease in leases if not lease.delegated]
    found = {"delegated": " ".join(delegated), "ipv6_address": " ".join(addresses)}
    return {name: text for name, text in found.items() if text}


def rejected(session: Session, user: str, reason: str, detail: str) -> Log:
    """Return the line for a client that is refused."""
    fields: dict[str, object] = {
        "user": user,
        "reason": reason,
        "mac": str(session.mac),
        "line": str(session.line),
    }
    if detail:
        fields["detail"] = detail
    return Log("access-reject", session.acct_session_id, fields, warning=True)


def nat_refused(session: Session, reason: str) -> Log:
    """Return the line for a subscriber that got no NAT mapping."""
    fields: dict[str, object] = {"user": session.user_name, "reason": reason}
    return Log("nat-refused", session.acct_session_id, fields, warning=True)


def forward_refused(session: Session, forward: str, reason: str) -> Log:
    """Return the line for a port forward that the session goes without."""
    fields: dict[str, object] = {
        "user": session.user_name,
        "forward": forward,
        "reason": reason,
    }
    return Log("forward-refused", session.acct_session_id, fields, warning=True)


def ipv6_link(session: Session) -> Log:
    """Return the line for a session that got the prefix of its link after its start."""
    fields: dict[str, object] = {"user": session.user_name, "ipv6_prefix": _prefix(session)}
    return Log("ipv6-given", session.acct_session_id, fields)


def ipv6_given(session: Session, leases: Iterable[Lease]) -> Log:
    """Return the line for a session that gets addresses or prefixes by DHCPv6."""
    fields: dict[str, object] = {"user": session.user_name, **_leases(leases)}
    return Log("ipv6-given", session.acct_session_id, fields)


def ipv6_leases_ended(session: Session, leases: Iterable[Lease]) -> Log:
    """Return the line for what of that is released, declined, replaced or not renewed."""
    fields: dict[str, object] = {"user": session.user_name, **_leases(leases)}
    return Log("ipv6-ended", session.acct_session_id, fields)


def ipv6_prefix_ended(session: Session, prefix: IPv6Network) -> Log:
    """Return the line for the end of a prefix that the link had before the one that it has."""
    fields: dict[str, object] = {"user": session.user_name, "ipv6_prefix": str(prefix)}
    return Log("ipv6-ended", session.acct_session_id, fields)


def ipv6_refused(session: Session, reason: str) -> Log:
    """Return the line for a session that gets no IPv6, or not all that it was to get."""
    fields: dict[str, object] = {"user": session.user_name, "reason": reason}
    return Log("ipv6-refused", session.acct_session_id, fields, warning=True)


def ipv6_renumbered(session: Session, before: IPv6Network, prefix: IPv6Network) -> Log:
    """Return the line for a session whose link gets another prefix."""
    fields: dict[str, object] = {
        "user": session.user_name,
        "before": str(before),
        "ipv6_prefix": str(prefix),
    }
    return Log("ipv6-renumbered", session.acct_session_id, fields)


def not_recorded(session: Session) -> Log:
    """Return the line for a change that the next bngd will not know of."""
    fields: dict[str, object] = {"user": session.user_name}
    return Log("record-too-long", session.acct_session_id, fields, warning=True)
