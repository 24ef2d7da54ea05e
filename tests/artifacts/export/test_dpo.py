from pathlib import Path
from typing import Any

import dspy

import tunesmith as ts
from tests.artifacts.export.tuning import VAL, Colour, colour_of, files, rows, things
from tests.compilers.worlds import TwoSteps
from tests.evaluation.replies import number, written
from tunesmith.lm import FunctionLM, Seen


def test_the_right_reply_is_chosen_and_the_wrong_one_rejected(colours: Path) -> None:
    found = rows(colours, "dpo")
    assert len(found) > 3
    for row in found:
        assert colour_of(number(row["conversations"][-1]["value"])) in row["chosen"]["value"]
        assert "red" in row["rejected"]["value"]
        assert row["chosen"]["from"] == row["rejected"]["from"] == "gpt"
        assert row["conversations"][-1]["from"] == "human"


def test_the_entry_says_that_it_ranks(colours: Path) -> None:
    found = files(colours, "dpo")
    entry = found["dataset_info"]["a-run-_dpo_train"]
    assert entry["ranking"] is True
    assert entry["columns"] == {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
        "system": "system",
    }
    assert 'stage: "dpo"' in found["lora"]


def test_the_first_step_in_which_two_runs_part_gives_the_pair(tmp_path: Path) -> None:
    def reply(seen: Seen) -> str:
        asked = seen.messages[-1][1]
        if asked.startswith("Guess"):
            return written(seen, colour=asked.split()[1])
        return written(seen, guess=colour_of(number(asked)) if len(seen.messages) > 1 else "grey")

    ts.compile(
        TwoSteps(),
        metric=ts.metrics.exact_match("colour"),
        trainset=[dspy.Example(**one, guess=one.colour).with_inputs("thing") for one in things(*range(6))],
        valset=VAL,
        compiler=ts.RandomSearch(num_candidates=2, seed=1),
        lm=FunctionLM(reply),
        run=tmp_path / "two",
        mirror=False,
        budget=400,
    )
    found = rows(tmp_path / "two", "dpo", program=TwoSteps)
    assert found
    assert all(row["conversations"][-1]["value"].startswith("Thing") for row in found)
    assert all("grey" in row["rejected"]["value"] for row in found)


def test_examples_that_prefer_the_other_way_round_give_no_pair(tmp_path: Path) -> None:
    data: list[Any] = [dspy.Example(thing="thing 1", colour=colour).with_inputs("thing") for colour in ("red", "green")]
    ts.compile(
        ts.Predict(Colour),
        metric=ts.metrics.exact_match("colour"),
        trainset=things(7, 8, 9),
        valset=[*data, *things(3, 6)],
        compiler=ts.RandomSearch(num_candidates=2, seed=1),
        lm=FunctionLM(lambda seen: written(seen, colour="red" if len(seen.messages) > 1 else "green")),
        run=tmp_path / "one",
        mirror=False,
        budget=100,
    )
    found = ts.export(tmp_path / "one", to="dpo")
    assert not any("thing 1" in text for text in found.files.values())
    assert "prefer the other way round: 2" in " ".join(found.notes)
