"""`Calibrate`: what is asked, what is learned from it, and what comes out."""

import json
import os
import random
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import COLOURS, TRAIN, VAL, Colour, chance, colour_of, number, right, things, world
from tests.each import each
from tests.evaluation.replies import likely
from tests.scale import FULL
from tunesmith.compilers import Calibrate, RandomSearch, Search, calibrated, job_of, scored
from tunesmith.errors import UsageError
from tunesmith.lm import LM, Capabilities, FunctionLM, ReplyCache, Response, Seen
from tunesmith.modules import Candidate, Nearest, bound_format, bound_offsets
from tunesmith.signatures import Demo

DATA = Path(os.environ.get("TUNESMITH_DATA", Path(__file__).parents[3] / "shared" / "data"))


def leaning(seen: Seen) -> Response:
    """Answer as a model that leans towards red, whatever it is shown, and else is mostly right."""
    thing = number(seen.text)
    values = {one: -2.0 + 1.5 * chance("sure", thing) * (one == colour_of(thing)) for one in COLOURS}
    values["red"] += 1.2
    return likely(seen, values)


def compiled(compiler: Any, lm: LM, program: Any = None, **given: Any) -> Any:
    with dspy.context(lm=lm):
        return compiler.compile(
            dspy.Predict(Colour) if program is None else program, **{"trainset": TRAIN, "valset": VAL, **given}
        )


def search_of(lm: LM, program: Any = None, **options: Any) -> Search:
    with dspy.context(lm=lm):
        compiler = Calibrate(metric=right, **options)
        given = dspy.Predict(Colour) if program is None else program
        return Search(job_of(given, compiler, trainset=TRAIN, valset=VAL))


# What it costs --------------------------------------------------------------------------------------------------


@each("sets", [0, 1, 3])
def test_calls_are_those_of_the_sets_of_demos_and_none_for_calibrating(sets: int) -> None:
    lm = FunctionLM(leaning)
    compiler = Calibrate(metric=right, num_candidates=sets)

    report = compiled(compiler, lm).compile_report

    assert len(lm.requests) == report.charged.calls == report.paid.calls == (2 + sets) * len(VAL)
    assert compiler.plan(train=40, val=30)["calls"] == {"expected": (2 + sets) * 30, "worst": (2 + sets) * 30}
    assert len(report.trials) > 2 + sets, "the calibrated ones were scored as well"


def test_content_free_inputs_cost_three_calls_for_each_set() -> None:
    lm = FunctionLM(lambda seen: likely(seen, {"red": -0.5, "green": -1.0, "blue": -2.0}))
    compiler = Calibrate(metric=right, num_candidates=1, method="contextual")

    report = compiled(compiler, lm).compile_report

    texts = [request.messages[-1].text for request in lm.requests]
    assert sum("thing" not in text for text in texts) == 6
    assert len(texts) == report.charged.calls == 3 * len(VAL) + 6
    assert compiler.plan(train=40, val=30)["calls"]["worst"] == 96


def test_a_candidate_that_differs_in_offsets_alone_makes_no_call_without_any_cache() -> None:
    lm = FunctionLM(leaning, cache=None)
    compiled(Calibrate(metric=right, num_candidates=0), lm)
    assert len(lm.requests) == 2 * len(VAL)


# What it learns -------------------------------------------------------------------------------------------------


@each("method", ["auto", "batch", "likelihood", "fitted"])
def test_a_lean_is_repaired(method: str) -> None:
    program = compiled(Calibrate(metric=right, num_candidates=0, method=method), FunctionLM(leaning))
    report = program.compile_report

    assert (report.baseline.mean or 0) < 0.7
    assert (report.compiled.mean or 0) > (report.baseline.mean or 0) + 0.15
    assert bound_format(program) == "scored"
    assert bound_offsets(program)["red"] < 0
    with dspy.context(lm=FunctionLM(leaning)):
        fresh = [program(thing=one.thing).colour == one.colour for one in things(*range(300, 360))]
    assert sum(fresh) / 60 > 0.75


def test_a_model_that_does_not_lean_stays_as_it_is() -> None:
    def sure(seen: Seen) -> Response:
        return likely(seen, {one: -1.0 - 2.0 * (one != colour_of(number(seen.text))) for one in COLOURS})

    report = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(sure)).compile_report

    assert not report.improved
    assert all(not trial.candidate.parts["self"].offsets for trial in report.trials)


@pytest.mark.whole
def test_it_beats_random_search_with_as_many_calls_where_the_model_leans() -> None:
    ours, theirs = 0.0, 0.0
    for seed in range(3):
        given = {"metric": right, "seed": seed, "budget": 5 * len(VAL)}
        ours += compiled(Calibrate(num_candidates=1, **given), FunctionLM(leaning)).compile_report.compiled.mean
        theirs += compiled(RandomSearch(num_candidates=4, **given), FunctionLM(leaning)).compile_report.compiled.mean
    assert ours > theirs + 0.3


class Two(dspy.Module):
    """Two predictors with closed sets; the second sees what the first found."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict(Colour)
        self.second = dspy.Predict(dspy.Signature("thing, hint -> bright: bool", "Is it bright?"))

    def forward(self, thing: str) -> dspy.Prediction:
        colour = self.first(thing=thing).colour
        return dspy.Prediction(colour=colour, bright=self.second(thing=thing, hint=colour).bright)


def both(seen: Seen) -> Response:
    if "bright" in seen.system.lower():
        return likely(seen, {"true": -0.2, "false": -1.0})
    return leaning(seen)


def test_each_predictor_of_a_program_is_calibrated_from_its_own_replies() -> None:
    program = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(both), Two())

    assert bound_offsets(program.first)["red"] < 0
    assert bound_format(program.second) == "scored"
    assert program.compile_report.gain.mean > 0.1


# The arm of a search of another compiler ------------------------------------------------------------------------


def test_a_search_calibrates_a_candidate_that_it_has_scored_and_pays_nothing() -> None:
    lm = FunctionLM(leaning)
    search = search_of(lm)
    candidate = scored(search, search.base)
    assert calibrated(search, candidate) is None, "it was not scored"
    search.score(candidate, 20)
    paid = len(lm.requests)

    better = calibrated(search, candidate)

    assert better is not None
    assert (search.score(better, 20).mean or 0) > (search.mean(candidate) or 0)
    assert len(lm.requests) == paid + 20, "nothing remembers replies outside of a compile"
    assert search.meter.charged.calls == 20


def test_a_candidate_in_another_format_gives_nothing_to_learn_from() -> None:
    search = search_of(FunctionLM(leaning))
    search.score(search.base)
    assert calibrated(search, search.base) is None


def test_demos_that_are_chosen_for_each_call_can_be_calibrated_too() -> None:
    search = search_of(FunctionLM(leaning))
    pool = [Demo({"thing": one.thing}, {"colour": one.colour}) for one in TRAIN]
    candidate = scored(search, search.base.with_demos("self", pool, Nearest(k=2)))
    search.score(candidate)

    better = calibrated(search, candidate)

    assert better is not None
    assert better.settings["self.nearest"]["k"] == 2
    assert (search.score(better).mean or 0) > (search.mean(candidate) or 0)
    assert not better.with_setting("self.nearest", "k", 4).parts["self"].offsets, "that is another prompt"
    assert better.with_setting("self.nearest", "k", 2) == better


def test_a_frozen_format_is_left_alone() -> None:
    program = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(both), Two(), freeze=["first"])
    assert not bound_offsets(program.first)
    assert all(not trial.candidate.parts["first"].offsets for trial in program.compile_report.trials)


# What is refused ------------------------------------------------------------------------------------------------


def test_a_program_without_a_closed_set_is_refused_before_the_first_call() -> None:
    lm = FunctionLM(world())
    for text in ("thing -> colour", "thing -> colour: Literal['red', 'blue'], why"):
        with pytest.raises(UsageError, match="Nothing can be calibrated"):
            compiled(Calibrate(metric=right), lm, dspy.Predict(text))
    assert lm.requests == []


def test_a_model_without_log_probabilities_is_refused_before_the_first_call() -> None:
    lm = FunctionLM(world(), capabilities=Capabilities(frozenset({"grammar"})))
    with pytest.raises(UsageError, match=r"'function' reports none\. Use `embedded`"):
        compiled(Calibrate(metric=right), lm)
    assert lm.requests == []

    own = dspy.Predict(Colour)
    own.lm = FunctionLM(world())
    assert compiled(Calibrate(metric=right, num_candidates=0), lm, own).compile_report


def test_a_model_that_keeps_its_log_probabilities_to_itself_changes_nothing() -> None:
    report = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(lambda seen: "red")).compile_report
    assert not report.improved
    assert any("no log-probabilities of labels" in note for note in report.notes)


# What is kept ---------------------------------------------------------------------------------------------------


def test_an_artifact_keeps_the_offsets(tmp_path: Path) -> None:
    program = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(leaning), ts.Predict(Colour))
    ts.save(tmp_path / "a", program)

    loaded = ts.load(tmp_path / "a", program=ts.Predict(Colour))

    assert bound_offsets(loaded) == bound_offsets(program)
    assert Candidate.of(loaded) == Candidate.of(program)
    state = json.loads((tmp_path / "a" / "state.json").read_text(encoding="utf-8"))
    assert state["tunesmith_offsets"] == dict(bound_offsets(program))
    other = ts.Predict(Colour)
    other.load(tmp_path / "a" / "state.json")
    assert bound_offsets(other) == bound_offsets(program)


def test_a_run_that_goes_on_asks_nothing_and_ends_alike(tmp_path: Path) -> None:
    lm = FunctionLM(leaning, cache=ReplyCache(tmp_path / "cache"))
    given = {"run": str(tmp_path / "run"), "mirror": False}
    first = compiled(Calibrate(metric=right, num_candidates=1), lm, **given).compile_report
    asked = len(lm.requests)

    second = compiled(Calibrate(metric=right, num_candidates=1), lm, **given).compile_report

    assert len(lm.requests) == asked
    assert second.candidate == first.candidate
    assert second.charged == first.charged


def test_another_prompt_drops_the_offsets_that_were_learned_on_this_one() -> None:
    program = compiled(Calibrate(metric=right, num_candidates=0), FunctionLM(leaning))
    candidate = Candidate.of(program)

    for changes in ({"instruction": "Other."}, {"format": "json"}, {"demos": candidate.parts["self"].demos[:0]}):
        same = changes.get("demos") == ()
        assert bool(candidate.with_part("self", **changes).parts["self"].offsets) == same
    assert candidate.with_part("self", offsets={"red": 2.0}).parts["self"].offsets == {"red": 2.0}
    assert compiled(RandomSearch(metric=right, num_candidates=3), FunctionLM(world()), program).compile_report


# The embedded model ---------------------------------------------------------------------------------------------


class Sentiment(ts.Signature):
    """Classify the sentiment of the text."""

    text: str = ts.InputField()
    sentiment: Literal["positive", "negative"] = ts.OutputField()


def _sentiment(side: str) -> list[dict[str, str]]:
    path = DATA / "instruction_induction" / side / "sentiment.json"
    if not path.exists():
        pytest.skip(f"{path} is not there: set TUNESMITH_DATA to the folder of public data sets")
    rows = json.loads(path.read_text(encoding="utf-8"))["examples"].values()
    return [{"text": row["input"], "sentiment": row["output"]} for row in rows]


@pytest.mark.model
@pytest.mark.timeout(900)
@pytest.mark.slow
def test_two_demos_that_bias_the_embedded_model_are_repaired() -> None:
    rows = _sentiment("induce")
    random.Random(0).shuffle(rows)
    train, val = (ts.Dataset.load(part, signature=Sentiment) for part in (rows[:60], rows[60 : 90 if FULL else 80]))
    held = ts.Dataset.load(_sentiment("execute")[: 100 if FULL else 30], signature=Sentiment)
    lm, metric = ts.lm("embedded"), ts.metrics.exact_match("sentiment")
    biased = ts.LabeledFewShot(2, seed=2).compile(ts.Classify(Sentiment), trainset=train)

    with dspy.context(lm=lm):
        program = Calibrate(metric=metric, num_candidates=0).compile(biased, trainset=train, valset=val)
    before, after = (ts.evaluate(one, held, metric, lm=lm) for one in (biased, program))

    assert before.mean is not None
    assert after.mean is not None
    assert before.mean <= 0.6
    assert after.mean >= before.mean + 0.1
    assert program.compile_report.charged.calls == len(val)
    assert after.paid.calls == 0, "the requests are those of the program before"
