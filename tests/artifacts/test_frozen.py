"""Parts that were compiled before are in the artifact, though DSPy leaves them out of its own file."""

import json
import warnings
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.artifacts.programs import forge
from tests.modules.plain_programs import Frozen
from tunesmith.artifacts import load, save
from tunesmith.errors import ArtifactError
from tunesmith.modules import Chain, ChainOfThought, Module, Predict, bind, bound_format, render
from tunesmith.signatures import Demo


def chain() -> Any:
    program = Chain(topic=ChainOfThought("text -> topic", temperature=0.5), reply=Predict("text, topic -> reply"))
    topic = program.topic.predict
    topic.signature = topic.signature.with_instructions("Name the topic.")
    topic.demos = [Demo({"text": "Cold soup."}, {"reasoning": "Soup is food.", "topic": "food"}).as_example()]
    bind(topic, "json")
    program.topic._compiled = True
    return program


def test_a_part_that_was_compiled_before_is_rebuilt_as_it_was(tmp_path: Path) -> None:
    program = chain()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        artifact = save(tmp_path / "a", program)
        loaded: Any = load(artifact.path)
    assert [path for path, _ in loaded.named_predictors()] == ["reply"]
    assert "topic.predict" not in json.loads((artifact.path / "state.json").read_text(encoding="utf-8"))
    assert bound_format(loaded.topic.predict) == "json"
    shown = [render(one.topic, text="A dark room.") for one in (program, loaded)]
    assert shown[0].messages == shown[1].messages
    assert shown[0].messages[0]["content"].startswith("Name the topic.")
    assert loaded.topic.predict.config == {"temperature": 0.5}


def test_what_was_loaded_with_a_frozen_part_is_saved_the_same(tmp_path: Path) -> None:
    first = save(tmp_path / "a", chain())
    assert save(tmp_path / "b", load(first.path)).sha256 == first.sha256


def test_a_program_of_the_callers_gets_the_frozen_part_and_is_not_changed(tmp_path: Path) -> None:
    artifact = save(tmp_path / "a", Frozen())
    given = Frozen()
    given.before._compiled = False
    given.before.steps[0].demos = []
    for program in (given, Frozen):
        loaded: Any = load(artifact.path, program=program)
        assert [demo["message"] for demo in loaded.before.steps[0].demos] == ["my bill"]
        assert loaded.before._compiled
    assert (given.before._compiled, given.before.steps[0].demos) == (False, [])


def test_a_program_without_that_part_or_with_other_fields_in_it_is_refused(tmp_path: Path) -> None:
    artifact = save(tmp_path / "a", Frozen())
    other = Frozen()
    other.before.steps[0] = dspy.Predict("message -> topic, queue")
    with pytest.raises(ArtifactError, match=r"before\.steps\[0\]"):
        load(artifact.path, program=other)
    del other.before
    with pytest.raises(ArtifactError, match="'before' that was compiled before"):
        load(artifact.path, program=other)


@pytest.mark.parametrize("name", ["nowhere", "reply", "self", "topic.predict"])
def test_a_manifest_that_freezes_another_part_is_refused(tmp_path: Path, name: str) -> None:
    artifact = save(tmp_path / "a", chain())

    def change(manifest: Any) -> None:
        frozen = manifest["program"]["frozen"]
        frozen[name] = frozen.pop("topic")

    forge(artifact.path, change)
    with pytest.raises(ArtifactError):
        load(artifact.path)


def test_demos_of_a_frozen_part_that_do_not_fit_are_warned_about(tmp_path: Path) -> None:
    program: Module = chain()
    program.topic.predict.demos = [{"text": "a", "topic": None}]
    with pytest.warns(UserWarning, match=r"Demo 1 of `topic\.predict` is not saved"):
        artifact = save(tmp_path / "a", program)
    assert artifact.manifest["program"]["frozen"]["topic"]["candidate"]["parts"]["predict"]["demos"] == []
