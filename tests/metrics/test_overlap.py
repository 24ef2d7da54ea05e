"""F1 and ROUGE-L against slow readings of their definitions."""

import re
import string
from collections import Counter
from functools import cache

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import rouge_l, token_f1
from tunesmith.metrics.overlap import longest_common

WORDS = st.lists(st.sampled_from(["the", "cat", "Cat", "sat", "mat.", "on", "a", "7", "né"]), max_size=12)
TEXTS = WORDS.map(" ".join)


def f1(label, got) -> float:
    example = dspy.Example(q="?", a=label).with_inputs("q")
    return token_f1("a")(example, dspy.Prediction(a=got)).value


def rouge(label, got, **options) -> float:
    example = dspy.Example(q="?", a=label).with_inputs("q")
    return rouge_l("a", **options)(example, dspy.Prediction(a=got)).value


def squad_normalize(text: str) -> str:
    """`normalize_answer` as in the official script."""
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_f1(prediction: str, truth: str) -> float:
    """`f1_score` as in the official script."""
    prediction_tokens = squad_normalize(prediction).split()
    truth_tokens = squad_normalize(truth).split()
    common = Counter(prediction_tokens) & Counter(truth_tokens)
    num_same = sum(common.values())
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(truth_tokens)
    return (2 * precision * recall) / (precision + recall)


def slow_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The recursive definition."""

    @cache
    def length(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return 0
        if one[i - 1] == other[j - 1]:
            return length(i - 1, j - 1) + 1
        return max(length(i - 1, j), length(i, j - 1))

    return length(len(one), len(other))


@given(TEXTS, TEXTS)
def test_token_f1_is_that_of_squad(label: str, got: str) -> None:
    if squad_normalize(label):
        assert f1(label, got) == pytest.approx(squad_f1(got, label))


@given(st.text(), st.text())
def test_token_f1_is_that_of_squad_for_any_text(label: str, got: str) -> None:
    if label.isascii() and got.isascii() and squad_normalize(label):
        assert f1(label, got) == pytest.approx(squad_f1(got, label))


@given(st.text())
def test_every_text_overlaps_itself_fully(text: str) -> None:
    assert f1(text, text) == 1
    assert rouge(text, text) == 1


@given(st.lists(st.sampled_from("abcd"), max_size=14), st.lists(st.sampled_from("abcd"), max_size=14))
def test_the_longest_common_subsequence_is_that_of_the_definition(one, other) -> None:
    assert longest_common(one, other) == slow_common(tuple(one), tuple(other))


@given(TEXTS, TEXTS, st.sampled_from([0.5, 1.0, 1.2, 8.0]))
def test_rouge_l_is_that_of_lin(label: str, got: str, beta: float) -> None:
    wanted, have = re.findall(r"\w+", label.lower()), re.findall(r"\w+", got.lower())
    if not wanted or not have:
        return
    common = slow_common(tuple(wanted), tuple(have))
    recall, precision = common / len(wanted), common / len(have)
    expected = 0.0
    if common:
        expected = (1 + beta**2) * recall * precision / (recall + beta**2 * precision)

    assert rouge(label, got, beta=beta) == pytest.approx(expected)


def test_lin_s_own_examples_hold() -> None:
    reference = "police killed the gunman"

    assert rouge(reference, "police kill the gunman", beta=1.0) == pytest.approx(0.75)
    assert rouge(reference, "the gunman kill police", beta=1.0) == pytest.approx(0.5)


def test_the_best_of_several_labels_counts() -> None:
    assert f1(["dog", "black cat"], "the cat") == pytest.approx(2 / 3)
    assert rouge(["dog", "black cat"], "black cat") == 1


def test_a_label_without_words_needs_the_same_text() -> None:
    assert f1("A", "a.") == 1
    assert f1("A", "the") == 0
    assert f1("A", "") == 0
    assert rouge("?", "!") == 0


def test_other_scripts_have_words() -> None:
    assert rouge("Ночь улица фонарь", "ночь фонарь") == pytest.approx(0.8)


@each("metric", [token_f1("a"), rouge_l("a")])
@each("label", [[], ["x", None], [["x"]]])
def test_a_label_that_is_no_text_is_an_error(metric, label) -> None:
    with pytest.raises(MetricError, match="must be text"):
        metric(dspy.Example(q="?", a=label).with_inputs("q"), dspy.Prediction(a="x"))


@each("beta", [0, -1, float("inf"), float("nan"), "1", True])
def test_beta_is_checked(beta) -> None:
    with pytest.raises(UsageError):
        rouge_l("a", beta=beta)


def test_long_texts_are_compared_in_reasonable_time() -> None:
    words = [f"w{i * 7919 % 5003}" for i in range(20_000)]

    assert longest_common(words, words[::2]) == 10_000
