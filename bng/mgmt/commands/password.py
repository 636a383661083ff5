"""``hash password``: what a password becomes in the user file."""

import asyncio
import os

from bng.aaa.password import SALT_BYTES, hash_password
from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text


@command("hash password", "method", "password", summary="Hash a password for users.toml.")
async def hash_for_users(box: Box, args: Args) -> object:
    """Return the password as the user file stores it; a thread does the work."""
    method, password = text(args, "method"), text(args, "password")
    if method is None or password is None:
        raise CommandError("hash password: wants method and password")
    salt = os.urandom(SALT_BYTES)
    try:
        return {"stored": await asyncio.to_thread(hash_password, method, password, salt)}
    except ValueError as error:
        raise CommandError(f"hash password: {error}") from None
