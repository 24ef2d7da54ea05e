"""The words in which a proposal is told of a task."""

from typing import Literal

import dspy

import tunesmith as ts
from tests.each import each
from tunesmith.compilers import Outcome, fields_in_words, outcome_texts, pair_texts
from tunesmith.compilers._wording import cleaned, role_in_words
from tunesmith.evaluation import Step
from tunesmith.signatures import Demo


class Sort(ts.Signature):
    """Sort it."""

    comment: str = ts.InputField()
    stars: list[int] = ts.InputField(desc="from 1 to 5")
    topic: Literal["room", "food"] = ts.OutputField()


ROW = dspy.Example(comment="a  cold\nsoup", stars=[1, 2], topic="food").with_inputs("comment", "stars")


def test_fields_have_types_labels_and_descriptions() -> None:
    assert fields_in_words(Sort) == "comment, stars (list[int], from 1 to 5) -> topic (one of: room, food)"


def test_one_of_several_predictors_is_told_of_the_others() -> None:
    found = role_in_words("sort", {"sort": Sort, "reply": ts.Signature("topic -> reply")})
    assert found.endswith("It is the step `sort` of a program with the other steps reply: topic -> reply")
    assert role_in_words("sort", {"sort": Sort}) == fields_in_words(Sort)


def test_a_pair_is_one_line() -> None:
    demo = Demo.of(Sort, {"comment": "a  cold\nsoup", "stars": [1, 2], "topic": "food"})
    assert pair_texts([demo]) == ["comment: a cold soup, stars: [1, 2] -> topic: food"]
    long = Demo.of(Sort, {"comment": "x" * 900, "topic": "food"})
    assert len(pair_texts([long])[0]) < 450


def test_an_outcome_says_what_was_answered_what_is_right_and_the_remark() -> None:
    steps = (Step("look", {"comment": "soup"}, {"seen": "cold"}), Step("self", {"comment": "cold"}, {"topic": "room"}))
    outcome = Outcome(ROW, {"topic": "room"}, 0.0, "Think of\nthe meal.", steps)
    given = "comment: a cold soup, stars: [1, 2]"
    assert outcome_texts([outcome], "look") == ["comment: soup -> seen: cold | right: topic: food | Think of the meal."]
    assert outcome_texts([outcome], "other") == [f"{given} -> topic: room | right: topic: food | Think of the meal."]
    assert outcome_texts([Outcome(ROW, None, None, "", ())], "self") == [f"{given} -> no answer | right: topic: food"]


@each(
    ("text", "left"),
    [
        ("Say it.", "Say it."),
        ("  'Say it.' ", "Say it."),
        ("“Say it.”", "Say it."),
        ("Instruction: Say it.", "Say it."),
        ('**Improved instruction:** "Say it."', "Say it."),
        ("Here is the new instruction: Say it.", "Say it."),
        ("```text\nSay it.\nAll of it.\n```", "Say it.\nAll of it."),
        ('"Yes" or "no"', '"Yes" or "no"'),
        ("", ""),
        ('"', '"'),
    ],
)
def test_what_a_model_writes_around_an_instruction_goes(text: str, left: str) -> None:
    assert cleaned(text) == left
