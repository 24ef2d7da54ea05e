"""Check the settings of all layers together, and say of a mistake where it stands."""

import difflib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tunesmith.compilers import check_values, compiler_named, compilers, option_names
from tunesmith.errors import UsageError, shown
from tunesmith.experiments.layers import Layer, merged, place_of, places
from tunesmith.experiments.settings import CONTRADICTION, CompileSettings, ProjectSettings
from tunesmith.experiments.toml_lines import Keys

__all__ = ["checked_settings"]


def checked_settings(layers: Sequence[Layer]) -> ProjectSettings:
    """Return what the layers say together, the options of a compiler of ours checked.

    Those of the user's own compiler are checked when it is imported.

    Raises:
        UsageError: an unknown key, a wrong value, or keys that contradict each other; says where it stands.
    """
    try:
        found = ProjectSettings.model_validate(merged(layers))
    except ValidationError as error:
        raise UsageError(_problem(error, layers)) from error
    table = found.compile
    if ":" in table.compiler or (not table.options and table.compiler == CompileSettings().compiler):
        return found
    try:
        kind = compiler_named(table.compiler, lambda name: None)
    except UsageError as error:
        where = places([("compile", "compiler")], layers)
        raise UsageError(f"{where}: `compile.compiler`: {error}") from None
    for name, value in table.options.items():
        if name not in _option_names():
            raise UsageError(_unknown_key(("compile", name), layers))
        check_values(kind, {name: value}, f"{places([('compile', name)], layers)}: [compile] ")
    return found


def _option_names() -> set[str]:
    return {name for kind in compilers().values() for name in option_names(kind)}


def _problem(error: ValidationError, layers: Sequence[Layer]) -> str:
    """Return the first problem in words: where it stands, key, what was given, what is known."""
    problems = [
        (_path(one["loc"], layers, missing=one["type"] == "missing"), one) for one in error.errors(include_url=False)
    ]
    of_one = [(keys, one) for keys, one in problems if keys[: len(problems[0][0])] == problems[0][0]]
    keys, first = max(of_one, key=lambda pair: len(pair[0]))  # of several types that were tried, the nearest one
    more = f" ({len(problems) - len(of_one)} more)" if len(problems) > len(of_one) else ""
    if first["type"] == "extra_forbidden":
        return f"{_unknown_key(keys, layers)}{more}"
    if first["type"] == CONTRADICTION:
        both: list[Keys] = [(*keys, *name.split(".")) for name in first["ctx"]["keys"]]
        given = [path for path in both if place_of(path, layers).kind != "default"] or [keys]
        return f"{places(given, layers)}: `{_dotted(keys)}`: {first['msg']}.{more}"
    tables = first["type"] in ("dict_type", "model_type", "model_attributes_type")
    message = "Input should be a table" if tables else first["msg"].removeprefix("Value error, ")
    return f"{places([keys], layers)}: `{_dotted(keys)}`: {message}. Given: {shown(first['input'])}.{more}"


def _unknown_key(keys: Keys, layers: Sequence[Layer]) -> str:
    known, name = _known_keys(keys[:-1]), str(keys[-1])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"Did you mean `{near[0]}`?" if near else f"Known are: {', '.join(known)}."
    homes = [home for home, table in ProjectSettings() if name in getattr(type(table), "model_fields", ())]
    if name in _option_names():
        homes.append("compile")
    if homes:
        advice = f"It stands under [{homes[0]}]."
    return f"{places([keys], layers)}: there is no key `{_dotted(keys)}`. {advice}"


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _path(loc: tuple[int | str, ...], layers: Sequence[Layer], *, missing: bool) -> Keys:
    """Return the keys of a place that pydantic names: it names the type too that it tried of several."""
    values: Any = merged(layers)
    found: list[int | str] = []
    for part in loc:
        known = isinstance(values, Mapping) and part in values
        if known or (isinstance(values, list | tuple) and isinstance(part, int)):
            values = values[part]
        elif not missing or part != loc[-1]:
            continue
        found.append(part)
    return tuple(found)


def _known_keys(path: Keys) -> list[str]:
    hints: list[Any] = [ProjectSettings]
    for part in path:
        hints = [inner for hint in hints for inner in _inside(hint, part)]
    table = next(hint for hint in hints if isinstance(hint, type) and issubclass(hint, BaseModel))
    return [*table.model_fields, *(sorted(_option_names()) if table is CompileSettings else ())]


def _inside(hint: Any, part: str | int) -> list[Any]:
    """Return the types that the value at the key or place `part` of a value of the type `hint` may have."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        found = hint.model_fields[str(part)].annotation if part in hint.model_fields else None
    else:
        found = (get_args(hint) or (None,))[-1]
    kinds = get_args(found) if get_origin(found) in (Union, UnionType) else (found,)
    return [kind for one in kinds for kind in (get_args(one) if get_origin(one) is Annotated else (one,))]
