"""Runs side by side on the examples that all of them were scored on: a leaderboard, and paired differences."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import Interval, PairedScores, Report, RunInfo, mean_interval
from tunesmith.experiments.correction import Against, compared_with
from tunesmith.experiments.report import RunRecord, Tried
from tunesmith.notebook import paragraphs_html, table_html

__all__ = ["Compared", "Comparison", "compare_runs", "GROUPS"]

_COLUMNS = (
    *("run", "program", "compiler", "model", "seed", "score", "low", "high", "n", "errors", "gain", "calls", "tokens"),
    *("calls_per_point", "difference", "difference_low", "difference_high", "wins", "ties", "losses", "p", "p_holm"),
    "runs",
)
GROUPS = ("program", "compiler", "model", "seed")
"""What runs can be grouped by."""
_NAMED = 8  # runs that a message names


@dataclass(frozen=True, slots=True)
class Compared(Against):
    """One run of a comparison, or a group of runs.

    Attributes:
        run: its name.
        program, compiler, model: as the run says, in words; empty for a group that is not grouped by it.
        seed: of the compile, `None` if the run does not say, or for a group that is not grouped by it.
        score: mean with its 95 % interval on the common examples.
        errors: common examples that the program failed on.
        gain: paired gain over the run's own program as given, on the common examples; `None` if that was not scored.
        calls, tokens: charged by the whole compile, `None` before its end.
        difference: this run minus the reference, paired; `None` for the reference.
        wins, ties, losses: common examples on which it scores more than the reference, the same, less.
        p: two-sided chance of such a difference if both were equal (Wilcoxon's signed ranks); `None` for the reference.
        p_holm: the same, corrected for the number of comparisons (Holm 1979): of each with the reference if that was
            named, of every two if it is the best.
        runs: how many there are in the group. The score of an example is then its mean over them, errors are added up,
            calls and tokens are the mean.
    """

    run: str
    program: str
    compiler: str
    model: str
    seed: int | None
    score: Interval
    errors: int
    gain: Interval | None
    calls: float | None
    tokens: float | None
    runs: int = 1

    def __repr__(self) -> str:
        return brief(self, self.run, str(self.score))

    @property
    def calls_per_point(self) -> float | None:
        """Charged calls for each hundredth of gain; `None` without a gain."""
        if self.calls is None or self.gain is None or not self.gain.mean or self.gain.mean <= 0:
            return None
        return self.calls / (100 * self.gain.mean)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values, by the names of the columns."""
        values = (
            *(self.run, self.program, self.compiler, self.model, self.seed),
            *(
                self.score.mean,
                self.score.low,
                self.score.high,
                self.score.n,
                self.errors,
                None if self.gain is None else self.gain.mean,
                self.calls,
                self.tokens,
            ),
            *(self.calls_per_point, *self.against_json().values(), self.runs),
        )
        return dict(zip(_COLUMNS, values, strict=True))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A leaderboard.

    Attributes:
        split: the split that the runs are compared on.
        rows: the best first.
        reference: the run that the others are compared with.
        notes: what a reader has to know.
    """

    split: str
    rows: tuple[Compared, ...]
    reference: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return brief(self, self.split, *(f"{one.run} {one.score.mean}" for one in self.rows[:5]))

    def __str__(self) -> str:
        return self.to_markdown()

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "split": self.split,
            "reference": self.reference,
            "rows": [one.to_json() for one in self.rows],
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """Return the rows as CSV with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.to_json() for one in self.rows)
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return the rows as a table of Markdown, and the notes below."""
        head, *lines = self.cells()
        table = [head, ["---"] * len(head), *lines]
        rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in table]
        return "\n".join([*rows, *(["", *self.notes] if self.notes else [])])

    def _repr_html_(self) -> str:
        return table_html(self.cells()) + paragraphs_html(self.notes)

    def cells(self) -> list[list[str]]:
        """Return the table for people: a header, and a line per run. Programs are named if there are several."""
        head = ["run", "program", "compiler", "model", "seed", "runs", f"score on {self.split}", "errors", "gain",
                "calls", "calls per point", f"against {self.reference}", "win / tie / loss", "p (Holm)"]  # fmt: skip
        left_out = set[str]()
        if len({one.program for one in self.rows}) < 2:
            left_out.add("program")
        if not any(one.runs > 1 for one in self.rows):
            left_out.add("runs")
        shown = [place for place, name in enumerate(head) if name not in left_out]
        return [[line[place] for place in shown] for line in (head, *map(_line, self.rows))]


def compare_runs(
    runs: Sequence[str | Path | RunInfo],
    *,
    split: str | None = None,
    reference: str | None = None,
    by: Sequence[str] = (),
    called: Mapping[str, Mapping[str, str]] | None = None,
) -> Comparison:
    """Compare what runs returned, on the examples that all of them were scored on.

    Each example is compared with itself; a failure of the program counts as the worst score of any run. Where examples
    are related (`group` of the data), groups are compared, as far as a run says which are: a note names those that
    do not.

    Args:
        runs: their folders.
        split: `test` or `validation`; default `test` if every run has scored it, else `validation`.
        reference: name of the run, or of the group, that the others are compared with; default the best one.
        by: what to group the runs by, of `program`, `compiler`, `model` and `seed`, as to compare compilers over seeds.
            A group is called by its values, such as `GEPA` or `GEPA, seed 1`.
        called: what `program`, `compiler` and `model` of a run are called, by the run's name; `None` for as in its
            experiment, unless different ones are called alike there, else their classes and the model's name.
            Different programs of one name are called after their first run as well.

    Raises:
        UsageError: there is none, they have different metrics or no example in common, one is damaged, or one has
            returned nothing.

    Example:
        >>> import tempfile
        >>> import tunesmith as ts
        >>> from tunesmith.experiments import compare_runs
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label"))
        >>> metric, names = ts.metrics.exact_match("label"), ("one", "two")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, word in zip(names, ("good", "neither")):
        ...         lm = ts.FunctionLM(lambda seen, word=word: word)
        ...         given = {"metric": metric, "trainset": data, "lm": lm, "run": f"{folder}/{name}"}
        ...         _ = ts.compile(ts.Predict("text -> label"), compiler=ts.LabeledFewShot(1), **given)
        ...     found = compare_runs([f"{folder}/{name}" for name in names])
        >>> [(row.run, row.score.mean, row.losses) for row in found.rows]
        [('one', 0.5625, 0), ('two', 0.0, 9)]
    """
    _check_groups(by)
    infos = [one if isinstance(one, RunInfo) else RunInfo.of(Path(one)) for one in runs]
    _check(infos)
    records = [RunRecord.of(info, texts="none") for info in infos]
    names = _names(records)
    chosen = dict(zip(names, map(_returned, records), strict=True))
    which = _which(split, list(chosen.values()))
    common = _common([one.on(which) for one in chosen.values()])
    if not common:
        raise UsageError(f"The runs have no {which} example in common, so their scores cannot be compared.")
    floor = min(one.on(which).worst for record in records for one in (record.chosen, record.given) if one is not None)
    given = _called(infos) if called is None else called
    words = [
        {**given.get(record.info.path.name, {}), "program": program}
        for record, program in zip(records, _programs(records, given), strict=True)
    ]
    entrants = [_entrant(*one, which, common, floor) for one in zip(names, words, records, strict=True)]
    groups = _groups([one.on(which) for one in chosen.values()], common)
    notes = _notes(chosen, which, common)
    notes += _unknown_groups(dict(zip(names, infos, strict=True)), chosen, which, known=groups is not None)
    if by:
        entrants, mixed = _grouped(entrants, by)
        notes += mixed
    scores = {one.name: one.scores for one in entrants}
    found = sorted((_compared(one, groups) for one in entrants), key=lambda one: -(one.score.mean or 0.0))
    against = found[0].run if reference is None else reference
    if against not in scores:
        raise UsageError(f"There is no {'group' if by else 'run'} {against!r} among those that are compared: "
                         f"{', '.join(scores)}.")  # fmt: skip
    pairs = compared_with(
        against,
        [one.run for one in found],
        lambda one, two: PairedScores(tuple(scores[one]), tuple(scores[two]), groups),
        is_best=reference is None,
    )
    return Comparison(
        which, tuple(replace(one, **pairs.get(one.run, Against()).against_fields()) for one in found), against, notes
    )


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A run, or a group of runs, with its scores and those of its program as given on the common examples."""

    name: str
    program: str
    compiler: str
    model: str
    seed: int | None
    options: str  # of the compiler, and the budget
    scores: list[float]
    before: list[float] | None
    errors: int
    calls: float | None
    tokens: float | None
    runs: int = 1


def _check_groups(by: Sequence[str]) -> None:
    wrong = [name for name in by if name not in GROUPS]
    if wrong:
        raise UsageError(f"Runs are grouped by {', '.join(f'`{name}`' for name in GROUPS)}. Given: {wrong[0]!r}.")


def _check(infos: Sequence[RunInfo]) -> None:
    if not infos:
        raise UsageError("There is no finished run to compare. `tunesmith runs ls` lists the runs.")
    for info in infos:
        if info.problem is not None:
            raise UsageError(
                f"The run {info.path.name!r} cannot be compared: {info.problem}, so its metric is not known. Put that "
                "file back, or leave the run out."
            )
    metrics: dict[str, list[RunInfo]] = {}
    for info in infos:
        metrics.setdefault(str(info.identity.get("metric")), []).append(info)
    if len(metrics) > 1:
        words = "; ".join(_scored(those) for those in metrics.values())
        raise UsageError(
            f"The runs were scored by different metrics, so their scores cannot be compared. {words}. Name runs of one "
            "metric. `--rescore` of `tunesmith compile` scores stored outputs again."
        )


def _scored(infos: Sequence[RunInfo]) -> str:
    """Return the name of a metric, if a run says it, and the runs that were scored by it."""
    about = infos[0].notes.get("about")
    metric = about.get("metric", "?") if isinstance(about, dict) else "?"
    names = [info.path.name for info in infos]
    return f"{metric}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"


def _names(records: Sequence[RunRecord]) -> list[str]:
    """Return the names of the folders, or the whole paths if two have one name."""
    names = [record.info.path.name for record in records]
    paths = [str(record.info.path) for record in records]
    found = names if len(set(names)) == len(names) else paths
    if len(set(found)) < len(found):
        raise UsageError("One run is given twice. Give each once.")
    return found


def _programs(records: Sequence[RunRecord], given: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what the program of each run is called: different programs differently, one as its first run says."""
    words, kinds, first, said = [], [], dict[tuple[str, str], str](), dict[str, str]()
    for one in records:
        run, identity = one.info.path.name, one.info.identity
        kind = json.dumps([identity.get("program"), identity.get("candidate")])
        word = said.setdefault(kind, str(one.about.get("program", "")))
        words.append(given.get(run, {}).get("program") or word)
        kinds.append((words[-1], kind))
        first.setdefault(kinds[-1], run)
    several = Counter(word for word, _ in first)
    return [
        word if several[word] == 1 else f"{word} of {first[kind]}".strip()
        for word, kind in zip(words, kinds, strict=True)
    ]


def _called(infos: Sequence[RunInfo]) -> dict[str, dict[str, str]]:
    """Return by run what its parts are called in its experiment, without a name that stands for different ones."""
    found = {info.path.name: info.called for info in infos}
    for part in ("compiler", "model"):
        several: dict[str, set[str]] = {}
        for info in infos:
            several.setdefault(found[info.path.name].get(part, ""), set()).add(_part_of(info, part))
        for names in found.values():
            if len(several[names.get(part, "")]) > 1:
                names.pop(part, None)
    return found


def _part_of(info: RunInfo, part: str) -> str:
    """Return what a run's compiler or model is, as text to compare."""
    identity = info.identity
    options = identity.get("compiler")
    compiler = {**(options if isinstance(options, dict) else {}), "seed": None}
    model = {name: value for name, value in identity.items() if name.startswith("lm")}
    return json.dumps(compiler if part == "compiler" else model, sort_keys=True)


def _returned(record: RunRecord) -> Tried:
    found, name = record.chosen, record.info.path.name
    if found is None and record.info.state == "done":
        raise UsageError(
            f"The run {name!r} is done, and what it returned is not known: its candidates.json is missing or damaged, "
            "or its ledger has lost the rows. Run the compile that made it again, or leave the run out."
        )
    if found is None:
        way = "Wait for it" if record.info.state == "running" else "Resume it"
        raise UsageError(
            f"The run {name!r} has returned nothing yet: it is {record.info.state}. {way}, or leave it out."
        )
    return found


def _which(split: str | None, chosen: Iterable[Tried]) -> str:
    """Return the split to compare on: by default `test` if every run was tested."""
    if split not in (None, "test", "validation"):
        raise UsageError(f"Runs are compared on `test` or `validation`. Given: {split!r}.")
    tested = all(one.test.rows for one in chosen)
    if split == "test" and not tested:
        raise UsageError("Not every run was tested. Compare them on `validation`.")
    return "test" if split == "test" or (split is None and tested) else "validation"


def _common(reports: Sequence[Report]) -> list[str]:
    first, *others = ({row.key for row in report.rows if row.counts} for report in reports)
    keys = first.intersection(*others)
    return [key for key in dict.fromkeys(row.key for row in reports[0].rows) if key in keys]


def _scores(report: Report, common: Sequence[str], floor: float) -> list[float]:
    found = {row.key: value for row, value in zip(report.rows, report.values(floor), strict=True) if value is not None}
    return [found[key] for key in common]


def _groups(reports: Sequence[Report], common: Sequence[str]) -> tuple[str, ...] | None:
    """Return the group of each common example, `None` if no run knows. If runs differ, the fewest groups count."""
    found = []
    for report in reports:
        if report.groups is not None:
            group_of = {row.key: group for row, group in zip(report.rows, report.groups, strict=True)}
            found.append(tuple(group_of[key] for key in common))
    return min(found, key=lambda groups: len(set(groups)), default=None)


def _unknown_groups(
    infos: Mapping[str, RunInfo], chosen: Mapping[str, Tried], which: str, *, known: bool
) -> tuple[str, ...]:
    """Return a note if a run had groups of related examples and no run says which they are."""
    place = 1 if which == "test" else 0  # in the identity
    names = []
    for name, info in infos.items():
        fields = info.identity.get("group")
        if isinstance(fields, list) and len(fields) > place and fields[place] and chosen[name].on(which).groups is None:
            names.append(name)
    if known or not names:
        return ()
    return (
        "Examples are related, and their groups are not known: the runs do not keep them. So each example counts as "
        f"one of its own, and differences look surer than they are ({', '.join(names)}).",
    )


def _entrant(
    name: str,
    words: Mapping[str, str],
    record: RunRecord,
    which: str,
    common: Sequence[str],
    floor: float,
) -> _Entrant:
    one, given, info = _returned(record), record.given, record.info
    errors = {row.key for row in one.on(which).rows if row.failure is not None}
    before = None if given is None else given.on(which)
    known = before is not None and set(common) <= {row.key for row in before.rows if row.counts}
    compiler, result = info.identity.get("compiler"), info.result or {}
    compiler = compiler if isinstance(compiler, dict) else {}
    seed = info.identity.get("seed")
    return _Entrant(
        name=name,
        program=words["program"],
        compiler=words.get("compiler") or str(compiler.get("name", "")),
        model=words.get("model") or str(record.about.get("model", "")),
        seed=seed if isinstance(seed, int) else None,
        options=json.dumps([{**compiler, "seed": None}, info.identity.get("budget")], sort_keys=True),
        scores=_scores(one.on(which), common, floor),
        before=_scores(before, common, floor) if known and before is not None else None,
        errors=len(errors.intersection(common)),
        calls=_charged(result, "calls"),
        tokens=_charged(result, "tokens"),
    )


def _grouped(entrants: Sequence[_Entrant], by: Sequence[str]) -> tuple[list[_Entrant], tuple[str, ...]]:
    """Return one entrant per group, and what a reader has to know."""
    groups: dict[tuple[Any, ...], list[_Entrant]] = {}
    for one in entrants:
        groups.setdefault(tuple(getattr(one, name) if name in by else None for name in GROUPS), []).append(one)
    found = [_group(kind, members) for kind, members in groups.items()]
    notes = ["The score of an example is the mean over the runs of a group; calls are the mean of its runs."]
    mixed = [one.name for one, members in zip(found, groups.values(), strict=True)
             if "compiler" in by and len({member.options for member in members}) > 1]  # fmt: skip
    if mixed:
        notes.append(f"Runs of one group have different options or budgets: {', '.join(mixed)}.")
    over = [name for name in GROUPS if name not in by]
    inside = [Counter(tuple(getattr(one, name) for name in over) for one in members) for members in groups.values()]
    if any(one != inside[0] for one in inside):
        what = f"{', '.join(f'{name}s' for name in over[:-1])} and {over[-1]}s" if over[1:] else f"{over[0]}s"
        notes.append(f"The groups do not have the same {what}, so these may be what sets them apart.")
    return found, tuple(notes)


def _group(kind: tuple[Any, ...], members: Sequence[_Entrant]) -> _Entrant:
    program, compiler, model, seed = kind
    words = [program, compiler, model, None if seed is None else f"seed {seed}"]
    before = [one.before for one in members if one.before is not None]
    return _Entrant(
        name=", ".join(word for word in words if word) or "unknown",
        program=program or "",
        compiler=compiler or "",
        model=model or "",
        seed=seed,
        options="",
        scores=_means([one.scores for one in members]),
        before=_means(before) if len(before) == len(members) else None,
        errors=sum(one.errors for one in members),
        calls=_mean_cost([one.calls for one in members]),
        tokens=_mean_cost([one.tokens for one in members]),
        runs=len(members),
    )


def _means(scores: Sequence[Sequence[float]]) -> list[float]:
    # `fmean` gives the same mean in any order, so that equal scores are a tie.
    return [fmean(values) for values in zip(*scores, strict=True)]


def _mean_cost(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _compared(one: _Entrant, groups: tuple[str, ...] | None) -> Compared:
    before = None if one.before is None else PairedScores(tuple(one.before), tuple(one.scores), groups)
    return Compared(
        run=one.name,
        program=one.program,
        compiler=one.compiler,
        model=one.model,
        seed=one.seed,
        score=mean_interval(one.scores, groups=groups),
        errors=one.errors,
        gain=None if before is None else before.interval(),
        calls=one.calls,
        tokens=one.tokens,
        runs=one.runs,
    )


def _charged(result: dict[str, Any], name: str) -> int | None:
    found = result.get(name)
    value = found.get("charged") if isinstance(found, dict) else None
    return value if isinstance(value, int) else None


def _notes(chosen: dict[str, Tried], which: str, common: Sequence[str]) -> tuple[str, ...]:
    sizes = {len({row.key for row in one.on(which).rows}) for one in chosen.values()}
    notes = []
    if sizes != {len(common)}:
        notes.append(f"Compared on the {len(common)} {which} examples that all runs have scores for.")
    if which == "validation":
        notes.append("Each run selected its program on validation, so these scores flatter.")
    return tuple(notes)


def _line(one: Compared) -> list[str]:
    score, gain = one.score, one.gain
    return [
        one.run,
        one.program,
        one.compiler,
        one.model,
        "" if one.seed is None else str(one.seed),
        str(one.runs),
        "" if score.mean is None else f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]",
        str(one.errors),
        "" if gain is None or gain.mean is None else f"{gain.mean:+.3f}",
        "" if one.calls is None else f"{one.calls:,.0f}",
        "" if one.calls_per_point is None else f"{one.calls_per_point:.1f}",
        *one.against_cells(),
    ]
