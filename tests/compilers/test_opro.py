"""OPRO: what the prompt model is shown, what is left out, what it costs, and what it finds."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, asked, chance, colour_of, right, world
from tests.each import each
from tests.evaluation.replies import number, proposed, written
from tests.scale import FULL, scaled
from tunesmith.compilers import OPRO, CompileReport, RandomSearch
from tunesmith.compilers._shortening import BestLast, shortened
from tunesmith.compilers.opro import WriteInstruction
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Predict

FEW = TRAIN[:10]
GIVEN = {"task": "thing -> colour", "examples": []}


def report_of(model: Any, *, student: Any = None, compiler: Any = None, trainset: Any = FEW, **options: Any) -> Any:
    compiler = (
        OPRO(**{"metric": right, "steps": 3, "per_step": 4, "anew_every": 0, **options})
        if compiler is None
        else compiler
    )
    with dspy.context(lm=model):
        program = compiler.compile(dspy.Predict(Colour) if student is None else student, trainset=trainset, valset=VAL)
    found: CompileReport = program.compile_report
    return found


class Told:
    """A model that writes what `write` says, the world's wording without it, and keeps the questions."""

    def __init__(self, write: Callable[[int], str] | None = None) -> None:
        self.questions: list[str] = []
        self.lm = FunctionLM(self._answer)
        self._write, self._world = write, world()

    def _answer(self, seen: Seen) -> str:
        if not asked(seen):
            return self._world(seen)
        self.questions.append(seen.text)
        if self._write is None:
            return self._world(seen)
        return proposed(seen, self._write(len(self.questions) - 1))

    def scores(self, question: str) -> list[tuple[str, int]]:
        """Return the scored instructions that a question shows, in order."""
        return [(text, int(score)) for text, score in re.findall(r'"([^"]*) \| score: (\d+)"', question)]


# What it costs ----------------------------------------------------------------------------------------------


def test_the_published_settings_take_the_published_number_of_calls() -> None:
    told = Told(lambda n: f"Wording {n}.")
    report = report_of(told.lm, compiler=OPRO.published(metric=right, steps=3))

    assert len(told.questions) == 3 * 8
    published = len(FEW) + 3 * (8 + 8 * len(FEW))
    assert report.charged.calls == published + 2 * len(VAL), "the program as given and the best one select"


def test_the_plan_of_the_published_settings_is_that_of_the_paper() -> None:
    assert OPRO.published().options()["steps"] == 200
    plan = OPRO.published().plan(train=260, val=0)
    assert (plan["proposals"], plan["calls"]["expected"]) == (1600, 260 + 200 * (8 + 8 * 260))


def test_raced_steps_take_no_more_than_the_plan() -> None:
    for seed in range(scaled(20)):
        compiler = OPRO(metric=right, steps=3, per_step=4, examples=6, finalists=2, seed=seed)
        plan = compiler.plan(train=len(FEW), val=len(VAL))["calls"]
        assert plan["worst"] == 3 * len(VAL) + 12 * (1 + 6) + len(FEW), "exemplars may take runs on train"
        assert report_of(FunctionLM(world()), compiler=compiler).charged.calls <= plan["worst"] - len(FEW)
        chain = report_of(FunctionLM(reasoned), student=dspy.ChainOfThought(Colour), compiler=compiler)
        assert chain.charged.calls <= plan["worst"]


def reasoned(seen: Seen) -> str:
    return world()(seen) if asked(seen) else written(seen, reasoning="r", colour="red")


def test_a_small_budget_has_fewer_steps_and_leaves_room_for_the_best() -> None:
    for cap in range(len(VAL), 6 * len(VAL), 1 if FULL else 31):
        report = report_of(FunctionLM(world()), budget=cap, steps=12)
        whole = [trial for trial in report.trials if trial.n == len(VAL)]
        assert report.charged.calls <= cap
        assert len(whole) > (cap >= 2 * len(VAL) + 2)


# What the model is shown ------------------------------------------------------------------------------------


@each("options", [{"score_on": "train"}, {}], ids=str)
def test_instructions_are_shown_worst_first_with_whole_scores_and_not_too_many(options: dict[str, Any]) -> None:
    told = Told()
    report_of(told.lm, steps=4, history=6, **options)

    shown = [told.scores(question) for question in told.questions]
    assert [len(pairs) for pairs in shown[::4]] == [1, 5, 6, 6]
    assert all([score for _, score in pairs] == sorted(score for _, score in pairs) for pairs in shown)
    assert all(0 <= score <= 100 for pairs in shown for _, score in pairs)
    assert shown[0][0][0] == Colour.instructions


def test_scores_on_the_training_set_are_its_means() -> None:
    told = Told()
    report_of(told.lm, score_on="train", steps=2)

    text, score = told.scores(told.questions[-1])[-1]
    world_of_one = dspy.Predict(Colour.with_instructions(text))
    with dspy.context(lm=FunctionLM(world()), adapter=None):
        mean = sum(right(example, world_of_one(**example.inputs())) for example in FEW) / len(FEW)
    assert score == round(100 * mean)


def test_a_list_with_the_best_last_is_cut_from_its_begin() -> None:
    model, texts = FunctionLM(world()), [f"Wording {n}. | score: {n}" for n in range(90)]
    job = SimpleNamespace(limits={"tokens": 300})
    found, dropped = shortened(job, Predict(WriteInstruction), model, {**GIVEN, "scored": BestLast(texts)})  # type: ignore[arg-type]
    assert 0 < dropped < 90
    assert found["scored"] == texts[dropped:]


def test_below_the_threshold_nothing_is_shown_but_the_best() -> None:
    told = Told()
    report_of(told.lm, score_on="train", threshold=2.0)
    assert {len(told.scores(question)) for question in told.questions} == {1}


def test_random_exemplars_change_with_the_step_and_constant_ones_do_not() -> None:
    def exemplars(choice: str, seed: int = 0) -> list[str]:
        told = Told()
        report_of(told.lm, exemplar_choice=choice, seed=seed)
        return [re.findall(r"<INS> thing: (thing \d+)", question) for question in told.questions[::4]]

    first, second, third = exemplars("random")
    assert first != second != third
    assert exemplars("random") == [first, second, third] != exemplars("random", 1)
    first, second, third = exemplars("constant")
    assert first == second == third
    assert len(first) == 3


@each("choice", ["wrong", "wrong-now"])
def test_exemplars_may_be_what_most_instructions_get_wrong(choice: str) -> None:
    told = Told()
    report_of(told.lm, score_on="train", exemplar_choice=choice, trainset=TRAIN)

    hard = sorted(range(40), key=lambda n: -chance("difficulty", n))[:8]
    named = {int(n) for n in re.findall(r"<INS> thing: thing (\d+)", told.questions[-1])}
    assert len(named) == 3
    assert named <= set(hard)
    assert "| right: colour:" in told.questions[-1]


def test_fresh_steps_see_examples_alone_for_each_predictor() -> None:
    told = Told()
    report_of(told.lm, anew_every=2, steps=5, per_step=1)
    assert ["score: " in question for question in told.questions] == [False, True, False, True, False]
    assert all("<INS>" in question for question in told.questions)

    told = Told()
    report_of(told.lm, anew_every=2, steps=7, per_step=1, student=Steps())
    assert ["score: " in question for question in told.questions] == [False] * 3 + [True] * 3 + [False]


# What is left out -------------------------------------------------------------------------------------------


def test_what_was_seen_is_too_long_or_holds_the_slot_is_not_paid_for() -> None:
    texts = ["Look at it.", "Look at it.", "x y " * 130, "Put <INS> here.", Colour.instructions, "Nenn höflich «ä»."]
    told = Told(lambda n: texts[n % len(texts)])
    report = report_of(told.lm, compiler=OPRO.published(metric=right, steps=1, per_step=6))

    assert report.charged.calls == 6 + 3 * len(FEW) + 2 * len(VAL)


def test_digits_are_left_out_on_demand() -> None:
    told = Told(lambda n: f"Wording {n}.")
    report = report_of(told.lm, digits=False)
    assert [trial.origin for trial in report.trials] == ["program as given"]


def test_a_model_that_writes_nothing_new_is_asked_three_times() -> None:
    told = Told(lambda _: "")
    report = report_of(told.lm, steps=50)

    assert len(told.questions) == 3 * 4
    assert any("ended after 3 of 50 steps" in note for note in report.notes)


# Several predictors -----------------------------------------------------------------------------------------


def test_predictors_take_turns_and_each_step_changes_one() -> None:
    told = Told(lambda n: f"Wording {n}.")
    report = report_of(told.lm, student=Steps(), steps=6, per_step=2)

    assert [re.search(r"the step `(\w+)`", question)[1] for question in told.questions[::2]] == [  # type: ignore[index]
        *("look", "weigh", "answer"),
        *("look", "weigh", "answer"),
    ]
    tried = [trial.candidate.parts for trial in sorted(report.trials, key=lambda trial: trial.number)]
    for number_, parts in enumerate(tried[1:], 1):
        assert any(sum(parts[path] != other[path] for path in parts) == 1 for other in tried[:number_])


def test_an_instruction_counts_as_the_mean_of_the_combinations_that_hold_it() -> None:
    told = Told(lambda n: f"Wording {n}.")
    report_of(told.lm, student=Steps(), steps=4, per_step=2, score_on="train")

    first = dict(told.scores(told.questions[-1]))
    assert set(first) == {"Wording 0.", "Wording 1.", "Given the fields `thing`, `turn`, produce the fields `looks`."}


# What it finds ----------------------------------------------------------------------------------------------


def climbing(seen: Seen) -> str:
    """A model that goes on from the best instruction it is shown; it is right the more often the further that is."""
    if asked(seen):
        (*_, last) = re.findall(r"(\d*)\. \| score", seen.text) or [""]
        return proposed(seen, f"Try {int(last or 0) + int(chance(seen.text, seen.request.config.seed) * 3)}.")
    thing = number(seen.text)
    tries = re.search(r"Try (\d+)", seen.system)
    able = min(0.9, 0.3 + 0.1 * int(tries[1])) if tries else 0.3
    return written(seen, colour=colour_of(thing) if chance("difficulty", thing) < able else "grey")


@pytest.mark.whole
@pytest.mark.parametrize("options", [{}, {"score_on": "train"}], ids=str)
def test_it_beats_random_search_at_equal_calls_if_the_model_learns_from_scores(options: dict[str, Any]) -> None:
    for seed in range(scaled(20)):
        found = report_of(FunctionLM(climbing), steps=12, anew_every=4, budget=400, seed=seed, **options)
        other = report_of(
            FunctionLM(climbing),
            compiler=RandomSearch(
                metric=right, budget=400, seed=seed, instructions=[f"Try {n}." for n in range(3)], formats=["bare"]
            ),
        )
        assert (found.compiled.mean or 0) > (other.compiled.mean or 0)


@each(
    ("options", "message"),
    [
        ({"exemplar_choice": "wrong"}, "needs score_on='train'"),
        ({"exemplar_choice": "best"}, "no exemplar_choice 'best'"),
        ({"score_on": "test"}, "no score_on 'test'"),
        ({"race": "derby"}, "no race 'derby'"),
        ({"per_step": 0}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OPRO(metric=right, **options)
