"""How far a judge agrees with labels."""

from collections.abc import Callable, Sequence
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.evaluation.replies import written
from tests.scale import scaled
from tunesmith.errors import UsageError
from tunesmith.evaluation import Agreement, agreement, wilson
from tunesmith.evaluation.judge_agreement import _kappa
from tunesmith.lm import LM, FunctionLM, Meter, Seen
from tunesmith.metrics import Judge, judge

VERDICTS = ("good", "bad")


def example(n: int) -> dspy.Example:
    return dspy.Example(question=f"Question {n}?").with_inputs("question")


def model_of(answer: Callable[[Seen], str]) -> LM:
    return FunctionLM(lambda seen: written(seen, verdict=answer(seen)))


def single(labels: Sequence[str], verdicts: Sequence[str]) -> tuple[Judge, list[dspy.Example]]:
    """Return a judge that gives these verdicts to examples with these labels."""
    metric = judge(
        "It is good.", lm=model_of(lambda seen: verdicts[int(seen.text.split("Answer: ")[1].split("\n")[0])])
    )
    return metric, [metric.labelled(example(n), str(n), verdict=label) for n, label in enumerate(labels)]


def pairs(winners: Sequence[str], swapped: Sequence[str]) -> tuple[Judge, list[dspy.Example]]:
    """Return a judge that gives the first verdicts to pairs as labelled (the first is better), the others to swapped."""

    def answer(seen: Seen) -> str:
        first = seen.text.split("First: ")[1].split("\n")[0]
        return (winners if first.startswith("a") else swapped)[int(first[1:])]

    metric = judge("It is good.", pairwise=True, lm=model_of(answer))
    return metric, [metric.labelled(example(n), f"a{n}", f"b{n}", verdict="first") for n in range(len(winners))]


@settings(max_examples=scaled(400), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS)), min_size=1, max_size=12))
def test_agreement_is_the_share_of_labels_met(found: list[tuple[str, str]]) -> None:
    metric, data = single(*zip(*found, strict=True))

    result = agreement(metric, data)

    right = sum(label == verdict for label, verdict in found)
    assert result.agreement == wilson(right, len(found))
    assert (result.flips, result.steady, result.errors) == (None, None, 0)
    assert result.n == len(found)


def test_kappa_is_cohens() -> None:
    # Cohen (1960) by hand: 50 examples, 35 alike, chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    found = [("good", "good")] * 20 + [("good", "bad")] * 5 + [("bad", "good")] * 10 + [("bad", "bad")] * 15

    assert _kappa(found) == pytest.approx(0.4)
    assert _kappa([("good", "good")] * 3) is None
    assert _kappa([("good", "bad"), ("bad", "good")]) == pytest.approx(-1)
    assert _kappa([]) is None


@settings(max_examples=scaled(200), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["first", "second"]), st.sampled_from(["first", "second"])), min_size=1, max_size=10
    )
)
def test_pairs_are_judged_in_both_orders(found: list[tuple[str, str]]) -> None:
    metric, data = pairs(*zip(*found, strict=True))

    result = agreement(metric, data)

    scores = [((one == "first") + (other == "second")) / 2 for one, other in found]
    flips = sum(one == other for one, other in found)
    assert result.agreement.mean == pytest.approx(sum(scores) / len(found))
    assert result.flips == wilson(flips, len(found))
    assert result.steady is not None
    assert result.steady.n == len(found) - flips


def test_a_judge_that_looks_at_the_place_alone_agrees_by_half_with_kappa_zero() -> None:
    metric, data = pairs(["first"] * 20, ["first"] * 20)

    result = agreement(metric, data)

    assert (result.agreement.mean, result.kappa) == (0.5, 0.0)
    assert result.flips is not None
    assert result.flips.mean == 1.0
    assert result.steady is not None
    assert result.steady.mean is None
    assert str(result) == "agreement 0.500 [0.299, 0.701] on 20 examples, kappa 0.00, 100.0% flips"


def test_what_the_judge_fails_on_is_in_no_figure() -> None:
    metric, data = single(["good", "bad", "good"], ["good", "nonsense", "bad"])

    result = agreement(metric, data)

    assert (result.n, result.errors) == (2, 1)
    assert result.agreement.mean == 0.5
    everything, none = single(["good"], ["nonsense"])
    assert str(agreement(everything, none)) == "no verdicts (1 errors)"


def test_calls_are_the_judges() -> None:
    metric, data = single(["good", "bad"], ["good", "bad"])
    meter = Meter()

    found = agreement(metric, data, meter=meter, slots=2)

    assert list(meter.by_role()["charged"]) == ["judge"]
    assert metric.measured == found.to_json()
    assert isinstance(found, Agreement)
    assert set(found.to_json()) == {"judge", "model", "labels", "agreement", "kappa", "flips", "steady", "errors"}


def test_the_labels_have_a_fingerprint() -> None:
    metric, data = single(["good", "bad"], ["good", "bad"])
    other, same = single(["good", "bad"], ["good", "bad"])

    assert agreement(metric, data).labels == agreement(other, same).labels != agreement(metric, data[:1]).labels


@each(
    ("ask", "says"),
    [
        (lambda metric: agreement(lambda e, p: 1.0, [example(1)]), "metrics.judge"),  # type: ignore[arg-type]
        (lambda metric: agreement(metric, []), "empty"),
        (lambda metric: agreement(metric, [example(1)]), "lacks answer, task, verdict"),
        (lambda metric: agreement(metric, ["text"]), "lacks"),
        (lambda metric: agreement(metric, None), "are a list"),
        (lambda metric: agreement(metric, [dspy.Example(task="t", answer="a", verdict="fine")]), "one of good, bad"),
        (lambda metric: agreement(metric, [dspy.Example(task="t", answer="a", verdict="good")]), "are inputs"),
        (
            lambda metric: agreement(judge("It is good."), [metric.labelled(example(1), "a", verdict="good")]),
            "no model",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(ask: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ask(judge("It is good.", lm=model_of(lambda seen: "good")))
