"""How a predictor comes to use a prompt format, without changing its class.

DSPy looks its adapter up in the settings at every call. A bound predictor carries, as instance attributes, a
`forward` and an `aforward` that enter `dspy.context(adapter=...)` first. Class, path and `state.json` stay as
they are, and a copy of the program copies the binding with it.
"""

from types import MethodType
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.formats import default_format, get_format
from tunesmith.modules.module import DspyPredict, Module, caller_adapter, context, copy_program

__all__ = ["bind", "bound_format", "with_default_formats"]

_MARK = "tunesmith_format"


def bind(predictor: DspyPredict, format_name: str | None) -> None:
    """Let `predictor` use the format of that name from now on; `None` removes the binding.

    Raises:
        UsageError: there is no format of that name, or `predictor` is none: a program has several, each with its own.
    """
    if not isinstance(predictor, DspyPredict):
        paths = [path for path, _ in predictor.named_predictors()] if isinstance(predictor, Module) else []
        hint = f" Bind its predictors: {', '.join(paths)}." if paths else " Give a `Predict`."
        raise UsageError(f"A format is bound to a predictor. Given: {shown(type(predictor))}.{hint}")
    for name in ("forward", "aforward", _MARK):
        predictor.__dict__.pop(name, None)
    if format_name is None:
        return
    get_format(format_name)
    predictor.__dict__[_MARK] = format_name
    predictor.__dict__["forward"] = MethodType(_forward, predictor)
    predictor.__dict__["aforward"] = MethodType(_aforward, predictor)


def bound_format(predictor: DspyPredict) -> str | None:
    """Return the name of the format that `predictor` is bound to, `None` where it is not."""
    return predictor.__dict__.get(_MARK)


def with_default_formats(program: Module) -> Module:
    """Return a copy of `program` whose unbound predictors use tunesmith's default format.

    A caller who set `dspy.settings.adapter` keeps it: then nothing is bound.
    """
    copied = copy_program(program)
    if caller_adapter() is None:
        for _, predictor in copied.named_predictors():
            if bound_format(predictor) is None:
                bind(predictor, default_format(predictor.signature))
    return copied


def _forward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=get_format(self.__dict__[_MARK])):
        return type(self).forward(self, **kwargs)


async def _aforward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=get_format(self.__dict__[_MARK])):
        return await type(self).aforward(self, **kwargs)
