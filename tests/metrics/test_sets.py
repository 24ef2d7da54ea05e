"""Sets of labels against the definitions of precision, recall and F1."""

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tests.metrics.test_values_of_every_kind import KINDS
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import metric_name, set_match

NAMES = st.lists(st.sampled_from("abcdef"), max_size=6)


def value(label, got, **options) -> float:
    return set_match("t", **options)(dspy.Example(q="?", t=label).with_inputs("q"), dspy.Prediction(t=got)).value


@each(
    ("label", "got", "precision", "recall", "f1", "exact"),
    [
        (["a", "b"], ["b", "a"], 1, 1, 1, 1),
        (["a", "b"], ["a"], 1, 0.5, 2 / 3, 0),
        (["a"], ["a", "b", "c"], 1 / 3, 1, 0.5, 0),
        (["a", "b", "c"], ["c", "d"], 0.5, 1 / 3, 0.4, 0),
        (["a"], ["b"], 0, 0, 0, 0),
        ([], [], 1, 1, 1, 1),
        ([], ["a"], 0, 0, 0, 0),
        (["a"], [], 0, 0, 0, 0),
        (["a", "a"], ["a"], 1, 1, 1, 1),
        (["C++"], ["C#"], 0, 0, 0, 0),
    ],
)
def test_the_measures_are_those_of_sets(label, got, precision, recall, f1, exact) -> None:
    found = [value(label, got, measure=measure) for measure in ("precision", "recall", "f1", "exact")]

    assert found == pytest.approx([precision, recall, f1, exact])


@given(NAMES, NAMES)
def test_any_two_sets_score_as_defined(label, got) -> None:
    wanted, have = set(label), set(got)
    common = len(wanted & have)
    f1 = 1.0 if not wanted | have else 2 * common / (len(wanted) + len(have))

    assert value(label, got) == pytest.approx(f1)
    assert value(label, got, measure="exact") == (wanted == have)
    assert value(set(label), tuple(got)) == value(label, got)


@each(
    ("label", "got", "options"),
    [
        ("bug, urgent", ["urgent", "bug"], {"separator": ","}),
        ("bug;urgent;", "urgent ; bug", {"separator": ";"}),
        ('["bug", "urgent"]', {"urgent", "bug"}, {}),
        (["Bug!"], ["bug"], {}),
        ("bug", ["bug"], {}),
        (None, [], {}),
        ("", None, {}),
        ([1, 2], ["2", "1"], {}),
    ],
)
def test_a_set_may_be_written_in_other_ways(label, got, options) -> None:
    assert value(label, got, **options) == 1


def test_the_words_say_what_is_missing_and_not_wanted() -> None:
    example = dspy.Example(q="?", t=["a", "b"]).with_inputs("q")

    assert set_match(example, dspy.Prediction(t=["b", "c"])).feedback == "t: missing 'a'; not wanted 'c'"
    assert set_match("t")(example, dspy.Prediction(t={"x": 1})).value == 0
    assert value(["Bug"], ["bug"], normalize=False) == 0


def test_a_label_that_is_an_object_is_an_error() -> None:
    with pytest.raises(MetricError, match="must be a set of labels"):
        value({"a": 1}, ["a"])


@pytest.mark.parametrize("options", [{"measure": "accuracy"}, {"separator": ""}, {"separator": 3}])
def test_options_are_checked(options) -> None:
    with pytest.raises(UsageError):
        set_match("t", **options)


def test_the_name_says_what_is_measured() -> None:
    assert metric_name(set_match("t")) == "set_match(t)"
    assert metric_name(set_match("t", measure="recall")) == "set_match[recall](t)"


@each(
    "kind",
    [
        kind
        for kind in KINDS
        if kind not in ("model", "mapping", "model and its fields", "dataclass", "dataclass and its fields")
    ],
)
@each("measure", ["f1", "precision", "recall", "exact"])
def test_set_match_scores_equal_values_one_and_others_less(kind, measure) -> None:
    label, equal, other = KINDS[kind]

    assert value(label, equal, measure=measure) == 1
    assert value(label, other, measure=measure) < 1 or measure == "precision"
