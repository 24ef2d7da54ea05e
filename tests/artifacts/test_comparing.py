"""`ts.diff`: what differs between two artifacts."""

import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunesmith as ts
from tests.artifacts.programs import DEMO, IDENTITY, TwoSteps, forge, improved, one_step, saved
from tests.each import each
from tunesmith.artifacts.flattening import value_changes
from tunesmith.data import canonical_json
from tunesmith.errors import ArtifactError, UsageError

INTERVAL = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 12, "errors": 1}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x", "y"]), inner, max_size=3),
    max_leaves=12,
)


def changed(folder: Path, **changes: Any) -> ts.Artifact:
    return saved(folder, improved(one_step(), DEMO).apply(one_step()), **changes)


def names(found: Any) -> list[str]:
    return [value.name for value in (*found.values, *found.scores)]


def test_artifacts_that_differ_in_times_and_paid_calls_alone_are_equal(tmp_path: Path) -> None:
    one = saved(tmp_path / "a")
    found = ts.diff(one, saved(tmp_path / "b", created="2027-01-01", paid={"calls": 0}))

    assert found.equal
    assert str(found).splitlines()[-1] == "The artifacts are equal."
    assert (found.values, found.scores, bool(found.candidate)) == ((), (), False)


def test_prompts_scores_and_everything_else_are_compared(tmp_path: Path) -> None:
    saved(tmp_path / "a", scores={"split": "test", "compiled": INTERVAL}, datasets={"testset": "1" * 64})
    saved(
        tmp_path / "b",
        candidate=improved(one_step()),
        lm_identity={**IDENTITY, "digest": "cd" * 32},
        scores={"split": "test", "compiled": {**INTERVAL, "mean": 0.625}},
        datasets={"testset": "2" * 64},
        notes=["Two calls failed."],
    )
    found = ts.diff(tmp_path / "a", str(tmp_path / "b"))
    text = str(found)

    assert [change.kind for change in found.candidate.parts[0].demos] == ["removed"]
    assert names(found) == ["datasets.testset", "lm.digest", "notes", "compiled"]
    assert '+notes: ["Two calls failed."]' in text
    assert "+score compiled: 0.625 (95 % interval 0.250 to 0.750) on 12 examples, 1 errors" in text
    assert "they cannot be compared" in text
    assert "is not in the folder of its run" in text
    assert json.loads(json.dumps(found.to_json()))["values"][1]["after"] == "cd" * 32


def test_fields_are_compared_by_name(tmp_path: Path) -> None:
    one = saved(tmp_path / "a", TwoSteps(), improved(TwoSteps(), path="locate"))
    other = saved(tmp_path / "b")
    names_ = [value.name for value in ts.diff(one, other).values]

    assert "program.predictors.locate.signature.fields.place.type" in names_
    assert "program.class" in names_


class Around(dspy.Module):
    """A program around a part that was compiled before."""

    def __init__(self, instruction: str) -> None:
        super().__init__()
        self.own = ts.Predict("text -> label")
        self.part = dspy.ChainOfThought(ts.Signature("text -> label", instruction))  # type: ignore[call-arg]
        self.part._compiled = True


def test_the_prompts_of_frozen_parts_are_compared_word_by_word_too(tmp_path: Path) -> None:
    one, other = (ts.save(tmp_path / text[:3], Around(text)) for text in ("One label.", "Two labels or one label."))
    found = ts.diff(one, other)

    assert [(part.path, part.instruction is not None) for part in found.candidate.parts] == [("part.predict", True)]
    assert found.values == ()
    assert not found.equal


def test_the_same_program_in_a_manifest_of_an_older_version_is_equal(tmp_path: Path) -> None:
    old = ts.verify(Path(__file__).parent / "versions" / "1" / "one-step")
    manifest = {**old.manifest, "sha256": "0" * 64}
    assert ts.diff(old, ts.Artifact(tmp_path, manifest)).equal


def test_the_folder_of_a_run_stands_for_its_artifact(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "run" / "artifact"), saved(tmp_path / "b", seed=1)
    assert ts.diff(tmp_path / "run", other).before.sha256 == one.sha256


@each(
    ("given", "error", "message"),
    [
        (7, UsageError, "takes two artifacts"),
        ("nowhere", ArtifactError, "There is no artifact"),
        ("", UsageError, "folder name"),
    ],
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ts.diff(
            saved(tmp_path / "a"), tmp_path.joinpath(given) if given == "nowhere" else "/" if given == "" else given
        )


def test_a_difference_of_the_state_file_alone_is_shown(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "a"), saved(tmp_path / "b")
    forge(one.path, lambda manifest: manifest.update(state_sha256="0" * 64))
    forged = ts.Artifact(one.path, json.loads((one.path / "manifest.json").read_text()))
    assert names(ts.diff(forged, other)) == ["state_sha256"]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(JSON, JSON)
def test_every_difference_of_two_values_is_seen_and_nothing_else(one: Any, other: Any) -> None:
    found = list(value_changes(one, other, "x"))
    assert bool(found) == (canonical_json(one) != canonical_json(other))


def leaves(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a manifest that holds no other, and of every list."""
    if isinstance(value, dict | list) and value:
        for name, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inside, *path, name)
    if not isinstance(value, dict):
        yield path


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else value[1:] or [{"more": 1}] if isinstance(value, list) else "x"


def test_a_change_at_any_place_of_a_manifest_is_seen(tmp_path: Path) -> None:
    found = ts.save(
        tmp_path / "a", Around("One label."), scores={"split": "test", "compiled": INTERVAL}, notes=["One."]
    )
    apart = ("sha256", "unhashed", "unhashed_sha256", "sampling", "schema_version")
    places = [path for path in leaves(found.manifest) if path[0] not in apart]
    assert len(places) > 50
    refused = []
    for path in places:
        manifest = copy.deepcopy(found.manifest)
        *outer, last = path
        inside = functools.reduce(lambda value, name: value[name], outer, manifest)
        inside[last] = another(inside[last])
        manifest["sha256"] = "0" * 64
        try:
            seen = ts.diff(found, ts.Artifact(found.path, manifest))
        except (AttributeError, KeyError, TypeError):  # such a manifest is refused when it is read
            refused.append(path)
            continue
        assert not seen.equal, path
        assert len(str(seen).splitlines()) > 2, path
    assert len(refused) < 10


@each(
    ("before", "after", "wanted"),
    [
        ([1, 2, 3], [3, 2], [("x", [1], None)]),
        ([1, 2], [2, 1], [("x", [1, 2], [2, 1])]),
        ([1] * 9, None, [("x", "9 values with the sha256", None)]),
        ([{"name": "a", "t": 1}, {"name": "b"}], [{"name": "b"}, {"name": "a", "t": 2}],
         [("x.a.t", 1, 2), ("x (order)", "a, b", "b, a")]),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": None}}, [("x.a.b", 1, 2)]),
        ({"a": None}, {}, [("x", {"a": None}, {})]),
    ],
)  # fmt: skip
def test_a_change_has_its_place(before: Any, after: Any, wanted: list[tuple[str, Any, Any]]) -> None:
    short: Callable[[Any], Any] = lambda value: value[:24] if isinstance(value, str) else value  # noqa: E731
    found = [(change.name, short(change.before), short(change.after)) for change in value_changes(before, after, "x")]
    assert found == wanted


# Beside the ledgers of two runs --------------------------------------------------------------------------------


SIGNATURE: Any = ts.Signature("q -> a: Literal['x', 'y']")  # type: ignore[call-arg]
ROWS = ts.Dataset.load([{"q": f"word {n}", "a": "xy"[n % 2]} for n in range(24)], signature=SIGNATURE)


def answered(asked: Any) -> str:
    number = int(str(asked).rpartition("word ")[2].split("\\n")[0].split("'")[0])
    return ("y" if number == 20 else "xy"[number % 2]) if "parity" in str(asked) else "x"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, instruction in (("one", "Say the letter."), ("two", "Say the letter of the parity.")):
        ts.compile(
            ts.Predict(SIGNATURE.with_instructions(instruction)),
            trainset=ROWS[:6],
            valset=ROWS[6:12],
            testset=ROWS[12:],
            metric=ts.metrics.exact_match("a"),
            compiler=ts.LabeledFewShot(k=1),
            lm=ts.FunctionLM(answered),
            run=folder / name,
            mirror=False,
        )
    return folder


def test_answers_that_became_right_or_wrong_are_shown_beside_both_ledgers(runs: Path) -> None:
    found = ts.diff(runs / "one", runs / "two")
    test, validation = found.splits

    assert (test.split, validation.split) == ("test", "validation")
    assert [flip.inputs for flip in test.flips.wrong_now] == [{"q": "word 20"}]
    assert len(test.flips.right_now) == 6
    assert (test.flips.compared, test.gain.n, round(test.gain.mean, 3)) == (12, 12, round(5 / 12, 3))
    assert "On the test split: paired gain +0.417 (95 % interval " in str(found)
    assert (found.same_test, found.no_ledgers) == (True, None)
    assert json.loads(json.dumps(found.to_json()))["splits"][0]["wrong_now"][0]["after"]["outputs"] == {"a": "y"}


def test_a_run_compared_with_itself_has_no_changes(runs: Path) -> None:
    assert ts.diff(runs / "one", runs / "one" / "artifact").equal


def test_without_a_ledger_the_rest_is_compared_and_the_reason_told(runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "one"
    copy.mkdir()
    for name in ("run.json", "candidates.json"):
        copy.joinpath(name).write_bytes((runs / "one" / name).read_bytes())
    ts.save(copy / "artifact", ts.Predict(SIGNATURE))
    found = ts.diff(copy, runs / "two")

    assert (found.splits, found.no_ledgers) == ((), f"The run {str(copy)!r} has no ledger.")
    copy.joinpath("run.db").write_bytes(b"not a database" * 99)
    assert "cannot be read" in str(ts.diff(copy, runs / "two").no_ledgers)


def test_an_artifact_that_the_run_did_not_evaluate_is_said_so(runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "one"
    copy.mkdir()
    for name in ("run.json", "candidates.json", "run.db"):
        copy.joinpath(name).write_bytes((runs / "one" / name).read_bytes())
    ts.save(copy / "artifact", ts.Predict(SIGNATURE.with_instructions("Another.")))
    assert "has no evaluation of its artifact" in str(ts.diff(copy, runs / "two").no_ledgers)
