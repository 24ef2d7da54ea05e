"""Parts of a program that were compiled before. DSPy freezes them: `named_predictors` and its state file skip them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tunesmith.errors import ArtifactError
from tunesmith.modules import Candidate, DspyPredict, Module, signature_of

__all__ = ["freeze", "frozen_modules", "frozen_predictors", "restore", "with_frozen"]

_ROOT = "self"  # the path of a module's own settings


def frozen_modules(program: Module) -> dict[str, Module]:
    """Return the frozen modules with predictors of their own, by path, outer ones first."""
    inside: Any = program.named_sub_modules(Module)
    return {
        path.removeprefix("self."): module
        for path, module in inside
        if module is not program
        and getattr(module, "_compiled", False)
        and not isinstance(module, DspyPredict)  # which DSPy does not skip
        and module.named_predictors()
    }


def frozen_predictors(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path in the program and the description of each predictor in the manifest's frozen parts."""
    for path, part in described["frozen"].items():
        for inner, predictor in part["predictors"].items():
            yield f"{path}.{inner}", predictor


def with_frozen(candidate: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a candidate as JSON with the prompts and settings of the manifest's frozen parts beside its own."""
    parts, settings = dict(candidate["parts"]), dict(candidate.get("settings", {}))
    for path, entry in described["frozen"].items():
        frozen = entry["candidate"]
        parts |= {f"{path}.{inner}": part for inner, part in frozen["parts"].items()}
        inside = frozen.get("settings", {}).items()
        settings |= {path if inner == _ROOT else f"{path}.{inner}": values for inner, values in inside}
    return {**candidate, "parts": parts, "settings": settings}


def freeze(program: Module, described: Mapping[str, Any], where: str) -> Module:
    """Mark as frozen what the manifest says is, and return `program`.

    Raises:
        ArtifactError: the program has no such part.
    """
    for _, module in _named(program, described["frozen"], where):
        module._compiled = True
    return program


def restore(program: Module, described: Mapping[str, Any], where: str, ready: Callable[[Module, Any], None]) -> None:
    """Give the frozen parts of `program` their instructions, demos and formats; call `ready` for each, with its entry.

    Raises:
        ArtifactError: the program has no such part.
        DataError, FormatError, UsageError: a part does not fit.
    """
    for path, module in _named(program, described["frozen"], where):
        entry = described["frozen"][path]
        signatures = {inner: signature_of(predictor) for inner, predictor in module.named_predictors()}
        Candidate.from_json(entry["candidate"], signatures).install(module)
        ready(module, entry["predictors"])


def _named(program: Module, paths: Mapping[str, Any], where: str) -> Iterator[tuple[str, Module]]:
    if not paths:
        return
    inside: Any = program.named_sub_modules(Module)
    modules = {path.removeprefix("self."): module for path, module in inside}
    for path in paths:
        if path not in modules:
            raise ArtifactError(
                f"{where} has a part {path!r} that was compiled before; the program has {', '.join(modules)}. Pass the "
                "program it was compiled from, or compile again."
            )
        yield path, modules[path]
