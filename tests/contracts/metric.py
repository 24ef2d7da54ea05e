"""What every metric promises. A test class gives `metric`, `example` and `perfect`."""

import copy
import datetime
from typing import Any

import dspy
import numpy as np
import pytest

from tests.scale import scaled
from tunesmith.data import Score
from tunesmith.errors import MetricError
from tunesmith.metrics import Metric, metric_fingerprint, metric_name

JUNK: list[Any] = [
    None,
    "",
    "plain text",
    0,
    float("nan"),
    [],
    {},
    object(),
    dspy.Prediction(),
    dspy.Prediction(answer=None),
    dspy.Prediction(answer=""),
    dspy.Prediction(answer="word " * scaled(200_000)),
    dspy.Prediction(answer="9" * scaled(1_000_000)),
    dspy.Prediction(answer="1e99999999999999999999"),
    dspy.Prediction(answer="\ud800\0"),
    dspy.Prediction(answer=b"bytes"),
    dspy.Prediction(answer=float("inf")),
    dspy.Prediction(answer=10**5000),
    dspy.Prediction(answer=True),
    dspy.Prediction(answer=[1, [2, [3]]]),
    dspy.Prediction(answer={"a": {"b": object()}}),
    dspy.Prediction(answer={1, 2}),
    dspy.Prediction(answer=np.arange(3)),
    dspy.Prediction(answer=datetime.date(2024, 1, 2)),
    dspy.Prediction(answer=Score(1.0)),
]


class MetricContract:
    """Subclass it with three fixtures; the field that is predicted is called `answer`."""

    needs_label = True
    label = "answer"

    @pytest.fixture
    def metric(self) -> Metric:
        raise NotImplementedError

    @pytest.fixture
    def example(self) -> dspy.Example:
        raise NotImplementedError

    @pytest.fixture
    def perfect(self) -> dspy.Prediction:
        raise NotImplementedError

    def test_a_perfect_prediction_scores_one(self, metric, example, perfect) -> None:
        assert Score.of(metric(example, perfect)).value == 1

    def test_a_metric_takes_a_trace(self, metric, example, perfect) -> None:
        assert metric(example, perfect, []) == metric(example, perfect, trace=[])
        assert metric(example, perfect, None) == metric(example, perfect)

    def test_a_missing_field_scores_zero_and_says_so(self, metric, example) -> None:
        score = Score.of(metric(example, dspy.Prediction(other="x")))

        assert score.value == 0
        assert "missing" in (score.feedback or "")

    def test_the_same_arguments_give_the_same_score(self, metric, example, perfect) -> None:
        for prediction in (perfect, dspy.Prediction(answer="something else")):
            assert metric(example, prediction) == metric(example, prediction)

    def test_arguments_are_not_changed(self, metric, example, perfect) -> None:
        before = copy.deepcopy((example, perfect))

        metric(example, perfect, [])

        assert (example, perfect) == before
        assert example.inputs().keys() == before[0].inputs().keys()

    def test_junk_scores_between_zero_and_one(self, metric, example) -> None:
        for index, junk in enumerate(JUNK):
            try:
                score = Score.of(metric(example, junk))
            except MetricError:
                continue

            assert 0 <= score.value <= 1, f"junk {index}"
            assert len(score.feedback or "") < 2_000, f"junk {index}"

    def test_an_absent_label_is_an_error(self, metric, example, perfect) -> None:
        if not self.needs_label:
            pytest.skip("this metric needs no label")
        with pytest.raises(MetricError):
            metric(example.without(self.label), perfect)

    def test_the_fingerprint_is_stable(self, metric) -> None:
        first = metric_fingerprint(metric)

        assert first == metric_fingerprint(metric)
        assert first == metric_fingerprint(copy.copy(metric))
        assert len(first) == 64

    def test_the_name_is_one_short_line(self, metric) -> None:
        assert 0 < len(metric_name(metric)) < 100
        assert "\n" not in metric_name(metric)
