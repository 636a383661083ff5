"""Domain names in options: labels without compression (RFC 1035 §3.1, RFC 8415 §10)."""

from bng.errors import MalformedPacket

MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63


def encode_name(name: str) -> bytes:
    """Encode *name*, absolute with or without its last dot.

    Raises: ValueError when a label is empty or too long, or the name is.
    """
    labels = [label.encode("idna") for label in name.removesuffix(".").split(".")]
    if not all(0 < len(label) <= MAX_LABEL_BYTES for label in labels):
        raise ValueError(f"{name!r} is no domain name")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(encoded) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r} is too long for a domain name")
    return encoded


def encode_names(names: tuple[str, ...]) -> bytes:
    """Encode a list of names. Raises: ValueError as `encode_name` does."""
    return b"".join(map(encode_name, names))


def decode_names(data: bytes) -> tuple[str, ...]:
    """Read names one after the other; zeros behind them are padding (RFC 8106 §5.2).

    Raises: MalformedPacket when a label does not fit or is no ASCII text, or a name has no end.
    """
    names: list[str] = []
    labels: list[str] = []
    offset, start = 0, 0
    while offset < len(data):
        length = data[offset]
        label = data[offset + 1 : offset + 1 + length]
        offset += 1 + length
        if length > MAX_LABEL_BYTES or len(label) != length or offset - start > MAX_NAME_BYTES:
            raise MalformedPacket("a label that does not fit into its name")
        if length:
            if not label.isascii() or b"." in label:
                raise MalformedPacket(f"{label!r} is no label of a host name")
            labels.append(label.decode())
            continue
        if labels:
            names.append(".".join(labels))
        labels, start = [], offset
    if labels:
        raise MalformedPacket("a domain name without its end")
    return tuple(names)
