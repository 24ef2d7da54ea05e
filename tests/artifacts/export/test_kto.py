from itertools import pairwise
from pathlib import Path

from tests.artifacts.export.tuning import colour_of, files, rows
from tests.evaluation.replies import number


def test_right_replies_are_good_and_wrong_ones_are_not(colours: Path) -> None:
    found = rows(colours, "kto")
    for row in found:
        asked, reply = (turn["value"] for turn in row["conversations"][-2:])
        assert row["kto_tag"] is (colour_of(number(asked)) in reply)
    assert {row["kto_tag"] for row in found} == {True, False}


def test_the_entry_names_the_tag(colours: Path) -> None:
    found = files(colours, "kto")
    assert found["dataset_info"]["a-run-_kto_train"]["columns"]["kto_tag"] == "kto_tag"
    assert 'stage: "kto"' in found["lora"]


def test_rows_of_one_question_are_not_all_side_by_side(colours: Path) -> None:
    asked = [row["conversations"][-2]["value"] for row in rows(colours, "kto", eval_share=0)]
    beside = sum(one == other for one, other in pairwise(asked))
    assert beside < len(asked) - len(set(asked))
