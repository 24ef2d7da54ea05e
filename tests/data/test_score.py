"""Scores are numbers with a reason."""

import math

import dspy
import numpy as np
import pytest

from tests.each import each
from tunesmith.data import Score
from tunesmith.errors import MetricError


@each(
    ("result", "value"),
    [
        (True, 1.0),
        (False, 0.0),
        (3, 3.0),
        (0.25, 0.25),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (Score(0.5, "half"), 0.5),
        (dspy.Prediction(score=0.5, feedback="half"), 0.5),
    ],
)
def test_a_score_is_made_of_what_metrics_return(result, value: float) -> None:
    assert Score.of(result).value == value
    assert type(Score.of(result).value) is float


def test_feedback_is_kept() -> None:
    assert Score.of(dspy.Prediction(score=1, feedback="good")).feedback == "good"
    assert Score.of(dspy.Prediction(score=1)).feedback is None


@each("result", [None, "1", [1], math.nan, math.inf, 1e101, -1e308, dspy.Prediction(a=1)])
def test_what_is_no_finite_number_is_refused(result) -> None:
    with pytest.raises(MetricError):
        Score.of(result)


def test_a_score_behaves_as_its_number() -> None:
    assert sum([Score(0.5), Score(1.0)]) == 1.5
    assert float(Score(0.25)) == 0.25
    assert not Score(0.0, "wrong")
    assert Score(0.5) >= 0.5 > Score(0.4)
    assert Score(0.4) < Score(0.5) <= 1
    assert Score(0.5) != Score(0.5, "half")
    with pytest.raises(TypeError):
        Score(0.5) + "x"
