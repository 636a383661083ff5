"""Errors of the RADIUS package: the peer's fault and ours apart."""


class MalformedPacket(Exception):
    """Bytes from the network are no RADIUS packet. The only exception that parsing raises."""


class MalformedValue(Exception):
    """An attribute's value has not the form of its type. The text names the attribute."""


class DictionaryError(Exception):
    """A dictionary cannot be read, or has no such attribute. The text names file or attribute."""


class SpoolError(Exception):
    """The accounting spool cannot be used. The text names the file."""
