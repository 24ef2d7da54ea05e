"""GEPA: the published flow call by call, and what is ours."""

import re
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import (
    TRAIN,
    VAL,
    Colour,
    Steps,
    asked,
    asks_for_steps,
    found_on_unseen,
    right,
)
from tests.each import each
from tests.evaluation.replies import number, proposed, written
from tunesmith.compilers import GEPA, CompileReport, RandomSearch
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen

V = len(VAL)


def level(text: str) -> int:
    """Return what the instruction in a prompt is worth: `Level 3.` is worth 3, another nothing."""
    found = re.findall(r"Level (\d+)", text)
    return int(found[-1]) if found else 0


def levels() -> FunctionLM:
    """Return a model that answers with the level of its instruction, and proposes the next one."""

    def answer(seen: Seen) -> str:
        if asked(seen):
            return proposed(seen, f"Level {level(seen.text) + 1}.")
        return written(seen, answer=str(level(seen.system)))

    return FunctionLM(answer)


def hundredths(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return int(prediction.answer) / 100


def gepa(lm: FunctionLM, student: Any = "thing -> answer", metric: Any = hundredths, **options: Any) -> CompileReport:
    compiler = options.pop("compiler", None) or GEPA(metric=metric, **options)
    program = dspy.Predict(student) if isinstance(student, (str, type)) else student
    with dspy.context(lm=lm):
        return compiler.compile(program, trainset=TRAIN, valset=VAL).compile_report


# The published flow -------------------------------------------------------------------------------------------


@each(
    ("auto", "predictors", "evaluations"),
    [("light", 1, 580), ("medium", 1, 940), ("heavy", 1, 1385), ("light", 3, 1515)],
)
def test_the_budget_of_auto_is_the_published_formula(auto: str, predictors: int, evaluations: int) -> None:
    assert GEPA.published(auto, val=50, predictors=predictors).evaluations == evaluations


def test_an_iteration_without_a_better_child_is_three_and_three_runs_and_a_proposal() -> None:
    texts = iter(f"Rather {word}." for word in "abcdefghij")
    lm = FunctionLM(lambda seen: proposed(seen, next(texts)) if asked(seen) else written(seen, answer="0"))

    report = gepa(lm, compiler=GEPA.published(val=V, metric=hundredths, evaluations=V + 5 * 6))

    assert report.charged.calls == len(lm.requests) == V + 5 * (3 + 3 + 1)
    assert len(report.trials) == 1


def test_an_accepted_child_costs_validation_as_well() -> None:
    lm = levels()

    report = gepa(lm, compiler=GEPA.published(val=V, metric=hundredths, evaluations=V + 4 * (6 + V)))

    assert report.charged.calls == len(lm.requests) == V + 4 * (3 + 3 + 1 + V)
    assert [(trial.n, round(trial.mean or 0, 9)) for trial in report.trials][:2] == [(V, 0.04), (V, 0.03)]
    assert report.candidate.parts["self"].instruction == "Level 4."


def test_a_perfect_minibatch_is_passed_over_without_a_proposal() -> None:
    lm = FunctionLM(lambda seen: written(seen, answer="100"))

    report = gepa(lm, compiler=GEPA.published(val=V, metric=hundredths, evaluations=V + 4 * 3))

    assert report.charged.calls == len(lm.requests) == V + 4 * 3


def test_the_prompt_model_sees_instruction_runs_and_what_the_metric_says() -> None:
    said: list[str] = []

    def told(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        return dspy.Prediction(score=0.0, feedback=f"It is {example.colour}, not that.")

    def answer(seen: Seen) -> str:
        if asked(seen):
            said.append(f"{seen.system}\n{seen.text}")
            return proposed(seen, "Name it.")
        return written(seen, colour="red")

    gepa(FunctionLM(answer), Colour, told, iterations=1, anew_every=0)

    assert Colour.instructions in said[0]
    assert (
        len(re.findall(r"thing: thing \d+ -> colour: red \| right: colour: \w+ \| It is \w+, not that", said[0])) == 3
    )


class Two(Steps):
    """As `Steps`, without the second and the loop."""

    def forward(self, thing: str) -> dspy.Prediction:
        return self.answer(thing=self.look(thing=thing, turn=1).looks)


@each(
    ("blame", "wanted"),
    [(False, ["look", "answer", "look", "answer"]), (True, ["answer"] * 4)],
    ids=["in turn", "to blame"],
)
def test_the_predictor_that_is_rewritten_ran_and_is_next_in_turn_or_to_blame(blame: bool, wanted: list[str]) -> None:
    turns: list[str] = []

    def answer(seen: Seen) -> str:
        if asked(seen):
            turns.append(re.findall(r"step `(\w+)`", seen.text)[0])
            return ""
        return written(seen, looks="thing 1") if asks_for_steps(seen) else written(seen, colour="green")

    labelled = [example.copy(looks="thing 1") for example in TRAIN]
    with dspy.context(lm=FunctionLM(answer)):
        compiler = GEPA(metric=right, iterations=4, attempts=1, anew_every=0, blame=blame)
        compiler.compile(Two(), trainset=labelled, valset=VAL)

    assert turns == wanted


class Sides(dspy.Module):
    """Two predictors, each with a level of its own; the second is told the level of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = dspy.Predict("thing -> a"), dspy.Predict("thing, side -> b")

    def forward(self, thing: str) -> dspy.Prediction:
        a = self.left(thing=thing).a
        return dspy.Prediction(a=a, b=self.right(thing=thing, side=a).b)


def sided(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """Of six things the program as given gets one right, a level on the left two, one on the right two others."""
    kind = number(example.thing) % 6
    return [prediction.a == prediction.b == "0", prediction.a == "1", prediction.b == "1", False][(kind + 1) // 2]


def test_what_two_lineages_learned_is_merged() -> None:
    def answer(seen: Seen) -> str:
        if asked(seen):  # the right side learns only while the left is as given, so that lineages part
            return "" if "side: 1" in seen.text else proposed(seen, "Level 1.")
        return written(seen, **{"b" if "side" in seen.text.lower() else "a": str(level(seen.system))})

    report = gepa(
        FunctionLM(answer),
        Sides(),
        sided,
        iterations=8,
        minibatch=40,
        most_minibatch=40,
        parts=1,
        anew_every=0,
        blame=False,
    )

    best = report.trials[0]
    assert best.origin.startswith("merge")
    assert {part.instruction for part in best.candidate.parts.values()} == {"Level 1."}
    assert report.candidate == best.candidate


def test_from_scratch_the_prompt_has_pairs_and_not_the_instruction_so_far() -> None:
    said: list[str] = []

    def answer(seen: Seen) -> str:
        if asked(seen):
            said.append(f"{seen.system}\n{seen.text}")
            return ""
        return written(seen, colour="red")

    report = gepa(FunctionLM(answer), Colour, right, iterations=5, attempts=1, anew_every=2)

    rewritten = [Colour.instructions in text for text in said]
    assert rewritten == [False, True, True, False, True, True, False, True], "a rewrite follows if nothing is of use"
    assert len(re.findall(r"thing: thing \d+ -> colour: \w+", said[0])) == 4
    assert any("`WriteAnew`" in note for note in report.notes)


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls_where_wording_helps() -> None:
    assert found_on_unseen(GEPA, 2) > found_on_unseen(RandomSearch, 2) + 0.1


@each(
    ("options", "said"),
    [
        ({"iterations": None}, "Nothing ends the search"),
        ({"minibatch": 5, "most_minibatch": 4}, "`most_minibatch` must be at least `minibatch`, 5"),
        ({"limits": {"dollars": 1}}, "dollars"),
        ({"minibatch": 0}, "minibatch"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        GEPA(**options)
    with pytest.raises(UsageError, match="light, medium, heavy"):
        GEPA.published("huge", val=50)
