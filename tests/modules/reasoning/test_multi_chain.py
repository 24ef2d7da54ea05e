"""Several attempts are compared by the model, as in meta-reasoning over chains of thought (Yoran et al. 2023)."""

import json
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import ParseError, UsageError
from tunesmith.modules import calls_of

STEP = "question -> answer"


def chain(reasoning: str, answer: str) -> str:
    return json.dumps({"reasoning": reasoning, "answer": answer})


def ask(program: dspy.Module, *replies: str, **context: Any) -> tuple[dspy.Prediction, Any]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm, **context):
        return program(question="Did Brad Peyton need to know about seismology?"), lm


# The example of the paper's first figure: no single chain has it all, and the vote would be wrong.
CHAINS = (
    chain("Brad Peyton is a film director. What is seismology? I do not know.", "No"),
    chain("Brad Peyton directed San Andreas.", "No"),
    chain("San Andreas is about an earthquake. Seismology is the study of earthquakes.", "Yes"),
)
META = chain("Brad Peyton directed San Andreas, which is about earthquakes, and seismology studies them.", "Yes")


def test_the_answer_combines_what_single_attempts_know() -> None:
    trace: list[Any] = []
    program = ts.MultiChainComparison(ts.ChainOfThought(STEP))
    found, lm = ask(program, *CHAINS, META, trace=trace)

    assert (found.answer, found.stopped, len(lm.requests)) == ("Yes", "compared", 4)
    assert [one["answer"] for one in found.chains] == ["No", "No", "Yes"]
    shown = lm.requests[-1].messages[-1].text
    assert all(json.loads(one)["reasoning"] in shown for one in CHAINS)  # whole, not their first lines
    assert [step[0] for step in trace] == [program.compare, program.step.predict]
    assert trace[1][2].reasoning.startswith("San Andreas")


def test_an_attempt_that_cannot_be_parsed_is_left_out() -> None:
    program = ts.MultiChainComparison(ts.Predict("question -> answer: int"), samples=2)
    found, lm = ask(program, "?", "4", "5")
    assert (found.answer, found.chains) == (5, [None, {"answer": 4}])
    assert "Attempt 2" not in lm.requests[-1].messages[-1].text
    with pytest.raises(ParseError):
        ask(program, "?", "?")


def test_without_a_comparison_the_vote_decides() -> None:
    program = ts.MultiChainComparison(ts.Predict("question -> answer: int"))
    found, _ = ask(program, "3", "4", "4", "?")
    assert (found.answer, found.stopped) == (4, "unreadable")
    with ts.metered(ts.Meter(ts.Budget(calls=3))):
        found, _ = ask(program, "3", "4", "4")
    assert (found.answer, found.stopped) == (4, "budget")


def test_it_is_counted_rebuilt_and_refused(tmp_path: Path) -> None:
    program = ts.MultiChainComparison(ts.ChainOfThought(STEP), samples=5)
    assert calls_of(program) == (6, True)
    ts.save(tmp_path / "one", program)
    assert ts.load(tmp_path / "one").samples == 5
    with pytest.raises(UsageError, match="`attempts`"):
        ts.MultiChainComparison(ts.Predict("attempts -> answer"))


def test_attempts_of_a_rag_are_compared_by_its_own_inputs_and_outputs() -> None:
    rag = ts.RAG(ts.BM25(["Brad Peyton directed San Andreas."]), "question -> answer")
    cited = '{"answer": "No", "citations": [1]}'
    found, lm = ask(ts.MultiChainComparison(rag, samples=2), cited, cited, "Yes")
    assert (found.answer, "citations" in found) == ("Yes", False)
    assert "Brad Peyton directed" in lm.requests[2].messages[-1].text
