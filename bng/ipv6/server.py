"""A DHCPv6 server for the one client at the end of a session (RFC 8415 §16, §18.3), sans IO.

A Reply that gives something leaves when the dataplane has it installed, so that the client's first
packet is forwarded. IA_NA and IA_PD have one lease each; an IA_TA gets none. Nothing is
authenticated and nothing reconfigured: the link is the client's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from math import inf
from typing import Final

from bng.errors import MalformedPacket
from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket
from bng.ipv6.bindings import Binding, Bindings, Key, Supply
from bng.ipv6.config import ServerConfig
from bng.ipv6.dhcpv6 import build, parse
from bng.ipv6.messages import (
    CLIENT_PORT,
    INFINITY,
    SERVER_PORT,
    Ia,
    IaLease,
    IaType,
    Message,
    MessageType,
    Status,
    StatusCode,
)
from bng.ipv6.packet import Datagram, build_udp
from bng.values import inside

MAX_IAS: Final = 8
MAX_WAITING: Final = 4  # messages that come while one waits for its installation
MAX_STALE: Final = 2  # leases of an IA that are not ours and are taken back
MAX_REPLY_BYTES: Final = 1232  # IPv6's minimum MTU without its and UDP's header

_ADDRESSED_TO_ONE_SERVER: Final = (
    MessageType.REQUEST,
    MessageType.RENEW,
    MessageType.RELEASE,
    MessageType.DECLINE,
)
_FROM_CLIENTS: Final = (
    *_ADDRESSED_TO_ONE_SERVER,
    MessageType.SOLICIT,
    MessageType.CONFIRM,
    MessageType.REBIND,
    MessageType.INFORMATION_REQUEST,
)
_NONE_LEFT: Final = {
    IaType.NA: Status(StatusCode.NO_ADDRS_AVAIL, "no address available"),
    IaType.TA: Status(StatusCode.NO_ADDRS_AVAIL, "no temporary addresses here"),
    IaType.PD: Status(StatusCode.NO_PREFIX_AVAIL, "no prefix available"),
}
_NO_BINDING: Final = Status(StatusCode.NO_BINDING, "no binding")
_NOT_ON_LINK: Final = Status(StatusCode.NOT_ON_LINK, "not on this link")
_COUNTED: Final[dict[int, str]] = {
    StatusCode.UNSPEC_FAIL: "unspec_fail",
    StatusCode.NO_ADDRS_AVAIL: "no_addrs_avail",
    StatusCode.NO_BINDING: "no_binding",
    StatusCode.NOT_ON_LINK: "not_on_link",
    StatusCode.USE_MULTICAST: "use_multicast",
    StatusCode.NO_PREFIX_AVAIL: "no_prefix_avail",
}


@dataclass(slots=True)
class _Held:
    """A Reply that waits for what it gives to be installed."""

    request: int
    destination: IPv6Address
    reply: Message
    bindings: list[Binding]  # new ones


class Server:
    """The server of one session, at *source*, our link-local address.

    *on_link* are the prefixes whose addresses fit this link. *counters* are those of
    `bng.ipv6.counters`.
    """

    __slots__ = (
        "_bindings",
        "_config",
        "_counters",
        "_held",
        "_request",
        "_source",
        "_waiting",
        "on_link",
    )

    def __init__(
        self,
        config: ServerConfig,
        supply: Supply,
        source: IPv6Address,
        counters: dict[str, int],
        on_link: tuple[IPv6Network, ...] = (),
    ) -> None:
        self._config = config
        self._source = source
        self._counters = counters
        self._bindings = Bindings(supply, config.limits)
        self._held: _Held | None = None
        self._waiting: list[tuple[Message, IPv6Address]] = []  # for `_held` to be answered
        self._request = 0
        self.on_link = on_link

    # -- packets and time

    def receive(self, datagram: Datagram, now: float) -> list[Action]:
        """Take a datagram to port 547; never raises."""
        try:
            message = parse(datagram.payload)
        except MalformedPacket:
            return self._drop("malformed")
        if not datagram.source.is_link_local and datagram.destination.is_multicast:
            return self._drop("source_not_link_local")
        reason = self._discard(message, datagram.destination)
        if reason:
            return self._drop(reason)
        self._counters[MessageType(message.kind).name.lower()] += 1
        if not datagram.destination.is_multicast:
            status = Status(StatusCode.USE_MULTICAST, "send to ff02::1:2")
            return self._send(datagram.source, self._reply(message, status=status))
        if self._held is not None:
            return self._wait(message, datagram.source)
        return self._answer(message, datagram.source, now)

    def installed(self, request: int, ok: bool, now: float) -> list[Action]:
        """Take the answer to an `Install`; an old one is ignored."""
        held = self._held
        if held is None or held.request != request:
            return []
        self._held = None
        reply = held.reply
        for binding in held.bindings:
            binding.installed = ok
            if ok:
                binding.until = self._valid_until(now)
            else:
                self._bindings.remove(binding, now)
        if not ok:
            status = Status(StatusCode.UNSPEC_FAIL, "not now")
            reply = replace(reply, ias=(), status=status, options=(), rapid_commit=False)
        actions = self._send(held.destination, reply)
        while self._held is None and self._waiting:
            actions += self._answer(*self._waiting.pop(0), now)
        return actions

    def tick(self, now: float) -> list[Action]:
        """End leases whose time is over."""
        return self._removed(self._bindings.expire(now), "lease_expired")

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        return self._bindings.next_deadline()

    # -- what the session says

    def close(self, now: float) -> list[Action]:
        """End all leases: the session ends."""
        if self._held is not None:  # the dataplane is at it
            for binding in self._held.bindings:
                binding.installed = True
            self._held = None
        self._waiting.clear()
        over = list(self._bindings)
        for binding in over:
            self._bindings.remove(binding, now)
        return self._removed(over)

    def reconfigure(self, config: ServerConfig) -> None:
        """Take new settings; leases stay, and get new lifetimes when they are renewed."""
        self._config = config
        self._bindings.limits = config.limits

    def bindings(self, *, offers: bool = False) -> list[Binding]:
        """Return what is installed, as `adopt` takes it back; with *offers*, what is not, too."""
        return [binding for binding in self._bindings if binding.installed or offers]

    def adopt(self, binding: Binding) -> None:
        """Take over what is installed since before a restart, and is taken from the supply."""
        binding.installed = True
        self._bindings.add(binding)

    def _wait(self, message: Message, source: IPv6Address) -> list[Action]:
        """Keep a message until the one before it is answered: some clients send one for each IA."""
        known = [self._held.reply] if self._held else []
        known += [waiting for waiting, _ in self._waiting]
        repeated = any(other.transaction_id == message.transaction_id for other in known)
        if repeated or len(self._waiting) == MAX_WAITING:
            return self._drop("busy")
        self._waiting.append((message, source))
        return []

    # -- which messages are answered (RFC 8415 §16)

    def _discard(self, message: Message, destination: IPv6Address) -> str | None:
        kind, server_id = message.kind, message.server_id
        if kind not in _FROM_CLIENTS:
            return "not_for_server"
        if not destination.is_multicast and kind not in _ADDRESSED_TO_ONE_SERVER:
            return "sent_unicast"
        if message.client_id is None and kind != MessageType.INFORMATION_REQUEST:
            return "client_id_missing"
        if kind in _ADDRESSED_TO_ONE_SERVER and server_id is None:
            return "server_id_missing"
        if kind in {MessageType.SOLICIT, MessageType.CONFIRM, MessageType.REBIND} and server_id:
            return "server_id_unexpected"
        if server_id is not None and server_id != self._config.duid:
            return "server_id_wrong"
        if kind == MessageType.INFORMATION_REQUEST and message.ias:
            return "ia_unexpected"
        return "too_many_ias" if len(message.ias) > MAX_IAS else None

    # -- what is answered (§18.3)

    def _answer(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        match message.kind:
            case MessageType.SOLICIT:
                return self._solicit(message, source, now)
            case MessageType.REQUEST | MessageType.RENEW | MessageType.REBIND:
                ias, granted = self._serve_all(message, now)
                reply = self._reply(message, ias=ias, options=self._options(message))
                return self._commit(source, reply, granted, now)
            case MessageType.CONFIRM:
                return self._confirm(message, source)
            case MessageType.RELEASE | MessageType.DECLINE:
                return self._take_back(message, source, now)
            case _:
                reply = self._reply(message, options=self._options(message))
                return self._send(source, reply)

    def _solicit(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """Offer, or with Rapid Commit give (§18.3.1)."""
        ias, granted = self._serve_all(message, now)
        rapid = message.rapid_commit and self._config.rapid_commit and bool(granted)
        options = self._options(message)
        reply = self._reply(message, ias=ias, options=options, rapid_commit=rapid)
        if rapid:
            return self._commit(source, reply, granted, now)
        preference = self._config.preference
        offer = replace(reply, kind=MessageType.ADVERTISE, preference=preference)
        for binding in granted:
            if not binding.installed:
                binding.until = now + self._config.offer_s
        return self._send(source, offer)

    def _confirm(self, message: Message, source: IPv6Address) -> list[Action]:
        """Say whether the client is still on the same link (§18.3.3)."""
        addresses = [
            lease.network for ia in message.ias if ia.kind is not IaType.PD for lease in ia.leases
        ]
        if not addresses:
            return self._drop("no_addresses_to_confirm")
        status = Status(StatusCode.SUCCESS, "all on this link")
        if not all(self._fits(address) for address in addresses):
            status = _NOT_ON_LINK
        return self._send(source, self._reply(message, status=status))

    def _take_back(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """End what a client releases (§18.3.7), or finds in use by somebody else (§18.3.8)."""
        declined = message.kind == MessageType.DECLINE
        over: list[Binding] = []
        unknown: list[Ia] = []
        for ia in message.ias:
            if declined and ia.kind is IaType.PD:
                continue  # only addresses are declined
            bindings = self._bindings.all_of(_key(message, ia))
            if not bindings:
                unknown.append(Ia(kind=ia.kind, iaid=ia.iaid, status=_NO_BINDING))
            named = {lease.network for lease in ia.leases}
            for binding in [binding for binding in bindings if binding.network in named]:
                self._bindings.remove(binding, now, declined=declined)
                over.append(binding)
        status = Status(StatusCode.SUCCESS, "done")
        reply = self._reply(message, ias=tuple(unknown), status=status)
        return self._removed(over) + self._send(source, reply)

    # -- leases

    def _serve_all(self, message: Message, now: float) -> tuple[tuple[Ia, ...], list[Binding]]:
        """Return the IAs of the answer, and the bindings in them; of an IAID the first counts."""
        asked = {_key(message, ia): ia for ia in reversed(message.ias)}
        granted: list[Binding] = []
        answers: list[Ia] = []
        for key, ia in reversed(asked.items()):
            binding = None
            status = self._refusal(message, key, ia)
            if status is None:
                until = now + self._config.offer_s
                binding = self._bindings.assign(key, self._hint(ia), asked, until, now)
                status = None if binding else self._unavailable(message, ia)
            if binding is not None:
                granted.append(binding)
            answers.append(self._answer_ia(message, ia, binding, status, now))
        return tuple(answers), granted

    def _refusal(self, message: Message, key: Key, ia: Ia) -> Status | None:
        """Return why an IA gets nothing, whatever there is."""
        if ia.kind is IaType.TA:
            return _NONE_LEFT[ia.kind]
        if message.kind == MessageType.REQUEST and ia.kind is IaType.NA:
            if not all(self._fits(lease.network) for lease in ia.leases):
                return _NOT_ON_LINK  # §18.3.2
        elif message.kind in {MessageType.RENEW, MessageType.REBIND}:
            known = self._config.recreate or self._bindings.find(key) is not None
            if not known and ia.leases:
                return _NO_BINDING  # §18.3.4, §18.3.5
        return None

    @staticmethod
    def _unavailable(message: Message, ia: Ia) -> Status:
        if ia.leases and message.kind in {MessageType.RENEW, MessageType.REBIND}:
            return _NO_BINDING
        return _NONE_LEFT[ia.kind]

    def _answer_ia(
        self, message: Message, ia: Ia, binding: Binding | None, status: Status | None, now: float
    ) -> Ia:
        config = self._config
        stale: tuple[IaLease, ...] = ()
        renewed = message.kind == MessageType.RENEW and binding is not None
        if renewed or message.kind == MessageType.REBIND:
            stale = self._stale(ia, now)
        if binding is None:
            return Ia(kind=ia.kind, iaid=ia.iaid, leases=stale, status=status)
        lease = IaLease(
            network=binding.network, preferred_s=config.preferred_s, valid_s=config.valid_s
        )
        return Ia(
            kind=ia.kind,
            iaid=ia.iaid,
            t1_s=config.t1,
            t2_s=config.t2,
            leases=(lease, *stale),
        )

    def _stale(self, ia: Ia, now: float) -> tuple[IaLease, ...]:
        """Return what the client holds and shall not use for what is new (§18.3.4).

        What was replaced is valid for as long as it is forwarded, all else has lifetimes of 0.
        """
        ours, retired = self._bindings.networks, self._bindings.retired
        held = dict.fromkeys(lease.network for lease in ia.leases)
        return tuple(
            [
                IaLease(network=network, valid_s=_left(retired.get(network, now), now))
                for network in held
                if network not in ours and not network.network_address.is_unspecified
            ][:MAX_STALE]
        )

    def _hint(self, ia: Ia) -> IPv6Network | None:
        """Return what the client would like, as far as it may."""
        for lease in ia.leases:
            network = lease.network
            if ia.kind is IaType.PD:
                if network.prefixlen in self._config.hint_lengths:
                    return network
            elif not network.network_address.is_unspecified:
                return network
        return None

    def _fits(self, address: IPv6Network) -> bool:
        """Say whether *address* may be used on this link; no address does no harm."""
        return (
            address.network_address.is_unspecified
            or any(inside(address, prefix) for prefix in self.on_link)
            or self._bindings.gives(address)
        )

    def _commit(
        self, destination: IPv6Address, reply: Message, granted: list[Binding], now: float
    ) -> list[Action]:
        """Send *reply* when all in it is installed."""
        new = [binding for binding in granted if not binding.installed]
        for binding in granted:
            binding.until = inf if binding in new else self._valid_until(now)
        if not new:
            return self._send(destination, reply)
        self._request += 1
        self._held = _Held(self._request, destination, reply, new)
        leases = tuple(binding.lease for binding in new)
        return [Install(self._request, leases, self._valid_until(now))]

    def _valid_until(self, now: float) -> float:
        return inf if self._config.valid_s == INFINITY else now + self._config.valid_s

    def _removed(self, over: Iterable[Binding], counter: str | None = None) -> list[Action]:
        leases: tuple[Lease, ...] = tuple(b.lease for b in over if b.installed)
        if leases and counter is not None:
            self._counters[counter] += len(leases)
        return [Remove(leases)] if leases else []

    # -- answers

    def _reply(
        self,
        message: Message,
        *,
        ias: tuple[Ia, ...] = (),
        status: Status | None = None,
        options: tuple[tuple[int, bytes], ...] = (),
        rapid_commit: bool = False,
    ) -> Message:
        return Message(
            kind=MessageType.REPLY,
            transaction_id=message.transaction_id,
            client_id=message.client_id,
            server_id=self._config.duid,
            ias=ias,
            status=status,
            options=options,
            rapid_commit=rapid_commit,
        )

    def _options(self, message: Message) -> tuple[tuple[int, bytes], ...]:
        return self._config.options.answer(message.requested)

    def _send(self, destination: IPv6Address, message: Message) -> list[Action]:
        payload = build(message)
        if len(payload) > MAX_REPLY_BYTES:
            return self._drop("reply_too_long")
        advertise = message.kind == MessageType.ADVERTISE
        self._counters["advertise_sent" if advertise else "reply_sent"] += 1
        for status in (message.status, *(ia.status for ia in message.ias)):
            if status is not None and status.code in _COUNTED:
                self._counters[_COUNTED[status.code]] += 1
        answer = Datagram(self._source, destination, SERVER_PORT, CLIENT_PORT, payload)
        return [SendPacket(build_udp(answer))]

    def _drop(self, counter: str) -> list[Action]:
        self._counters[counter] += 1
        return []


def _left(until: float, now: float) -> int:
    return int(min(INFINITY, max(0, until - now)))


def _key(message: Message, ia: Ia) -> Key:
    return ia.kind, message.client_id or b"", ia.iaid
