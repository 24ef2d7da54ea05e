"""A metric that names a field which is not there is refused before the first call."""

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import (
    exact_match,
    gated,
    json_fields,
    numeric_close,
    one_of,
    recall_at,
    regex_match,
    token_f1,
    weighted,
)

DATA = [dspy.Example(text=f"t{i}", topic="room", score=i).with_inputs("text") for i in range(10)]


def refusal(metric, data=DATA, program=None, make=ts.evaluate) -> str:
    calls = []
    lm = ts.FunctionLM(lambda *args, **kwargs: calls.append(args) or "room")
    with pytest.raises(UsageError) as caught:
        make(program or ts.Predict("text -> topic"), data, metric, lm=lm)
    assert calls == []
    return str(caught.value)


@each(
    ("metric", "name", "near"),
    [
        (exact_match("topc"), "topc", "topic"),
        (token_f1("Topic"), "Topic", "topic"),
        (numeric_close("scores"), "scores", "score"),
        (one_of("topic", accepted_field="topics"), "topics", "topic"),
        (json_fields({"topik.name": 1}), "topik", "topic"),
        (weighted({exact_match("topic"): 1, exact_match("topc"): 1}), "topc", "topic"),
        (gated(exact_match("topic"), token_f1("topc")), "topc", "topic"),
    ],
)
def test_a_label_that_no_example_has_is_named_with_those_there_are(metric, name, near) -> None:
    found = refusal(metric)

    assert f"the field `{name}`, which all examples lack" in found
    assert "'text', 'topic', 'score'" in found
    assert f"Is {near!r} meant?" in found


def test_a_metric_without_a_call_is_the_one_with_default_settings_here_too() -> None:
    assert "the field `relevant`, which all examples lack" in refusal(recall_at)


@each("metric", [regex_match, one_of, json_fields, gated, weighted])
def test_what_only_makes_a_metric_is_to_be_called(metric) -> None:
    assert f"`{metric.__name__}` makes a metric and is none: call it with (" in refusal(metric)


@pytest.mark.parametrize(
    "metric", [exact_match("score"), regex_match("x", "topc"), one_of("topc", accepted_field="score")]
)
def test_an_output_that_the_program_does_not_return_is_named(metric) -> None:
    data = [example.copy(score=["room"]) for example in DATA]

    found = refusal(metric, data)

    assert "which the program does not return. It returns: 'topic'" in found


def test_some_examples_without_the_label_are_counted() -> None:
    mixed = [*DATA[:6], *(example.without("topic") for example in DATA[6:])]

    assert "which 4 of 10 examples lack" in refusal(exact_match("topic"), mixed)


def test_a_compile_refuses_it_too() -> None:
    def compiled(program, data, metric, lm):
        return ts.compile(program, metric=metric, trainset=data, lm=lm)

    def by_the_class(program, data, metric, lm):
        with dspy.context(lm=lm):
            return ts.RandomSearch(metric=metric).compile(program, trainset=data)

    for make in (compiled, by_the_class):
        assert "Is 'topic' meant?" in refusal(exact_match("topc"), make=make)


def test_a_field_beside_the_answer_may_be_judged() -> None:
    program = ts.ChainOfThought("text -> topic")
    lm = ts.FunctionLM(lambda *args, **kwargs: '{"reasoning": "so", "topic": "room"}')

    assert ts.evaluate(program, DATA, regex_match("so", "reasoning"), lm=lm).mean == 1


def test_a_program_that_makes_its_own_outputs_may_return_any() -> None:
    class Pipeline(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = ts.Predict("text -> draft")

        def forward(self, text):
            return dspy.Prediction(topic=self.first(text=text).draft)

    assert ts.evaluate(Pipeline(), DATA, exact_match("topic"), lm=ts.FunctionLM(lambda *a, **k: "room")).mean == 1


def test_a_function_is_found_out_while_it_scores() -> None:
    def metric(example, prediction, trace=None):
        return exact_match("topc")(example, prediction)

    with pytest.raises(MetricError, match="topc"):
        ts.evaluate(ts.Predict("text -> topic"), DATA, metric, lm=ts.FunctionLM(lambda *a, **k: "room"))
