"""What a program would send, at no LM call."""

from collections.abc import Iterator
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.formats import Rendered
from tunesmith.lm import (
    LM,
    BaseLM,
    Capabilities,
    DspyLM,
    Identity,
    Request,
    Response,
    StopSignal,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    build_lm,
)
from tunesmith.modules.binding import with_default_formats
from tunesmith.modules.module import Module, context, copy_with_lms, settings

__all__ = ["render"]


class _Caught(StopSignal):
    def __init__(self, request: Request) -> None:
        super().__init__(UsageError("Rendering makes no call."))
        self.request = request


class _Catcher:
    """An engine that takes the first request and ends the program."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.identity, self.capabilities = Identity("render", "render"), capabilities

    def complete(self, request: Request) -> Response:
        raise _Caught(request)

    def stream(self, request: Request) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
        raise _Caught(request)

    def embed(self, texts: list[str]) -> list[list[float]]:
        raise UsageError("Rendering makes no call.")

    def close(self) -> None:
        pass


def render(program: Module, /, *, lm: BaseLM | None = None, **inputs: Any) -> Rendered:
    """Return exactly the first request that `program(**inputs)` would send, at no LM call.

    The program runs until it asks its model, so whatever it does before that happens.

    Predictors that are not bound to a format are shown under tunesmith's default formats, as `evaluate` and `compile`
    run them, unless the caller configured an adapter. An LM that `forward` takes from outside of the program and its
    arguments is called as ever.

    Args:
        program: a predictor, or any program.
        lm: the model it would be sent to; default `dspy.settings.lm`. Without any, an engine that takes every
            constraint is assumed.
        **inputs: the program's inputs.

    Raises:
        UsageError: the program ends without asking a model, or `lm` is no LM.
        FormatError: an input cannot be carried by the format.

    Example:
        >>> import tunesmith as ts
        >>> seen = ts.render(ts.Predict("question -> answer"), question="2 + 2?")
        >>> [message["role"] for message in seen.messages]
        ['system', 'user']
    """
    if lm is not None and not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(lm)}.")
    target = settings.lm if lm is None else lm
    copied = copy_with_lms(with_default_formats(program), _catching)
    try:
        with context(lm=_catching(target)):
            copied(**inputs)
    except _Caught as caught:
        return Rendered.of(caught.request)
    raise UsageError(f"{type(program).__name__} ended without asking a model, so there is nothing to show.")


def _catching(target: BaseLM | None) -> BaseLM:
    if target is None:
        every = Capabilities(frozenset({"grammar", "json_schema", "json_object"}))
        return build_lm("any", _Catcher(every))
    if isinstance(target, LM):
        return build_lm(target.model, _Catcher(target.capabilities), options={"think": target.think}, **target.kwargs)
    found = DspyLM(target.model, engine=_Catcher(Capabilities()), cache=False, num_retries=0)
    found.kwargs = dict(target.kwargs)  # with what an engine of one's own refuses, such as keys and addresses
    return found
