"""Reports: denominators, sums, gains."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scale import FULL
from tunesmith.evaluation import Failure, Report, Row, gain, leveled, paired_scores

PROGRAM, METRIC = Failure("program", "ParseError", "no"), Failure("metric", "KeyError", "colour")


def report_of(marks: list[float | str], floor: float = 0.0) -> Report:
    """Return a report with a score, a failure of the program (`p`) or one of the metric (`m`) per row."""
    return Report(
        tuple(
            Row(
                str(i),
                None if mark == "p" else {},
                mark if isinstance(mark, float) else None,
                {"p": PROGRAM, "m": METRIC}.get(str(mark)),
            )
            for i, mark in enumerate(marks)
        ),
        floor,
    )


marks = st.lists(st.one_of(st.sampled_from([0.0, 1.0, 0.25]), st.sampled_from(["p", "m"])), max_size=30)


@settings(max_examples=40 if FULL else 10)
@given(marks, st.sampled_from([0.0, -1.0, 0.5]))
def test_every_row_is_a_score_an_error_or_left_out(given_marks: list[float | str], floor: float) -> None:
    report = report_of(given_marks, floor)
    scores = [m for m in given_marks if isinstance(m, float)]
    failed = given_marks.count("p")

    assert report.errors == failed
    assert report.metric_errors == given_marks.count("m")
    assert report.n == len(scores) + failed
    if report.n:
        least = min([floor, *scores])
        assert report.mean == pytest.approx((sum(scores) + least * failed) / report.n)
        assert report.summary() == {
            "mean": report.mean,
            "low": report.low,
            "high": report.high,
            "n": report.n,
            "errors": failed,
            **({"error_score": least} if failed else {}),
        }
    else:
        assert (report.mean, report.low, report.high) == (None, None, None)


@settings(max_examples=40 if FULL else 10)
@given(st.data())
def test_a_gain_leaves_out_what_the_metric_failed_on_for_either(data: st.DataObject) -> None:
    before = data.draw(marks)
    after = data.draw(st.lists(st.sampled_from([0.0, 1.0, "p", "m"]), min_size=len(before), max_size=len(before)))

    found = gain(report_of(before), report_of(after))

    def value(mark: float | str) -> float:
        return mark if isinstance(mark, float) else 0.0

    pairs = [(value(a), value(b)) for a, b in zip(before, after, strict=True) if "m" not in (a, b)]
    assert found.n == len(pairs)
    assert found.mean == (pytest.approx(sum(b - a for a, b in pairs) / len(pairs)) if pairs else None)


def test_reports_of_different_lengths_have_no_gain() -> None:
    with pytest.raises(ValueError, match="zip"):
        gain(report_of([1.0, 0.0]), report_of([1.0]))


def test_a_report_reads_well() -> None:
    assert str(report_of([1.0] * 9 + ["p"])) == "0.900 [0.596, 0.982] on 10 examples, 1 errors"
    assert str(report_of([1.0, -1.0, "p"])).endswith("on 3 examples, 1 errors as -1 each")
    assert str(report_of(["m", "m"])) == "no scores (0 errors)"


def test_outputs_of_any_kind_become_json() -> None:
    @dataclass
    class Odd:
        def __str__(self) -> str:
            return "odd thing"

    class Model:
        def model_dump(self, mode: str) -> dict[str, str]:
            return {"mode": mode}

    row = Row("k", {"a": [1, (2.5, None)], "b": {"c": True, 3: "x"}, "d": Odd(), "e": Model()}, 1.0)

    assert row.to_json()["outputs"] == {
        "a": [1, [2.5, None]],
        "b": {"c": True, "3": "x"},
        "d": "odd thing",
        "e": {"mode": "json"},
    }


def test_a_failure_never_counts_for_more_than_the_worst_score_of_either_side() -> None:
    wrong = Report(tuple(Row(f"k{i}", {}, -1.0) for i in range(30)))
    failed = Report(tuple(Row(f"k{i}", None, None, Failure("program", "ParseError", "no JSON")) for i in range(30)))

    assert gain(wrong, failed).mean == 0.0
    assert gain(failed, wrong).mean == 0.0


def test_the_means_of_leveled_reports_are_as_far_apart_as_their_paired_gain() -> None:
    before, after = leveled(report_of([1.0, -2.0, "p"]), report_of([1.0, "p", "p"]))

    assert (before.mean, after.mean) == (-1.0, -1.0)
    assert before.summary()["error_score"] == after.summary()["error_score"] == -2.0
    assert gain(before, after).mean == 0.0


def test_equal_examples_are_one_observation() -> None:
    before = Report(tuple(Row("same", {}, 0.0) for _ in range(100)))
    after = Report(tuple(Row("same", {}, 1.0) for _ in range(100)))

    found = gain(before, after)

    assert (found.mean, found.low, found.n) == (1.0, 0.0, 1)


# Related examples -------------------------------------------------------------------------------------------


def grouped(values: list[float | str], groups: list[str]) -> Report:
    return replace(report_of(values), groups=tuple(groups))


def test_related_examples_widen_the_interval_of_a_mean_and_of_a_gain() -> None:
    groups = [f"g{i // 10}" for i in range(60)]
    before: list[float | str] = [0.0] * 60
    after: list[float | str] = [float(i // 10 in (0, 1, 2, 3)) for i in range(60)]
    alone, related = report_of(after).interval, grouped(after, groups).interval
    assert alone.mean == related.mean
    assert related.high - related.low > 1.5 * (alone.high - alone.low)  # type: ignore[operator]
    one, many = gain(report_of(before), report_of(after)), gain(grouped(before, groups), grouped(after, groups))
    assert one.low is not None
    assert one.low > 0.5
    assert many.low == 0.0, "four groups changed: too few to say anything"


def test_what_the_metric_failed_on_is_in_no_group() -> None:
    groups = ["a", "a", "b", "c"]
    found = grouped([1.0, "m", 0.0, "m"], groups)
    assert found.interval.n == 2
    pairs = paired_scores(found, grouped([1.0, 1.0, 1.0, 1.0], groups))
    assert (pairs.groups, pairs.observations, pairs.before, pairs.after) == (("a", "b"), 2, (1.0, 0.0), (1.0, 1.0))


def test_equal_examples_are_one_pair_of_one_group() -> None:
    rows = (Row("same", {}, 0.0), Row("same", {}, 1.0), Row("other", {}, 0.5))
    pairs = paired_scores(Report(rows, groups=("a", "a", "b")), Report(rows))
    assert (pairs.groups, pairs.before) == (("a", "b"), (0.5, 0.5))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
@settings(max_examples=30 if FULL else 7, deadline=None)
def test_a_mean_without_its_interval_is_the_same_number(values: list[float]) -> None:
    report = report_of(list(values))
    assert report.mean == report.interval.mean
    pairs = paired_scores(report, report_of([0.5] * len(values)))
    assert pairs.mean == pairs.interval().mean


def test_fewer_than_two_observations_have_no_spread() -> None:
    assert paired_scores(report_of([1.0]), report_of([0.0])).spread is None
    assert paired_scores(grouped([1.0, 0.0], ["a", "a"]), report_of([0.0, 0.0])).spread is None
    assert paired_scores(report_of([1.0, 0.0]), report_of([0.0, 0.0])).spread == pytest.approx(0.5**0.5)


def test_related_examples_are_one_observation_of_a_chance_and_equal_means_are_a_tie() -> None:
    lost, whole = [0.0] * 10 + [1.0] * 30, [1.0] * 40
    customers = [str(place // 10) for place in range(40)]
    assert paired_scores(report_of(lost), report_of(whole)).chance() == 2 * 0.5**10
    related = paired_scores(grouped(lost, customers), grouped(whole, customers))
    assert (related.chance(), related.counts()) == (1.0, (10, 30, 0))
    swapped = paired_scores(grouped([0.1, 0.2, 0.3], ["a"] * 3), grouped([0.3, 0.1, 0.2], ["a"] * 3))
    assert swapped.chance() == 1.0
