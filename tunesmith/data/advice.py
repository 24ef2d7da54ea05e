"""The options of `Dataset.load` that an error advises, as they are written where a user stands."""

import ast
import json
import shlex
from collections.abc import Mapping
from typing import Any

from tunesmith.lazy import lazy_pattern

__all__ = ["as_options", "as_settings"]

_OPTION = lazy_pattern(r"`(columns|delimiter|encoding)=([^`]*)`")
_BARE = lazy_pattern(r"[A-Za-z0-9_-]+")
_EXAMPLES: Mapping[str, Any] = {"columns": {"answer": "Reply"}, "delimiter": ";", "encoding": "cp1252"}


def as_options(text: str) -> str:
    """Return a text with the options as the command line takes them.

    Example:
        >>> as_options("Map it: `columns={'answer': 'Its reply'}`.")
        "Map it: `--columns 'answer=Its reply'`."
    """
    return _OPTION.sub(lambda found: f"`{_as_option(found[1], _value(found[2]))}`", text)


def as_settings(text: str) -> list[str]:
    """Return the options in a text as lines of `[data]` in a project file, with an example where it has no value.

    Example:
        >>> as_settings("Map it: `columns={'answer': 'Its reply'}`. Or give `delimiter=`.")
        ["columns = { answer = 'Its reply' }", "delimiter = ';'"]
    """
    found: dict[str, Any] = {}
    for name, value in _OPTION.findall(text):
        found[name] = found.get(name) or _value(value)
    return [f"{name} = {_as_toml(value or _EXAMPLES[name])}" for name, value in found.items()]


def _value(text: str) -> Any:
    """Return what is written there as Python, `None` if nothing is."""
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError):  # it was cut, for instance
        return None


def _as_option(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"--{name} {shlex.quote(f'{field}={place}')}" for field, place in value.items())
    return f"--{name}" if value is None else f"--{name} {shlex.quote(str(value))}"


def _as_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(field)} = {_as_toml(place)}' for field, place in value.items())} }}"
    return f"'{value}'" if "'" not in value and value.isprintable() else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _as_toml(name)
