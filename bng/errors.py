"""Error families: the peer's fault is counted and answered, ours is loud."""


class MalformedPacket(Exception):
    """Bytes from the network do not form the packet they claim to be.

    The only exception a parser may raise on hostile input.
    """


class ConfigError(Exception):
    """A configuration file is wrong. The text names file, line and key."""
