"""The whole box in this process: C dataplane embedded, the core, clients of ours; time is a number.

Nothing is mocked: frames go through the graph, the rings, the dispatcher and back. Subscribers are
the load client's, whose codec shares nothing with bng.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bng import settings
from bng.aaa import users
from bng.aaa.local import LocalBackend
from bng.access.domains import Domains
from bng.access.pppoe import PppoeAccess
from bng.config import Config, parse
from bng.io.acl import AclTable, compiled_acls
from bng.io.adoption import IPV6_FEATURES, Adoption, acl_numbers, find, settle
from bng.io.executor import Executor
from bng.io.journal import Journal
from bng.io.nat import nat_table
from bng.io.punt import Dispatcher
from bng.ipv6.messages import duid_ll
from bng.pool.ipv4 import Ipv4Pools
from bng.pool.ipv6 import Ipv6Pools
from bng.pppoe.discovery import Discovery
from bng.session.manager import SessionManager
from bng.session.nat import NatAddresses
from bng.session.restart import Reconciled
from bng.session.table import SessionTable
from dataplane import binding
from dataplane.ip6 import unreachable_record
from tests.node.harness import ACC, DEFAULT_ARGS, START_NS
from tests.node.harness import Dataplane as Embedded
from tests.support.client import wire
from tests.support.client.dialer import Dialer
from tests.support.client.layer import Phase, Profile
from tests.support.client.subscriber import Subscriber
from tests.support.toml import dump

CONFIG: dict[str, Any] = {
    "port": [
        {
            "name": "acc0",
            "interface": "acc0",
            "role": "access",
            "mtu": 1508,
            "access": [{"outer": "any", "inner": "any"}],
        },
        {"name": "wan0", "interface": "wan0", "role": "routed", "addresses": ["192.0.2.1/24"]},
    ],
    "pool": [
        {
            "name": "subscribers",
            "ranges": ["100.64.0.10-100.64.15.254"],
            "gateway": "100.64.0.1",
            "dns": ["192.0.2.53"],
            "hold_down_s": 1,
            "sticky_s": 5,
        }
    ],
    "ipv6": {
        "dns": ["2001:db8::53"],
        "pool": [
            {
                "name": "links",
                "prefixes": ["2001:db8:1::/48"],
                "length": 64,
                "hold_down_s": 1,
                "sticky_s": 5,
            },
            {
                "name": "homes",
                "prefixes": ["2001:db8:100::/40"],
                "length": 56,
                "hold_down_s": 1,
                "sticky_s": 5,
            },
        ],
    },
    "nat": {"pool": [{"name": "public", "addresses": ["198.51.100.0/29"]}]},
    "journal": {"enabled": False},
}
DUID = duid_ll(bytes.fromhex("020000000001"))
NAT_ARGS = (*(f"--nat-address=198.51.100.{i}" for i in range(8)), "--nat-block-size=512")
USERS: dict[str, Any] = {f"user{i:05d}": {"password": "secret"} for i in range(64)}


class _Port:
    """Stands where a raw socket stands: the dialer's frames go into the embedded dataplane."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self.send = receive


class MemoryBox:
    """A box with access port ``acc0`` and routed port ``wan0``; `log` collects log actions."""

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        user_table: Mapping[str, Any] | None = None,
        args: tuple[str, ...] = (),
    ) -> None:
        self.embedded = Embedded(*DEFAULT_ARGS, *NAT_ARGS, *args)
        self.now = START_NS * 1e-9
        self.config = _config({**CONFIG, **(config or {})})
        self._random = itertools.count()
        self._starts = itertools.count(1)
        self.user_table = user_table or USERS
        self.events: list[tuple[str, str, str]] = []
        self._outbox: list[bytes] = []
        self._by_mac: dict[bytes, Subscriber] = {}
        self._dialer = Dialer(_Port(self._outbox.append), lambda s, packet: None)  # type: ignore[arg-type]
        self._attach({})
        self._tell_settings()
        self.turn()

    def _attach(self, acls: Mapping[str, int]) -> None:
        """Build a control plane for the dataplane; *acls* are those that it goes on with."""
        loaded = self._users(self.user_table)
        self.dataplane = binding.Dataplane(self.embedded._binding)
        self.acls = AclTable(self.dataplane, acls)
        while not self.acls.settled():
            self.dataplane.flush()
            self.embedded.run()
        self.acls.apply(self.acls.plan(compiled_acls(self.config), set(acls)))
        ports = {name: i for i, name in enumerate(self.dataplane.port_names())}
        table = SessionTable(
            self.dataplane.max_sessions,
            self.dataplane.n_workers,
            lambda index: int(self.dataplane.session_in[index].generation),
            self.dataplane.epochs,
        )
        self.manager = SessionManager(
            settings=settings.session(self.config, ports, self.acls.numbers(), DUID),
            backend=LocalBackend(loaded),
            pools=Ipv4Pools(settings.pools(self.config)),
            pools6=Ipv6Pools(settings.pools6(self.config)),
            nat=NatAddresses(nat_table(self.dataplane)),
            table=table,
            prefix=f"{next(self._starts):08x}",
            entropy=self.entropy,
        )
        header = self.dataplane.header
        domains = Domains(int(header.max_domains), int(header.max_domain_pages))
        for id_table in self.dataplane.id_tables():
            domains.adopt(*id_table)
        self.access = PppoeAccess(
            core=self.manager,
            discovery=Discovery(settings.discovery(self.config, ports), self.entropy, self.now),
            domains=domains,
            link_config=settings.link(self.config),
            entropy=self.entropy,
        )
        self.executor = Executor(self.dataplane, Journal(None), 20, 3)
        self.dispatcher = Dispatcher(
            dataplane=self.dataplane,
            manager=self.manager,
            access=self.access,
            executor=self.executor,
            on_port=lambda port, up: None,
        )

    def _tell_settings(self) -> None:
        addresses = self._users(self.user_table).nat_addresses()
        self.manager.one_to_one.addresses.configure(self.manager.settings.nat_one_to_one, addresses)
        self.manager.nat.reconfigure(settings.nat_pools(self.config))
        for gateway in settings.gateways(self.config):
            record = binding.route_record(
                binding.CommandType.GATEWAY4_ADD, gateway.packed, 32, quiet=True
            )
            self.dataplane.command(self.dataplane.control_group, record)
        for prefix in settings.aggregates(self.config):
            record = unreachable_record(prefix, on=True)
            self.dataplane.command(self.dataplane.control_group, record)

    def restart(self, *, config: Mapping[str, Any] | None = None) -> Reconciled:
        """Have another control plane take over, as if bngd had been killed; clients stay.

        What the old one had queued and not pushed is lost. *config* is the new one's.
        """
        if config is not None:
            self.config = _config({**CONFIG, **config})
        return asyncio.run(self._restart())

    async def _restart(self) -> Reconciled:
        turns = asyncio.create_task(self._run_dataplane())
        try:
            old = binding.Dataplane(self.embedded._binding)
            await settle(old)
            found = find(old)
            self._attach(acl_numbers(found))
            adoption = Adoption(self.dispatcher, self.access, self.executor)
            came = await adoption.run(found, self.now)
            await adoption.release(came.ended, self.now)
        finally:
            turns.cancel()
        self._tell_settings()
        fresh, _ = self.dataplane.discard_stale_punts(round(self.now * 1e9))
        self.dispatcher.punted(fresh, self.now)
        self.turn()
        return came

    async def _run_dataplane(self) -> None:
        while True:
            self.embedded.run()
            await asyncio.sleep(0)

    def _users(self, table: Mapping[str, Any]) -> users.Users:
        raw = dump({"user": dict(table)}).encode()
        return users.parse(Path("users.toml"), raw, self.config.known_to_users())

    def set_users(self, table: Mapping[str, Any]) -> None:
        """Have other users from now on, as a reload would."""
        self.user_table = table
        self.manager.backend = LocalBackend(self._users(table))

    def entropy(self, size: int) -> bytes:
        """Return unpredictable enough bytes that are the same in every run."""
        return hashlib.shake_128(str(next(self._random)).encode()).digest(size)

    def close(self) -> None:
        """Free the dataplane."""
        self.embedded.close()

    # ---- clients ----

    def subscriber(
        self,
        index: int,
        *,
        user: str | None = None,
        password: str = "secret",
        vlan: str | None = None,
        mac: bytes | None = None,
        profile: Profile | None = None,
    ) -> Subscriber:
        """Return a client; `dial` starts it."""
        subscriber = Subscriber(
            index,
            mac or bytes.fromhex("02b0") + index.to_bytes(4, "big"),
            user or f"user{index:05d}",
            password,
            profile=profile or Profile(auth=("chap",)),
            send=self._outbox.append,
            report=lambda s, name, detail: self.events.append((s.user.decode(), name, detail)),
            tags=wire.vlan_bytes(vlan),
        )
        self._by_mac[subscriber.mac] = subscriber
        self._dialer.add(subscriber)
        return subscriber

    def dial(self, *subscribers: Subscriber, seconds: float = 5.0) -> None:
        """Dial, and run until all are up or the time is over."""
        for subscriber in subscribers:
            subscriber.start(self.now)
        self.run(seconds, until=lambda: all(s.phase is Phase.UP for s in subscribers))

    @contextmanager
    def only_server(self) -> Iterator[None]:
        """Deliver nothing to the clients: what is sent to them meanwhile is lost."""
        clients = dict(self._dialer._by_mac)
        self._dialer._by_mac.clear()
        yield
        self._dialer._by_mac.update(clients)

    # ---- time ----

    def run(
        self, seconds: float, *, until: Callable[[], bool] = lambda: False, step: float = 0.01
    ) -> None:
        """Let time pass in steps, and everything happen that is due."""
        end = self.now + seconds
        self.turn()
        while self.now < end and not until():
            self.now = min(end, self.now + step)
            self.embedded.set_time(round(self.now * 1e9))
            for subscriber in self._by_mac.values():
                if subscriber.deadline is not None and subscriber.deadline <= self.now:
                    subscriber.tick(self.now)
            self.dispatcher.tick(self.now)
            self.turn()

    def turn(self) -> None:
        """Move frames and records until nothing moves."""
        while True:
            frames = self._outbox[:64]
            del self._outbox[:64]
            self.dispatcher.settle()
            if frames:
                self.embedded.receive(ACC, *frames)
            else:
                self.embedded.run()
            moved = self.dispatcher.process(self.now)
            self.dispatcher.settle()
            self.embedded.run()
            sent = self.embedded.sent(ACC)
            self._dialer.now = self.now
            for frame in sent:
                self._dialer._handle(frame)
            if not (frames or moved or sent or self._outbox) and not self._busy():
                return

    def _busy(self) -> bool:
        groups = range(self.dataplane.n_workers + 1)
        pending = binding.lib.binding_pending
        return any(
            pending(self.dataplane._binding, group, ring)
            for group in groups
            for ring in (binding.Ring.COMPLETION, binding.Ring.PUNT, binding.Ring.EVENT)
        )

    # ---- what is left ----

    def tables(self) -> dict[str, int]:
        """Return how full every table is; all zero when nobody is there and time has passed."""
        manager, dataplane = self.manager, self.dataplane
        stats = manager.pools.stats().values()
        blocks = int(dataplane.nat_config[0].blocks_per_address) * manager.nat.size
        states = [int(dataplane.session_in[i].state) for i in range(dataplane.max_sessions)]
        return {
            "sessions": manager.table.count,
            "arena_sessions": sum(state != 0 for state in states),
            "users": len(manager.grants.by_user),
            "to_drain": len(manager.drain),
            "ending": len(manager.ending),
            "orders": manager.orders.waiting,
            "pool_used": sum(row.used + row.held + row.sticky for row in stats),
            "addresses_in_no_pool": manager.pools.used_outside(),
            "pool6_used": sum(
                row.used + row.held + row.sticky for row in manager.pools6.stats().values()
            ),
            "prefixes_in_no_pool": manager.pools6.used_outside(),
            "ipv6_sessions": sum(
                bool(dataplane.session_in[i].features & IPV6_FEATURES)
                for i in range(dataplane.max_sessions)
            ),
            "nat_sessions": sum(e.sessions for e in manager.nat.entries.values()),
            "public_addresses": len(manager.one_to_one.addresses.holders),
            "nat_blocks": sum(bool(dataplane.nat_block[i].session) for i in range(blocks)),
            "nat_mappings": sum(
                int(dataplane.session_cold[i].nat_mappings) for i in range(dataplane.max_sessions)
            ),
            "nat_protocol_flows": sum(
                int(dataplane.nat_address[i].protocol_flows)
                for i in range(int(dataplane.header.n_nat_addresses))
            ),
            "policers": sum(
                bool(dataplane.policer[i].mode) for i in range(2 * dataplane.max_sessions)
            ),
            "filtered": sum(
                bool(dataplane.session_in[i].acl or dataplane.session_out[i].acl)
                for i in range(dataplane.max_sessions)
            ),
            "control_records": sum(
                dataplane.read_control(i) is not None for i in range(dataplane.max_sessions)
            ),
            "buffers": self.embedded.buffers_in_use(),
            **self.access.stats(),
        }


def _config(table: Mapping[str, Any]) -> Config:
    return parse(Path("bng.toml"), dump(dict(table)).encode())


@contextmanager
def memory_box(**kwargs: Any) -> Iterator[MemoryBox]:
    """Yield a box and free it."""
    box = MemoryBox(**kwargs)
    try:
        yield box
    finally:
        box.close()
