"""What a plan says of tokens and seconds, and what a compile then takes."""

from typing import Any

import dspy

import tunesmith as ts
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, right, world
from tests.each import each
from tests.experiments.plain_programs import Pipeline
from tests.experiments.worlds import model as plain_model
from tunesmith.experiments import compile_program, estimated, plan, timed_calls
from tunesmith.lm import FunctionLM

SPLITS = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST}
CASES = {
    "race": (dspy.Predict(Colour), world(), ts.RandomSearch(metric=right, num_candidates=6)),
    "many demos": (
        dspy.Predict(Colour),
        world(),
        ts.RandomSearch(metric=right, num_candidates=6, max_labeled_demos=32),
    ),
    "labelled": (dspy.Predict(Colour), world(), ts.LabeledFewShot(12)),
    "bootstrapped": (dspy.Predict(Colour), world(), ts.BootstrapFewShot(metric=right)),
    "no demos": (dspy.Predict(Colour), world(), ts.LabeledFewShot(0)),
}


@each(("program", "answer", "compiler"), CASES.values(), ids=list(CASES))
def test_no_compile_of_one_predictor_takes_more_tokens_than_if_all_its_calls_were_the_longest(
    program: dspy.Module, answer: Any, compiler: Any
) -> None:
    planned = plan(program, compiler=compiler, **SPLITS, lm=FunctionLM(answer))
    costs = timed_calls(program, compiler, TRAIN, right, FunctionLM(answer), count=3)

    found = estimated(planned, costs)
    result = compile_program(program, compiler=compiler, **SPLITS, lm=FunctionLM(answer), mirror=False)

    assert result.charged.tokens <= found["tokens"]["longest"] * 1.05
    assert found["tokens"]["expected"] <= found["tokens"]["longest"]
    assert 0.4 * found["tokens"]["expected"] < result.charged.tokens < 2.5 * found["tokens"]["expected"]


def test_demos_are_seen_before_the_first_call_of_the_compile() -> None:
    compiler = ts.RandomSearch(metric=right, max_labeled_demos=16)
    costs = timed_calls(dspy.Predict(Colour), compiler, TRAIN, right, FunctionLM(world()), count=2)
    assert costs is not None
    assert costs[1].tokens > 2 * costs[0].tokens


def test_a_program_that_no_label_serves_is_timed_as_it_is() -> None:
    compiler = ts.RandomSearch(metric=right)
    costs = timed_calls(Pipeline(), compiler, TRAIN, right, FunctionLM(plain_model), count=2)
    assert costs is not None
    assert costs[1].tokens >= costs[0].tokens > 0


def test_without_a_model_nothing_is_said() -> None:
    assert estimated({}, None) == {"tokens": None, "seconds": None, "measured": None}


@each(
    ("count", "said"),
    [
        (0, "no test split: the verdict will be `untested`"),
        (3, "3 test examples can prove nothing: at least 6 must differ"),
        (12, "12 test examples most likely show a gain of 0.57 or more"),
        (40, "40 test examples most likely show a gain of 0.31 or more"),
    ],
)
def test_a_plan_says_how_much_the_test_split_can_show(count: int, said: str) -> None:
    splits = {**SPLITS, "testset": TEST[:count] or None}
    notes = plan(dspy.Predict(Colour), **splits, lm=FunctionLM(world()))["notes"]
    assert any(said in note for note in notes), notes
