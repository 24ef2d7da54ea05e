"""Hard examples of a run."""

from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import DataError, UsageError
from tunesmith.evaluation import Failure, Report, Row, RunInfo
from tunesmith.experiments import RunRecord, Tried, hard_examples, places_by_hardness
from tunesmith.experiments.report.record import Shown

LABELS = {"easy": "a", "wrong": "a", "split": "b"}


def row(key: str, answer: str | None, score: float | None) -> Row:
    failure = Failure("program", "ParseError", "no answer") if answer is None else None
    return Row(key, None if answer is None else {"label": answer, "reasoning": f"{key} {answer}"}, score, failure)


def record(*candidates: list[Row], inputs: bool = True) -> RunRecord:
    tried = tuple(
        Tried(f"c{n}", f"candidate {n}", "", "", n == 0, False, None, Report(tuple(rows)), Report(()), n)
        for n, rows in enumerate(candidates)
    )
    shown = [Shown(key, {"text": key} if inputs else {}, {"label": label}) for key, label in LABELS.items()]
    info = RunInfo(Path("runs/first"), "done", {}, None, None, 0.0)
    return RunRecord(info, tried, {"validation": shown, "test": []})


def scored(key: str, *answers: str | None) -> list[Row]:
    return [row(key, answer, None if answer is None else float(answer == LABELS[key])) for answer in answers]


@pytest.fixture
def found() -> RunRecord:
    """Three candidates: all right on `easy`, all wrong on `wrong`, and each another answer on `split`."""
    rows = [scored("easy", "a", "a", "a"), scored("wrong", "b", "b", None), scored("split", "b", "c", "d")]
    return record(*([rows[e][c] for e in range(3)] for c in range(3)))


def test_what_is_most_often_wrong_comes_first_and_what_all_get_right_is_left_out(found: RunRecord) -> None:
    hard = hard_examples(found)
    assert [(one.key, one.candidates, round(one.score, 2), one.failed) for one in hard] == [
        ("wrong", 3, 0.0, 1),
        ("split", 3, 0.33, 0),
    ]
    assert hard[0].to_json()["inputs"] == {"text": "wrong"}


def test_disagreement_compares_only_the_fields_with_labels(found: RunRecord) -> None:
    (one,) = hard_examples(found, by="disagreement")
    assert (one.key, one.answers, round(one.disagreement, 2)) == ("split", {"b": 1, "c": 1, "d": 1}, 0.67)


def test_a_field_that_no_candidate_answered_is_no_label(found: RunRecord) -> None:
    shown = [Shown(one.key, one.inputs, {**one.labels, "id": 7}) for one in found.examples["validation"]]
    (hardest, _) = hard_examples(RunRecord(found.info, found.tried, {"validation": shown, "test": []}))
    assert (hardest.labels, hardest.rest) == ({"label": "a"}, {"id": 7})
    assert hardest.to_json()["rest"] == {"id": 7}


def test_an_example_that_too_few_candidates_were_scored_on_is_left_out() -> None:
    few = record(scored("wrong", "b") + scored("split", "c"), scored("split", "c"))
    assert [one.key for one in hard_examples(few)] == ["split"]
    assert [one.key for one in hard_examples(few, least=1)] == ["split", "wrong"]
    with pytest.raises(DataError, match="No validation example of the run 'first' was scored by 3 candidates"):
        hard_examples(few, least=3)


def test_a_score_that_the_metric_could_not_give_does_not_count() -> None:
    broken = Row("wrong", {"label": "b"}, None, Failure("metric", "MetricError", "broken"))
    (one,) = hard_examples(record([broken], scored("wrong", "b"), scored("wrong", "b")))
    assert one.candidates == 2


def test_a_run_that_keeps_no_examples_is_an_error(found: RunRecord) -> None:
    with pytest.raises(DataError, match="keeps no examples"):
        hard_examples(record(scored("wrong", "b"), scored("wrong", "b"), inputs=False))


@each("options", [{"by": "luck"}, {"split": "train"}, {"count": 0}, {"least": True}])
def test_a_wrong_argument_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        hard_examples(record(scored("wrong", "b", "b")), **options)


def test_rows_of_a_file_are_found_by_their_inputs_and_the_hardest_come_first(found: RunRecord) -> None:
    rows = [{"text": "other"}, {"text": "split", "label": "new"}, {"text": "easy"}, {"text": "wrong"}]
    assert [(place, one.key) for place, one in places_by_hardness(found, rows).items()] == [(3, "wrong"), (1, "split")]
    assert list(places_by_hardness(found, rows, by="disagreement")) == [1]
    with pytest.raises(DataError, match="No row is a hard example of the run 'first'"):
        places_by_hardness(found, rows[:1])
