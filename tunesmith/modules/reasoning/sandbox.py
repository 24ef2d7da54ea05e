"""The door to pydantic-monty: run a program that a model wrote, in a worker process, under limits."""

import atexit
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError

if TYPE_CHECKING:
    from pydantic_monty import Monty, OSPolicy, ResourceLimits

__all__ = ["ANSWER", "Limits", "Ran", "check_sandbox", "run_python"]

ANSWER = "tunesmith_answer"
"""The variable that may hold a program's answer. Errors do not show it."""

_GRACE = 0.2  # seconds after which a worker that ignores its own clock is killed
_SHARE = 0.75  # of the stated memory: the interpreter counts what it holds and overshoots by one step
_FRAMES = 4  # of a traceback, the innermost ones
_ERROR_CHARACTERS = 300  # of a line of it
_OURS = ("tunesmith_read", "tunesmith_round")  # lines of the reader

# It reads the answer where it is, so that no more than the capped text leaves the worker. A program may have variables
# called `str` or `list`: the defaults keep the real ones. The interpreter's own `round` gives 2.68 for 2.675, as it
# multiplies first; its formatting is exact.
_READER = """
import json
def round(number, ndigits=None, tunesmith_round=round, float=float, int=int, isinstance=isinstance):
    if isinstance(number, float) and isinstance(ndigits, int) and 0 <= ndigits < 30:
        return float(f"{number:.{ndigits}f}")
    return tunesmith_round(number) if ndigits is None else tunesmith_round(number, ndigits)
def tunesmith_read(value, most, json=json, str=str, list=list, type=type, isinstance=isinstance, bool=bool, int=int,
                   float=float, tuple=tuple, dict=dict, TypeError=TypeError, ValueError=ValueError):
    if value is None:
        return ["none", ""]
    if isinstance(value, str):
        return ["text", value[: most + 1]]
    if isinstance(value, bool):
        return ["json", "true" if value else "false"]
    if isinstance(value, (int, float)):
        return [type(value).__name__, str(value)[: most + 1]]
    for convert in (lambda one: one, list):
        try:
            return ["json", json.dumps(convert(value))[: most + 1]]
        except (TypeError, ValueError):
            pass
    text = str(value)
    return ["none", ""] if text.startswith("<") else ["text", text[: most + 1]]
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: time to run; a worker that does not stop by itself is killed 0.2 s later.
        megabytes: memory of the program.
        depth: calls inside each other.
        characters: of what it prints, and of its answer.
    """

    seconds: float = 2.0
    megabytes: int = 64
    depth: int = 500
    characters: int = 10_000


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did.

    Attributes:
        kind: of the answer: `none`, `text`, `int`, `float` or `json`.
        answer: as a text, JSON if it is neither a text nor a number.
        printed: what it printed.
        error: why it ended without an answer, with its traceback; `None` if it did not fail.
    """

    kind: str = "none"
    answer: str = ""
    printed: str = ""
    error: str | None = None


class _Workers:
    """The pool of this process."""

    def __init__(self) -> None:
        self._pool: Monty | None = None
        self._lock = threading.Lock()
        self._inherited: Monty | None = None

    def get(self) -> "Monty":
        """Return the pool, made at the first call.

        Raises:
            UsageError: the process was forked from one that has a pool: the threads that serve it are not here.
        """
        if self._inherited is not None:
            raise UsageError(
                "A process that ran programs was forked, and programs cannot run in the fork. Start the process with "
                "`multiprocessing.get_context('spawn')`."
            )
        with self._lock:
            if self._pool is None:
                self._pool = _library().Monty(
                    feed_duration_limit_grace=_GRACE, turn_duration_limit_grace=_GRACE, max_checkouts_per_worker=10_000
                )
                self._pool.__enter__()
            return self._pool

    def close(self) -> None:
        """End the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(None, None, None)

    def forked(self) -> None:
        """Keep the pool of the parent, unused: closing it would end workers that are not ours."""
        self._inherited = self._inherited or self._pool
        self._pool, self._lock = None, threading.Lock()


_WORKERS = _Workers()
atexit.register(_WORKERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WORKERS.forked)


def _library() -> Any:
    try:
        import pydantic_monty  # here, because it is an extra
    except ImportError as error:
        raise UsageError(
            "Programs run in pydantic-monty, which is not installed. Install it: pip install 'tunesmith[pal]'."
        ) from error
    return pydantic_monty


def check_sandbox() -> None:
    """Check that programs can run here.

    Raises:
        UsageError: the `pal` extra is not installed.
    """
    _library()


def run_python(code: str, answer: str, inputs: Mapping[str, Any], limits: Limits) -> Ran:
    """Run a program and read its answer. It never raises for what a program does.

    The program has no files, network, environment or modules of this process, and sees no other program's variables.
    A worker process is reused; if one dies, the next program gets another one.

    Args:
        code: the program.
        answer: the expression that is its answer, evaluated after it; `None` as a text for none.
        inputs: variables of the program, JSON values by name.
        limits: what it may use.
    """
    library = _library()
    for retried in (False, True):
        try:
            return _run(code, answer, inputs, limits)
        except library.MontyCrashedError as error:
            if error.timed_out:
                return Ran(error=_late(limits))
            if retried:
                return Ran(error="The program ended the process that ran it.")
    raise AssertionError  # the loop returns


def _run(code: str, answer: str, inputs: Mapping[str, Any], limits: Limits) -> Ran:
    library = _library()
    out = library.CollectString(max_bytes=limits.characters)
    allowed: ResourceLimits = {
        "max_feed_duration_secs": limits.seconds,
        "max_memory": int(limits.megabytes * 2**20 * _SHARE),
        "max_recursion_depth": limits.depth,
    }
    policy: OSPolicy = {"sleep": "zero", "random_start": {"seed": 0}}  # the same program has the same answer
    with _WORKERS.get().checkout(script_name="program.py", limits=allowed, os_policy=policy) as session:
        session.feed_run(_READER)
        try:
            ended = f"{code}\ntunesmith_read({answer}, {limits.characters})"
            kind, text = session.feed_run(ended, inputs=dict(inputs), print_callback=out)
        except (library.MontyRuntimeError, library.MontySyntaxError) as error:
            return Ran(printed=out.output, error=_told(error, limits))
    if len(text) > limits.characters:
        return Ran(error=f"The answer is longer than {limits.characters:,} characters.")
    return Ran(kind, text, out.output)


def _told(error: Any, limits: Limits) -> str:
    inner = error.exception()
    if isinstance(inner, TimeoutError):
        return _late(limits)
    if isinstance(inner, MemoryError):
        return f"MemoryError: more than {limits.megabytes} MB, or more than {limits.characters:,} characters printed."
    frames = [frame for frame in error.traceback() if not any(one in (frame.source_line or one) for one in _OURS)]
    sources = [(one.line, (one.source_line or "").strip().removeprefix(f"{ANSWER} = ")) for one in frames[-_FRAMES:]]
    lines = [f"line {number}: {source}" for number, source in sources]
    return "\n".join(line[:_ERROR_CHARACTERS] for line in (*lines, error.display("type-msg")))


def _late(limits: Limits) -> str:
    return f"TimeoutError: the program ran for more than {limits.seconds:g} seconds."
