"""``reload``, ``drain``, ``undrain``, ``clear holdoffs``, ``show version``."""

import os
import time
from importlib.metadata import version

from bng.box import Box
from bng.config import Needs
from bng.ethernet import Mac
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text
from dataplane.binding import ffi


@command("reload", summary="Apply the configuration and the user file live, all or nothing.")
async def reload(box: Box, args: Args) -> object:
    """Return what changed and what each change needs."""
    changes, sessions = await box.reload()
    return {
        "applied": [c.key for c in changes if c.needs is Needs.LIVE],
        "not_applied": [
            {"key": c.key, "needs": str(c.needs)} for c in changes if c.needs is not Needs.LIVE
        ],
        "users": len(box.users),
        "sessions_changed": sessions.changed,
        "sessions_need_redial": dict(sessions.redial),
        "sessions_of_unknown_users": sessions.unknown_user,
    }


@command("drain", "port", summary="Take no new sessions, end those there at drain_per_s.")
async def drain(box: Box, args: Args) -> object:
    """Begin to drain a port, or the whole box. A restart of bngd goes on with it."""
    return {"ending": await _drain(box, args, "drain")}


@command("undrain", "port", summary="Take new sessions again.")
async def undrain(box: Box, args: Args) -> object:
    """Undo `drain`; sessions that it has yet to end still end."""
    await _drain(box, args, "undrain")
    return {}


async def _drain(box: Box, args: Args, name: str) -> int:
    port = text(args, "port")
    try:
        ending = box.drain(port, name == "drain")
        await box.keep_drains()
    except KeyError:
        raise CommandError(f"{name}: no access port {port!r}") from None
    except OSError as error:
        why = error.strerror or error
        raise CommandError(f"{name}: done, but a restart will not know of it: {why}") from None
    return ending


@command("clear holdoffs", "mac", summary="Let held-off clients in again.")
def clear_holdoffs(box: Box, args: Args) -> object:
    """Forget the failures of one MAC, or of all."""
    mac = text(args, "mac")
    try:
        wanted = None if mac is None else Mac.parse(mac)
    except ValueError:
        raise CommandError(f"mac: not an Ethernet address: {mac!r}") from None
    return {"cleared": box.access.discovery.clear_holdoff(None, wanted)}


@command("show version", summary="Versions, uptime, what is drained.")
def show_version(box: Box, args: Args) -> object:
    """Return what runs, and since when."""
    header = box.dataplane.header
    return {
        "bngd": version("bng"),
        "bngd_pid": os.getpid(),
        "uptime_s": round(time.monotonic() - box.started_at),
        "dataplane": ffi.string(header.build_id).decode(),
        "dataplane_pid": int(header.dataplane_pid),
        "layout": f"{header.layout_version}/{header.layout_hash:08x}",
        "arena_bytes": int(header.size),
        "hugepages": bool(header.hugepages),
        "workers": int(header.n_workers),
        "max_sessions": int(header.max_sessions),
        "sessions": box.manager.table.count,
        "draining": sorted("all" if port is None else port for port in box.draining),
    }
