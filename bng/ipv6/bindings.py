"""The DHCPv6 bindings of one session: which IA holds which address or prefix, and until when.

A session has few leases, and keeps them: a client that comes back with another DUID or IAID takes
over the oldest that it does not ask for under its own name. A lease that is to be had no longer is
replaced when the client asks for it: the one before is *retired*, forwarded until it is valid no
more. Where leases come from is the business of a `Supply`.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from itertools import chain
from math import inf
from typing import Final, Protocol

from bng.ipv6.actions import Lease
from bng.ipv6.messages import IaType

MAX_RETIRED_S: Final = 7200.0  # as RFC 4862 §5.5.3 e has it for addresses


class Supply(Protocol):
    """Where the leases of one session come from: a pool, or what AAA said."""

    def take(self, delegated: bool, hint: IPv6Network | None, now: float) -> IPv6Network | None:
        """Take a prefix to delegate or, a /128, an address; None when there is none.

        *hint* is what the client would like. It may be an unspecified address with a length, and
        it need not be followed. The same again is what a client likes best.
        """

    def keeps(self, lease: Lease) -> bool:
        """Say whether *lease*, which was taken here, is what would be given now."""

    def release(self, lease: Lease, now: float, *, declined: bool) -> None:
        """Take a lease back; *declined* when somebody else uses the address."""


@dataclass(slots=True, eq=False)
class Binding:
    """One lease of an IA. Not *installed*, it is an offer; *until* is on the clock of `now`."""

    kind: IaType
    client_id: bytes
    iaid: int
    network: IPv6Network
    until: float
    installed: bool = False

    @property
    def key(self) -> "Key":
        """Kind, DUID and IAID."""
        return self.kind, self.client_id, self.iaid

    @property
    def lease(self) -> Lease:
        """What is to be installed or removed."""
        return Lease(self.network, self.kind is IaType.PD)


Key = tuple[IaType, bytes, int]  # kind, DUID and IAID


class Bindings:
    """All bindings of a session, oldest first; *limits* say how many there may be of a kind."""

    __slots__ = ("_bindings", "_retired", "_supply", "limits")

    def __init__(self, supply: Supply, limits: dict[IaType, int]) -> None:
        self._supply = supply
        self._bindings: dict[Key, Binding] = {}
        self._retired: list[Binding] = []
        self.limits = limits

    def __iter__(self) -> Iterator[Binding]:
        return chain(self._retired, self._bindings.values())

    @property
    def networks(self) -> set[IPv6Network]:
        """What is bound and not retired."""
        return {binding.network for binding in self._bindings.values()}

    def gives(self, network: IPv6Network) -> bool:
        """Say whether *network* is bound, and to stay so."""
        bound = (binding for binding in self._bindings.values() if binding.network == network)
        return any(self._supply.keeps(binding.lease) for binding in bound)

    @property
    def retired(self) -> dict[IPv6Network, float]:
        """What was replaced, and until when it is valid."""
        return {binding.network: binding.until for binding in self._retired}

    def find(self, key: Key) -> Binding | None:
        """Return the binding of an IA."""
        return self._bindings.get(key)

    def all_of(self, key: Key) -> list[Binding]:
        """Return the binding of an IA, and those that it replaced."""
        return [binding for binding in self if binding.key == key]

    def assign(
        self, key: Key, hint: IPv6Network | None, wanted: Container[Key], until: float, now: float
    ) -> Binding | None:
        """Return the IA's binding, a new one, or one taken over; None when there is none.

        The bindings of *wanted* are not taken over. A new one is an offer that ends at *until*.
        """
        kind, client_id, iaid = key
        binding = self._bindings.get(key)
        if binding is not None:
            return self._current(binding, hint, until, now)
        same = [other for other in self._bindings.items() if other[1].kind is kind]
        if len(same) < self.limits.get(kind, 0):
            network = self._supply.take(kind is IaType.PD, hint, now)
            if network is not None:
                return self.add(Binding(kind, client_id, iaid, network, until))
        for old, binding in same:
            if old not in wanted:
                del self._bindings[old]
                binding.client_id, binding.iaid = client_id, iaid
                return self._current(self.add(binding), hint, until, now)
        return None

    def add(self, binding: Binding) -> Binding:
        """Take a binding that exists, as after a restart; one of its IA is retired for it."""
        before = self._bindings.pop(binding.key, None)
        if before is not None:
            self._retired.append(before)
        self._bindings[binding.key] = binding
        return binding

    def remove(self, binding: Binding, now: float, *, declined: bool = False) -> None:
        """End a binding; removing what is installed is the caller's business."""
        if binding in self._retired:
            self._retired.remove(binding)
        else:
            del self._bindings[binding.key]
        self._supply.release(binding.lease, now, declined=declined)

    def expire(self, now: float) -> list[Binding]:
        """End the bindings whose time is over, and return them."""
        over = [binding for binding in self if binding.until <= now]
        for binding in over:
            self.remove(binding, now)
        return over

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        until = inf
        for binding in self:
            until = min(until, binding.until)
        return None if until == inf else until

    def _current(
        self, binding: Binding, hint: IPv6Network | None, until: float, now: float
    ) -> Binding:
        """Return *binding*, or what replaces it; without anything else the client keeps it."""
        if self._supply.keeps(binding.lease):
            return binding
        network = self._supply.take(binding.kind is IaType.PD, hint, now)
        if network is None:
            return binding
        if binding.installed:
            binding.until = min(binding.until, now + MAX_RETIRED_S)
        else:
            self.remove(binding, now)
        return self.add(replace(binding, network=network, until=until, installed=False))
