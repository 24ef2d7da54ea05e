"""Count the cost of calls, and stop a run at its budget.

A run is *charged* for each distinct request once, cached or not, with the tokens and seconds that are stored with the
reply. *Paid* counts the requests that reached an engine. Decisions and budgets use charges, so that a run that repeats
from the cache makes the same decisions.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, NamedTuple

from tunesmith.errors import BudgetExceeded, UsageError, brief
from tunesmith.lm.call import Call, StopSignal

__all__ = ["Budget", "Meter", "Spend"]


class Spend(NamedTuple):
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

    def __add__(self, other: "Spend") -> "Spend":  # type: ignore[override]  # sums, not a longer tuple
        return Spend(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.seconds + other.seconds,
            self.usd + other.usd,
        )

    def __repr__(self) -> str:
        usd = round(self.usd, 9) or None
        return brief(self, calls=self.calls, tokens=self.tokens, seconds=round(self.seconds, 3), usd=usd)

    def to_json(self) -> dict[str, Any]:
        """Return the sums as JSON values. USD is rounded to 9 decimals because float sums depend on call order."""
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
    """Limits on the charges of a run; `None` means no limit.

    Attributes:
        calls: distinct requests. A repeated request is charged once, with or without a cache.
        tokens: input and output tokens of those requests.
        seconds: engine seconds of those requests, as stored with each reply.
        wall_seconds: clock time since the start of the run.
        usd: US dollars, if the LM has a price.

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
                    f"`{f.name}` of a budget must be a {'whole' if whole else 'finite'} number from 0. "
                    f"Given: {value!r}. Leave it out for no limit."
                )

    def __repr__(self) -> str:
        return brief(self, **self.to_json())

    @classmethod
    def of(cls, value: "Budget | int | None") -> "Budget":
        """Return `value` as a budget. A plain number means calls."""
        if isinstance(value, Budget):
            return value
        return cls(calls=value)

    def to_json(self) -> dict[str, Any]:
        """Return the limits that are not `None`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


class _Sum:
    """A mutable `Spend`."""

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
    """Counts the calls of one run. Thread-safe.

    Args:
        budget: limits on its charges.
        clock: returns the time in seconds, for `wall_seconds`.

    Attributes:
        limited: whether there is any limit. Limits may change later, but none is added to a meter without limits.

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
        self.limited = bool(self.budget.to_json())
        self._clock, self._start = clock, clock()
        self._lock = threading.Lock()
        self._seen: set[str] = set()  # keys that are charged
        self._open: dict[str, int] = {}  # number of reservations per key without an answer yet
        self._charged: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._paid: defaultdict[str, _Sum] = defaultdict(_Sum)
        self.served = 0  # repeated requests that were answered without a new charge or payment

    def __repr__(self) -> str:
        return brief(self, charged=self.charged, budget=self.budget)

    def reserve(self, key: str) -> None:
        """Reserve budget for the request `key`. Call `settle` or `release` afterwards.

        Raises:
            StopSignal: with a `BudgetExceeded`, if the budget has no room for the request.
        """
        if not self.limited:
            return
        with self._lock:
            if key not in self._seen and key not in self._open:
                self._check_room()
            self._open[key] = self._open.get(key, 0) + 1

    def release(self, key: str) -> None:
        """Cancel a reservation, because the request was not answered."""
        if self.limited:
            with self._lock:
                self._close(key)

    def settle(self, call: Call) -> None:
        """Record the answer to a reserved request."""
        with self._lock:
            if self.limited:
                self._close(call.key)
            if call.key in self._seen:
                self.served += not call.paid
            else:
                self._seen.add(call.key)
                self._charged[call.role].add(call)
            if call.paid:
                self._paid[call.role].add(call)

    def replay(self, call: Call) -> None:
        """Charge a call of an earlier process, without a reservation or a check of the budget."""
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
        """The charges of the run so far."""
        with self._lock:
            return _total(self._charged)

    @property
    def paid(self) -> Spend:
        """The calls that reached an engine so far."""
        with self._lock:
            return _total(self._paid)

    def by_role(self) -> dict[str, dict[str, Spend]]:
        """Return `{"charged": {role: Spend}, "paid": {role: Spend}}`."""
        with self._lock:
            sides = {"charged": self._charged, "paid": self._paid}
            return {name: {role: one.spend() for role, one in side.items()} for name, side in sides.items()}

    def room(self) -> Budget:
        """Return the rest of the budget."""
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
