"""Files name a module without the folder that its file is in, so artifacts load if a file moves."""

import subprocess
import sys

import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.modules import class_name, find_class, find_module


@each(
    "name, kind",
    [
        ("tunesmith.modules.chain:Chain", ts.Chain),
        ("tunesmith.modules.self_consistency:SelfConsistency", ts.SelfConsistency),
        ("tunesmith.modules.react:ReAct", ts.ReAct),
        ("tunesmith.modules.retrieval.rag:RAG", ts.RAG),
        ("tunesmith.modules.classify:Classify", ts.Classify),
    ],
)
def test_a_module_has_the_name_that_artifacts_have(name: str, kind: type) -> None:
    assert class_name(object.__new__(kind)) == name
    assert find_module(name) is find_class(name) is kind


@pytest.mark.whole
def test_a_module_is_found_in_a_new_process() -> None:
    code = (
        "from tunesmith.modules.registry import find_module as f; print(f('tunesmith.modules.react:ReAct').__module__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "tunesmith.modules.agents.react"


@each("name", ["tunesmith.modules.nothing:X", "tunesmith.modules.none.at:X", "tunesmith.modules.:X", "json:X", ""])
def test_other_names_are_none(name: str) -> None:
    assert find_module(name) is None
