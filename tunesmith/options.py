"""Options of a compiler or of an export, declared once: a dataclass field says type, default, range and what it means.

The constructor, `tunesmith.toml`, `--set` and the tables of options in `docs/` read them.
"""

import dataclasses
import difflib
import json
from collections.abc import Collection, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tunesmith.errors import UsageError, shown

__all__ = [
    "OPTION",
    "check_values",
    "default_of",
    "option",
    "option_defaults",
    "option_names",
    "option_table",
    "read_option",
]

OPTION = "tunesmith option"
"""The key of an option in the metadata of its field."""


def option(
    default: Any,
    help: str,  # noqa: A002 - as in click and argparse
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Collection[str] = (),
    kw_only: bool = True,
    newer: bool = False,
) -> Any:
    """Return the dataclass field of one option.

    Args:
        default: its default; a mapping is copied.
        help: what it means, in one sentence.
        low: the least that it may be.
        high: the most that it may be.
        choices: the texts that it may be; a mapping that grows later counts as it is then.
        kw_only: whether the constructor takes it by name alone.
        newer: whether runs of earlier versions lack it. While it has its default it is no part of a run's identity, so
            that they go on.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     rounds: int = option(3, "How often proposals are asked for.", low=1)
        >>> option_names(Options)
        ('rounds',)
    """
    about = {"help": help, "low": low, "high": high, "choices": choices, "newer": newer}
    if isinstance(default, (dict, list)):
        return dataclasses.field(
            default_factory=lambda: type(default)(default), kw_only=kw_only, metadata={OPTION: about}
        )
    return dataclasses.field(default=default, kw_only=kw_only, metadata={OPTION: about})


def option_names(kind: type) -> tuple[str, ...]:
    """Return the names of the options that `kind` declares."""
    return tuple(field.name for field in dataclasses.fields(kind) if OPTION in field.metadata)


def option_defaults(kind: type) -> dict[str, Any]:
    """Return the default of each option that `kind` declares."""
    return {field.name: default_of(field) for field in dataclasses.fields(kind) if OPTION in field.metadata}


def check_values(kind: type, given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the values of options as `kind` keeps them, lists as tuples.

    Args:
        kind: the class that declares them.
        given: values by name.
        where: what a message begins with, such as the name of a file.

    Raises:
        UsageError: a name that is not an option, or a value that cannot be.
    """
    fields, found = _adapters(kind), {}
    for name, value in given.items():
        if name not in fields:
            raise UsageError(f"{where}{_unknown(kind, name)}")
        adapter, about = fields[name]
        plain = _tuples(value)
        try:
            checked = adapter.validate_python(plain)
            found[name] = plain if plain == checked else checked  # 1 stays 1: identities of runs are of the text
        except ValidationError as error:
            raise UsageError(f"{where}{_problem(name, about, error)} Given: {shown(value)}.") from error
        choices = about["choices"]
        if choices and isinstance(found[name], str) and found[name] not in choices:
            raise UsageError(f"{where}There is no {name} {shown(value)}. Use one of: {', '.join(choices)}.")
    return found


def read_option(kind: type, name: str, text: str) -> Any:
    """Return the value that `text` stands for on a command line: JSON if it is that, else the text itself.

    Raises:
        UsageError: as `check_values`.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    try:
        return check_values(kind, {name: value}, "--set: ")[name]
    except UsageError:
        try:  # a text that looks like a number
            return check_values(kind, {name: text})[name]
        except UsageError:
            pass
        raise


def option_table(kind: type) -> list[tuple[str, str, str, str]]:
    """Return a row for each option: name, type, default and what it means."""
    hints = get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        about = field.metadata.get(OPTION)
        if about is not None:
            default = default_of(field)
            rows.append((field.name, _type_text(hints[field.name]), json.dumps(default), _meaning(about)))
    return rows


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of an option's field."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


@cache
def _adapters(kind: type) -> dict[str, tuple[TypeAdapter[Any], Mapping[str, Any]]]:
    hints = get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        about = field.metadata.get(OPTION)
        if about is not None:
            hint: Any = hints[field.name]
            if about["low"] is not None or about["high"] is not None:
                hint = _bounded(hint, Field(ge=about["low"], le=about["high"]))
            found[field.name] = (TypeAdapter(hint, config=_config(hints[field.name])), about)
    return found


def _bounded(hint: Any, bounds: Any) -> Any:
    """Return a type whose numbers have bounds, those in a list or mapping too."""
    inside = get_args(hint)
    if hint in (int, float):
        return Annotated[hint, bounds]
    if not inside:
        return hint
    parts = tuple(_bounded(part, bounds) for part in inside)
    return Union[parts] if get_origin(hint) in (Union, UnionType) else get_origin(hint)[parts]  # noqa: UP007


def _config(hint: Any) -> ConfigDict | None:
    if isinstance(hint, type) and (issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint)):
        return None
    return ConfigDict(strict=True, arbitrary_types_allowed=True)


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    return {name: _tuples(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _unknown(kind: type, name: str) -> str:
    known, owner = option_names(kind), f"{getattr(kind, 'kind', 'compiler')} {getattr(kind, 'name', kind.__name__)}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"Did you mean `{near[0]}`?" if near else f"It takes: {', '.join(known) or 'none'}."
    return f"`{name}` is not an option of the {owner}. {advice}"


def _problem(name: str, about: Mapping[str, Any], error: ValidationError) -> str:
    bounds = {"greater_than_equal": ("least", about["low"]), "less_than_equal": ("most", about["high"])}
    found = error.errors(include_url=False)  # of a union those of each of its types
    first = next((one for one in found if one["type"] in bounds), found[0])
    inside = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
    if first["type"] in bounds:
        word, bound = bounds[first["type"]]
        return f"`{name}` must be at {word} {bound}."
    return f"`{name}{inside}`: {first['msg'].replace('valid tuple', 'valid list')}."


def _meaning(about: Mapping[str, Any]) -> str:
    limits = [f"at {word} {about[end]}" for end, word in (("low", "least"), ("high", "most")) if about[end] is not None]
    if about["choices"]:
        limits.append(f"one of {', '.join(about['choices'])}")
    return f"{about['help']} {'; '.join(limits).capitalize()}." if limits else str(about["help"])


def _type_text(hint: Any) -> str:
    plain = isinstance(hint, type) and not hasattr(hint, "__args__")
    text = str(getattr(hint, "__name__", hint)) if plain else str(hint)
    return text.replace("typing.", "").replace("collections.abc.", "")
