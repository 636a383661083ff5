"""The socket's client end: one JSON request a line, one answer a line."""

import json
import os
import socket
from typing import cast

TIMEOUT_S = 60.0
"""How long bngd may take between two pieces of an answer."""
CHUNK_BYTES = 1 << 18

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class CtlError(Exception):
    """The command did not happen. The text is for the operator, *status* for the shell."""

    status = EXIT_REFUSED


class RefusedError(CtlError):
    """Bngd answered with an error."""


class UnreachableError(CtlError):
    """Nobody answers on the socket."""

    status = EXIT_UNREACHABLE


def call(path: str, command: str, **args: str | bool | None) -> object:
    """Return the data that bngd answers to *command*; arguments that are None are left out.

    Raises: RefusedError with the text of bngd, UnreachableError.
    """
    given = {name: value for name, value in args.items() if value is not None}
    request = json.dumps({"command": command, "args": given}).encode() + b"\n"
    try:
        line = _exchange(path, request)
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else str(error)
        raise UnreachableError(f"no bngd on {path}: {text}") from None
    answer = _decode(path, line)
    if answer.get("ok") is not True:
        raise RefusedError(str(answer.get("error", "refused without a reason")))
    return answer.get("data")


def _exchange(path: str, request: bytes) -> bytes:
    """Send a line and return the line that comes back, as it is when bngd hangs up early."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        connection.sendall(request)
        chunks: list[bytes] = []
        while chunk := connection.recv(CHUNK_BYTES):
            chunks.append(chunk)
            if chunk.endswith(b"\n"):  # JSON on one line holds no other newline
                break
        return b"".join(chunks)


def _decode(path: str, line: bytes) -> dict[str, object]:
    if not line.endswith(b"\n"):
        raise UnreachableError(f"bngd on {path} hung up before its answer was complete")
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise UnreachableError(f"what came from {path} is no answer of bngd")
    return cast(dict[str, object], answer)
