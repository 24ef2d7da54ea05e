"""What the targets for fine-tuning share: which rows of a run they take, and how these are parted."""

import json
import shutil
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.artifacts.export.tuning import TEST, TRAIN, VAL, Colour, Sent, colour_of, compiled, files, rows, things
from tests.each import each
from tests.evaluation.replies import number
from tunesmith.errors import UsageError
from tunesmith.evaluation import read_entries
from tunesmith.lm import ScriptedLM

TARGETS = ("alpaca", "sharegpt", "openai", "dpo", "kto")


def thing(row: dict[str, Any]) -> int:
    """Return the number of the thing that a row asks for."""
    if "instruction" in row:
        return number(row["instruction"])
    if "messages" in row:
        return number([one for one in row["messages"] if one["role"] == "user"][-1]["content"])
    return number([one for one in row["conversations"] if one["from"] == "human"][-1]["value"])


def test_a_row_has_the_messages_that_were_sent_and_the_reply_that_came(colours: Path, sent: Sent) -> None:
    found = {
        (tuple((one["role"], one["content"]) for one in row["messages"][:-1]), row["messages"][-1]["content"])
        for row in rows(colours, "openai", replies="compiled")
    }
    assert len(found) > 8
    assert found <= sent


@each("target", TARGETS)
def test_no_row_is_of_the_test_split(target: str, colours: Path) -> None:
    asked = {thing(row) for row in rows(colours, target)}
    assert asked <= {number(example.thing) for example in (*TRAIN, *VAL)}
    assert not asked & {number(example.thing) for example in TEST}
    assert len(asked) > 3


@each("target", TARGETS)
def test_an_input_is_on_one_side_only_and_no_row_is_there_twice(target: str, colours: Path) -> None:
    found = files(colours, target, eval_share=0.4)
    assert found["eval"]
    assert not {thing(row) for row in found["train"]} & {thing(row) for row in found["eval"]}
    texts = [json.dumps(row) for row in (*found["train"], *found["eval"])]
    assert len(set(texts)) == len(texts)


def test_the_files_are_the_same_each_time_whatever_the_order_of_the_ledger(colours: Path, tmp_path: Path) -> None:
    threads = ts.RandomSearch(num_candidates=4, max_labeled_demos=4, seed=1, slots=4)
    again = compiled(tmp_path / colours.name, compiler=threads)
    for target in TARGETS:
        assert dict(ts.export(colours, to=target).files) == dict(ts.export(again, to=target).files)


def test_only_full_marks_are_good_unless_less_is_asked_for(colours: Path) -> None:
    assert all(colour_of(thing(row)) in row["output"] for row in rows(colours, "alpaca"))
    assert len(rows(colours, "alpaca", min_score=0)) > len(rows(colours, "alpaca"))


def test_replies_of_every_candidate_are_more_than_those_of_the_compiled_program(colours: Path) -> None:
    every, own = (rows(colours, "alpaca", replies=which, min_score=0) for which in ("all", "compiled"))
    assert {json.dumps(row) for row in own} <= {json.dumps(row) for row in every}
    assert len(every) > len(own)


def test_the_prompt_may_be_that_of_the_program_before(colours: Path) -> None:
    assert all(row["history"] for row in rows(colours, "alpaca"))
    assert not any(row["history"] for row in rows(colours, "alpaca", prompt="given"))


def test_the_run_may_be_named_or_its_artifact_given(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict(ts.export(colours, to="alpaca").files)
    assert dict(ts.export(colours / "artifact", to="alpaca").files) == found
    assert dict(ts.export(ts.verify(colours / "artifact"), to="alpaca").files) == found
    assert dict(ts.export(ts.load(colours / "artifact"), to="alpaca").files) == found
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(colours.parent)
    Path(colours.name).mkdir()  # a folder of that name that is no run
    assert dict(ts.export(colours.name, to="alpaca").files) == found


def test_the_notes_count_what_is_there_and_what_is_left_out(colours: Path) -> None:
    tested = sum(entry.key.example in set(_test_keys(colours)) for entry in read_entries(colours / "run.db"))
    counts, gone, fill = ts.export(colours, to="alpaca").notes
    assert "rows to train on and" in counts
    assert f"rows of the test split: {tested};" in gone
    assert "score less than `min_score`" in gone
    assert fill == "Fill in `model_name_or_path` and `template` in lora.yaml."
    assert len(ts.export(colours, to="alpaca", base_model="org/model", template="qwen3").notes) == 2


def _test_keys(colours: Path) -> list[str]:
    found: list[str] = json.loads((colours / "candidates.json").read_text(encoding="utf-8"))["splits"]["test"]
    return found


def refused(given: Any, to: str = "alpaca", **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        ts.export(given, to=to, **options)
    return str(caught.value)


def test_a_run_without_rows_of_the_kind_says_what_was_found_and_what_to_do(colours: Path) -> None:
    said = refused(colours, min_score=2)
    assert "gives no rows for 'alpaca'" in said
    assert "with scores from 0 to 1" in said
    assert "Set `min_score` lower than 2" in said
    assert "Of 12 examples" in (paired := refused(colours, "dpo", margin=3))
    assert "Set these lower, use `replies='all'`" in paired
    assert "are all bad: none is good" in refused(colours, "kto", min_score=2, margin=1)


def test_a_program_is_no_run() -> None:
    assert "Fine-tuning data comes from what a run has evaluated" in refused(ts.Predict(Colour))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    assert "There is no run in" in refused(tmp_path)


def test_without_the_notes_of_the_run_test_rows_cannot_be_told_apart(tmp_path: Path) -> None:
    run = compiled(tmp_path / "one", budget=60, compiler=ts.LabeledFewShot(k=2))
    (run / "candidates.json").unlink()
    assert "of its test split is not known: its candidates.json is gone" in refused(run)


def test_a_run_that_has_not_ended_is_to_be_ended_first(colours: Path, tmp_path: Path) -> None:
    run = shutil.copytree(colours, tmp_path / "half")
    shutil.rmtree(run / "artifact")
    (run / "result.json").unlink()
    assert "has not ended" in (said := refused(run))
    assert "tunesmith runs resume half" in said


def test_a_private_run_has_no_replies(tmp_path: Path) -> None:
    said = refused(compiled(tmp_path / "one", budget=60, compiler=ts.LabeledFewShot(k=2), store=False))
    assert "without inputs and outputs" in said
    assert "store=False" in said


def test_a_run_without_an_artifact_needs_the_compiled_program(tmp_path: Path) -> None:
    compiler = ts.LabeledFewShot(k=2, metric=ts.metrics.exact_match("colour"), budget=60)
    with dspy.context(lm=ScriptedLM(*["red"] * 100)):
        program = compiler.compile(ts.Predict(Colour), trainset=TRAIN, valset=VAL, run=tmp_path / "one", mirror=False)
    assert "kept no artifact" in refused(tmp_path / "one")
    found = ts.export(tmp_path / "one", to="alpaca", program=program)
    assert json.loads(found.files["train.json"])[0]["output"] == "red"


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("thing -> note")
        self.second = dspy.Predict("note -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        return self.second(note=self.first(thing=thing).note)


def test_each_step_of_a_program_is_a_row_and_the_same_question_is_asked_once(tmp_path: Path) -> None:
    ts.compile(
        TwoSteps(),
        metric=ts.metrics.exact_match("colour"),
        trainset=things(*range(6)),
        valset=things(*range(30, 36)),
        compiler=ts.LabeledFewShot(k=1),
        lm=ScriptedLM(*["red"] * 300),
        run=tmp_path / "one",
        mirror=False,
        budget=100,
    )
    found = rows(tmp_path / "one", "alpaca", program=TwoSteps, eval_share=0)
    assert sorted(row["instruction"].splitlines()[0] for row in found) == [
        "Note: red",
        "Thing: thing 30",
        "Thing: thing 33",
    ]
    assert {row["output"] for row in found} == {"red"}


@each("name", ["bare", "json", "lines", "xml", "markdown", "chat"])
def test_in_every_format_a_row_is_what_was_sent_and_what_came(name: str, tmp_path: Path) -> None:
    sent: Sent = set()
    run = compiled(tmp_path / name, sent=sent, budget=40, compiler=ts.RandomSearch(num_candidates=1, formats=[name]))
    asked = {(messages, _plain(text)) for messages, text in sent}
    for row in rows(run, "openai", replies="compiled", min_score=0):
        *before, last = row["messages"]
        assert (tuple((one["role"], one["content"]) for one in before), _plain(last["content"])) in asked


def _plain(reply: str) -> str:
    """Return a reply without what a model may leave out of it."""
    return "".join(reply.replace("[[ ## completed ## ]]", "").split())


def test_rows_of_a_metric_that_the_run_no_longer_has_are_left_out(tmp_path: Path) -> None:
    def never(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return 0.0

    given: dict[str, Any] = {"trainset": TRAIN, "valset": VAL, "run": tmp_path / "one", "budget": 60, "mirror": False}
    for metric, more in ((never, {}), (ts.metrics.exact_match("colour"), {"rescore": True})):
        ts.compile(
            ts.Predict(Colour),
            metric=metric,
            compiler=ts.LabeledFewShot(k=2),
            lm=ScriptedLM(*["red"] * 100),
            **given,
            **more,
        )
    found = ts.export(tmp_path / "one", to="alpaca")
    assert json.loads(found.files["train.json"])
    assert "rows of another program or metric: " in found.notes[1]
