"""The layers between a program and an engine: rollout, meter, cache with single flight."""

import asyncio
import contextlib
import copy
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith.data import content_key
from tunesmith.errors import BudgetExceeded, ContextOverflow, ModelMissing, ModelUnavailable
from tunesmith.lazy import lazy_module
from tunesmith.lm.cache.reply_cache import ReplyCache
from tunesmith.lm.engine import (
    Capabilities,
    Config,
    Engine,
    Identity,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamEvent,
    TextDelta,
    TextPart,
    Usage,
    closed,
    context_overflow,
    materialize_response,
    whole_events,
)
from tunesmith.lm.findings import Findings
from tunesmith.lm.patience import Patience, Watch
from tunesmith.lm.scope import NOWHERE, Scope, current_scope, runs_under_way
from tunesmith.lm.wire import Prefix, overflow_row, request_key, response_of, row_of

if TYPE_CHECKING:
    from tunesmith.lm import call as calls
    from tunesmith.lm.meter import Meter
else:
    calls = lazy_module("tunesmith.lm.call")  # nothing counts the calls outside a run

__all__ = ["BESIDE", "Beside", "Stack", "effective", "in_pieces", "rollout_number", "streamed_response"]


class Beside(NamedTuple):
    """Options of the running call that DSPy leaves out of its request.

    Attributes:
        rollout: 0, or the number of a repeated draw.
        cached: whether the cache may answer and store the reply.
        extensions: options of the engine that DSPy does not know.
        draws: numbers the `n` equal requests that DSPy makes of one call; `None` for a single one.
    """

    rollout: int = 0
    cached: bool = True
    extensions: Mapping[str, Any] | None = None
    draws: Iterator[int] | None = None

    def stack(self, stack: "Stack") -> "Stack":
        """Return the layers of the call: without the cache if it is off."""
        return stack if self.cached else stack.without_cache()

    def whole(self, request: Request) -> tuple[Request, int]:
        """Return the next complete request of the call, and its rollout."""
        config, draw = request.config, 0 if self.draws is None else next(self.draws)
        if self.extensions:
            config = replace(config, extensions={**(config.extensions or {}), **self.extensions})
        if draw:
            config = effective(config, self.rollout + draw, draw)
        return request if config is request.config else replace(request, config=config), self.rollout + draw


_NOTHING_BESIDE = Beside()
BESIDE: ContextVar[Beside] = ContextVar("tunesmith_beside", default=_NOTHING_BESIDE)

MAX_TOKENS = 512


def effective(config: Config, rollout: int, draw: int = 0) -> Config:
    """Return `config` with tunesmith's defaults for unset options.

    Rollout 0 gets temperature 0 and seed 0. Rollout k > 0 gets seed k and temperature 1, because greedy decoding
    ignores the seed. The default limit of a reply is 512 tokens.

    Args:
        config: options that the caller set.
        rollout: its number.
        draw: number of the draw among the `n` draws of one call. It is added to a seed that the caller set, because
            equal seeds give equal texts.
    """
    if draw and config.seed is not None:
        config = replace(config, seed=config.seed + draw)
    if config.temperature is not None and config.seed is not None and config.max_tokens is not None:
        return config
    temperature = config.temperature
    if temperature is None:
        temperature = 0.0 if rollout == 0 else 1.0
    return replace(
        config,
        temperature=temperature,
        seed=rollout if config.seed is None else config.seed,
        max_tokens=MAX_TOKENS if config.max_tokens is None else config.max_tokens,
    )


def rollout_number(value: object) -> int:
    """Return a caller's `rollout_id` as a number: 0 without one, a hash of a text."""
    if value is None:
        return 0
    if isinstance(value, int):
        return int(value)
    return int(content_key(repr(value), escaped=True)[:8], 16) + 1


class _Reply(NamedTuple):
    """The result of a request: a response, or a context overflow (prompt and context tokens, estimated)."""

    response: Response | None
    seconds: float
    overflow: tuple[int | None, int | None, bool] | None = None

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "_Reply":
        """Return the reply in `row`; raises `KeyError`, `TypeError` or `ValueError` for an unknown kind of row."""
        if "overflow" in row:
            prompt_tokens, context_tokens, *estimated = row["overflow"]
            return cls(None, 0.0, (prompt_tokens, context_tokens, estimated == [True]))
        return cls(response_of(row), float(row["seconds"]))

    def row(self) -> dict[str, Any] | None:
        """Return the cache row, `None` if a row cannot hold the response."""
        if self.overflow is not None:
            return overflow_row(*self.overflow)
        return None if self.response is None else row_of(self.response, self.seconds)

    def result(self) -> Response:
        """Return the response, or raise the `ContextOverflow`."""
        if self.response is None:
            prompt, there, estimated = self.overflow or (None, None, False)
            raise context_overflow(prompt_tokens=prompt, context_tokens=there, estimated=estimated)
        return self.response


class Stack:
    """One engine with its cache, meters and price. All copies of an LM share it. Thread-safe.

    Args:
        engine: answers requests.
        cache: stores replies; with `None` every request reaches the engine.
        price: US dollars per million input and output tokens.
        patience: how long a run waits for the engine's server; `None` without a server. A call outside a run does not
            wait.
        findings: facts about the model that calls have shown. All callers of the model share them.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        cache: ReplyCache | None,
        price: tuple[float, float] | None = None,
        patience: Patience | None = None,
        findings: Findings | None = None,
    ) -> None:
        self.engine, self.cache, self.price = engine, cache, price
        self.findings = findings or Findings("the model")
        self._watch = None if patience is None else Watch(patience, getattr(engine, "recheck", None))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Stack":
        return self

    def without_cache(self) -> "Stack":
        """Return the same layers without a cache, so that each request reaches the model."""
        own = getattr(self.engine, "without_cache", None)
        if self.cache is None and own is None:
            return self
        uncached = copy.copy(self)
        uncached.cache = None
        if own is not None:
            uncached.engine = own()
        return uncached

    @property
    def identity(self) -> Identity:
        """The model that answers. This may ask a server.

        Raises:
            StopSignal: the server or the model is missing, inside a metered run.
            ModelMissing, ModelUnavailable: the same outside a run.
        """
        try:
            return self.engine.identity
        except (ModelMissing, ModelUnavailable) as error:
            _stop_if_metered(error, _scope())
            raise

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the engine; raises as `identity`."""
        try:
            return self.findings.usable(self.engine.capabilities)
        except (ModelMissing, ModelUnavailable) as error:
            _stop_if_metered(error, _scope())
            raise

    def answer(self, request: Request, rollout: int, prefix: Prefix | None = None) -> tuple[Response, bool]:
        """Return the reply and whether it reached the engine now.

        Raises:
            StopSignal: the budget has no room for the call.
            ModelError: as `Engine.complete`.
        """
        scope = _scope()
        if prefix is None:
            config = effective(request.config, rollout)
            request = request if config is request.config else replace(request, config=config)
        if self.cache is None and scope is NOWHERE:
            return self._ask(request).result(), True  # nothing asks for its key
        key = (
            request_key(self.identity, request, rollout)
            if prefix is None
            else prefix.key(self.identity, request.messages[-1], rollout)
        )
        if scope.meters:
            _reserve(scope.meters, key)
        try:
            reply, paid = self._reply(key, request)
        except BaseException as error:
            for meter in scope.meters:
                meter.release(key)
            if isinstance(error, (ModelMissing, ModelUnavailable)):
                _stop_if_metered(error, scope)
            raise
        if scope.meters or scope.sinks:
            self._settle(scope, key, reply, paid=paid)
        return reply.result(), paid

    def _reply(self, key: str, request: Request) -> "tuple[_Reply, bool]":
        """Return the reply and whether this call paid for it."""
        if self.cache is None:
            return self._remembered(key, request)
        cached = self._cached(key)
        if cached is not None:
            return cached, False
        led = False

        def pay() -> tuple[_Reply, bool]:
            nonlocal led
            led = True
            return self._pay(key, request)

        reply, paid = self.cache.flight.run(key, pay)
        return reply, paid and led  # a thread that waited for another thread's call has not paid

    def _remembered(self, key: str, request: Request) -> "tuple[_Reply, bool]":
        """Do what `_reply` does without a cache; see `remembering`."""
        memory, config = _scope().memory, request.config
        if memory is None or config.logprobs is None or config.temperature != 0:
            return self._ask(request), True
        kept: _Reply | None = memory.get(key)
        if kept is not None:
            return kept, False
        memory[key] = reply = self._ask(request)
        return reply, True

    def _cached(self, key: str) -> "_Reply | None":
        row = None if self.cache is None else self.cache.get(key)
        if row is None:
            return None
        try:
            return _Reply.of_row(row)
        except (KeyError, TypeError, ValueError):  # a row of a different version is a miss
            return None

    def _pay(self, key: str, request: Request) -> "tuple[_Reply, bool]":
        # Another thread or process may have finished the same request since the look-up.
        cached = self._cached(key)
        if cached is not None:
            return cached, False
        reply = self._ask(request)
        self._store(key, reply)
        return reply, True

    def _store(self, key: str, reply: "_Reply") -> None:
        if reply.overflow is not None and self.identity.digest is None:
            return  # without a digest, the name may stand for a model with a larger context tomorrow
        row = reply.row()
        if row is not None and self.cache is not None:
            self.cache.put(key, row)

    def _ask(self, request: Request) -> "_Reply":
        scope = _scope()
        _check_may_pay(scope)
        if self._watch is None or not scope.meters:
            return self._asked(request)
        return self._watch.through(
            lambda: self._asked(request),
            kind=request.config.max_tokens,
            known=self.engine.identity.digest is not None,  # only its server can have told
            left=lambda: min((s for m in scope.meters if (s := m.room().wall_seconds) is not None), default=None),
        )

    def _asked(self, request: Request) -> "_Reply":
        start = time.perf_counter()
        try:
            response = self._complete(request)
        except ContextOverflow as error:
            return _Reply(None, 0.0, (error.prompt_tokens, error.context_tokens, error.estimated))
        return _Reply(response, round(time.perf_counter() - start, 4))

    def _complete(self, request: Request) -> Response:
        check = _scope().check
        if check is None:
            return self.engine.complete(request)
        check()
        return in_pieces(self.engine, request, lambda _: check())

    def _settle(self, scope: Scope, key: str, reply: "_Reply", *, paid: bool) -> None:
        usage = None if reply.response is None else reply.response.usage
        tokens_in = None if usage is None else usage.input_tokens
        tokens_out = None if usage is None else usage.output_tokens
        usd = None
        if self.price is not None:
            usd = ((tokens_in or 0) * self.price[0] + (tokens_out or 0) * self.price[1]) / 1e6
        call = calls.Call(key, scope.role, tokens_in, tokens_out, reply.seconds, paid, usd)
        for meter in scope.meters:
            meter.settle(call)
        for sink in scope.sinks:
            sink(call)

    def stream(self, request: Request, rollout: int) -> Iterator[StreamEvent]:
        """Yield the reply piece by piece. A cached reply, or one with log-probabilities, comes in whole parts."""
        request = replace(request, config=effective(request.config, rollout))
        key = request_key(self.identity, request, rollout)
        scope = _scope()
        _reserve(scope.meters, key)
        try:
            cached = self._cached(key)
            if cached is not None:
                events = whole_events(cached.result())
                self._settle(scope, key, cached, paid=False)
                yield from events
            elif request.config.logprobs is not None:  # most engines do not stream log-probabilities
                reply = self._ask(request)
                self._store(key, reply)
                self._settle(scope, key, reply, paid=True)
                yield from whole_events(reply.result())
            else:
                yield from self._stream_paid(request, key, scope)
        except BaseException as error:
            for meter in scope.meters:
                meter.release(key)
            if isinstance(error, (ModelMissing, ModelUnavailable)):
                _stop_if_metered(error, scope)
            raise

    def _stream_paid(self, request: Request, key: str, scope: Scope) -> Iterator[StreamEvent]:
        _check_may_pay(scope)
        start, received = time.perf_counter(), list[StreamEvent]()
        with closed(self.engine.stream(request)) as events:
            for event in events:
                received.append(event)
                if isinstance(event, StreamEndEvent):
                    reply = _Reply(streamed_response(received, request), round(time.perf_counter() - start, 4))
                    self._store(key, reply)
                    self._settle(scope, key, reply, paid=True)
                yield event


def in_pieces(engine: Engine, request: Request, hear: Callable[[Any], None]) -> Response:
    """Answer `request` as `engine.complete` does, and pass on each piece of the reply while it is written.

    An error that `hear` raises closes the engine's stream. A reply with log-probabilities or tools, which a stream
    cannot carry, has no pieces.
    """
    if request.config.logprobs is not None or request.tools:
        return engine.complete(request)
    received = list[StreamEvent]()
    with closed(engine.stream(request)) as events:
        for event in events:
            received.append(event)
            if isinstance(event, StreamDeltaEvent):
                hear(event.delta)
    ended = received and isinstance(received[-1], StreamEndEvent)
    if not ended and not any(isinstance(event, StreamEndEvent) for event in received):
        received.append(StreamEndEvent())  # an engine that just ends has come to its stop
    return streamed_response(received, request)


def streamed_response(events: list[StreamEvent], request: Request) -> Response:
    """Return the response of a stream, as the cache would: its texts are one, whatever came between them.

    The request's options are left out: they could turn its text into data.
    """
    text = _plain_text(events)
    if text is not None:
        end: Any = events[-1]
        reason: Any = end.finish_reason or "stop"
        message, usage = Message("assistant", (TextPart(text),)), end.usage or Usage()
        return Response(None, request.model, message, reason, usage, provider_data=end.provider_data)
    plain = Request(model=request.model, messages=request.messages)
    response = materialize_response(iter(events), plain)
    parts = response.message.parts
    texts = [part for part in parts if isinstance(part, TextPart)]
    if len(texts) < 2:
        return response
    whole, at = replace(texts[0], text="".join(part.text for part in texts)), parts.index(texts[0])
    others = [part for part in parts[at:] if not isinstance(part, TextPart)]
    merged = (*parts[:at], whole, *others)
    return replace(response, message=replace(response.message, parts=merged))


def _plain_text(events: list[StreamEvent]) -> str | None:
    """Return the text of a stream of one text and an end, which needs no assembling; `None` for any other."""
    if not events or not isinstance(events[-1], StreamEndEvent):
        return None
    texts = []
    for event in events[:-1]:
        delta = event.delta if isinstance(event, StreamDeltaEvent) else None
        if not isinstance(delta, TextDelta) or delta.part_index or delta.logprobs or not delta.logprobs_complete:
            return None
        texts.append(delta.text)
    return "".join(texts)


_OUTSIDE = (
    "A model call came from a thread outside the running evaluation. It is not counted, no budget stops it, and it "
    "uses the globally configured model. Start threads with `dspy.Parallel`, or run their work in "
    "`contextvars.copy_context()`."
)


def _scope() -> Scope:
    """Return the current scope, and warn of a call that nothing counts."""
    scope = current_scope()
    if scope is NOWHERE and runs_under_way():
        warnings.warn(_OUTSIDE, UserWarning, stacklevel=2)
    return scope


def _check_may_pay(scope: Scope) -> None:
    """Raise `StopSignal` if only judges may call their model."""
    if not scope.paying and scope.role != "judge":
        raise calls.StopSignal(
            BudgetExceeded(
                "Rescoring needs an output that was never stored. Run the same command without `--rescore` to compute "
                "it."
            )
        )


def _stop_if_metered(error: Exception, scope: Scope) -> None:
    """End a metered run, so that a program's `except Exception` cannot turn an outage into a wrong answer.

    Raises:
        StopSignal: the run is metered.
    """
    if scope.meters:
        raise calls.StopSignal(error) from error


def _reserve(meters: "tuple[Meter, ...]", key: str) -> None:
    if len(meters) == 1:
        meters[0].reserve(key)
        return
    done: list[Meter] = []
    try:
        for meter in meters:
            meter.reserve(key)
            done.append(meter)
    except BaseException:
        for meter in done:
            meter.release(key)
        raise


class SyncFacade:
    """A `Stack` as DSPy's synchronous engine."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    # These are properties, because an engine may have to ask its server.

    @property
    def supports_response_schema(self) -> bool:
        """Whether replies can be constrained by a JSON Schema."""
        return "json_schema" in self.stack.capabilities.constraints

    @property
    def supports_function_calling(self) -> bool:
        """Whether the model calls tools natively."""
        return self.stack.capabilities.tools

    @property
    def supports_reasoning(self) -> bool:
        """Whether the model thinks natively."""
        return self.stack.capabilities.thinking

    @property
    def supported_params(self) -> set[str]:
        """The options that a request may set."""
        names = {"temperature", "max_tokens", "top_p", "top_k", "stop", "seed"}
        return names | ({"response_format"} if self.stack.capabilities.constraints else set())

    def __deepcopy__(self, memo: dict[int, Any]) -> "SyncFacade":
        return self

    def complete(self, request: Request) -> Response:
        """Answer through all layers."""
        beside = BESIDE.get()
        return beside.stack(self.stack).answer(*beside.whole(request))[0]

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer through all layers, piece by piece."""
        beside = BESIDE.get()
        return beside.stack(self.stack).stream(*beside.whole(request))

    def close(self) -> None:
        """Free the engine."""
        self.stack.engine.close()


class AsyncFacade:
    """A `Stack` as DSPy's asynchronous engine. The blocking call runs in another thread."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __deepcopy__(self, memo: dict[int, Any]) -> "AsyncFacade":
        return self

    async def complete(self, request: Request) -> Response:
        """Answer through all layers."""
        beside = BESIDE.get()
        answer = beside.stack(self.stack).answer
        response, _ = await asyncio.to_thread(answer, *beside.whole(request))
        return response

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        """Answer through all layers, piece by piece."""
        beside = BESIDE.get()
        events = beside.stack(self.stack).stream(*beside.whole(request))
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event
        finally:
            with contextlib.suppress(ValueError):  # a thread still runs the generator, and closes it at its end
                events.close()  # type: ignore[attr-defined]  # it is a generator

    async def aclose(self) -> None:
        """Free the engine."""
        self.stack.engine.close()
