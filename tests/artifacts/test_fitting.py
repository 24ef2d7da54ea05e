"""A program that is passed must be the one that was compiled: fields, tools, decisions and arguments."""

import warnings
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from tests.artifacts.programs import forge
from tests.each import each
from tunesmith.artifacts import load, save
from tunesmith.errors import ArtifactError
from tunesmith.modules import BM25, RAG, Chain, Predict, ReAct, SelfConsistency


def signature(*fields: tuple[str, str, str]) -> Any:
    make = {"in": dspy.InputField, "out": dspy.OutputField}
    return dspy.Signature({name: (str, make[role](desc=desc)) for name, role, desc in fields}, "Judge it.")


TEXT, TONE, GOOD, WHY = (
    ("text", "in", "a review"),
    ("tone", "in", "how it sounds"),
    ("good", "out", "yes or no"),
    ("why", "out", "in a word"),
)


@each(
    "fields",
    [
        (TONE, TEXT, GOOD, WHY),
        (TEXT, TONE, WHY, GOOD),
        (TEXT, TONE, GOOD, ("reason", "out", "in a word")),
        (TEXT, ("tone", "in", "a review"), GOOD, WHY),
        (("text", "in", "how it sounds"), ("tone", "in", "a review"), GOOD, WHY),
        (TEXT, GOOD, WHY),
        (TEXT, TONE, ("extra", "in", ""), GOOD, WHY),
        (TEXT, ("tone", "out", "how it sounds"), GOOD, WHY),
    ],
    ids=["swapped", "outputs swapped", "renamed", "described", "shifted", "fewer", "more", "other role"],
)
def test_fields_that_moved_or_changed_are_an_error_and_never_a_silent_swap(
    tmp_path: Path, fields: tuple[tuple[str, str, str], ...]
) -> None:
    artifact = save(tmp_path / "a", Predict(signature(TEXT, TONE, GOOD, WHY)))
    assert load(artifact.path, program=Predict(signature(TEXT, TONE, GOOD, WHY)))
    with pytest.raises(
        ArtifactError, match=r"has the fields text: str \(a review\), tone.* at 'self'; the program has"
    ):
        load(artifact.path, program=Predict(signature(*fields)))

    def change(manifest: Any) -> None:
        described = manifest["program"]["predictors"]["self"]["signature"]["fields"]
        roles = {"in": "input", "out": "output"}
        described[:] = [{"name": n, "role": roles[r], "type": "str", "desc": d or None} for n, r, d in fields]

    forge(artifact.path, change)
    with pytest.raises(ArtifactError):
        load(artifact.path)


def lookup(word: str) -> str:
    """Look a word up."""
    return word


def lookup_twice(word: str, times: int = 2) -> str:
    """Look a word up."""
    return word * times


def weather(city: str) -> str:
    """Say the weather."""
    return city


lookup_twice.__name__ = "lookup"


@each("make", [dspy.ReAct, ReAct])
def test_tools_are_in_the_artifact_by_name_and_schema_and_others_are_refused(tmp_path: Path, make: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        artifact = save(tmp_path / "a", make("question -> answer", tools=[lookup]))
    (tools,) = artifact.manifest["program"]["tools"].values()
    assert tools[0]["name"] == "lookup"
    assert "word" in str(tools[0]["arguments"])
    loaded = load(artifact.path, program=make("question -> answer", tools=[lookup]))
    assert loaded.named_predictors()
    for others in ([weather], [lookup_twice], [lookup, weather]):
        with pytest.raises(ArtifactError, match=r"lookup|fields"):
            load(artifact.path, program=make("question -> answer", tools=others))


def test_a_built_in_module_with_tools_says_that_it_needs_them(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="cannot be loaded by the name"):
        artifact = save(tmp_path / "a", ReAct("question -> answer", tools=[lookup]))
    with pytest.raises(ArtifactError, match=r"has the tools lookup, which no artifact holds.*program=ReAct"):
        load(artifact.path)


def test_another_corpus_or_vote_than_the_compiled_one_is_warned_about(tmp_path: Path) -> None:
    artifact = save(tmp_path / "a", RAG(BM25(["Oslo is in Norway."])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(artifact.path, program=RAG(BM25(["Oslo is in Norway."])))
    with pytest.warns(UserWarning, match="another value of `retrieve`") as caught:
        load(artifact.path, program=RAG(BM25(["Rome is in Italy."])))
    assert caught[0].filename == __file__


def test_a_manifest_with_arguments_that_its_class_does_not_take_is_refused(tmp_path: Path) -> None:
    artifact = save(tmp_path / "a", SelfConsistency(Predict("question -> answer"), samples=3))
    forge(artifact.path, lambda manifest: manifest["program"]["spec"].update(samples={"value": 5}))
    with pytest.raises(ArtifactError, match=r"arguments that its class .* does not take"):
        load(artifact.path)


def test_decisions_of_dspy_come_back(tmp_path: Path) -> None:
    program = Predict("text -> mood: Literal['good', 'bad']", temperature=0.5)
    program.fields = {"mood": {"weights": {"good": 2.0}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        artifact = save(tmp_path / "a", Chain(mood=program))
    loaded: Any = load(artifact.path)
    assert loaded.mood.fields == {"mood": {"weights": {"good": 2.0}}}
    passed: Any = load(artifact.path, program=Chain(mood=Predict("text -> mood: Literal['good', 'bad']")))
    assert passed.mood.fields == loaded.mood.fields

    def change(manifest: Any) -> None:
        manifest["program"]["predictors"]["mood"]["decisions"] = {"mood": {"weights": {"neither": 1.0}}}

    forge(artifact.path, change)
    with pytest.raises(ArtifactError):
        load(artifact.path)


class Answer(dspy.Signature):
    """Answer."""

    question: str = dspy.InputField()
    answer: Literal["yes", "no"] = dspy.OutputField(desc="a word")


def test_request_options_of_each_predictor_come_back(tmp_path: Path) -> None:
    program = Chain(
        first=Predict(Answer, temperature=0.3, stop=["\n"]), second=Predict("answer -> reply", max_tokens=5)
    )
    loaded: Any = load(save(tmp_path / "a", program).path)
    assert (loaded.first.config, loaded.second.config) == (
        {"temperature": 0.3, "stop": ["\n"]},
        {"max_tokens": 5},
    )
