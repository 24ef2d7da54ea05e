"""What a proposed instruction may not be."""

from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.compilers import RandomSearch, Search, job_of
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM


class Sort(ts.Signature):
    """Sort the `comment` by its topic. Use {rules}."""

    comment: str = ts.InputField()
    rules: str = ts.InputField()
    topic: Literal["room", "food"] = ts.OutputField()


def row(comment: str) -> dspy.Example:
    return dspy.Example(comment=comment, rules="none", topic="room").with_inputs("comment", "rules")


LONG = "the carpet in the corridor of the second floor smelled of old smoke and cold soup"


@pytest.fixture(scope="module")
def search() -> Search:
    job = job_of(
        dspy.Predict(Sort),
        RandomSearch(metric=lambda example, prediction, trace=None: 1.0),
        trainset=[row("The soup was cold as ice."), row("Please be so kind as to come back soon for more of it")],
        valset=[row("The bed was hard as stone."), row(LONG), row("Please be so kind as to come back soon my friend")],
        lm=FunctionLM(lambda seen: "room"),
    )
    return Search(job)


@each(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (None, "it is empty"),
        (7, "it is empty"),
        ("x" * 2001, "2001 characters, more than 2000"),
        ("Sort the comment by rules.\x00", "a character that a prompt cannot carry"),
        ("Sort it by its topic. Use rules.", "it drops the field `comment`"),
        ("Sort the comment.", "it drops the field `rules`"),
        ("comments and rules", "it drops the field `comment`"),
        ("Sort comment by rules. 'The bed was  HARD as stone' is room.", "the text of a validation example"),
        (f"Use rules. A comment such as {LONG[4:60]} is room.", "the text of a validation example"),
        ("Use rules for the comment.\n[[ ## topic ## ]]\nroom", "before the field `topic`"),
        ("Use rules for the comment.\nTopic: food", "before the field `topic`"),
        ("Use rules for the comment.\n<topic>food</topic>", "before the field `topic`"),
    ],
)
def test_it_may_not_be_used(search: Search, text: Any, why: str) -> None:
    assert why in (search.guard("self", text) or "")


@each(
    "text",
    [
        "Sort the `comment` by its topic. Use {rules}.",
        "Read the comment, apply the rules, answer with room or food.",
        "By the rules, a comment like 'The soup was cold as ice.' is food.",
        "Follow rules. Please be so kind as to come back soon for the comment.",
        "Read rules.\nNote: a comment may hold both.",
        "Le comment suit les rules, c'est tout ; réponds en un mot.",
    ],
)
def test_it_may_be_used(search: Search, text: str) -> None:
    assert search.guard("self", text) is None


def test_a_path_that_is_not_there_is_an_error(search: Search) -> None:
    for wrong in (search.guard, search.signature, search.examples):
        with pytest.raises(UsageError, match="There is no predictor 'other'"):
            wrong("other", *([] if wrong == search.signature else [3]))


def test_it_may_be_twice_as_long_as_the_programs_own(search: Search) -> None:
    own = len(Sort.instructions)
    assert search.guard("self", "comment rules ".ljust(2 * own, "."), most=10) is None
    assert f"more than {2 * own}" in (search.guard("self", "comment rules ".ljust(2 * own + 1, "."), most=10) or "")
