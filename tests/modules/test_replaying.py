"""Predictors that give known outputs call no model."""

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.evaluation import evaluate
from tunesmith.modules import Candidate, Module, bind, program_fingerprint, replayed

EXAMPLES = [dspy.Example(question=f"{n} + 0?", answer="4").with_inputs("question") for n in range(3)]


def bound(program: Module) -> Module:
    for _, predictor in program.named_predictors():
        bind(predictor, "json")
    return program


@each(
    ("program", "path"),
    [
        (ts.Predict("question -> answer"), "self"),
        (bound(dspy.Predict("question -> answer")), "self"),
        (ts.ChainOfThought("question -> answer"), "predict"),
    ],
    ids=repr,
)
def test_first_calls_are_answered_and_later_ones_are_real(program: Module, path: str) -> None:
    given = replayed(program, {path: [{"answer": "4"}, {"answer": "5"}]})
    lm = ts.FunctionLM(lambda seen: '{"reasoning": "so", "answer": "6"}')
    with dspy.context(lm=lm):
        assert [given(question="?").answer for _ in range(2)] == ["4", "5"]
        assert lm.requests == []
        given(question="?")
        program(question="?")
    assert len(lm.requests) == 2
    assert program_fingerprint(given) == program_fingerprint(program)
    assert type(given) is type(program) or path == "self"


def test_an_evaluation_and_a_candidate_use_it_from_its_first_answer_on() -> None:
    given = replayed(ts.Predict("question -> answer"), {"self": [{"answer": "4"}] * 3})
    lm = ts.FunctionLM(lambda seen: "6")
    changed = Candidate.of(given).with_part("self", format="json").apply(given)
    for program in (given, changed):
        report = evaluate(program, EXAMPLES, ts.metrics.exact_match("answer"), lm=lm, steps=True)
        assert report.mean == 1.0
        assert [len(row.steps) for row in report.rows] == [1, 1, 1]
    assert lm.requests == []


def test_a_path_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="There is no predictor 'other'"):
        replayed(ts.Predict("a -> b"), {"other": []})
