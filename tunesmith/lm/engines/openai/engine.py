"""Servers that speak OpenAI's protocol: vLLM, TGI, llama.cpp's server, Ollama's `/v1`, and others.

Such a server knows its model by a name only, so its identity is unverified: name, address and the `revision=` the
user gives stand for the weights.
"""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from tunesmith.errors import ModelUnavailable, RequestRefused, shown
from tunesmith.lm.engine import (
    Capabilities,
    Identity,
    Reasoning,
    Request,
    Response,
    StreamEndEvent,
    StreamEvent,
    context_overflow,
    refused,
)
from tunesmith.lm.engines.ollama.cloud import cloud_model_refused, is_cloud_tag
from tunesmith.lm.engines.ollama.errors import no_vectors
from tunesmith.lm.engines.ollama.facts import OwnTurns, can_think, full_name, is_handed_on, own_turns, served_models
from tunesmith.lm.engines.ollama.request import estimated_tokens, is_shortened
from tunesmith.lm.engines.openai.address import checked_headers
from tunesmith.lm.engines.openai.dialects import DIALECTS, Dialect, detect, get_dialect
from tunesmith.lm.engines.openai.reply import read_events, read_reply
from tunesmith.lm.engines.openai.request import chat_body
from tunesmith.lm.engines.openai.server import Server
from tunesmith.lm.waiting import Policy

__all__ = ["POLICY", "OpenAIEngine"]

_ANSWER_SECONDS = 600.0  # a slow model on a slow machine
POLICY = Policy(attempts=4, pause=0.5)
_SMALLEST_CONTEXT = 128  # tokens; a prompt below it fits anywhere
_ABSENT_SECONDS = 10.0  # for so long a server that was away is not asked what it can do


class OpenAIEngine:
    """One model behind an OpenAI-compatible server.

    A busy or faltering server is asked again up to three times; see `Server.ask`.

    Args:
        model: its name there.
        base_url: address of the API, such as `http://localhost:8000/v1`; a bare host gets `/v1`.
        api_key: sent as a bearer token, never in clear text to another machine.
        dialect: which kind of server it is, one of `DIALECTS`; default: its own pages are asked at the first need.
        revision: what you call these weights; part of the identity.
        timeout: seconds for one attempt, from connecting to the last byte of the reply; of a stream to its beginning,
            and for every pause in it.
        headers: sent with every request.
        policy: how often a request is sent, and how long to wait between.
        slots: requests the server works on at once.
        cloud: whether the model may be one that an Ollama server hands on to the cloud. Without it the server is asked
            once, before the first text, also if `dialect` says that it is another.

    Raises:
        UsageError: an argument that cannot be used, or a key that would travel in clear text.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        api_key: str | None = None,
        dialect: str | None = None,
        revision: str | None = None,
        timeout: float = _ANSWER_SECONDS,
        headers: Mapping[str, str] | None = None,
        policy: Policy = POLICY,
        slots: int = 1,
        cloud: bool = False,
    ) -> None:
        sent = checked_headers(headers or {}, api_key)
        self._model, self._slots, self._admitted = model, slots, cloud
        self._server = Server(base_url, headers=sent, timeout=timeout, policy=policy)
        self._dialect = None if dialect is None else get_dialect(dialect)
        self._given = dialect is not None
        self._facts: Mapping[str, Any] = {}
        self._ask_again, self._warned = 0.0, False
        details = (("address", self._server.url), ("revision", revision))
        self.identity = Identity("openai", model, details=tuple((n, v) for n, v in details if v is not None))

    @property
    def dialect(self) -> Dialect:
        """Which kind of server answers.

        Raises:
            ModelUnavailable: the server does not answer.
        """
        return self._found(patient=True)

    def _found(self, *, patient: bool) -> Dialect:
        if self._dialect is None:
            self._dialect = detect(lambda path: self._server.page(path, patient=patient))
        if self._dialect.name == "ollama" and not self._warned:
            self._warned = True
            warnings.warn(
                "Ollama's `/v1` cuts a prompt that does not fit without a word and cannot be told the context length. "
                "Only a plain cut is found out afterwards, by the tokens it counted. It takes no `repeat_penalty`, "
                "whose default was 1.1 up to version 0.24 and is 1.0 now: replies change with an update. Use "
                f"`ollama/{self._model}`, which has none of these weaknesses.",
                RuntimeWarning,
                stacklevel=3,
            )
        return self._dialect

    def _admitting(self) -> Dialect:
        """Return the dialect, once it is known that the model may be asked.

        Raises:
            ModelMissing: an Ollama server would hand the request on to the cloud, and the user gave no leave.
            ModelUnavailable: the server does not answer.
        """
        if not self._admitted and is_cloud_tag(self._model):  # by its name alone, before anything is sent
            raise cloud_model_refused(self._model)
        dialect = self.dialect
        if not self._admitted and self._is_ollama(dialect) and is_handed_on(self._model, self._shown()):
            raise cloud_model_refused(self._model)
        self._admitted = True
        return dialect

    def _is_ollama(self, dialect: Dialect) -> bool:
        """Return whether it is an Ollama server, also if the user gave another dialect for it."""
        return dialect.name == "ollama" or (self._given and "version" in (self._server.page("/api/version") or {}))

    def _shown(self, *, patient: bool = True) -> Mapping[str, Any]:
        """Return what an Ollama server says of the model; empty if it does not have it."""
        if not self._facts:
            self._facts = self._server.page("/api/show", {"model": self._model}, patient=patient) or {}
        return self._facts

    def _body(self, request: Request, *, stream: bool = False) -> dict[str, Any]:
        """Return what to send for `request`. On Ollama a model thinks only if the request asks for it."""
        dialect = self._admitting()
        if request.config.reasoning is None and dialect.name == "ollama" and can_think(self._shown()):
            request = replace(request, config=replace(request.config, reasoning=Reasoning("off")))
        return chat_body(request, self._model, dialect, stream=stream)

    def _check_whole(self, counted: int | None, request: Request) -> None:
        """Find out a prompt that Ollama's `/v1` shortened in silence, as far as the tokens that it counted show it.

        The context that the model really has is asked of the server's own API, after the call that loaded it. Another
        client may have had it loaded with another one since.

        Raises:
            ContextOverflow: it was shortened.
        """
        guess = estimated_tokens(request)
        if counted is None or self._dialect is not DIALECTS["ollama"] or max(counted, guess) < _SMALLEST_CONTEXT:
            return
        room = self._room()
        if is_shortened(counted, request, room):
            room = None if room is None or room < counted or room > guess else room
            raise context_overflow(prompt_tokens=max(guess, (room or counted) + 1), context_tokens=room, estimated=True)

    def _room(self) -> int | None:
        """Return the tokens of context that the model has in the server's memory, `None` if it is not there now."""
        try:
            loaded = served_models(self._server.page("/api/ps", patient=False) or {})
        except ModelUnavailable:
            return None
        wanted = full_name(self._model)
        return next((model.context for model in loaded if full_name(model.name) == wanted), None)

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do; while it is away, what every such server can."""
        found, thinking = DIALECTS["openai"], False
        if self._dialect is not None or time.monotonic() >= self._ask_again:
            try:
                found = self._found(patient=False)
                thinking = found.name == "ollama" and can_think(self._shown(patient=False))
            except ModelUnavailable:
                # Programs ask before every call, also if all their replies are in the cache.
                self._ask_again = time.monotonic() + _ABSENT_SECONDS
        return found.capabilities._replace(slots=self._slots, thinking=thinking)

    @property
    def own_turns(self) -> OwnTurns:
        """What an Ollama server puts into every prompt of its own; of other servers nothing is known.

        Raises:
            ModelUnavailable: the server does not answer.
        """
        if self.dialect.name != "ollama":
            return OwnTurns()
        return own_turns(self._shown())

    def complete(self, request: Request) -> Response:
        """Answer `request`; see `Engine.complete`."""
        body = self._body(request)
        data = self._server.ask("/chat/completions", body, falters=self._falters)
        try:
            reply = read_reply(data, request.model)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise self._server.no_api(f"it sent {shown(data)}") from error
        self._check_whole(reply.usage.input_tokens, request)
        return reply

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer piece by piece; closing the iterator closes the connection, which frees the server's slot."""
        body = self._body(request, stream=True)
        with closing(self._server.stream("/chat/completions", body, falters=self._falters)) as chunks:
            for event in read_events(chunks, request.model):
                if isinstance(event, StreamEndEvent) and event.usage is not None:
                    self._check_whole(event.usage.input_tokens, request)
                yield event

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order.

        Raises:
            RequestRefused: the server has no embeddings for this model.
            ContextOverflow: a text is too long.
        """
        dialect = self._admitting()
        if not dialect.capabilities.embeddings:
            raise refused(f"A server of the dialect `{dialect.name}` has no embeddings.")
        if not texts:
            return []
        body: dict[str, Any] = {"model": self._model, "input": texts}
        ask = self._embed_on_ollama if dialect.name == "ollama" else self._embed
        return ask(body)

    def _embed(self, body: dict[str, Any]) -> list[list[float]]:
        reply = self._server.ask("/embeddings", body, falters=self._falters)
        try:
            found = sorted(reply["data"], key=lambda item: item["index"])
            return [[float(value) for value in item["embedding"]] for item in found]
        except (KeyError, TypeError, ValueError) as error:
            raise refused(f"The server at {self._server.url} sent no embeddings but {shown(reply)}.") from error

    def _embed_on_ollama(self, body: dict[str, Any]) -> list[list[float]]:
        """Ask Ollama's own interface: its `/v1` cuts a text that does not fit, and cannot be forbidden to."""
        try:
            reply = self._server.ask("/api/embed", {**body, "truncate": False}, rooted=True)
            return [[float(value) for value in vector] for vector in reply["embeddings"]]
        except RequestRefused as error:
            if "does not support embeddings" not in str(error):
                raise
            raise no_vectors(self._model, self._server.url) from error
        except (KeyError, TypeError, ValueError) as error:
            raise refused(f"The server at {self._server.url} sent no embeddings.") from error

    def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            ModelUnavailable: there is none.
        """
        self._server.ping()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._server.close()

    @property
    def _falters(self) -> bool:
        # A service's 500 passes; a local server says so of the request that it failed on.
        return self._dialect is DIALECTS["openai"]
