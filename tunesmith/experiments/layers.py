"""What several places say of the settings, the later before the earlier: project file, environment, options."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Protocol, Union, get_args, get_origin

from pydantic import BaseModel

from tunesmith.errors import brief
from tunesmith.experiments.settings import CompileSettings, ProjectSettings
from tunesmith.experiments.toml_lines import Keys, key_lines

__all__ = [
    "FileLayer",
    "Layer",
    "NamedLayer",
    "Place",
    "effective",
    "environment_layer",
    "merged",
    "mistaken_variables",
    "place_of",
    "places",
]

_PREFIX = "TUNESMITH_"
_lines = lru_cache(maxsize=8)(key_lines)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value comes from.

    Attributes:
        kind: `file`, `environment`, `flag` or `default`.
        name: of the file, the variable or the option; empty for a default.
        line: in the file, from 1.
    """

    kind: str
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        return self.name + ("" if self.line is None else f", line {self.line}") if self.name else self.kind

    def __repr__(self) -> str:
        return brief(self, str(self))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values; `from` is the kind."""
        return {"from": self.kind, "name": self.name or None, "line": self.line}


class Layer(Protocol):
    """What one place says: values as in the tables of a project file."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Tables and keys of the whole file."""

    def place(self, path: Keys) -> Place:
        """Return where the value at `path` stands, or the innermost around it that stands somewhere."""


@dataclass(frozen=True, slots=True)
class FileLayer:
    """What a project file says.

    Attributes:
        name: of the file, as a message shows it.
        values: what `tomllib` made of it, or of the table at `below`.
        text: its text.
        below: the table of the file that `values` is.
    """

    name: str
    values: Mapping[str, Any]
    text: str
    below: Keys = ()

    def place(self, path: Keys) -> Place:
        """Return the line."""
        lines, whole = _lines(self.text), (*self.below, *path)
        return Place("file", self.name, next((lines[at] for at in _around(whole) if at in lines), None))


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """What variables or options say.

    Attributes:
        kind: `environment` or `flag`.
        values: as in a file.
        names: of the variable or option by the key that it sets.
    """

    kind: str
    values: Mapping[str, Any]
    names: Mapping[Keys, str]

    def place(self, path: Keys) -> Place:
        """Return the variable or the option."""
        return Place(self.kind, next((self.names[at] for at in _around(path) if at in self.names), self.kind))


def _around(path: Keys) -> list[Keys]:
    return [path[:end] for end in range(len(path), 0, -1)]


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return what all layers say together, in each table key by key."""
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.values.items():
            own = found.get(name)
            both = name in _tables() and isinstance(own, dict) and isinstance(value, Mapping)
            found[name] = {**own, **value} if both and own is not None else value
    return found


def effective(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers without what a file says of another model or compiler than the one that is named at last.

    Options under `[lm]` are of the model there, and so are those of a compiler.
    """
    final = merged(layers)
    return tuple(
        _narrowed(layer, final) if isinstance(layer, FileLayer) and not layer.below else layer for layer in layers
    )


def _narrowed(layer: FileLayer, final: Mapping[str, Any]) -> FileLayer:
    values = dict(layer.values)
    for name, table in layer.values.items():
        there = final.get(name)
        if not isinstance(table, dict) or not isinstance(there, dict):
            continue
        if name == "compile":
            default = CompileSettings().compiler
            if table.get("compiler", default) != there.get("compiler", default):
                values[name] = {key: value for key, value in table.items() if key in CompileSettings.model_fields}
        elif "spec" in table and table["spec"] != there.get("spec"):
            values[name] = {}
    return FileLayer(layer.name, values, layer.text, layer.below)


def place_of(path: Keys, layers: Sequence[Layer]) -> Place:
    """Return where the value at `path` comes from, `default` if no layer has it."""
    for layer in reversed(layers):
        if _has(layer.values, path):
            return layer.place(path)
    return Place("default")


def places(paths: Sequence[Keys], layers: Sequence[Layer]) -> str:
    """Return in words where the values at `paths`, or the innermost around them that are given, come from."""
    found = list(dict.fromkeys(_innermost(path, layers) for path in paths))
    lines = sorted(place.line for place in found if place.line is not None)
    if len(lines) == len(found) > 1 and len({place.name for place in found}) == 1:
        return f"{found[0].name}, lines {' and '.join(map(str, lines))}"
    return " and ".join(map(str, found))


def _innermost(path: Keys, layers: Sequence[Layer]) -> Place:
    for at in _around(path):
        place = place_of(at, layers)
        if place.kind != "default":
            return place
    return Place("default", "the settings")


def _has(values: Any, path: Keys) -> bool:
    for key in path:
        if not (
            key in values if isinstance(values, Mapping) else isinstance(values, list) and key in range(len(values))
        ):
            return False
        values = values[key]
    return True


# The environment ------------------------------------------------------------------------------------------------


def environment_layer(environ: Mapping[str, str]) -> NamedLayer:
    """Return what variables say: `TUNESMITH_`, the table, and the key in capitals; an empty one says nothing.

    `TUNESMITH_LM` stands for `spec` under `[lm]`, and so for the other models; `TUNESMITH_SLOTS` and
    `TUNESMITH_PATIENCE` for these keys of `[lm]`.

    Example:
        >>> environment_layer({"TUNESMITH_LM": "embedded", "TUNESMITH_COMPILE_BUDGET_CALLS": "40"}).values
        {'lm': {'spec': 'embedded'}, 'compile': {'budget_calls': 40}}
    """
    values: dict[str, Any] = {}
    names: dict[Keys, str] = {}
    known = _known_variables()
    for name, text in environ.items():
        path = known.get(name) or _unlisted(name)
        if path is not None and text:
            names[path] = name
            (values if len(path) == 1 else values.setdefault(path[0], {}))[path[-1]] = _read(text, path)
    return NamedLayer("environment", values, names)


def mistaken_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that names a whole table, or nearly a setting, and so says nothing."""
    known = [name.removeprefix(_PREFIX) for name in _known_variables()]
    for table, kind in _tables().items():
        known += (f"{table}_{key}".upper() for key in kind.model_fields)
    found = []
    for name in sorted(environ):
        silent = name.startswith(_PREFIX) and name not in _known_variables() and _unlisted(name) is None
        if not silent or not environ[name]:
            continue
        bare = name.removeprefix(_PREFIX)
        near = difflib.get_close_matches(bare, known, n=1, cutoff=0.75)
        if bare.lower() in ProjectSettings.model_fields:
            found.append(f"The variable {name} is set, and names a whole table: that says nothing. {_inside(bare)}")
        elif near:
            found.append(f"The variable {name} is set, and names no setting. Is {_PREFIX}{near[0]} meant?")
    return found


def _inside(table: str) -> str:
    kind = _tables().get(table.lower())
    if kind is None:
        return f"Write [{table.lower()}] into the project file."
    key = next(iter(kind.model_fields)).upper()
    return f"Each of its keys has a variable, such as {_PREFIX}{table}_{key}."


def _known_variables() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {f"{_PREFIX}{name.upper()}": ("lm", name) for name in ("slots", "patience")}
    for name in ProjectSettings.model_fields:
        if name == "experiments":  # they are of the file alone
            continue
        if name not in _tables():
            found[f"{_PREFIX}{name.upper()}"] = (name,)
        elif "spec" in _tables()[name].model_fields:
            found[f"{_PREFIX}{name.upper()}"] = (name, "spec")
    return found


def _unlisted(variable: str) -> tuple[str, ...] | None:
    """Return the key of a table that `variable` names, also if there is no such key: then it is a mistake to report."""
    for name in _tables():
        begins = f"{_PREFIX}{name.upper()}_"
        if variable.startswith(begins):
            return name, variable.removeprefix(begins).lower()
    return None


def _read(text: str, path: tuple[str, ...]) -> Any:
    """Return the value that `text` stands for: TOML, unless the setting is a text."""
    model = _tables().get(path[0], ProjectSettings)
    info = model.model_fields.get(path[-1])
    if info is not None and _may_be_text(info.annotation) and text[0] not in "[{":
        return text
    try:
        return text if "\n" in text else tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _may_be_text(hint: Any) -> bool:
    return any(_may_be_text(part) for part in get_args(hint)) if get_origin(hint) in (Union, UnionType) else hint is str


@lru_cache(maxsize=1)
def _tables() -> dict[str, type[BaseModel]]:
    hints = {name: info.annotation for name, info in ProjectSettings.model_fields.items()}
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, BaseModel)}
