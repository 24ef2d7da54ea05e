from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import program
from tests.each import each
from tunesmith.artifacts.export._source import Source
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.modules import Candidate, Nearest


def search_rag() -> Any:
    return ts.RAG(ts.BM25(["one", "two"]))


def with_a_tool() -> Any:
    def capital(country: str) -> str:
        """Return the capital."""
        return country

    return ts.ReAct("question -> answer", tools=[capital])


def with_a_dspy_tool() -> Any:
    return dspy.ReAct("question -> answer", tools=[len])


def with_chosen_demos() -> Any:
    demos = [ts.Demo({"text": text}, {"label": text}) for text in ("a", "b")]
    return (
        Candidate.of(ts.Predict("text -> label"))
        .with_demos("self", demos, Nearest(k=1))
        .apply(ts.Predict("text -> label"))
    )


def with_a_conversation() -> Any:
    return ts.Predict(dspy.Signature("history: dspy.History, text -> label"))


REFUSED = {
    search_rag: "searches texts",
    with_a_tool: "calls tools",
    with_a_dspy_tool: "calls tools",
    with_chosen_demos: "chosen for each call",
    with_a_conversation: "conversation, a picture",
}


@each("make", list(REFUSED))
def test_what_has_no_fixed_messages_is_refused_with_the_reason(make: Any) -> None:
    with pytest.raises(UsageError, match=REFUSED[make]):
        ts.export(make(), to="messages")


def test_an_artifact_its_path_and_its_program_give_the_same(tmp_path: Path) -> None:
    artifact = ts.save(tmp_path / "run" / "artifact", program("lines", "Sort {it}.", "a\nb"))
    found = [ts.export(given, to="messages") for given in (artifact, artifact.path, ts.load(artifact.path))]
    assert found[0] == found[1] == found[2]
    assert Source(artifact.path).title == "run"


def test_what_is_no_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="There is no artifact"):
        ts.export(tmp_path / "nothing", to="messages")
    with pytest.raises(UsageError, match="An export takes a program, an artifact"):
        ts.export(7, to="messages")  # type: ignore[arg-type]


def test_a_program_of_its_own_class_is_given_or_allowed(tmp_path: Path) -> None:
    from tests.artifacts.programs import TwoSteps

    ts.save(tmp_path / "two", TwoSteps())
    name = "tests.artifacts.programs:TwoSteps"
    given = ts.export(tmp_path / "two", to="messages", program=TwoSteps)
    assert given == ts.export(tmp_path / "two", to="messages", allow=(name,))
    with pytest.raises(ArtifactError, match="needs the class"):
        ts.export(tmp_path / "two", to="messages")


def test_a_target_of_one_predictor_refuses_two(tmp_path: Path) -> None:
    chain = ts.Chain(one=ts.Predict("text -> middle"), two=ts.Predict("middle -> label"))
    with pytest.raises(UsageError, match="carries one predictor; this program has 2: one, two"):
        Source(chain).only_prompt("modelfile")


def test_what_is_done_around_a_predictor_is_said() -> None:
    assert Source(ts.Predict("text -> label")).notes == ()
    assert "What `SelfConsistency` does" in Source(ts.SelfConsistency(ts.Predict("text -> label"))).notes[0]


def test_the_program_is_not_changed() -> None:
    made = ts.Predict("text -> label")
    ts.export(made, to="messages")
    assert "tunesmith_format" not in vars(made)


def test_a_part_that_was_compiled_before_is_carried_too() -> None:
    made = ts.Chain(sort=ts.Predict("text -> label"), say=ts.ChainOfThought("text, label -> note"))
    made.say._compiled = True
    assert [path for path, _ in made.named_predictors()] == ["sort"], "DSPy leaves it out"
    assert [prompt.path for prompt in Source(made).prompts] == ["sort", "say.predict"]
    with pytest.raises(UsageError, match="this program has 2"):
        ts.export(made, to="modelfile", base="m")
