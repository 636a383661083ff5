"""What the keys of ``[radius]`` mean to each other and to ``[aaa]``."""

from collections import Counter
from collections.abc import Iterator

from bng.config.model import Config
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
