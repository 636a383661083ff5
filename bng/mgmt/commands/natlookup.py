"""``nat lookup``: who has a public address and port, or had it at a time."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address

from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import MAX_PORT, PROTOCOLS, number, protocol, text
from bng.mgmt.select import user_of as user
from bng.natlog.files import all_files
from bng.natlog.lines import Record, time_text
from bng.natlog.search import Holding, Question, look_up, read_time, row
from dataplane import sight


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
    return {
        "holders": [row(holding) for holding in answer.holdings],
        "begins": time_text(answer.begins_ns),
        "damaged": answer.damaged,
    }


def _holders(
    box: Box, address: IPv4Address, port: int, wanted: int | None
) -> Iterator[dict[str, object]]:
    """Yield the rows of what is given out now: what the log has of it, then the live mappings."""
    given = [
        record
        for record in list(box.nat_log.given.values())  # the writer's thread changes it
        if record.outer == str(address)
        and record.first <= port <= record.last
        and (wanted is None or record.protocol in (0, wanted))
    ]
    for record in given:
        yield row(Holding(record, record.time_ns, None, ""))
    entries = box.manager.nat.entries
    index = next((i for i, entry in entries.items() if entry.address == address), None)
    owner = None if index is None else sight.nat_owner(box.dataplane, index, port)
    if index is None or owner is None:
        return
    block = next((record for record in given if record.kind == "block"), None)
    if block is None:  # of a deterministic pool, which has no log
        block = _block(box, index, port, owner)
        yield row(Holding(block, None, None, ""))
    for name in sight.NAT_PLANES:
        mapping = sight.nat_mapping(box.dataplane, index, name, port)
        if mapping and wanted in (None, PROTOCOLS[name]):
            yield _mapping(block, port, name, mapping)


def _mapping(block: Record, port: int, plane: str, mapping: dict[str, object]) -> dict[str, object]:
    inner_port = int(str(mapping.pop("inner_port")))
    begin = replace(
        block,
        event="+map",
        inner_port=inner_port,
        first=port,
        last=port,
        protocol=PROTOCOLS[plane],
    )
    return row(Holding(begin, None, None, "")) | mapping


def _block(box: Box, index: int, port: int, owner: tuple[int, int]) -> Record:
    """Return the block of a port as a record that was never written."""
    dataplane = box.dataplane
    config = dataplane.nat_config[0]
    first = port & -int(config.block_size)
    entry = dataplane.nat_block[index * config.blocks_per_address + (port >> config.block_shift)]
    session = box.manager.table.get(*owner)
    return Record(
        time_ns=0,
        worker=int(dataplane.nat_address[index].owner),
        sequence=0,
        event="+block",
        session=owner[0],
        generation=owner[1],
        inner=str(IPv4Address(int(entry.inner).to_bytes(4, "little"))),
        inner_port=0,
        outer=str(box.manager.nat.entries[index].address),
        first=first,
        last=first + int(config.block_size) - 1,
        protocol=0,
        acct_id="" if session is None else session.acct_session_id,
        user=user(box, owner[0]) or "",
    )
