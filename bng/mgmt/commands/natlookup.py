"""``nat lookup``: who has a public address and port, or had it at a time.

Who has it now is what the dataplane's tables say; the log adds since when. Who had it then is what
the log says; where a deterministic pool has no log, its arithmetic.
"""

import asyncio
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import MAX_PORT, PROTOCOLS, number, protocol, text
from bng.natlog.files import all_files
from bng.natlog.lines import Record, time_text
from bng.natlog.search import Holding, Question, look_up, read_time, row
from dataplane import sight
from dataplane.binding import lib


@command(
    "nat lookup",
    *("address", "port", "time", "protocol"),
    summary="Who has a public address and port, or had it at a time.",
)
async def nat_lookup(box: Box, args: Args) -> object:
    """Return the holders: from the tables, or, given a time, from the files of the log."""
    try:
        address = IPv4Address(text(args, "address") or "")
    except AddressValueError:
        raise CommandError(f"address: not an IPv4 address: {text(args, 'address')!r}") from None
    if text(args, "port") is None:
        raise CommandError("port: is missing")
    port = number(args, "port", 0, 0, MAX_PORT)
    wanted = protocol(args) or None
    await box.nat_log.flush_later()
    if (when := text(args, "time")) is None:
        return {"holders": list(_holders(box, address, port, wanted))}
    try:
        question = Question(address, port, read_time(when), wanted)
        answer = await asyncio.to_thread(look_up, all_files(box.nat_log.path), question)
    except (ValueError, OSError) as error:
        raise CommandError(f"nat lookup: {error}") from None
    rows = [row(holding) for holding in answer.holdings]
    return {
        "holders": rows or _computed(box, address, port),
        "begins": time_text(answer.begins_ns),
        "damaged": answer.damaged,
    }


Found = tuple[Record, dict[str, object]]
"""What a table has, as the record that the log has or would have of it; what else is known."""


def _holders(
    box: Box, address: IPv4Address, port: int, wanted: int | None
) -> Iterator[dict[str, object]]:
    """Yield the rows of what is given out now."""
    given = list(box.nat_log.given.values())  # the writer's thread changes it
    begun = {record.key: record for record in given if record.outer == str(address)}
    for record, more in _found(box, address, port):
        if not record.protocol or wanted in (None, record.protocol):
            logged = begun.get(record.key)
            since = None if logged is None else logged.time_ns
            yield row(Holding(logged or record, since, None, "")) | more


def _found(box: Box, address: IPv4Address, port: int) -> Iterator[Found]:
    """Yield what the tables have of a public port: whole addresses and blocks before the rest."""
    leaf = sight.fib4_lookup(box.dataplane, address)
    if leaf.kind == lib.LEAF_SESSION and sight.nat_public(box.dataplane, leaf.index) == address:
        yield _record(box, "static", leaf.index, address, 0, MAX_PORT), {}
    entries = box.manager.nat.entries
    index = next((i for i, entry in entries.items() if entry.address == address), None)
    if index is None:
        return
    if port == 0:
        yield from _flows(box, index, address)
    for name in ("tcp", "udp"):
        if (forward := sight.nat_forward(box.dataplane, index, name, port)) is not None:
            session, inner = forward
            ends = (port, port, PROTOCOLS[name], inner)
            yield _record(box, "forward", session, address, *ends), {}
    if (owner := sight.nat_owner(box.dataplane, index, port)) is not None:
        yield from _block(box, index, owner[0], address, port)


def _flows(box: Box, index: int, address: IPv4Address) -> Iterator[Found]:
    """Yield the flows of GRE and ESP, which have no ports."""
    for session, number_of, remote in sight.nat_flows(box.dataplane, index):
        record = _record(box, "map", session, address, 0, 0, number_of)
        yield record, {"remote": str(remote)}


def _block(box: Box, index: int, session: int, address: IPv4Address, port: int) -> Iterator[Found]:
    size = int(box.dataplane.nat_config[0].block_size)
    first = port & -size
    yield _record(box, "block", session, address, first, first + size - 1), {}
    for name in sight.NAT_PLANES:
        if mapping := sight.nat_mapping(box.dataplane, index, name, port):
            inner = int(str(mapping.pop("inner_port")))
            ends = (port, port, PROTOCOLS[name], inner)
            yield _record(box, "map", session, address, *ends), mapping


def _record(
    box: Box,
    kind: str,
    index: int,
    outer: IPv4Address,
    first: int,
    last: int,
    protocol: int = 0,
    inner_port: int = 0,
) -> Record:
    """Return the record that the log has or would have of what the session at *index* has."""
    entry = box.dataplane.session_in[index]
    session = box.manager.table.get(index, int(entry.generation))
    return Record(
        time_ns=0,
        worker=int(entry.owner),
        sequence=0,
        event=f"+{kind}",
        session=index,
        generation=int(entry.generation),
        inner=str(IPv4Address(int(entry.ip4).to_bytes(4, "little"))),
        inner_port=inner_port,
        outer=str(outer),
        first=first,
        last=last,
        protocol=protocol,
        acct_id="" if session is None else session.acct_session_id,
        user=("" if session is None else session.user_name) or "",
    )


def _computed(box: Box, address: IPv4Address, port: int) -> list[dict[str, object]]:
    """Return whose a port of a deterministic pool is, at any time: accounting says who that was."""
    for ports in box.config.nat.deterministic().values():
        inner = ports.inner_of(address, port)
        found = None if inner is None else ports.range_of(inner)
        if inner is not None and found is not None:
            record = Record(
                time_ns=0,
                worker=0,
                sequence=0,
                event="+deterministic",
                session=0,
                generation=0,
                inner=str(inner),
                inner_port=0,
                outer=str(address),
                first=found.first,
                last=found.last,
                protocol=0,
            )
            nobody = {"session": None, "generation": None}
            return [row(Holding(record, None, None, "")) | nobody]
    return []
