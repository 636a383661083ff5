"""``show sessions``, ``show session``, ``terminate``."""

import time
from dataclasses import asdict

from bng.box import Box
from bng.mgmt.ipv6 import families_of, ipv6_of, prefix_of
from bng.mgmt.nat import nat_address_of, nat_bypass_of, nat_of, port_forwards_of
from bng.mgmt.plain import json, plain
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import SELECTORS, find_one, port_name, select, text, vlans_of
from bng.mgmt.sources import sources_of
from bng.session.model import Session
from dataplane.binding import TOKENS_PER_BYTE, Direction, PolicerMode
from dataplane.sight import session_drops


@command("show sessions", *SELECTORS, summary="List sessions; selectors must all fit.")
def show_sessions(box: Box, args: Args) -> object:
    """Return rows, one for each session; one that ends while they are read is left out."""
    now = time.monotonic()
    table = box.manager.table
    return (
        _row(box, session, now)
        for session in select(box, args)
        if table.get(session.index, session.handle.generation) is session
    )


@command("show session", "session", summary="Everything about one session.")
def show_session(box: Box, args: Args) -> object:
    """Return all that is known of the session with that id, user name, address or MAC."""
    wanted = text(args, "session")
    if wanted is None:
        raise CommandError("show session: say which: id, user, address or MAC")
    session = find_one(box, wanted)
    now = time.monotonic()
    cold = box.dataplane.session_cold[session.index]
    entry_in = box.dataplane.session_in[session.index]
    entry_out = box.dataplane.session_out[session.index]
    profile = session.profile
    drops = {
        direction: session_drops(box.dataplane, session.index, direction) for direction in Direction
    }
    return {
        **_row(box, session, now),
        "service_name": session.service_name,
        "circuit_id": _printable(session.circuit_id),
        "remote_id": _printable(session.remote_id),
        "line_attributes": {name: _shown(value) for name, value in session.line_attributes},
        "gateway": _str(session.gateway),
        "nat": nat_of(box, session),
        "nat_address": nat_address_of(box, session),
        "nat_bypass": nat_bypass_of(box, session),
        "port_forwards": port_forwards_of(session),
        "routes": [str(route) for route in session.routes],
        "families": families_of(session),
        **ipv6_of(box, session, box.loop.now()),
        "peer_mru": session.peer_mru,
        "mtu_in": int(entry_in.mtu),
        "mtu_out": int(entry_out.mtu),
        "mss": int(entry_in.mss),
        "features_in": int(entry_in.features),
        "features_out": int(entry_out.features),
        "worker": session.handle.worker,
        "index": session.index,
        "generation": session.handle.generation,
        "echo": {
            "interval_s": cold.echo_interval_ms / 1000,
            "failures": int(cold.echo_failures),
            "missed": int(cold.echo_missed),
            "answered": int(cold.echo_rx),
            "sent": int(cold.echo_tx),
        },
        "acl_in": None if profile is None else profile.acl_in,
        "acl_out": None if profile is None else profile.acl_out,
        "policer_up": _policer(box, session, Direction.IN),
        "policer_down": _policer(box, session, Direction.OUT),
        "in_drops": sum(drops[Direction.IN].values()),
        "in_drops_by_reason": drops[Direction.IN],
        "out_drops": sum(drops[Direction.OUT].values()),
        "out_drops_by_reason": drops[Direction.OUT],
        "nat_mappings": int(cold.nat_mappings),
        "nat_refused": int(cold.nat_refused),
        "adopted": session.adopted,
        "session_timeout_in_s": None
        if session.timeout_at is None
        else round(session.timeout_at - now),
        "profile": None if profile is None else {k: json(v) for k, v in asdict(profile).items()},
        "sources": [
            {"name": one.name, "value": plain(one.value), "source": one.source}
            for one in sources_of(box, session)
        ],
    }


@command("terminate", *SELECTORS, "all", summary="End sessions: Terminate-Request, then PADT.")
def terminate(box: Box, args: Args) -> object:
    """End the sessions that fit; without a selector, *all* must be true."""
    if not any(args.get(name) is not None for name in SELECTORS) and args.get("all") is not True:
        raise CommandError("terminate: say which sessions, or --all")
    sessions = select(box, args)
    if not sessions:
        raise CommandError("terminate: no such session")
    box.terminate(sessions)
    return {"terminated": len(sessions)}


def _row(box: Box, session: Session, now: float) -> dict[str, object]:
    entry_in = box.dataplane.session_in[session.index]
    entry_out = box.dataplane.session_out[session.index]
    return {
        "id": session.acct_session_id,
        "user": session.user_name,
        "state": session.state.value,
        "address": _str(session.ipv4_address),
        "ipv6_prefix": prefix_of(session),
        "mac": str(session.mac),
        "port": port_name(box, session.line.port),
        "vlan": vlans_of(session),
        "method": session.method.name,
        "session_id": session.method.session_id(session),
        "uptime_s": None if session.up_at is None else round(now - session.up_at),
        "in_packets": int(entry_in.packets),
        "in_bytes": int(entry_in.bytes),
        "out_packets": int(entry_out.packets),
        "out_bytes": int(entry_out.bytes),
    }


def _policer(box: Box, session: Session, direction: Direction) -> object:
    """Return what the dataplane polices, and what it counted; None when it does not."""
    dataplane = box.dataplane
    entry = dataplane.policer[2 * session.index + direction]
    if entry.mode == PolicerMode.OFF:
        return None
    counted = dataplane.session_cold[session.index].policed[direction]
    two_rates = entry.mode == PolicerMode.TRTCM
    return {
        "cir_bps": int(entry.cir_bps),
        "cbs_bytes": int(entry.cbs) // TOKENS_PER_BYTE,
        **({"pir_bps": int(entry.pir_bps)} if two_rates else {}),
        ("pbs_bytes" if two_rates else "ebs_bytes"): int(entry.ebs) // TOKENS_PER_BYTE,
        "overhead_bytes": int(entry.overhead_bytes),
        "yellow_packets": int(counted.yellow_packets),
        "yellow_bytes": int(counted.yellow_bytes),
        "red_packets": int(counted.red_packets),
        "red_bytes": int(counted.red_bytes),
    }


def _printable(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _shown(value: int | bytes) -> int | str | bool:
    """Return a line attribute: octets as hex; one that only is there is true."""
    if isinstance(value, int):
        return value
    return "0x" + value.hex() if value else True


def _str(value: object) -> str | None:
    return None if value is None else str(value)
