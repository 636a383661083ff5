"""Write dictionaries as TOML; the standard library only reads it."""

import json
from collections.abc import Mapping
from typing import Any


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(str(value))


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def dump(table: Mapping[str, Any], path: str = "") -> str:
    """Return *table* as TOML text; strings, numbers, booleans, lists and tables are known."""
    tables = {k: v for k, v in table.items() if isinstance(v, Mapping) or _is_tables(v)}
    lines = [f"{_key(k)} = {_value(v)}\n" for k, v in table.items() if k not in tables]
    for key, value in tables.items():
        name = f"{path}{_key(key)}"
        if isinstance(value, Mapping):
            lines.append(f"\n[{name}]\n{dump(value, name + '.')}")
        else:
            lines += [f"\n[[{name}]]\n{dump(item, name + '.')}" for item in value]
    return "".join(lines)
