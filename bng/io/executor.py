"""Carry out what the core decided: one method for each action of `bng.session.actions`."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import structlog

from bng.aaa.model import RatePolicy
from bng.ethernet import AccessLine, VlanTag
from bng.io.journal import Journal
from bng.session import actions
from bng.session.actions import CommandKind, cookie
from bng.session.nat import SetNatAddress
from dataplane.binding import (
    CommandType,
    Dataplane,
    Direction,
    NatMode,
    PolicerMode,
    bind_record,
    echo_record,
    nat_address_record,
    policer_record,
    route_record,
    session_record,
    up_record,
)
from dataplane.filters import session_acl_record
from dataplane.ip6 import ip6_record
from dataplane.nat import bypass_record, forward_record, static_record

NO_TAG = VlanTag(0, 0)
ROUTE_ADD = {4: CommandType.ROUTE4_ADD, 6: CommandType.ROUTE6_ADD}
ROUTE_DEL = {4: CommandType.ROUTE4_DEL, 6: CommandType.ROUTE6_DEL}
ROUTE_COMMAND = {4: CommandKind.ROUTE, 6: CommandKind.ROUTE6}
NO_ADDRESS = bytes(4)
UPPER_BITS = 64
"""Of an IPv6 address: what the dataplane keeps of prefixes of a session."""


def tags_of(line: AccessLine) -> tuple[VlanTag, VlanTag]:
    """Return (outer, inner) tags of a line, TPID 0 for none."""
    match line.tags:
        case ():
            return NO_TAG, NO_TAG
        case (outer,):
            return outer, NO_TAG
        case (outer, inner):
            return outer, inner
        case _:
            raise ValueError(f"line {line} has more than two tags")


def _upper(prefix: IPv6Network | None) -> int:
    return 0 if prefix is None else int(prefix.network_address) >> UPPER_BITS


def _nobody(action: actions.Account) -> None:
    """Accounting is told of sessions only when there is one."""
    raise RuntimeError(f"no accounting for {action.session.acct_session_id}")


def _policer(a: actions.PoliceSession, direction: Direction, rate: RatePolicy | None) -> bytes:
    h, tag = a.handle, cookie(CommandKind.POLICE, a.handle)
    if rate is None:
        return policer_record(h.index, h.generation, tag, direction, PolicerMode.OFF)
    two_rates = rate.pir_bps is not None
    return policer_record(
        h.index,
        h.generation,
        tag,
        direction,
        PolicerMode.TRTCM if two_rates else PolicerMode.SRTCM,
        cir_bps=rate.cir_bps,
        pir_bps=rate.pir_bps or 0,
        cbs_bytes=rate.cbs_bytes,
        ebs_bytes=rate.pbs_bytes if two_rates else rate.ebs_bytes,
        overhead_bytes=a.overhead_bytes,
    )


class Executor:
    """Turns actions into commands, frames, journal entries and log lines.

    *echo_interval_s* and *echo_failures* are those of LCP Echo, which the dataplane keeps.
    """

    def __init__(
        self, dataplane: Dataplane, journal: Journal, echo_interval_s: float, echo_failures: int
    ) -> None:
        self.dataplane = dataplane
        self.journal = journal
        self.echo_interval_ms = int(echo_interval_s * 1000)
        self.echo_failures = echo_failures
        self.account: Callable[[actions.Account], None] = _nobody
        self.rerouted: Callable[[actions.Handle], None] = lambda handle: None
        """Told of every session that other prefixes lead to than before."""
        self.relay: Callable[[bytes], None] = lambda payload: None
        """Sends to external DHCPv6 servers; nothing without any."""
        self._log = structlog.get_logger("session")
        self._do: dict[type, Callable[[Any], None]] = {
            actions.SendDiscovery: self._send_discovery,
            actions.SendFrame: self._send_frame,
            actions.BindSession: self._bind,
            actions.MoveSession: self._move,
            SetNatAddress: self._nat_address,
            actions.UpSession: self._up,
            actions.PoliceSession: self._police,
            actions.FilterSession: self._filter,
            actions.TranslateSession: self._translate,
            actions.BypassSession: self._bypass,
            actions.ForwardPort: self._forward,
            actions.EchoSession: self._echo,
            actions.PauseSession: self._pause,
            actions.CloseSession: self._close,
            actions.ReleaseSession: self._release,
            actions.Ipv6Session: self._ipv6,
            actions.RelayPacket: lambda action: self.relay(action.payload),
            actions.AddRoute: self._add_route,
            actions.DeleteRoute: self._delete_route,
            actions.Record: self._record,
            actions.Forget: self._forget,
            actions.Account: lambda action: self.account(action),
            actions.Log: self._write_log,
        }

    def run(self, todo: list[actions.Action]) -> None:
        """Carry out *todo* in order. Nothing leaves before `Dataplane.flush`."""
        do = self._do
        for action in todo:
            do[type(action)](action)

    def _send_discovery(self, a: actions.SendDiscovery) -> None:
        outer, inner = tags_of(a.line)
        self.dataplane.inject_discovery(
            a.worker, a.line.port, outer, inner, a.destination, a.payload
        )

    def _send_frame(self, a: actions.SendFrame) -> None:
        h = a.handle
        self.dataplane.inject_session(h.worker, h.index, h.generation, a.frame)

    def _bind(self, a: actions.BindSession) -> None:
        h = a.handle
        outer, inner = tags_of(a.line)
        record = bind_record(
            h.index,
            h.generation,
            cookie(CommandKind.BIND, h),
            outer=outer,
            inner=inner,
            domain=a.domain,
            domain_page=a.page,
            session_id=a.session_id,
            mac=a.mac,
            port=a.line.port,
            quiet=True,
        )
        self.dataplane.command(h.worker, record)

    def _move(self, a: actions.MoveSession) -> None:
        h = a.handle
        record = session_record(
            CommandType.SESSION_MOVE, h.index, h.generation, cookie(CommandKind.MOVE, h), a.worker
        )
        self.dataplane.command(h.worker, record)

    def _nat_address(self, a: SetNatAddress) -> None:
        record = nat_address_record(
            cookie(CommandKind.NAT_ADDRESS, actions.Handle(a.index, 0, 0)),
            a.address.packed,
            a.index,
            NatMode[a.mode.name],
            on=a.on,
        )
        group = self.dataplane.control_group if a.worker is None else a.worker
        self.dataplane.command(group, record)

    def _up(self, a: actions.UpSession) -> None:
        h = a.handle
        record = up_record(
            h.index,
            h.generation,
            cookie(CommandKind.UP, h),
            ip4=NO_ADDRESS if a.ip4 is None else a.ip4.packed,
            nat_address=0 if a.nat is None else a.nat.address + 1,
            nat_blocks=(a.nat.first + 1, a.nat.count) if a.nat and a.nat.count else (0, 0),
            features_in=a.features_in,
            features_out=a.features_out,
            mtu_in=a.mtu_in,
            mtu_out=a.mtu_out,
            mss=a.mss,
            idle_timeout_ms=a.idle_timeout_s * 1000,
        )
        self.dataplane.command(h.worker, record)

    def _police(self, a: actions.PoliceSession) -> None:
        for direction, rate in ((Direction.IN, a.up), (Direction.OUT, a.down)):
            self.dataplane.command(a.handle.worker, _policer(a, direction, rate))

    def _filter(self, a: actions.FilterSession) -> None:
        h = a.handle
        tag = cookie(CommandKind.FILTER, h)
        record = session_acl_record(h.index, h.generation, tag, a.acl_in, a.acl_out)
        self.dataplane.command(h.worker, record)

    def _translate(self, a: actions.TranslateSession) -> None:
        h = a.handle
        tag = cookie(CommandKind.TRANSLATE, h)
        public = NO_ADDRESS if a.public is None else a.public.packed
        record = static_record(h.index, h.generation, tag, public, a.ip4.packed)
        self.dataplane.command(h.worker, record)

    def _bypass(self, a: actions.BypassSession) -> None:
        h = a.handle
        tag = cookie(CommandKind.BYPASS, h)
        self.dataplane.command(h.worker, bypass_record(h.index, h.generation, tag, a.acl))

    def _forward(self, a: actions.ForwardPort) -> None:
        h, forward = a.handle, a.forward
        record = forward_record(
            h.index,
            h.generation,
            cookie(CommandKind.FORWARD, h),
            protocol=forward.protocol,
            external=forward.external,
            inner=forward.inner,
            on=a.on,
        )
        self.dataplane.command(h.worker, record)

    def _echo(self, a: actions.EchoSession) -> None:
        h = a.handle
        record = echo_record(
            h.index,
            h.generation,
            our_magic=a.our_magic,
            peer_magic=a.peer_magic,
            interval_ms=self.echo_interval_ms,
            failures=self.echo_failures,
        )
        self.dataplane.command(h.worker, record)

    def _pause(self, a: actions.PauseSession) -> None:
        self._session_command(CommandType.SESSION_PAUSE, a.handle, 0, quiet=True)

    def _close(self, a: actions.CloseSession) -> None:
        self._session_command(
            CommandType.SESSION_CLOSE, a.handle, cookie(CommandKind.CLOSE, a.handle)
        )

    def _release(self, a: actions.ReleaseSession) -> None:
        self._session_command(
            CommandType.SESSION_RELEASE, a.handle, cookie(CommandKind.RELEASE, a.handle)
        )

    def _session_command(
        self, kind: CommandType, h: actions.Handle, tag: int, *, quiet: bool = False
    ) -> None:
        record = session_record(kind, h.index, h.generation, tag, quiet=quiet)
        self.dataplane.command(h.worker, record)

    def _ipv6(self, a: actions.Ipv6Session) -> None:
        h = a.handle
        record = ip6_record(
            h.index,
            h.generation,
            cookie(CommandKind.IPV6, h),
            on=a.on,
            link_prefix=_upper(a.prefix) if a.prefix and a.prefix.prefixlen == UPPER_BITS else 0,
            delegated=_upper(a.delegated),
            delegated_length=0 if a.delegated is None else a.delegated.prefixlen,
            interface_id=a.interface_id,
        )
        self.dataplane.command(h.worker, record)

    def _add_route(self, a: actions.AddRoute) -> None:
        self._route(ROUTE_ADD, a.handle, a.prefix, a.answered)

    def _delete_route(self, a: actions.DeleteRoute) -> None:
        self._route(ROUTE_DEL, a.handle, a.prefix, a.answered)

    def _route(
        self,
        kinds: dict[int, CommandType],
        h: actions.Handle,
        prefix: IPv4Network | IPv6Network,
        answered: bool,
    ) -> None:
        version = prefix.version
        record = route_record(
            kinds[version],
            prefix.network_address.packed,
            prefix.prefixlen,
            session=h.index,
            generation=h.generation,
            cookie=cookie(ROUTE_COMMAND[version], h) if answered else 0,
            quiet=not answered,
        )
        self.dataplane.command(self.dataplane.control_group, record)
        self.rerouted(h)

    def _record(self, a: actions.Record) -> None:
        self.dataplane.write_control(a.handle.index, a.handle.generation, a.data)
        self.journal.put(a.acct_session_id, a.data)

    def _forget(self, a: actions.Forget) -> None:
        self.dataplane.clear_control(a.handle.index)
        self.journal.delete(a.acct_session_id)

    def _write_log(self, a: actions.Log) -> None:
        write = self._log.warning if a.warning else self._log.info
        write(a.event, session=a.session, **a.fields)
