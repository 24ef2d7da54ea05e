"""Passages are shortened to sentences of theirs, unchanged and in order."""

from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import ParseError, UsageError
from tunesmith.modules import Passage, calls_of

TEXT = "Hello there. The card costs 5 euros. It is red. A lost card costs 10 euros."


def found(*texts: str) -> Any:
    return lambda query: [Passage(text, 1.0, str(place), "a.md") for place, text in enumerate(texts)]


@each(
    ("query", "sentences", "text"),
    [
        ("What does a card cost?", 1, "A lost card costs 10 euros."),
        ("card costs", 2, "The card costs 5 euros. A lost card costs 10 euros."),
        ("xyzzy", 2, "Hello there. The card costs 5 euros."),
        ("card", 9, "The card costs 5 euros. A lost card costs 10 euros."),
    ],
)
def test_sentences_with_words_of_the_query_stay(query: str, sentences: int, text: str) -> None:
    assert ts.Compress(found(TEXT), sentences=sentences)(query) == [Passage(text, 1.0, "0", "a.md")]


@each(
    ("reply", "texts"),
    [
        ("[4, 2]", ["The card costs 5 euros. A lost card costs 10 euros.", "One."]),
        ("[9, 3]", ["It is red.", "One."]),
        ("[]", ["One."]),
        (ParseError("no", reason="invalid", raw=""), [TEXT, "One."]),
    ],
)
def test_a_model_chooses_by_numbers_and_cannot_invent(reply: Any, texts: list[str]) -> None:
    lm = ts.ScriptedLM(reply)
    with dspy.context(lm=lm):
        assert [one.text for one in ts.Compress(found(TEXT, "One."), by="model")("q")] == texts
    assert "[2] The card costs 5 euros." in lm.requests[0].messages[-1].text


def test_at_most_depth_passages_are_asked_about() -> None:
    search = ts.Compress(found(TEXT, TEXT, TEXT), by="model", depth=2)
    lm = ts.ScriptedLM("[1]", "[2]")
    with dspy.context(lm=lm):
        assert [one.text for one in search("q")] == ["Hello there.", "The card costs 5 euros.", TEXT]
    assert calls_of(search)[0] == 2


def test_another_way_is_refused() -> None:
    with pytest.raises(UsageError, match="`by` must be"):
        ts.Compress(found(TEXT), by="magic")
