"""The embedded model behind a fake model: llama.cpp in this process, through xllamacpp.

One slot, the prompt cache on, `cache_ram_mib` 0 and no saved states: what the slot holds is the last prompt, as on an
Ollama server with its defaults. The prompt is sent as token ids, so that the counts are those of the server.
"""

import contextlib
import gc
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

from tests.protocol.backends import Done, Job, Logprob, Piece
from tests.protocol.gbnf import grammar
from tests.protocol.tokens import Tokenizer, default_tokenizer
from tests.protocol.weights import weights_path

_CONTEXT = 8192
_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
)


# A forked process has not the threads of llama.cpp's server, and must not free one that nothing refers to any more.
os.register_at_fork(after_in_child=gc.freeze)


def embedded_backend(*, threads: int = 1) -> "EmbeddedBackend":
    """Return a backend with an instance of the embedded model of its own, loaded at the first call."""
    return EmbeddedBackend(threads=threads)


class EmbeddedBackend:
    """Answers with the embedded model.

    Attributes:
        prompt_tokens: prompt tokens read so far, llama.cpp's `timings.prompt_n` summed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self.prompt_tokens = 0
        self._threads = threads
        self._server: Any = None
        self._lock = threading.Lock()
        self._fresh = True

    @property
    def tokenizer(self) -> Tokenizer:
        return default_tokenizer()

    def run(self, job: Job) -> Iterator[Piece | Done]:
        body = self._body(job)
        pieces: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()

        def take(chunk: Any) -> bool:
            for item in chunk if isinstance(chunk, list) else [chunk]:
                pieces.put(item)
            return stop.is_set()

        worker = threading.Thread(target=self._feed, args=(body, take, pieces), daemon=True)
        with self._lock:
            body["cache_prompt"] = not self._fresh
            self._fresh = False
            worker.start()
            try:
                yield from self._events(pieces, job)
            finally:
                stop.set()
                worker.join()

    def embed(self, text: str) -> list[float]:
        with self._lock:
            reply = self._loaded().handle_embeddings({"input": [text]})
            self._fresh = True
        return list(reply["data"][0]["embedding"])

    def forget(self) -> None:
        self._fresh = True  # the next prompt is read as a whole

    def _events(self, pieces: "queue.Queue[Any]", job: Job) -> Iterator[Piece | Done]:
        reason = "stop"
        while True:
            try:
                item = pieces.get(timeout=0.01)
            except queue.Empty:
                job.gone()
                continue
            if isinstance(item, BaseException):
                raise item
            if "error" in item:
                raise RuntimeError(item["error"])
            for choice in item["choices"]:
                reason = choice["finish_reason"] or reason
                if choice["text"]:
                    yield Piece(choice["text"], _logprobs(choice, job.top))
            if "timings" in item:
                yield self._done(item["timings"], reason)
                return

    def _done(self, timings: dict[str, Any], reason: str) -> Done:
        self.prompt_tokens += timings["prompt_n"]
        prompt_ns, eval_ns = (max(1, int(timings[name] * 10**6)) for name in ("prompt_ms", "predicted_ms"))
        return Done(reason, timings["prompt_n"], prompt_ns, timings["predicted_n"], eval_ns)

    def _feed(self, body: dict[str, Any], take: Any, pieces: "queue.Queue[Any]") -> None:
        try:
            server = self._loaded()
            with _llamacpp().quiet() if "grammar" in body else contextlib.nullcontext():
                reply = server.handle_completions(body, take)
            if isinstance(reply, dict) and "error" in reply:
                raise RuntimeError(reply["error"])
        except BaseException as error:
            pieces.put(error)

    def _body(self, job: Job) -> dict[str, Any]:
        options = job.options
        limit = -1 if options["num_predict"] is None else options["num_predict"]
        body: dict[str, Any] = {
            "prompt": job.prompt,
            "stream": True,
            "id_slot": 0,
            "n_predict": min(limit, _CONTEXT - len(job.prompt)) if limit >= 0 else _CONTEXT - len(job.prompt),
            "seed": 0 if options["seed"] < 0 else options["seed"],
            "stop": options["stop"],
            **{name: options[name] for name in _SAMPLING},
        }
        if job.format is not None:
            body["grammar"] = grammar(job.format, leading=job.leading)
        if job.top is not None:
            body["n_probs"] = max(1, job.top)
        return body

    def _loaded(self) -> Any:
        if self._server is None:
            import xllamacpp

            params = _llamacpp().parameters(weights_path(), num_ctx=_CONTEXT, threads=self._threads)
            with _llamacpp().quiet():
                self._server = xllamacpp.Server(params)
        return self._server


def _llamacpp() -> Any:
    """Return what tunesmith knows of llama.cpp; a server whose models are scripted loads neither it nor DSPy."""
    from tunesmith.lm.engines.llamacpp import context

    return context


def _logprobs(item: dict[str, Any], top: int | None) -> list[Logprob]:
    if top is None:
        return []
    return [
        _entry(one) | ({"top_logprobs": [_entry(other) for other in one["top_logprobs"][:top]]} if top else {})
        for one in (item.get("logprobs") or {}).get("content", [])
    ]


def _entry(one: dict[str, Any]) -> Logprob:
    return {"token": one["token"], "logprob": one["logprob"], "bytes": one["bytes"]}
