from itertools import pairwise
from pathlib import Path

import pytest

from tests.artifacts.export.tuning import colour_of, compiled, files, rows
from tests.evaluation.replies import number


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("runs") / "one")


def test_right_replies_are_good_and_wrong_ones_are_not(run: Path) -> None:
    found = rows(run, "kto")
    for row in found:
        asked, reply = (turn["value"] for turn in row["conversations"][-2:])
        assert row["kto_tag"] is (colour_of(number(asked)) in reply)
    assert {row["kto_tag"] for row in found} == {True, False}


def test_the_entry_names_the_tag(run: Path) -> None:
    found = files(run, "kto")
    assert found["dataset_info"]["one_kto_train"]["columns"]["kto_tag"] == "kto_tag"
    assert 'stage: "kto"' in found["lora"]


def test_rows_of_one_question_are_not_all_side_by_side(run: Path) -> None:
    asked = [row["conversations"][-2]["value"] for row in rows(run, "kto", eval_share=0)]
    beside = sum(one == other for one, other in pairwise(asked))
    assert beside < len(asked) - len(set(asked))
