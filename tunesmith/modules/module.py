"""The door to DSPy's modules."""

import asyncio
import contextvars
import copy
import inspect
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import MethodType
from typing import Any

from dspy import ChainOfThought as DspyChainOfThought
from dspy import Module, Prediction, Tool, context
from dspy import Predict as DspyPredict
from dspy.dsp.utils.settings import settings
from dspy.signatures.signature import ensure_signature

from tunesmith.errors import UsageError
from tunesmith.lm import BaseLM
from tunesmith.signatures import Signature, check_fields, declared

__all__ = [
    "DspyChainOfThought",
    "DspyPredict",
    "Module",
    "Prediction",
    "Tool",
    "as_signature",
    "caller_adapter",
    "context",
    "copy_program",
    "copy_with_lms",
    "settings",
    "signature_of",
]


def signature_of(predictor: DspyPredict) -> type[Signature]:
    """Return the signature of a predictor; DSPy's annotation allows for none, its constructor does not."""
    return predictor.signature  # type: ignore[return-value]


def as_signature(signature: Any) -> type[Signature]:
    """Return a signature class, or the one that a text such as `"question -> answer"` stands for.

    Raises:
        SignatureError: the text cannot be read, or DSPy takes the name of a field for itself.
    """
    if isinstance(signature, str):
        return declared(signature)
    found: type[Signature] = ensure_signature(signature)  # type: ignore[assignment]  # `None` only for `None`
    check_fields(found)
    return found


def caller_adapter() -> Any:
    """Return the adapter that the caller configured in DSPy, `None` where there is none."""
    return settings.adapter


def copy_program(program: Module) -> Module:
    """Return a deep copy that shares the LMs: copying one copies its whole history (195 ms at 2,000 entries)."""
    return copy_with_lms(program, lambda lm: lm)


def copy_with_lms(program: Module, replaced: Callable[[BaseLM], BaseLM]) -> Module:
    """Return a deep copy in which every LM that the program holds is what `replaced` returns for it.

    What refuses to be copied (a lock, a connection) is shared. A part that has an `aforward` alone can be called as the
    others are.

    Raises:
        UsageError: the program's `forward` is asynchronous.
    """
    _check_forward(program)
    parts = list(_parts(program))
    held: dict[int, Any] = {id(lm): replaced(lm) for lm in parts if isinstance(lm, BaseLM)}
    try:
        copied = copy.deepcopy(program, dict(held))
    except Exception:  # noqa: BLE001 - whatever refuses, it is found below
        copied = copy.deepcopy(program, held | _uncopyable(program, held))
    if any(map(_is_async_only, parts)):
        for part in filter(_is_async_only, _parts(copied)):
            part.__dict__["forward"] = MethodType(_forward, part)
    return copied


def _check_forward(program: Module) -> None:
    if inspect.iscoroutinefunction(getattr(type(program), "forward", None)):
        raise UsageError(
            f"The `forward` of {type(program).__name__} is asynchronous, so a call returns no prediction. Name it "
            "`aforward`."
        )


def _is_async_only(part: Any) -> bool:
    if not isinstance(part, Module) or "forward" in part.__dict__:
        return False
    return hasattr(type(part), "aforward") and not hasattr(type(part), "forward")  # DSPy warns of a look at an instance


def _forward(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run `aforward` to its end, in a thread of its own if this one has an event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(self.aforward(*args, **kwargs))
    found: list[Any] = []

    def work() -> None:
        try:
            found.append((asyncio.run(self.aforward(*args, **kwargs)), None))
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            found.append((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="tunesmith-aforward")
    thread.start()
    thread.join()
    result, error = found[0]
    if error is not None:
        raise error
    return result


def _uncopyable(program: Module, held: dict[int, Any]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for item in _parts(program):
        if isinstance(item, (Module, list, tuple, dict)) or id(item) in held:
            continue
        try:
            copy.deepcopy(item, dict(held))
        except Exception:  # noqa: BLE001 - an object of the user's may fail in any way
            found[id(item)] = item
    return found


def _parts(program: Module) -> Iterator[Any]:
    """Yield what the program holds, as `named_sub_modules` does, but for histories, which grow to 10,000 calls each."""
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
