"""The candidates of a run with their means, from the scores alone: a large run is shown in a second."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.evaluation import LedgerCounts, RunInfo, read_scores
from tunesmith.experiments.report.record import comparable, examples_of, floor_of, named, rank

__all__ = ["Outlined", "RunOutline"]

_Score = tuple[str, float | None, str | None]


@dataclass(frozen=True, slots=True)
class Side:
    """The scores of one candidate on one split.

    Attributes:
        mean: of the scores; a failure of the program counts as in `Tried`, one of the metric not at all. `None` without
            scores.
        n: how many scores there are.
        rows, errors: how many evaluations, and how many of them failed.
    """

    mean: float | None = None
    n: int = 0
    rows: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Outlined:
    """One candidate.

    Attributes:
        key: of the candidate.
        name, differs: as in `Tried`.
        given, chosen: whether it is the program as given, and what the search returned.
        validation, test: its scores on each split. If the run's notes are missing, all count as validation.
    """

    key: str
    name: str
    differs: str
    given: bool
    chosen: bool
    validation: Side
    test: Side


@dataclass(frozen=True, slots=True)
class RunOutline:
    """What a run has scored.

    Attributes:
        candidates: in the order of `RunRecord.tried`.
        counts: what its ledger holds, `None` if it has none.
        has_splits: whether the notes say which examples are of which split.
    """

    candidates: tuple[Outlined, ...]
    counts: LedgerCounts | None
    has_splits: bool

    @classmethod
    def of(cls, info: RunInfo) -> "RunOutline":
        """Read the run.

        Raises:
            LedgerError: its ledger cannot be read.
        """
        notes, trials = info.notes, info.trials
        keys = {name: {one.key for one in examples_of(notes, trials, name)} for name in ("validation", "test")}
        has_splits = any(keys.values())
        if info.ledger is None:
            return cls((), None, has_splits)
        found = read_scores(info.ledger)
        wanted = comparable((metric for metric, _ in found.scores), info.identity.get("metric"))
        mine = dict[str, list[_Score]]()
        for (metric, candidate), rows in found.scores.items():
            if metric in wanted:
                mine.setdefault(candidate, []).extend(rows)
        selects, tests, ends = keys["validation"], keys["test"], (info.identity.get("candidate"), notes.get("chosen"))
        floor = floor_of(row[1] for rows in mine.values() for row in rows if not selects or row[0] in selects)
        lowest = floor_of(row[1] for key, rows in mine.items() if key in ends for row in rows if row[0] in tests)
        listed = [_outlined(key, rows, (floor, lowest), info, notes, keys) for key, rows in mine.items()]
        listed.sort(key=lambda one: rank(one.chosen, one.given, one.validation.n, one.validation.mean))
        return cls(tuple(listed), found.counts, has_splits)


def _outlined(
    key: str,
    rows: Sequence[_Score],
    floors: tuple[float, float],
    info: RunInfo,
    notes: Mapping[str, Any],
    keys: Mapping[str, set[str]],
) -> Outlined:
    listed = notes.get("candidates")
    about = listed.get(key) if isinstance(listed, dict) else None
    given, validation, test = key == info.identity.get("candidate"), keys["validation"], keys["test"]
    return Outlined(
        key,
        *named(about if isinstance(about, dict) else {}, given=given),
        given,
        key == notes.get("chosen"),
        _side((row for row in rows if not validation or row[0] in validation), floors[0]),
        _side((row for row in rows if row[0] in test), floors[1]),
    )


def _side(rows: Iterable[_Score], floor: float) -> Side:
    values, count, errors = list[float](), 0, 0
    for _, score, fault in rows:
        count += 1
        errors += fault is not None
        if fault is None and score is not None:
            values.append(score)
        elif fault == "program":
            values.append(floor)
    return Side(sum(values) / len(values) if values else None, len(values), count, errors)
