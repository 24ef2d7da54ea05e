"""How candidates stand while a search goes on, for who watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import brief
from tunesmith.evaluation import Report
from tunesmith.modules import Candidate

__all__ = ["Standing", "Watch"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate stands on the validation examples that it was evaluated on so far.

    Attributes:
        number: 0 for the program as given, else its place among the candidates in the order of their first
            evaluation, as the run's report numbers them.
        candidate: what was evaluated.
        origin: what made it, in words.
        report: its rows so far; none before its first evaluation.
        size: how many validation examples there are.
    """

    number: int
    candidate: Candidate
    origin: str
    report: Report
    size: int

    def __repr__(self) -> str:
        return brief(self, self.name, self.origin, str(self.report))

    @property
    def name(self) -> str:
        """How the candidate is called."""
        return f"candidate {self.number}" if self.number else "program as given"

    @property
    def is_whole(self) -> bool:
        """Whether it was evaluated on every example: only then can it be what the compile returns."""
        return len(self.report.rows) >= self.size

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the candidate's texts."""
        rows = self.report.rows
        return {
            "candidate": self.name,
            "number": self.number,
            "key": self.candidate.key,
            "origin": self.origin,
            **self.report.summary(),
            "of": self.size,
            "calls": sum(row.calls for row in rows),
            "tokens": sum(row.tokens for row in rows),
            "cached": sum(row.cached for row in rows),
        }


Watch = Callable[[Standing], None]
"""Is told how a candidate stands before and after each part of its evaluation."""
