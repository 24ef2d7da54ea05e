"""RandomSearch on every sampler: objectives, limits, and that the study is told what was seen."""

import importlib.util
from typing import Any, ClassVar

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.compilers import SAMPLERS, CompileReport, RandomSearch, Search, Study, Trial, job_of, random_search
from tunesmith.errors import UsageError
from tunesmith.lm import LM, FunctionLM

HERE = [name for name in SAMPLERS if name != "gp" or importlib.util.find_spec("torch") is not None]


def crossed(other: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the samplers with the values of `other` in turn, in `make test-slow` each with each."""
    if FULL:
        return [(sampler, value) for sampler in HERE for value in other]
    return [(sampler, other[i % len(other)]) for i, sampler in enumerate(HERE)]


def report_of(lm: LM | None = None, **options: Any) -> CompileReport:
    with dspy.context(lm=FunctionLM(world()) if lm is None else lm):
        search = RandomSearch(**{"metric": right, "num_candidates": 6, **options})
        report: CompileReport = search.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL).compile_report
    return report


def tokens_of(report: CompileReport) -> dict[str, float]:
    """Return the tokens that one example of each fully scored candidate was charged, by candidate key."""
    model = FunctionLM(world())
    found = {}
    for trial in report.trials:
        if trial.n == len(VAL):
            with dspy.context(lm=model):
                program = trial.candidate.apply(dspy.Predict(Colour))
                search = Search(job_of(program, RandomSearch(metric=right), trainset=TRAIN, valset=VAL))
                rows = search.score(search.base).rows
            found[trial.candidate.key] = sum(row.tokens for row in rows) / len(rows)
    return found


@each(("sampler", "objectives"), crossed((("score",), ("score", "tokens"))), ids=str)
def test_every_sampler_drives_a_search_that_is_deterministic(sampler: str, objectives: tuple[str, ...]) -> None:
    one, other = (
        report_of(sampler=sampler, objectives=objectives, num_candidates=8 if FULL else 5, seed=3) for _ in range(2)
    )

    assert [t.candidate for t in one.trials] == [t.candidate for t in other.trials]
    assert one.candidate == other.candidate
    assert (one.compiled.mean or 0) >= (one.baseline.mean or 0)


def test_a_grid_tries_the_whole_space_and_says_so() -> None:
    texts = ["One.", "Two."]
    report = report_of(
        sampler="grid", num_candidates=50, max_labeled_demos=0, formats=["bare", "json"], instructions=texts
    )

    parts = [trial.candidate.parts["self"] for trial in report.trials]
    assert len(parts) == 6, "three instructions in two formats, one of which is the program as given"
    assert {(part.instruction, part.format) for part in parts} == {
        (text, form) for text in (Colour.instructions, *texts) for form in ("bare", "json")
    }
    assert any("all were tried" in note for note in report.notes)


def test_a_grid_passes_over_points_that_mean_the_same() -> None:
    """Without demos the demo set makes no difference, so 4 sets, with 3 demos or none, are 5 candidates a format."""
    report = report_of(sampler="grid", num_candidates=4, max_labeled_demos=3, formats=["bare"])
    assert len({t.candidate for t in report.trials}) == 5
    assert {len(t.candidate.parts["self"].demos) for t in report.trials} == {0, 3}


class Recorded(Study):
    """A study that notes what it is told."""

    told: ClassVar[list[tuple[Any, int, dict[str, float]]]] = []

    def tell(self, trial: Trial, value: Any, *, seen: int = 0, over: Any = None) -> Any:
        self.told.append((value, seen, dict(over or {})))
        return super().tell(trial, value, seen=seen, over=over)


@pytest.mark.parametrize(("sampler", "race"), crossed(("paired-halving", "full")))
def test_a_full_value_and_a_raced_one_never_mix(sampler: str, race: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value told as full is the mean over every example, whatever the race; every other tell says its number."""
    monkeypatch.setattr(random_search, "Study", Recorded)
    Recorded.told = []

    report = report_of(sampler=sampler, race=race, num_candidates=8)

    full = sorted(value[0] for value, seen, _ in Recorded.told if value is not None and not seen)
    assert full == sorted(t.mean for t in report.trials if t.number and t.n == len(VAL) and t.mean is not None)
    partial = sorted((seen, value[0]) for value, seen, _ in Recorded.told if value is not None and seen)
    assert partial == sorted((t.n, t.mean) for t in report.trials if t.n < len(VAL))
    assert all(seen < len(VAL) for seen, _ in partial)


# Objectives and limits ------------------------------------------------------------------------------------------


def test_several_objectives_score_everybody_whole_unless_told_otherwise() -> None:
    report = report_of(objectives=("score", "tokens"), num_candidates=8)
    assert {trial.n for trial in report.trials} == {len(VAL)}

    raced = report_of(objectives=("score", "tokens"), num_candidates=8, race="paired-halving")
    assert min(trial.n for trial in raced.trials) < len(VAL)


def test_the_best_score_is_returned_and_the_front_is_named() -> None:
    report = report_of(sampler="nsga-ii", objectives=("score", "tokens"), num_candidates=10)

    assert report.compiled.mean == max(t.mean for t in report.trials if t.mean is not None)
    (note,) = [note for note in report.notes if note.startswith("Nothing that was tried beats these in score and")]
    assert f"score {report.compiled.mean:.4g}" in note


@pytest.mark.parametrize("sampler", HERE if FULL else ["tpe", "nsga-ii"])
def test_what_is_returned_is_within_the_limits(sampler: str) -> None:
    free = report_of(sampler=sampler, num_candidates=8)
    costs = tokens_of(free)
    limit = costs[free.candidate.key] - 1
    for seed in range(scaled(20)):
        report = report_of(sampler=sampler, num_candidates=8, limits={"tokens": limit}, seed=seed)
        assert tokens_of(report)[report.candidate.key] <= limit or not report.improved


def test_what_is_over_a_limit_is_not_paid_for_beyond_its_first_examples() -> None:
    low = min(tokens_of(report_of(num_candidates=3)).values())
    report = report_of(num_candidates=8, limits={"tokens": low / 2})

    assert not report.improved
    assert {trial.n for trial in report.trials if trial.number} == {4}
    assert any("over a limit itself" in note for note in report.notes)
    assert report.charged.calls == len(VAL) + 4 * (len(report.trials) - 1)


def test_a_limit_is_told_to_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_search, "Study", Recorded)
    Recorded.told = []

    report = report_of(num_candidates=8, limits={"tokens": 60, "calls": 1})

    tried = [over for value, _, over in Recorded.told if value is not None]
    assert len(tried) == len(report.trials) - 1
    assert all(set(over) == {"tokens", "calls"} and over["calls"] == 0 for over in tried)
    assert {over["tokens"] > 0 for over in tried} == {True, False}


def test_limits_and_objectives_keep_the_budget_and_the_plan() -> None:
    for cap in (31, 61, 95, 200):
        for options in ({"limits": {"tokens": 60}}, {"objectives": ("score", "latency")}):
            assert report_of(budget=cap, **options).charged.calls <= cap
    for options in ({"limits": {"tokens": 60}}, {"objectives": ("score", "latency")}, {"sampler": "grid"}):
        compiler = RandomSearch(metric=right, num_candidates=6, **options)  # type: ignore[arg-type]
        plan = compiler.plan(train=len(TRAIN), val=len(VAL))
        assert report_of(**options).charged.calls <= plan["calls"]["worst"]


def test_objectives_and_limits_are_part_of_a_runs_identity() -> None:
    plain = RandomSearch(metric=right).options()
    assert plain["objectives"] == ["score"]
    assert RandomSearch(metric=right, limits={"tokens": 60}).options() != plain
    assert RandomSearch(metric=right, objectives=("score", "calls")).options() != plain


@each(
    ("options", "message"),
    [
        ({"objectives": ("score", "beauty")}, "no objective 'beauty'"),
        ({"objectives": ("latency",)}, "Objectives are `score` and others"),
        ({"limits": {"score": 1}}, "no limit on 'score'"),
        ({"limits": {"tokens": 0}}, "limit on tokens must be a positive number"),
        ({"limits": {"tokens": True}}, "limit on tokens must be a positive number"),
        ({"limits": {"tokens": float("nan")}}, "limit on tokens must be a positive number"),
    ],
)
def test_what_cannot_be_an_objective_or_a_limit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomSearch(metric=right, **options)
