"""Which meters and sinks a call counts for, its role, and whether it may reach an engine."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tunesmith.lm.call import Call
    from tunesmith.lm.meter import Meter

__all__ = [
    "NOWHERE",
    "Scope",
    "current_scope",
    "in_trial",
    "metered",
    "remembering",
    "replay_calls",
    "role",
    "run_under_way",
    "runs_under_way",
    "stoppable",
    "unmetered",
    "unpaid",
]


class Scope(NamedTuple):
    """What holds for a call.

    Attributes:
        meters, sinks: what counts it.
        role: its purpose.
        paying: whether it may reach an engine.
        memory: replies that are kept for it.
        check: called between the pieces of a reply; it ends the reply by raising a `StopSignal`.
    """

    meters: "tuple[Meter, ...]" = ()
    sinks: "tuple[Callable[[Call], None], ...]" = ()
    role: str = "task"
    paying: bool = True
    memory: dict[str, Any] | None = None
    check: Callable[[], None] | None = None


NOWHERE = Scope()
_SCOPE: ContextVar[Scope] = ContextVar("tunesmith_scope", default=NOWHERE)


def current_scope() -> Scope:
    """Return the scope of the running context. In a thread of `dspy.Parallel` it is only in DSPy's settings."""
    scope = _SCOPE.get()
    if scope is NOWHERE:
        from tunesmith.lm.engine import dspy_settings  # here, because it loads DSPy

        if "tunesmith_scope" in dspy_settings:
            scope = dspy_settings.tunesmith_scope[0] or NOWHERE
    return scope


_RUNS: set[object] = set()  # the running evaluations of this process


@contextmanager
def run_under_way() -> Iterator[None]:
    """Mark an evaluation as running. A call without a scope then comes from a thread outside of it."""
    mark = object()
    _RUNS.add(mark)
    try:
        yield
    finally:
        _RUNS.discard(mark)


def runs_under_way() -> bool:
    """Return whether an evaluation runs in this process."""
    return bool(_RUNS)


def in_trial() -> bool:
    """Return whether an evaluation or a compile runs this code.

    A thread that nothing is known of, such as one that a program started itself, counts as one of a running evaluation.
    """
    from tunesmith.lm.engine import dspy_settings  # here, because it loads DSPy

    return "tunesmith_scope" in dspy_settings or (_SCOPE.get() is NOWHERE and runs_under_way())


class _Within:
    """A `with` of one scope. A class, because every example enters one, and a generator takes four times as long."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __enter__(self) -> Scope:
        self._token = _SCOPE.set(self._scope)
        return self._scope

    def __exit__(self, *problem: object) -> None:
        _SCOPE.reset(self._token)


def metered(meter: "Meter | None" = None, *, sink: "Callable[[Call], None] | None" = None) -> _Within:
    """Count every call inside with `meter`, and pass it to `sink`, also in copied contexts.

    Example:
        >>> import tunesmith as ts
        >>> calls = []
        >>> with ts.metered(sink=calls.append):
        ...     _ = ts.ScriptedLM("hello")("Say hello.")
        >>> len(calls)
        1
    """
    scope = current_scope()
    meters = scope.meters if meter is None or meter in scope.meters else (*scope.meters, meter)
    sinks = scope.sinks if sink is None else (*scope.sinks, sink)
    return _Within(Scope(meters, sinks, scope.role, scope.paying, scope.memory, scope.check))


def stoppable(check: Callable[[], None]) -> _Within:
    """Call `check` before every request inside, and between the pieces of its reply.

    It ends the reply, and the engine's work on it, by raising a `StopSignal`. Engines are asked for streams then,
    except for log-probabilities and tools, which come in one piece.
    """
    return _Within(current_scope()._replace(check=check))


def role(name: str) -> _Within:
    """Count the calls inside under the role `name`: `task`, `prompt`, `teacher` or `judge`."""
    return _Within(_SCOPE.get()._replace(role=name))


def remembering() -> _Within:
    """Keep replies with log-probabilities inside, for a model that has no cache.

    A calibrated candidate sends the requests of the candidate that it was learned from, and so pays for none again.
    Only replies at temperature 0 are kept: others are draws.
    """
    scope = _SCOPE.get()
    return _Within(scope if scope.memory is not None else scope._replace(memory={}))


def unpaid() -> _Within:
    """Allow only a judge's calls to reach an engine. Any other call ends the run with `BudgetExceeded`."""
    return _Within(_SCOPE.get()._replace(paying=False))


def unmetered() -> _Within:
    """Do not count calls inside. For an LM behind another LM, which counts the calls already."""
    return _Within(Scope())


def replay_calls(calls: "Iterable[Call]") -> None:
    """Charge the meters of the current context with `calls` of an earlier process, and pass them to its sinks."""
    scope = _SCOPE.get()
    for call in calls:
        for meter in scope.meters:
            meter.replay(call)
        for sink in scope.sinks:
            sink(call)
