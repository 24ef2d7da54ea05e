"""Hard examples: those that the candidates of a run most often get wrong, or disagree on."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from tunesmith.data import canonical_json
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import Row
from tunesmith.experiments.report.record import RunRecord, Shown

__all__ = ["HardExample", "hard_examples", "places_by_hardness"]

_ORDERS = ("wrong", "disagreement")
_SPLITS = ("validation", "test")


@dataclass(frozen=True, slots=True)
class HardExample:
    """An example as the candidates of a run did on it.

    Attributes:
        key: its content key.
        inputs, labels: its fields as JSON values. If the candidates answered some of its fields, those are the labels.
        rest: its other fields.
        candidates: how many were scored on it.
        score: their mean score; a candidate that failed counts as 0.
        failed: how many failed.
        answers: answers as JSON texts with how many candidates gave them, the most frequent first.
    """

    key: str
    inputs: Mapping[str, Any]
    labels: Mapping[str, Any]
    candidates: int
    score: float
    failed: int = 0
    rest: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)

    @property
    def disagreement(self) -> float:
        """The share of candidates with an answer that gave another one than the most frequent."""
        total = sum(self.answers.values())
        return 1 - max(self.answers.values()) / total if total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "key": self.key,
            "inputs": dict(self.inputs),
            "labels": dict(self.labels),
            "rest": dict(self.rest),
            "candidates": self.candidates,
            "score": round(self.score, 6),
            "failed": self.failed,
            "disagreement": round(self.disagreement, 6),
            "answers": dict(self.answers),
        }


def hard_examples(
    record: RunRecord, *, by: str = "wrong", split: str = "validation", count: int = 20, least: int = 2
) -> tuple[HardExample, ...]:
    """Return the hardest examples of a run.

    Answers are compared in the fields that the example has labels for; without one of them, as a whole. An example that
    every candidate got right is not hard by `wrong`, and one on which all agree not by `disagreement`.

    Args:
        record: the run.
        by: `wrong` orders by the mean score, lowest first; `disagreement` by the share of other answers than the most
            frequent one, highest first. Of equal ones, that with more candidates comes first.
        split: `validation` or `test`.
        count: at most how many.
        least: how many candidates must have been scored on an example: a race drops most of them early.

    Raises:
        UsageError: an argument is wrong.
        DataError: the run keeps no examples, or none was evaluated by that many candidates.
    """
    _check(by, split, count, least)
    rows: dict[str, list[Row]] = {}
    for tried in record.tried:
        for row in (tried.validation if split == "validation" else tried.test).rows:
            rows.setdefault(row.key, []).append(row)
    examples = {one.key: one for one in record.examples[split]}
    answered = {name for found in rows.values() for row in found for name in row.outputs or ()}
    judged = [_judged(examples.get(key, Shown(key)), found, answered) for key, found in rows.items()]
    judged = [one for one in judged if one.candidates >= least]
    name = record.info.path.name
    if not judged:
        raise DataError(f"No {split} example of the run {name!r} was scored by {least} candidates or more.")
    if not any(one.inputs for one in judged):
        raise DataError(f"The run {name!r} keeps no examples, so nothing says what was hard about them.")
    hard = [one for one in judged if (one.disagreement > 0 if by == "disagreement" else one.score < 1)]
    return tuple(sorted(hard, key=lambda one: (_rank(one, by), -one.candidates, one.key))[:count])


def places_by_hardness(
    record: RunRecord, rows: Sequence[Mapping[str, Any]], *, by: str = "wrong"
) -> dict[int, HardExample]:
    """Return the places of the rows that are hard examples of a run, the hardest first.

    Args:
        record: the run.
        rows: rows as JSON values; one is an example if it has the example's inputs.
        by: as in `hard_examples`, of both splits.

    Raises:
        DataError: as `hard_examples`, or no row is a hard example.
    """
    found, problem = list[HardExample](), None
    for split in _SPLITS:
        try:
            found += hard_examples(record, by=by, split=split, count=max(1, len(record.examples[split])))
        except DataError as error:
            problem = problem or error
    if problem is not None and not found:
        raise problem
    hard = {canonical_json(one.inputs): one for one in sorted(found, key=lambda one: _rank(one, by))}
    ranks = {key: rank for rank, key in enumerate(hard)}
    names = sorted({name for one in hard.values() for name in one.inputs})
    keys = [canonical_json({name: row[name] for name in names if name in row}) for row in rows]
    places = sorted((place for place, key in enumerate(keys) if key in ranks), key=lambda place: ranks[keys[place]])
    if not places:
        raise DataError(f"No row is a hard example of the run {record.info.path.name!r}. Is it a run on these rows?")
    return {place: hard[keys[place]] for place in places}


def _check(by: str, split: str, count: int, least: int) -> None:
    for name, value, known in (("by", by, _ORDERS), ("split", split, _SPLITS)):
        if value not in known:
            raise UsageError(f"`{name}` must be {' or '.join(known)}. Given: {shown(value)}.")
    for name, number in (("count", count), ("least", least)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise UsageError(f"`{name}` must be a whole number of at least 1. Given: {shown(number)}.")


def _rank(one: HardExample, by: str) -> float:
    return one.score if by == "wrong" else -one.disagreement


def _judged(example: Shown, rows: Sequence[Row], answered: Set[str]) -> HardExample:
    labels = {name: value for name, value in example.labels.items() if name in answered} or dict(example.labels)
    judged = [row for row in rows if row.counts]
    answers = Counter(_answer(row.outputs, labels) for row in judged if row.outputs is not None)
    scores = [row.score or 0.0 for row in judged]
    return HardExample(
        example.key,
        example.inputs,
        labels,
        len(judged),
        sum(scores) / len(scores) if scores else 0.0,
        sum(row.failure is not None for row in judged),
        {name: value for name, value in example.labels.items() if name not in labels},
        dict(sorted(answers.items(), key=lambda item: (-item[1], item[0]))),
    )


def _answer(outputs: Mapping[str, Any], labels: Mapping[str, Any]) -> str:
    compared = {name: value for name, value in outputs.items() if name in labels} or dict(outputs)
    value = next(iter(compared.values())) if len(compared) == 1 else compared
    return value if isinstance(value, str) else canonical_json(value)
