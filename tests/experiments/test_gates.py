"""Gates on an artifact that was saved without a compile."""

from pathlib import Path

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.experiments import CheckResult, Gates, check_artifact
from tunesmith.lm import LM, FunctionLM

ROWS = [dspy.Example(q=f"q{i}", a="yes").with_inputs("q") for i in range(10)]
DATA = ts.Dataset(ROWS, inputs=("q",), name="test")


def checked(folder: Path, gates: Gates) -> tuple[CheckResult, LM]:
    artifact = ts.save(folder, ts.Predict("q -> a"))
    model = FunctionLM(lambda _: "yes")
    program = ts.load(folder, lm=model)
    try:
        return check_artifact(program, artifact, DATA, ts.metrics.exact_match("a"), gates=gates, lm=model), model
    finally:
        assert gates.min_gain is None or model.requests == [], "refused before the first call"


def test_a_score_can_be_held_against_a_gate(tmp_path: Path) -> None:
    result, _ = checked(tmp_path / "a", Gates(min_score=0.5))
    assert result.compiled.mean == 1.0


def test_examples_that_selected_the_older_artifact_are_no_gate(tmp_path: Path) -> None:
    older = ts.save(tmp_path / "older", ts.Predict("q -> a"), selected_on={"trainset": list(DATA[:2])})
    newer = ts.save(tmp_path / "newer", ts.Predict("q -> a"))
    model = FunctionLM(lambda _: "yes")
    programs = [ts.load(one.path, lm=model) for one in (newer, older)]
    with pytest.raises(UsageError, match="2 in its trainset"):
        check_artifact(
            programs[0],
            newer,
            DATA,
            ts.metrics.exact_match("a"),
            gates=Gates(min_gain=0.0),
            lm=model,
            against=(programs[1], older),
        )
    assert model.requests == []


def test_a_gain_over_an_unknown_program_cannot(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say what the program was before"):
        checked(tmp_path / "a", Gates(min_gain=0.0))
