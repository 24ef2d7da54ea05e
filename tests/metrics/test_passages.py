"""Metrics of passages give the figures of published examples."""

import math
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import (
    answer_in_passages,
    citation_correctness,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
)


def score(metric: Any, relevant: Any, *found: str, **fields: Any) -> float:
    """Return the score of passages with these ids."""
    passages = [ts.Passage(f"text {name}", 1.0, name, f"{name}.md") for name in found]
    made = {"passages": passages, "citations": passages, **fields}
    return metric(dspy.Example(relevant=relevant), dspy.Prediction(**made)).value


# Manning, Raghavan and Schütze, figure 8.2 counts a ranking like this one: relevant, not, relevant, not, not, relevant.
RANKING = ("a", "x", "b", "y", "z", "c")


@each(
    ("k", "precision", "recall"),
    [(1, 1, 1 / 4), (2, 1 / 2, 1 / 4), (3, 2 / 3, 2 / 4), (5, 2 / 5, 2 / 4), (6, 3 / 6, 3 / 4), (10, 3 / 10, 3 / 4)],
)
def test_precision_and_recall_are_those_of_the_first_k(k: int, precision: float, recall: float) -> None:
    assert score(precision_at(k=k), ["a", "b", "c", "d"], *RANKING) == pytest.approx(precision)
    assert score(recall_at(k=k), ["a", "b", "c", "d"], *RANKING) == pytest.approx(recall)


def test_without_k_all_passages_count() -> None:
    assert score(precision_at(), ["a", "b", "c", "d"], *RANKING) == 3 / 6
    assert score(recall_at(), ["a", "b", "c", "d"], *RANKING) == 3 / 4


def test_the_mean_reciprocal_rank_of_the_plurals_is_0_61() -> None:
    """The worked example of MRR in Wikipedia: the plurals of cat, torus and virus at ranks 3, 2 and 1."""
    queries = {
        "cats": ("catten", "cati", "cats"),
        "tori": ("torii", "tori", "toruses"),
        "viruses": ("viruses", "virii", "viri"),
    }
    ranks = [score(reciprocal_rank(), [right], *found) for right, found in queries.items()]
    assert ranks == [1 / 3, 1 / 2, 1]
    assert round(sum(ranks) / 3, 2) == 0.61
    assert score(reciprocal_rank(k=2), ["cats"], *queries["cats"]) == 0


def test_the_ndcg_of_six_graded_documents_is_0_785() -> None:
    """The worked example of NDCG in Wikipedia: grades 3 2 3 0 1 2, and two more documents of 3 and 2: 6.861 / 8.740."""
    grades = {"1": 3, "2": 2, "3": 3, "4": 0, "5": 1, "6": 2, "7": 3, "8": 2}
    assert score(ndcg_at(k=6), grades, *"123456") == pytest.approx(0.785, abs=5e-4)
    assert score(ndcg_at(k=6), {name: grades[name] for name in "123456"}, *"123456") == pytest.approx(0.961, abs=5e-4)
    assert score(ndcg_at(), ["1"], "2", "1") == pytest.approx(1 / math.log2(3))
    assert score(ndcg_at(), ["1", "2"], "2", "1") == 1


def test_one_source_in_several_passages_gains_once() -> None:
    found = [ts.Passage("x", 1.0, str(number), "a.md") for number in range(3)]
    prediction, example = dspy.Prediction(passages=found), dspy.Example(relevant=["a.md", "b.md"])
    assert recall_at(by="source")(example, prediction).value == 1 / 2
    assert precision_at(by="source")(example, prediction).value == 1
    assert ndcg_at(by="source")(example, prediction).value == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_a_text_is_found_inside_a_passage_in_any_spacing() -> None:
    found = dspy.Prediction(passages=[ts.Passage("One two\n  THREE.", 1.0, "1")])
    assert recall_at(by="text")(dspy.Example(relevant=["two three", "four"]), found).value == 1 / 2


@each(
    ("measure", "cited", "wrong", "value"),
    [
        ("precision", "ab", [], 1),
        ("precision", "ax", [], 1 / 2),
        ("precision", "a", [7, 8], 1 / 3),
        ("recall", "a", [7], 1 / 3),
        ("f1", "ax", [], 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)),
        ("f1", "", [], 0),
        ("f1", "", [9], 0),
    ],
)
def test_citations_are_compared_with_what_supports_the_answer(
    measure: Any, cited: str, wrong: list[int], value: float
) -> None:
    metric = citation_correctness(measure=measure)
    assert score(metric, ["a", "b", "c"], *cited, wrong_citations=wrong) == pytest.approx(value)


def test_where_nothing_is_relevant_nothing_should_be_found() -> None:
    for metric in (recall_at(), precision_at(), reciprocal_rank(), ndcg_at(), citation_correctness()):
        assert (score(metric, []), score(metric, [], "a"), score(metric, ["a"])) == (1, 0, 0)


def test_an_answer_in_a_passage_is_found_as_whole_words() -> None:
    found = dspy.Prediction(passages=[ts.Passage("Room 15 is free.", 1.0, "1"), {"text": "It costs $1,200."}])
    metric = answer_in_passages()
    assert [metric(dspy.Example(answer=answer), found).value for answer in ("5", "1200", ["x", "free"], 15)] == [
        0,
        1,
        1,
        1,
    ]
    assert answer_in_passages(k=1)(dspy.Example(answer="1200"), found).value == 0


def test_feedback_names_what_is_missing() -> None:
    found = recall_at(k=1)(dspy.Example(relevant=["a", "b"]), dspy.Prediction(passages=["a", "b"]))
    assert found.feedback == "passages: 1 of 2 in 1 passages; missing 'b'"
    assert recall_at("sources", k=5).metric_name == "recall@5(sources)"


@each("relevant", [None, "", [""], [" "], [None], {"a": -1}, {"a": "high"}, {"a": True}, {"a": math.nan}, [{}]])
def test_a_label_of_something_else_is_an_error(relevant: Any) -> None:
    with pytest.raises(MetricError, match="relevant"):
        score(recall_at(), relevant, "a")


@each(
    "make",
    [
        lambda: recall_at(k=0),
        lambda: recall_at(k=2.5),
        lambda: recall_at(by="name"),  # type: ignore[arg-type]
        lambda: recall_at(""),
        lambda: citation_correctness(measure="exact"),  # type: ignore[arg-type]
        lambda: answer_in_passages(k=-1),
    ],
)
def test_wrong_settings_are_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_retriever_is_measured_without_a_model() -> None:
    texts = {"oslo.md": "Oslo is in Norway.", "rome.md": "Rome is in Italy."}
    data = [
        dspy.Example(question=f"Where is {name}?", relevant=[f"{name.lower()}.md"]).with_inputs("question")
        for name in ("Oslo", "Rome")
    ]
    report = ts.evaluate(ts.Retrieve(ts.BM25(texts), k=1), data, recall_at(by="source"), lm=ts.ScriptedLM())
    assert report.mean == 1
