"""What changing a key of bng.toml needs: nothing but a reload, or a restart of a process.

`NEEDS` is the only place that knows; the longest prefix of a key that is in it decides.
"""

from dataclasses import dataclass
from enum import StrEnum

from bng.config.model import Config
from bng.tomlfile import Table


class Needs(StrEnum):
    """What makes a changed key take effect."""

    LIVE = "live"
    RESTART_BNGD = "restart bngd"
    RESTART_DATAPLANE = "restart dataplane"


@dataclass(frozen=True, slots=True)
class Change:
    """One key that two configurations have differently, and what it needs."""

    key: str
    needs: Needs

    def __str__(self) -> str:
        return f"{self.key}: {self.needs}"


NEEDS = {
    "system": Needs.RESTART_BNGD,
    "dataplane": Needs.RESTART_DATAPLANE,
    "port": Needs.RESTART_DATAPLANE,
    "port.access": Needs.LIVE,
    "port.addresses": Needs.RESTART_BNGD,
    "port.dad": Needs.RESTART_BNGD,
    "port.max_sessions": Needs.LIVE,
    "port.pado_delay_ms": Needs.LIVE,
    "port.service_names": Needs.LIVE,
    "route": Needs.RESTART_BNGD,
    "pppoe": Needs.LIVE,
    "ppp": Needs.LIVE,
    "session": Needs.LIVE,
    "pool": Needs.LIVE,
    "ipv6": Needs.LIVE,
    "ipv6.dhcpv6": Needs.RESTART_BNGD,
    "ipv6.external": Needs.RESTART_BNGD,
    "nat": Needs.RESTART_DATAPLANE,
    "nat.log": Needs.LIVE,
    "nat.log.path": Needs.RESTART_BNGD,
    "nat.log_mappings": Needs.LIVE,
    "nat.filtering": Needs.LIVE,
    "nat.mappings_per_subscriber": Needs.LIVE,
    "nat.new_mappings_per_s": Needs.LIVE,
    "nat.port_quarantine_percent": Needs.LIVE,
    "nat.port_quarantine_s": Needs.LIVE,
    "nat.remotes_per_subscriber": Needs.LIVE,
    "nat.inside": Needs.LIVE,
    "nat.pool": Needs.LIVE,
    "nat.profile": Needs.LIVE,
    "acl": Needs.LIVE,
    "export": Needs.LIVE,
    "aaa.method": Needs.RESTART_BNGD,
    "aaa.users": Needs.LIVE,
    "radius": Needs.RESTART_BNGD,
    "radius.timeout_s": Needs.LIVE,
    "radius.max_timeout_s": Needs.LIVE,
    "radius.tries": Needs.LIVE,
    "radius.give_up_s": Needs.LIVE,
    "radius.dead_s": Needs.LIVE,
    "radius.probe_s": Needs.LIVE,
    "radius.queue_limit": Needs.LIVE,
    "radius.without_server": Needs.LIVE,
    "radius.last_good_max_age_s": Needs.LIVE,
    "radius.fallback_user": Needs.LIVE,
    "radius.accounting.interim_interval_s": Needs.LIVE,
    "radius.accounting.start_delay_s": Needs.LIVE,
    "radius.dynauth.client": Needs.LIVE,
    "journal": Needs.RESTART_BNGD,
}


def needs_of(key: tuple[str, ...]) -> Needs:
    """Return what *key*, without names and indices, needs. Raises: KeyError for no key."""
    for length in range(len(key), 0, -1):
        found = NEEDS.get(".".join(key[:length]))
        if found is not None:
            return found
    raise KeyError(".".join(key))


def diff(old: Config, new: Config) -> list[Change]:
    """Return every change from *old* to *new*; tables with a name are compared by name."""
    return _changes((), "", old, new)


def _changes(key: tuple[str, ...], shown: str, old: object, new: object) -> list[Change]:
    if old == new:
        return []
    if isinstance(old, Table) and isinstance(new, Table) and type(old) is type(new):
        return [
            change
            for name in type(old).model_fields
            for change in _changes(
                (*key, name),
                f"{shown}.{name}" if shown else name,
                getattr(old, name),
                getattr(new, name),
            )
        ]
    old_named, new_named = _by_name(old), _by_name(new)
    if old_named is None or new_named is None:
        return [Change(shown, needs_of(key))]
    return [
        change
        for name in {**old_named, **new_named}
        for change in _changes(key, f"{shown}[{name}]", old_named.get(name), new_named.get(name))
    ]


def live(running: Config, wanted: Config) -> Config:
    """Return *running* with every change of *wanted* that needs no restart."""
    merged = _merged((), running, wanted)
    assert isinstance(merged, Config)  # noqa: S101 - a table merges into its own type
    return merged


def _merged(key: tuple[str, ...], old: object, new: object) -> object:
    if old == new:
        return old
    if isinstance(old, Table) and isinstance(new, Table) and type(old) is type(new):
        return old.model_copy(
            update={
                name: _merged((*key, name), getattr(old, name), getattr(new, name))
                for name in type(old).model_fields
            }
        )
    if needs_of(key) is Needs.LIVE:
        return new
    names = _by_name(new)
    if isinstance(old, tuple) and names is not None and _by_name(old) is not None:
        return tuple(_merged(key, item, names.get(item.name, item)) for item in old)
    return old


def _by_name(value: object) -> dict[str, object] | None:
    """Return tables by their names, or None when *value* is no collection of named tables."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, tuple) and all(
        isinstance(item, Table) and hasattr(item, "name") for item in value
    ):
        return {item.name: item for item in value}
    return None
