"""APE: what it asks, what the published settings cost, how it filters and varies."""

import re
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import COLOURS, TRAIN, VAL, Colour, Steps, asked, chance, colour_of, right, things, world
from tests.each import each
from tests.evaluation.replies import number, proposed, written
from tests.scale import FULL, scaled
from tunesmith.compilers import APE, CompileReport, RandomSearch
from tunesmith.compilers.ape import _PUBLISHED
from tunesmith.errors import UsageError
from tunesmith.lm import Capabilities, FunctionLM, Meter, Response, Seen, TokenLogprob, metered, text_response

FIFTY = things(*range(300, 350))


def solved(instruction: str, thing: int) -> bool:
    """Return whether a model with this instruction is right: the better the wording, the more often."""
    wording = instruction.partition("Wording")[2]
    return chance("hard", thing) < (0.2 + 0.7 * chance("skill", number(wording)) if wording else 0.3)


def wordings(seen: Seen) -> str:
    """Write another wording for each draw, and answer as `solved` says."""
    if asked(seen):
        return proposed(seen, f"Wording {int(chance(seen.request.config.seed or 0, seen.text) * 10**9)}.")
    thing = number(seen.text)
    colour = COLOURS.index(colour_of(thing))
    return written(seen, colour=COLOURS[colour if solved(seen.system, thing) else (colour + 1) % 3])


def compiled(model: Any, compiler: Any, *, valset: Any = VAL, student: Any = None) -> CompileReport:
    with dspy.context(lm=model):
        program = dspy.Predict(Colour) if student is None else student
        report: CompileReport = compiler.compile(program, trainset=TRAIN, valset=valset).compile_report
    return report


# What it asks -----------------------------------------------------------------------------------------------


def questions(form: str) -> list[str]:
    """Return the questions of a compile."""
    told: list[str] = []

    def reply(seen: Seen) -> str:
        told.extend([f"{seen.system}\n{seen.text}"] if asked(seen) else [])
        return wordings(seen)

    compiled(FunctionLM(reply), APE(metric=right, questions=2, per_question=1, form=form, pairs=3))
    return told


def test_a_forward_question_shows_pairs_and_asks_for_the_instruction_behind_them() -> None:
    first, second = questions("forward")
    assert first.count("-> colour: ") == second.count("-> colour: ") == 3
    assert first != second
    assert "thing -> colour (one of: red, green, blue)" in first


def test_an_insert_question_has_a_gap_in_a_text() -> None:
    assert all(re.search(r"instruction: \[GAP\]\n *The friend", text) for text in questions("insert"))


def test_both_forms_take_turns() -> None:
    assert ["[GAP]" in text for text in sorted(questions("both"), key=lambda text: "[GAP]" in text)] == [False, True]


def test_solved_questions_of_other_tasks_are_shown_unless_settings_are_published() -> None:
    seen: list[int] = []

    def reply(one: Seen) -> str:
        seen.extend([len(one.messages)] if asked(one) else [])
        return wordings(one)

    for options in ({}, {"solved": False}):
        compiled(FunctionLM(reply), APE(metric=right, questions=1, per_question=1, **options))
    assert seen == [2 * 2 + 1, 1]
    assert not any(APE.published(name).solved for name in _PUBLISHED)


# What it costs ----------------------------------------------------------------------------------------------


@each("name", list(_PUBLISHED) if FULL else ["simple"])
def test_published_settings_cost_the_published_calls(name: str) -> None:
    model, meter, compiler = FunctionLM(wordings), Meter(), APE.published(name, metric=right)
    with metered(meter):
        report = compiled(model, compiler, valset=FIFTY)

    asks = compiler.questions * compiler.per_question
    task = {"default": 250 * 50, "bandits": 5 * 50 * 50, "simple": 20 * 16 * 5, "induction": 90 * 20}[name]
    leaders = {"default": 0, "bandits": 0, "induction": 2 * 30}.get(name)
    charged = meter.by_role()["charged"]
    assert asks == {"default": 250, "bandits": 250, "simple": 50, "induction": 90}[name]
    assert charged["prompt"].calls == asks
    if leaders is None:  # those that a bandit likes have seen more
        leaders = sum(t.n for t in report.trials) - 50 - task
        assert 0 <= leaders <= 2 * 50
    assert charged["task"].calls == 50 + task + leaders


def test_the_filter_keeps_the_best_share_on_ever_more_examples() -> None:
    report = compiled(FunctionLM(wordings), APE(metric=right, questions=4, per_question=4, samples=5, few=2))
    seen = sorted(trial.n for trial in report.trials if trial.number)
    # 16 on the first 5, 8 on the next 5, 4 on the next 5, and the last two on all.
    assert seen == [5] * 8 + [10] * 4 + [15] * 2 + [30] * 2


def test_stages_have_examples_of_their_own_and_a_score_is_the_mean_of_all() -> None:
    shown: dict[str, list[int]] = {}

    def reply(seen: Seen) -> str:
        if not asked(seen):
            shown.setdefault(seen.system, []).append(number(seen.text))
        return wordings(seen)

    report = compiled(FunctionLM(reply, slots=1), APE(metric=right, questions=2, per_question=4, samples=4))

    longest = max(shown.values(), key=len)
    for trial in report.trials:
        instruction = trial.candidate.parts["self"].instruction
        (seen,) = (found for system, found in shown.items() if instruction in system)
        assert seen == longest[: trial.n]  # the common order, none of them twice
        assert trial.mean == pytest.approx(sum(solved(instruction, thing) for thing in seen) / trial.n)


def test_the_plan_is_kept() -> None:
    compiler = APE(metric=right, iterations=1)
    found = compiler.plan(train=len(TRAIN), val=len(VAL))
    report = compiled(FunctionLM(wordings), compiler)
    assert found["proposals"] == 36
    assert report.charged.calls <= found["calls"]["worst"]
    assert abs(report.charged.calls - found["calls"]["expected"]) < 0.2 * found["calls"]["expected"]


# How it varies ----------------------------------------------------------------------------------------------


def test_the_best_are_varied_and_filtered_again() -> None:
    model = FunctionLM(wordings)
    compiler = APE(metric=right, questions=2, per_question=4, iterations=2, variations=3, few=2)
    report = compiled(model, compiler)

    varied = [request for request in model.requests if "other words" in str(request.system)]
    assert len(varied) == 6
    assert len(report.trials) == 1 + 8 + 6


def test_with_several_predictors_the_questions_are_spread_and_each_is_improved_with_the_others_fixed() -> None:
    report = compiled(FunctionLM(world()), APE(metric=right, questions=3, per_question=2), student=Steps())
    given = next(t.candidate for t in report.trials if t.number == 0)
    changed = [
        [path for path, part in t.candidate.parts.items() if part.instruction != given.parts[path].instruction]
        for t in report.trials
    ]
    assert {path for paths in changed for path in paths} == {"look", "weigh", "answer"}
    assert any("`Forward`" in note for note in report.notes)
    assert any("`Insert`" in note for note in report.notes)


# Likelihood -------------------------------------------------------------------------------------------------


def likely(seen: Seen) -> str | Response:
    """As `wordings`; a given reply is the likelier the better the wording is."""
    reply = (seen.request.config.extensions or {}).get("forced")
    if reply is None:
        return wordings(seen)
    wording = seen.system.partition("Wording")[2]
    skill = chance("skill", number(wording)) if wording else 0.1
    return text_response(reply, model="m", logprobs=(TokenLogprob(reply, skill - 1),))


def test_by_likelihood_the_labels_are_scored_and_the_metric_judges_the_two_best() -> None:
    able = Capabilities(frozenset({"json_schema", "grammar"}), logprobs=5, forced=True)
    model = FunctionLM(likely, capabilities=able)
    compiler = APE(metric=right, scoring="likelihood", questions=2, per_question=5, race="bf", samples=6)
    report = compiled(model, compiler)

    forced = [request for request in model.requests if "forced" in (request.config.extensions or {})]
    assert len(forced) == 10 * 6
    assert {request.config.extensions["forced"] for request in forced} == set(COLOURS)
    assert report.charged.calls == 30 + 10 + 60 + 2 * 30
    texts = sorted(
        {str(request.system) for request in forced},
        key=lambda text: -chance("skill", number(text.partition("Wording")[2])),
    )
    tried = {t.candidate.parts["self"].instruction for t in report.trials if t.number}
    assert all(any(one in text for one in tried) for text in texts[:2])
    assert report.charged.calls <= compiler.plan(train=40, val=30)["calls"]["worst"]


# What it finds ----------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_where_instructions_help_it_beats_random_search_at_equal_calls() -> None:
    gains = []
    for seed in range(scaled(40)):
        ape = compiled(FunctionLM(wordings), APE(metric=right, seed=seed))
        other = RandomSearch(metric=right, seed=seed, budget=ape.charged.calls)
        gains.append((ape.gain.mean or 0) - (compiled(FunctionLM(wordings), other).gain.mean or 0))
    assert min(gains) > 0


# What is refused --------------------------------------------------------------------------------------------


def test_likelihood_is_refused_before_any_call_by_an_engine_or_for_a_program_that_has_none() -> None:
    model = FunctionLM(wordings)
    with pytest.raises(UsageError, match="that of function does not"):
        compiled(model, APE(metric=right, scoring="likelihood"))
    with pytest.raises(UsageError, match=r"needs a program that is a predictor\. Given: Steps"):
        compiled(model, APE(metric=right, scoring="likelihood"), student=Steps())
    assert model.requests == []


def test_unknown_settings_are_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'large'\. Use one of: default, bandits, simple, induction"):
        APE.published("large")
