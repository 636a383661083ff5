"""bng.toml as one typed, frozen value, checked in full before anything uses it.

Every error names file, line and key. This package reads files and nothing else: it opens no
socket and asks no kernel whether an interface exists.
"""

from pathlib import Path

from bng.config import checks
from bng.config.arguments import dataplane_args
from bng.config.model import AccessPort, AccessRule, Acl, Config, Pool, RoutedPort, RoutedVlan
from bng.config.reload import Change, Needs, diff, live
from bng.errors import ConfigError
from bng.tomlfile import TomlFile
from bng.tomltypes import VlanRange

__all__ = [
    "AccessPort",
    "AccessRule",
    "Acl",
    "Change",
    "Config",
    "Needs",
    "Pool",
    "RoutedPort",
    "RoutedVlan",
    "VlanRange",
    "dataplane_args",
    "diff",
    "live",
    "load",
    "parse",
    "wrong_key",
]


def load(path: Path) -> Config:
    """Read and check the configuration file at *path*.

    Raises: ConfigError that names every wrong key, one a line, as ``FILE:LINE: KEY: what``.
    """
    return _checked(TomlFile.read(path))


def parse(path: Path, raw: bytes) -> Config:
    """Check *raw* as if it were read from *path*. Raises: ConfigError."""
    return _checked(TomlFile.parse(path, raw))


def wrong_key(path: Path, key: tuple[str, ...], message: str) -> ConfigError:
    """Return the error of a *key* of the file at *path* that was found wrong after loading it."""
    return TomlFile.read(path).error([(key, message)])


def _checked(file: TomlFile) -> Config:
    config = file.validate(Config, file.data)
    problems = checks.problems(config)
    if problems:
        raise file.error(problems)
    folder = file.path.parent
    aaa = config.aaa.model_copy(update={"users": folder / config.aaa.users})
    dictionaries = tuple(folder / path for path in config.radius.dictionaries)
    radius = config.radius.model_copy(update={"dictionaries": dictionaries})
    return config.model_copy(update={"aaa": aaa, "radius": radius})
