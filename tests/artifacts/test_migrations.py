"""Artifacts of every older version are read; those of a newer one are refused by name (test_verifying.py)."""

import json
import warnings
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.artifacts.programs import DEMO
from tunesmith.artifacts import load, save, verify
from tunesmith.artifacts.migrations import _STEPS, migrated
from tunesmith.artifacts.schema import SCHEMA_VERSION
from tunesmith.errors import ArtifactError
from tunesmith.modules import Candidate, render

VERSIONS = Path(__file__).parent / "versions"
OLDER = sorted(VERSIONS.glob("*/*"))


def test_every_older_version_has_a_step_and_an_artifact() -> None:
    assert sorted(_STEPS) == list(range(1, SCHEMA_VERSION))
    assert {folder.parent.name for folder in OLDER} == {str(version) for version in _STEPS}


@pytest.mark.parametrize("folder", OLDER, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_an_older_artifact_is_loaded_and_keeps_its_identity(folder: Path, tmp_path: Path) -> None:
    written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert written["schema_version"] == int(folder.parent.name)
    artifact = verify(folder)
    assert artifact.manifest["schema_version"] == SCHEMA_VERSION
    assert artifact.sha256 == written["sha256"]
    loaded = load(folder)
    assert Candidate.of(loaded).to_json()["parts"] == written["candidate"]["parts"]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = save(tmp_path / "again", loaded)

    assert json.loads((again.path / "manifest.json").read_text(encoding="utf-8"))["schema_version"] == SCHEMA_VERSION
    assert again.candidate_json["parts"] == artifact.candidate_json["parts"]


def test_an_artifact_of_version_1_sends_what_it_sent_then() -> None:
    one = render(load(VERSIONS / "1" / "one-step"), question="Capital of Chile?", kind="a")
    assert one.messages[0]["content"].startswith("Answer in one word.")
    assert DEMO["question"] in one.messages[1]["content"]
    assert verify(VERSIONS / "1" / "one-step").known(
        [dspy.Example(question="Capital of Cuba?", kind="a").with_inputs("question", "kind")]
    ) == {"trainset": 1}
    chain = load(VERSIONS / "1" / "chain")
    assert chain.reply.samples == 5
    topic: Any = chain.topic
    assert topic.config == {"temperature": 0.5}
    shown = "\n".join(message["content"] for message in render(topic, text="The soup was cold.").messages)
    assert "The soup was good." in shown
    assert "The fish was good." not in shown, "two of the three demos, those nearest to the call"


def test_a_manifest_that_is_not_of_its_version_is_refused() -> None:
    for program in (None, {}, {"predictors": []}, {"predictors": {"self": 3}}):
        with pytest.raises(ArtifactError, match="is not a manifest of version 1"):
            migrated({"schema_version": 1, "program": program}, "here")
