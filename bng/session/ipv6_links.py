"""The IPv6 side of a session: made for its profile, adopted, told of new settings."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from bng.aaa.model import SubscriberProfile
from bng.ipv6.actions import Lease
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.bindings import Binding
from bng.ipv6.config import ServerConfig
from bng.ipv6.link import Ipv6Link, link_local
from bng.ipv6.messages import IaType, OptionCode
from bng.ipv6.relay import Relay, RelayConfig
from bng.ipv6.server import Server
from bng.session.ipv6_side import Ipv6Side, RecordedIpv6, SessionSupply
from bng.session.model import IPV6, Session
from bng.session.settings import Ipv6Settings

if TYPE_CHECKING:
    from bng.session.manager import SessionManager

BROADBAND_FORUM = 3561
"""Enterprise of Agent-Remote-Id (RFC 4679 §3.3.2), in front of a Remote-ID (RFC 4649 §3)."""
MAX_CONFIGS = 1024
"""Settings kept: one for each set of profile, resolvers and routes that a subscriber has."""
Resolvers = tuple[IPv6Address, ...]


class Links:
    """Makes the IPv6 of sessions; a part of *manager*. *counters* are of all together."""

    def __init__(self, manager: "SessionManager", counters: dict[str, int]) -> None:
        self._manager = manager
        self._counters = counters
        self._told: Ipv6Settings | None = None
        self._advertise: dict[
            tuple[str | None, Resolvers, tuple[IPv6Network, ...]], AdvertiseConfig
        ] = {}
        self._server: dict[tuple[str | None, Resolvers], ServerConfig] = {}

    def side(self, session: Session, prefix: IPv6Network | None) -> Ipv6Side:
        """Return the IPv6 of an authenticated session, with *prefix* on its link."""
        profile, local = session.profile, session.local_interface_id or 1
        assert profile is not None  # noqa: S101 - authenticated
        manager, source, counters = self._manager, link_local(local), self._counters
        policy = manager.settings.ipv6
        advertiser = Advertiser(self._advertise_config(profile), source, manager.entropy)
        dhcpv6: Server | Relay | None = None
        supply = SessionSupply(manager, session)
        if policy.dhcpv6 == "server":
            on_link = () if prefix is None else (prefix,)
            dhcpv6 = Server(self._server_config(profile), supply, source, counters, on_link)
        elif policy.dhcpv6 == "external":
            dhcpv6 = Relay(_relay_config(session, policy), source, counters)
        link = Ipv6Link(advertiser, dhcpv6, source, counters)
        return Ipv6Side(link, supply, prefix, local)

    # ---- after a restart ----

    def check(self, recorded: RecordedIpv6) -> None:
        """Raises: ValueError when others have what a recorded session had."""
        for network in (*recorded.own, *(lease.network for lease in recorded.leases)):
            if (holder := self._manager.pools6.owner(network)) is not None:
                raise ValueError(f"{network} is held by {holder}")

    def adopt(self, session: Session, recorded: RecordedIpv6, now: float) -> None:
        """Go on with what a session had, after `check`; the client is told nothing."""
        profile, name = session.profile, session.user_name
        assert profile is not None and name is not None  # noqa: S101 - the caller looked
        side = session.ipv6 = self.side(session, recorded.prefix)
        side.framed, side.logged = recorded.framed, recorded.prefix
        side.old = dict(recorded.old)
        for prefix in recorded.own:
            owner = session.acct_session_id if prefix == profile.ipv6_prefix else name
            self._manager.pools6.adopt(prefix, owner)
        self._adopt_leases(session, side, recorded, now)
        if session.families & IPV6:
            deprecated = dict(recorded.deprecated) | side.old
            side.link.advertiser.go_on(recorded.prefix, deprecated, now)
            if side.old:  # nobody knows whether the client was told
                side.link.advertiser.renumber(recorded.prefix, now)
            side.started = True
        side.plan()

    def _adopt_leases(
        self, session: Session, side: Ipv6Side, recorded: RecordedIpv6, now: float
    ) -> None:
        profile, name = session.profile, session.user_name
        assert profile is not None and name is not None  # noqa: S101 - the caller looked
        dhcpv6 = side.link.dhcpv6
        for one in recorded.leases:
            lease, until = Lease(one.network, one.delegated), one.until
            static = one.network in (profile.delegated_prefix, _host(profile.ipv6_address))
            own = static or not isinstance(dhcpv6, Server)
            side.supply.adopt(lease, session.acct_session_id if own else name)
            if isinstance(dhcpv6, Server):
                until = min(until, now + self._server_config(profile).valid_s)
                kind = IaType.PD if one.delegated else IaType.NA
                dhcpv6.adopt(Binding(kind, one.client_id, one.iaid, one.network, until))
            elif dhcpv6 is not None:
                dhcpv6.adopt({lease: until})
            side.leases[lease] = until

    # ---- settings ----

    def reconfigure(self, session: Session, now: float) -> None:
        """Have a living session know the settings of now; it is told soon of what has changed."""
        side, profile = session.ipv6, session.profile
        if side is None or profile is None:
            return
        side.link.advertiser.reconfigure(self._advertise_config(profile), now)
        if isinstance(side.link.dhcpv6, Server):
            side.link.dhcpv6.reconfigure(self._server_config(profile))
        side.plan()
        self._manager.reschedule(session)

    def _advertise_config(self, profile: SubscriberProfile) -> AdvertiseConfig:
        """Return what is announced to *profile*, one object for all alike."""
        policy = self._policy()
        key = profile.ipv6_profile, profile.ipv6_dns, profile.ipv6_announced_routes
        found = self._advertise.get(key)
        if found is None:
            common = policy.advertise_of(profile)
            dns, routes = profile.ipv6_dns or common.rdnss, profile.ipv6_announced_routes
            found = self._advertise[key] = replace(common, rdnss=dns, routes=routes)
        return found

    def _server_config(self, profile: SubscriberProfile) -> ServerConfig:
        """Return how *profile* is served by DHCPv6, likewise."""
        policy = self._policy()
        key = profile.ipv6_profile, profile.ipv6_dns
        found = self._server.get(key)
        if found is None:
            common = policy.server_of(profile)
            options = replace(common.options, dns=profile.ipv6_dns or common.options.dns)
            found = self._server[key] = replace(common, options=options)
        return found

    def _policy(self) -> Ipv6Settings:
        policy = self._manager.settings.ipv6
        if policy is not self._told or max(len(self._server), len(self._advertise)) > MAX_CONFIGS:
            self._told = policy
            self._advertise.clear()
            self._server.clear()
        return policy


def _host(address: IPv6Address | None) -> IPv6Network | None:
    return None if address is None else IPv6Network(address)


def _relay_config(session: Session, policy: Ipv6Settings) -> RelayConfig:
    """Return what external servers are told of a session; its Interface-Id finds it again."""
    options: list[tuple[int, bytes]] = []
    if session.remote_id is not None:
        remote_id = BROADBAND_FORUM.to_bytes(4) + session.remote_id
        options.append((OptionCode.REMOTE_ID, remote_id))
    if session.user_name is not None:
        name = session.user_name.encode(errors="surrogateescape")
        options.append((OptionCode.SUBSCRIBER_ID, name))
    return RelayConfig(
        link_address=policy.link_address,
        interface_id=session.acct_session_id.encode(),
        options=tuple(options),
    )
