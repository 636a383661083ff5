"""``show radius``, ``show accounting``, ``test radius``."""

import asyncio
import time
from dataclasses import asdict

from bng.aaa import attributes, requests
from bng.aaa.model import AccessRequest
from bng.aaa.reading import Reading
from bng.box import Box
from bng.ethernet import AccessLine, Mac
from bng.io.radius import values
from bng.mgmt.plain import plain, words
from bng.mgmt.registry import Args, CommandError, command
from bng.ppp.credentials import PapCredentials
from radius.client import Answered, Failed
from radius.dictionary import Dictionary
from radius.errors import MalformedValue
from radius.link import Link
from radius.packet import Code, Request

COUNTERS = (
    *("requests", "retransmits", "timeouts", "failovers", "accepts", "rejects", "challenges"),
    *("responses", "bad_replies", "malformed", "unexpected", "dropped", "unsent"),
    *("probes", "probes_answered", "deaths", "connections_lost"),
)
TEST_TIMEOUT_S = 60.0


@command("show radius", summary="Show RADIUS servers: state, answer times, counters.")
def show_radius(box: Box, args: Args) -> object:
    """Return one row for each server and role."""
    rows: list[dict[str, object]] = []
    if box.radius.access is not None:
        rows += _servers("authentication", "main", box.radius.access.link)
    if box.radius.accounting is not None:
        for target in box.radius.accounting.accounting.targets():
            rows += _servers("accounting", target.name, target.link)
    return rows


def _servers(role: str, group: str, link: Link) -> list[dict[str, object]]:
    now = time.monotonic()
    link.count_drops()
    core = link.client
    return [
        {
            "server": state.settings.name,
            "role": role,
            "group": group,
            "address": str(state.settings.address),
            "port": state.settings.port,
            "transport": state.settings.transport.value,
            "state": "alive" if state.alive(now) else "dead",
            "outstanding": state.outstanding,
            "waiting": core.waiting,
            "cancelled": core.counters["cancelled"],
            "answer_ms_median": _ms(state.answer_s(0.5)),
            "answer_ms_p99": _ms(state.answer_s(0.99)),
            **{name: state.counters[name] for name in COUNTERS},
        }
        for state in core.servers
    ]


def _ago(at: float | None) -> int | None:
    return None if at is None else round(time.monotonic() - at)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


@command("show accounting", summary="Show open accounts, and the spool by group of servers.")
def show_accounting(box: Box, args: Args) -> object:
    """Return the file, accounts, and one row for each group: what waits, for how long.

    *made_up_for*: what the last start said that had not been said: Starts, Stops, and how many of
    these with counters of earlier. *of_no_group*: records by group, of groups that are configured
    no more.
    """
    if box.radius.accounting is None:
        return {"enabled": False, "groups": []}
    accounting = box.radius.accounting.accounting
    spool = accounting.spool
    wall = time.time()
    rows = []
    for target in accounting.targets():
        depth = spool.depth[target.name]
        oldest = spool.oldest_at(target.name) if depth else None  # answered ones leave in batches
        rows.append(
            {
                "group": target.name,
                "on_disk": depth,
                "under_way": target.under_way,
                "oldest_s": None if oldest is None else max(0, round(wall - oldest)),
                "not_sendable": target.dropped,
            }
        )
    return {
        "enabled": True,
        "spool": str(spool.path),
        "not_written": spool.waiting,
        "write_errors": spool.errors,
        "damaged_rows": accounting.damaged,
        "open_accounts": spool.open_accounts,
        "checkpoint_s_ago": _ago(box.radius.checkpoint_at),
        "made_up_for": asdict(box.radius.owed),
        "of_no_group": spool.strays,
        "groups": rows,
    }


@command(
    "test radius", "user", "password", summary="Ask RADIUS about a user, and say what it would set."
)
async def try_radius(box: Box, args: Args) -> object:
    """Return request, answer, and what each attribute would do. No session comes of it."""
    service = box.radius
    if service.access is None or service.backend is None:
        raise CommandError('test radius: aaa.method is not "radius"')
    user, password = args.get("user"), args.get("password", "")
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        raise CommandError("test radius: user and password are strings")
    credentials = PapCredentials(user_name=user, password=password.encode())
    who = AccessRequest(
        acct_session_id="test",
        request_id=0,
        credentials=credentials,
        line=AccessLine(0),
        mac=Mac(bytes(6)),
    )
    pairs, secret = requests.access(service.nas, who, credentials)
    request = Request(code=Code.ACCESS_REQUEST, attributes=tuple(pairs), password=secret)
    started = time.monotonic()
    try:
        async with asyncio.timeout(TEST_TIMEOUT_S):
            end = await service.access.try_out(request)
    except TimeoutError:
        raise CommandError("test radius: no answer") from None
    except MalformedValue as error:
        raise CommandError(f"test radius: {error}") from None
    known = service.dictionary
    sent = [{"attribute": name, "value": _text(known, name, value)} for name, value in pairs]
    if isinstance(end, Failed):
        return {"request": sent, "answer": "none", "reason": end.reason.value, "attributes": []}
    return {"request": sent, **_read(box, user, end, time.monotonic() - started)}


def _read(box: Box, user: str, end: Answered, after_s: float) -> dict[str, object]:
    """Return what the answer says, attribute by attribute."""
    assert box.radius.backend is not None  # noqa: S101 - the caller looked
    offered = box.radius.backend.offered
    rows: list[dict[str, object]] = []
    for pair in values(end.reply):
        reading = attributes.read([pair], offered)
        effect = reading.refusal or "; ".join(
            [*reading.warnings, *(f"{k} = {words(v)}" for k, v in _values(reading).items())]
        )
        known = "ignored" if reading.ignored else "no effect of its own"
        value = _text(box.radius.dictionary, *pair)
        rows.append({"attribute": pair[0], "value": value, "sets": effect or known})
    whole = attributes.read(values(end.reply), offered)
    accepted = end.reply.code is Code.ACCESS_ACCEPT
    profile = attributes.profile(whole, user) if accepted and whole.refusal is None else None
    return {
        "answer": end.reply.code.name.lower().replace("_", "-"),
        "server": end.server,
        "answer_ms": round(after_s * 1000, 2),
        "refused_by_us": whole.refusal if accepted else None,
        "attributes": rows,
        "profile": None
        if profile is None
        else {
            name: plain(value)
            for name in profile.__slots__
            if (value := getattr(profile, name)) not in (None, "", ())
        },
    }


def _values(reading: Reading) -> dict[str, object]:
    """Return all that was read, by field."""
    found = dict(reading.fields)
    if reading.classes:
        found["classes"] = reading.classes
    if reading.interim_interval_s is not None:
        found["interim_interval_s"] = reading.interim_interval_s
    if reading.messages:
        found["reply_message"] = "\n".join(reading.messages)
    return found


def _text(dictionary: Dictionary, name: str, value: object) -> str:
    """Return *value* of the attribute *name* as people read it: the word for a number."""
    if isinstance(value, int) and name in dictionary:
        return dictionary.text(dictionary[name].key, value)
    return words(value)
