"""ProTeGi: critiques, edits, paraphrases, a beam, a shared minibatch, and a race that selects."""

import re
from collections import Counter
from typing import Any

import dspy
import pytest

from tests.compilers.levels import VAL, Grades, Levels, compiled, gains_where_wording_matters, grade, level, search_of
from tests.compilers.worlds import Colour, Steps, chance, right
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.compilers import ProTeGi, RandomSearch


def protegi(**options: Any) -> ProTeGi:
    return ProTeGi(**{"metric": right, "scratch": 0, **options})


OFFICIAL = ("bf", "ucb", "ucb-e", "sr", "s-sr", "sh")


# The published procedure --------------------------------------------------------------------------------------


def test_the_released_defaults_make_72_proposals_a_round_and_378_in_all() -> None:
    """And a minibatch for each program of the beam, and no more evaluations than set for a round."""
    model, later = Grades(), 5 if FULL else 1
    fewer = {} if FULL else {"rounds": 2, "evaluations": 72, "minibatch": 8}
    compiler = ProTeGi.published(metric=grade, metric_threshold=1.0, **fewer)

    report = compiled(model, compiler, dspy.Predict("thing -> grade"))

    kinds = [kind for kind, _ in model.steps]
    assert Counter(kinds) == {"critique": 4 + 16 * later, "edit": 4 + 16 * later, "paraphrase": 10 + 40 * later}
    assert len(kinds) == 18 + later * 72 == compiler.plan(train=400, val=100)["proposals"]
    assert ProTeGi.published().plan(train=400, val=100)["proposals"] == 378 == 18 + 5 * 72
    assert kinds[:18] == ["critique", "edit"] * 4 + ["paraphrase"] * 10
    train = [thing for _, thing in model.runs if thing < 1000]
    assert len(train) == (1 + later * 4) * compiler.minibatch
    assert len(model.runs) - len(train) <= (1 + later) * compiler.evaluations + 3 * len(VAL)
    assert report.charged.calls == len(kinds) + len(model.runs) <= compiler.plan(train=400, val=100)["calls"]["worst"]


def test_the_published_settings_are_those_of_the_released_code() -> None:
    options = ProTeGi.published().options()
    assert {name: options[name] for name in ("rounds", "beam_size", "minibatch", "n_gradients")} == {
        "rounds": 6,
        "beam_size": 4,
        "minibatch": 64,
        "n_gradients": 4,
    }
    assert (options["race"], options["evaluations"], options["reject_on_errors"]) == ("bf", 2048, False)
    assert ProTeGi.published(rounds=1).rounds == 1


def test_all_programs_of_a_beam_see_one_minibatch_and_the_next_round_another() -> None:
    model = Grades()
    compiler = protegi(metric=grade, metric_threshold=1.0, rounds=3, beam_size=3, minibatch=10, evaluations=60)

    compiled(model, compiler, dspy.Predict("thing -> grade"))

    train = [thing for _, thing in model.runs if thing < 1000]
    batches = [train[start : start + 10] for start in range(0, 70, 10)]
    assert len(train) == 70
    assert batches[1] == batches[2] == batches[3]
    assert batches[4] == batches[5] == batches[6]
    assert len({*batches[0], *batches[1], *batches[4]}) > 20


def test_reasons_and_edits_may_be_several_at_a_time() -> None:
    model = Levels()
    options = {"rounds": 1, "n_gradients": 3, "gradients_per_error": 2, "steps_per_gradient": 2}
    compiler = protegi(**options, mc_samples_per_step=2, evaluations=40)

    report = compiled(model, compiler)

    kinds = Counter(kind for kind, _ in model.steps)
    assert kinds == {"critique": 3, "edit": 3 * 2, "paraphrase": (3 * 2 * 2 + 1) * 2}
    assert sum(kinds.values()) == compiler.plan(train=400, val=100)["proposals"]
    assert len(report.trials) == 1 + 8, "of 38 new instructions as many as wanted are drawn"


def test_an_edit_sees_the_reason_and_the_failures_and_a_paraphrase_the_text_alone() -> None:
    model = Levels()
    options = {"rounds": 1, "n_gradients": 1, "errors_per_gradient": 2, "mc_samples_per_step": 1}
    compiled(model, protegi(**options, evaluations=20))

    (_, critique), (_, edit), (_, paraphrase), _ = model.steps
    assert critique.count("| right: colour: ") == edit.count("| right: colour: ") == 2
    assert ("Level 1" in critique, "Level 1" in edit) == (False, True)
    assert ("Level 2" in paraphrase, "thing" in paraphrase) == (True, False)


def test_of_too_many_those_are_kept_that_do_best_on_failures_of_their_parent() -> None:
    model = Levels(step=lambda draw: int(draw * 3000), able=lambda level: 0.0001 * level)
    options = {"rounds": 1, "mc_samples_per_step": 1, "max_expansion_factor": 3, "reject_on_errors": True}
    compiler = protegi(**options, minibatch=40, evaluations=40)

    report = compiled(model, compiler)

    judged = {found: 0 for found, thing in model.runs if thing < 1000 and found > 0}
    for found, thing in model.runs:
        if thing < 1000 and found > 0:
            judged[found] += chance("difficulty", thing) < model.able(found)
    kept = {level(trial.candidate.parts["self"].instruction) for trial in report.trials} - {0}
    assert len(judged) == 6, "twice as many are judged as are kept"
    assert sum(found > 0 and thing < 1000 for found, thing in model.runs) == 6 * 16
    assert sorted(judged[found] for found in kept) == sorted(judged.values())[-3:]
    assert report.charged.calls <= compiler.plan(train=400, val=100)["calls"]["worst"]


def test_a_program_without_failures_is_paraphrased_only() -> None:
    model = Levels(able=lambda level: 1.0)
    compiled(model, protegi(rounds=1, evaluations=20, mc_samples_per_step=3))
    assert [kind for kind, _ in model.steps] == ["paraphrase"] * 3


def test_instructions_from_examples_alone_join_the_first_race() -> None:
    model = Levels()
    compiler = ProTeGi(metric=right, rounds=2, scratch=3, evaluations=60)

    report = compiled(model, compiler)

    kinds = [kind for kind, _ in model.steps]
    assert kinds[:4] == ["guess"] * 3 + ["critique"]
    assert kinds.count("guess") == 3
    assert all(Colour.instructions not in text for kind, text in model.steps if kind == "guess")
    assert sum("from examples alone" in trial.origin for trial in report.trials) == 3
    assert len(kinds) <= compiler.plan(train=400, val=100)["proposals"]


def test_nothing_but_the_instruction_is_edited() -> None:
    program = dspy.Predict(Colour)
    program.demos = [dspy.Example(thing="thing 5000", colour="red")]

    report = compiled(Levels(able=lambda level: 0.3 + 0.1 * level), protegi(rounds=2), program)

    assert report.improved
    before = report.baseline_candidate.parts["self"]
    assert len({trial.candidate.parts["self"].instruction for trial in report.trials}) == len(report.trials)
    for trial in report.trials:
        part = trial.candidate.parts["self"]
        assert (part.demos, part.format) == (before.demos, before.format)


# Selection ----------------------------------------------------------------------------------------------------


@each("rule", OFFICIAL)
def test_every_official_evaluator_gives_a_ranked_beam_within_its_evaluations(rule: str) -> None:
    model = Levels(able=lambda level: 0.08 * level)
    search = search_of(model, protegi())
    arms = [search.base.with_part("self", instruction=f"Level {k}.") for k in range(12)]

    beam = search.race(arms, rule, finalists=0, evaluations=256, **({"keep": 4} if rule == "s-sr" else {}))[:4]

    assert len(beam) == 4
    assert len(model.runs) <= 256
    assert level(beam[0].parts["self"].instruction) >= 9
    means = [search.mean(one) or 0.0 for one in beam]
    assert means == sorted(means, reverse=True) or rule in ("sh", "sr", "s-sr")


@each(
    "rule",
    (*OFFICIAL, "paired-halving", "block-race", "wilcoxon", "multistage", "bound") if FULL else ("ucb", "sr", "sh"),
)
def test_every_race_climbs(rule: str) -> None:
    model = Levels(able=lambda level: 0.3 + 0.1 * level)
    compiler = protegi(rounds=2, n_gradients=1, race=rule, minibatch=4, evaluations=60)

    report = compiled(model, compiler, val=VAL[:30])

    assert level(report.candidate.parts["self"].instruction) >= 2
    assert report.charged.calls <= compiler.plan(train=400, val=100)["calls"]["worst"]


def test_a_small_budget_is_spent_on_fewer_rounds_and_still_gives_a_result() -> None:
    for budget in (240, 260, 330, 500) if FULL else (240, 330):
        model = Levels(able=lambda level: 0.3 + 0.1 * level)
        report = compiled(model, protegi(budget=budget))
        assert report.improved
        assert report.charged.calls <= budget


# Several predictors -------------------------------------------------------------------------------------------


@each(("credit", "wanted"), [((), ["look", "weigh", "answer"]), (("lm",), ["weigh"])])
def test_critiques_go_to_the_predictors_by_how_many_failures_are_due_to_each(credit: Any, wanted: list[str]) -> None:
    """The model that is asked for the predictor to blame says that it is `weigh`."""
    model = Levels()
    options = {"rounds": 1, "n_gradients": len(wanted), "evaluations": 30, "minibatch": 8, "credit": credit}
    compiler = protegi(**options)

    report = compiled(model, compiler, Steps(), VAL[:20])

    roles = [re.findall(r"It is the step `(\w+)`", text) for kind, text in model.steps if kind == "critique"]
    assert [role[0] for role in roles] == wanted
    assert report.charged.calls <= compiler.plan(train=400, val=20, calls=3)["calls"]["worst"]
    changed = {
        path
        for trial in report.trials
        for path, part in trial.candidate.parts.items()
        if part.instruction != report.baseline_candidate.parts[path].instruction
    }
    assert changed == set(wanted)


# Quality ------------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls_if_wording_is_what_matters() -> None:
    ours, random = (gains_where_wording_matters(kind, scaled(20)) for kind in (ProTeGi, RandomSearch))
    assert sum(ours) > sum(random) + 0.1 * len(random)
