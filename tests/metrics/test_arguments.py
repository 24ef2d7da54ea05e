"""Metrics of two, three and five arguments, and what they return."""

import functools

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.data import Score
from tunesmith.errors import UsageError
from tunesmith.metrics import exact_match, gated, judge, metric_name, token_f1, weighted
from tunesmith.modules import with_default_formats

EXAMPLE = dspy.Example(q="?", a="yes").with_inputs("q")
RIGHT, WRONG = dspy.Prediction(a="yes"), dspy.Prediction(a="no")


def two(example, prediction):
    return example.a == prediction.a


def four(example, prediction, trace=None, weight=1.0):
    return weight * (example.a == prediction.a)


def five(example, prediction, trace, pred_name, pred_trace):
    assert (pred_name, pred_trace) == (None, None)
    return float(example.a == prediction.a)


def five_with_defaults(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return dspy.Prediction(score=float(gold.a == pred.a), feedback=f"for {pred_name}")


def five_as_dict(gold, pred, trace, pred_name, pred_trace):
    return {"score": gold.a == pred.a, "feedback": "why"}


def five_as_score(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return Score(float(gold.a == pred.a), "why")


def any_number(*arguments):
    return arguments[0].a == arguments[1].a


class Holder:
    def __call__(self, gold, pred, trace, pred_name, pred_trace):
        return gold.a == pred.a

    def method(self, gold, pred, trace, pred_name, pred_trace):
        return gold.a == pred.a


METRICS = [
    two, four, five, five_with_defaults, five_as_dict, five_as_score, any_number, Holder(), Holder().method,
    functools.partial(four, weight=1.0), lambda e, p, t, n, pt: e.a == p.a,
]  # fmt: skip


def answers(*args, **kwargs):
    return "yes"


@each("metric", METRICS, ids=metric_name)
def test_a_metric_of_any_number_of_arguments_scores(metric) -> None:
    for made in (weighted({metric: 1}), gated(metric, metric), weighted([(gated(metric, metric), 2)])):
        assert made(EXAMPLE, RIGHT).value == 1
        assert made(EXAMPLE, WRONG).value == 0
    data = [EXAMPLE, dspy.Example(q="!", a="no").with_inputs("q")]
    assert ts.evaluate(ts.Predict("q -> a"), data, metric, lm=ts.FunctionLM(answers)).mean == 0.5


@pytest.mark.parametrize("metric", [five, five_with_defaults, five_as_dict])
def test_a_compile_takes_a_metric_of_five_arguments(metric) -> None:
    data = [dspy.Example(q=f"q{i}", a="yes").with_inputs("q") for i in range(12)]

    result = ts.compile(
        ts.Predict("q -> a"), metric=metric, trainset=data[:6], valset=data[6:], lm=ts.FunctionLM(answers), budget=60
    )

    assert result.report.baseline.mean == 1
    assert result.report.baseline.metric_errors == 0


OURS = [
    exact_match,
    exact_match("a"),
    token_f1,
    token_f1("a"),
    weighted({exact_match("a"): 1}),
    gated(two, exact_match),
]


@each("metric", OURS, ids=metric_name)
def test_gepa_gets_a_score_with_words_for_each_predictor(metric) -> None:
    dspy.GEPA(metric=metric, max_metric_calls=4, reflection_lm=ts.FunctionLM(answers))

    whole, part = metric(EXAMPLE, WRONG, None), metric(EXAMPLE, WRONG, [], "self", [])

    assert whole == 0
    assert (part["score"], part["feedback"]) == (0, whole.feedback)
    assert part["score"] == whole  # else GEPA warns that they differ


@pytest.mark.parametrize("metric", [exact_match, weighted({exact_match("a"): 1})], ids=metric_name)
def test_gepa_runs_on_a_metric_of_ours(metric, caplog) -> None:
    prompts = []

    def reflect(request):
        prompts.append(str(request))
        return f"[[ ## new_instruction ## ]]\nInstruction {len(prompts)}.\n\n[[ ## completed ## ]]"

    data = [EXAMPLE, dspy.Example(q="!", a="no").with_inputs("q")]
    program = with_default_formats(ts.Predict("q -> a"))

    with dspy.context(lm=ts.FunctionLM(answers)):
        dspy.GEPA(metric=metric, max_metric_calls=8, reflection_lm=ts.FunctionLM(reflect), num_threads=1).compile(
            program, trainset=data
        )

    assert "expected 'no', got 'yes'" in prompts[0].replace("\\'", "'")
    assert "different from the overall metric score" not in caplog.text


def test_gepa_gets_the_same_of_a_judge() -> None:
    polite = judge("It is polite.", lm=ts.FunctionLM(lambda *args, **kwargs: "bad"))
    dspy.GEPA(metric=polite, max_metric_calls=4, reflection_lm=ts.FunctionLM(answers))

    found = polite(EXAMPLE, RIGHT, [], "self", [])

    assert (found["score"], found["feedback"]) == (0, "judged bad")


@each(
    "metric",
    [
        lambda example: 1,
        lambda: 1,
        lambda example, prediction, trace, name, pred, more: 1,
        lambda example, prediction, *, weight: 1,
        Holder,
        ts.Predict,
        "exact_match",
        None,
        ts.metrics.json_fields,
        ts.metrics.one_of,
    ],
)
def test_what_cannot_be_called_as_a_metric_is_refused_before_a_call(metric) -> None:
    calls = []
    with pytest.raises(UsageError, match="metric"):
        ts.evaluate(ts.Predict("q -> a"), [EXAMPLE], metric, lm=ts.FunctionLM(lambda *a, **k: calls.append(a) or "yes"))
    assert calls == []
