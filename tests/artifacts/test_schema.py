"""The model of the manifest is published as JSON Schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.programs import PLACE_DEMO, TwoSteps, improved, saved
from tests.artifacts.write_schema import PAGE, published
from tunesmith.artifacts import save
from tunesmith.artifacts.schema import is_class_name
from tunesmith.modules import BestOf, ChainOfThought, Predict


def test_the_published_schema_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == published(), "run `python -m tests.artifacts.write_schema`"


def test_manifests_of_all_kinds_keep_to_the_published_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    kind = jsonschema.validators.validator_for(json.loads(published()))
    kind.check_schema(json.loads(published()))
    validator: Any = kind(json.loads(published()))
    two = TwoSteps()
    nested = BestOf(ChainOfThought("question -> answer"), Predict("question, answer -> good: bool"))
    for number, artifact in enumerate(
        [
            saved(tmp_path / "one"),
            saved(tmp_path / "two", two, improved(two, PLACE_DEMO, path="locate"), selected_on={}),
            save(tmp_path / "three", nested),
        ]
    ):
        validator.validate(artifact.manifest)
        assert not validator.is_valid({**artifact.manifest, "surprise": number})
        assert not validator.is_valid({**artifact.manifest, "notes": {}})


def test_a_class_name_is_a_module_and_names_inside_it() -> None:
    right = ("shop:Triage", "a.b_2:C.D", "__main__:made.<locals>.Triage", "läden:Größe")
    wrong = (
        "",
        ":",
        "shop",
        "shop:",
        ":Triage",
        "shop.:T",
        "a:b:c",
        "1a:B",
        "a:B.",
        "a: B",
        "a-b:C",
        "<locals>:A",
        "a:<b>",
    )

    assert [name for name in right if not is_class_name(name)] == []
    assert [name for name in wrong if is_class_name(name)] == []
