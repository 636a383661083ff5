"""``show pools``, ``ports``, ``nat``, ``counters``, ``holdoffs``: the tables and their counts."""

from collections import Counter
from dataclasses import asdict

from bng.box import Box
from bng.io.ports import ROLES, line_of
from bng.mgmt.registry import Args, command
from bng.mgmt.select import port_name
from bng.session.model import State
from bng.session.nat import NatEntry
from dataplane.binding import Ring, ffi, lib

PLANES = ("tcp", "udp", "icmp")


@command("show pools", summary="Pools of addresses and prefixes: size, used, held, sticky, free.")
def show_pools(box: Box, args: Args) -> object:
    """Return one row for each pool."""
    lengths = {pool.name: pool.length for pool in box.config.ipv6.pool}
    rows = [
        {"pool": name, "family": "ipv4", "length": 32, **asdict(row)}
        for name, row in box.manager.pools.stats().items()
    ]
    return rows + [
        {"pool": name, "family": "ipv6", "length": lengths[name], **asdict(row)}
        for name, row in box.manager.pools6.stats().items()
    ]


SUMS = {
    "rx_lost": "rx_lost",
    "tx_packets": "packets",
    "tx_bytes": "bytes",
    "tx_errors": "errors",
    "control_received": "control_received",
    "control_lost": "control_lost",
    "control_sent": "control_packets",
    "control_errors": "control_errors",
}
"""Counters of a port that each worker has its own of; control: routing protocols, ARP, ND. Lost is
what found a ring full: in ``rx_errors``, too."""


@command("show ports", summary="Ports: state and counters.")
def show_ports(box: Box, args: Args) -> object:
    """Return one row for each port of the dataplane, TAPs included."""
    dataplane = box.dataplane
    sessions = Counter(s.line.port for s in box.manager.table)
    rows, now = [], box.loop.now()
    for index in range(dataplane.header.n_ports):
        port = dataplane.ports[index]
        workers = range(dataplane.n_workers)
        name = ffi.string(port.name).decode()
        rows.append(
            {
                "port": name,
                "interface": ffi.string(port.interface).decode(),
                "driver": ffi.string(port.driver).decode(),
                "role": ROLES.get(port.role, "?"),
                "up": bool(port.flags & lib.PORT_UP),
                "mac": bytes(port.mac).hex(":"),
                "mtu": int(port.mtu),
                **_line(box, index),
                "sessions": sessions[index],
                "addresses": box.addresses.rows(name, now),
                "alarms": box.addresses.alarms(name, now),
                "rx_packets": int(port.rx_packets),
                "rx_bytes": int(port.rx_bytes),
                "rx_errors": int(port.rx_errors),
                **{
                    name: sum(int(getattr(port.tx[w], field)) for w in workers)
                    for name, field in SUMS.items()
                },
            }
        )
    return rows


def _line(box: Box, index: int) -> dict[str, str]:
    line = line_of(box.dataplane, index)
    return {"parent": line.parent if line else "", "vlan": line.vlan if line else ""}


@command("show nat", summary="Public addresses: sessions, blocks, mappings.")
def show_nat(box: Box, args: Args) -> object:
    """Return the configuration of NAT44 and one row for each public address."""
    dataplane, nat = box.dataplane, box.manager.nat
    config = dataplane.nat_config[0] if nat.entries else None
    rows = [_nat_row(box, entry) for entry in nat.entries.values()]
    return {
        "block_size": int(config.block_size) if config else 0,
        "blocks_per_subscriber": int(config.blocks_per_session) if config else 0,
        "fragments": _fragments(box),
        "log": box.nat_log.stats(),
        "max_addresses": nat.size,
        "addresses_waiting": nat.waiting,
        "addresses": rows,
    }


def _fragments(box: Box) -> dict[str, int]:
    """Count fragments to public addresses: delivered, made to wait, dropped by reason."""
    counts = {"delivered": 0, "held": 0}
    for (node, following, why), count in box.dataplane.edge_counters().items():
        if node == "nat44_fragment":
            counts[why or {"consumed": "held"}.get(following, "delivered")] = count
    return counts


def _nat_row(box: Box, known: NatEntry) -> dict[str, object]:
    entry = box.dataplane.nat_address[known.index]
    return {
        "address": str(known.address),
        "pool": known.pool.name if known.pool else "",
        "mode": known.mode.value,
        "state": known.shown,
        "worker": known.owner,
        "sessions": known.sessions,
        "blocks_used": int(entry.used_blocks),
        "blocks_free": int(entry.free_blocks),
        **{plane: int(live) for plane, live in zip(PLANES, entry.live, strict=True)},
        "gre_esp": int(entry.protocol_flows),
    }


@command("show counters", summary="Packets by node and edge, drops by reason, tables, rings.")
def show_counters(box: Box, args: Args) -> object:
    """Return every counter there is; what is 0 is there too."""
    dataplane, manager = box.dataplane, box.manager
    edges = dataplane.edge_counters()
    return {
        "drops": {f"{n} {why}": count for (n, _, why), count in edges.items() if why},
        "edges": {f"{n} {to}": count for (n, to, why), count in edges.items() if not why},
        "discovery": dict(box.access.discovery.counters),
        "session": dict(manager.counters),
        "ipv6": dict(manager.ipv6.counters),
        "dhcpv6_relay": {} if box.relay is None else dict(box.relay.counters),
        "verifier": {"waiting": box.verifier.waiting, **box.verifier.counters},
        "punt": dict(box.dispatcher.counters),
        "tables": _tables(box),
        "rings": _rings(box),
        "workers": [_worker(box, index) for index in range(dataplane.n_workers)],
        "dataplane": {"inject_dropped": dataplane.inject_dropped},
        "nat_log": {
            "written": box.nat_log.written,
            "errors": box.nat_log.errors,
            "lost": box.nat_log.lost,
        },
        "journal": {"waiting": len(box.journal), "errors": box.journal.errors},
    }


def _tables(box: Box) -> dict[str, int]:
    manager = box.manager
    states = Counter(s.state for s in manager.table)
    nat = [_nat_row(box, entry) for entry in manager.nat.entries.values()]
    return {
        "sessions": manager.table.count,
        **{f"sessions_{state.value}": states[state] for state in State},
        "pool_used": sum(row.used for row in manager.pools.stats().values()),
        "addresses_in_no_pool": manager.pools.used_outside(),
        "pool6_used": sum(row.used for row in manager.pools6.stats().values()),
        "prefixes_in_no_pool": manager.pools6.used_outside(),
        "ipv6_sessions": sum(s.ipv6 is not None and s.ipv6.on for s in manager.table),
        "nat_sessions": sum(entry.sessions for entry in manager.nat.entries.values()),
        "nat_blocks": sum(int(str(row["blocks_used"])) for row in nat),
        "nat_mappings": sum(int(str(row[plane])) for row in nat for plane in (*PLANES, "gre_esp")),
        "deadlines": len(manager.deadlines),
        "to_drain": len(manager.drain),
        **box.access.stats(),
    }


def _rings(box: Box) -> dict[str, dict[str, int]]:
    dataplane = box.dataplane
    rows = {}
    for group in range(dataplane.n_workers + 1):
        owner = "control" if group == dataplane.n_workers else f"worker {group}"
        for kind in Ring:
            ring = dataplane.rings[group * lib.RINGS_PER_GROUP + kind]
            if ring.size:
                rows[f"{owner} {kind.name.lower()}"] = {
                    "used_bytes": int(ring.head - ring.tail),
                    "size_bytes": int(ring.size),
                    "refused": int(ring.full),
                }
    return rows


def _worker(box: Box, index: int) -> dict[str, int]:
    worker = box.dataplane.workers[index]
    names = ("cpu", "sessions", "buffers_free", "no_buffer", "rx_packets", "loops", "idle_loops")
    return {name: int(getattr(worker, name)) for name in (*names, "commands", "command_errors")}


@command("show holdoffs", summary="Clients held off after wrong passwords.")
def show_holdoffs(box: Box, args: Args) -> object:
    """Return one row for each client with failures."""
    now = box.loop.now()
    return [
        {
            "port": port_name(box, entry.line.port),
            "vlan": ".".join(str(tag.vid) for tag in entry.line.tags),
            "mac": str(entry.mac),
            "failures": entry.failures,
            "held_for_s": round(max(0.0, entry.until - now), 1),
        }
        for entry in box.access.discovery.holdoffs(now)
    ]
