"""PE2: two turns, the real prompt, steps of limited size, history, and nodes of any round to start from."""

from collections import Counter

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tests.compilers.levels import VAL, Grades, Levels, compiled, gains_where_wording_matters, grade
from tests.compilers.worlds import Colour, Steps, right
from tests.each import each
from tests.evaluation.replies import proposed
from tests.scale import FULL, scaled
from tunesmith.compilers import PE2, CompileReport, RandomSearch
from tunesmith.compilers.pe2 import edited_words
from tunesmith.lm import Seen

GRADE = dspy.Signature("thing -> grade", "Grade the thing.")


def words(text: str) -> str:
    """Return a text in one line: a prompt within a prompt is indented."""
    return " ".join(text.split())


def graded(model: Levels, compiler: PE2) -> CompileReport:
    return compiled(model, compiler, dspy.Predict(GRADE), VAL[:6])


# The published procedure --------------------------------------------------------------------------------------


@each(
    ("name", "proposals", "nodes"),
    [("script", 72, 37), ("default", 68, 35)],
)
def test_two_proposals_for_each_child_and_every_node_on_all_of_validation(
    name: str, proposals: int, nodes: int
) -> None:
    """3 * 4 * 4 * 2 = 96 of the example script, if there are four nodes to begin with; its first round has one here."""
    model, compiler = Grades(), PE2.published(name, metric=grade, metric_threshold=1.0)

    report = graded(model, compiler)

    kinds = Counter(kind for kind, _ in model.steps)
    assert kinds["inspect"] == kinds["rewrite"] == proposals / 2
    assert len(model.steps) == proposals == compiler.plan(train=400, val=6)["proposals"]
    assert len([one for one in model.runs if one[1] >= 1000]) == nodes * 6
    parents, wanted = kinds["inspect"] // compiler.n_expand, compiler.batch_size * compiler.n_expand // 2
    assert len([one for one in model.runs if one[1] < 1000]) == parents * wanted
    assert report.charged.calls <= compiler.plan(train=400, val=6)["calls"]["worst"]


def test_the_published_settings_are_those_of_the_released_code() -> None:
    default, script = PE2.published().options(), PE2.published("script", step_size=10).options()
    shared = {"batch_size": 2, "prompt_max_tokens": 50, "batching": "hard", "race": "full", "history": False}
    assert default.items() >= {**shared, "rounds": 9, "beam_size": 2, "n_expand": 2, "backtrack": False}.items()
    assert script.items() >= {**shared, "rounds": 3, "beam_size": 4, "n_expand": 4, "backtrack": True}.items()
    assert (default["step_size"], script["step_size"]) == (None, 10)
    assert PE2.published("script", scratch=3).plan(train=400, val=6)["proposals"] == 3 + 96


def test_the_second_turn_sees_what_the_first_one_said() -> None:
    model = Levels()
    compiled(model, PE2(metric=right, rounds=1, n_expand=1, scratch=0, evaluations=20))

    (first, inspected), (second, rewritten) = model.steps
    assert (first, second) == ("inspect", "rewrite")
    assert "Level 1" not in inspected
    assert "Level 1" in rewritten
    assert inspected.count("| right: colour: ") == rewritten.count("| right: colour: ") == 3
    assert "At most 100 words." in rewritten


def test_the_context_is_the_prompt_that_is_sent_with_marks() -> None:
    """With the format and one of the demos."""
    program = ts.Predict(Colour)
    program.demos = [dspy.Example(thing="thing 77", colour="red"), dspy.Example(thing="thing 78", colour="blue")]
    model = Levels()

    compiled(model, PE2(metric=right, rounds=1, n_expand=1, scratch=0, evaluations=20), program)

    shown = ts.Predict(Colour.with_instructions("[INSTRUCTION]"))
    shown.demos = program.demos[:1]
    expected = words(str(ts.render(shown, thing="[THING]")))
    assert "[INSTRUCTION]" in expected
    assert expected in words(model.steps[0][1])
    assert "thing 78" not in model.steps[0][1]


# Step size, history, back-tracking ----------------------------------------------------------------------------


class Wordy(Levels):
    """One that changes everything, or, asked again, one word; `stubborn` never does that."""

    stubborn = False

    def proposal(self, seen: Seen, kind: str, text: str) -> str:
        if kind != "rewrite":
            return super().proposal(seen, kind, text)
        self.steps.append((kind, text))
        if seen.request.config.seed and not self.stubborn:
            return proposed(seen, Colour.instructions.replace("the thing", f"{len(self.steps)} thing"))
        return proposed(seen, f"Entirely other words than before, and very many of them: {len(self.steps)}.")


def test_a_rewrite_over_the_step_size_is_asked_for_again_once() -> None:
    model = Wordy()
    report = compiled(model, PE2(metric=right, rounds=1, scratch=0, step_size=2, evaluations=30))

    assert Counter(kind for kind, _ in model.steps) == {"inspect": 3, "rewrite": 6}
    assert "Change at most 2 words." in model.steps[1][1]
    for trial in report.trials:
        assert edited_words(Colour.instructions, trial.candidate.parts["self"].instruction) <= 2
    assert len(report.trials) == 1 + 3
    assert any("3 instructions changed more than 2 words" in note and "0 of these" in note for note in report.notes)


def test_a_rewrite_that_is_over_the_step_size_again_is_dropped() -> None:
    model = Wordy()
    model.stubborn = True
    compiler = PE2(metric=right, rounds=2, scratch=0, step_size=2, evaluations=30)

    report = compiled(model, compiler)

    assert len(model.steps) == 9 <= compiler.plan(train=400, val=100)["proposals"]
    assert len(report.trials) == 1
    assert any("3 instructions changed more than 2 words" in note and "3 of these" in note for note in report.notes)


def test_a_rewrite_that_copies_the_mark_of_the_prompt_is_dropped() -> None:
    class Copying(Levels):
        def proposal(self, seen: Seen, kind: str, text: str) -> str:
            own = super().proposal(seen, kind, text)
            return proposed(seen, f"[INSTRUCTION] and {len(self.steps)}") if kind == "rewrite" else own

    report = compiled(Copying(), PE2(metric=right, rounds=1, scratch=0, evaluations=20))

    assert len(report.trials) == 1
    assert any("3 instructions held the mark `[INSTRUCTION]`" in note for note in report.notes)


def test_history_shows_the_lineage_with_scores_and_what_was_learned() -> None:
    model = Grades()
    compiler = PE2.published(metric=grade, metric_threshold=1.0, rounds=3, beam_size=1, n_expand=1, history=True)

    graded(model, compiler)

    kinds = [kind for kind, _ in model.steps]
    assert kinds == ["inspect", "rewrite", "sum up"] * 3
    assert len(kinds) == compiler.plan(train=400, val=6)["proposals"]
    last = words(model.steps[-2][1])
    places = [last.index(f"score {score}") for score in ("0.00: Grade the thing.", "0.02: Level 2", "0.04: Level 4")]
    assert places == sorted(places)
    assert "Level 3" in last, "that is what the first sum says"


@each(("backtrack", "levels"), [(True, {0}), (False, {3, 6})])
def test_a_round_starts_from_an_older_node_if_that_is_better(backtrack: bool, levels: set[int]) -> None:
    """Here every child is worse than its parent, whose failures are looked for once."""
    model = Levels(step=lambda draw: 1, able=lambda level: 0.6 - 0.05 * level)
    options = {"rounds": 3, "n_expand": 2, "beam_size": 1, "scratch": 0, "race": "full", "backtrack": backtrack}
    compiler = PE2(metric=right, **options)

    report = compiled(model, compiler, val=VAL[:40])

    starts = Counter(found for found, thing in model.runs if thing < 1000)
    assert not report.improved
    assert len(starts) == (1 if backtrack else 3)
    assert starts[0] < 16


def test_random_batches_hold_right_answers_too() -> None:
    model = Levels(able=lambda level: 1.0)
    options = {"rounds": 1, "scratch": 0, "evaluations": 20}

    compiled(model, PE2(metric=right, **options, batching="random"))
    assert Counter(kind for kind, _ in model.steps) == {"inspect": 3, "rewrite": 3}

    model.steps.clear()
    compiled(model, PE2(metric=right, **options))
    assert model.steps == [], "nothing fails"


def test_several_predictors_are_rewritten() -> None:
    model = Levels()
    compiler = PE2(metric=right, rounds=1, scratch=0, n_expand=3, evaluations=30, runs=8, credit=())

    report = compiled(model, compiler, Steps(), VAL[:20])

    before = report.baseline_candidate.parts
    changed = {p for t in report.trials for p, part in t.candidate.parts.items() if part != before[p]}
    assert changed == {"look", "weigh", "answer"}
    assert all("It is the step `" in text for _, text in model.steps)
    assert report.charged.calls <= compiler.plan(train=400, val=20, calls=3)["calls"]["worst"]


# Words --------------------------------------------------------------------------------------------------------


@each(
    ("old", "new", "count"),
    [
        ("Say the colour.", "Say the colour.", 0),
        ("Say the colour.", "Say  the\ncolour.", 0),
        ("Say the colour.", "Name the colour.", 1),
        ("Say the colour.", "Say the colour", 1),
        ("Say the colour.", "The colour is what you say.", 6),
        ("", "Say it.", 3),
        ("說出顏色", "說出大顏色", 1),
    ],
)
def test_edited_words_are_those_put_in_left_out_or_replaced(old: str, new: str, count: int) -> None:
    assert edited_words(old, new) == edited_words(new, old) == count


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8), st.integers(0, 7))
def test_edited_words_is_a_distance(one: list[str], two: list[str], place: int) -> None:
    found = edited_words(" ".join(one), " ".join(two))
    assert abs(len(one) - len(two)) <= found <= max(len(one), len(two))
    assert (found == 0) == (one == two)
    middle = [*one[:place], "b", *one[place:]]
    assert edited_words(" ".join(one), " ".join(middle)) == 1
    assert found <= 1 + edited_words(" ".join(middle), " ".join(two))


# Quality ------------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls_if_wording_is_what_matters() -> None:
    ours, random = (gains_where_wording_matters(kind, scaled(40)) for kind in (PE2, RandomSearch))
    assert sum(ours) > sum(random) + 0.1 * len(random)


def test_a_small_budget_is_spent_on_fewer_rounds_and_still_gives_a_result() -> None:
    for budget in (260, 330, 500) if FULL else (260,):
        model = Levels(able=lambda level: 0.3 + 0.1 * level)
        report = compiled(model, PE2(metric=right, budget=budget))
        assert report.improved
        assert report.charged.calls <= budget
