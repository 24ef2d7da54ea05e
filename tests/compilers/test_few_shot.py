"""Labelled demos: which examples, how many, in what order."""

import random
from collections import Counter
from typing import Any, Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compilers.worlds import TRAIN, VAL, Colour, right, things, world
from tests.each import each
from tests.scale import FULL
from tunesmith.compilers import BootstrapFewShot, LabeledFewShot, RandomSearch, few_shot_candidate
from tunesmith.compilers._demos import closed_labels, draw, labelled_pool, labelled_pools
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM
from tunesmith.signatures import Demo

POOL = labelled_pool(Colour, TRAIN).demos


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.ChainOfThought("thing -> guess")
        self.name = dspy.Predict("thing, guess -> colour")


def test_a_pool_holds_the_examples_with_every_field_in_order() -> None:
    assert [demo.inputs["thing"] for demo in POOL] == [example.thing for example in TRAIN]
    assert [demo.outputs["colour"] for demo in POOL] == [example.colour for example in TRAIN]
    assert not any(demo.augmented for demo in POOL)


def test_a_pool_leaves_out_what_does_not_fit_the_signature() -> None:
    odd = [
        dspy.Example(thing="a", colour="purple").with_inputs("thing"),
        dspy.Example(thing="b").with_inputs("thing"),
        dspy.Example(thing="c", colour="red", note="more fields are no harm").with_inputs("thing"),
    ]
    assert [demo.inputs["thing"] for demo in labelled_pool(Colour, odd).demos] == ["c"]


def test_predictors_that_no_label_serves_have_an_empty_pool() -> None:
    pools = labelled_pools(TwoSteps(), TRAIN)

    assert {path: len(pool.demos) for path, pool in pools.items()} == {"think.predict": 0, "name": 0}
    candidate = few_shot_candidate(TwoSteps(), TRAIN, 4, 0)
    assert all(part.demos == () for part in candidate.parts.values())


@settings(max_examples=60 if FULL else 15)
@given(st.integers(0, 50), st.integers(0, 1000), st.sampled_from([Colour, dspy.Signature("thing -> colour")]))
def test_a_draw_has_so_many_different_demos_of_the_pool(count: int, seed: int, signature: Any) -> None:
    drawn = draw(signature, POOL, count, random.Random(seed))

    assert len(drawn) == min(count, len(POOL))
    assert len({demo.key for demo in drawn}) == len(drawn)
    assert {demo.key for demo in drawn} <= {demo.key for demo in POOL}
    assert drawn == draw(signature, POOL, count, random.Random(seed))


@settings(max_examples=60 if FULL else 15)
@given(st.integers(1, 24), st.integers(0, 1000))
def test_labels_of_a_closed_set_are_drawn_alike(count: int, seed: int) -> None:
    seen = Counter(demo.outputs["colour"] for demo in draw(Colour, POOL, count, random.Random(seed)))
    have = Counter(demo.outputs["colour"] for demo in POOL)

    most = max(seen.values())
    for label in have:
        assert seen[label] in (most, most - 1) or seen[label] == have[label]


def test_labels_do_not_stand_in_a_fixed_order() -> None:
    orders = {tuple(d.outputs["colour"] for d in draw(Colour, POOL, 3, random.Random(seed))) for seed in range(40)}
    assert len(orders) == 6


def test_a_draw_leaves_the_pool_alone() -> None:
    pool = list(POOL)
    draw(Colour, pool, 5, random.Random(0))
    assert pool == POOL


class Free(dspy.Signature):
    """x"""

    a: str = dspy.InputField()
    b: str = dspy.OutputField()


class Both(dspy.Signature):
    """x"""

    a: str = dspy.InputField()
    b: Literal["x", "y"] = dspy.OutputField()
    c: Literal["x", "y"] = dspy.OutputField()


class WithReason(dspy.Signature):
    """x"""

    a: str = dspy.InputField()
    why: str = dspy.OutputField()
    c: Literal["x", "y"] = dspy.OutputField()


def test_one_output_with_a_closed_set_decides_the_groups() -> None:
    assert closed_labels(Colour) == ("colour", ("red", "green", "blue"))
    assert closed_labels(WithReason) == ("c", ("x", "y"))
    assert closed_labels(Free) is None
    assert closed_labels(Both) is None


def test_without_a_metric_demos_are_applied_unseen_and_no_call_is_made() -> None:
    program = LabeledFewShot(5, seed=3).compile(dspy.Predict(Colour), trainset=TRAIN)

    assert len(program.demos) == 5
    assert program._compiled is True
    again = LabeledFewShot(5, seed=3).compile(dspy.Predict(Colour), trainset=TRAIN)
    assert [Demo.of(Colour, d) for d in again.demos] == [Demo.of(Colour, d) for d in program.demos]
    other = LabeledFewShot(5, seed=4).compile(dspy.Predict(Colour), trainset=TRAIN)
    assert [Demo.of(Colour, d) for d in other.demos] != [Demo.of(Colour, d) for d in program.demos]


def test_without_a_metric_wrong_arguments_are_still_refused() -> None:
    with pytest.raises(UsageError, match="sample"):
        LabeledFewShot(5).compile(dspy.Predict(Colour), trainset=TRAIN, sample=True)
    with pytest.raises(UsageError, match="A program is"):
        LabeledFewShot(5).compile("thing -> colour", trainset=TRAIN)


def test_more_demos_than_examples_are_all_examples() -> None:
    program = LabeledFewShot(500).compile(dspy.Predict(Colour), trainset=things(1, 2, 3))
    assert len(program.demos) == 3


def test_demos_of_the_student_are_replaced() -> None:
    student = dspy.Predict(Colour)
    student.demos = [dspy.Example(thing="old", colour="red")]

    program = LabeledFewShot(2).compile(student, trainset=TRAIN)

    assert len(program.demos) == 2
    assert "old" not in [demo.thing for demo in program.demos]


def test_with_a_metric_the_plan_is_what_it_takes() -> None:
    model, compiler = FunctionLM(world()), LabeledFewShot(4, metric=right)
    with dspy.context(lm=model):
        compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)

    plan = compiler.plan(train=len(TRAIN), val=len(VAL))
    assert plan["calls"] == {"expected": len(model.requests), "worst": len(model.requests)}


# Far apart, and by predictor ---------------------------------------------------------------------------------


def spoken(words: str, colour: str) -> Demo:
    return Demo({"thing": words}, {"colour": colour})


ALIKE = [spoken(f"the old house {n}", "red") for n in "abcdefgh"]
ODD = [spoken("a boat at sea", "red"), spoken("ten green bottles", "red")]


@each("seed", range(5))
def test_a_diverse_draw_covers_the_pool_with_few_demos(seed: int) -> None:
    signature = dspy.Signature("thing -> colour")
    drawn = draw(signature, [*ALIKE, *ODD], 3, random.Random(seed), "diverse")

    assert {*ODD} <= {*drawn}
    assert len({*drawn}) == 3
    assert drawn == draw(signature, [*ALIKE, *ODD], 3, random.Random(seed), "diverse")


@settings(max_examples=60 if FULL else 15)
@given(st.integers(0, 50), st.integers(0, 1000), st.sampled_from([Colour, dspy.Signature("thing -> colour")]))
def test_a_diverse_draw_has_so_many_different_demos_and_labels_alike(count: int, seed: int, signature: Any) -> None:
    drawn = draw(signature, POOL, count, random.Random(seed), "diverse")

    assert len({demo.key for demo in drawn}) == len(drawn) == min(count, len(POOL))
    if signature is Colour:
        seen, have = (Counter(demo.outputs["colour"] for demo in demos) for demos in (drawn, POOL))
        most = max(seen.values(), default=0)
        assert all(seen[label] in (most, most - 1) or seen[label] == have[label] for label in have)


def test_the_compiler_takes_them_far_apart() -> None:
    train = [dspy.Example(**demo.inputs, **demo.outputs).with_inputs("thing") for demo in (*ALIKE, *ODD)]
    program = LabeledFewShot(3, choice="diverse").compile(dspy.Predict("thing -> colour"), trainset=train)
    assert {demo.thing for demo in program.demos} > {demo.inputs["thing"] for demo in ODD}


class Named(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("thing -> colour")
        self.second = dspy.Predict("thing -> colour")


def test_every_predictor_may_have_its_own_number() -> None:
    program = LabeledFewShot({"first": 5}).compile(Named(), trainset=TRAIN)
    assert (len(program.first.demos), len(program.second.demos)) == (5, 0)


@each("kind", [LabeledFewShot, BootstrapFewShot, RandomSearch])
def test_a_number_for_a_predictor_that_is_not_there_is_refused(kind: Any) -> None:
    name = "k" if kind is LabeledFewShot else "max_labeled_demos"
    with dspy.context(lm=FunctionLM(world())), pytest.raises(UsageError, match=f"`{name}` names third"):
        kind(metric=right, **{name: {"first": 2, "third": 1}}).compile(Named(), trainset=TRAIN, valset=VAL)


@each("k", [-1, {"first": -1}, {"first": True}, 1.5, "4", None])
def test_what_is_no_number_of_demos_is_refused(k: Any) -> None:
    with pytest.raises(UsageError, match="`k`"):
        LabeledFewShot(k)


def test_candidates_of_a_search_have_no_more_than_each_predictor_may() -> None:
    lm = FunctionLM(lambda seen: "red")
    compiler = RandomSearch(metric=right, num_candidates=6, max_labeled_demos={"first": 4}, choice="both")
    program = Asked()
    with dspy.context(lm=lm):
        report = compiler.compile(program, trainset=TRAIN, valset=VAL[:5]).compile_report
    counts = {tuple(len(part.demos) for part in trial.candidate.parts.values()) for trial in report.trials}
    assert counts == {(0, 0), (4, 0)}


class Asked(Named):
    def forward(self, thing: str) -> dspy.Prediction:
        self.first(thing=thing)
        return self.second(thing=thing)


def test_an_option_that_is_newer_is_no_part_of_what_a_run_is_until_it_is_set() -> None:
    assert "choice" not in LabeledFewShot().options()
    assert "choice" not in RandomSearch(metric=right).options()
    assert LabeledFewShot(choice="diverse").options()["choice"] == "diverse"
