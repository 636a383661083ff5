"""What is logged of a session: every event by one function, so that its fields are in one place."""

from ipaddress import IPv6Network

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
