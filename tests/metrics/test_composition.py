"""Several fields, several metrics, names and fingerprints."""

import functools
import operator

import dspy
import pytest
from pydantic import BaseModel

from tests.each import each
from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import (
    contains,
    exact_match,
    gated,
    json_fields,
    metric_fingerprint,
    metric_name,
    numeric_close,
    one_of,
    regex_match,
    rouge_l,
    token_f1,
    weighted,
)


class Address(BaseModel):
    city: str
    zip: int | None = None


class Person(BaseModel):
    name: str
    address: Address


PERSON = Person(name="Ada", address=Address(city="London", zip=7))
EXAMPLE = dspy.Example(q="?", person=PERSON, age=36).with_inputs("q")
WEIGHTS = {"person.name": 1.0, "person.address.city": 2.0, "age": 1.0}


def test_each_field_counts_by_its_weight() -> None:
    metric = json_fields(WEIGHTS)
    wrong_city = Person(name="ada", address=Address(city="Paris"))

    score = metric(EXAMPLE, dspy.Prediction(person=wrong_city, age="36"))

    assert score == Score(0.5, "person.address.city: expected 'London', got 'Paris'")
    assert metric(EXAMPLE, dspy.Prediction(person=PERSON, age=36)).value == 1


def test_paths_go_through_mappings_lists_and_json_text() -> None:
    metric = json_fields({"person.address.city": 1, "tags.1": 1})
    example = EXAMPLE.copy(tags=["x", "y"])

    prediction = dspy.Prediction(person='{"address": {"city": "london"}}', tags='[0, "y"]')

    assert metric(example, prediction).value == 1
    assert metric(example, dspy.Prediction(person="{", tags=["x"])).value == 0


def test_a_column_with_a_dot_in_its_name_is_found() -> None:
    example = dspy.Example(q="?", **{"a.b": 1}).with_inputs("q")

    assert json_fields({"a.b": 1})(example, dspy.Prediction(a={"b": 1})).value == 1
    assert json_fields({"a.b": 1})(example, dspy.Prediction(**{"a.b": 1})).value == 1


def test_a_label_without_the_path_is_an_error_and_a_prediction_without_it_is_wrong() -> None:
    with pytest.raises(MetricError, match=r"has no `address\.street`"):
        json_fields({"person.address.street": 1})(EXAMPLE, dspy.Prediction(person=PERSON))
    score = json_fields(WEIGHTS)(EXAMPLE, dspy.Prediction(person={"name": "Ada"}, age=36))
    assert score == Score(0.5, "person.address.city: missing; expected 'London'")


@each("weights", [{}, {"a": 0}, {"a": -1}, {"a": float("nan")}, {"a": "1"}, {"a": True}, {3: 1}, ["a"]])
def test_weights_of_fields_are_checked(weights) -> None:
    with pytest.raises(UsageError):
        json_fields(weights)


def always(value):
    def metric(example, prediction, trace=None):
        return value

    return metric


def test_weighted_is_the_mean_by_weight_of_any_metrics() -> None:
    example, prediction = EXAMPLE, dspy.Prediction(age=36)

    score = weighted([(exact_match("age"), 3), (always(0.5), 1), (always(False), 1)])(example, prediction)

    assert score.value == pytest.approx(0.7)
    assert score.feedback == "exact_match(age) 1.00: age: correct; metric 0.50; metric 0.00"


@each("parts", [{}, [], {exact_match: 0}, [("exact_match", 1)], [exact_match], 3, {exact_match: None}])
def test_parts_are_checked(parts) -> None:
    with pytest.raises(UsageError):
        weighted(parts)


def test_a_gate_lets_the_metric_speak_or_gives_zero() -> None:
    example, prediction = EXAMPLE, dspy.Prediction(age=36)

    assert gated(always(True), always(0.4))(example, prediction).value == 0.4
    assert gated(always(0.9), always(0.4))(example, prediction).value == 0
    assert gated(always(0.9), always(0.4), at_least=0.5)(example, prediction).value == 0.4
    closed = gated(exact_match("age"), always(1.0))(example, dspy.Prediction(age=3))
    assert closed == Score(0.0, "exact_match(age) did not pass: age: expected 36, got 3")
    with pytest.raises(UsageError):
        gated("exact_match", exact_match)
    with pytest.raises(UsageError):
        gated(exact_match, exact_match, at_least="high")


def test_what_a_part_returns_must_be_a_score() -> None:
    for metric in (weighted({always("good"): 1}), gated(always(None), always(1))):
        with pytest.raises(MetricError):
            metric(EXAMPLE, dspy.Prediction())


METRICS = [
    exact_match("a"),
    exact_match("b"),
    exact_match("a", "b"),
    exact_match(),
    exact_match("a", normalize=False),
    contains("a"),
    token_f1("a"),
    rouge_l("a"),
    rouge_l("a", beta=1.2),
    one_of("a"),
    one_of("a", accepted_field="b"),
    regex_match("x", "a"),
    regex_match("y", "a"),
    numeric_close("a"),
    numeric_close("a", rel=0.1),
    json_fields({"a": 1}),
    json_fields({"a": 2}),
    weighted({exact_match("a"): 1}),
    weighted({exact_match("b"): 1}),
    weighted({exact_match("a"): 2}),
    gated(exact_match("a"), exact_match("b")),
    gated(exact_match("b"), exact_match("a")),
    always(1),
    always(2),
    functools.partial(always(1), trace=1),
    functools.partial(always(1), trace=2),
    operator.eq,
    operator.ne,
    lambda example, prediction, trace=None: 1,
]


def test_other_settings_give_other_fingerprints() -> None:
    fingerprints = [metric_fingerprint(metric) for metric in METRICS]

    assert len(set(fingerprints)) == len(METRICS)


def test_a_factory_is_the_metric_with_its_defaults() -> None:
    assert metric_fingerprint(exact_match) == metric_fingerprint(exact_match())
    assert metric_name(exact_match) == "exact_match"
    assert metric_fingerprint(weighted({exact_match: 1})) == metric_fingerprint(weighted({exact_match(): 1}))


class Stateful:
    def __init__(self, threshold):
        self.threshold = threshold

    def __call__(self, example, prediction, trace=None):
        return self.threshold

    def score(self, example, prediction, trace=None):
        return self.threshold


def test_objects_and_methods_are_known_by_their_attributes() -> None:
    one, same, other = Stateful(1), Stateful(1), Stateful(2)

    assert metric_fingerprint(one) == metric_fingerprint(same) != metric_fingerprint(other)
    assert metric_fingerprint(one.score) == metric_fingerprint(same.score)
    assert metric_fingerprint(one.score) != metric_fingerprint(other.score)
    assert metric_fingerprint(Stateful(object())) == metric_fingerprint(Stateful(object()))
    assert metric_name(one) == "Stateful"
    assert metric_name(one.score) == "score"


def test_a_metric_must_be_callable_and_may_not_close_over_itself() -> None:
    with pytest.raises(UsageError, match="function"):
        metric_fingerprint("exact_match")

    def ping(example, prediction, trace=None):
        return pong(example, prediction)

    def pong(example, prediction, trace=None):
        return ping(example, prediction)

    with pytest.raises(UsageError, match="closes over itself"):
        metric_fingerprint(ping)


def test_a_metric_typed_at_a_prompt_has_a_fingerprint() -> None:
    space = {"__name__": "prompt"}
    exec("def one(e, p, trace=None): return 1\ndef two(e, p, trace=None): return p", space)

    assert metric_fingerprint(space["one"]) != metric_fingerprint(space["two"])


def test_dspy_can_use_a_score_as_a_number() -> None:
    example = dspy.Example(q="?", a="x").with_inputs("q")

    class Echo(dspy.Module):
        def forward(self, q):
            return dspy.Prediction(a="x")

    wrong = dspy.Example(q="?", a="y").with_inputs("q")
    evaluate = dspy.Evaluate(devset=[example, wrong], metric=exact_match("a"), num_threads=1)

    assert evaluate(Echo()).score == 50.0


def test_the_package_lists_its_metrics_and_nothing_else() -> None:
    import tunesmith as ts

    listed = dir(ts.metrics)

    assert {"exact_match", "judge", "set_match", "token_f1", "weighted"} <= set(listed)
    assert not {"code_identity", "source_key", "judges_used", "metric", "values", "Metric"} & set(listed)
    assert all(callable(getattr(ts.metrics, name)) for name in listed)
