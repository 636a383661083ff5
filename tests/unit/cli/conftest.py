"""bngctl run in this process, against a real management server or one that misbehaves."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from bng.cli.main import main
from tests.support.managed_box import Managed, served_box


class Run(NamedTuple):
    """How a run of bngctl ended."""

    status: int
    out: str
    err: str


Ctl = Callable[..., Run]


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    """Yield a served box: user00001 untagged, user00002 in VLAN 100.7."""
    with served_box(tmp_path_factory.mktemp("ctl")) as managed:
        memory = managed.memory
        memory.dial(memory.subscriber(1), memory.subscriber(2, vlan="100.7"))
        yield managed


@pytest.fixture
def ctl(served: Managed, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Run bngctl with these words against the served box."""

    def run(*words: str, path: Path = served.socket) -> Run:
        with capture_logs():  # bngd's, whose standard error this process shares
            status = main(["--socket", str(path), *words])
        return Run(status, *capsys.readouterr())

    return run


@pytest.fixture
def strange_server(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Make servers that take a request, send some bytes and hang up; return their socket."""
    opened: list[Any] = []

    def serve(answer: bytes) -> Path:
        path = tmp_path / f"{len(opened)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        opened.append((listener, thread))
        return path

    yield serve
    for listener, thread in opened:
        thread.join()
        listener.close()
