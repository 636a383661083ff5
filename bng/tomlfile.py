"""TOML files whose every mistake is reported with file, line and key.

``tomllib`` gives values without positions and pydantic gives positions without lines; this joins
the two. The text is scanned for line numbers only once there is something to report. It knows
nothing of what a file means: the models are `bng.config` and `bng.aaa.users`.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from bng.errors import ConfigError

Key = tuple[str | int, ...]
Problem = tuple[Key, str]
M = TypeVar("M", bound=BaseModel)

ROLE_MARK = "role:"
"""A location part with this prefix names a member of a union, not a key."""

MAX_REPORTED = 20


class Table(BaseModel):
    """A TOML table: unknown keys are errors, types are exact, values do not change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(slots=True)
class TomlFile:
    """One parsed file: *data* as ``tomllib`` gives it, and where each key stands."""

    path: Path
    text: str
    data: dict[str, object]
    _lines: dict[Key, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "TomlFile":
        """Read and parse *path*.

        Raises: ConfigError when the file cannot be read or is not TOML.
        """
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        return cls.parse(path, raw)

    @classmethod
    def parse(cls, path: Path, raw: bytes) -> "TomlFile":
        """Parse *raw*, naming *path* in errors. Raises: ConfigError."""
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{path}:{line}: not UTF-8") from None
        try:
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(_syntax_error(path, text, str(error))) from None
        except ValueError as error:  # e.g. a number of more than 4,300 digits
            raise ConfigError(f"{path}: {error}") from None
        except RecursionError:
            raise ConfigError(f"{path}: arrays or tables are nested too deep") from None

    def line(self, key: Key) -> int:
        """Return the line of *key*, or of the closest table around it that is in the file."""
        if not self._lines:
            self._lines = {(): 1, **locate(self.text)}
        while key not in self._lines:
            key = key[:-1]
        return self._lines[key]

    def error(self, problems: list[Problem]) -> ConfigError:
        """Return one error that lists *problems*, in the order of the file."""
        lines = sorted(
            (self.line(key), f"{_key_text(key)}: {message}" if key else message)
            for key, message in problems
        )
        shown = [f"{self.path}:{line}: {text}" for line, text in lines[:MAX_REPORTED]]
        if len(lines) > MAX_REPORTED:
            shown.append(f"{self.path}: {len(lines) - MAX_REPORTED} more errors")
        return ConfigError("\n".join(shown))

    def validate(self, model: type[M], data: object, at: Key = ()) -> M:
        """Return *data*, which stands at key *at*, as *model*.

        Raises: ConfigError that names every wrong key.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise self.error(problems_of(error, at)) from None


def problems_of(error: ValidationError, at: Key = ()) -> list[Problem]:
    """Return the problems in *error* as keys below *at* and messages for the user."""
    found = [(_key(details, at), details) for details in error.errors(include_url=False)]
    keys = [key for key, _ in found]
    return [
        (key, _message(details))
        for key, details in found
        if details["type"] != "too_short" or not _has_below(key, keys)
    ]


def _has_below(key: Key, keys: list[Key]) -> bool:
    """Return whether an entry of the array *key* is wrong, which pydantic counts as missing."""
    return any(len(other) > len(key) and other[: len(key)] == key for other in keys)


def _key(details: ErrorDetails, at: Key) -> Key:
    return at + tuple(
        part for part in details["loc"] if not str(part).startswith(ROLE_MARK) and part != "[key]"
    )


def _message(details: ErrorDetails) -> str:
    kind = details["type"]
    context: Mapping[str, object] = details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    template = _MESSAGES.get(kind)
    return template.format(**context, input=details["input"]) if template else details["msg"]


_MESSAGES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "extra_forbidden": "unknown key",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}, not {input}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "int_type": "must be an integer",
    "less_than": "must be less than {lt}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "literal_error": "must be {expected}",
    "missing": "missing key",
    "model_type": "must be a table",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "tuple_type": "must be an array",
}

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def _key_text(key: Key) -> str:
    """Write *key* as TOML would: ``port[1].role``, ``user."alice@example.net".pool``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        quoted = part if _BARE_KEY.fullmatch(part) else f'"{part}"'
        text += f".{quoted}" if text else quoted
    return text


def _syntax_error(path: Path, text: str, message: str) -> str:
    """Put the line first that tomllib says last: ``... (at line 3, column 7)``."""
    what, _, place = message.partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    if found is None:  # "at end of document"
        return f"{path}:{text.rstrip().count(chr(10)) + 1}: {what}"
    return f"{path}:{found[1]}: {what} (column {found[2]})"


_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<mark>[\[\]{},=.])
    |(?P<bare>[^\s\[\]{},=."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)


def locate(text: str) -> dict[Key, int]:
    """Return the line of each key, array element and table header of *text*, a valid TOML file."""
    return _Locator(text).run()


class _Locator:
    """One walk over the tokens of a TOML file that `tomllib` accepted (TOML 1.0.0)."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._kind, self._token, self._at = next(self._tokens)
        self._lines: dict[Key, int] = {}
        self._tables: Counter[Key] = Counter()

    def run(self) -> dict[Key, int]:
        table: Key = ()
        while self._kind != "end":
            if self._kind == "newline":
                self._advance()
            elif self._is("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _advance(self) -> None:
        self._kind, self._token, self._at = next(self._tokens)

    def _is(self, mark: str) -> bool:
        return self._kind == "mark" and self._token == mark

    def _note(self, key: Key, line: int) -> None:
        self._lines.setdefault(key, line)

    def _header(self) -> Key:
        line = self._at
        self._advance()
        is_array = self._is("[")
        if is_array:
            self._advance()
        names = self._dotted_key()
        while self._is("]"):
            self._advance()
        table: Key = ()
        for position, name in enumerate(names):
            table += (name,)
            self._note(table, line)
            if is_array and position == len(names) - 1:
                self._tables[table] += 1
            if table in self._tables:
                table += (self._tables[table] - 1,)
                self._note(table, line)
        return table

    def _pair(self, table: Key) -> None:
        line = self._at
        for name in self._dotted_key():
            table += (name,)
            self._note(table, line)
        self._advance()  # past the "="
        self._value(table)

    def _dotted_key(self) -> list[str]:
        names = []
        while self._kind in ("bare", "string") or self._is("."):
            if self._kind == "string":
                names.append(str(tomllib.loads(f"k = {self._token}")["k"]))
            elif self._kind == "bare":
                names.append(self._token)
            self._advance()
        return names

    def _value(self, key: Key) -> None:
        """Walk one value; what is left of a scalar (``1.5``, a date with a space) is passed."""
        if self._is("["):
            self._array(key)
        elif self._is("{"):
            self._advance()
            while not self._is("}"):
                self._pair(key)
                if self._is(","):
                    self._advance()
            self._advance()
        else:
            while self._kind in ("bare", "string") or self._is("."):
                self._advance()

    def _array(self, key: Key) -> None:
        self._advance()
        index = 0
        while not self._is("]"):
            if self._kind == "newline":
                self._advance()
            elif self._is(","):
                index += 1
                self._advance()
            else:
                self._note((*key, index), self._at)
                self._value((*key, index))
        self._advance()


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            yield kind, match[0], line
        line += match[0].count("\n")
    while True:
        yield "end", "", line
