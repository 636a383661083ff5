"""The whole shared arena, as it is now and what of it is not as it was.

Sections are found by name in the arena's header, fields by name in the C declarations: a new table
or field is compared without being entered anywhere. What may differ is the caller's to name.
"""

from collections.abc import Iterator
from typing import Any

from dataplane.binding import Dataplane, ffi, lib

STRUCTS = {
    "WORKER": "worker_shared",
    "NODE": "node_name",
    "NODE_RUNTIME": "node_runtime",
    "PORT": "port_shared",
    "ACCESS_RANGE": "access_range",
    "SESSION_IN": "session_in",
    "SESSION_OUT": "session_out",
    "SESSION_COLD": "session_cold",
    "CONTROL": "control_record",
    "POLICER": "policer",
    "ADJACENCY": "adjacency",
    "MIRROR": "mirror_shared",
    "NAT_CONFIG": "nat_config",
    "NAT_ADDRESS": "nat_address",
    "NAT_BLOCK": "nat_block",
    "NAT_REMOTE": "nat_remote",
    "NAT_PROTOCOL": "nat_protocol",
    "NAT_FORWARD": "nat_forward",
    "NAT_SLOT": "nat_slot",
    "RING": "ring",
}
"""By section: what it is an array of. One that is not here is compared as bytes."""
CHUNK = 1 << 16
Snapshot = dict[str, bytes]


def sections() -> dict[str, int]:
    """Return the number of every section by its name."""
    prefix = "SECTION_"
    names = [name for name in dir(lib) if name.startswith(prefix)]
    return {name.removeprefix(prefix): int(getattr(lib, name)) for name in names}


def snapshot(dataplane: Dataplane) -> Snapshot:
    """Return the bytes of every section."""
    header = dataplane.header
    base = ffi.cast("uint8_t *", lib.binding_base(dataplane._binding))
    return {
        name: bytes(ffi.buffer(base + at.offset, at.stride * at.count))
        for name, number in sections().items()
        for at in [header.section[number]]
    }


def fields(struct: str) -> list[tuple[str, int, int]]:
    """Return (name, offset, bytes) of every field of a struct; a union is one field."""
    found: list[tuple[str, Any]] = ffi.typeof(f"struct {struct}").fields
    return [(name or "union", field.offset, ffi.sizeof(field.type)) for name, field in found]


def all_fields() -> set[str]:
    """Return all that `differences` can name."""
    return {
        f"{section}.{name}" if name else section
        for section in sections()
        for name in ([n for n, _, _ in fields(STRUCTS[section])] if section in STRUCTS else [""])
    }


def differences(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """Return what is not as it was, "SECTION.field" or "SECTION", and where first: its index."""
    assert before.keys() == after.keys()
    found: dict[str, int] = {}
    for name in before:
        for key, index in _section(name, before[name], after[name]):
            found.setdefault(key, index)
    return found


def _section(name: str, before: bytes, after: bytes) -> Iterator[tuple[str, int]]:
    size = ffi.sizeof(f"struct {STRUCTS[name]}") if name in STRUCTS else 1
    step = max(1, CHUNK // size) * size
    for start in range(0, len(before), step):
        old, new = before[start : start + step], after[start : start + step]
        if old == new:
            continue
        if name not in STRUCTS:
            yield name, start + next(i for i in range(len(old)) if old[i] != new[i])
            return
        for at in range(0, len(old), size):
            if old[at : at + size] != new[at : at + size]:
                for field, offset, length in fields(STRUCTS[name]):
                    part = slice(at + offset, at + offset + length)
                    if old[part] != new[part]:
                        yield f"{name}.{field}", (start + at) // size
