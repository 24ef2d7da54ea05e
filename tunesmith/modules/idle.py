"""Parts and settings of a program that do nothing with the values that its other settings have."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tunesmith.modules.module import Module
from tunesmith.modules.registry import is_registered
from tunesmith.modules.setting import NEAREST, DeclaredSetting, declared_settings, modules_with_settings

__all__ = ["Idle", "idle_of"]


class Idle(NamedTuple):
    """What does nothing.

    Attributes:
        parts: paths of predictors that no run calls, such as `plan` of a `ts.Agent` without a plan.
        settings: path and name of settings without effect: those of such modules, and those whose `used` says so.
    """

    parts: frozenset[str]
    settings: frozenset[tuple[str, str]]


def idle_of(program: Module) -> Idle:
    """Return what does nothing in a program: no run calls a module for which `calls()` says 0.

    Example:
        >>> import tunesmith as ts
        >>> sorted(idle_of(ts.Refine(ts.Predict("q -> a"), len, rounds=0)).parts)
        ['advise', 'improve']
    """
    live = {id(one) for one in _live(program)}
    parts = frozenset(path for path, predictor in program.named_predictors() if id(predictor) not in live)
    settings = frozenset(
        (path, name)
        for path, owner in modules_with_settings(program).items()
        for name, setting in declared_settings(type(owner)).items()
        if id(owner) not in live or not _is_used(setting, owner)
    )
    return Idle(parts, settings)


def _is_used(setting: DeclaredSetting, owner: Any) -> bool:
    return setting.used is None or setting.used(owner)


def _live(program: Module) -> Iterator[Any]:
    """Yield the program and all inside that a run may call, and what else declares settings there."""
    queue, seen = [program], {id(program)}
    while queue:
        module = queue.pop()
        yield module
        described: Any = module
        counts = described.calls() if is_registered(module) else {}
        for name, value in vars(module).items():
            if counts.get(name) == 0 or name == "history":
                continue
            for part in [value] if name == NEAREST else _inside(value):
                if id(part) not in seen:
                    seen.add(id(part))
                    queue.append(part)


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Module):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _inside(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _inside(one)
