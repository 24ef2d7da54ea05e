"""One llama.cpp context in this process. The only file that imports xllamacpp."""

import contextlib
import http.client
import importlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelMissing
from tunesmith.lm.engine import refused, unavailable
from tunesmith.lm.engines.llamacpp.cores import is_large
from tunesmith.lm.engines.llamacpp.forks import not_freed_in_forks

__all__ = ["Context", "library_version", "parameters", "quiet"]

_CALL_TIMEOUT = 600
_STDERR_LOCK = threading.RLock()


class Context:
    """One llama.cpp context, which holds one sequence of tokens, with its server. It answers one call at a time.

    Contexts of the same file share its weights in memory. Each context of the embedded model needs another 200 MB at
    8192 tokens.

    Args:
        path: the GGUF file.
        num_ctx: context length in tokens.
        threads: computing threads.
        states: the folder of `save` and `restore`.
    """

    def __init__(self, path: Path, *, num_ctx: int, threads: int, states: Path) -> None:
        self._key = secrets.token_hex(16)
        self._known: set[str] = set()  # constraints that llama.cpp has accepted before
        with quiet():
            self._server = not_freed_in_forks(_serve(path, num_ctx, threads, states, self._key))

    @property
    def address(self) -> str:
        """Host and port of the context's loopback server."""
        return str(self._server.listening_address.split("//")[1])

    def chat(self, body: dict[str, Any], take: Callable[[Any], bool] | None = None) -> dict[str, Any]:
        """Return llama.cpp's answer to a chat request, which may be an error.

        Args:
            body: the request.
            take: if given, receives the answer piece by piece, and returns whether to stop.

        Raises:
            RequestRefused: the schema or the grammar cannot be used.
        """
        body = {**body, "id_slot": 0}
        constraint = json.dumps([body.get("grammar"), body.get("response_format")])
        # llama.cpp writes errors of a constraint directly to stderr.
        silence = contextlib.nullcontext() if constraint in self._known else quiet()
        try:
            with silence:
                if take is None:
                    reply = self._server.handle_chat_completions(body)
                else:
                    self._server.handle_chat_completions(body, take)
                    reply = {}
        except (ValueError, RuntimeError) as error:
            raise refused(
                f"llama.cpp refused the request: {error}. Check the schema or grammar of the request."
            ) from error
        self._known.add(constraint)
        return dict(reply)

    def vectors(self, texts: list[str]) -> dict[str, Any]:
        """Return llama.cpp's answer to a request for one mean-pooled vector per text, which may be an error."""
        return dict(self._server.handle_embeddings({"input": texts}))

    def tokens(self, text: str) -> list[int]:
        """Return the tokens that the model reads `text` as.

        Raises:
            ModelUnavailable: the loopback server does not answer.
        """
        try:
            return [int(token) for token in self.post("/tokenize", {"content": text})["tokens"]]
        except OSError as error:
            raise unavailable(f"llama.cpp could not split a text into tokens: {error}.") from error

    def count(self, body: dict[str, Any]) -> int:
        """Return the tokens of a chat request's prompt; raises `OSError` if that fails."""
        prompt = self.post("/apply-template", body)["prompt"]
        return len(self.post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"])

    def save(self, name: str) -> None:
        """Write the state to the file `name`; raises `OSError` if that fails."""
        self.post("/slots/0?action=save", {"filename": name})

    def restore(self, name: str) -> None:
        """Restore the state in the file `name`; raises `OSError` if that fails."""
        self.post("/slots/0?action=restore", {"filename": name})

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the loopback server; raises `OSError` if there is none."""
        connection = http.client.HTTPConnection(self.address, timeout=_CALL_TIMEOUT)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            raise OSError(f"the loopback server broke the connection: {error}") from error
        finally:
            connection.close()
        if reply.status != 200:
            raise OSError(f"{path} answered {reply.status}: {text[:200]!r}")
        return dict(json.loads(text))


def _renew_lock() -> None:
    global _STDERR_LOCK  # the thread that held the lock does not exist in a forked process
    _STDERR_LOCK = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def library_version() -> str:
    """Return the version of xllamacpp.

    Raises:
        ModelMissing: the `embedded` extra is not installed.
    """
    return str(getattr(_library(), "__version__", "unknown"))


def _library() -> Any:
    # Spinning OpenMP threads slow each other down on busy machines. libgomp reads this setting when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ModelMissing(
            "The in-process engine needs the `embedded` extra. Install it: pip install 'tunesmith[embedded]'."
        ) from error


def parameters(path: Path, *, num_ctx: int, threads: int) -> Any:
    """Return xllamacpp's parameters of a server that has one sequence in memory and reads no other state."""
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
    return params


def _serve(path: Path, num_ctx: int, threads: int, states: Path, api_key: str) -> Any:
    library, params = _library(), parameters(path, num_ctx=num_ctx, threads=threads)
    params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # To find out whether the weights fit into memory, llama.cpp would first load the file without them.
    params.fit_params = is_large(path)
    params.slot_save_path = f"{states}{os.sep}"
    params.endpoint_slots = True
    params.api_keys = [api_key]
    try:
        return library.Server(params)
    except (RuntimeError, ValueError) as error:
        raise unavailable(
            f"llama.cpp could not load {str(path)!r}: {error}. "
            "Check that the file is complete and that there is enough memory."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Redirect file descriptor 2 to the null device, after a flush of Python's stderr."""
    with _STDERR_LOCK:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # the process has no stderr
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
