"""A run as its folder tells it: every candidate with its rows, in the order in which they were evaluated."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import brief
from tunesmith.evaluation import Report, Row, RunInfo, ScoredRow, read_rows

__all__ = ["RunRecord", "Shown", "Tried", "comparable", "examples_of", "floor_of", "named", "rank"]


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the run's notes keep it.

    Attributes:
        key: its content key.
        inputs, labels: its fields as JSON values; empty if the run keeps none.
        group: of related examples, `None` without one.
    """

    key: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate of a run.

    Attributes:
        key: of the candidate.
        name: how it is called: `program as given`, `candidate 3`; empty if the notes of the run do not know it.
        differs: what it changes of the program as given, in words; empty if that is not known.
        origin: what made it, such as `bootstrapped demos`; empty if that is not known.
        given, chosen: whether it is the program as given, and what the search returned.
        content: the candidate as JSON values, `None` if the run does not keep it.
        validation, test: its rows on each split; without rows if it was not evaluated there. If the run's notes are
            missing, all rows count as validation. A failure counts as in `result.json`: see `floor_of`.
        ended: calls charged for evaluations until its last one on validation.
    """

    key: str
    name: str
    differs: str
    origin: str
    given: bool
    chosen: bool
    content: Mapping[str, Any] | None
    validation: Report
    test: Report
    ended: int

    def __repr__(self) -> str:
        return brief(self, self.name, str(self.validation))

    def on(self, split: str) -> Report:
        """Return its rows on `test`, else those on validation."""
        return self.test if split == "test" else self.validation

    @property
    def calls(self) -> int:
        """The LM calls of its evaluations."""
        return sum(row.calls for report in (self.validation, self.test) for row in report.rows)

    def lines(self) -> list[str]:
        """Return what the candidate sets as readable lines, for a comparison; empty if the run does not keep it."""
        return list(_lines(self.content or {}))

    def choices(self) -> dict[str, str]:
        """Return what the candidate chooses by name: formats, numbers of demos, instructions, settings."""
        found, parts = dict[str, str](), (self.content or {}).get("parts", {})
        for path, part in parts.items():
            prefix = "" if len(parts) == 1 else f"{path}: "
            found[f"{prefix}format"] = str(part["format"])
            found[f"{prefix}demos"] = str(len(part["demos"]))
            found[f"{prefix}instruction"] = part["instruction"]
            found[f"{prefix}calibrated"] = "yes" if part["settings"].get("offsets") else "no"
        for path, values in (self.content or {}).get("settings", {}).items():
            found |= {f"{path}.{name}": str(value) for name, value in values.items()}
        return found


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run did.

    Attributes:
        info: the run's folder.
        tried: what the search returned first, then the program as given, then the others by examples and mean.
        examples: the examples of `validation` and `test` in order; empty if the notes are missing.
        about: program, metric, model and numbers of examples in words; empty if the notes are missing.
    """

    info: RunInfo
    tried: tuple[Tried, ...]
    examples: Mapping[str, Sequence[Shown]]
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, info: RunInfo, *, texts: str = "all") -> "RunRecord":
        """Read the run.

        Args:
            info: its folder.
            texts: which rows have outputs, feedback and steps: those of `all` candidates, of the `ends`, which are the
                program as given and what the search returned, or of `none`. Without them a row is read in a fifth of
                the time, and takes a tenth of the memory.

        Raises:
            LedgerError: its ledger cannot be read.
        """
        notes, trials = info.notes, info.trials  # both are read from the disk
        examples = {name: examples_of(notes, trials, name) for name in ("validation", "test")}
        names = _Names(info, notes, trials, examples)
        if info.ledger is None:
            return cls(info, (), examples, _object(notes.get("about")))
        rows = read_rows(info.ledger, {"all": None, "ends": names.ends, "none": ()}[texts])
        found = _tried(rows, info.identity.get("metric"), examples, names)
        found.sort(key=lambda one: rank(one.chosen, one.given, one.validation.n, one.validation.mean))
        return cls(info, tuple(found), examples, _object(notes.get("about")))

    def __repr__(self) -> str:
        return brief(self, self.info.path.name, f"{len(self.tried)} candidates")

    @property
    def given(self) -> Tried | None:
        """The program as given, `None` if it was not evaluated."""
        return next((one for one in self.tried if one.given), None)

    @property
    def chosen(self) -> Tried | None:
        """What the search returned, `None` before the end."""
        return next((one for one in self.tried if one.chosen), None)

    @property
    def by_time(self) -> list[Tried]:
        """The candidates in the order in which their evaluation ended."""
        return sorted(self.tried, key=lambda one: one.ended)

    def parents(self) -> dict[str, Tried]:
        """Return for each candidate by its key the one that was there before and differs least from it.

        A run does not write down what a compiler made a candidate of; this is the shortest change that explains it.
        """
        found, before = dict[str, Tried](), list[tuple[frozenset[tuple[str, int]], Tried]]()
        for one in self.by_time:
            if one.content is None:
                continue
            mine = _counted(one.lines())
            if before and not one.given:
                found[one.key] = min(before, key=lambda pair: len(mine ^ pair[0]))[1]
            before.append((mine, one))
        return found


def rank(chosen: bool, given: bool, n: int, mean: float | None) -> tuple[bool, bool, int, float]:  # noqa: FBT001
    """Return the place of a candidate: what the search returned, the program as given, the others by `n` and mean."""
    return not chosen, not given, -n, -(mean or 0.0)


def comparable(metrics: Iterable[str], own: object) -> set[str]:
    """Return of which metrics rows are looked at: the run's own, not an earlier version of it; all if that has none."""
    found = set(metrics)
    return found & {own} or found


def floor_of(scores: Iterable[float | None]) -> float:
    """Return what a failure on a split counts as, of all scores that are compared there: the lowest if it is below 0.

    On validation those are of every candidate, on test of the program as given and of what the search returned.
    """
    return min((score for score in scores if score is not None and score < 0), default=0.0)


def _counted(lines: Sequence[str]) -> frozenset[tuple[str, int]]:
    """Return lines with a number for each time that they occur: sets of them compare as multisets, and fast."""
    seen = Counter[str]()
    found = []
    for line in lines:
        seen[line] += 1
        found.append((line, seen[line]))
    return frozenset(found)


def examples_of(notes: Mapping[str, Any], trials: Mapping[str, Any], name: str) -> list[Shown]:
    """Return the examples of the split `name` as the run keeps them, those without texts last."""
    kept = trials.get("examples")
    rows = kept.get(name) if isinstance(kept, dict) else None
    found = [
        Shown(row["key"], _object(row.get("inputs")), _object(row.get("labels")), row.get("group"))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("key"), str)
    ]
    splits = notes.get("splits")
    keys = splits.get(name) if isinstance(splits, dict) else None
    known = {key for key in keys if isinstance(key, str)} if isinstance(keys, list) else set[str]()
    left = sorted(known - {one.key for one in found})
    return found + [Shown(key) for key in left]


def _tried(
    rows: Sequence[ScoredRow], metric: object, examples: Mapping[str, Sequence[Shown]], names: "_Names"
) -> list[Tried]:
    wanted = comparable((one.metric for one in rows), metric)
    rows = [one for one in rows if one.metric in wanted]
    validation, test = ({one.key for one in examples[name]} for name in ("validation", "test"))
    sides: dict[str, dict[str, list[Row]]] = {}
    ended, calls = dict[str, int](), 0
    for candidate, _, row in rows:
        mine = sides.setdefault(candidate, {"validation": [], "test": []})
        calls += row.calls
        selects, tests = row.key in validation, row.key in test
        if selects or not validation:
            mine["validation"].append(row)
        if tests:
            mine["test"].append(row)
        if selects or not tests:
            ended[candidate] = calls
    compared = {"validation": sides, "test": {key: sides[key] for key in names.ends if key in sides}}
    floors = {
        name: floor_of(row.score for mine in those.values() for row in mine[name]) for name, those in compared.items()
    }
    return [names.tried(key, mine, ended.get(key, calls), floors) for key, mine in sides.items()]


class _Names:
    """What a run's notes say of its candidates; incomplete for an old run or a damaged file."""

    def __init__(
        self,
        info: RunInfo,
        notes: Mapping[str, Any],
        trials: Mapping[str, Any],
        examples: Mapping[str, Sequence[Shown]],
    ) -> None:
        self._examples = examples
        self._places = {name: {one.key: at for at, one in enumerate(found)} for name, found in examples.items()}
        self._about, listed = _object(notes.get("candidates")), trials.get("trials")
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
        self._trials = {row["key"]: row for row in rows if isinstance(row.get("key"), str)}
        self._given, self._chosen = info.identity.get("candidate"), notes.get("chosen")

    @property
    def ends(self) -> Collection[str]:
        """The keys of the program as given and of what the search returned."""
        return {key for key in (self._given, self._chosen) if isinstance(key, str)}

    def tried(self, key: str, rows: Mapping[str, list[Row]], ended: int, floors: Mapping[str, float]) -> Tried:
        about, trial = _object(self._about.get(key)), _object(self._trials.get(key))
        given = key == self._given
        return Tried(
            key,
            *named(about, given=given),
            str(trial.get("origin", "")),
            given,
            key == self._chosen,
            _content(trial.get("candidate")),
            self._report(rows, "validation", floors["validation"]),
            self._report(rows, "test", floors["test"]),
            ended,
        )

    def _report(self, rows: Mapping[str, list[Row]], split: str, floor: float) -> Report:
        """Return the rows in the order of the examples, with their groups."""
        examples, place = self._examples[split], self._places[split]
        ordered = sorted(rows[split], key=lambda row: place.get(row.key, 0))
        if not ordered or any(one.group is None for one in examples) or not examples:
            return Report(tuple(ordered), floor)
        return Report(tuple(ordered), floor, groups=tuple(examples[place[row.key]].group or "" for row in ordered))


def named(about: Mapping[str, Any], *, given: bool) -> tuple[str, str]:
    """Return how a candidate is called and what it changes, from what the notes say of it; empty if that is unknown."""
    number, differs = about.get("number"), about.get("differs")
    name = "program as given" if given else "" if number is None else f"candidate {number}"
    return name, differs if isinstance(differs, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _content(value: Any) -> dict[str, Any] | None:
    """Return the candidate as the run keeps it, `None` if it is not as one is written."""
    found = _object(value)
    parts, settings = found.get("parts"), found.get("settings", {})
    if not (isinstance(parts, dict) and all(map(_is_part, parts.values())) and _are_objects(settings)):
        return None
    return found if isinstance(found.get("sampling", {}), dict) else None


def _is_part(value: Any) -> bool:
    part = _object(value)
    demos, settings = part.get("demos"), part.get("settings")
    return (
        isinstance(part.get("instruction"), str)
        and "format" in part
        and isinstance(settings, dict)
        and isinstance(settings.get("offsets") or {}, dict)
        and isinstance(demos, list)
        and all(map(_is_demo, demos))
    )


def _is_demo(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(side, {}), dict) for side in ("inputs", "outputs"))


def _are_objects(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(inside, dict) for inside in value.values())


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    for path, part in content.get("parts", {}).items():
        yield f"[{path}]"
        yield f"format: {part['format']}"
        yield from (f"offset {label}: {value}" for label, value in (part["settings"].get("offsets") or {}).items())
        yield from (f"instruction: {line}" for line in part["instruction"].splitlines() or [""])
        for demo in part["demos"]:
            fields = {**demo.get("inputs", {}), **demo.get("outputs", {})}
            yield "demo: " + " | ".join(f"{name}: {value}" for name, value in fields.items())
    yield from (f"option {name}: {value}" for name, value in content.get("sampling", {}).items())
    for path, values in content.get("settings", {}).items():
        yield from (f"setting {path}.{name}: {value}" for name, value in values.items())
