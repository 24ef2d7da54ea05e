"""The in-process engine: llama.cpp over one weight file.

A reply never depends on earlier calls (`prefixes.py`), nor on how many calls are answered at once: each has a context
of its own (`slots.py`).

Nor does it depend on the number of threads: llama.cpp's flash attention splits a long context between them and adds
up the parts, so replies to prompts above some 500 tokens would differ with it (15 of 30 did, on one thread and two).
It is off; without a graphics card it is not faster either.
"""

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm.engine import (
    Capabilities,
    Identity,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from tunesmith.lm.engines.llamacpp.chat import body_of, check_answer, events_of, response_of
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
    """Return the engine for a weight file; what is asked for under one name is loaded once per process.

    Raises:
        UsageError: the file is not a GGUF file, or a setting is out of range.
        ModelMissing: the `embedded` extra is not installed.
    """
    facts = read_gguf(path)
    context = min(facts.trained_context or MAX_CONTEXT, MAX_CONTEXT) if num_ctx is None else num_ctx
    if context < 16:
        raise UsageError(f"`num_ctx` must be at least 16 tokens. Given: {context}.")
    count = threads or usable_cores()
    digest = file_sha256(path)
    slots = min(slots, count)  # more contexts than threads would only take turns
    key = (name, digest, context, count, slots)  # the name is part of the identity that an artifact holds
    with _LOADED_LOCK:
        engine = _LOADED.get(key)
        if engine is None:
            engine = LlamaCppEngine(name, path, digest=digest, num_ctx=context, threads=count, slots=slots)
            _LOADED[key] = engine
    return engine


class LlamaCppEngine:
    """One weight file in this process, loaded at the first call.

    A forked process loads the model anew, if it asks it, and has it until its end.

    Args:
        name: what the user calls the model.
        path: the GGUF file.
        digest: its sha256.
        num_ctx: context length in tokens.
        threads: computing threads, of all slots together.
        slots: calls at once; more of them wait for their turn.
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
        )
        self.identity = Identity(
            backend=f"llamacpp {library_version()}",
            model=name,
            digest=digest,
            details=(("flash_attention", "off"), ("num_ctx", str(num_ctx))),
        )

    def complete(self, request: Request) -> Response:
        """Answer `request`; see `Engine.complete`."""
        return response_of(self._ask(body_of(request)), request)

    def stream(self, request: Request) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
        """Answer piece by piece; closing the iterator frees the slot after the next token."""
        body = {**body_of(request), "stream": True, "stream_options": {"include_usage": True}}
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
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            pieces.put(error)

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
        """Leave the model to the process that loaded it; the next call here loads it anew. See `given_up_in_forks`."""
        found = [*self._slots.loaded(), self._states]
        self._begin()
        return found

    def _begin(self) -> None:
        self._states = StateFolder()
        self._slots = Slots(self._load, count=self._count, threads=self._threads)
        self._prefixes = Prefixes(self._slots, self._states)

    def _load(self, threads: int) -> Context:
        return Context(self._path, num_ctx=self._num_ctx, threads=threads, states=self._states.path)

    def _ask(self, body: dict[str, Any], take: Any = None) -> dict[str, Any]:
        with self._slots.take() as context:
            there = self._prefixes.bring(context, body["messages"])
            return context.chat({**body, "cache_prompt": there}, take)


_LOADED: dict[tuple[str, str, int, int, int], LlamaCppEngine] = {}
_LOADED_LOCK = threading.Lock()


def _renew_lock() -> None:
    global _LOADED_LOCK  # a thread that may hold it is not in a forked process
    _LOADED_LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
