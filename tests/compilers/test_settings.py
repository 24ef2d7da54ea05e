"""A compiler chooses the settings that modules declare, and the artifact keeps them."""

import random
import re
from pathlib import Path
from typing import Literal

import pytest

import tunesmith as ts
from tunesmith.experiments import plan
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate


class Parity(ts.Signature):
    """Say whether the number is even or odd."""

    number: str = ts.InputField()
    parity: Literal["even", "odd"] = ts.OutputField()


def often_right(seen: Seen) -> str:
    """Give the right label in 70 of 100 rollouts of a number."""
    number = int(re.findall(r"\d+", seen.text)[-1])
    right = random.Random(f"{number} {seen.request.config.seed}").random() < 0.7
    return ("even", "odd")[(number % 2) ^ (not right)]


def examples(first: int, count: int) -> ts.Dataset:
    rows = [{"number": str(n), "parity": ("even", "odd")[n % 2]} for n in range(first, first + count)]
    return ts.Dataset.load(rows, signature=Parity)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[ts.CompileResult, Path]:
    folder = tmp_path_factory.mktemp("settings")
    metric = ts.metrics.exact_match("parity")
    result = ts.compile(
        ts.SelfConsistency(ts.Predict(Parity), samples=3),
        metric=metric,
        compiler=ts.RandomSearch(metric=metric, num_candidates=6, formats=["bare"], max_labeled_demos=0),
        trainset=examples(0, 10),
        valset=examples(100, 60),
        testset=examples(200, 20),
        lm=FunctionLM(often_right),
        run=folder / "run",
        mirror=False,
    )
    return result, folder


def test_random_search_chooses_the_number_of_chains(compiled: tuple[ts.CompileResult, Path]) -> None:
    result, _ = compiled
    assert result.program.samples == 9
    assert result.compiled.mean > result.baseline.mean


def test_the_artifact_keeps_the_choice_and_loads_without_leave(compiled: tuple[ts.CompileResult, Path]) -> None:
    result, folder = compiled
    loaded = ts.load(folder / "run" / "artifact")
    assert isinstance(loaded, ts.SelfConsistency)
    assert Candidate.of(loaded) == Candidate.of(result.program)


def test_the_plan_counts_the_chains_of_every_choice() -> None:
    metric = ts.metrics.exact_match("parity")
    given = {"trainset": examples(0, 10), "valset": examples(100, 20), "testset": examples(200, 10)}
    program = ts.SelfConsistency(ts.Predict(Parity), samples=3)
    compiler = ts.RandomSearch(metric=metric, num_candidates=4, race="full")
    found = plan(program, metric=metric, compiler=compiler, lm=FunctionLM(often_right), **given)
    # 3, 5 and 9 chains: the program as given and four candidates on 20 examples, then both programs on 10.
    assert found["calls"]["worst"] >= 5 * 20 * 9 + 10 * (3 + 9)
    assert found["calls"]["expected"] < found["calls"]["worst"]


def test_a_choice_that_costs_more_keeps_within_the_budget_and_is_tested() -> None:
    metric = ts.metrics.exact_match("parity")
    result = ts.compile(
        ts.SelfConsistency(ts.Predict(Parity), samples=3),
        metric=metric,
        trainset=examples(0, 10),
        valset=examples(100, 30),
        testset=examples(200, 10),
        budget=900,
        compiler=ts.RandomSearch(metric=metric, num_candidates=4, formats=["bare"], max_labeled_demos=0),
        lm=FunctionLM(often_right),
    )
    assert result.charged.calls <= 900
    assert result.verdict != "untested"
