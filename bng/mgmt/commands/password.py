"""``hash password``: what a password becomes in the user file."""

from bng.aaa.password import hash_password
from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text


@command("hash password", "method", "password", summary="Hash a password for users.toml.")
def hash_for_users(box: Box, args: Args) -> object:
    """Return the password as the user file stores it."""
    method, password = text(args, "method"), text(args, "password")
    if method is None or password is None:
        raise CommandError("hash password: wants method and password")
    try:
        return {"stored": hash_password(method, password)}
    except ValueError as error:
        raise CommandError(f"hash password: {error}") from None
