"""Where the examples of an evaluation run. Budget, ledger and decisions stay with the `Runner`."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar

from tunesmith.errors import UsageError, shown
from tunesmith.evaluation.ledger_entry import Entry
from tunesmith.evaluation.report import Row
from tunesmith.evaluation.subject import Subject
from tunesmith.lazy import import_files
from tunesmith.lm import LM, Call
from tunesmith.signatures import Example

__all__ = [
    "Evaluate",
    "Executor",
    "current_executor",
    "executing",
    "executor_names",
    "register_executor",
]

Evaluate = Callable[[str, Example, list[Any], list[Call], Entry | None], tuple[Row, tuple[str, ...], bool]]
"""Evaluates one example; see `Subject.evaluate`."""


class Executor(ABC):
    """Runs programs on examples. One object serves all evaluations of a compile, one after the other.

    Attributes:
        name: what `executor=`, `--executor` and `tunesmith.toml` call it.
    """

    name: ClassVar[str]

    def check(self, subject: Subject) -> None:  # noqa: B027 - most executors run anything
        """Raise `UsageError` if `subject` cannot run here; asked before the first call."""

    def slots(self, lm: LM) -> int:
        """Return how many examples are on the way at once where nobody said it."""
        return lm.slots

    @abstractmethod
    def seat(self, subject: Subject) -> AbstractContextManager[Evaluate]:
        """Return a place for one thread of an evaluation; what it gives evaluates one example at a time."""

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Free what the executor holds. It may be used again afterwards."""


_KINDS: dict[str, type[Executor]] = {}
_PACKAGE = f"{__name__}s"
_CURRENT: ContextVar[Executor | None] = ContextVar("tunesmith_executor", default=None)
Kind = TypeVar("Kind", bound=type[Executor])


def register_executor(kind: Kind) -> Kind:
    """Let `executor=`, `--executor` and `tunesmith.toml` name an executor; used as a decorator."""
    _KINDS[kind.name] = kind
    return kind


def executor_names() -> tuple[str, ...]:
    """Return the name of every executor, the default one first."""
    import_files(_PACKAGE)
    return tuple(sorted(_KINDS, key=lambda name: (name != "threads", name)))


def current_executor() -> Executor:
    """Return the executor of the running evaluation or compile: threads of this process unless one was chosen."""
    found = _CURRENT.get()
    return _made("threads") if found is None else found


@contextlib.contextmanager
def executing(given: str | Executor | None) -> Iterator[None]:
    """Let every evaluation inside run on an executor, given itself or by its name; `None` changes nothing.

    Raises:
        UsageError: there is no executor of that name.
    """
    if given is None:
        yield
        return
    found = _made(given)
    token = _CURRENT.set(found)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        found.close()


def _made(name: object) -> Executor:
    if isinstance(name, Executor):
        return name
    names = executor_names()
    if not isinstance(name, str) or name not in names:
        raise UsageError(f"There is no executor {shown(name)}. Use one of: {', '.join(names)}.")
    return _KINDS[name]()
