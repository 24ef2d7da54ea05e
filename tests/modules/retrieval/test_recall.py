"""What was said before is found, too."""

from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.modules.retrieval.test_generate import reply
from tunesmith.errors import UsageError

PAST = [{"message": "My cat is called Mimi.", "reply": "Nice."}, {"message": "It rains.", "reply": "Take a coat."}]


def test_turns_that_share_words_are_passages() -> None:
    found = ts.Recall()(question="What is my cat called?", past=PAST).passages
    assert [(one.text, one.source) for one in found] == [
        ("[1] message: My cat is called Mimi.\n  reply: Nice.", "past")
    ]
    assert ts.Recall()(question="xyzzy", past=PAST).passages == []
    assert ts.Recall()(question="cat").passages == []


def test_a_modular_program_answers_from_documents_and_from_what_was_said() -> None:
    program = ts.Chain(
        search=ts.Retrieve(ts.BM25({"cats.md": "A cat sleeps for 15 hours."})),
        recall=ts.Recall(k=1),
        answer=ts.Generate("question -> answer"),
    )
    lm = ts.ScriptedLM(reply("Mimi sleeps for 15 hours.", [1, 2]))
    with dspy.context(lm=lm):
        found = program(question="How long does my cat sleep?", past=PAST)
    assert [one.source for one in found.citations] == ["cats.md", "past"]
    assert "[2] [1] message: My cat is called Mimi." in lm.requests[0].messages[-1].text


@each("options", [{"field": "not a name"}, {"field": 3}, {"k": 0}])
def test_wrong_options_are_refused(options: Any) -> None:
    with pytest.raises(UsageError):
        ts.Recall(**options)
    with pytest.raises(UsageError, match="`past` is a list"):
        ts.Recall()(question="?", past="text")
