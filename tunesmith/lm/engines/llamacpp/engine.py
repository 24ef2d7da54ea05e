"""The in-process engine: llama.cpp with one weight file.

A reply depends neither on earlier calls (`prefixes.py`) nor on concurrent calls: each call has its own context
(`slots.py`).

It does not depend on the number of threads, because flash attention is off. Flash attention splits a long context
between threads and adds up the parts, so that replies to prompts above 500 tokens differ with the number of threads
(15 of 30 did, with one and two threads). On a CPU it is not faster.
"""

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.lm.engine import (
    Capabilities,
    Identity,
    Request,
    Response,
    StreamEvent,
    refused,
)
from tunesmith.lm.engines.llamacpp.chat import body_of, check_answer, events_of, forced_body, response_of
from tunesmith.lm.engines.llamacpp.context import Context, library_version
from tunesmith.lm.engines.llamacpp.cores import usable_cores
from tunesmith.lm.engines.llamacpp.forks import given_up_in_forks
from tunesmith.lm.engines.llamacpp.gguf import read_gguf
from tunesmith.lm.engines.llamacpp.prefixes import Prefixes, StateFolder
from tunesmith.lm.engines.llamacpp.slots import Slots
from tunesmith.lm.options import LLAMACPP
from tunesmith.lm.weights.models import file_sha256

__all__ = ["LlamaCppEngine", "load_engine"]

MAX_CONTEXT = 8192


def load_engine(name: str, path: Path, *, num_ctx: int | None, threads: int | None, slots: int = 1) -> "LlamaCppEngine":
    """Return the engine for a weight file. Each combination of name, file and settings is loaded once per process.

    Raises:
        UsageError: the file is not a GGUF file.
        ModelMissing: the `embedded` extra is not installed.
    """
    facts = read_gguf(path)
    context = min(facts.trained_context or MAX_CONTEXT, MAX_CONTEXT) if num_ctx is None else num_ctx
    count = threads or usable_cores()
    digest = file_sha256(path)
    slots = min(slots, count)  # with more contexts than threads, contexts would wait for threads
    key = (name, digest, context, count, slots)  # the name is part of the identity in an artifact
    with _LOADED_LOCK:
        engine = _LOADED.get(key)
        if engine is None:
            engine = LlamaCppEngine(name, path, digest=digest, num_ctx=context, threads=count, slots=slots)
            _LOADED[key] = engine
    return engine


class LlamaCppEngine:
    """One weight file in this process, loaded at the first call.

    A forked process loads the model again at its first call, and keeps it until it ends.

    Args:
        name: of the model, as the user writes it.
        path: the GGUF file.
        digest: its sha256.
        num_ctx: context length in tokens.
        threads: computing threads of all slots together.
        slots: number of concurrent calls; others wait.
    """

    request_options = LLAMACPP

    def __init__(self, name: str, path: Path, *, digest: str, num_ctx: int, threads: int, slots: int) -> None:
        self._path, self._num_ctx, self._threads, self._count = path, num_ctx, threads, slots
        self._begin()
        given_up_in_forks(self)
        self.capabilities = Capabilities(
            constraints=frozenset({"json_object", "json_schema", "grammar"}),
            logprobs=50,
            embeddings=True,
            slots=slots,
            forced=True,
        )
        self.identity = Identity(
            backend=f"llamacpp {library_version()}",
            model=name,
            digest=digest,
            details=(("flash_attention", "off"), ("num_ctx", str(num_ctx))),
        )

    def complete(self, request: Request) -> Response:
        """Answer `request`; see `Engine.complete`."""
        body = body_of(request)
        if "forced" not in body:
            return response_of(self._ask(body), request)
        with self._slots.take() as context:
            body, count = forced_body(body, context.tokens)
            restored = self._prefixes.bring(context, body["messages"])
            response = response_of(context.chat({**body, "cache_prompt": restored}), request)
        return replace(response, logprobs=(response.logprobs or ())[:count])  # without the token that ends the reply

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer piece by piece. Closing the iterator frees the slot after the next token."""
        body = body_of(request)
        if "forced" in body:
            raise refused("A reply that is given with `forced` is not streamed. Ask for it without streaming.")
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        pieces: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()
        worker = threading.Thread(target=self._feed, args=(body, pieces, stop), daemon=True)
        worker.start()
        try:
            yield from events_of(pieces, request)
        finally:
            stop.set()
            worker.join()

    def _feed(self, body: dict[str, Any], pieces: "queue.Queue[Any]", stop: threading.Event) -> None:
        def take(chunk: Any) -> bool:
            pieces.put(chunk)
            return stop.is_set()

        try:
            self._ask(body, take)
            pieces.put(None)
        except Exception as error:  # noqa: BLE001 - `events_of` raises it again in the reading thread
            pieces.put(error)

    def count_tokens(self, request: Request) -> int:
        """Return the tokens of a prompt, with what the model's template adds."""
        with self._slots.take() as context:
            return context.count(body_of(request))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one mean-pooled vector per text, in order.

        Raises:
            RequestRefused: a text is longer than one batch.
        """
        with self._slots.take() as context:
            reply = context.vectors(texts)
        check_answer(reply)
        return [item["embedding"] for item in sorted(reply["data"], key=lambda item: item["index"])]

    def close(self) -> None:
        """Unload the model; the next call loads it again."""
        self._slots.close()
        self._states.clear()

    def give_up(self) -> list[object]:
        """Drop the model in a forked process; the next call there loads it again. See `given_up_in_forks`."""
        dropped = [*self._slots.loaded(), self._states]
        self._begin()
        return dropped

    def _begin(self) -> None:
        self._states = StateFolder()
        self._slots = Slots(self._load, count=self._count, threads=self._threads)
        self._prefixes = Prefixes(self._slots, self._states)

    def _load(self, threads: int) -> Context:
        return Context(self._path, num_ctx=self._num_ctx, threads=threads, states=self._states.path)

    def _ask(self, body: dict[str, Any], take: Any = None) -> dict[str, Any]:
        with self._slots.take() as context:
            restored = self._prefixes.bring(context, body["messages"])
            return context.chat({**body, "cache_prompt": restored}, take)


_LOADED: dict[tuple[str, str, int, int, int], LlamaCppEngine] = {}
_LOADED_LOCK = threading.Lock()


def _renew_lock() -> None:
    global _LOADED_LOCK  # the thread that held the lock does not exist in a forked process
    _LOADED_LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
