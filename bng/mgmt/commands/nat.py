"""``nat drain``, ``nat undrain``: a public address takes no new sessions, or takes them again."""

import asyncio
from ipaddress import AddressValueError, IPv4Address

from bng.box import Box
from bng.io import drained
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text


@command("nat drain", "address", summary="Give no new session a public address.")
async def nat_drain(box: Box, args: Args) -> object:
    """Begin to drain an address; it stays in the table and routed. A restart of bngd knows it."""
    return await _hold(box, args, "nat drain")


@command("nat undrain", "address", summary="Give a public address to new sessions again.")
async def nat_undrain(box: Box, args: Args) -> object:
    """Undo `nat_drain`."""
    return await _hold(box, args, "nat undrain")


async def _hold(box: Box, args: Args, name: str) -> object:
    given = text(args, "address")
    if given is None:
        raise CommandError(f"{name}: say which address")
    try:
        entry = box.manager.nat.hold(IPv4Address(given), name == "nat drain")
        state_dir, held = box.config.system.state_dir, frozenset(box.manager.nat.held)
        await asyncio.to_thread(drained.save, state_dir, held)
    except AddressValueError as error:
        raise CommandError(f"{name}: {error}") from None
    except KeyError:
        raise CommandError(f"{name}: {given} is no address of a NAT pool") from None
    except OSError as error:
        why = error.strerror or error
        raise CommandError(f"{name}: done, but a restart will not know of it: {why}") from None
    if entry is None:
        return {"address": given, "state": "in no pool", "sessions": 0}
    return {"address": given, "state": entry.shown, "sessions": entry.sessions}
