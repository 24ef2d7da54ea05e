"""Settings are declared once, checked, applied by a candidate, and found at every depth of a program."""

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.modules import Candidate, Module, choices_of, settings_of


class Brief(Module):
    words: int = ts.Setting(20, choices=(10, 20), low=1, high=100)
    strict: bool = ts.Setting(default=False)

    def __init__(self) -> None:
        super().__init__()
        self.step = ts.Predict("text -> summary")

    def forward(self, **inputs: object) -> dspy.Prediction:
        return self.step(**inputs)


class Nested(Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = [Brief(), Brief()]


def test_a_setting_has_its_default_until_it_is_set() -> None:
    one, other = Brief(), Brief()
    one.words = 10
    assert (one.words, other.words) == (10, 20)


@pytest.mark.parametrize("value", [0, 101, "10", True, 1.5, None])
def test_a_value_that_is_not_allowed_is_refused(value: object) -> None:
    program = Brief()
    with pytest.raises(UsageError, match="`words`"):
        program.words = value  # type: ignore[assignment]
    assert program.words == 20


def test_a_choice_out_of_bounds_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(UsageError, match="at least 1"):

        class Wrong(Module):
            words: int = ts.Setting(20, choices=(0,), low=1)


def test_settings_are_found_by_path() -> None:
    assert settings_of(Brief()) == {"self": {"words": 20, "strict": False}}
    assert set(settings_of(Nested())) == {"parts[0]", "parts[1]"}
    assert choices_of(Nested()) == {("parts[0]", "words"): (10, 20), ("parts[1]", "words"): (10, 20)}


def test_a_candidate_applies_settings_and_keeps_the_program() -> None:
    program = Nested()
    candidate = Candidate.of(program).with_setting("parts[1]", "words", 10)
    applied = candidate.apply(program)
    assert [part.words for part in applied.parts] == [20, 10]
    assert [part.words for part in program.parts] == [20, 20]
    assert Candidate.of(applied) == candidate


def test_settings_count_in_the_key_and_survive_json() -> None:
    program = Brief()
    given = Candidate.of(program)
    changed = given.with_setting("self", "words", 10)
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    assert changed.key != given.key
    assert Candidate.from_json(changed.to_json(), signatures) == changed
    assert "words 10" in changed.differences(given)
    assert "setting self.words: 10" in given.diff(changed)


def test_a_program_without_settings_keeps_the_key_it_always_had() -> None:
    assert "settings" not in Candidate.of(ts.Predict("q -> a")).to_json()


@pytest.mark.parametrize(("path", "name"), [("self", "letters"), ("step", "words")])
def test_an_unknown_setting_is_refused(path: str, name: str) -> None:
    program = Brief()
    with pytest.raises(UsageError, match=r"self\.words"):
        Candidate.of(program).with_setting(path, name, 3)
    with pytest.raises(UsageError, match=r"self\.words"):
        Candidate(Candidate.of(program).parts, settings={path: {name: 3}}).apply(program)


def test_a_program_that_is_compiled_shows_the_settings_of_its_parts_and_a_frozen_part_does_not() -> None:
    program = ts.RAG(ts.Hybrid(ts.BM25(["a"]), ts.BM25(["b"])))
    program._compiled = True
    assert set(settings_of(program)) == {"retrieve", "generate", "retrieve.retriever"}
    program.retrieve._compiled = True
    assert set(settings_of(program)) == {"retrieve", "generate"}
