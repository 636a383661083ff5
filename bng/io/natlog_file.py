"""The file that the NAT log is written to: appended whole or not at all, put aside, compressed."""

import errno
import gzip
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bng.natlog.files import COMPRESSED, TEMPORARY, aside
from bng.natlog.lines import MAX_LINE_BYTES, NatLogFormatError

COPY_BYTES = 1 << 20
MODE = 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class NatLogSettings:
    """Where the log is, and when it goes on in another file; 0: not for this reason."""

    path: Path
    rotate_bytes: int = 0
    rotate_s: float = 0
    keep: int = 90
    compress: bool = True


class LogFile:
    """The file at the path of *settings*, and those put aside. Methods raise OSError."""

    def __init__(self, settings: NatLogSettings) -> None:
        self.path = settings.path
        self.rotated = 0
        self._settings = settings
        self._log = structlog.get_logger("natlog")
        self._tidying: threading.Thread | None = None
        self.begun_at = 0.0
        """When the file was begun, seconds since 1970."""
        self._head_bytes = 0
        self._bytes = 0

    def prepare(self) -> bool:
        """Make the folder, mend what a crash left. False: there is no file yet, or an empty one.

        Raises: NatLogFormatError when it is not made of lines.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.path.parent.glob(f"{self.path.name}*{TEMPORARY}"):
            left.unlink()
        old = aside(self.path)
        if self.path.exists() and old and old[-1].exists() and old[-1].samefile(self.path):
            old[-1].unlink()  # a rotation that was cut off between its two steps
        try:
            self._bytes = self._cut_half_line()
        except FileNotFoundError:
            return False
        return self._bytes > 0

    def _cut_half_line(self) -> int:
        """Cut off what a machine left that lost power; return the size."""
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            at = file.seek(max(0, size - MAX_LINE_BYTES))
            tail = file.read()
            if tail and b"\n" not in tail:
                raise NatLogFormatError("not made of lines")
            return file.truncate(at + tail.rfind(b"\n") + 1)

    def begin(self, head: bytes, now: float) -> None:
        """Put a new file that begins with *head* in place of the present one, if there is one."""
        fresh = self.path.with_name(self.path.name + TEMPORARY)
        try:
            with fresh.open("wb") as file:
                os.fchmod(file.fileno(), MODE)
                file.write(head)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.begun_at = now
        self._head_bytes = self._bytes = len(head)

    def append(self, data: bytes) -> None:
        """Write *data* to the disk, whole or not at all. Raises: FileNotFoundError, OSError."""
        with self.path.open("r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                view = memoryview(data)
                while view:
                    if not (written := file.write(view) or 0):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    view = view[written:]
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)  # no half a line, no record twice
                raise
        self._bytes = size + len(data)

    def reconfigure(self, settings: NatLogSettings) -> None:
        """Do as *settings* say from now on; the path stays."""
        changed = settings != self._settings
        self._settings = settings
        if changed:
            self.tidy()

    def is_due(self, now: float) -> bool:
        """Say whether the log should go on in another file."""
        settings, grown = self._settings, self._bytes - self._head_bytes
        if grown <= 0:
            return False
        full = 0 < settings.rotate_bytes <= grown
        return full or 0 < settings.rotate_s <= now - self.begun_at

    def rotate(self, head: bytes, now: float) -> None:
        """Put the file aside and begin another one with *head*. There is a file at any moment."""
        stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%fZ}"
        old = self.path.with_name(f"{self.path.name}-{stamp}")
        os.link(self.path, old)
        try:
            self.begin(head, now)
        except OSError:
            old.unlink()
            raise
        self.rotated += 1
        self.tidy()

    # ---- what was put aside

    def tidy(self) -> None:
        """Compress what was put aside and delete the oldest, in a thread."""
        if self._tidying is None or not self._tidying.is_alive():
            self._tidying = threading.Thread(target=self._tidy, name="nat-log", daemon=True)
            self._tidying.start()

    def wait(self, timeout_s: float) -> None:
        """Wait for the thread. What it leaves undone is done at the next start."""
        if self._tidying is not None:
            self._tidying.join(timeout_s)

    def _tidy(self) -> None:
        try:
            while plain := self._uncompressed():
                self._compress(plain[0])
            for old in self._too_many():
                old.unlink(missing_ok=True)
        except OSError as error:
            self._log.error("nat-log-not-tidied", path=str(self.path), error=str(error))

    def _too_many(self) -> list[Path]:
        old = aside(self.path)
        return old[: max(0, len(old) - self._settings.keep)]

    def _uncompressed(self) -> list[Path]:
        if not self._settings.compress:
            return []
        doomed = set(self._too_many())
        return [p for p in aside(self.path) if p.suffix != COMPRESSED and p not in doomed]

    def _compress(self, path: Path) -> None:
        done = path.with_name(path.name + COMPRESSED)
        part = done.with_name(done.name + TEMPORARY)
        try:
            with path.open("rb") as source, part.open("wb") as target:
                os.fchmod(target.fileno(), MODE)
                with gzip.GzipFile(path.name, "wb", 6, target) as packed:
                    shutil.copyfileobj(source, packed, COPY_BYTES)
                target.flush()
                os.fsync(target.fileno())
            part.replace(done)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        path.unlink()
