"""What the keys of ``[radius]`` mean to each other and to ``[aaa]``."""

from collections import Counter
from collections.abc import Iterator

from bng.config.model import Config
from bng.config.radius import DynAuth
from bng.tomlfile import Key, Problem


def radius(config: Config) -> Iterator[Problem]:
    """Find servers that cannot be used, and policies that lack what they need."""
    table = config.radius
    roles = {role for server in table.server for role in server.roles}
    if config.aaa.method == "radius" and "authentication" not in roles:
        yield ("aaa", "method"), 'radius needs a [[radius.server]] with role "authentication"'
    if table.without_server == "profile" and table.fallback_user is None:
        yield ("radius", "without_server"), "profile needs radius.fallback_user: whose it is"
    if table.max_timeout_s < table.timeout_s:
        yield ("radius", "max_timeout_s"), "must be at least timeout_s"
    names = Counter(server.name for server in table.server)
    for index, server in enumerate(table.server):
        at: Key = ("radius", "server", index)
        if names[server.name] > 1:
            yield (*at, "name"), f"{server.name} is in use already"
        if server.tls is None and "secret" not in server.model_fields_set:
            yield (*at, "secret"), "is missing; only with tls there is a default"
        if len(set(server.roles)) < len(server.roles):
            yield (*at, "roles"), "the same role twice"
        if server.source is not None and server.source.version != server.address.version:
            yield (*at, "source"), f"{server.source} cannot reach {server.address}"
    yield from _dynauth(table.dynauth)


def _dynauth(table: DynAuth) -> Iterator[Problem]:
    """Find clients of CoA who could not be told apart, or cannot reach us."""
    versions = {address.version for address in table.listen}
    for index, address in enumerate(table.listen):
        if address in table.listen[:index]:
            yield ("radius", "dynauth", "listen", index), f"{address} is there already"
    for index, client in enumerate(table.client):
        at: Key = ("radius", "dynauth", "client", index)
        before = table.client[:index]
        if client.name in {other.name for other in before}:
            yield (*at, "name"), f"{client.name} is in use already"
        if client.prefix in {other.prefix for other in before}:
            yield (*at, "prefix"), f"{client.prefix} is another client's, too"
        if client.prefix.version not in versions:
            listen = f"radius.dynauth.listen has no IPv{client.prefix.version} address"
            yield (*at, "prefix"), f"{client.prefix}: {listen}"
        if client.event_timestamp and not client.window_s:
            yield (*at, "window_s"), "0 looks at no Event-Timestamp, event_timestamp demands one"
