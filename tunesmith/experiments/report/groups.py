"""Scores by group, and by each column that puts examples into a few groups, such as a subject."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.evaluation import Interval, Report, mean_interval
from tunesmith.experiments.report.record import Shown

__all__ = ["scores_by_group"]

_MOST = 100  # groups in a table
_LONGEST = 60  # characters of a group's name
_ROWS_EACH = 2  # on average, or the column names rows rather than groups of them


def scores_by_group(examples: Sequence[Shown], reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return a table for each way to group the examples.

    Args:
        examples: of one split.
        reports: of one or two programs on it.

    Returns:
        For each: its `name`; `rows` with the `group`, and the `scores` of each program as intervals; and `average`, the
        mean over the groups for each program, which counts a small group as much as a large one.
    """
    tables = []
    for name, group_of in _groupings(examples, reports):
        names = sorted(set(group_of.values()))
        sizes = Counter(group_of.values())
        scores = {group: [_of_group(one, group_of, group) for one in reports] for group in names}
        rows = [{"group": group, "n": sizes[group], "scores": scores[group]} for group in names]
        average = [_average([found[place] for found in scores.values()]) for place in range(len(reports))]
        tables.append({"name": name, "rows": rows, "average": average})
    return tables


def _groupings(examples: Sequence[Shown], reports: Sequence[Report]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each grouping: its name, and the group of each example by key."""
    given = {one.key: one.group for one in examples if one.group is not None}
    if 2 <= len(set(given.values())) <= _MOST:
        yield "group", given
    answered = {name for report in reports for row in report.rows for name in row.outputs or {}}
    columns = dict.fromkeys(name for one in examples for name in one.labels if name not in answered)
    for name in columns:
        found = {one.key: text for one in examples if (text := _text(one.labels.get(name))) is not None}
        values = set(found.values())
        if 2 <= len(values) <= min(_MOST, len(found) / _ROWS_EACH) and found != given:
            yield name, found


def _text(value: Any) -> str | None:
    """Return the name of a group, `None` if a value is not one."""
    text = str(value) if isinstance(value, str | bool | int) else ""
    return text if 0 < len(text) <= _LONGEST else None


def _of_group(report: Report, group_of: Mapping[str, str], name: str) -> Interval:
    values = zip(report.rows, report.values(), strict=True)
    return mean_interval([value for row, value in values if value is not None and group_of.get(row.key) == name])


def _average(scores: Sequence[Interval]) -> float | None:
    means = [one.mean for one in scores if one.mean is not None]
    return sum(means) / len(means) if means else None
