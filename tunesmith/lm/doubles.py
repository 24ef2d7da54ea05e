"""Test doubles that answer from a script or a function, for tests, docs and examples."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tunesmith.data import content_key
from tunesmith.errors import UsageError, shown
from tunesmith.lm.cache.reply_cache import ReplyCache
from tunesmith.lm.engine import (
    Capabilities,
    Identity,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEvent,
    TextDelta,
    message_text,
    text_response,
    whole_events,
)
from tunesmith.lm.model import LM, build_lm
from tunesmith.lm.options import HOSTED, LLAMACPP, OLLAMA

__all__ = ["FunctionLM", "ScriptedLM", "Seen"]

_ALL = Capabilities(frozenset({"json_object", "json_schema", "grammar"}), logprobs=20, embeddings=True)


class Seen(NamedTuple):
    """The argument of a double's function: a request in readable form.

    Attributes:
        system: the system text, empty without one.
        messages: `(role, text)` of every message in order.
        text: the last message.
        request: the request itself.
    """

    system: str
    messages: tuple[tuple[str, str], ...]
    text: str
    request: Request


def ScriptedLM(  # noqa: N802 - used like a class
    *replies: str | Exception | Response,
    cache: ReplyCache | bool | None = None,
    capabilities: Capabilities = _ALL,
    name: str = "scripted",
    **kwargs: Any,
) -> LM:
    """Return an LM that gives `replies` in order, then fails. Exceptions among them are raised.

    `lm.requests` lists the requests that reached it.

    Example:
        >>> import tunesmith as ts
        >>> lm = ts.ScriptedLM("one", "two")
        >>> lm("Count.")[0], lm("Go on.")[0], len(lm.requests)
        ('one', 'two', 2)
    """
    left = iter(replies)
    lock = threading.Lock()

    def answer(seen: Seen) -> str | Response:
        with lock:
            reply = next(left, None)
        if reply is None:
            raise UsageError(
                f"All {len(replies)} replies of the script are used. The next request ends with "
                f"{shown(seen.text)}. Give the `ScriptedLM` one reply per call."
            )
        if isinstance(reply, Exception):
            raise reply
        return reply

    return FunctionLM(
        answer,
        cache=cache,
        capabilities=capabilities,
        name=name,
        version=content_key([repr(r) for r in replies], escaped=True),
        **kwargs,
    )


def FunctionLM(  # noqa: N802 - used like a class
    function: "Callable[[Seen], str | Response]",
    *,
    cache: ReplyCache | bool | None = None,
    capabilities: Capabilities = _ALL,
    name: str = "function",
    version: str | None = None,
    slots: int = 1,
    price: tuple[float, float] | None = None,
    **kwargs: Any,
) -> LM:
    """Return an LM whose replies `function` computes from each request.

    Args:
        function: takes a `Seen`, returns the reply's text or a whole `Response`.
        cache: stores replies; by default there is none.
        capabilities: of the double.
        name: the model's name.
        version: replaces the digest of the weights in cache keys; by default the function's qualified name.
        slots: number of concurrent requests.
        price: US dollars per million input and output tokens.
        **kwargs: request defaults as `dspy.LM` takes them.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> lm = ts.FunctionLM(lambda seen: "billing" if "invoice" in seen.text else "other")
        >>> with dspy.context(lm=lm):
        ...     ts.Predict("text -> label")(text="Where is my invoice?").label
        'billing'
    """
    digest = content_key(version or f"{function.__module__}:{function.__qualname__}", escaped=True)
    engine = FunctionEngine(function, Identity("double", name, digest), capabilities)
    lm = build_lm(name, engine, cache=cache, slots=slots, price=price, **kwargs)
    lm.requests = engine.requests  # type: ignore[attr-defined]  # read by tests
    return lm


class FunctionEngine:
    """The engine of both doubles. It counts words as tokens, and takes the options of every engine."""

    request_options = HOSTED | LLAMACPP | OLLAMA | {"think"}

    def __init__(
        self,
        function: "Callable[[Seen], str | Response]",
        identity: Identity,
        capabilities: Capabilities,
    ) -> None:
        self._function, self.identity, self.capabilities = function, identity, capabilities
        self.requests: list[Request] = []

    def complete(self, request: Request) -> Response:
        """Answer with the function's text."""
        self.requests.append(request)
        seen = _seen(request)
        reply = self._function(seen)
        if isinstance(reply, Response):
            return reply
        if not isinstance(reply, str):
            raise UsageError(f"The function of a `FunctionLM` must return text. It returned {shown(reply)}.")
        words = sum(len(text.split()) for _, text in seen.messages) + len(seen.system.split())
        return text_response(
            reply,
            model=request.model,
            input_tokens=words,
            output_tokens=len(reply.split()),
        )

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer word by word."""
        for event in whole_events(self.complete(request)):
            if isinstance(event, StreamDeltaEvent) and isinstance(event.delta, TextDelta):
                for piece in _pieces(event.delta.text):
                    yield StreamDeltaEvent(TextDelta(piece, event.delta.part_index))
            else:
                yield event

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return vectors that depend only on the text."""
        return [
            [int(content_key(text, escaped=True)[i : i + 4], 16) / 65536 for i in range(0, 32, 4)] for text in texts
        ]

    def close(self) -> None:
        """Do nothing: the double holds no resources."""


def _seen(request: Request) -> Seen:
    messages = tuple((message.role, message_text(message) or "") for message in request.messages)
    system = request.system
    text = system if isinstance(system, str) else ""
    if system is not None and not isinstance(system, str):
        text = message_text(Message("user", tuple(system))) or ""
    return Seen(text, messages, messages[-1][1], request)


def _pieces(text: str) -> Sequence[str]:
    words = text.split(" ")
    return [word if i == len(words) - 1 else f"{word} " for i, word in enumerate(words) if word or i]
