"""Bad cases join the training examples, come first when failures are looked for, and are followed to the end."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, right, things, world
from tests.each import each
from tests.evaluation.replies import written
from tunesmith.compilers import LabeledFewShot, RandomSearch, Search, job_of
from tunesmith.errors import RunMismatch, SplitError, UsageError
from tunesmith.experiments import plan
from tunesmith.lm import Budget, FunctionLM, Seen

BAD = [one.copy(answered="pink", remark="It is a plain colour.") for one in things(*range(50, 54))]


def compiled(*, bad: Any = BAD, model: Any = None, compiler: Any = None, **options: Any) -> ts.CompileResult:
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": model or FunctionLM(world()), "mirror": False}
    chosen = LabeledFewShot(8, metric=right) if compiler is None else compiler
    return ts.compile(dspy.Predict(Colour), bad_cases=bad, compiler=chosen, **{**given, **options})


def search_of(bad: Any = BAD, **options: Any) -> Search:
    given = {"trainset": TRAIN, "valset": VAL, "lm": FunctionLM(lambda seen: written(seen, colour="red")), **options}
    return Search(job_of(dspy.Predict(Colour), RandomSearch(metric=right), bad_cases=bad, **given))


def test_they_are_training_examples_without_what_was_said_of_them() -> None:
    search = search_of()
    assert [one.thing for one in search.train] == [one.thing for one in (*TRAIN, *BAD)]
    assert all("remark" not in one and "answered" not in one for one in search.train)
    search = search_of(things(3, 60))
    assert len(search.train) == len(TRAIN) + 1, "a bad case stands in the place of the example with the same inputs"


def test_every_other_example_of_a_minibatch_is_one_until_all_are_in() -> None:
    search, names = search_of(), {one.thing for one in BAD}
    drawn = [one.example.thing in names for one in search.minibatch(search.base, 10)]
    assert drawn == [True, False] * 4 + [False, False]
    again = [one.example.thing for one in search.minibatch(search.base, 10, draw=1)]
    assert sum(thing in names for thing in again) == 4
    plain = search_of(None)
    assert plain._drawn(9, 0, 0) == Search(plain.job)._drawn(9, 0, 0)


def test_a_remark_and_what_was_answered_join_the_feedback() -> None:
    search = search_of()
    wrong = search.failures(search.base, 8)
    told = [one.feedback for one in wrong if one.example.thing in {bad.thing for bad in BAD}]
    assert told
    assert all(text == "A program that is in use answered: pink Remark: It is a plain colour." for text in told)
    assert [one.feedback for one in search.credit(search.base, wrong)["self"]] == [one.feedback for one in wrong]


def test_the_result_says_how_many_are_right_now_and_what_broke() -> None:
    broken = VAL[3].thing

    def reply(seen: Seen) -> str:
        if broken in seen.text and len(seen.messages) > 1:
            return written(seen, colour={"red": "green"}.get(VAL[3].colour, "red"))
        if broken in seen.text:
            return written(seen, colour=VAL[3].colour)
        return world()(seen)

    result = compiled(model=FunctionLM(reply))

    found = result.bad_cases
    assert found is not None
    assert (found.total, found.right_before, found.right) == (4, 1, 3)
    assert len(found.still_wrong) == found.total - found.right
    assert broken in {one.thing for one in found.broken}
    assert str(found) in result.notes
    assert result.to_json()["bad_cases"]["right"] == found.right


def test_a_bad_case_that_the_metric_cannot_judge_does_not_cost_the_result() -> None:
    result = compiled(bad=[*BAD, dspy.Example(thing="thing 60").with_inputs("thing")], testset=TEST)
    assert result.tested
    assert result.bad_cases is None
    assert any("What became of the bad cases is not known: The metric failed" in note for note in result.notes)


def test_without_bad_cases_nothing_is_said_of_them() -> None:
    result = compiled(bad=None)
    assert result.bad_cases is None
    assert "bad_cases" not in result.to_json()


@each(
    ("options", "names"),
    [
        ({"bad": [*BAD, VAL[2]]}, "`bad_cases` and `valset`"),
        ({"bad": [*BAD, TEST[2]], "testset": TEST}, "`bad_cases` and `testset`"),
        ({"bad": [VAL[1].copy(colour="blue"), VAL[0].copy(colour="blue"), VAL[2]]}, "`bad_cases` and `valset`"),
    ],
)
def test_none_of_them_may_be_in_a_split_that_selects_or_tests(options: Any, names: str) -> None:
    model = FunctionLM(world())
    with pytest.raises(SplitError, match=names):
        compiled(model=model, **options)
    assert model.requests == []


def test_if_validation_is_split_off_they_stay_out_of_it() -> None:
    given = {"trainset": [*TRAIN, *things(*range(50, 54))], "lm": FunctionLM(world()), "bad_cases": BAD}
    search = Search(job_of(dspy.Predict(Colour), RandomSearch(metric=right), **given))
    assert {one.thing for one in BAD} <= {one.thing for one in search.train}
    assert not {one.thing for one in BAD} & {one.thing for one in search.val}


@each("cap", [30 + 2 * 4, 60, 90])
def test_the_budget_keeps_what_they_take_and_a_plan_counts_it(cap: int) -> None:
    model = FunctionLM(world())
    result = compiled(model=model, budget=cap)
    assert result.charged.calls == len(model.requests) <= cap
    assert result.bad_cases is not None
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": model, "compiler": LabeledFewShot(8)}
    found = plan(dspy.Predict(Colour), bad_cases=BAD, **given)
    assert "4 bad cases are among the training examples; both programs are run on them." in found["notes"]
    assert found["calls"]["worst"] == plan(dspy.Predict(Colour), **given)["calls"]["worst"] + 2 * len(BAD)


def test_a_budget_without_room_for_them_is_refused_and_one_of_tokens_keeps_something() -> None:
    with pytest.raises(UsageError, match="8 are kept for testing on 4 examples twice"):
        compiled(budget=33)
    free = compiled().charged.tokens
    assert compiled(budget=Budget(tokens=free * 2)).bad_cases is not None


def test_a_compile_from_the_command_of_dspy_takes_them_too() -> None:
    with dspy.context(lm=FunctionLM(world())):
        program = LabeledFewShot(4, metric=right).compile(
            dspy.Predict(Colour), trainset=TRAIN, valset=VAL, bad_cases=BAD
        )
    assert program.compile_report
    with pytest.raises(UsageError, match="needs a metric"), dspy.context(lm=FunctionLM(world())):
        LabeledFewShot(4).compile(dspy.Predict(Colour), trainset=TRAIN, bad_cases=BAD)


def test_they_are_part_of_what_a_run_is(tmp_path: Path) -> None:
    compiled(run=tmp_path / "run")
    compiled(run=tmp_path / "run")
    with pytest.raises(RunMismatch, match="bad cases"):
        compiled(run=tmp_path / "run", bad=[one.copy(remark="Another one.") for one in BAD])
    with pytest.raises(RunMismatch, match="bad cases"):
        compiled(run=tmp_path / "run", bad=None)


def test_a_field_of_the_program_is_no_remark_and_a_remark_is_text() -> None:
    program = dspy.Predict("text, remark -> answered")
    rows = [dspy.Example(text="a", remark="b", answered="c").with_inputs("text", "remark")]
    more = [dspy.Example(text=t, remark="b", answered="c").with_inputs("text", "remark") for t in "de"]
    given = {"trainset": more[:1], "valset": more[1:], "lm": FunctionLM(world())}
    job = job_of(program, RandomSearch(metric=right), bad_cases=rows, **given)
    assert job.bad_cases is not None
    assert dict(job.bad_cases.said) == {}
    assert job.train[-1].remark == "b"
    with pytest.raises(UsageError, match=r"The `remark` of a bad case is text\. Given: 7"):
        compiled(bad=[BAD[0].copy(remark=7)])
