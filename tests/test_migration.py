"""`docs/migration.md`: a state that DSPy saved carries what the page says."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts

DATA = [dspy.Example(text="a", topic="x").with_inputs("text")]


class Desk(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict("text -> topic")
        self.why = dspy.ChainOfThought("text -> why")

    def forward(self, text: str) -> Any:
        return self.sort(text=text)


@pytest.fixture
def tuned() -> Desk:
    desk = Desk()
    desk.sort.signature = desk.sort.signature.with_instructions("Sort it.").with_updated_fields("text", desc="a mail")
    desk.sort.demos = [dspy.Example(text="b", topic="y")]
    desk.sort.config = {"temperature": 0.5}
    return desk


def test_a_state_carries_instruction_descriptions_and_demos_and_no_options(tuned: Desk, tmp_path: Path) -> None:
    tuned.save(tmp_path / "desk.json")
    loaded = Desk()
    loaded.load(tmp_path / "desk.json")
    assert loaded.sort.config == {}
    shown = ts.render(loaded.sort, text="a").messages
    assert shown == ts.render(tuned.sort, text="a").messages
    assert "Sort it." in shown[0]["content"]
    assert [message["content"] for message in shown[1:]] == ["Text: b\nTopic:", "y", "Text: a\nTopic:"]


def test_a_predictors_own_model_is_loaded_and_can_be_removed(tuned: Desk, tmp_path: Path) -> None:
    tuned.set_lm(dspy.LM("openai/none", api_base="http://127.0.0.1:9/v1", api_key="k"))
    tuned.save(tmp_path / "desk.json")
    loaded = Desk()
    loaded.load(tmp_path / "desk.json")
    assert loaded.sort.lm.model == "openai/none"
    assert "127.0.0.1" not in str(loaded.sort.lm.kwargs)
    loaded.set_lm(None)
    report = ts.evaluate(loaded, DATA, ts.metrics.exact_match("topic"), lm=ts.FunctionLM(lambda seen: "x"))
    assert report.mean == 1


def test_dspy_leaves_out_a_part_that_was_compiled_and_the_artifact_does_not(tmp_path: Path) -> None:
    desk = Desk()
    desk.why._compiled = True
    desk.why.predict.demos = [dspy.Example(text="b", reasoning="r", why="w")]
    desk.save(tmp_path / "desk.json")
    with pytest.raises(KeyError):
        Desk().load(tmp_path / "desk.json")
    ts.save(tmp_path / "desk", desk)
    assert len(ts.load(tmp_path / "desk", program=Desk).why.predict.demos) == 1


def test_demos_of_another_signature_are_an_error_before_the_first_call(tmp_path: Path) -> None:
    old = dspy.Predict("mail -> kind")
    old.demos = [dspy.Example(mail="b", kind="y")]
    old.save(tmp_path / "old.json")
    program = dspy.Predict("text -> topic")
    program.load(tmp_path / "old.json")
    with pytest.raises(ts.errors.TunesmithError, match="demo"):
        ts.evaluate(program, DATA, ts.metrics.exact_match("topic"), lm=ts.ScriptedLM())


def test_a_demo_with_a_wrong_value_is_an_error_that_names_its_predictor(tuned: Desk) -> None:
    tuned.sort.signature = tuned.sort.signature.with_updated_fields("topic", type_=int)
    rows = [dspy.Example(text=text, topic=1).with_inputs("text") for text in "ab"]
    with dspy.context(lm=ts.ScriptedLM()), pytest.raises(ts.errors.DataError, match=r"predictor `sort` .*`topic`"):
        ts.LabeledFewShot(metric=ts.metrics.exact_match("topic")).compile(tuned, trainset=rows[:1], valset=rows[1:])
