"""Reports of the same examples side by side."""

from typing import Any

import pytest

from tunesmith.data import Dataset
from tunesmith.errors import UsageError
from tunesmith.evaluation import Report, evaluate, two_sided_test
from tunesmith.experiments import compare_reports
from tunesmith.lm import FunctionLM
from tunesmith.metrics import exact_match
from tunesmith.modules import Predict
from tunesmith.signatures.declaring import Signature

ROWS = [{"text": str(n), "label": "yes", "room": n // 4} for n in range(40)]


def report(right: int, **options: Any) -> Report:
    """Return the report of a model that is right on the first `right` examples."""
    data = Dataset.load(ROWS, signature=Signature("text -> label"), **options)
    lm = FunctionLM(lambda seen: "yes" if int(seen.text.split()[-2]) < right else "no")
    return evaluate(Predict("text -> label"), data, exact_match("label"), lm=lm)


def test_the_best_stands_first_and_each_other_has_its_difference_to_it() -> None:
    found = compare_reports({"weak": report(10), "strong": report(40), "middle": report(36)})
    assert [row.name for row in found.rows] == ["strong", "middle", "weak"]
    strong, middle, weak = found.rows
    assert (found.reference, strong.difference, strong.p) == ("strong", None, None)
    assert (middle.wins, middle.ties, middle.losses, weak.losses) == (0, 36, 4, 30)
    assert middle.difference is not None
    assert middle.difference.mean == pytest.approx(-0.1)
    assert middle.difference.low <= -0.1 <= middle.difference.high  # type: ignore[operator]
    assert middle.p == two_sided_test([1.0] * 40, [1.0] * 36 + [0.0] * 4) == 0.125
    assert middle.p_holm == 0.125
    named = compare_reports({"weak": report(10), "strong": report(40), "middle": report(36)}, reference="strong")
    # The best is chosen by the same scores: then all three pairs count, else the two with the reference.
    assert (weak.p_holm, named.rows[2].p_holm) == (weak.p * 3, weak.p * 2)  # type: ignore[operator]
    again = compare_reports({"weak": report(10), "strong": report(40)}, reference="weak")
    assert [(row.name, row.wins) for row in again.rows] == [("strong", 30), ("weak", 0)]
    table = found.cells("model")
    assert (table[0][0], table[2][0], table[2][7]) == ("model", "middle", "0 / 36 / 4")
    assert found.to_json()["rows"][0]["wins"] is None


def test_related_examples_are_compared_as_groups() -> None:
    alone = compare_reports({"a": report(40), "b": report(20)}).rows[1]
    related = compare_reports({"a": report(40, group="room"), "b": report(20, group="room")}).rows[1]
    assert (alone.losses, related.losses) == (20, 20)
    assert related.p == two_sided_test([1.0] * 10, [1.0] * 5 + [0.0] * 5)
    assert related.p > alone.p  # type: ignore[operator]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="Give at least two"):
        compare_reports({"a": report(1)})
    shorter = evaluate(
        Predict("text -> label"),
        Dataset.load(ROWS[:5], signature=Signature("text -> label")),
        exact_match("label"),
        lm=FunctionLM(lambda seen: "yes"),
    )
    with pytest.raises(UsageError, match="of different examples"):
        compare_reports({"a": report(1), "b": shorter})
    with pytest.raises(UsageError, match="There is no 'c' among"):
        compare_reports({"a": report(1), "b": report(2)}, reference="c")
