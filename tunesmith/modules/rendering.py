"""Show the first request of a program, and the reply that it wants, without an LM call."""

from collections.abc import Iterator, Mapping
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
    StreamEvent,
    build_lm,
)
from tunesmith.modules.binding import adapter_of, with_default_formats
from tunesmith.modules.module import DspyPredict, Module, context, copy_with_lms, settings

__all__ = ["render", "reply_text"]


class _RequestSignal(StopSignal):
    """Ends the program with its first request."""

    def __init__(self, request: Request) -> None:
        super().__init__(UsageError("Rendering makes no call."))
        self.request = request


class _RenderEngine:
    """An engine that ends the program at its first request."""

    def __init__(self, capabilities: Capabilities, model: LM | None = None) -> None:
        self.identity, self.capabilities, self._model = Identity("render", "render"), capabilities, model

    def complete(self, request: Request) -> Response:
        raise _RequestSignal(request)

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        raise _RequestSignal(request)

    def embed(self, texts: list[str]) -> list[list[float]]:
        if self._model is None:
            raise UsageError("Rendering makes no call, and without a model there are no vectors. Pass `lm=`.")
        return self._model.embed(texts)  # no call: it shows which demos are near

    def close(self) -> None:
        pass


def render(program: Module, /, *, lm: BaseLM | None = None, **inputs: Any) -> Rendered:
    """Return the exact first request that `program(**inputs)` would send, without an LM call.

    The program runs until it calls its model, so its code before that call takes effect.

    Unbound predictors use tunesmith's default formats, as in `evaluate` and `compile`, unless the caller configured an
    adapter. If `forward` uses an LM that is neither in the program nor in its arguments, that LM is really called.

    Args:
        program: a predictor, or any program.
        lm: the model of the request; default `dspy.settings.lm`. Without either, an engine that takes every constraint
            and reports log-probabilities is assumed.
        **inputs: the program's inputs.

    Raises:
        UsageError: the program ends without calling a model, or `lm` is not an LM.
        FormatError: the format cannot carry an input.

    Example:
        >>> import tunesmith as ts
        >>> seen = ts.render(ts.Predict("question -> answer"), question="2 + 2?")
        >>> [message["role"] for message in seen.messages]
        ['system', 'user']
    """
    if lm is not None and not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(lm)}.")
    target = settings.lm if lm is None else lm
    copied = copy_with_lms(with_default_formats(program), _render_lm)
    try:
        with context(lm=_render_lm(target)):
            copied(**inputs)
    except _RequestSignal as signal:
        return Rendered.of(signal.request)
    raise UsageError(f"{type(program).__name__} ended without calling a model, so there is nothing to show.")


def reply_text(predictor: DspyPredict, outputs: Mapping[str, Any]) -> str:
    """Return the reply, in the format of `predictor`, that gives these outputs. Some of them may be missing.

    Raises:
        FormatError: the format cannot carry a value.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules import reply_text
        >>> reply_text(ts.Predict("question -> answer, sure: bool"), {"answer": "4", "sure": True})
        '{"answer": "4", "sure": true}'
    """
    bound: Any = predictor if adapter_of(predictor) is not None else with_default_formats(predictor)
    signature: Any = predictor.signature
    for name in signature.output_fields:
        if name not in outputs:
            signature = signature.delete(name)
    text: str = adapter_of(bound).format_assistant_message_content(signature, dict(outputs))
    return text


def _render_lm(target: BaseLM | None) -> BaseLM:
    if target is None:
        every = Capabilities(frozenset({"grammar", "json_schema", "json_object"}), logprobs=20)
        return build_lm("any", _RenderEngine(every))
    if isinstance(target, LM):
        engine = _RenderEngine(target.capabilities, target)
        return build_lm(target.model, engine, options={"think": target.think}, **target.kwargs)
    lm = DspyLM(target.model, engine=_RenderEngine(Capabilities()), cache=False, num_retries=0)
    lm.kwargs = dict(target.kwargs)  # set afterwards, because the constructor refuses keys and addresses
    return lm
