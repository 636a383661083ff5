"""Commands of ACLs, packed as ``session_features.h`` says."""

from dataplane.binding import ACL_SET, CMD_FLAG_QUIET, COMMAND, SESSION_ACL, CommandType


def session_acl_record(
    session: int, generation: int, cookie: int, acl_in: int, acl_out: int
) -> bytes:
    """Pack CMD_SESSION_ACL, quiet; each ACL is an index + 1, 0 for none."""
    body = SESSION_ACL.pack(acl_in, acl_out)
    kind = CommandType.SESSION_ACL
    return COMMAND.pack(kind, CMD_FLAG_QUIET, session, generation, 0, cookie, body)


def acl_record(index: int, offset: int, size: int) -> bytes:
    """Pack CMD_ACL_SET, quiet; *size* 0: there is no such ACL any more."""
    body = ACL_SET.pack(index, offset, size)
    return COMMAND.pack(CommandType.ACL_SET, CMD_FLAG_QUIET, 0, 0, 0, 0, body)
