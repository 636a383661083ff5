"""What NAT does for a session, in the words of bngctl."""

from bng.box import Box
from bng.session.model import Session


def nat_of(box: Box, session: Session) -> str:
    """Return how the session's packets are translated: ``none`` when they are not."""
    if session.nat_public is not None:
        return "one-to-one"
    if session.nat_place is None:
        return "none"
    return "deterministic" if session.nat_place.count else "port-blocks"


def nat_address_of(box: Box, session: Session) -> str | None:
    """Return the session's public address, its own or the one it shares."""
    if session.nat_public is not None:
        return str(session.nat_public)
    return box.manager.nat.text(session.nat_place) or None


def nat_bypass_of(box: Box, session: Session) -> list[str]:
    """Return the rules of what is not translated."""
    profile = session.profile.nat_profile if session.bypassed and session.profile else None
    table = box.config.nat.profile.get(profile or "")
    return [] if table is None else [str(rule) for rule in table.bypass]


def port_forwards_of(session: Session) -> list[str]:
    """Return the ports that lead to the session."""
    return [str(forward) for forward in session.forwarded]
