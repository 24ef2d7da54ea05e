"""Everything about an artifact that can be checked."""

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.artifacts.programs import TwoSteps, saved
from tunesmith.errors import ModelMissing, UsageError
from tunesmith.experiments import Verification, verify_artifact

SIGNATURE: Any = ts.Signature("q -> a")  # type: ignore[call-arg]
DATA = ts.Dataset.load([{"q": f"q{n}", "a": "yes"} for n in range(20)], signature=SIGNATURE)
OTHERS = ts.Dataset.load([{"q": f"r{n}", "a": "yes"} for n in range(6)], signature=SIGNATURE)
METRIC = ts.metrics.exact_match("a")
STATED = {"split": "test", "compiled": {"mean": 0.9, "low": 0.7, "high": 1.0, "n": 20}}


def artifact(folder: Path, model: ts.LM, **changes: Any) -> Path:
    given = {
        "lm_identity": model.identity.to_json(),
        "metric": "exact_match(a)",
        "scores": STATED,
        "datasets": {"testset": DATA.fingerprint},
        **changes,
    }
    return ts.save(folder, ts.Predict(SIGNATURE), **given).path


def always(answer: str) -> ts.LM:
    return ts.FunctionLM(lambda _: answer)


def statuses(found: Verification) -> dict[str, str]:
    return {check.name: check.status for check in found.checks}


def test_without_a_model_and_examples_only_the_files_and_the_program_are_checked(tmp_path: Path) -> None:
    found = verify_artifact(artifact(tmp_path / "a", always("yes")))

    assert found.passed
    assert statuses(found) == {
        "files": "pass",
        "manifest": "pass",
        "state": "pass",
        "signature": "not checked",
        "program": "pass",
        "model": "not checked",
        "score": "not checked",
    }


def test_a_score_in_its_interval_holds_and_one_outside_fails(tmp_path: Path) -> None:
    for answer, status in (("yes", "pass"), ("no", "fail")):
        lm = always(answer)
        path = artifact(tmp_path / answer, lm)
        found = verify_artifact(path, lm=lm, data=DATA, metric=METRIC)
        assert (statuses(found)["model"], statuses(found)["score"]) == ("pass", status)
        assert (found.passed, found.failed) == (status == "pass", () if status == "pass" else ("score",))
    assert "Measured 0.000 [0.000, 0.161] on 20 examples, stated 0.900 [0.700, 1.000] on 20" in str(found)
    assert json.loads(json.dumps(found.to_json()))["report"]["mean"] == 0.0


def test_on_other_examples_the_intervals_must_overlap(tmp_path: Path) -> None:
    for answer, status in (("yes", "pass"), ("no", "fail")):
        lm = always(answer)
        found = verify_artifact(artifact(tmp_path / answer, lm), lm=lm, data=lambda _: OTHERS, metric=METRIC)
        assert statuses(found)["score"] == status
    assert "these are other examples" in str(found)


def test_a_model_with_other_weights_fails_and_its_score_is_not_measured(tmp_path: Path) -> None:
    other = ts.ScriptedLM("yes")
    found = verify_artifact(artifact(tmp_path / "a", always("yes")), lm=other, data=DATA, metric=METRIC)

    assert (statuses(found)["model"], statuses(found)["score"]) == ("fail", "not checked")
    assert "has other weights" in str(found)
    assert other.requests == []


def test_a_model_that_is_not_there_fails(tmp_path: Path) -> None:
    def gone() -> ts.LM:
        raise ModelMissing("There is no such model.")

    found = verify_artifact(artifact(tmp_path / "a", always("yes")), lm=gone)
    assert ("There is no such model." in str(found), statuses(found)["model"]) == (True, "fail")


def test_unknown_weights_are_not_checked(tmp_path: Path) -> None:
    lm = always("yes")
    for identity in (None, {**lm.identity.to_json(), "digest": None}):
        found = verify_artifact(artifact(tmp_path / "a", lm, lm_identity=identity), lm=lm)
        assert statuses(found)["model"] == "not checked"


def test_other_settings_of_the_same_weights_are_told(tmp_path: Path) -> None:
    lm = always("yes")
    identity = {**lm.identity.to_json(), "details": {"num_ctx": "512"}}
    found = verify_artifact(artifact(tmp_path / "a", lm, lm_identity=identity), lm=lm)
    assert statuses(found)["model"] == "pass"
    assert "num_ctx is None, was 512" in str(found)


def test_a_class_that_was_not_allowed_is_not_checked_unless_the_score_needs_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", TwoSteps(), ts.Candidate.of(TwoSteps())).path
    assert statuses(verify_artifact(path))["program"] == "not checked"
    assert statuses(verify_artifact(path, program=lambda: ts.load(path, program=TwoSteps)))["program"] == "pass"
    lm = always("yes")
    found = verify_artifact(path, lm=lm, data=DATA, metric=METRIC)
    assert statuses(found)["program"] == "fail"


def test_a_score_that_was_never_stated_cannot_hold(tmp_path: Path) -> None:
    lm = always("yes")
    for scores in ({}, {**STATED, "split": "validation"}, {"split": "test", "compiled": 0.5}):
        found = verify_artifact(artifact(tmp_path / "a", lm, scores=scores), lm=lm, data=DATA, metric=METRIC)
        assert statuses(found)["score"] == "fail"


def test_what_cannot_be_compared_is_refused_before_a_call(tmp_path: Path) -> None:
    lm = always("yes")
    path = artifact(tmp_path / "a", lm, selected_on={"trainset": list(OTHERS)})
    with pytest.raises(UsageError, match="was scored by exact_match"):
        verify_artifact(path, lm=lm, data=DATA, metric=ts.metrics.contains("a"))
    with pytest.raises(UsageError, match="flatters"):
        verify_artifact(path, lm=lm, data=OTHERS, metric=METRIC)
    with pytest.raises(UsageError, match="needs `lm` and `metric`"):
        verify_artifact(path, data=DATA)
    assert lm.requests == []


def test_a_damaged_artifact_fails_without_an_error(tmp_path: Path) -> None:
    path = artifact(tmp_path / "a", always("yes"))
    (path / "state.json").write_text("{}", encoding="utf-8")
    found = verify_artifact(path, lm=always("yes"))
    assert (found.failed, statuses(found)["model"]) == (("state",), "not checked")
