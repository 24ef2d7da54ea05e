"""The Ollama engine, the only file that imports `ollama`.

Nothing is shortened in silence: `truncate` and `shift` are off in every request, and the context has one size for the
whole run (a change reloads the model). Only schemas that harm no server leave; a reply is validated by its format
whatever the server promised.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar
from typing import Any, TypeVar

import httpx
import ollama

from tunesmith.data import canonical_json, content_key
from tunesmith.errors import ModelError, shown
from tunesmith.lm.engine import (
    Capabilities,
    Identity,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEvent,
    StreamStartEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    closed,
    context_overflow,
    end_event,
    missing_model,
    refused,
)
from tunesmith.lm.engines.ollama.client import POLICY, OllamaServer
from tunesmith.lm.engines.ollama.cloud import cloud_model_refused, is_cloud_name
from tunesmith.lm.engines.ollama.errors import Fault, Kind, Sort, no_vectors
from tunesmith.lm.engines.ollama.facts import MAX_CONTEXT, ModelFacts, OwnTurns
from tunesmith.lm.engines.ollama.host import server_address
from tunesmith.lm.engines.ollama.request import (
    BYTES_PER_TOKEN,
    Settings,
    arguments,
    estimated_tokens,
    is_shortened,
    response_of_reply,
    tool_calls,
)
from tunesmith.lm.engines.ollama.transport import HEADERS
from tunesmith.lm.options import OLLAMA
from tunesmith.lm.waiting import Policy

__all__ = ["POLICY", "OllamaEngine", "server_at"]

_LOG = logging.getLogger("tunesmith")
_BATCH = 64  # texts in one embedding request
_NOT_IMPLEMENTED = 501
_REPEATED = 30  # equal pieces after which a server breaks a reply off
_CRASHES = 3  # in a row under one schema, after which it is not sent any more
T = TypeVar("T")


def server_at(host: str | None, policy: Policy = POLICY) -> OllamaServer:
    """Return the server at `host`, by default at OLLAMA_HOST; asks it nothing yet.

    Raises:
        UsageError: the address cannot be read.
    """
    return OllamaServer(server_address(host), _connect, policy)


def _connect(address: str, transport: httpx.BaseTransport) -> ollama.Client:
    # The transport knows proxies and time limits; what the environment says would go past it.
    own = {"transport": transport, "trust_env": False, "follow_redirects": False, "cookies": _NoCookies()}
    return ollama.Client(host=address, headers=HEADERS, **own)


class _NoCookies(CookieJar):
    """Looks for none: no Ollama server sets one, and what a proxy sets would stick to one of many clients."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Known:
    facts: ModelFacts
    settings: Settings
    identity: Identity
    capabilities: Capabilities
    room: int | None  # tokens of context that there can be


class OllamaEngine:
    """One model on one Ollama server. The server is asked about it once, at the first need.

    Args:
        model: its name on the server.
        server: where it is.
        num_ctx: tokens of context, the same for every request; by default the trained context, at most 8192.
        think: whether a model that can think may, or how much (`low`, `medium`, `high`). Off by default. A reply after
            thinking is not held to a schema by the server, since the two break each other.
        keep_alive: how long the server keeps the model loaded: seconds, or a text such as `10m`.
        cloud: whether the model may be one that runs in the cloud.
    """

    request_options = OLLAMA

    def __init__(
        self,
        model: str,
        server: OllamaServer,
        *,
        num_ctx: int | None = None,
        think: bool | str = False,
        keep_alive: float | str | None = None,
        cloud: bool = False,
    ) -> None:
        self.server = server
        self._model, self._num_ctx, self._think = model, num_ctx, think
        self._keep_alive, self._cloud = keep_alive, cloud
        self._lock = threading.Lock()
        self._found: _Known | None = None
        self._crashed: set[str] = set()  # requests that ended a runner, by content
        self._schema_crashes: dict[str, int] = {}  # by schema, in a row

    @property
    def identity(self) -> Identity:
        """Which model answers, by digest; asks the server at the first use.

        Raises:
            ModelMissing, ModelUnavailable: the server, or the model on it, is not there.
        """
        return self._known().identity

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do on this server; raises as `identity`."""
        return self._known().capabilities

    @property
    def own_turns(self) -> OwnTurns:
        """What the server puts into every prompt of its own; raises as `identity`."""
        return self._known().facts.own

    def recheck(self) -> None:
        """Look whether the server, after it was away, still serves what it served before.

        Raises:
            ModelUnavailable: it does not answer.
            ModelMissing: the model is gone, or is another one.
        """
        before = self._found
        if before is None:
            return
        now = self._ask(self.server.policy.deadline()).identity
        if now != before.identity:
            raise missing_model(
                f"The Ollama server at {self.server.address} came back with another model {self._model!r}: "
                f"{_difference(before.identity, now)}. Replies of the two are never mixed. Bring the first one back, "
                "then run the same command again, or start anew with this one."
            )

    def complete(self, request: Request) -> Response:
        """Answer `request`; see `Engine.complete`."""
        deadline = self.server.policy.deadline()
        known = self._known(deadline)
        reply = self._sent(request, known, self.server.chat, deadline)
        self._check_whole(reply.get("prompt_eval_count"), request, known)
        return response_of_reply(reply, request)

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer piece by piece; closing the iterator breaks the connection, and the server stops."""
        deadline = self.server.policy.deadline()
        known = self._known(deadline)

        def begin(given: dict[str, Any], patch: dict[str, Any], end: float) -> tuple[Any, Iterator[Any], str]:
            chunks = self.server.chat_stream(given, patch, end)
            first = next(chunks, None)
            if first is None or first.done_reason in ("load", "unload"):
                raise Fault(Kind.EMPTY, "it gave no reply")
            return first, chunks, _content(given, patch)

        first, chunks, content = self._sent(request, known, begin, deadline)
        try:
            with closed(chunks):
                yield from self._events(first, chunks, request, known)
        except Fault as fault:
            if fault.sort is Sort.CRASH:
                self._crashed.add(content)
            raise self._error(fault, request, known, deadline=deadline) from fault

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order. Every request, of 64 texts, may take as long as a call.

        Raises:
            RequestRefused: the model gives no vectors.
            ContextOverflow: a text is longer than the context.
        """
        known = self._known()
        if not known.capabilities.embeddings and not known.facts.remote:
            raise no_vectors(self._model, self.server.address)
        found: list[list[float]] = []
        options = {} if known.settings.num_ctx is None else {"num_ctx": known.settings.num_ctx}
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            given = {"model": self._model, "input": batch, "options": options, "keep_alive": self._keep_alive}
            try:
                vectors = self.server.retried(lambda end, given=given: self.server.embed(given, end))  # type: ignore[misc]
            except Fault as fault:
                if fault.status == _NOT_IMPLEMENTED:
                    raise no_vectors(self._model, self.server.address) from fault
                longest = max(len(text.encode("utf-8", "replace")) for text in batch) // BYTES_PER_TOKEN
                raise self._error(fault, None, known, longest) from fault
            if len(vectors) != len(batch):
                raise refused(f"Ollama gave {len(vectors)} vectors for {len(batch)} texts.")
            found += vectors
        return found

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self.server.close()

    # The model ----------------------------------------------------------------------------------------------

    def _known(self, deadline: float | None = None) -> _Known:
        found = self._found
        if found is None:
            policy = self.server.policy
            deadline = policy.deadline() if deadline is None else deadline
            # One thread asks. Where it gets no answer, the others have waited as long as they may.
            if not self._lock.acquire(timeout=max(0.0, deadline - policy.clock())):
                raise self.server.error(Fault(Kind.STALLED, "it does not say what the model is"), self._model)
            try:
                found = self._found
                if found is None:
                    found = self._found = self._ask(deadline)
            finally:
                self._lock.release()
        return found

    def _ask(self, deadline: float) -> _Known:
        if is_cloud_name(self._model) and not self._cloud:  # by its name alone, before anything is sent
            raise cloud_model_refused(self._model)
        facts = self.server.facts(self._model, deadline)
        if facts.remote and not self._cloud:
            raise cloud_model_refused(self._model)
        trained = facts.trained_context
        wanted = min(trained or MAX_CONTEXT, MAX_CONTEXT) if self._num_ctx is None else self._num_ctx
        num_ctx = None if facts.remote else wanted  # what runs elsewhere has the context it has
        room = num_ctx if num_ctx is None or trained is None else min(num_ctx, trained)
        settings = Settings(self._model, num_ctx, self._think, self._keep_alive)
        identity = Identity(
            backend=f"ollama {facts.version.text}",
            model=self._model,
            digest=facts.digest,
            details=facts.identity_details(room, self._think),
        )
        return _Known(facts, settings, identity, facts.engine_capabilities(), room)

    # One call -----------------------------------------------------------------------------------------------

    def _sent(
        self,
        request: Request,
        known: _Known,
        send: Callable[[dict[str, Any], dict[str, Any], float], T],
        deadline: float,
    ) -> T:
        """Return what `send(arguments, patch, deadline)` gives for `request`.

        A request that has stopped the runner is sent once more without its schema, which mostly is the cause; the
        reply's format validates it all the same.
        """
        constrained = not self._schema_crashes or self._schema_crashes.get(_schema(request), 0) < _CRASHES
        while True:
            given, patch = arguments(request, known.facts, known.settings, constrained=constrained)
            if self._crashed and _content(given, patch) in self._crashed:
                if given["format"] is None:
                    raise _crashed_before(self._model)
                constrained = False
                continue
            try:
                found = self.server.retried(partial(send, given, patch), deadline)
            except Fault as fault:
                if fault.sort is not Sort.CRASH or not self._freed(given, patch, request):
                    raise self._error(fault, request, known, deadline=deadline) from fault
                constrained = False
                continue
            if self._schema_crashes and given["format"] is not None:
                self._schema_crashes.pop(_schema(request), None)
            return found

    def _freed(self, given: dict[str, Any], patch: dict[str, Any], request: Request) -> bool:
        """Remember a request that has stopped the runner; return whether it can go without its schema."""
        self._crashed.add(_content(given, patch))
        if given["format"] is None:
            return False
        schema = _schema(request)
        count = self._schema_crashes[schema] = self._schema_crashes.get(schema, 0) + 1
        if count == _CRASHES:
            _LOG.warning("a schema has stopped the runner of %s %d times; it is left out now", self._model, count)
        return True

    def _error(
        self,
        fault: Fault,
        request: Request | None,
        known: _Known,
        estimate: int | None = None,
        deadline: float | None = None,
    ) -> ModelError:
        if fault.sort is Sort.OVERFLOW:
            if request is not None:
                estimate = estimated_tokens(request)
            # The server has counted more than there is room for, also if the guess is lower.
            estimate = max(estimate or 0, (known.room or 0) + 1)
        return self.server.error(fault, self._model, estimate, known.room, deadline)

    def _check_whole(self, counted: int | None, request: Request, known: _Known) -> None:
        """Find out a prompt that was shortened in silence, on servers that know no `truncate`.

        Raises:
            ContextOverflow: it was.
        """
        room = known.room
        if counted is None or room is None or not known.facts.version.before(0, 12, 6):
            return
        if is_shortened(counted, request, room):
            guess = max(estimated_tokens(request), room + 1)
            raise context_overflow(prompt_tokens=guess, context_tokens=room, estimated=True)

    # Streams ------------------------------------------------------------------------------------------------

    def _events(self, first: Any, chunks: Iterator[Any], request: Request, known: _Known) -> Iterator[StreamEvent]:
        yield StreamStartEvent(model=request.model)
        piece, repeated, calls, chunk, texts = "", 0, 0, first, 0
        while chunk is not None:
            message = chunk.message
            if message.thinking:
                texts = 1  # the text is the part behind the thoughts
                yield StreamDeltaEvent(ThinkingDelta(message.thinking))
            if message.content:
                yield StreamDeltaEvent(TextDelta(message.content, part_index=texts))
                same = message.content.strip() == piece
                piece, repeated = message.content.strip(), repeated + 1 if same else 1
            for call in tool_calls(message.model_dump(), calls):
                calls += 1
                delta = ToolCallDelta(
                    canonical_json(call.input, escaped=True), part_index=texts + calls, id=call.id, name=call.name
                )
                yield StreamDeltaEvent(delta)
            if chunk.done:
                self._check_whole(chunk.prompt_eval_count, request, known)
                reason = "length" if chunk.done_reason == "length" else "tool_call" if calls else "stop"
                yield end_event(reason, Usage(chunk.prompt_eval_count, chunk.eval_count))
                return
            chunk = next(chunks, None)
        if repeated < _REPEATED:
            raise Fault(Kind.CUT, "the stream ended without its last piece")
        yield end_event("length", Usage())  # the server breaks off what repeats itself, and says no more


def _difference(before: Identity, now: Identity) -> str:
    old, new = before.to_json(), now.to_json()
    return "; ".join(f"{name} was {shown(old[name])}, is {shown(new[name])}" for name in old if old[name] != new[name])


def _content(given: dict[str, Any], patch: dict[str, Any]) -> str:
    return content_key([repr(given), patch], escaped=True)


def _schema(request: Request) -> str:
    return canonical_json(request.config.response_format, escaped=True)


def _crashed_before(model: str) -> ModelError:
    return refused(
        f"This request has stopped the runner of {model!r} before, and is not sent again. Change it, or read the "
        "server's log for the cause."
    )
