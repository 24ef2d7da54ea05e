"""How a predictor comes to use a prompt format, without changing its class.

DSPy looks its adapter up in the settings at every call. A bound predictor carries, as instance attributes, a
`forward` and an `aforward` that enter `dspy.context(adapter=...)` first. Class and path stay as they are, and a copy
of the program copies the binding with it.

Its state holds the format as `tunesmith_format`, and request options as `config`. DSPy's `load_state` sets each entry
that it does not know as an attribute. So a plain `dspy.Predict` has the options again, and the name of the format,
which tunesmith heeds and DSPy ignores.
"""

import warnings
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.formats import default_format, get_format
from tunesmith.lm import PORTABLE, is_portable
from tunesmith.modules.calling import predicted
from tunesmith.modules.module import DspyPredict, Module, caller_adapter, context, copy_program, settings
from tunesmith.signatures import check_inputs

__all__ = ["bind", "bind_defaults", "bound_format", "saved_settings", "settle", "with_default_formats", "with_settings"]

_MARK = "tunesmith_format"
_OWN = ("aforward", "dump_state", "forward", "load_state", _MARK)


def bind(predictor: DspyPredict, format_name: str | None) -> None:
    """Let `predictor` use the format of that name from now on; `None` removes the binding.

    Raises:
        UsageError: there is no format of that name, or `predictor` is none: a program has several, each with its own.
    """
    if not isinstance(predictor, DspyPredict):
        paths = [path for path, _ in predictor.named_predictors()] if isinstance(predictor, Module) else []
        hint = f" Bind its predictors: {', '.join(paths)}." if paths else " Give a `Predict`."
        raise UsageError(f"A format is bound to a predictor. Given: {shown(type(predictor))}.{hint}")
    for name in _OWN:
        predictor.__dict__.pop(name, None)
    if format_name is None:
        return
    get_format(format_name)
    predictor.__dict__[_MARK] = format_name
    for method in (_forward, _aforward, _dump_state, _load_state):
        predictor.__dict__[method.__name__.removeprefix("_")] = MethodType(method, predictor)


def bound_format(predictor: DspyPredict) -> str | None:
    """Return the name of the format that `predictor` is bound to, `None` where it is not."""
    return predictor.__dict__.get(_MARK)


def with_default_formats(program: Module) -> Module:
    """Return a copy of `program` whose unbound predictors use tunesmith's default format.

    A caller who set `dspy.settings.adapter` keeps it: then nothing is bound.

    Raises:
        SignatureError: DSPy takes the name of an input for itself.
    """
    return bind_defaults(copy_program(program))


def bind_defaults(program: Module) -> Module:
    """Bind what `with_default_formats` binds, in `program` itself, and return that.

    Raises:
        SignatureError: DSPy takes the name of an input for itself.
    """
    for _, predictor in program.named_predictors():
        check_inputs(predictor.signature)
        chosen = bound_format(predictor)
        if chosen is None and caller_adapter() is None:
            chosen = default_format(predictor.signature, predictor.demos)
        if chosen is not None and "forward" not in predictor.__dict__:  # a state that DSPy loaded only names it
            bind(predictor, chosen)
    return program


def saved_settings(config: Mapping[str, Any], format_name: str | None) -> dict[str, Any]:
    """Return what DSPy leaves out of a predictor's state: request options that a file may hold, and the format."""
    options = {name: value for name, value in config.items() if is_portable(name, value)}
    return {**({"config": options} if options else {}), **({} if format_name is None else {_MARK: format_name})}


def with_settings(predictor: DspyPredict, state: dict[str, Any]) -> dict[str, Any]:
    """Return DSPy's state of `predictor` with what DSPy leaves out of it.

    Warns of what is lost: options that no file may hold, and the format if `predictor` is DSPy's own class, which sends
    DSPy's format again after loading.
    """
    chosen = bound_format(predictor)
    found = saved_settings(predictor.config, chosen)
    _say_lost(predictor.config.keys() - found.get("config", {}).keys(), "saved")
    if chosen is not None and type(predictor).load_state is DspyPredict.load_state:
        _warn(
            f"The format {chosen!r} is saved, but a plain `dspy.Predict` that loads it sends DSPy's own format when it "
            "is called. Load it into a `ts.Predict` or `ts.ChainOfThought`; or save with `ts.save(folder, program)` "
            "and load with `ts.load(folder)`."
        )
    return {**state, **found}


def settle(predictor: DspyPredict, before: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Use the format and the request options that DSPy set as attributes while it loaded `state`.

    Args:
        predictor: it has loaded the state.
        before: its request options before; those that no file may hold stay.
        state: what was loaded.

    Raises:
        UsageError: the state names a format that is not there.
    """
    given = state.get("config", before)
    own = {name: value for name, value in before.items() if not is_portable(name, value)}
    loaded = {name: value for name, value in given.items() if is_portable(name, value)}
    _say_lost(given.keys() - loaded.keys() - own.keys(), "loaded")
    predictor.config = {**own, **loaded}
    bind(predictor, bound_format(predictor))


def _say_lost(names: Iterable[str], done: str) -> None:
    lost = sorted(names)
    if lost:
        known = ", ".join(sorted(PORTABLE))
        _warn(f"These options of a predictor are not {done}: {', '.join(lost)}. A file may hold {known}.")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)


def _called(bound: DspyPredict) -> DspyPredict:
    """Return the predictor that is being called: a shallow copy of `bound` shares its bound methods."""
    called = (settings.caller_modules or [bound])[-1]
    shared = isinstance(called, DspyPredict) and called.__dict__.get("forward") is bound.__dict__.get("forward")
    return called if shared else bound


def _forward(self: DspyPredict, **kwargs: Any) -> Any:
    self = _called(self)
    adapter = get_format(self.__dict__[_MARK])
    found = predicted(self, adapter, kwargs) if type(self).forward is DspyPredict.forward else None
    if found is not None:
        return found
    with context(adapter=adapter):
        return type(self).forward(self, **kwargs)


async def _aforward(self: DspyPredict, **kwargs: Any) -> Any:
    self = _called(self)
    with context(adapter=get_format(self.__dict__[_MARK])):
        return await type(self).aforward(self, **kwargs)


def _dump_state(self: DspyPredict, json_mode: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - DSPy's signature
    return with_settings(self, type(self).dump_state(self, json_mode))


def _load_state(self: DspyPredict, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> DspyPredict:
    before = self.config
    type(self).load_state(self, state, allow_unsafe_lm_state=allow_unsafe_lm_state)
    settle(self, before, state)
    return self
