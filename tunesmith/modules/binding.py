"""Bind a predictor to a prompt format, and to a choice among its demos, without changing its class.

DSPy looks up its adapter in the settings at every call. A bound predictor has, as instance attributes, a `forward` and
an `aforward` that first enter `dspy.context(adapter=...)`, and pass the chosen demos as the call's own. Its class and
path do not change, and a copy of the program is bound, too.

The state of a bound predictor holds the format as `tunesmith_format`, the offsets of its labels if it is calibrated as
`tunesmith_offsets`, and the request options as `config`. DSPy's `load_state` sets unknown entries as attributes. So a
plain `dspy.Predict` restores the options and the name of the format; tunesmith uses that name, DSPy ignores it. It
holds the first demos of a pool, as fixed ones.
"""

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any

from tunesmith import formats  # as a whole: a loaded program has its formats, and chooses none
from tunesmith.errors import UsageError, shown
from tunesmith.formats import get_format
from tunesmith.lazy import lazy_module
from tunesmith.lm import PORTABLE, is_portable
from tunesmith.modules.calling import is_plain_forward, predicted, shown_demos, untraced
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    Module,
    Prediction,
    caller_adapter,
    context,
    copy_program,
    settings,
)
from tunesmith.modules.setting import NEAREST
from tunesmith.signatures import check_inputs

if TYPE_CHECKING:
    from tunesmith.modules import nearest as nearests
    from tunesmith.modules.nearest import Nearest
else:
    nearests = lazy_module("tunesmith.modules.nearest")  # most predictors show all their demos

__all__ = [
    "adapter_of",
    "bind",
    "bind_defaults",
    "bind_nearest",
    "bound_format",
    "bound_offsets",
    "format_of",
    "lone_prediction",
    "lone_predictor",
    "saved_settings",
    "settle",
    "with_default_formats",
    "with_settings",
]

_NONE: Mapping[str, float] = MappingProxyType({})
_MARK = "tunesmith_format"
_OFFSETS = "tunesmith_offsets"
_DSPYS_OWN = "chat"
"""The format that plain DSPy sends."""


def bind(predictor: DspyPredict, format_name: str | None, offsets: Mapping[str, float] = _NONE) -> None:
    """Make `predictor` use the format called `format_name`; `None` removes the binding. Its demos stay as they are.

    Args:
        predictor: of a program, or one by itself.
        format_name: of the format.
        offsets: what is added to the log-probability of each label, by its text; only for `scored` formats.

    Raises:
        UsageError: there is no such format, it takes no offsets, or `predictor` is not a predictor. Bind each predictor
            of a program.
    """
    _check_predictor(predictor, "A format")
    if format_name is not None:
        format_of(format_name, offsets)
    predictor.__dict__.pop(_OFFSETS, None)
    if format_name is not None and offsets:
        predictor.__dict__[_OFFSETS] = dict(offsets)
    _hold(predictor, _MARK, format_name)


def bind_nearest(predictor: DspyPredict, nearest: "Nearest | None") -> None:
    """Make `predictor` show the demos of its `demos` that `nearest` chooses for each call; `None`: all of them.

    Raises:
        UsageError: `predictor` is not a predictor, or `nearest` is no `Nearest`.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules import Nearest, bind_nearest
        >>> predictor = ts.Predict("text -> label")
        >>> predictor.demos = [{"text": text, "label": text.upper()} for text in ("a b", "b c", "c d")]
        >>> bind_nearest(predictor, Nearest(k=1))
        >>> ts.render(predictor, text="c d e").messages[2]["content"]
        'C D'
    """
    _check_predictor(predictor, "A choice of demos")
    if nearest is not None and not isinstance(nearest, nearests.Nearest):
        raise UsageError(f"`nearest` must be a `Nearest`, such as `Nearest(k=4)`. Given: {shown(nearest)}.")
    _hold(predictor, NEAREST, nearest)


def _check_predictor(predictor: object, what: str) -> None:
    if not isinstance(predictor, DspyPredict):
        paths = [path for path, _ in predictor.named_predictors()] if isinstance(predictor, Module) else []
        hint = f" Bind its predictors: {', '.join(paths)}." if paths else " Give a `Predict`."
        raise UsageError(f"{what} can be bound only to a predictor. Given: {shown(type(predictor))}.{hint}")


def _hold(predictor: DspyPredict, name: str, value: Any) -> None:
    """Set or remove an attribute, and the methods that a predictor with one of them has."""
    own = predictor.__dict__
    own.pop(name, None)
    if value is not None:
        own[name] = value
    for method in (_forward, _aforward, _dump_state, _load_state):
        own.pop(method.__name__.removeprefix("_"), None)
        if _MARK in own or NEAREST in own:
            own[method.__name__.removeprefix("_")] = MethodType(method, predictor)


def bound_format(predictor: DspyPredict) -> str | None:
    """Return the name of the format that `predictor` is bound to, `None` if it is not bound."""
    return predictor.__dict__.get(_MARK)


def bound_offsets(predictor: DspyPredict) -> Mapping[str, float]:
    """Return the offsets of the labels that `predictor` was calibrated with, by label text."""
    found: Mapping[str, float] = predictor.__dict__.get(_OFFSETS, _NONE)
    return found


def adapter_of(predictor: DspyPredict) -> Any:
    """Return the format of a bound predictor, with its offsets, or the caller's adapter."""
    own = predictor.__dict__
    return format_of(own[_MARK], own.get(_OFFSETS)) if _MARK in own else caller_adapter()


def format_of(name: str, offsets: Mapping[str, float] | None) -> Any:
    """Return the format called `name` with these offsets; see `calibrated_format`."""
    if not offsets:
        return get_format(name)
    from tunesmith.formats import calibrated_format  # here, since most predictors have no offsets

    return calibrated_format(name, offsets)


def with_default_formats(program: Module) -> Module:
    """Return a copy of `program` with its unbound predictors bound to tunesmith's default format.

    Binds nothing if `dspy.settings.adapter` is set.

    Raises:
        SignatureError: DSPy reserves the name of an input.
    """
    return bind_defaults(copy_program(program))


def bind_defaults(program: Module) -> Module:
    """Do what `with_default_formats` does, but in place, and return `program`.

    Raises:
        SignatureError: DSPy reserves the name of an input.
    """
    for _, predictor in program.named_predictors():
        check_inputs(predictor.signature)
        chosen = bound_format(predictor)
        if chosen is None and caller_adapter() is None:
            chosen = formats.default_format(predictor.signature, predictor.demos)
        own = predictor.__dict__
        if chosen is not None and not ("forward" in own and _MARK in own):  # DSPy's `load_state` sets only the name
            bind(predictor, chosen, bound_offsets(predictor))
    return program


def saved_settings(
    config: Mapping[str, Any], format_name: str | None, offsets: Mapping[str, float] = _NONE
) -> dict[str, Any]:
    """Return what DSPy leaves out of a state: format, offsets, and those request options that a file may hold."""
    options = {name: value for name, value in config.items() if is_portable(name, value)}
    return {
        **({"config": options} if options else {}),
        **({} if format_name is None else {_MARK: format_name}),
        **({_OFFSETS: dict(offsets)} if offsets else {}),
    }


def with_settings(predictor: DspyPredict, state: dict[str, Any]) -> dict[str, Any]:
    """Return DSPy's state of `predictor`, with the format and request options that DSPy omits.

    Warns of losses: options that a file cannot hold, and the format if `predictor` is a plain `dspy.Predict`, because
    that class uses DSPy's format, `chat`, after loading.
    """
    chosen = bound_format(predictor)
    extra = saved_settings(predictor.config, chosen, bound_offsets(predictor))
    _warn_of_lost(predictor.config.keys() - extra.get("config", {}).keys(), "saved")
    if chosen not in (None, _DSPYS_OWN) and type(predictor).load_state is DspyPredict.load_state:
        _warn(
            f"The format {chosen!r} is saved, but a plain `dspy.Predict` that loads it sends DSPy's own format when it "
            "is called. Load it into a `ts.Predict` or `ts.ChainOfThought`; or save with `ts.save(folder, program)` "
            "and load with `ts.load(folder)`."
        )
    if nearests.nearest_of(predictor) is None:
        return {**state, **extra}
    kept = len(nearests.static_demos(predictor))
    _warn(
        f"The demos of each call are chosen among {len(predictor.demos)}. A state file cannot hold that: the first "
        f"{kept} are saved, as fixed demos. Save with `ts.save(folder, program)` and load with `ts.load(folder)`."
    )
    return {**state, "demos": state["demos"][:kept], **extra}


def settle(predictor: DspyPredict, before: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Apply the format and the request options that DSPy set as attributes when it loaded `state`; show all its demos.

    Args:
        predictor: the predictor that loaded the state.
        before: its request options before loading. Those that a file cannot hold are kept.
        state: the loaded state.

    Raises:
        UsageError: the state names an unknown format.
    """
    given = state.get("config", before)
    own = {name: value for name, value in before.items() if not is_portable(name, value)}
    loaded = {name: value for name, value in given.items() if is_portable(name, value)}
    _warn_of_lost(given.keys() - loaded.keys() - own.keys(), "loaded")
    predictor.config = {**own, **loaded}
    if _MARK in state and _OFFSETS not in state:  # the predictor's own, of another format
        predictor.__dict__.pop(_OFFSETS, None)
    bind(predictor, bound_format(predictor), bound_offsets(predictor))
    bind_nearest(predictor, None)  # the loaded demos are fixed


def _warn_of_lost(names: Iterable[str], done: str) -> None:
    lost = sorted(names)
    if lost:
        known = ", ".join(sorted(PORTABLE))
        _warn(f"These options of a predictor are not {done}: {', '.join(lost)}. A file may hold {known}.")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)


def lone_predictor(program: Module) -> DspyPredict | None:
    """Return the predictor of a program that does nothing but call it: a bound predictor, or a chain of thought of one.

    `lone_prediction` calls it.
    """
    kind, own = type(program), program.__dict__
    if getattr(kind, "forward", None) is DspyChainOfThought.forward and kind.__call__ is Module.__call__:
        program = program if "forward" in own or own.get("callbacks") else own.get("predict", program)
    if not isinstance(program, DspyPredict) or type(program).__call__ is not DspyPredict.__call__:
        return None
    bound = _MARK in program.__dict__ and getattr(program.__dict__.get("forward"), "__func__", None) is _forward
    return program if bound and is_plain_forward(type(program).forward) else None


def lone_prediction(predictor: DspyPredict, inputs: dict[str, Any]) -> Prediction | None:
    """Return the prediction of a `lone_predictor`, `None` if its program has to be called as DSPy calls it.

    It writes no history and no trace. DSPy's own call takes twice as long: it copies its settings to note which module
    calls, for histories, and looks for callbacks and for a count of tokens.
    """
    if predictor.__dict__.get("callbacks") or settings.track_usage:
        return None
    return untraced(predictor, adapter_of(predictor), inputs)


def _called(bound: DspyPredict) -> DspyPredict:
    """Return the predictor that is called: a shallow copy of `bound` shares the methods that are bound to `bound`."""
    called = (settings.caller_modules or [bound])[-1]
    shared = isinstance(called, DspyPredict) and called.__dict__.get("forward") is bound.__dict__.get("forward")
    return called if shared else bound


def _forward(self: DspyPredict, **kwargs: Any) -> Any:
    self = _called(self)
    adapter = adapter_of(self)
    prediction = predicted(self, adapter, kwargs) if is_plain_forward(type(self).forward) else None
    if prediction is not None:
        return prediction
    with context(adapter=adapter):
        return type(self).forward(self, **_with_demos(self, kwargs))


async def _aforward(self: DspyPredict, **kwargs: Any) -> Any:
    self = _called(self)
    with context(adapter=adapter_of(self)):
        return await type(self).aforward(self, **_with_demos(self, kwargs))


def _with_demos(called: DspyPredict, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call, with the demos that are chosen for it; a caller's own stay."""
    if NEAREST not in called.__dict__ or "demos" in kwargs:
        return kwargs
    return {**kwargs, "demos": shown_demos(called, kwargs)}


def _dump_state(self: DspyPredict, json_mode: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - DSPy's signature
    return with_settings(self, type(self).dump_state(self, json_mode))


def _load_state(self: DspyPredict, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> DspyPredict:
    before = self.config
    type(self).load_state(self, state, allow_unsafe_lm_state=allow_unsafe_lm_state)
    settle(self, before, state)
    return self
