"""The door to DSPy's modules."""

import asyncio
import contextvars
import copy
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import MethodType
from typing import Any

from dspy import ChainOfThought as DspyChainOfThought
from dspy import Module, Prediction, context
from dspy import Predict as DspyPredict
from dspy import Tool as DspyTool
from dspy.dsp.utils.settings import settings
from dspy.primitives.prediction import Completions
from dspy.signatures.signature import ensure_signature

from tunesmith.errors import UsageError, shown
from tunesmith.lm import BaseLM
from tunesmith.signatures import Signature, check_fields

__all__ = [
    "DspyChainOfThought",
    "DspyPredict",
    "DspyTool",
    "Module",
    "Prediction",
    "as_signature",
    "caller_adapter",
    "context",
    "copy_program",
    "copy_with_lms",
    "forgetful",
    "has_own_lm",
    "open_modules",
    "prediction_of",
    "run_to_end",
    "set_decisions",
    "settings",
    "signature_of",
    "with_lm",
]


# DSPy's BestOfN and Refine extend the trace whatever it is; this one keeps nothing.
_NO_TRACE: deque[Any] = deque(maxlen=0)


def forgetful(**options: Any) -> AbstractContextManager[None]:
    """Return a DSPy context in which DSPy keeps no calls and no inputs; it keeps the last 10,000 of each otherwise."""
    found: AbstractContextManager[None] = context(disable_history=True, trace=_NO_TRACE, **options)
    return found


def signature_of(predictor: DspyPredict) -> type[Signature]:
    """Return the signature of a predictor. DSPy's annotation allows `None`, its constructor does not."""
    return predictor.signature  # type: ignore[return-value]


def as_signature(signature: Any) -> type[Signature]:
    """Return a signature class, made from a text such as `"question -> answer"` if needed.

    Raises:
        SignatureError: the text cannot be parsed, or DSPy reserves the name of a field.
    """
    if isinstance(signature, str):
        from tunesmith.signatures import declared  # here, because a loaded program has a class

        return declared(signature)
    checked: type[Signature] = ensure_signature(signature)  # type: ignore[assignment]  # `None` only for `None`
    check_fields(checked)
    return checked


def set_decisions(predictor: DspyPredict, decisions: Mapping[str, Mapping[str, Any]]) -> None:
    """Set what DSPy's `ReAnchor` calibrates of a predictor's outputs: thresholds, cuts and weights, by output.

    Raises:
        ValueError: they do not fit the predictor's outputs.
    """
    if decisions:
        from dspy.adapters.decision_state import DecisionState  # here, because hardly any predictor has some

        DecisionState(predictor.signature, decisions)
    predictor.fields = copy.deepcopy(dict(decisions))


def prediction_of(completions: list[dict[str, Any]], signature: type[Signature]) -> Prediction:
    """Return `Prediction.from_completions(completions, signature=signature)`, in a third of its time for one draw."""
    if len(completions) != 1:
        several: Prediction = Prediction.from_completions(completions, signature=signature)
        return several
    (outputs,) = completions
    listed, made = object.__new__(Completions), object.__new__(Prediction)
    listed.__dict__.update(signature=signature, _completions={name: [value] for name, value in outputs.items()})
    made.__dict__.update(_store=dict(outputs), _completions=listed, _lm_usage=None)
    return made


def caller_adapter() -> Any:
    """Return the adapter that the caller configured in DSPy, `None` without one."""
    return settings.adapter


def copy_program(program: Module) -> Module:
    """Return a deep copy that shares the LMs: a copy of an LM copies its history (195 ms for 2,000 entries)."""
    return copy_with_lms(program, lambda lm: lm)


def copy_with_lms(program: Module, replaced: Callable[[BaseLM], BaseLM]) -> Module:
    """Return a deep copy with each LM of the program replaced by `replaced(lm)`.

    Parts that cannot be copied (a lock, a connection) are shared. A part that has only an `aforward` gets a `forward`
    that runs it.

    Raises:
        UsageError: the program's `forward` is asynchronous.
    """
    _check_forward(program)
    parts = list(_parts(program))
    held: dict[int, Any] = {id(lm): replaced(lm) for lm in parts if isinstance(lm, BaseLM)}
    try:
        copied = copy.deepcopy(program, dict(held))
    except Exception:  # noqa: BLE001 - `_uncopyable` then searches for the part that fails
        copied = copy.deepcopy(program, held | _uncopyable(program, held))
    if any(map(_is_async_only, parts)):
        for part in filter(_is_async_only, _parts(copied)):
            part.__dict__["forward"] = MethodType(_forward, part)
    return copied


def with_lm(program: Module, lm: BaseLM) -> Module:
    """Return a copy of `program` whose predictors all call `lm`, also those of frozen parts.

    Raises:
        UsageError: `lm` is not an LM, or the program's `forward` is asynchronous.
    """
    if not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, for instance from `ts.lm(...)`. Given: {shown(lm)}.")
    copied = copy_program(program)
    for _, predictor in copied.named_sub_modules(DspyPredict):
        predictor.lm = lm  # type: ignore[attr-defined]
    return copied


def _check_forward(program: Module) -> None:
    if inspect.iscoroutinefunction(getattr(type(program), "forward", None)):
        raise UsageError(
            f"The `forward` of {type(program).__name__} is asynchronous, so a call does not return a prediction. "
            "Rename it to `aforward`."
        )


def _is_async_only(part: Any) -> bool:
    if not isinstance(part, Module) or "forward" in part.__dict__:
        return False
    # On the type: DSPy logs a warning if `forward` is looked up on an instance.
    return hasattr(type(part), "aforward") and not hasattr(type(part), "forward")


def _forward(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run `aforward` to its end."""
    return run_to_end(self.aforward(*args, **kwargs))


def has_own_lm(program: Module) -> bool:
    """Return whether a predictor of the program has an LM of its own.

    `named_predictors` would search the histories, too, so that a call took the longer the more there were before.
    """
    return any(isinstance(part, DspyPredict) and part.lm is not None for part in _parts(program))


def run_to_end(awaited: Awaitable[Any]) -> Any:
    """Return the result of an awaitable, from a new thread if this one already runs an event loop."""

    async def whole() -> Any:
        return await awaited

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    results: list[Any] = []

    def work() -> None:
        try:
            results.append((asyncio.run(whole()), None))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            results.append((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="tunesmith-aforward")
    thread.start()
    thread.join()
    result, error = results[0]
    if error is not None:
        raise error
    return result


def _uncopyable(program: Module, held: dict[int, Any]) -> dict[int, Any]:
    shared: dict[int, Any] = {}
    for item in _parts(program):
        if isinstance(item, (Module, list, tuple, dict)) or id(item) in held:
            continue
        try:
            copy.deepcopy(item, dict(held))
        except Exception:  # noqa: BLE001 - a user's object may raise anything
            shared[id(item)] = item
    return shared


def open_modules(program: Module) -> Iterator[tuple[str, Any]]:
    """Yield the modules that a compiler may change, by path: the program as `self`, and no part of a frozen one.

    DSPy's `named_sub_modules(skip_compiled=True)` finds nothing inside a program that is compiled itself.
    """
    closed: list[str] = []
    inside: Any = program.named_sub_modules(Module)
    for path, module in inside:  # outer ones first
        if any(path.startswith((f"{frozen}.", f"{frozen}[")) for frozen in closed):
            continue
        yield path.removeprefix("self."), module
        if module is not program and getattr(module, "_compiled", False):
            closed.append(path)


def _parts(program: Module) -> Iterator[Any]:
    """Yield the parts of the program as `named_sub_modules` does, without histories: they hold up to 10,000 calls."""
    queue, seen = deque[Any]([program]), {id(program)}
    while queue:
        item = queue.popleft()
        yield item
        if isinstance(item, Module):
            inside: Iterable[Any] = [value for name, value in item.__dict__.items() if name != "history"]
        elif isinstance(item, dict):
            inside = item.values()
        else:
            inside = item if isinstance(item, (list, tuple)) else ()
        for part in inside:
            if id(part) not in seen:
                seen.add(id(part))
                queue.append(part)
