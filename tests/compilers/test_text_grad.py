"""TextGrad: the published flow call by call, remarks that go backward, and demos that come along."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, asked, colour_of, found_on_unseen, right
from tests.each import each
from tests.evaluation.replies import number, object_names, proposed, written
from tunesmith.compilers import CompileReport, RandomSearch, TextGrad
from tunesmith.lm import FunctionLM, Seen

V = len(VAL)


class Chain(dspy.Module):
    """Three predictors: the second uses the first, the third the second; and the first is told the thing alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = dspy.Predict("thing -> form"), dspy.Predict("form -> shine")
        self.third = dspy.Predict("shine -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        return self.third(shine=self.second(form=self.first(thing=thing).form).shine)


class Asked:
    """A model that notes what it is asked for, by the names of the outputs, and answers tasks with `answer`."""

    def __init__(self, answer: Callable[[Seen], str], texts: Callable[[int], str] = "Rather {}.".format) -> None:
        self.said: list[tuple[str, str]] = []
        self.lm, self._answer, self._texts = FunctionLM(self._reply), answer, texts

    def kinds(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.said)

    def _reply(self, seen: Seen) -> str:
        if not asked(seen):
            return self._answer(seen)
        kind = self._kind(seen)
        self.said.append((kind, f"{seen.system}\n{seen.text}"))
        count = self.kinds()[kind]
        return proposed(seen, self._texts(count) if kind in ("rewrite", "anew") else f"{kind} {count}.")

    def _kind(self, seen: Seen) -> str:
        if object_names(seen) is not None:
            return "rewrite"
        return next(kind for kind, word in KINDS.items() if word in seen.system)


KINDS = {
    "critique": "what is wrong with the answer",
    "remark": "how the output of this step",
    "anew": "these outputs for",
}


def chained(seen: Seen) -> str:
    """Answer for `Chain`; the colour is wrong."""
    word = seen.text.rpartition("\n")[2].split(":")[0].lower()
    return f"{ {'form': 'form', 'shine': 'shine', 'colour': 'grey'}[word] } {number(seen.text)}"


def never(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return 0.0


def run(model: Asked, compiler: TextGrad, student: Any = Colour) -> CompileReport:
    program = dspy.Predict(student) if isinstance(student, type) else student
    with dspy.context(lm=model.lm):
        return compiler.compile(program, trainset=TRAIN, valset=VAL).compile_report


# The published flow -------------------------------------------------------------------------------------------


@each(("revert", "whole"), [(False, 1), (True, 4)])
def test_a_published_step_is_three_runs_three_critiques_three_remarks_and_a_rewrite(revert: bool, whole: int) -> None:
    model = Asked(lambda seen: written(seen, colour="red"))

    report = run(model, TextGrad.published(metric=never, revert=revert, steps=4))

    assert model.kinds() == {"critique": 4 * 3, "remark": 4 * 3, "rewrite": 4}
    assert report.charged.calls == len(model.lm.requests) == V + 4 * (3 + 3 + 3 + 1) + whole * V


def test_with_three_predictors_each_run_gets_three_remarks_and_each_predictor_a_rewrite() -> None:
    model = Asked(chained)

    report = run(model, TextGrad.published(metric=never, steps=2), Chain())

    assert model.kinds() == {"critique": 2 * 3, "remark": 2 * 3 * 3, "rewrite": 2 * 3}
    assert report.charged.calls == 3 * V + 2 * (3 * 3 + 3 + 9 + 3) + 3 * V
    whole = [trial for trial in report.trials if trial.number]
    assert [{part.instruction for part in trial.candidate.parts.values()} for trial in whole] == [
        {"Rather 4.", "Rather 5.", "Rather 6."}
    ], "what is taken unseen is scored at the end"


def test_a_change_that_makes_validation_worse_is_taken_back() -> None:
    texts = {1: "Level 2.", 2: "Level 1.", 3: "Level 3."}
    model = Asked(lambda seen: written(seen, answer=(re.findall(r"Level (\d)", seen.system) or "0")[0]), texts.get)  # type: ignore[arg-type]

    def tenths(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return int(prediction.answer) / 10

    report = run(model, TextGrad.published(metric=tenths, revert=True, steps=3), dspy.Predict("thing -> answer"))

    assert report.candidate.parts["self"].instruction == "Level 3."
    shown = [text for kind, text in model.said if kind == "rewrite"]
    assert "Level 2." in shown[1]
    assert "Level 1." not in shown[2]


# Backward -----------------------------------------------------------------------------------------------------


def test_remarks_go_from_the_last_predictor_to_the_first_each_with_what_was_said_of_its_followers() -> None:
    model = Asked(chained)

    run(model, TextGrad(metric=never, steps=1, errors=1, max_demos=0, anew_every=0), Chain())

    (_, second), (_, first), (kind, rewrite) = model.said
    assert "shine: shine" in second
    assert "Right would be: colour: " in second, "what the metric says goes to the last without a call"
    assert "thing: thing" in first
    assert "remark 1." in first
    assert kind == "rewrite"
    assert "remark 2." in rewrite
    assert "step `first`" in rewrite


def test_no_remark_is_asked_for_a_right_answer_or_on_a_program_of_one_predictor() -> None:
    model = Asked(lambda seen: written(seen, colour="red"))

    report = run(model, TextGrad(metric=right, steps=6, anew_every=0, max_demos=0, minibatch=4, errors=4))

    assert set(model.kinds()) == {"rewrite"}
    for _, text in model.said:
        shown = re.findall(r"thing: thing (\d+) -> colour: red", text)
        assert shown
        assert all(colour_of(int(thing)) != "red" for thing in shown)
    all_right = Asked(lambda seen: written(seen, colour=colour_of(number(seen.text))))
    assert run(all_right, TextGrad(metric=right, steps=3)).charged.calls == V + 3 * 3
    assert not all_right.said
    assert not report.improved


def test_a_proposal_sees_the_best_so_far_in_order_and_what_failed() -> None:
    model = Asked(lambda seen: written(seen, answer=(re.findall(r"Level (\d+)", seen.system) or "0")[0]), _zigzag)

    def hundredths(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return int(prediction.answer) / 100

    run(model, TextGrad(metric=hundredths, steps=11, anew_every=0, max_demos=0), dspy.Predict("thing -> answer"))

    shown = model.said[-1][1]
    best, failed = (re.search(rf"{name}: (\[.*?\])", shown.replace("\n", " ")) for name in ("Best", "Failed"))
    assert best is not None
    assert failed is not None
    assert re.findall(r"\d+", best[1]) == ["5", "7", "9"]
    assert failed[1].count("Level 0 in other words") == 5


def _zigzag(count: int) -> str:
    return f"Level {count}." if count % 2 else f"Level 0 in other words, {'x' * count}."


# Demos --------------------------------------------------------------------------------------------------------


def test_demos_on_which_a_teacher_does_better_are_drawn_more_often() -> None:
    wrong = {example.thing for example in TRAIN if number(example.thing) % 2}

    def answer(seen: Seen) -> str:
        thing = number(seen.text)
        return written(seen, colour=colour_of(thing) if thing % 2 == 0 or thing >= 100 else "none")

    def strict(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        return bool(example.colour == prediction.colour)

    class Free(dspy.Signature):
        """Say which colour the thing has."""

        thing: str = dspy.InputField()
        colour: str = dspy.OutputField()

    shown: Counter[bool] = Counter()

    def watched(seen: Seen) -> str:
        for role, text in seen.messages[:-1]:
            if role == "user":
                shown[f"thing {number(text)}" in wrong] += 1
        return answer(seen)

    run(Asked(watched), TextGrad(metric=strict, steps=15, minibatch=8, most_minibatch=8, anew_every=0), Free)

    assert shown[True] > 2 * shown[False] > 0


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls_where_wording_helps() -> None:
    assert found_on_unseen(TextGrad, 1) > found_on_unseen(RandomSearch, 1) + 0.1
