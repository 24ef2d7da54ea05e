"""BPO: what it asks, what it costs, what it finds."""

import json
import re
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import COLOURS, TRAIN, VAL, Colour, asked, chance, colour_of, right
from tests.each import each
from tests.evaluation.replies import number, proposed, written
from tunesmith.compilers import BPO, CompileReport, RandomSearch
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Meter, Seen, current_scope, metered

RULE = "Name the colour that the thing has in daylight."


def ruled(seen: Seen) -> str:
    """Answer right more often with the rule in the instruction; as prompt model know nothing but the rule."""
    if asked(seen):
        return proposed(seen, RULE)
    thing, seed = number(seen.text), seen.request.config.seed or 0
    able = 0.9 if RULE in seen.system else 0.4
    known = chance("hard", thing, seed if seen.request.config.temperature else 0) < able
    colour = COLOURS.index(colour_of(thing))
    return written(seen, colour=COLOURS[colour if known else (colour + 1) % 3])


def compiled(compiler: Any, model: Any = None) -> CompileReport:
    with dspy.context(lm=FunctionLM(ruled) if model is None else model):
        report: CompileReport = compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL).compile_report
    return report


def test_it_costs_what_it_says() -> None:
    model, meter = FunctionLM(ruled), Meter()
    compiler = BPO(metric=right, examples=10, runs=4, pairs=5, variants=3, race="full")
    with metered(meter):
        report = compiled(compiler, model)

    charged = meter.by_role()["charged"]
    assert charged["prompt"].calls == 5 + 1 + 3
    candidates = len(report.trials) - 1
    assert charged["task"].calls == 30 + 4 * 10 + 30 * candidates
    assert report.charged.calls <= compiler.plan(train=40, val=30)["calls"]["worst"]


def test_a_question_shows_the_input_and_both_answers() -> None:
    told: list[str] = []

    def reply(seen: Seen) -> str:
        told.extend([seen.text] if asked(seen) else [])
        return ruled(seen)

    compiled(BPO(metric=right, examples=10, pairs=3), FunctionLM(reply))
    contrasts = [text for text in told if "Good: colour: " in text]
    assert len(contrasts) == 3
    assert all("Given: thing: thing " in text and "Bad: colour: " in text for text in contrasts)
    assert any(f'Lessons: ["{RULE}"]' in text for text in told), "what says the same is one lesson"


def test_the_rules_below_the_instruction_help_also_if_the_prompt_model_rewrites_nothing() -> None:
    def reply(seen: Seen) -> str:
        return proposed(seen, "") if asked(seen) and "Rewrite" in seen.system else ruled(seen)

    report = compiled(BPO(metric=right), FunctionLM(reply))
    assert report.candidate.parts["self"].instruction == f"{Colour.instructions}\n- {RULE}"
    assert (report.gain.mean or 0) > 0.3


@pytest.mark.whole
def test_where_rules_help_it_beats_random_search_at_equal_calls() -> None:
    report = compiled(BPO(metric=right))
    other = compiled(RandomSearch(metric=right, budget=report.charged.calls))
    assert (report.gain.mean or 0) > (other.gain.mean or 0)


def test_without_any_pair_the_program_stays_and_a_note_says_why() -> None:
    model = FunctionLM(lambda seen: written(seen, colour=colour_of(number(seen.text))))
    report = compiled(BPO(metric=right), model)
    assert not report.improved
    assert any("no label showed a better answer: no pair" in note for note in report.notes)


def test_the_pairs_are_exported_also_if_the_budget_ends(tmp_path: Path) -> None:
    for place, budget in enumerate((None, 125)):
        folder = tmp_path / str(place)
        compiled(BPO(metric=right, export=str(folder), budget=budget))
        rows = [json.loads(line) for line in (folder / "dpo.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(rows) > 5
        assert all(row["chosen"] != row["rejected"] for row in rows)
    rewrites = (tmp_path / "0" / "rewrites.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rewrites) > 5
    assert RULE in json.loads(rewrites[0])["optimized_prompt"]


def test_a_folder_that_cannot_be_written_is_refused_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = FunctionLM(ruled)
    for folder in ("file", "file/below"):
        with pytest.raises(UsageError, match=r"`export` must be a folder that can be written.*file' is a file"):
            compiled(BPO(metric=right, export=str(tmp_path / folder)), model)
    with pytest.raises(UsageError, match="`export` is empty"):
        compiled(BPO(metric=right, export=""), model)
    assert model.requests == []


# A judge ----------------------------------------------------------------------------------------------------


@each(("prefers", "pairs"), [("blue", 10), ("first", 0), ("", 0)])
def test_a_judge_compares_answers_that_score_alike_in_both_orders(prefers: str, pairs: int) -> None:
    def reply(seen: Seen) -> str:
        if current_scope().role == "judge":
            first = re.search(r"First: colour: (\w+)", seen.text)
            assert first is not None
            better = prefers or "neither"
            return better if better in ("first", "neither") else ["second", "first"][first[1] == prefers]
        return ruled(seen) if asked(seen) else written(seen, colour="blue" if seen.request.config.seed else "red")

    model, meter = FunctionLM(reply), Meter()
    with metered(meter):
        report = compiled(BPO(metric=lambda *_: 0.7, examples=10, judged=True), model)
    assert meter.by_role()["charged"]["judge"].calls >= 20
    assert any(f"{pairs} of `self`" in note for note in report.notes) == bool(pairs)


# A rewriter of inputs ---------------------------------------------------------------------------------------


def asking_back(seen: Seen) -> str:
    """Answer clear questions; rewrite into a clear one in some draws, or if the rule or an example is shown."""
    seed = seen.request.config.seed or 0
    if asked(seen):
        return proposed(seen, "Begin with: What colour has")
    thing = number(seen.text)
    if seen.text.startswith("Text:"):
        taught = "What colour has" in f"{seen.system}{seen.messages}" or chance("draw", thing, seed) < 0.4
        return f"What colour has thing {thing}" if taught else f"The thing is thing {thing}"
    return written(seen, colour=colour_of(thing) if "What colour has" in seen.text else "grey")


def rewritten(**options: Any) -> CompileReport:
    program = ts.Rewriter(dspy.Predict(Colour), "thing")
    with dspy.context(lm=FunctionLM(asking_back)):
        compiler = BPO(metric=right, **options)
        report: CompileReport = compiler.compile(program, trainset=TRAIN, valset=VAL).compile_report
    return report


def test_the_rewriting_of_inputs_is_improved_like_any_predictor() -> None:
    report = rewritten(variants=3)
    origins = [trial.candidate for trial in report.trials]
    assert (report.gain.mean or 0) > 0.3
    assert any(candidate.parts["rewrite"].demos for candidate in origins)
    assert {candidate.settings["self"]["active"] for candidate in origins} == {True, False}
    assert report.candidate.settings["self"]["active"]


def test_exemplars_are_rewrites_with_which_the_program_did_better_than_without() -> None:
    found = [trial.candidate.parts["rewrite"].demos for trial in rewritten(variants=3).trials]
    shown = [demo for demos in found for demo in demos]
    assert 1 <= max(map(len, found)) <= 4
    assert all(demo.outputs["rewritten"].startswith("What colour has") for demo in shown)
