"""Votes: the most frequent answer of several predictions, and whether more predictions can change it."""

import json
from collections.abc import Sequence
from math import ceil, comb, floor
from typing import Any

from tunesmith.data import normalize_text
from tunesmith.modules.module import Prediction
from tunesmith.signatures import to_json_value

__all__ = ["Votes", "answer_of"]

_REASONING = "reasoning"


class Votes:
    """The votes of predictions, in order. A prediction that could not be parsed counts, but has no vote.

    Args:
        field: name of the output to vote on; `None`: all outputs of each prediction together, except `reasoning`.
        outputs: names of all outputs, for `None`; if empty, all fields of a prediction.
    """

    def __init__(self, field: str | None = None, outputs: Sequence[str] = ()) -> None:
        self._field, self._outputs = field, outputs
        self._first: dict[str, int] = {}  # answers in the order in which they came: the earliest one of a tie wins
        self._sums: dict[str, float] = {}
        self._count, self._total = 0, 0.0

    def __len__(self) -> int:
        """Return how many predictions have a vote."""
        return len(self._first)

    def add(self, prediction: Prediction | None, weight: float = 1.0) -> None:
        """Add a vote."""
        if prediction is not None:
            answer = answer_of(prediction, self._field, self._outputs)
            self._first.setdefault(answer, self._count)
            self._sums[answer] = self._sums.get(answer, 0.0) + weight
        self._count += 1
        self._total += weight

    @property
    def winner(self) -> int:
        """Number, from 0, of the first prediction with the answer that has the most votes."""
        return self._first[self._ranked()[0]]

    @property
    def share(self) -> float:
        """The winner's share of all votes, from 0 to 1."""
        return self._sums[self._ranked()[0]] / self._total if self._total else 0.0

    def decided(self, left: int) -> bool:
        """Return whether `left` more votes, of a weight of at most 1 each, cannot change the winner."""
        if not self._sums:
            return False
        best, *others = self._ranked()
        # The winner of a tie is the earliest, and an answer that is new is later than all.
        rivals = [(0.0, self._count), *((self._sums[one], self._first[one]) for one in others)]
        lead = (self._sums[best], -self._first[best])
        return all((votes + left, -first) < lead for votes, first in rivals)

    def certainty(self) -> float:
        """Return the probability that the winner is more frequent than the second, from a Beta posterior of the votes.

        With v and w votes it is P(p > 1/2) for p from Beta(v + 1, w + 1).
        """
        if not self._sums:
            return 0.0
        ranked = self._ranked()
        most = floor(self._sums[ranked[0]])
        second = ceil(self._sums[ranked[1]]) if len(ranked) > 1 else 0
        draws = most + second + 1
        return float(sum(comb(draws, wins) for wins in range(most + 1)) / 2**draws)

    def _ranked(self) -> list[str]:
        return sorted(self._sums, key=lambda answer: -self._sums[answer])  # stable: the earliest one of a tie is first


def answer_of(prediction: Prediction, field: str | None, outputs: Sequence[str] = ()) -> str:
    """Return the answer as a comparable text: texts are normalised, all other values are JSON."""
    if field is not None:
        return json.dumps(_normalised(prediction[field]), sort_keys=True)
    given = dict(prediction.items())
    names = [name for name in (outputs or given) if name != _REASONING and name in given]
    return json.dumps({name: _normalised(given[name]) for name in names or given}, sort_keys=True)


def _normalised(value: Any) -> Any:
    # Punctuation alone normalises to an empty text, which would make different answers equal.
    return (normalize_text(value) or value) if isinstance(value, str) else to_json_value(value)
