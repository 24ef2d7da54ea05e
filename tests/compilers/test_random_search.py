"""RandomSearch: what it draws, how it races, what it finds."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import dspy
import pytest

from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, chance, colour_of, helpful, right, world
from tests.each import each
from tests.evaluation.replies import number, written
from tests.scale import FULL, scaled
from tunesmith.compilers import CompileReport, LabeledFewShot, RandomSearch, Study, Trial, random_search
from tunesmith.errors import BudgetExceeded, UsageError
from tunesmith.evaluation import RACES, evaluate
from tunesmith.lm import LM, Budget, FunctionLM, ReplyCache, Seen

HALVED, ALL = ({"sampler": "random", "race": "paired-halving"}, {"sampler": "tpe", "race": "full"})
OTHERS = [
    {"sampler": "random", "race": "full"},
    {"sampler": "random", "race": "block-race"},
    {"sampler": "tpe", "race": "paired-halving"},
]


def named(options: dict[str, str]) -> str:
    return "-".join(options.values())


every_variant = pytest.mark.parametrize("options", [HALVED, ALL, *OTHERS], ids=named)
variants = pytest.mark.parametrize("options", [HALVED, ALL, *(OTHERS if FULL else [])], ids=named)
"""Each sampler and each race; `make test-slow` takes each sampler with each race."""


def search(lm: LM | None = None, *, student: Any = None, **options: Any) -> Any:
    with dspy.context(lm=FunctionLM(world()) if lm is None else lm):
        return RandomSearch(**{"metric": right, "num_candidates": 6, **options}).compile(
            dspy.Predict(Colour) if student is None else student, trainset=TRAIN, valset=VAL
        )


def report_of(*args: Any, **options: Any) -> CompileReport:
    return search(*args, **options).compile_report


# What it draws ----------------------------------------------------------------------------------------------


def test_candidates_differ_none_is_tried_twice_and_demos_come_from_the_training_examples_alone() -> None:
    report = report_of(num_candidates=10)

    keys = [trial.candidate.key for trial in report.trials]
    assert len(set(keys)) == len(keys) == 11
    known = {(e.thing, e.colour) for e in TRAIN}
    for trial in report.trials:
        for demo in trial.candidate.parts["self"].demos:
            assert (demo.inputs["thing"], demo.outputs["colour"]) in known


def test_demo_counts_stay_within_the_limit_and_serve_every_label_alike() -> None:
    for limit in (0, 2, 5):
        trials = report_of(num_candidates=15 if FULL else 7, max_labeled_demos=limit).trials
        sizes = {len(trial.candidate.parts["self"].demos) for trial in trials}
        assert max(sizes) <= limit
        assert len(sizes) > 1 or limit == 0
        if limit >= 3:
            assert all(size % 3 == 0 for size in sizes), "three labels, so as many demos of each"


def test_given_instructions_and_formats_are_tried() -> None:
    texts = ["Name the colour.", "Which colour is it?"]

    report = report_of(num_candidates=10, instructions=texts, formats=["bare", "json", "chat"])

    parts = [trial.candidate.parts["self"] for trial in report.trials]
    assert {part.instruction for part in parts} == {Colour.instructions, *texts}
    assert {part.format for part in parts} == {"bare", "json", "chat"}


def test_instructions_may_be_given_by_predictor() -> None:
    student = TwoSteps()

    report = report_of(FunctionLM(two_steps), student=student, instructions={"second": ["Name it."]}, num_candidates=6)

    assert {t.candidate.parts["second"].instruction for t in report.trials} >= {"Name it."}
    assert {t.candidate.parts["first"].instruction for t in report.trials} == {student.first.signature.instructions}
    with pytest.raises(UsageError, match="third"):
        search(FunctionLM(two_steps), student=TwoSteps(), instructions={"third": ["x"]})


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("thing -> guess")
        self.second = dspy.Predict("thing, guess -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        return self.second(thing=thing, guess=self.first(thing=thing).guess)


def two_steps(seen: Seen) -> str:
    """The first step knows the colour and passes it on; the second one trusts it only if it is shown demos."""
    thing = number(seen.text)
    if "\nGuess: " not in seen.text:
        return written(seen, guess=colour_of(thing))
    known = chance("difficulty", thing) < (0.9 if len(seen.messages) > 1 else 0.4)
    return written(seen, colour=colour_of(thing) if known else "grey")


def test_steps_without_labels_get_bootstrapped_demos() -> None:
    program = search(FunctionLM(two_steps), student=TwoSteps(), num_candidates=8)

    report = program.compile_report
    assert report.improved
    assert any("Bootstrapped" in note for note in report.notes)
    assert all(demo.augmented for part in report.candidate.parts.values() for demo in part.demos)
    assert len(report.candidate.parts["second"].demos) > 0
    assert max(len(t.candidate.parts["first"].demos) for t in report.trials) > 0


def test_every_number_of_bootstrapped_demos_up_to_the_limit_is_tried() -> None:
    for limit in (1, 3) if FULL else (2,):
        report = report_of(
            FunctionLM(two_steps), student=TwoSteps(), num_candidates=8, max_bootstrapped_demos=limit, formats=["json"]
        )
        sizes = {len(part.demos) for trial in report.trials for part in trial.candidate.parts.values()}
        assert sizes == set(range(limit + 1))


def test_labels_for_every_step_need_no_bootstrapping() -> None:
    model = FunctionLM(world())
    report = report_of(model)
    assert not any("Bootstrapped" in note for note in report.notes)
    assert all(number(seen.messages[-1].parts[0].text) >= 100 for seen in model.requests)


def test_a_small_space_is_tried_whole_and_said_so() -> None:
    report = report_of(num_candidates=50, max_labeled_demos=0, formats=["bare", "json"])

    assert len(report.trials) == 2
    assert any("all were tried" in note for note in report.notes)


# How it races -----------------------------------------------------------------------------------------------


@every_variant
def test_every_variant_is_deterministic_and_keeps_its_budget(options: dict[str, Any]) -> None:
    for cap in (31, 61, 95, 200) if FULL else (95,):
        one, other = (report_of(budget=cap, slots=slots, **options) for slots in (1, 8))
        assert one.candidate == other.candidate
        assert one.charged.calls == other.charged.calls <= cap


@variants
def test_every_variant_returns_what_scored_best_in_full(options: dict[str, Any]) -> None:
    report = report_of(num_candidates=6, **options)

    whole = {trial.candidate: trial.mean for trial in report.trials if trial.n == len(VAL)}
    assert report.compiled.mean == max(mean for mean in whole.values() if mean is not None)
    assert whole[report.candidate] == report.compiled.mean
    assert report.improved


def test_a_full_race_scores_every_candidate_on_every_example() -> None:
    model = FunctionLM(world())
    report = report_of(model, race="full", num_candidates=5, formats=["bare"], seed=2)

    assert [trial.n for trial in report.trials] == [len(VAL)] * 6
    assert len(model.requests) == 6 * len(VAL), "as the published random search: (candidates + 1) x |val|"


@each("race", sorted(RACES))
def test_every_race_drives_a_search_and_its_leaders_are_scored_whole(race: str) -> None:
    report = report_of(race=race, num_candidates=6 if FULL else 4, bounds=(0, 1) if race == "bound" else None)

    whole = [trial for trial in report.trials if trial.n == len(VAL)]
    assert len(whole) >= 3, "the program as given and two leaders"
    assert report.compiled.mean == max(trial.mean for trial in whole if trial.mean is not None)


def test_bounds_save_calls_and_lose_nothing_against_scoring_everything() -> None:
    bounded, full = (
        report_of(race=race, num_candidates=8, bounds=bounds) for race, bounds in (("bound", (0, 1)), ("full", None))
    )

    assert bounded.charged.calls < full.charged.calls
    assert bounded.compiled.mean == full.compiled.mean


def test_halving_needs_fewer_calls_than_scoring_everything() -> None:
    halved, full = (report_of(race=race, num_candidates=8).charged.calls for race in ("paired-halving", "full"))

    assert halved < 0.8 * full


def test_a_mean_on_few_examples_wins_nothing() -> None:
    """A candidate that was dropped early is not returned, however good its first examples were."""
    for seed in range(scaled(40)):
        report = report_of(seed=seed, num_candidates=10)
        assert next(t for t in report.trials if t.candidate == report.candidate).n == len(VAL)


@variants
def test_the_end_of_the_budget_leaves_the_best_so_far(options: dict[str, Any]) -> None:
    """Demos make a call longer than the student's own, so a limit in tokens ends the search on the way."""
    free = report_of(num_candidates=6, **options)
    improved = 0
    for share in (0.5, 0.8):
        limit = int(free.charged.tokens * share)
        report = report_of(num_candidates=6, budget=Budget(tokens=limit), **options)
        whole = [t.mean or 0.0 for t in report.trials if t.n == len(VAL)]
        assert report.compiled.mean == max(whole)
        assert report.charged.tokens < limit + 200
        improved += report.improved
    assert improved


@variants
def test_no_variant_needs_more_than_its_plan(options: dict[str, Any]) -> None:
    for seed in range(scaled(20)):
        for student, answer, calls in ((dspy.Predict(Colour), world(), 1.0), (TwoSteps(), two_steps, 2.0)):
            model = FunctionLM(answer)
            report = report_of(model, student=student, seed=seed, num_candidates=7, **options)
            plan = RandomSearch(metric=right, num_candidates=7, **options).plan(
                train=len(TRAIN), val=len(VAL), calls=calls
            )
            assert report.charged.calls <= plan["calls"]["worst"]
            assert plan["calls"]["expected"] <= plan["calls"]["worst"]
            assert plan["candidates"] == 8


class Recorded(Study):
    """A study that notes what it is told."""

    told: ClassVar[list[tuple[float | None, int]]] = []

    def tell(self, trial: Trial, value: Any, *, seen: int = 0, over: Any = None) -> Any:
        self.told.append((value[0] if isinstance(value, tuple) else value, seen))
        return super().tell(trial, value, seen=seen, over=over)


@variants
def test_the_study_learns_from_whole_scores_alone(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_search, "Study", Recorded)
    Recorded.told = []

    report = report_of(num_candidates=6, **options)

    assert {value for value, seen in Recorded.told if value is not None and not seen} == {
        trial.mean for trial in report.trials if trial.number and trial.n == len(VAL)
    }
    assert sorted(seen for value, seen in Recorded.told if value is not None and seen) == sorted(
        trial.n for trial in report.trials if trial.n < len(VAL)
    )


def test_a_metric_that_fails_on_an_example_does_not_stop_a_race() -> None:
    def moody(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        if example.thing == VAL[3].thing and prediction.colour == "green":
            raise KeyError("no label for green")
        return right(example, prediction)

    wide = [example.copy(thing=f"thing {400 + i}") for i, example in enumerate(VAL * 2)]
    wide[3] = VAL[3]
    with dspy.context(lm=FunctionLM(world())):
        report = (
            RandomSearch(metric=moody, num_candidates=10)
            .compile(dspy.Predict(Colour), trainset=TRAIN, valset=wide)
            .compile_report
        )
    assert len(report.trials) == 11


# What it finds ----------------------------------------------------------------------------------------------


def mean_on_test(program: dspy.Module, lm: LM) -> float:
    found = evaluate(program, TEST, right, lm=lm).mean
    assert found is not None
    return found


@pytest.mark.slow
def test_it_beats_labelled_demos_drawn_once() -> None:
    """Where some demo sets are good, searching for one beats drawing one, on average and on examples nobody saw."""
    searched, drawn = [], []
    for seed in range(scaled(40)):
        model = FunctionLM(world(helpful))
        program = search(model, seed=seed, num_candidates=16, max_labeled_demos=6)
        with dspy.context(lm=model):
            once = LabeledFewShot(6, metric=right, seed=seed).compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)
        searched.append(mean_on_test(program, model))
        drawn.append(mean_on_test(once, model))
    assert sum(searched) > sum(drawn)


def test_tpe_and_random_draws_both_gain(tmp_path: Any) -> None:
    def lists(demos: Sequence[int]) -> float:
        return min(0.95, 0.3 + 0.04 * len(demos))

    model = FunctionLM(world(lists), cache=ReplyCache(tmp_path))
    gains = {
        sampler: sum(
            report_of(model, sampler=sampler, seed=seed, num_candidates=8, race="full").gain.mean or 0
            for seed in range(scaled(20))
        )
        for sampler in ("random", "tpe")
    }
    assert min(gains.values()) > 0.3 * scaled(20)


def test_a_format_the_model_can_follow_is_found() -> None:
    def stubborn(seen: Seen) -> str:
        if seen.request.config.response_format is None:
            return written(seen, colour=colour_of(number(seen.text)))
        return "I would rather talk."

    program = search(FunctionLM(stubborn), formats=["json", "bare"], num_candidates=6, max_labeled_demos=0)

    assert program.compile_report.candidate.parts["self"].format == "bare"
    student = search(FunctionLM(stubborn), formats=["json"], num_candidates=6)
    assert student.compile_report.baseline.mean == 1.0
    assert not student.compile_report.improved


class Wide(dspy.Signature):
    """x"""

    thing: str = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()
    why: str = dspy.OutputField()


# What is refused --------------------------------------------------------------------------------------------


@each(
    ("options", "message"),
    [
        ({"race": "derby"}, "no race 'derby'"),
        ({"race": "bound"}, "stands on the scores' bounds"),
        ({"bounds": (1, 0)}, "lowest and the highest"),
        ({"bounds": (-math.inf, math.inf)}, "both finite"),
        ({"bounds": (0, math.inf)}, "both finite"),
        ({"bounds": (0, math.nan)}, "both finite"),
        ({"instructions": [""]}, r"`instructions` holds what is not an instruction: ''\. Write a text"),
        ({"instructions": ["Name it.", " \n"]}, "not an instruction"),
        ({"instructions": {"self": [""]}}, r"`instructions\['self'\]` holds what is not an instruction: ''"),
        ({"instructions": [3]}, "not an instruction: 3"),
        ({"instructions": "Name it."}, "is a list of texts"),
        ({"instructions": {"self": "Name it."}}, r"`instructions\['self'\]` is a list of texts"),
        ({"sampler": "cma-es"}, "no sampler 'cma-es'"),
        ({"objectives": ("tokens",)}, "Objectives are `score` and others"),
        ({"objectives": 3}, r"Objectives are a list of names, as in .*Given: 3\."),
        ({"objectives": (["score"],)}, "There is no objective"),
        ({"limits": {"words": 5}}, "no limit on 'words'"),
        ({"limits": 800}, r"Limits go by name, as in {'tokens': 800}\. Given: 800\."),
        ({"formats": ["yaml"]}, "no format 'yaml'"),
        ({"formats": "json"}, "a list of names"),
        ({"formats": {"json", "bare"}}, "a list of names"),
        ({"num_candidates": 0}, "at least 1"),
    ],
)
def test_options_that_do_not_exist_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomSearch(metric=right, **options)


def test_formats_that_cannot_carry_the_program_are_refused() -> None:
    with pytest.raises(UsageError, match="None of the formats bare can carry the predictor"):
        search(FunctionLM(lambda seen: "x"), student=dspy.Predict(Wide), formats=["bare"])


def test_a_budget_that_ends_while_bootstrapping_returns_the_student() -> None:
    report = report_of(FunctionLM(two_steps), student=TwoSteps(), budget=2 * len(VAL) + 9)

    assert not report.improved
    assert report.charged.calls <= 2 * len(VAL) + 9
    assert any("ended early" in note for note in report.notes)
    with pytest.raises(BudgetExceeded):
        report_of(FunctionLM(two_steps), student=TwoSteps(), budget=2 * len(VAL) - 1)


@variants
def test_room_for_one_candidate_is_used(options: dict[str, Any]) -> None:
    for cap in (2 * len(VAL), 4 * len(VAL) - 1):
        report = report_of(budget=cap, formats=["bare"], **options)
        assert sum(trial.n == len(VAL) for trial in report.trials) >= 2
        assert report.charged.calls <= cap
