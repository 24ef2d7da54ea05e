"""CAPO: what it asks for and pays, how demos are inherited, how long prompts lose, and what it finds."""

import random
import re
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, asked, chance, colour_of, right, world
from tests.each import each
from tests.evaluation.replies import number, proposed, written
from tests.scale import FULL, scaled
from tunesmith.compilers import CAPO, CompileReport, RandomSearch, Search, few_shot_candidate, job_of
from tunesmith.compilers.capo import _Family
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate


def small(**options: Any) -> CAPO:
    return CAPO(**{"metric": right, "population": 3, "children": 2, "iterations": 2, **options})


def report_of(model: Any, compiler: Any = None, *, student: Any = None) -> CompileReport:
    with dspy.context(lm=model):
        program = (small() if compiler is None else compiler).compile(
            dspy.Predict(Colour) if student is None else student, trainset=TRAIN, valset=VAL
        )
    found: CompileReport = program.compile_report
    return found


def search_of(model: Any = None, compiler: Any = None, student: Any = None) -> Search:
    student = dspy.Predict(Colour) if student is None else student
    given = {"trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world()) if model is None else model}
    return Search(job_of(student, small() if compiler is None else compiler, **given))


# What it costs ----------------------------------------------------------------------------------------------


def test_the_published_settings_ask_twice_for_each_of_four_children() -> None:
    questions: list[str] = []

    def reply(seen: Seen) -> str:
        if not asked(seen):
            return world()(seen)
        questions.append(seen.system)
        return proposed(seen, f"Wording {len(questions)}.")

    model = FunctionLM(reply)
    compiler = CAPO.published(metric=right, iterations=3)
    report = report_of(model, compiler)

    assert [sum(text.startswith(start) for text in questions) for start in ("Write one", "Merge", "Write the")] == [
        *(9, 12, 12),
    ]
    assert compiler.plan(train=40, val=30)["proposals"] == 9 + 3 * 8
    tasks = report.charged.calls - len(questions)
    assert tasks <= (1 + 9 + 3 * 4) * len(VAL), "what older candidates saw is not paid for again"
    assert tasks == sum(trial.n for trial in report.trials), "labelled demos take no run"


def test_no_program_needs_more_than_its_plan() -> None:
    for seed in range(scaled(20)):
        for student, answer, calls in ((dspy.Predict(Colour), world(), 1.0), (Steps(), world(), 4.0)):
            compiler = small(seed=seed)
            plan = compiler.plan(train=len(TRAIN), val=len(VAL), calls=calls)["calls"]
            assert report_of(FunctionLM(answer), compiler, student=student).charged.calls <= plan["worst"]
            assert plan["expected"] <= plan["worst"]


def test_a_small_budget_has_fewer_iterations_and_leaves_room_for_the_best() -> None:
    for cap in range(len(VAL), 6 * len(VAL), 1 if FULL else 41):
        report = report_of(FunctionLM(world()), small(budget=cap, iterations=9))
        whole = [trial for trial in report.trials if trial.n == len(VAL)]
        assert report.charged.calls <= cap
        assert len(whole) > (cap >= 2 * len(VAL) + 4)


# Parents and children ---------------------------------------------------------------------------------------


def test_a_child_has_half_of_its_parents_demos_with_one_more_or_less_and_they_keep_theirs() -> None:
    search = search_of(compiler=small(children=40, max_demos=6))
    parents = [few_shot_candidate(dspy.Predict(Colour), TRAIN, 4, seed) for seed in (1, 2)]
    before = [candidate.key for candidate in parents]
    known = {demo.key for parent in parents for demo in parent.parts["self"].demos}

    children = _Family(search.job.compiler, search).children(parents, "")  # type: ignore[arg-type]

    sizes = [len(child.parts["self"].demos) for child in children]
    assert {size: sizes.count(size) >= 5 for size in sizes} == {3: True, 4: True, 5: True}
    new = [sum(demo.key not in known for demo in child.parts["self"].demos) for child in children]
    assert {(size, fresh) for size, fresh in zip(sizes, new, strict=True)} <= {(3, 0), (4, 0), (5, 0), (5, 1)}
    assert [candidate.key for candidate in map(Candidate, *zip(*[(c.parts,) for c in parents], strict=True))] == before


def test_no_candidate_has_more_demos_than_the_limit_and_the_first_ones_differ() -> None:
    report = report_of(FunctionLM(world()), small(population=6, max_demos=3))
    sizes = {len(trial.candidate.parts["self"].demos) for trial in report.trials if trial.origin.startswith("start")}
    assert len(sizes) > 1
    assert max(len(trial.candidate.parts["self"].demos) for trial in report.trials) <= 3


def test_a_program_of_several_predictors_changes_one_in_each_child() -> None:
    search = search_of(student=Steps(), compiler=small(children=6))
    family = _Family(search.job.compiler, search)  # type: ignore[arg-type]
    base, other = (
        search.base,
        search.base.with_part("look", instruction="Look.").with_part("weigh", instruction="Weigh."),
    )

    texts = [
        {path: part.instruction for path, part in child.parts.items()} for child in family.children([base, other], "")
    ]

    written = [[path for path, text in one.items() if text.startswith("Wording")] for one in texts]
    assert written == [["look"], ["weigh"], ["answer"]] * 2
    assert {one["weigh"] for one in texts} >= {"Weigh.", base.parts["weigh"].instruction}


def test_demos_carry_the_models_reasoning_on_what_it_got_right_and_the_bare_label_elsewhere() -> None:
    def reply(seen: Seen) -> str:
        if asked(seen):
            return world()(seen)
        thing = number(seen.text)
        return written(seen, reasoning=f"I know {thing}.", colour=colour_of(thing) if thing % 2 else "red")

    model, student = FunctionLM(reply), dspy.ChainOfThought(Colour)
    report = report_of(model, small(max_demos=6, population=5), student=student)

    demos = [demo for trial in report.trials for demo in trial.candidate.parts["predict"].demos]
    assert all(demo.outputs["colour"] == colour_of(number(demo.inputs["thing"])) for demo in demos)
    told = [demo for demo in demos if demo.augmented]
    bare = [demo for demo in demos if not demo.augmented]
    assert told
    assert bare
    assert all(demo.outputs["reasoning"] == f"I know {number(demo.inputs['thing'])}." for demo in told)
    assert all("reasoning" not in demo.outputs for demo in bare)


# Races ------------------------------------------------------------------------------------------------------


def test_scores_are_of_candidates_and_not_of_places_after_the_first_is_dropped() -> None:
    """The released code filters scores by block with a mask of candidates, which fails after the first drop."""

    def reply(seen: Seen) -> str:
        worth = float(re.search(r"Worth (\d+)", seen.system)[1]) / 100  # type: ignore[index]
        thing = number(seen.text)
        return written(seen, colour=colour_of(thing) if chance("difficulty", thing) < worth else "grey")

    for seed in range(scaled(60)):
        worths = [5, 35, 60, 80, 90, 10]
        random.Random(seed).shuffle(worths)
        search = search_of(FunctionLM(reply))
        tried = [search.base.with_part("self", instruction=f"Worth {worth}.") for worth in worths]
        ranked = search.race(tried, "block-race", finalists=0, alpha=0.2, block=6, max_blocks=10, keep=3)
        assert {one.parts["self"].instruction for one in ranked[:3]} == {"Worth 90.", "Worth 80.", "Worth 60."}


def test_of_two_that_are_as_good_the_shorter_survives() -> None:
    long = "Answer which colour the thing has, and think of everything that you have ever seen of this kind."
    for penalty, first in ((0.05, "Say it."), (0.0, long)):
        search = search_of(FunctionLM(lambda seen: written(seen, colour="red")))
        tried = [search.base.with_part("self", instruction=text) for text in (long, "Say it.")]
        penalties = [penalty * len(one.parts["self"].instruction) / len(long) for one in tried]
        ranked = search.race(tried, "block-race", finalists=0, evaluations=60, penalties=penalties)
        assert ranked[0].parts["self"].instruction == first
        assert search.mean(tried[0]) == search.mean(tried[1]), "scores themselves have no penalty"


def test_the_longest_of_a_population_that_is_equally_good_are_dropped() -> None:
    model = FunctionLM(lambda seen: world()(seen) if asked(seen) else written(seen, colour="red"))
    report = report_of(model, small(population=4, iterations=1, block=10, finalists=1, length_penalty=0.5))

    sizes = {trial.candidate: len(trial.candidate.parts["self"].demos) for trial in report.trials}
    dropped = [sizes[trial.candidate] for trial in report.trials if trial.n == 10 and trial.number]
    best = next(trial for trial in report.trials if trial.n == len(VAL) and trial.number)
    assert max(dropped) > sizes[best.candidate] == min(sizes.values())


# What it finds ----------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls_if_instructions_and_demos_both_matter() -> None:
    for seed in range(scaled(20)):
        found = report_of(FunctionLM(world()), CAPO(metric=right, budget=500, seed=seed))
        other = report_of(FunctionLM(world()), RandomSearch(metric=right, budget=500, seed=seed))
        assert found.charged.calls <= 500
        assert (found.compiled.mean or 0) > (other.compiled.mean or 0)


@each(
    ("options", "message"),
    [
        ({"population": 1}, "at least 2"),
        ({"children": 0}, "at least 1"),
        ({"alpha": 2.0}, "at most 1"),
        ({"length_penalty": -0.1}, "at least 0"),
        ({"block": 0}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CAPO(metric=right, **options)
