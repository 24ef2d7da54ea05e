"""Verdicts, and how often a test split was looked at."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tunesmith.compilers import VERDICTS, count_evaluation, finding_of, is_test_split
from tunesmith.compilers._verdict import count_opening, verdict_of
from tunesmith.evaluation import (
    Interval,
    PairedScores,
    examples_needed,
    gain_spread,
    minimum_detectable_effect,
    paired_gain,
)
from tunesmith.lm import ScriptedLM
from tunesmith.metrics import contains, exact_match
from tunesmith.modules import Predict


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    return tmp_path


@each(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, "ship"),
        (0.0, 0.2, "no evidence"),
        (-0.1, 0.2, "no evidence"),
        (-0.2, 0.0, "no evidence"),
        (-0.2, -0.01, "regression"),
        (0.0, 0.0, "no evidence"),
    ],
)
def test_the_interval_decides(low: float, high: float, verdict: str) -> None:
    assert verdict_of(Interval((low + high) / 2, low, high, 100)) == verdict


def test_without_a_gain_it_is_untested() -> None:
    assert verdict_of(None) == "untested"
    assert verdict_of(Interval(None, None, None, 0)) == "untested"


@given(st.floats(-1, 1), st.floats(0, 1))
def test_every_interval_has_one_verdict(low: float, width: float) -> None:
    found = verdict_of(Interval(low + width / 2, low, low + width, 50))
    assert found in VERDICTS
    assert (found == "ship") == (low > 0)
    assert (found == "regression") == (low + width < 0)


def test_every_run_opens_a_split_once(home: Path) -> None:
    assert [count_opening("split", run) for run in ("a", "a", "b", "a", "c")] == [1, 1, 2, 2, 3]
    assert count_opening("another split", "a") == 1
    kept = json.loads((home / "test-splits.json").read_text(encoding="utf-8"))
    assert kept == {"split": ["a", "b", "c"], "another split": ["a"]}


@pytest.mark.parametrize("damaged", ["", "{", "[]", '"x"', '{"split": 3}', '{"split": null}'])
def test_a_damaged_count_begins_anew(home: Path, damaged: str) -> None:
    (home / "test-splits.json").write_text(damaged)
    assert count_opening("split", "a") == 1
    assert count_opening("split", "b") == 2


def test_openings_at_once_are_all_counted(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: count_opening("split", f"run {i}"), range(24)))
    assert count_opening("split", "run 0") == 24


def test_openings_of_another_process_count(home: Path) -> None:
    assert count_opening("split", "ours") == 1
    # What another process does is in the file, and nothing else is.
    (home / "test-splits.json").write_text('{"split": ["ours", "theirs"]}')
    assert count_opening("split", "ours too") == 3


# What a test split says -------------------------------------------------------------------------------------


def scores(before: list[float], after: list[float], groups: list[str] | None = None) -> PairedScores:
    return PairedScores(tuple(before), tuple(after), None if groups is None else tuple(groups))


def test_a_gain_ships_in_one_sentence_with_its_numbers() -> None:
    found = finding_of(scores([0.0] * 60 + [1.0] * 40, [1.0] * 90 + [0.0] * 10))
    assert (found.verdict, found.more_examples, found.observations) == ("ship", 0, 100)
    assert found.gain is not None
    assert found.sentence == (
        "Ship it: the compiled program scores 0.500 more than the program as given on 100 test examples (95 % interval "
        f"{found.gain.low:+.3f} to {found.gain.high:+.3f})."
    )


def test_a_loss_is_a_regression() -> None:
    found = finding_of(scores([1.0] * 90 + [0.0] * 10, [0.0] * 60 + [1.0] * 40))
    assert (found.verdict, found.more_examples) == ("regression", 0)
    assert found.sentence.startswith("Do not ship it: the compiled program scores 0.500 less than")


def test_where_there_is_no_evidence_it_says_how_many_more_examples_settle_it() -> None:
    before, after = [1.0] * 8 + [0.0] * 92, [0.0] * 8 + [1.0] * 12 + [0.0] * 80
    found = finding_of(scores(before, after))
    spread = gain_spread(before, after)
    assert found.verdict == "no evidence"
    assert found.more_examples == examples_needed(0.04, spread) - 100  # type: ignore[operator]
    assert found.detectable == pytest.approx(minimum_detectable_effect(100, spread))
    assert "which may be chance; about 890 more examples would settle a difference of this size." in found.sentence
    assert found.to_json() == {
        "verdict": "no evidence",
        "observations": 100,
        "more_examples": found.more_examples,
        "detectable_gain": found.detectable,
        "sentence": found.sentence,
    }


@pytest.mark.parametrize("lead", [0.05, 0.1, 0.15])
def test_so_many_more_examples_settle_it_in_four_of_five_cases(lead: float) -> None:
    right, changed = (
        np.arange(60) < 30,
        np.arange(60) % 5 == 0,
    )  # a fifth of the examples change, more of them for better
    after = np.where(changed & (np.arange(60) < 60 * (0.5 + 2.5 * lead)), True, right & ~changed)
    found = finding_of(scores(right.astype(float).tolist(), after.astype(float).tolist()))
    assert found.verdict == "no evidence"
    assert found.more_examples is not None
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 60, size=(scaled(800), 60 + found.more_examples))  # what was seen is the truth there
    settled = [
        verdict_of(paired_gain(right[row].astype(float).tolist(), after[row].astype(float).tolist())) != "no evidence"
        for row in rows
    ]
    assert np.mean(settled) == pytest.approx(0.8, abs=0.06 if len(rows) >= 800 else 0.2)


def test_a_handful_of_changes_needs_at_least_six() -> None:
    found = finding_of(scores([0.0] * 100, [1.0] * 3 + [0.0] * 97))
    assert found.verdict == "no evidence"
    assert found.more_examples is not None
    assert found.more_examples >= 100
    assert finding_of(scores([0.0] * 4, [1.0] * 4)).more_examples == 2


def test_no_difference_at_all_says_what_would_have_been_seen() -> None:
    found = finding_of(scores([1.0] * 5 + [0.0] * 45, [0.0] * 45 + [1.0] * 5))
    assert (found.verdict, found.more_examples) == ("no evidence", None)
    assert found.detectable is not None
    assert f"would most likely have shown a gain of {found.detectable:.3f} or more" in found.sentence


def test_the_same_score_on_every_example_is_said_of_what_is_compared() -> None:
    found = finding_of(scores([1.0, 0.0] * 10, [1.0, 0.0] * 10), subject="the artifact", reference="the older artifact")
    assert found.sentence == (
        "Not shown to be better: the artifact scores the same as the older artifact on 20 test examples "
        "(95 % interval +0.000 to +0.000); no example scores other than before."
    )


def test_the_program_as_given_is_nothing_to_ship() -> None:
    found = finding_of(scores([1.0, 0.0] * 10, [1.0, 0.0] * 10), changed=False)
    assert (found.verdict, found.more_examples) == ("no evidence", None)
    assert found.sentence.startswith("There is nothing to ship")


@pytest.mark.parametrize("given_scores", [None, scores([], [])])
def test_nothing_tested_is_nothing_known(given_scores: PairedScores | None) -> None:
    found = finding_of(given_scores)
    assert (found.verdict, found.more_examples, found.observations) == ("untested", None, 0)
    assert found.sentence.startswith("Nothing is known about new examples")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_examples_say_too_little(count: int) -> None:
    found = finding_of(scores([0.0] * count, [1.0] * count))
    assert found.verdict == ("no evidence" if count else "untested")


def test_related_examples_count_as_one_observation_per_group() -> None:
    before, after = [0.0] * 40, [1.0] * 20 + [0.0] * 20
    assert finding_of(scores(before, after)).verdict == "ship"
    found = finding_of(scores(before, after, ["a"] * 20 + ["b"] * 20))
    assert (found.verdict, found.observations) == ("no evidence", 2)
    assert "on 40 test examples in 2 groups" in found.sentence
    assert finding_of(scores(before, after, ["a"] * 40)).more_examples is None


# Openings by an evaluation ----------------------------------------------------------------------------------


def test_scoring_a_program_is_an_opening_and_scoring_it_again_is_none(home: Path) -> None:
    program, lm = Predict("question -> answer"), ScriptedLM()
    metric = exact_match("answer")
    other = program.deepcopy()
    other.signature = other.signature.with_instructions("Answer in one word.")
    assert not is_test_split("split")
    counts = [count_evaluation("split", one, metric, lm) for one in (program, program.deepcopy(), other, program)]
    assert counts == [1, 1, 2, 2]
    assert count_evaluation("split", program, contains("answer"), lm) == 3
    assert is_test_split("split")
    assert count_opening("split", "a compile") == 4
