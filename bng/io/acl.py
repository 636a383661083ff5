"""ACLs in the arena: compiled there by bngd, put into place by the dataplane, changed while used.

A changed ACL is written beside the old one, whose memory is free again once the dataplane has moved
every worker on. All ACLs of a configuration find room, or none is changed. What the rules decided
is counted where they stand: a changed ACL counts from 0, the others go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bng.aaa.acl import AclRule, BypassRule, Ends
from bng.config import Config
from bng.settings import bypass_name
from dataplane.acl import (
    ALIGN_BYTES,
    ANY_ADDRESS,
    ANY_ADDRESS6,
    ANY_PORT,
    ANY_PROTOCOL,
    NEVER,
    Range,
    Rule,
    RuleCount,
    compile_acl,
    read_counters,
    with_counters,
    without_counts,
)
from dataplane.binding import AclAction, Dataplane, lib
from dataplane.filters import acl_record


def compiled_acls(config: Config) -> dict[str, bytes]:
    """Return the ACLs of a configuration by name, as the dataplane reads them.

    What NAT profiles leave as it is are ACLs, too: they permit it.
    """
    return {
        acl.name: compile_acl([_rule(rule) for rule in acl.rules], _action(acl.default))
        for acl in config.acl
    } | {
        name: compile_acl([rule for _, rule in rules], AclAction.DENY)
        for name, rules in bypass_lists(config).items()
    }


def bypass_lists(config: Config) -> dict[str, list[tuple[str, Rule]]]:
    """Return by name the rules, each with its text, of what NAT profiles leave as it is."""
    return {
        bypass_name(name): [(str(bypass), _bypass(bypass)) for bypass in profile.bypass]
        for name, profile in config.nat.profile.items()
        if profile.bypass
    }


def _bypass(bypass: BypassRule) -> Rule:
    ends, protocol = bypass.destination, bypass.protocol
    return Rule(
        AclAction.PERMIT,
        destination=ANY_ADDRESS if ends is None else (int(ends[0]), int(ends[1])),
        destination_port=bypass.ports or ANY_PORT,
        protocol=ANY_PROTOCOL if protocol is None else (protocol, protocol),
    )


def _rule(rule: AclRule) -> Rule:
    fits4, fits6 = (rule.versions <= {version} for version in (4, 6))
    source, destination = (_range(ends, ANY_ADDRESS, fits4) for ends in rule.ends)
    source6, destination6 = (_range(ends, ANY_ADDRESS6, fits6) for ends in rule.ends)
    return Rule(
        _action(rule.action),
        source,
        destination,
        rule.source_port or ANY_PORT,
        rule.destination_port or ANY_PORT,
        ANY_PROTOCOL if rule.protocol is None else (rule.protocol, rule.protocol),
        source6,
        destination6,
    )


def _range(ends: Ends | None, any_address: Range, fits: bool) -> Range:
    if not fits:
        return NEVER
    return any_address if ends is None else (int(ends[0]), int(ends[1]))


def _action(name: str) -> AclAction:
    return AclAction[name.upper()]


PLACE_SHIFT = int(lib.ACL_PLACE_SHIFT)
"""A place is the offset above, the size below."""


class AclError(Exception):
    """The ACLs do not fit. The text says why."""


@dataclass(frozen=True, slots=True)
class _Placed:
    index: int
    offset: int
    compiled: bytes  # as it is written, all counters 0

    @property
    def room(self) -> tuple[int, int]:
        return self.offset, _rounded(len(self.compiled))


AclPlan = tuple[dict[str, _Placed], dict[str, _Placed]]
"""What stays as it is, and what is new or changed."""


class AclTable:
    """ACLs by name, as the dataplane has them or is about to.

    Starts with those that sessions of a former bngd have: *known* are their numbers by name. All
    others are removed; nothing may be planned before that is done: `settled`.
    """

    def __init__(self, dataplane: Dataplane, known: Mapping[str, int] | None = None) -> None:
        self._dataplane = dataplane
        self._placed: dict[str, _Placed] = {}
        self._leaving: list[_Placed] = []  # memory and index may still be in use
        self._told = False
        names = {number - 1: name for name, number in (known or {}).items()}
        for index in range(dataplane.max_acls):
            if place := int(dataplane.acl[index]):
                found = self._found(index, place)
                if index in names:
                    self._placed[names[index]] = found
                else:
                    self._tell(index, 0, 0)
                    self._leaving.append(found)

    def _found(self, index: int, place: int) -> _Placed:
        """Return what stands at *place*, its counters 0."""
        offset, size = place >> PLACE_SHIFT, place & 0xFFFF_FFFF
        return _Placed(index, offset, without_counts(self._dataplane.read_acl(offset, size)))

    def settled(self) -> bool:
        """Say whether the dataplane has done all that it was told of ACLs."""
        self._told = self._told and not self._dataplane.idle(self._dataplane.control_group)
        return not self._told

    def numbers(self) -> dict[str, int]:
        """Return by name what `CMD_SESSION_ACL` takes: the index + 1."""
        return {name: placed.index + 1 for name, placed in self._placed.items()}

    def sizes(self) -> dict[str, int]:
        """Return by name how many bytes of the arena each takes."""
        return {name: placed.room[1] for name, placed in self._placed.items()}

    def counts(self, name: str) -> list[RuleCount]:
        """Return what the rules of an ACL counted since it was written, its default the last."""
        placed = self._placed[name]
        return read_counters(self._dataplane.read_acl(placed.offset, len(placed.compiled)))

    def plan(self, compiled: Mapping[str, bytes], keep: set[str]) -> AclPlan:
        """Find room for the *compiled* ACLs; of the others those in *keep* stay.

        Raises: AclError when there is not enough. Nothing is changed before `apply`.
        """
        if self.settled():
            self._leaving.clear()
        workers = self._dataplane.n_workers
        wanted = {name: with_counters(code, workers) for name, code in compiled.items()}
        staying = {
            name: placed
            for name, placed in self._placed.items()
            if wanted.get(name, placed.compiled if name in keep else None) == placed.compiled
        }
        return staying, self._place({n: c for n, c in wanted.items() if n not in staying})

    def apply(self, plan: AclPlan) -> None:
        """Carry a plan out; another one made meanwhile is void."""
        staying, planned = plan
        for name, placed in planned.items():
            self._dataplane.write_acl(placed.offset, placed.compiled)
            self._tell(placed.index, placed.offset, len(placed.compiled))
            if name in self._placed:
                self._leaving.append(self._placed[name])
        for name, placed in self._placed.items():
            if name not in staying and name not in planned:
                self._tell(placed.index, 0, 0)
                self._leaving.append(placed)
        self._placed = {**staying, **planned}

    def _place(self, wanted: Mapping[str, bytes]) -> dict[str, _Placed]:
        """Find room for all of *wanted* beside what is there."""
        present = [*self._placed.values(), *self._leaving]
        taken = sorted(placed.room for placed in present)
        indexes = {placed.index for placed in present}
        free = (i for i in range(self._dataplane.max_acls) if i not in indexes)
        planned = {}
        for name, compiled in wanted.items():
            old = self._placed.get(name)
            index = next(free, None) if old is None else old.index
            offset = _first_fit(taken, _rounded(len(compiled)), self._dataplane.acl_memory_bytes)
            if index is None or offset is None:
                raise AclError(f"acl {name}: no room for its {len(compiled)} bytes")
            planned[name] = _Placed(index, offset, compiled)
            taken = sorted([*taken, planned[name].room])
        return planned

    def _tell(self, index: int, offset: int, size: int) -> None:
        self._told, dataplane = True, self._dataplane
        dataplane.command(dataplane.control_group, acl_record(index, offset, size))


def _rounded(size: int) -> int:
    return -(-size // ALIGN_BYTES) * ALIGN_BYTES


def _first_fit(taken: list[tuple[int, int]], size: int, limit: int) -> int | None:
    """Return the lowest offset with *size* bytes of room beside the *taken* (offset, size)."""
    at = 0
    for offset, length in taken:
        if offset - at >= size:
            break
        at = max(at, offset + length)
    return at if at + size <= limit else None
