"""All of RADIUS that one box runs, from the configuration: clients, backend, accounting, CoA."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import structlog

from bng.aaa.dynauth import Known
from bng.aaa.extra import extra_row
from bng.aaa.model import AccessAnswer, AccessRequest
from bng.aaa.radius import Policy, RadiusBackend, WithoutServer
from bng.aaa.reading import Offered, Row
from bng.aaa.requests import AccountStatus, Nas
from bng.aaa.users import User
from bng.config.model import Config
from bng.config.radius import Server as ServerTable
from bng.errors import ConfigError
from bng.io import radius as io
from bng.io.dynauth_service import DynAuthService
from bng.io.reconcile import ARENA, Box, Owed, reconcile
from bng.session.access import AccessMethod
from bng.session.coa import Orders
from bng.session.model import Counters, Session, State
from bng.session.restart import Reconciled
from radius.client import Client
from radius.dictionary import Dictionary
from radius.errors import DictionaryError, SpoolError
from radius.settings import Group, Server, Tls, Transport
from radius.spool import Spool

DRAIN_S = 3.0
"""How long stopping waits for servers to take the last records; the spool keeps the others."""
POLL_S = 0.02
CHECKPOINT_SLICE = 500
"""Sessions read at a time for a checkpoint: takes some 5 ms, then packets are served."""


class WrongKey(ConfigError):
    """A *key* of the configuration is wrong by what a dictionary says; *message*: how."""

    def __init__(self, key: tuple[str, ...], message: str) -> None:
        super().__init__(f"{'.'.join(key)}: {message}")
        self.key, self.message = key, message


class RadiusService:
    """Clients and what uses them; `attach` before anything is asked. *ports* are names by index.

    *read* reads the counters of a session index. Raises: ConfigError.
    """

    def __init__(
        self,
        config: Config,
        ports: Mapping[int, str],
        fallback: User | None,
        read: Callable[[int], Counters],
    ) -> None:
        self.config = config
        self.dictionary, self._extra = read_dictionaries(config)
        self.nas = _nas(config, ports)
        self.dynauth = DynAuthService(config.radius.dynauth, self.dictionary, self._known())
        self._answered: Callable[[AccessRequest, AccessAnswer], None]
        self._accounted: Callable[[int, int], None]
        self._living: Callable[[], Iterable[Session]] = tuple
        self.checkpoint_at: float | None = None
        """When counters of all sessions were written down last, monotonic."""
        self.owed = Owed()
        """What the last start made up for."""
        self.access: io.RadiusAccess | None = None
        self.backend: RadiusBackend | None = None
        self.accounting: io.RadiusAccounting | None = None
        self.acct_clients: dict[str, Client] = {}
        if config.aaa.method == "radius":
            group = _group(config, "authentication")
            self.access = io.RadiusAccess(self._client(group), self._answer)
            self.backend = self.access.backend = RadiusBackend(
                nas=self.nas,
                offered=_offered(config, self._extra),
                policy=_policy(config, fallback),
                ask=self.access.ask,
                withdraw=self.access.withdraw,
                entropy=os.urandom,
            )
        if config.accounting:
            self._open_spool(read)

    def _open_spool(self, read: Callable[[int], Counters]) -> None:
        names = dict.fromkeys(
            server.group for server in self.config.radius.server if "accounting" in server.roles
        )
        for name in names:
            self.acct_clients[name] = self._client(_group(self.config, "accounting", name))
        try:
            spool = Spool(self.config.spool_path, self.acct_clients)
        except SpoolError as error:
            raise ConfigError(str(error)) from None
        for group, count in spool.strays.items():
            log = structlog.get_logger("accounting")
            log.warning("records-of-no-group", path=str(spool.path), group=group, count=count)
        self.accounting = io.RadiusAccounting(
            spool, self.acct_clients, self.nas, read, self._committed
        )

    def _client(self, group: Group) -> Client:
        return io.client(group, self.dictionary, self.nas)

    def attach(
        self,
        answered: Callable[[AccessRequest, AccessAnswer], None],
        accounted: Callable[[int, int], None],
        living: Callable[[], Iterable[Session]] = tuple,
    ) -> None:
        """Say who takes answers, and indexes and generations of sessions whose Stop is on disk.

        *living* returns the sessions whose counters are written down now and then.
        """
        self._answered, self._accounted, self._living = answered, accounted, living

    def attach_orders(self, orders: Orders, settle: Callable[[], None]) -> None:
        """Say who carries out what RADIUS orders; *settle* does what they decided."""
        self.dynauth.attach(orders, settle)

    def _known(self) -> Known:
        return Known(
            nas=self.nas,
            own_addresses=self.config.own_addresses,
            offered=_offered(self.config, self._extra),
        )

    def reconfigure(self, config: Config, fallback: User | None) -> None:
        """Take what is live of *config*: what answers may name, timing, what holds without any."""
        self.config = config
        if self.access is not None:
            self.access.link.client.group = _group(config, "authentication")
        for name, client in self.acct_clients.items():
            client.group = _group(config, "accounting", name)
        if self.backend is not None:
            self.backend.reconfigure(_offered(config, self._extra), _policy(config, fallback))
        self.dynauth.reconfigure(config.radius.dynauth, self._known())

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.dynauth.run())
            if self.access is not None:
                tasks.create_task(self.access.link.run())
            if self.accounting is not None:
                tasks.create_task(self.accounting.accounting.run())
                if self.config.radius.accounting.checkpoint_s:
                    tasks.create_task(self._checkpoints(self.config.radius.accounting.checkpoint_s))

    async def reconcile(
        self, found: Reconciled, box: Box, now: float, method: AccessMethod | None = None
    ) -> None:
        """Bring to the disk what accounting owes of the sessions *found*.

        *method*: by which those came of whom only a record is left.

        Raises: SpoolError when it cannot be written.
        """
        if self.accounting is None:
            return
        self.owed = reconcile(self.accounting, found, box, now, method)
        spool = self.accounting.accounting.spool
        if not await self.accounting.accounting.step():
            raise SpoolError(f"accounting spool {spool.path}: {spool.last_error}")
        structlog.get_logger("accounting").info("reconciled", **asdict(self.owed))

    async def _checkpoints(self, interval_s: int) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Write down what all sessions have carried, a slice at a time: packets are served."""
        assert self.accounting is not None  # noqa: S101 - the caller looked
        sessions = list(self._living())
        for at in range(0, len(sessions), CHECKPOINT_SLICE):
            now = time.monotonic()
            for session in sessions[at : at + CHECKPOINT_SLICE]:
                if session.accounted and session.state is not State.ENDING:
                    self.accounting.checkpoint(session, now)
            await asyncio.sleep(0)
        self.accounting.accounting.write()
        self.checkpoint_at = time.monotonic()

    async def stop(self, acct_session_id: str | None) -> None:
        """Bring the last records to the disk, and what time allows to servers.

        *acct_session_id*: of the Accounting-Off, for every session has ended; None: none is said.
        """
        if self.accounting is None:
            return
        spool = self.accounting.accounting.spool
        if acct_session_id is not None:
            self.accounting.box(AccountStatus.OFF, acct_session_id)
            spool.remember(ARENA, "")  # the next start says Accounting-On
        else:
            await self.checkpoint()  # the machine may be about to stop as well
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        while asyncio.get_running_loop().time() < deadline:
            if not spool.waiting and not any(spool.depth.values()):
                break
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Write what is left, after `run` has ended."""
        if self.accounting is None:
            return
        spool = self.accounting.accounting.spool
        if await spool.flush() is None:
            structlog.get_logger("accounting").error(
                "spool-not-written", path=str(spool.path), records=spool.waiting
            )
        spool.close()

    def _answer(self, request: AccessRequest, answer: AccessAnswer) -> None:
        self._answered(request, answer)

    def _committed(self, index: int, generation: int) -> None:
        self._accounted(index, generation)


def read_dictionaries(config: Config) -> tuple[Dictionary, dict[str, Row]]:
    """Return the attributes that are known, and what those mean that the configuration maps.

    Raises: WrongKey.
    """
    try:
        dictionary = Dictionary(config.radius.dictionaries)
    except DictionaryError as error:
        raise WrongKey(("radius", "dictionaries"), str(error)) from None
    rows: dict[str, Row] = {}
    for name, field in config.radius.attributes.items():
        try:
            rows[name] = extra_row(name, field, lambda name: dictionary[name].type)
        except (DictionaryError, ValueError) as error:
            raise WrongKey(("radius", "attributes", name), str(error)) from None
    return dictionary, rows


def dictionaries_changed(config: Config, known: Dictionary) -> bool:
    """Say whether the files that *config* names say other than is *known*. Raises: WrongKey."""
    if not (config.radius.dictionaries or config.radius.attributes):
        return False  # nothing is read but what is built in
    return not known.says_the_same(read_dictionaries(config)[0])


def _nas(config: Config, ports: Mapping[int, str]) -> Nas:
    radius = config.radius
    return Nas(
        identifier=radius.nas_identifier or socket.gethostname() or config.system.name,
        ip4=radius.nas_ip_address,
        ports=ports,
        calling_station_id=radius.calling_station_id,
        called_station_id=radius.called_station_id,
        nas_port_id=radius.nas_port_id,
    )


def _offered(config: Config, extra: Mapping[str, Row]) -> Offered:
    return Offered(
        pools={pool.name for pool in config.pool},
        ipv6_pools={pool.name: pool.length for pool in config.ipv6.pool},
        ipv6_profiles=config.ipv6.profile.keys(),
        acls={acl.name for acl in config.acl},
        nat_profiles=config.nat.profile.keys(),
        own_addresses=config.own_addresses | config.own_addresses6,
        extra=extra,
    )


def _policy(config: Config, fallback: User | None) -> Policy:
    return Policy(
        without_server=WithoutServer(config.radius.without_server),
        max_age_s=config.radius.last_good_max_age_s,
        profile=None if fallback is None else fallback.profile,
        classes=() if fallback is None else fallback.classes,
        interim_interval_s=None if fallback is None else fallback.interim_interval_s,
    )


def _group(config: Config, role: str, name: str | None = None) -> Group:
    """Return the servers of *role*, of the group *name* when it is given."""
    radius = config.radius
    return Group(
        servers=tuple(
            _server(server, role)
            for server in radius.server
            if role in server.roles and name in (None, server.group)
        ),
        timeout_s=radius.timeout_s,
        max_timeout_s=radius.max_timeout_s,
        tries=radius.tries,
        give_up_s=radius.give_up_s,
        dead_s=radius.dead_s,
        probe_s=radius.probe_s or None,
        queue_limit=radius.queue_limit,
    )


def _server(table: ServerTable, role: str) -> Server:
    tls = None
    port = table.auth_port if role == "authentication" else table.acct_port
    if table.tls is not None:
        port = table.tls_port
        tls = Tls(
            ca=str(table.tls.ca),
            certificate=str(table.tls.certificate),
            key=str(table.tls.key),
            server_name=table.tls.server_name,
        )
    return Server(
        name=table.name,
        address=table.address,
        port=port,
        secret=table.secret.encode(),
        transport=Transport.UDP if tls is None else Transport.TLS,
        tls=tls,
        source=table.source,
        priority=table.priority,
        weight=table.weight,
        demand_signature=table.message_authenticator,
        max_outstanding=table.max_outstanding,
    )
