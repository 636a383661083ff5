"""The running box: every part of the control plane, joined; what the operator can ask of it."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from bng import settings
from bng.aaa import users
from bng.aaa.local import LocalBackend
from bng.aaa.model import AccessAnswer, AccessRequest, Backend
from bng.aaa.users import User, Users
from bng.access.domains import Domains
from bng.access.pppoe import PppoeAccess
from bng.config import Change, Config, diff, live, load, wrong_key
from bng.config.reload import needs_of
from bng.errors import ConfigError
from bng.io import drained, kernel, pasts
from bng.io import duid as server_duid
from bng.io import reconcile as accounts
from bng.io.acl import AclError, AclTable, compiled_acls
from bng.io.adoption import Adoption, acl_numbers, find, settle
from bng.io.dhcpv6_relay import Dhcpv6Relay
from bng.io.executor import Executor
from bng.io.export import Exporter
from bng.io.journal import Journal
from bng.io.loop import CoreLoop
from bng.io.lost import tell_lost
from bng.io.nat import check_nat, exporters_of, nat_log_of, nat_log_settings, nat_table
from bng.io.natlog import NatLog
from bng.io.own_addresses import DataplaneWitness, OwnAddresses, Port
from bng.io.ports import running_port, wanted_port
from bng.io.punt import Dispatcher, read_counters
from bng.io.radius_service import RadiusService, WrongKey, dictionaries_changed
from bng.io.rtnetlink import RouteSocket
from bng.io.tracer import Tracer
from bng.io.verifier import Verifier
from bng.ipv6.messages import RelayMessage
from bng.pool.ipv4 import Ipv4Pools
from bng.pool.ipv6 import Ipv6Pools
from bng.pppoe.discovery import Discovery
from bng.session.exports import Exports, Prefix
from bng.session.features import Refreshed, refresh
from bng.session.manager import SessionManager
from bng.session.model import Cause, Session
from bng.session.nat import NatAddresses
from bng.session.restart import Left
from bng.session.table import SessionTable
from dataplane.binding import (
    CommandType,
    Dataplane,
    NatFiltering,
    NatSet,
    access_record,
    lib,
    nat_set_record,
    route_record,
)
from dataplane.ip6 import unreachable_record
from radius.dictionary import Dictionary

STOP_BATCH = 500
"""Sessions ended at a time when stopping: the dataplane sends their PADTs in between."""
STOP_TIMEOUT_S = 10.0
ACLS_TIMEOUT_S, ACLS_POLL_S = 0.25, 0.001
"""How long a reload waits for changed ACLs: what is filtered by one that is not there is denied."""
REFRESH_BATCH = 200
"""Living sessions that a reload changes at a time: takes some 5 ms, then packets are served."""
TERMINATE_BATCH = 200
"""Sessions closed at a time for the operator: takes some 5 ms, then packets are served."""


@dataclass(slots=True)
class Box:
    """What `start` built. Times are of the event loop's clock."""

    config_path: Path
    config: Config
    dataplane: Dataplane
    ports: dict[str, int]
    manager: SessionManager
    access: PppoeAccess
    executor: Executor
    journal: Journal
    nat_log: NatLog
    acls: AclTable
    dispatcher: Dispatcher
    loop: CoreLoop
    users: Users
    started_at: float
    draining: set[str | None]
    radius: RadiusService
    duid: bytes
    serving: asyncio.Task[None] = field(init=False)
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    tracer: Tracer = field(init=False)
    verifier: Verifier = field(init=False)
    exporter: Exporter = field(init=False)
    addresses: OwnAddresses = field(init=False)
    relay: Dhcpv6Relay | None = None
    relaying: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.tracer = Tracer(self.dataplane)
        self.verifier = Verifier(self.users, self.answered)
        if self.config.ipv6.dhcpv6 == "external":
            self.relay = Dhcpv6Relay(self.config.ipv6.external, self.relayed)
            self.executor.relay = self.relay.send
        self.radius.attach(self.answered, self.accounted, lambda: self.manager.table)
        self.radius.attach_orders(self.manager.orders, self.loop.settle)
        if self.radius.backend is None:
            self.manager.backend = self.verifier
        self.exporter = _exporter(self)
        ports = {p.tap_name: Port(p.name, p.addresses, p.dad) for p in self.config.routed_ports}
        self.addresses = OwnAddresses(ports, DataplaneWitness(self.dataplane, self.ports))

    def start_export(self) -> None:
        """Have the kernel's routes follow what is exported. Raises: KernelError."""
        try:
            routes = RouteSocket()
        except OSError as error:
            raise kernel.KernelError(f"rtnetlink: {error}") from None
        for port in self.config.access_ports:
            index = self.ports[port.name]
            self.exporter.port(index, bool(self.dataplane.ports[index].flags & lib.PORT_UP))
        self._tell_export()
        self.exporter.start(routes)

    def serve(self) -> None:
        """Begin to talk to RADIUS servers and clients: all sessions that there are, are known."""
        self.serving = asyncio.get_running_loop().create_task(self.radius.run())
        self.serving.add_done_callback(_served)
        if self.relay is not None:
            self.relaying = asyncio.get_running_loop().create_task(self.relay.run())
            self.relaying.add_done_callback(_served)

    # ---- the operator ----

    async def reload(self) -> tuple[list[Change], Refreshed]:
        """Read the files again and apply all that can change live, or nothing.

        Returns every change with what it needs; those that need a restart are not applied. And what
        it came to for living sessions. Packets are served while a thread reads and checks; what it
        found is applied at once, to living sessions a batch at a time.
        Raises: ConfigError.
        """
        async with self.reloading:
            known = self.radius.dictionary
            read = await asyncio.to_thread(_read, self.config_path, self.config, known)
            config, loaded, acls, changes = read
            default_s = self.manager.settings.interim_interval_s
            self._apply(config, loaded, acls)
            structlog.get_logger("box").info(
                "reloaded", changes=[str(c) for c in changes], users=len(loaded)
            )
            refreshed = await self._refresh(loaded, default_s)
            await self.nat_log.flush_later()
            return changes, refreshed

    def _apply(self, config: Config, loaded: Users, acls: Mapping[str, bytes]) -> None:
        """Make *config*, *loaded* and *acls* effective. Raises: ConfigError."""
        pools = settings.pools(config)
        pools6 = settings.pools6(config)
        discovery = settings.discovery(config, self.ports)
        link = settings.link(config)
        fallback = _fallback(config, loaded)
        check_nat(config, self.dataplane)
        try:
            plan = self.acls.plan(acls, self._acls_in_use())
        except AclError as error:
            raise ConfigError(f"{self.config_path}: {error}") from None
        if pools != settings.pools(self.config):
            try:
                self.manager.pools.reconfigure(pools, time.monotonic())
            except ValueError as error:
                raise ConfigError(f"{self.config_path}: pool: {error}") from None
        if pools6 != settings.pools6(self.config):
            try:
                self.manager.pools6.reconfigure(pools6, time.monotonic())
            except ValueError as error:
                raise ConfigError(f"{self.config_path}: ipv6.pool: {error}") from None
        exporters = exporters_of(config, self.config, self.nat_log.exporters)
        self.acls.apply(plan)
        self.nat_log.reconfigure(nat_log_settings(config), exporters)
        self.users = loaded
        self.verifier.replace(loaded)
        self.radius.reconfigure(config, fallback)
        self.manager.settings = settings.session(config, self.ports, self.acls.numbers(), self.duid)
        self.access.discovery.reconfigure(discovery)
        self.access.discovery.setup_per_s = config.session.setup_per_s
        self.access.reconfigure(link)
        self.executor.echo_interval_ms = config.ppp.lcp_echo_interval_s * 1000
        self.executor.echo_failures = config.ppp.lcp_echo_failures
        old, self.config = self.config, config
        self._tell_settings(old)
        self._tell_export()
        self.loop.settle()

    def _acls_in_use(self) -> set[str]:
        """Return what living sessions name, whatever the files say by now."""
        sessions = list(self.manager.table)
        profiles = [s.profile for s in sessions if s.profile is not None]
        profiles += [s.answer.profile for s in sessions if s.answer is not None]
        return {name for p in profiles for name in (p.acl_in, p.acl_out) if name}

    async def _refresh(self, loaded: Users | None, default_s: int) -> Refreshed:
        """Have living sessions follow the settings, and what the users of *loaded* are to have.

        RADIUS alone changes what RADIUS said; with *loaded* None everybody has what he has.
        *default_s* is the interval of interim updates so far, where nobody says another.
        """
        if self.radius.backend is not None:
            loaded = None
        result = Refreshed()
        await _settled(self.acls, self.dataplane)  # nobody is given an ACL that is not there yet
        sessions = list(self.manager.table)
        for at in range(0, len(sessions), REFRESH_BATCH):
            for session in sessions[at : at + REFRESH_BATCH]:
                self._refresh_one(session, loaded, default_s, result)
            self.loop.settle()
            await asyncio.sleep(0)
        return result

    def _refresh_one(
        self, session: Session, loaded: Users | None, default_s: int, result: Refreshed
    ) -> None:
        manager, now = self.manager, self.loop.now()
        user = None if loaded is None else loaded.by_name.get(session.user_name or "")
        profile = session.profile if loaded is None else None
        if user is not None:
            profile = user.profile
        changed = refresh(manager, session, profile, result, now)
        said = user or session.accept
        if said is not None:
            words = said.classes, said.interim_interval_s
            changed |= manager.accounts.follow(session, words, default_s, now)
        result.changed += changed

    async def _follow_settings(self) -> None:
        """Have adopted sessions follow what changed in bng.toml meanwhile, as a reload would.

        Their profiles stay, with what CoA made of them: the user file is followed at a reload.
        """
        result = await self._refresh(None, self.manager.settings.interim_interval_s)
        if result.changed:
            structlog.get_logger("box").warning("adopted-sessions-changed", count=result.changed)

    def drain(self, port: str | None, on: bool) -> int:
        """Take no new sessions on *port*, None for all, and end those there at a pace.

        Returns how many sessions will end. Raises: KeyError when there is no such access port.
        """
        index = None if port is None else self._access_index(port)
        self.access.discovery.drain(index, on)
        if not on:
            self.draining.discard(port)
            self._tell_drain()
            return 0
        self.draining.add(port)
        self._tell_drain()
        sessions = [s for s in self.manager.table if index is None or s.line.port == index]
        now = time.monotonic()
        self.manager.drain.begin(sessions, Cause.ADMIN_REBOOT, "drained", now)
        self.loop.settle()
        return len(sessions)

    async def keep_drains(self) -> None:
        """Have the next bngd drain what this one does, under this dataplane. Raises: OSError."""
        known = self.config.system.state_dir, self.dataplane.boot(), frozenset(self.draining)
        await asyncio.to_thread(drained.save_ports, *known)

    def _drain_again(self) -> None:
        """Go on draining what a former bngd drained."""
        kept = drained.load_ports(self.config.system.state_dir, self.dataplane.boot())
        names = {port.name for port in self.config.access_ports} | {None}
        for port in kept & names:
            ending = self.drain(port, True)
            structlog.get_logger("box").warning("drains-again", port=port or "all", ending=ending)

    def terminate(self, sessions: list[Session]) -> None:
        """End sessions politely: Terminate-Request, then PADT. Many: a batch at a time."""
        now = time.monotonic()
        for session in sessions[:TERMINATE_BATCH]:
            self.manager.close(session, Cause.ADMIN_RESET, "bngctl", now)
        self.loop.settle()
        if rest := sessions[TERMINATE_BATCH:]:
            asyncio.get_running_loop().call_soon(self.terminate, rest)

    def _tell_drain(self) -> None:
        ports = {port.name for port in self.config.access_ports}
        self.exporter.drain(None in self.draining or ports <= self.draining)

    def _tell_export(self) -> None:
        ports = (self.ports[port.name] for port in self.config.access_ports)
        self.exporter.reconfigure(settings.export(self.config), ports)

    def port_changed(self, port: int, up: bool) -> None:
        """Take notice of a port that went up or down."""
        self.exporter.port(port, up)
        names = {index: name for name, index in self.ports.items()}
        log = structlog.get_logger("box")
        log.warning("port-up" if up else "port-down", port=names[port])

    def _access_index(self, port: str) -> int:
        if port not in {p.name for p in self.config.access_ports}:
            raise KeyError(port)
        return self.ports[port]

    # ---- start and stop ----

    def answered(self, request: AccessRequest, answer: AccessAnswer) -> None:
        """Take an answer of AAA that came late."""
        asked = (*request.key, request.request_id, request.user_name)
        self.manager.answered(*asked, answer, self.loop.now())
        self.loop.settle_soon()

    def relayed(self, answer: RelayMessage) -> None:
        """Take the answer of an external DHCPv6 server."""
        self.manager.ipv6.from_server(answer, self.loop.now())
        self.loop.settle_soon()

    def accounted(self, index: int, generation: int) -> None:
        """Let a session go whose Stop is on disk."""
        self.manager.accounted(index, generation)
        self.loop.settle_soon()

    async def stop(self, *, keep_sessions: bool) -> None:
        """End the sessions with PADT, unless they are kept, and let go of everything."""
        if not keep_sessions:
            await self._end_all()
        await self.exporter.stop(withdraw=not keep_sessions)
        all_ended = not keep_sessions and not self.manager.table.count
        await self.radius.stop(self.manager.box_session_id if all_ended else None)
        await self._let_go()

    async def dataplane_lost(self) -> None:
        """Write the Stops of all sessions with the counters that the arena still has; let go.

        Nobody is told here: the next dataplane, which has a way to the clients, does.
        """
        harvested = self.manager.accounts.harvest(
            partial(read_counters, self.dataplane), self.loop.now()
        )
        self.loop.settle()
        structlog.get_logger("box").warning("sessions-harvested", count=harvested)
        await self.exporter.stop(withdraw=True)
        await self._let_go()

    async def _let_go(self) -> None:
        await self.addresses.stop()
        self.serving.cancel()
        tasks = [self.serving]
        if self.relaying is not None:
            self.relaying.cancel()
            tasks.append(self.relaying)
        await asyncio.gather(*tasks, return_exceptions=True)
        self.verifier.stop()
        self.loop.stop()
        self.dataplane.flush()
        await self.flush()
        await asyncio.to_thread(self.nat_log.close)
        self.dataplane.close()
        await self.journal.close()
        await self.radius.close()

    async def flush(self) -> None:
        """Bring journal and NAT log to the disk. One at a time: each has one writer."""
        pasts.save(self.journal, self.manager.pools_by_version, time.monotonic())
        await self.journal.flush()
        await self.nat_log.flush_later()

    async def _end_all(self) -> None:
        self.access.discovery.drain(None, True)
        sessions = list(self.manager.table)
        for at in range(0, len(sessions), STOP_BATCH):
            now = time.monotonic()
            for session in sessions[at : at + STOP_BATCH]:
                self.manager.end(session, Cause.ADMIN_REBOOT, "bngd stops", now)
            self.loop.settle()
            await asyncio.sleep(0)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.manager.table.count and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self.manager.table.count:
            structlog.get_logger("box").error("sessions-not-ended", count=self.manager.table.count)

    def _tell_gateways(self, wanted: set[IPv4Address], present: set[IPv4Address]) -> None:
        for kind, addresses in (
            (CommandType.GATEWAY4_ADD, wanted - present),
            (CommandType.GATEWAY4_DEL, present - wanted),
        ):
            for address in sorted(addresses):
                record = route_record(kind, address.packed, 32)
                self.dataplane.command(self.dataplane.control_group, record)

    def _tell_settings(self, old: Config | None) -> None:
        """Tell the dataplane what of the configuration it follows; it knows *old*."""
        self._tell_gateways(
            settings.gateways(self.config), set() if old is None else settings.gateways(old)
        )
        self.manager.one_to_one.addresses.configure(
            settings.one_to_one(self.config), self.users.nat_addresses()
        )
        self._tell_unreachable(
            settings.aggregates(self.config), [] if old is None else settings.aggregates(old)
        )
        self.manager.nat.reconfigure(settings.nat_pools(self.config))
        self._tell_access_rules()
        self._tell_nat()

    def _tell_unreachable(self, wanted: list[Prefix], present: list[Prefix]) -> None:
        """Have addresses and prefixes of pools that are no session's be unreachable."""
        for on, prefixes, others in ((True, wanted, set(present)), (False, present, set(wanted))):
            for prefix in (prefix for prefix in prefixes if prefix not in others):
                record = unreachable_record(prefix, on=on)
                self.dataplane.command(self.dataplane.control_group, record)

    def _tell_nat(self) -> None:
        record = nat_set_record(0, _nat_set(self.config))
        self.dataplane.command(self.dataplane.control_group, record)

    def _tell_access_rules(self) -> None:
        for port in self.config.access_ports:
            record = access_record(self.ports[port.name], settings.access_ranges(port), 0)
            self.dataplane.command(self.dataplane.control_group, record)


def _exporter(box: Box) -> Exporter:
    """Return what exports prefixes of *box*; it writes nothing until it is started."""
    manager = box.manager
    exports = Exports(settings.export(box.config), lambda place: manager.nat.address_of(place))
    exporter = Exporter(exports, manager.table.get, lambda: manager.table)
    box.executor.rerouted = exporter.rerouted
    return exporter


def _nat_set(config: Config) -> NatSet:
    """Return what of NAT44 can change live."""
    return NatSet(
        filtering=NatFiltering[config.nat.filtering.upper().replace("-", "_")],
        remotes_per_session=config.nat.remotes_per_subscriber,
        mappings_per_session=config.nat.mappings_per_subscriber,
        mappings_per_s=config.nat.new_mappings_per_s,
        quarantine_s=config.nat.port_quarantine_s,
        quarantine_percent=config.nat.port_quarantine_percent,
        log_mappings=config.nat.log_mappings,
    )


def _read(
    path: Path, running: Config, known: Dictionary
) -> tuple[Config, Users, dict[str, bytes], list[Change]]:
    """Return what is live of the file at *path* beside *running*, users, ACLs, and all changes.

    A change is also a dictionary that says other than what is *known*.
    Raises: ConfigError.
    """
    wanted = load(path)
    config = live(running, wanted)
    changes = diff(running, wanted)
    try:
        other_files = dictionaries_changed(wanted, known)
    except WrongKey as wrong:
        raise wrong_key(path, wrong.key, wrong.message) from None
    if other_files and wanted.radius.dictionaries == running.radius.dictionaries:
        changes.append(Change("radius.dictionaries", needs_of(("radius", "dictionaries"))))
    loaded = users.load(config.aaa.users, config.known_to_users())
    return config, loaded, compiled_acls(config), changes


def _check_ports(config: Config, dataplane: Dataplane) -> dict[str, int]:
    """Return the port indexes by name.

    Raises: ConfigError when the dataplane runs with other ports than the configuration has, or
    without room for its public addresses.
    """
    check_nat(config, dataplane)
    ports = {name: index for index, name in enumerate(dataplane.port_names())}
    missing = [port.name for port in config.port if port.name not in ports]
    if missing:
        raise ConfigError(
            f"port {', '.join(missing)}: not in the running dataplane: restart the dataplane"
        )
    for port in config.port:
        wanted, running = wanted_port(port), running_port(dataplane, ports[port.name])
        if running != wanted:
            raise ConfigError(
                f"port {port.name}: {wanted}, in the running dataplane {running}: "
                "restart the dataplane"
            )
    return ports


async def _set_up_taps(config: Config) -> None:
    """Have the kernel's addresses and routes be those of *config*. Raises: KernelError."""
    routes = [(route.prefix, route.via) for route in config.route]
    without_dad = [port.tap_name for port in config.routed_ports if not port.dad]
    await asyncio.to_thread(kernel.set_up_taps, settings.taps(config), routes, without_dad)


async def _place_acls(
    path: Path, config: Config, dataplane: Dataplane, known: Mapping[str, int]
) -> AclTable:
    """Put the ACLs of *config*, which stands at *path*, into the arena.

    *known* are the numbers of those that sessions have, by name: they go on under these numbers, as
    they are until they are changed in one step, so that nobody is ever without. One that is in the
    configuration no more stays as well, as it does when it goes with a reload.
    Raises: ConfigError.
    """
    acls, compiled = AclTable(dataplane, known), compiled_acls(config)
    await _settled(acls, dataplane)
    try:
        acls.apply(acls.plan(compiled, {name for name in known if not settings.is_bypass(name)}))
    except AclError as error:
        raise ConfigError(f"{path}: {error}") from None
    await _settled(acls, dataplane)
    if gone := sorted(acls.numbers().keys() - compiled.keys()):
        structlog.get_logger("box").warning("acls-kept-for-sessions", acls=gone)
    return acls


async def _settled(acls: AclTable, dataplane: Dataplane) -> None:
    """Wait a moment until the dataplane has done all that it was told of ACLs."""
    deadline = time.monotonic() + ACLS_TIMEOUT_S
    dataplane.flush()
    while not acls.settled() and time.monotonic() < deadline:
        await asyncio.sleep(ACLS_POLL_S)
        dataplane.flush()


def _domains(dataplane: Dataplane) -> Domains:
    """Return the id tables, those that the arena has included."""
    header = dataplane.header
    domains = Domains(int(header.max_domains), int(header.max_domain_pages))
    for id_table in dataplane.id_tables():
        domains.adopt(*id_table)
    return domains


def _manager(
    config: Config,
    ports: dict[str, int],
    loaded: Users,
    dataplane: Dataplane,
    acls: AclTable,
    backend: Backend | None,
    prefix: str,
    duid: bytes,
) -> SessionManager:
    """Return the session core; *backend* None: the user file decides on access."""
    table = SessionTable(
        dataplane.max_sessions,
        dataplane.n_workers,
        lambda index: int(dataplane.session_in[index].generation),
        dataplane.epochs,
        dataplane.busy_s,
    )
    return SessionManager(
        settings=settings.session(config, ports, acls.numbers(), duid),
        backend=backend or LocalBackend(loaded),
        pools=Ipv4Pools(settings.pools(config)),
        pools6=Ipv6Pools(settings.pools6(config)),
        nat=NatAddresses(nat_table(dataplane), drained.load(config.system.state_dir)),
        table=table,
        prefix=prefix,
        entropy=os.urandom,
    )


async def start(config_path: Path, config: Config, on_lost: Callable[[], None]) -> Box:
    """Attach to the dataplane and build everything; *on_lost* is called when it goes away.

    Raises: ConfigError, AttachError, JournalError, KernelError, AdoptionError, NatLogError,
        SpoolError.
    """
    loaded = users.load(config.aaa.users, config.known_to_users())
    journal = Journal(config.journal_path if config.journal.enabled else None)
    dataplane = Dataplane.attach(str(config.dataplane_socket))
    ports = _check_ports(config, dataplane)
    ppp = config.ppp
    executor = Executor(dataplane, journal, ppp.lcp_echo_interval_s, ppp.lcp_echo_failures)
    await settle(dataplane)
    found = find(dataplane)
    await _set_up_taps(config)
    acls = await _place_acls(config_path, config, dataplane, acl_numbers(found))
    now = time.monotonic()
    names = {index: name for name, index in ports.items()}
    radius = RadiusService(
        config, names, _fallback(config, loaded), partial(read_counters, dataplane)
    )
    duid = await asyncio.to_thread(server_duid.load, config.system.state_dir)
    core = config, ports, loaded, dataplane, acls
    manager = _manager(*core, radius.backend, _prefix(found), duid)
    discovery = Discovery(
        settings.discovery(config, ports),
        os.urandom,
        now,
        config.session.setup_per_s,
        dataplane.secret(),
    )
    access = PppoeAccess(
        core=manager,
        discovery=discovery,
        domains=_domains(dataplane),
        link_config=settings.link(config),
        entropy=os.urandom,
    )
    dispatcher = Dispatcher(
        dataplane=dataplane,
        manager=manager,
        access=access,
        executor=executor,
        on_port=lambda port, up: box.port_changed(port, up),
    )
    loop = CoreLoop(dispatcher, on_lost)
    box = Box(
        config_path=config_path,
        config=config,
        dataplane=dataplane,
        ports=ports,
        manager=manager,
        access=access,
        executor=executor,
        journal=journal,
        nat_log=await asyncio.to_thread(nat_log_of, dataplane, config),
        acls=acls,
        dispatcher=dispatcher,
        loop=loop,
        users=loaded,
        started_at=now,
        draining=set(),
        radius=radius,
        duid=duid,
    )
    if radius.accounting is not None:
        executor.account = radius.accounting.account
    await _take_over(box, found)
    box._tell_settings(None)
    box._drain_again()
    fresh, stale = dataplane.discard_stale_punts(time.monotonic_ns())
    dispatcher.counters["punt_stale"] += stale
    loop.start(fresh)
    box.serve()
    box.start_export()
    box.addresses.start(loop.now)
    if found:
        await box._follow_settings()
    return box


def _prefix(found: Sequence[Left]) -> str:
    """Return what Acct-Session-Ids begin with: the time, or later when sessions *found* have it."""
    used = {left.acct_session_id[:8] for left in found}
    at = int(time.time())
    while f"{at:08x}" in used:
        at += 1
    return f"{at:08x}"


async def _take_over(box: Box, found: Sequence[Left]) -> None:
    """Go on with the sessions that a former bngd left, end those that cannot; say what came of it.

    Raises: AdoptionError, SpoolError.
    """
    log, begun = structlog.get_logger("box"), time.monotonic()
    adoption = Adoption(box.dispatcher, box.access, box.executor)
    came = await adoption.run(found, box.loop.now())
    this = accounts.Box(box.dataplane.boot(), box.manager.box_session_id)
    await box.radius.reconcile(came, this, box.loop.now(), box.access)
    await adoption.release(came.ended, box.loop.now())
    if found:
        log.info(
            "adopted",
            sessions=len(came.adopted),
            ended=len(came.ended),
            seconds=round(time.monotonic() - begun, 3),
        )
    pasts.restore(box.journal, box.manager.pools_by_version, time.monotonic())
    await _forget_lost(box, found, {session.acct_session_id for session in came.adopted}, log)


def _fallback(config: Config, loaded: Users) -> User | None:
    """Return as whom those are admitted whom no server vouches for. Raises: ConfigError."""
    name = config.radius.fallback_user
    if name is None:
        return None
    user = loaded.by_name.get(name)
    if user is None:
        raise ConfigError(f"radius.fallback_user: there is no user {name} in {config.aaa.users}")
    return user


def _served(task: asyncio.Task[None]) -> None:
    """Report that RADIUS ended by itself, which is a defect; the event loop logs it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def _forget_lost(
    box: Box, found: Sequence[Left], adopted: set[str], log: structlog.stdlib.BoundLogger
) -> None:
    """Tell clients whose sessions died with the dataplane; the journal keeps those *adopted*."""
    recorded = box.journal.read()
    for acct_session_id in recorded.keys() - adopted:
        box.journal.delete(acct_session_id)
    gone = [recorded[name] for name in sorted(recorded.keys() - adopted)]
    pasts.lost(box.manager.pools_by_version, gone, time.monotonic())
    for left in found:
        name = left.acct_session_id
        if name in adopted and recorded.get(name) != left.data:
            box.journal.put(name, left.data)
    known = {left.acct_session_id for left in found}
    if lost := [recorded[name] for name in recorded.keys() - known]:
        told = await tell_lost(box.executor, lost)
        log.warning("journal-sessions-lost", count=len(lost), told=told)
