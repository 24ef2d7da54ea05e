"""A map runs its step on each item, in order, and gives a list for each field."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import calls_of, program_inputs
from tunesmith.signatures import input_types, output_types


def made(**options: Any) -> ts.Map:
    return ts.Map(ts.Predict("comment, lang -> mood, sure: bool"), over="comments", each="comment", **options)


def reply(seen: Seen) -> str:
    return '{"mood": "sad", "sure": true}' if "hard" in seen.text else '{"mood": "happy", "sure": false}'


def test_it_gives_the_values_in_the_order_of_the_items() -> None:
    for slots in (1, 3):
        lm = FunctionLM(reply, slots=slots)
        with dspy.context(lm=lm):
            found = made()(comments=["Great", "The bed was hard.", "Nice", "Nice"], lang="en")
        assert found.mood == ["happy", "sad", "happy", "happy"]
        assert found.sure == [False, True, False, False]
        assert len(lm.requests) == 4


def test_no_item_gives_empty_lists_and_no_call() -> None:
    assert made()(comments=[], lang="en").toDict() == {"mood": [], "sure": []}


def test_its_types_are_lists_of_those_of_the_step() -> None:
    known = program_inputs(made())
    assert known.signature is not None
    assert input_types(known.signature) == {"comments": list[str], "lang": str}
    assert output_types(known.signature) == {"mood": list[str], "sure": list[bool]}
    assert calls_of(made(most=7)) == (7, True)


def test_it_works_on_the_list_of_an_earlier_step(tmp_path: Path) -> None:
    program = ts.Chain(
        split=ts.Predict("text -> comments: list[str]"),
        each=ts.Map(ts.Predict("comment -> mood"), over="comments", each="comment", most=3),
    )
    ts.save(tmp_path / "mapped", program)
    for one in (program, ts.load(tmp_path / "mapped")):
        with dspy.context(lm=ts.ScriptedLM('["a", "b"]', "happy", "sad")):
            assert one(text="a. b.").mood == ["happy", "sad"]


@each(
    "make, said",
    [
        (lambda: made(most=2)(comments=["a"] * 3, lang="en"), "has at most 2 items. Given: 3"),
        (lambda: made()(comments="a", lang="en"), "must be a list"),
        (lambda: made()(lang="en"), "must be a list"),
        (lambda: ts.Map(ts.Predict("a -> b"), over="items", each="c"), "`each` must be an input"),
        (lambda: ts.Map(ts.Predict("a -> b"), over="a", each="a"), "no input of the step"),
        (lambda: ts.Map("a -> b", over="items", each="a"), "must be a module"),  # type: ignore[arg-type]
    ],
)
def test_a_map_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
