"""Check that a program is one that an artifact was compiled from."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.artifacts.frozen import frozen_modules
from tunesmith.errors import ArtifactError
from tunesmith.modules import Module, program_structure

__all__ = ["check_structure", "check_tools", "warn_of_arguments"]


def check_structure(program: Module, described: Mapping[str, Any], where: str) -> None:
    """Check that `program` has the predictors of the manifest, with the same typed fields.

    Raises:
        ArtifactError: they differ; the message names them.
    """
    found = program_structure(program)["predictors"]
    wanted = described["predictors"]
    for path, part in described["frozen"].items():
        inner = program_structure(frozen_modules(program).get(path, program))["predictors"]
        found |= {f"{path}.{name}": one for name, one in inner.items()}
        wanted = {**wanted, **{f"{path}.{name}": one for name, one in part["predictors"].items()}}
    if set(found) != set(wanted):
        raise ArtifactError(
            f"{where} has the predictors {', '.join(sorted(wanted))}; the program has "
            f"{', '.join(sorted(found)) or 'none'}. Pass the program it was compiled from, or compile again."
        )
    for path, predictor in wanted.items():
        if found[path]["fingerprint"] != predictor["fingerprint"]:
            raise ArtifactError(
                f"{where} has the fields {_fields(predictor)} at {path!r}; the program has "
                f"{_fields(found[path])}. Pass the program it was compiled from, or compile again."
            )


def check_tools(program: Module, described: Mapping[str, Any], where: str) -> None:
    """Check that `program` has the tools of the manifest: in the same order, with the same names and arguments.

    Raises:
        ArtifactError: they differ; the message names them.
    """
    if not described["tools"]:
        return
    from tunesmith.modules import program_tools  # here, because most programs have none

    found = program_tools(program)
    for path, tools in described["tools"].items():
        given = found.get(path, [])
        if [(one["name"], one["arguments"]) for one in given] != [(one["name"], one["arguments"]) for one in tools]:
            raise ArtifactError(
                f"{where} has the tools {_tool_texts(tools)} at {path!r}; the program has "
                f"{_tool_texts(given) or 'none'}. Pass the tools it was compiled with, or compile again."
            )


def _tool_texts(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the names and arguments of tools: a schema of all arguments, or, of DSPy, one for each."""
    return ", ".join(
        f"{one['name']}({', '.join(one['arguments'].get('properties', one['arguments']))})" for one in tools
    )


def warn_of_arguments(program: Module, described: Mapping[str, Any], where: str) -> None:
    """Warn if a program that was passed has other arguments than the compiled one: another corpus, another vote."""
    spec = described["spec"]
    given = None if spec is None else program_structure(program).get("spec")
    if given is None:
        return
    other = [name for name in spec if _without_places(spec[name]) != _without_places(given.get(name))]
    if other:
        warnings.warn(
            f"{where} was compiled with another value of {', '.join(f'`{name}`' for name in other)} than the program "
            "has. The program's own is used, and the scores may not hold: evaluate it, or compile again.",
            UserWarning,
            stacklevel=4,
        )


def _without_places(value: Any) -> Any:
    """Return a JSON value in which a corpus is its hash, wherever its file is."""
    if isinstance(value, dict):
        named = value.keys() - {"path"} if "sha256" in value else value
        return {name: _without_places(value[name]) for name in named}
    return [_without_places(one) for one in value] if isinstance(value, list) else value


def _fields(predictor: Mapping[str, Any]) -> str:
    texts = {"input": [], "output": []}  # type: dict[str, list[str]]
    for field in predictor["signature"]["fields"]:
        desc = "" if field["desc"] is None else f" ({field['desc']})"
        texts[field["role"]].append(f"{field['name']}: {field['type']}{desc}")
    return f"{', '.join(texts['input'])} -> {', '.join(texts['output'])}"
