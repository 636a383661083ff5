"""Commands of NAT44 for one session, packed as ``dataplane.h`` says."""

from dataplane.binding import (
    CMD_FLAG_QUIET,
    COMMAND,
    SESSION_BYPASS,
    SESSION_FORWARD,
    SESSION_STATIC,
    CommandType,
)


def bypass_record(session: int, generation: int, cookie: int, acl: int) -> bytes:
    """Pack CMD_SESSION_BYPASS, quiet; *acl* is an index + 1, 0 for none."""
    kind, body = CommandType.SESSION_BYPASS, SESSION_BYPASS.pack(acl)
    return COMMAND.pack(kind, CMD_FLAG_QUIET, session, generation, 0, cookie, body)


def forward_record(
    session: int,
    generation: int,
    cookie: int,
    *,
    protocol: int,
    external: int,
    inner: int,
    on: bool,
) -> bytes:
    """Pack CMD_SESSION_FORWARD, quiet; *protocol* is that of IP, TCP or UDP."""
    kind, body = CommandType.SESSION_FORWARD, SESSION_FORWARD.pack(external, inner, protocol, on)
    return COMMAND.pack(kind, CMD_FLAG_QUIET, session, generation, 0, cookie, body)


def static_record(
    session: int, generation: int, cookie: int, address: bytes, inner: bytes
) -> bytes:
    """Pack CMD_SESSION_STATIC, quiet; *address* is the public one, zeros for none."""
    body = SESSION_STATIC.pack(address, inner)
    kind = CommandType.SESSION_STATIC
    return COMMAND.pack(kind, CMD_FLAG_QUIET, session, generation, 0, cookie, body)
