"""A FreeRADIUS 3 from Debian, with a configuration of its own in a folder."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.netns import command

SECRET = "testing123"
SAMPLES = Path(__file__).parents[2] / "conf" / "freeradius"
EXTRA = Path(__file__).parent / "dictionary.sample"
"""Attributes that every server of the tests knows."""
CONFIG = """
name = lab
prefix = /usr
logdir = {directory}
raddbdir = {directory}
libdir = /usr/lib/freeradius
pidfile = {directory}/pid
max_request_time = 30
cleanup_delay = 2
max_requests = 65536
hostname_lookups = no
log {{
  destination = stdout
  auth = no
}}
security {{
  allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = yes
}}
thread pool {{
  start_servers = 2
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 4
}}
modules {{
  pap {{
  }}
  chap {{
  }}
  mschap {{
    use_mppe = no
  }}
  files {{
    filename = {directory}/users
  }}
  detail {{
    filename = {directory}/detail
    permissions = 0600
    header = "%t"
  }}
}}
client anybody {{
  ipaddr = 0.0.0.0/0
  secret = {secret}
  require_message_authenticator = yes
}}
{tls_client}
server default {{
  listen {{
    type = auth
    ipaddr = {address}
    port = {auth_port}
  }}
  listen {{
    type = acct
    ipaddr = {address}
    port = {acct_port}
  }}
  {tls_listen}
  authorize {{
    chap
    mschap
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
    Auth-Type CHAP {{
      chap
    }}
    Auth-Type MS-CHAP {{
      mschap
    }}
  }}
  post-auth {{
    update reply {{
      &Message-Authenticator := 0x00
    }}
    Post-Auth-Type REJECT {{
      update reply {{
        &Message-Authenticator := 0x00
      }}
    }}
  }}
  accounting {{
    detail
  }}
}}
"""
TLS_LISTEN = """
  listen {{
    type = auth+acct
    proto = tcp
    ipaddr = {address}
    port = {tls_port}
    clients = radsec
    tls {{
      private_key_file = {certs}/server.key
      certificate_file = {certs}/server.pem
      ca_file = {certs}/ca.pem
      require_client_cert = yes
      tls_min_version = "1.2"
      tls_max_version = "1.3"
    }}
  }}
"""
TLS_CLIENT = """
clients radsec {{
  client loopback {{
    ipaddr = 127.0.0.0/8
    proto = tls
    secret = radsec
  }}
}}
"""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port of loopback that nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server that runs with the configuration in *directory*; a context manager.

    It runs in the namespace *netns*, here without one.
    """

    details = "detail"
    """Where accounting goes, below the folder: a pattern."""

    def __init__(self, directory: Path, netns: str | None) -> None:
        self.directory = directory
        self.netns = netns
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        print(f"--- FreeRADIUS\n{self.log.read_text(errors='replace')[-4000:]}")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        argv = ["freeradius", "-f", "-l", "stdout", "-d", str(self.directory)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(self.netns, argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 20
        while b"Ready to process requests" not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def detail(self) -> list[dict[str, str]]:
        """Return the accounting records of its detail files, in order of arrival."""
        text = "".join(path.read_text() for path in sorted(self.directory.glob(self.details)))
        records = []
        for block in text.strip().split("\n\n") if text else ():
            pairs = [line.strip().partition(" = ") for line in block.splitlines()[1:]]
            records.append({name: value.strip('"') for name, _, value in pairs})
        return records


class FreeRadius(Server):
    """A running server, a context manager. *users* is the text of its ``users`` file.

    *certs*: a folder of `certificates`, for RADIUS over TLS on *tls_port*, too. It runs in the
    namespace *netns*, here without one.
    """

    def __init__(
        self,
        directory: Path,
        users: str,
        *,
        secret: str = SECRET,
        address: str = "127.0.0.1",
        certs: Path | None = None,
        netns: str | None = None,
        auth_port: int | None = None,
        acct_port: int | None = None,
    ) -> None:
        super().__init__(directory, netns)
        self.address = address
        self.secret = secret
        self.auth_port, self.acct_port = auth_port or free_port(), acct_port or free_port()
        self.tls_port = free_port(socket.SOCK_STREAM)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        (directory / "users").write_text(users)
        includes = (f"$INCLUDE {path}\n" for path in (EXTRA, SAMPLES / "bng" / "dictionary"))
        (directory / "dictionary").write_text("".join(includes))
        names = {"address": address, "certs": certs, "tls_port": self.tls_port}
        (directory / "radiusd.conf").write_text(
            CONFIG.format(
                directory=directory,
                secret=secret,
                address=address,
                auth_port=self.auth_port,
                acct_port=self.acct_port,
                tls_listen=TLS_LISTEN.format(**names) if certs else "",
                tls_client=TLS_CLIENT.format() if certs else "",
            )
        )


BOX = "192.0.2.1:3799"
"""Where the lab's box takes CoA and Disconnect."""
DEBIANS = Path("/etc/freeradius/3.0")


class SampleSite(Server):
    """Debian's configuration with the site of ``conf/freeradius``, put there as operators do.

    It listens on all addresses, ports 1812 and 1813. Only where it writes is changed, and as whom.
    """

    details = "var/radacct/bng/detail-*"

    def __init__(self, directory: Path, netns: str | None = None) -> None:
        super().__init__(directory, netns)
        shutil.copytree(DEBIANS, directory, symlinks=True)
        subprocess.run([SAMPLES / "install", directory], check=True)
        path = directory / "radiusd.conf"
        text = path.read_text()
        for old, new in (
            (r"raddbdir = .*", f"raddbdir = {directory}"),
            (r"logdir = .*", f"logdir = {directory}/var"),
            (r"run_dir = .*", f"run_dir = {directory}/var"),
            (r"\t(user|group) = freerad", ""),
        ):
            text, changes = re.subn(rf"^{old}$", new, text, flags=re.MULTILINE)
            assert changes, old
        path.write_text(text)
        (directory / "var" / "radacct").mkdir(parents=True)

    def radclient(self, order: str, *attributes: str) -> str:
        """Send the lab's box a ``coa`` or ``disconnect`` and return what radclient prints."""
        argv = ["radclient", "-d", str(self.directory), "-x", "-t", "5", BOX, order, SECRET]
        done = subprocess.run(
            command(self.netns, argv),
            input="\n".join(attributes),
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    def check(self) -> None:
        """Have FreeRADIUS read it all. Raises: AssertionError with what it says."""
        argv = ["freeradius", "-X", "-C", "-d", str(self.directory)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert "Configuration appears to be OK" in done.stdout, done.stdout[-4000:]


def certificates(directory: Path, address: str = "127.0.0.1") -> Path:
    """Make a CA, and certificates of a server at *address* and a client; return their folder."""
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=lab CA")
    for name, extension in (
        ("server", f"subjectAltName=IP:{address}"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        issued = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-addext", extension)
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
        openssl(*new, *files, *issued)
    return directory
