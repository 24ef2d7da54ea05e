"""What a search leaves of its budget so that the program as given and the compiled one can be tested."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any

from tunesmith.evaluation import Row
from tunesmith.lm import Meter

__all__ = ["Reserve"]

_SURE = 2.0  # standard errors above what is expected


class Reserve:
    """Lowers the limits of a search's meter by what the test will take, as far as the rows so far tell.

    What the test takes is known only once both programs are: so the costs of the program as given on validation stand
    for its own test, and those of the most expensive candidate so far for the test of what will be found. Calls are not
    counted here: how many a test takes is known before the first one.

    Args:
        examples: of the test split.
        meter: of the search, with its whole budget.
        slots: requests on the way at once, each of which may end beyond a limit of the clock. Before other limits one
            example is alone on the way (`Turns`), so what is kept does not depend on them.
    """

    def __init__(self, examples: int, meter: Meter, slots: int) -> None:
        self._examples, self._meter, self._slots = examples, meter, slots
        self._whole = meter.budget
        self._kinds = [name for name in self._whole.to_json() if name != "calls"]

    @property
    def active(self) -> bool:
        """Whether there is a limit that something has to be kept of."""
        return bool(self._kinds) and self._examples > 0

    def keep(self, base: Sequence[Row], tried: Collection[Sequence[Row]]) -> None:
        """Set the limits by the rows of the program as given, on all examples, and of every candidate so far."""
        spent, left = self._meter.charged, self._meter.room()
        limits: dict[str, Any] = {}
        for name in self._kinds:
            limit = getattr(self._whole, name)
            used = getattr(self._meter.budget, name) - getattr(left, name)
            if name in ("tokens", "seconds"):
                kept = self._needed(base, tried, name)
            else:  # dollars follow the tokens, and the clock the seconds of the engine
                alike, under_way = ("tokens", 1) if name == "usd" else ("seconds", self._slots)
                basis = getattr(spent, alike)
                kept = self._needed(base, tried, alike, under_way) * used / basis if basis > 0 else 0.0
            limits[name] = max(limit - (math.ceil(kept) if name == "tokens" else kept), used)
        self._meter.budget = replace(self._meter.budget, **limits)

    def _needed(self, base: Sequence[Row], tried: Collection[Sequence[Row]], name: str, under_way: int = 1) -> float:
        costs = [float(getattr(row, name)) for row in base]
        mean = fmean(costs)
        dearest = max((fmean(getattr(row, name) for row in rows) for rows in tried if rows), default=mean)
        spread = pstdev(costs) / mean if mean else 0.0
        margin = 1 + _SURE * spread * math.sqrt(1 / self._examples + 1 / len(costs))
        last = under_way * max(costs) * (dearest / mean if mean else 0.0)
        return self._examples * (mean + max(mean, dearest)) * margin + last
