"""What calls cost, counted exactly, and the budget that stops them.

A *charge* is a distinct request the first time a run makes it, cached or not, with the tokens and seconds that
are stored in the reply. *Paid* counts what really reached an engine. Decisions and budgets use charges, so a
run that is repeated from the cache decides as the first one did.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

from tunesmith.errors import BudgetExceeded, UsageError, brief

__all__ = ["Budget", "Call", "Meter", "Spend", "StopSignal", "metered", "replay_calls", "role", "unpaid"]


class StopSignal(BaseException):
    """Ends a run from inside a program that may catch every `Exception`.

    It never reaches a user: `evaluate` and `compile` turn it into the error it carries.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it was answered.

    Attributes:
        key: content key of the request.
        role: what it was for: `task`, `prompt`, `teacher` or `judge`.
        input_tokens, output_tokens: as the engine counted them; `None` where it did not.
        seconds: what the engine needed, also when the reply came from the cache.
        paid: whether it reached an engine now.
        usd: its price, `None` where no price was given.
    """

    key: str
    role: str
    input_tokens: int | None
    output_tokens: int | None
    seconds: float
    paid: bool
    usd: float | None = None

    @property
    def tokens(self) -> int:
        """Input and output tokens together; an unknown count adds nothing."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums over calls: number, tokens in and out, engine seconds, US dollars."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Spend)))

    def __repr__(self) -> str:
        usd = round(self.usd, 9) or None
        return brief(self, calls=self.calls, tokens=self.tokens, seconds=round(self.seconds, 3), usd=usd)

    def to_json(self) -> dict[str, Any]:
        """Return the sums as JSON values; of dollars nine decimals, as the rest depends on the order of the calls."""
        return {
            "calls": self.calls,
            "tokens": self.tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 3),
            "usd": round(self.usd, 9),
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """The most a run may be charged; `None` leaves a kind unlimited.

    Attributes:
        calls: distinct requests. One that is asked again is not charged again, whether the cache answers it or is off.
        tokens: input and output tokens of those requests.
        seconds: engine seconds of those requests, as stored with each reply.
        wall_seconds: seconds on the clock since the run began.
        usd: US dollars, where the LM has a price.

    Example:
        >>> import tunesmith as ts
        >>> ts.Budget(calls=200, tokens=100_000).calls
        200
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    wall_seconds: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is None:
                continue
            whole = f.name in ("calls", "tokens")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not 0 <= value < inf:
                raise UsageError(
                    f"`{f.name}` of a budget must be a {'whole' if whole else 'finite'} number that is not negative. "
                    f"Given: {value!r}. Leave it out for no limit."
                )

    def __repr__(self) -> str:
        return brief(self, **self.to_json())

    @classmethod
    def of(cls, value: "Budget | int | None") -> "Budget":
        """Return `value` as a budget; a plain number means calls."""
        if isinstance(value, Budget):
            return value
        return cls(calls=value)

    def to_json(self) -> dict[str, Any]:
        """Return the limits that are set."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


class _Sum:
    """A `Spend` that grows."""

    __slots__ = ("calls", "input_tokens", "output_tokens", "seconds", "usd")

    def __init__(self) -> None:
        self.calls = self.input_tokens = self.output_tokens = 0
        self.seconds = self.usd = 0.0

    def add(self, call: Call) -> None:
        self.calls += 1
        self.input_tokens += call.input_tokens or 0
        self.output_tokens += call.output_tokens or 0
        self.seconds += call.seconds
        self.usd += call.usd or 0.0

    def spend(self) -> Spend:
        return Spend(self.calls, self.input_tokens, self.output_tokens, self.seconds, self.usd)


class Meter:
    """Counts the calls of one run, safely from many threads.

    Args:
        budget: the most it may be charged.
        clock: seconds now, for `wall_seconds`.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> meter = ts.Meter(ts.Budget(calls=10))
        >>> with dspy.context(lm=ts.ScriptedLM("4")), ts.metered(meter):
        ...     _ = ts.Predict("question -> answer")(question="2 + 2?")
        >>> meter.charged.calls
        1
    """

    def __init__(self, budget: Budget | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = Budget() if budget is None else budget
        self._limited = bool(self.budget.to_json())
        self._clock, self._start = clock, clock()
        self._lock = threading.Lock()
        self._seen: set[str] = set()  # charged already
        self._open: dict[str, int] = {}  # reserved, not answered yet
        self._charged: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._paid: defaultdict[str, _Sum] = defaultdict(_Sum)
        self.served = 0  # answered from the cache or from an earlier charge

    def __repr__(self) -> str:
        return brief(self, charged=self.charged, budget=self.budget)

    def reserve(self, key: str) -> None:
        """Ask for the right to make the request `key`; call `settle` or `release` afterwards.

        Raises:
            StopSignal: carrying `BudgetExceeded`, where the budget has no room for it.
        """
        with self._lock:
            if self._limited and key not in self._seen and key not in self._open:
                self._check_room()
            self._open[key] = self._open.get(key, 0) + 1

    def release(self, key: str) -> None:
        """Give a reservation back: the request was not answered."""
        with self._lock:
            self._close(key)

    def settle(self, call: Call) -> None:
        """Record the answer to a reserved request."""
        with self._lock:
            self._close(call.key)
            if call.key in self._seen:
                self.served += not call.paid
            else:
                self._seen.add(call.key)
                self._charged[call.role].add(call)
            if call.paid:
                self._paid[call.role].add(call)

    def replay(self, call: Call) -> None:
        """Charge a call that an earlier process made and was admitted then: nothing is reserved or refused."""
        with self._lock:
            if call.key not in self._seen:
                self._seen.add(call.key)
                self._charged[call.role].add(call)

    def _close(self, key: str) -> None:
        left = self._open.get(key, 0) - 1
        if left > 0:
            self._open[key] = left
        else:
            self._open.pop(key, None)

    def _check_room(self) -> None:
        spent = _total(self._charged)
        limits = self.budget
        pending = sum(1 for key in self._open if key not in self._seen)
        for name, limit, used in (
            ("calls", limits.calls, spent.calls + pending),
            ("tokens", limits.tokens, spent.tokens),
            ("seconds", limits.seconds, spent.seconds),
            ("usd", limits.usd, spent.usd),
            ("wall_seconds", limits.wall_seconds, self._clock() - self._start),
        ):
            if limit is not None and used >= limit:
                raise StopSignal(
                    BudgetExceeded(
                        f"The budget of {limit} {name} is used up. Raise it to go on; "
                        "what was paid for is in the cache.",
                        spent=spent.to_json(),
                    )
                )

    @property
    def charged(self) -> Spend:
        """What the run was charged so far."""
        with self._lock:
            return _total(self._charged)

    @property
    def paid(self) -> Spend:
        """What reached an engine so far."""
        with self._lock:
            return _total(self._paid)

    def by_role(self) -> dict[str, dict[str, Spend]]:
        """Return `{"charged": {role: Spend}, "paid": {role: Spend}}`."""
        with self._lock:
            sides = {"charged": self._charged, "paid": self._paid}
            return {name: {role: one.spend() for role, one in side.items()} for name, side in sides.items()}

    def room(self) -> Budget:
        """Return what is left of the budget."""
        spent, limits = self.charged, self.budget
        return Budget(
            calls=None if limits.calls is None else max(0, limits.calls - spent.calls),
            tokens=None if limits.tokens is None else max(0, limits.tokens - spent.tokens),
            seconds=_left(limits.seconds, spent.seconds),
            wall_seconds=_left(limits.wall_seconds, self._clock() - self._start),
            usd=_left(limits.usd, spent.usd),
        )


def _total(sums: Mapping[str, _Sum]) -> Spend:
    return sum((one.spend() for one in sums.values()), Spend())


def _left(limit: float | None, used: float) -> float | None:
    return None if limit is None else max(0.0, limit - used)


@dataclass(frozen=True, slots=True)
class Scope:
    """The meters that see a call, the sinks that are told of it, what it is for, and whether it may be paid for."""

    meters: tuple[Meter, ...] = ()
    sinks: tuple[Callable[[Call], None], ...] = ()
    role: str = "task"
    paying: bool = True


NOWHERE = Scope()
_SCOPE: ContextVar[Scope] = ContextVar("tunesmith_scope", default=NOWHERE)


def current_scope() -> Scope:
    """Return the scope of the running context."""
    return _SCOPE.get()


_RUNS: set[object] = set()  # evaluations of this process that are under way


@contextmanager
def run_under_way() -> Iterator[None]:
    """Note that an evaluation is under way: a call without a scope then comes from a thread it does not know."""
    mark = object()
    _RUNS.add(mark)
    try:
        yield
    finally:
        _RUNS.discard(mark)


def runs_under_way() -> bool:
    """Return whether any evaluation of this process is under way."""
    return bool(_RUNS)


class metered:  # noqa: N801 - used as a function in a `with`
    """Let `meter` count, and `sink` be told of, every call made inside, also from copied contexts.

    A class, because every example enters one, and a generator takes four times as long.

    Example:
        >>> import tunesmith as ts
        >>> calls = []
        >>> with ts.metered(sink=calls.append):
        ...     _ = ts.ScriptedLM("hello")("Say hello.")
        >>> len(calls)
        1
    """

    __slots__ = ("_scope", "_token")

    def __init__(self, meter: Meter | None = None, *, sink: Callable[[Call], None] | None = None) -> None:
        scope = _SCOPE.get()
        meters = scope.meters if meter is None or meter in scope.meters else (*scope.meters, meter)
        sinks = scope.sinks if sink is None else (*scope.sinks, sink)
        self._scope = Scope(meters, sinks, scope.role, scope.paying)

    def __enter__(self) -> Scope:
        self._token = _SCOPE.set(self._scope)
        return self._scope

    def __exit__(self, *problem: object) -> None:
        _SCOPE.reset(self._token)


@contextmanager
def role(name: str) -> Iterator[None]:
    """Count the calls made inside under `name`: `task`, `prompt`, `teacher` or `judge`."""
    token = _SCOPE.set(replace(_SCOPE.get(), role=name))
    try:
        yield
    finally:
        _SCOPE.reset(token)


@contextmanager
def unpaid() -> Iterator[None]:
    """Let no call made inside reach an engine, except a judge's: it ends the run with `BudgetExceeded` instead."""
    token = _SCOPE.set(replace(_SCOPE.get(), paying=False))
    try:
        yield
    finally:
        _SCOPE.reset(token)


def replay_calls(calls: Iterable[Call]) -> None:
    """Charge every meter of the running context with `calls`, which an earlier process made, and tell its sinks."""
    scope = _SCOPE.get()
    for call in calls:
        for meter in scope.meters:
            meter.replay(call)
        for sink in scope.sinks:
            sink(call)


@contextmanager
def unmetered() -> Iterator[None]:
    """Count nothing inside: for an LM behind an LM, whose calls are counted in front."""
    token = _SCOPE.set(Scope())
    try:
        yield
    finally:
        _SCOPE.reset(token)
