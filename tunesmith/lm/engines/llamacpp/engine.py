"""The in-process engine: llama.cpp through xllamacpp, the only file that imports it.

A reply never depends on earlier calls. llama.cpp reuses whatever its slot still holds, and a reused cell was
computed in another batch, so greedy replies can differ in rare cases with the order of calls. Here the slot's
state after the shared prefix (everything before the last message) is saved once and restored before each call:
the engine always starts from the same bytes, and skips reading the prefix again.

Nor does it depend on the number of threads: llama.cpp's flash attention splits a long context between them and adds
up the parts, so replies to prompts above some 500 tokens would differ with it (15 of 30 did, on one thread and two).
It is off; without a graphics card it is not faster either.
"""

import contextlib
import hashlib
import http.client
import importlib
import json
import os
import queue
import secrets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelMissing, UsageError
from tunesmith.lm.engine import (
    Capabilities,
    Config,
    Identity,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TokenLogprob,
    TopLogprob,
    Usage,
    context_overflow,
    message_text,
    refused,
    text_response,
    unavailable,
)
from tunesmith.lm.engines.llamacpp.forks import given_up_in_forks, not_freed_in_forks
from tunesmith.lm.engines.llamacpp.gguf import read_gguf
from tunesmith.lm.engines.llamacpp.prefix_states import StateFolder
from tunesmith.lm.options import LLAMACPP
from tunesmith.lm.weights.models import file_sha256
from tunesmith.signatures import wide_integers

__all__ = ["LlamaCppEngine", "load_engine"]

MAX_CONTEXT = 8192
_CALL_TIMEOUT = 600
_DUMMY = "."  # stands for the last message while a prefix is read for the first time


def load_engine(name: str, path: Path, *, num_ctx: int | None, threads: int | None) -> "LlamaCppEngine":
    """Return the engine for a weight file; what is asked for under one name is loaded once per process.

    Raises:
        UsageError: the file is no GGUF file, or a setting is out of range.
        ModelMissing: the `embedded` extra is not installed.
    """
    facts = read_gguf(path)
    context = min(facts.trained_context or MAX_CONTEXT, MAX_CONTEXT) if num_ctx is None else num_ctx
    if context < 16:
        raise UsageError(f"`num_ctx` must be at least 16 tokens. Given: {context}.")
    count = threads or _cores()
    digest = file_sha256(path)
    key = (name, digest, context, count)  # the name is part of the identity that an artifact holds
    with _LOADED_LOCK:
        engine = _LOADED.get(key)
        if engine is None:
            engine = LlamaCppEngine(name, path, digest=digest, num_ctx=context, threads=count)
            _LOADED[key] = engine
    return engine


class LlamaCppEngine:
    """One weight file in this process. The model is loaded at the first call; calls are answered one by one.

    A forked process loads the model anew, if it asks it, and has it until its end.

    Args:
        name: what the user calls the model.
        path: the GGUF file.
        digest: its sha256.
        num_ctx: context length in tokens.
        threads: computing threads.
    """

    capabilities = Capabilities(
        constraints=frozenset({"json_object", "json_schema", "grammar"}),
        logprobs=50,
        embeddings=True,
        slots=1,
    )
    request_options = LLAMACPP

    def __init__(self, name: str, path: Path, *, digest: str, num_ctx: int, threads: int) -> None:
        self._path, self._num_ctx, self._threads = path, num_ctx, threads
        self._lock = threading.Lock()  # one slot, one call
        self._server: Any = None
        self._states: StateFolder | None = None
        self._api_key = secrets.token_hex(16)
        self._known: set[str] = set()  # constraints that llama.cpp has accepted
        given_up_in_forks(self)
        self.identity = Identity(
            backend=f"llamacpp {_version()}",
            model=name,
            digest=digest,
            details=(("flash_attention", "off"), ("num_ctx", str(num_ctx))),
        )

    def complete(self, request: Request) -> Response:
        """Answer `request`; see `Engine.complete`."""
        body = self._body(request)
        with self._lock:
            self._prepare(request)
            reply = self._ask(body)
        return _response(reply, request)

    def stream(self, request: Request) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
        """Answer piece by piece; closing the iterator frees the slot after the next token."""
        body = {**self._body(request), "stream": True, "stream_options": {"include_usage": True}}
        pieces: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()
        worker = threading.Thread(target=self._feed, args=(request, body, pieces, stop), daemon=True)
        worker.start()
        try:
            yield from _events(pieces, request)
        finally:
            stop.set()
            worker.join()

    def _feed(self, request: Request, body: dict[str, Any], pieces: "queue.Queue[Any]", stop: threading.Event) -> None:
        def take(chunk: Any) -> bool:
            pieces.put(chunk)
            return stop.is_set()

        try:
            with self._lock:
                self._prepare(request)
                self._ask(body, take)
            pieces.put(None)
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            pieces.put(error)

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one mean-pooled vector per text, in order.

        Raises:
            RequestRefused: a text is longer than one batch.
        """
        with self._lock:
            reply = self._loaded().handle_embeddings({"input": texts})
        _check(reply)
        return [item["embedding"] for item in sorted(reply["data"], key=lambda item: item["index"])]

    def close(self) -> None:
        """Unload the model; the next call loads it again."""
        with self._lock:
            self._server = None
            if self._states is not None:
                self._states.close()
                self._states = None

    def give_up(self) -> list[object]:
        """Leave the model to the process that loaded it; the next call here loads it anew. See `given_up_in_forks`."""
        found = [thing for thing in (self._server, self._states) if thing is not None]
        self._server = self._states = None
        self._lock = threading.Lock()  # the thread that may hold it is not in this process
        return found

    def _loaded(self) -> Any:
        if self._server is None:
            self._states = StateFolder()
            with _quiet():
                server = _serve(self._path, self._num_ctx, self._threads, self._states.path, self._api_key)
            self._server = not_freed_in_forks(server)
        return self._server

    def _prepare(self, request: Request) -> None:
        """Bring the slot to the state after the request's prefix."""
        self._loaded()
        states = self._states
        assert states is not None  # set together with the server
        prefix = _messages(request)[:-1]
        name = hashlib.sha256(json.dumps(prefix).encode()).hexdigest()[:32] + ".bin"
        if states.has(name):
            try:
                self._http("/slots/0?action=restore", {"filename": name})
            except OSError:
                states.drop(name)
            else:
                return
        reply = self._ask(
            {
                "messages": [*prefix, {"role": "user", "content": _DUMMY}],
                "max_tokens": 1,
                "temperature": 0,
                "cache_prompt": False,
                "id_slot": 0,
            }
        )
        if "error" not in reply:  # else the real request says what is wrong
            with contextlib.suppress(OSError):  # without a state the next call reads the prefix again
                self._http("/slots/0?action=save", {"filename": name})
                states.add(name)
                self._http("/slots/0?action=restore", {"filename": name})

    def _body(self, request: Request) -> dict[str, Any]:
        if request.tools:
            raise refused(
                "The in-process engine has no native tool calls. Describe the tools in the signature "
                "(`dspy.ReAct` does) or use a server that has them."
            )
        return {
            "messages": _messages(request),
            "cache_prompt": True,
            "id_slot": 0,
            **_options(request.config),
        }

    def _ask(self, body: dict[str, Any], callback: Any = None) -> dict[str, Any]:
        constraint = json.dumps([body.get("grammar"), body.get("response_format")])
        # llama.cpp writes about constraints it does not like straight to stderr.
        silence = contextlib.nullcontext() if constraint in self._known else _quiet()
        try:
            with silence:
                if callback is None:
                    reply = self._loaded().handle_chat_completions(body)
                else:
                    self._loaded().handle_chat_completions(body, callback)
                    reply = {}
        except (ValueError, RuntimeError) as error:
            raise refused(
                f"llama.cpp refused the request: {error}. Check the schema or grammar it was given."
            ) from error
        self._known.add(constraint)
        return reply

    def _http(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        host = self._server.listening_address.split("//")[1]
        connection = http.client.HTTPConnection(host, timeout=_CALL_TIMEOUT)
        try:
            headers = {
                "Authorization": f"Bearer {self._api_key}",
                "Content-Type": "application/json",
            }
            connection.request("POST", path, json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            raise OSError(f"the loopback server broke off: {error}") from error
        finally:
            connection.close()
        if reply.status != 200:
            raise OSError(f"{path} answered {reply.status}: {text[:200]!r}")
        return json.loads(text)


_LOADED: dict[tuple[str, str, int, int], LlamaCppEngine] = {}
_LOADED_LOCK = threading.Lock()
_STDERR_LOCK = threading.RLock()


def _renew_locks() -> None:
    global _LOADED_LOCK, _STDERR_LOCK  # a thread that may hold one is not in a forked process
    _LOADED_LOCK, _STDERR_LOCK = threading.Lock(), threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)


def _cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _library() -> Any:
    # Spinning OpenMP threads starve each other on busy machines; libgomp reads this when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ModelMissing(
            "The in-process engine needs the `embedded` extra. Install it: pip install 'tunesmith[embedded]'."
        ) from error


def _version() -> str:
    return str(getattr(_library(), "__version__", "unknown"))


def _serve(path: Path, num_ctx: int, threads: int, states: Path, api_key: str) -> Any:
    library = _library()
    params = library.CommonParams()
    params.model.path = str(path)
    params.n_ctx = num_ctx
    params.n_parallel = 1
    params.verbosity = 0
    params.warmup = False
    params.cache_ram_mib = 0
    params.embedding = True
    params.pooling_type = library.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.slot_save_path = f"{states}{os.sep}"
    params.endpoint_slots = True
    params.api_keys = [api_key]
    try:
        return library.Server(params)
    except (RuntimeError, ValueError) as error:
        raise unavailable(
            f"llama.cpp could not load {str(path)!r}: {error}. "
            "Check that the file is whole and that there is enough memory."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for a moment; Python's own stderr is flushed first."""
    with _STDERR_LOCK:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


def _messages(request: Request) -> list[dict[str, str]]:
    found = []
    if request.system is not None:
        system = request.system
        text = system if isinstance(system, str) else message_text(Message("user", tuple(system)))
        found.append({"role": "system", "content": _text(text)})
    found += [{"role": m.role, "content": _text(message_text(m))} for m in request.messages]
    return found


def _text(text: str | None) -> str:
    if text is None:
        raise refused("The in-process engine reads text only; the request holds other content.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refused(
            "The request holds a lone surrogate, which is no text. Repair the input first, for instance "
            "with `text.encode('utf-8', 'replace').decode()`."
        ) from error
    return text


def _options(config: Config) -> dict[str, Any]:
    body: dict[str, Any] = {
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "response_format": _schema(config.response_format),
        "stop": list(config.stop) or None,
    }
    if config.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": max(1, config.logprobs)}
    body |= dict(config.extensions or {})
    return {name: value for name, value in body.items() if value is not None}


def _schema(wanted: Any) -> dict[str, Any] | None:
    """Return a canonical `response_format` in llama.cpp's form."""
    if wanted is None or wanted.get("type") != "json_schema":
        return wanted
    schema = {"name": wanted.get("name", "reply"), "schema": wide_integers(wanted["schema"]), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _check(reply: dict[str, Any]) -> None:
    error = reply.get("error")
    if error is None:
        return
    if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
        raise context_overflow(prompt_tokens=error.get("n_prompt_tokens"), context_tokens=error.get("n_ctx"))
    text = error.get("message", error) if isinstance(error, dict) else error
    raise refused(f"llama.cpp refused the request: {text}.")


def _response(reply: dict[str, Any], request: Request) -> Response:
    _check(reply)
    choice = reply["choices"][0]
    usage = reply.get("usage", {})
    return text_response(
        choice["message"].get("content") or "",
        model=request.model,
        finish_reason="length" if choice["finish_reason"] == "length" else "stop",
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        logprobs=_logprobs(choice),
    )


def _logprobs(choice: dict[str, Any]) -> tuple[TokenLogprob, ...] | None:
    content = (choice.get("logprobs") or {}).get("content")
    if content is None:
        return None
    return tuple(
        TokenLogprob(
            item["token"],
            float(item["logprob"]),
            tuple(item["bytes"]),
            top=tuple(
                TopLogprob(top["token"], float(top["logprob"]), tuple(top["bytes"]))
                for top in item.get("top_logprobs", ())
            ),
        )
        for item in content
    )


def _events(
    pieces: "queue.Queue[Any]", request: Request
) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
    yield StreamStartEvent(model=request.model)
    reason, usage = "stop", Usage()
    while (chunk := pieces.get()) is not None:
        if isinstance(chunk, Exception):
            raise chunk
        for item in chunk if isinstance(chunk, list) else [chunk]:
            _check(item)
            if item.get("usage"):
                usage = Usage(item["usage"]["prompt_tokens"], item["usage"]["completion_tokens"])
            for choice in item.get("choices", ()):
                if text := choice.get("delta", {}).get("content"):
                    yield StreamDeltaEvent(TextDelta(text))
                if choice.get("finish_reason") == "length":
                    reason = "length"
    yield StreamEndEvent(finish_reason=reason, usage=usage)  # type: ignore[arg-type]  # a Literal upstream
