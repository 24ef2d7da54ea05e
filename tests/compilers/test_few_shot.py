"""Labelled demos: which examples, how many, in what order."""

import random
from collections import Counter
from typing import Any, Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compilers.worlds import TRAIN, VAL, Colour, right, things, world
from tests.scale import FULL
from tunesmith.compilers import LabeledFewShot, few_shot_candidate
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
