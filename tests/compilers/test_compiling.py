"""One way in: `Compiler.compile` and `ts.compile` are the same compile."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.asking import Asking
from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tunesmith.compilers import Compiler, Effort, RandomSearch, Search, job_of, option
from tunesmith.errors import RunMismatch, UsageError
from tunesmith.evaluation import RACES, register_race
from tunesmith.lm import FunctionLM

GIVEN: dict[str, Any] = {"trainset": TRAIN, "valset": VAL}
COMPILED: dict[str, Any] = {**GIVEN, "mirror": False}


def identity(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_both_doors_write_the_same_identity_and_the_same_result(tmp_path: Path) -> None:
    compiler, model = RandomSearch(metric=right, num_candidates=3, seed=5), FunctionLM(world())
    with dspy.context(lm=model):
        compiler.compile(dspy.Predict(Colour), **COMPILED, run=str(tmp_path / "one"))
    ts.compile(
        dspy.Predict(Colour), metric=right, **COMPILED, compiler=compiler, lm=model, seed=5, run=tmp_path / "other"
    )

    assert identity(tmp_path / "one") == identity(tmp_path / "other")
    one, other = (json.loads((tmp_path / name / "result.json").read_text("utf-8")) for name in ("one", "other"))
    assert {name: one[name] for name in ("verdict", "validation", "gain", "candidates", "notes")} == {
        name: other[name] for name in ("verdict", "validation", "gain", "candidates", "notes")
    }
    assert one["artifact"] is None
    assert other["artifact"] is not None


def test_the_identity_of_a_run_has_the_text_that_earlier_versions_wrote() -> None:
    compiler = RandomSearch(metric=right, race="bound", bounds=(0, 1), limits={"tokens": 300}, formats=["bare"])
    job = job_of(dspy.Predict(Colour), compiler, **GIVEN, lm=FunctionLM(world()))

    assert json.dumps(job.identity()["compiler"], sort_keys=True) == (
        '{"bounds": [0, 1], "formats": ["bare"], "instructions": [], "limits": {"tokens": 300.0}, '
        '"max_bootstrapped_demos": 4, "max_labeled_demos": 16, "max_rounds": 1, "metric_threshold": null, '
        '"name": "RandomSearch", "num_candidates": 16, "objectives": ["score"], "race": "bound", "sampler": "random", '
        '"seed": 0}'
    )
    assert "prompt lm" not in job.identity()
    assert "teacher" not in job.identity()


def test_a_run_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    compiler = RandomSearch(metric=right, num_candidates=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"program": "x"}', encoding="utf-8")
    (tmp_path / "run" / "compile.json").write_text("{}", encoding="utf-8")
    with dspy.context(lm=FunctionLM(world())), pytest.raises(RunMismatch, match="of an earlier version"):
        compiler.compile(dspy.Predict(Colour), **COMPILED, run=str(tmp_path / "run"))


@dataclass(frozen=True)
class Portfolio(Compiler):
    """One compiler after the other on the same search."""

    proposals: int = option(3, "Instructions that are asked for.", low=1)

    def effort(self, *, train: int, calls: float) -> Effort:
        return Effort(candidates=4 + self.proposals, proposals=self.proposals, runs=4, most_runs=4 + train)

    def search(self, search: Search) -> None:
        for part in (RandomSearch(num_candidates=4, seed=self.seed), Asking(proposals=self.proposals, seed=self.seed)):
            part.search(search)


def test_compilers_compose_on_one_search() -> None:
    report = ts.compile(
        dspy.Predict(Colour), metric=right, **GIVEN, compiler=Portfolio(), lm=FunctionLM(world())
    ).report

    origins = [trial.origin for trial in report.trials]
    assert len(report.trials) > 5
    assert any(origin.startswith("draw") for origin in origins)
    assert any("3 proposals were asked" in note for note in report.notes)


def test_a_class_that_is_not_a_dataclass_says_so() -> None:
    class Forgotten(RandomSearch):
        tries: int = 3

    with pytest.raises(UsageError, match="Forgotten declares `tries`, but it is not a dataclass"):
        Forgotten(metric=right)


def test_a_compiler_is_a_value() -> None:
    compiler = Asking(metric=right, rounds=2)
    with pytest.raises(AttributeError):
        compiler.rounds = 3  # type: ignore[misc]
    assert compiler.with_budget(ts.Budget(calls=9)).options() == {**compiler.options(), "budget": {"calls": 9}}
    assert repr(compiler) == "Asking(rounds=2)"
    assert compiler == Asking(metric=right, rounds=2) != Asking(metric=right)
    assert len({compiler, Asking(metric=right, rounds=2)}) == 1
    with pytest.raises(UsageError, match=r"`rounds` must be at least 1. Given: 0"):
        Asking(metric=right, rounds=0)
    with pytest.raises(UsageError, match=r"`rounds`: Input should be a valid integer. Given: '2'"):
        Asking(metric=right, rounds="2")


def test_a_rule_of_racing_is_registered_beside_the_compiler_that_needs_it() -> None:
    @register_race
    def first_is_best(field: Any) -> list[int]:
        field.show([0], field.total)
        return [0]

    try:
        compiler = RandomSearch(num_candidates=3, race="first-is-best")
        model = FunctionLM(world())
        report = ts.compile(dspy.Predict(Colour), metric=right, **GIVEN, compiler=compiler, lm=model).report
        assert sorted(trial.n for trial in report.trials) == [len(VAL), len(VAL)]
    finally:
        RACES.pop("first-is-best")
    with pytest.raises(UsageError, match="There is no race 'first-is-best'"):
        RandomSearch(race="first-is-best")
