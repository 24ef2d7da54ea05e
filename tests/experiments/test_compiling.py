"""`ts.compile`: one call that can be repeated, its budget, its verdict, what it keeps."""

import json
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.dsp.utils.settings import settings

import tunesmith as ts
from tests.compilers.worlds import (
    COLOURS,
    TEST,
    TRAIN,
    VAL,
    Colour,
    chance,
    colour_of,
    harmful,
    right,
    shown_in,
    things,
    world,
)
from tests.each import each
from tests.evaluation.replies import number, written
from tests.experiments.plain_programs import Pipeline
from tests.experiments.worlds import model as plain_model
from tests.scale import FULL, scaled
from tunesmith.compilers import CompileResult, Standing
from tunesmith.errors import (
    BudgetExceeded,
    Interrupted,
    ModelUnavailable,
    RunMismatch,
    SplitError,
    UsageError,
)
from tunesmith.experiments import compile_program, plan
from tunesmith.lm import LM, Budget, FunctionLM, Meter, ReplyCache, Seen, metered


def compiled(lm: LM | None = None, **options: Any) -> CompileResult:
    given: dict[str, Any] = {
        "program": dspy.Predict(Colour),
        "metric": right,
        "trainset": TRAIN,
        "valset": VAL,
        "testset": TEST,
        "compiler": ts.RandomSearch(metric=right, num_candidates=4, seed=options.get("seed", 0)),
        "lm": FunctionLM(world()) if lm is None else lm,
        "mirror": False,
    }
    return compile_program(**{**given, **options})


# What it returns and keeps ------------------------------------------------------------------------------------


def test_the_result_file_holds_what_was_promised(tmp_path: Path) -> None:
    result = compiled(run=tmp_path / "run")

    kept = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(result.to_json()))
    for name in ("baseline", "compiled"):
        assert set(kept[name]) == {"mean", "low", "high", "n", "errors"}
        assert kept[name]["n"] == len(TEST)
    assert set(kept["gain"]) == {"mean", "low", "high", "n"}
    for name in ("calls", "tokens", "seconds"):
        assert set(kept[name]) == {"charged", "paid"}
    assert kept["split"] == "test"
    assert kept["seed"] == 0
    assert kept["artifact"]["sha256"] == result.artifact.sha256
    assert kept["verdict"] == result.verdict
    assert kept["candidates"] == 5


def test_calls_are_counted_whole(tmp_path: Path) -> None:
    model = FunctionLM(world())
    outside = Meter()

    with metered(outside):
        result = compiled(model)

    assert result.charged.calls == result.paid.calls == len(model.requests)
    assert outside.charged == result.charged


def test_the_program_is_the_candidate_of_the_report_and_the_student_is_untouched() -> None:
    student = dspy.Predict(Colour)

    result = compiled(program=student)

    assert student.demos == []
    assert type(result.program) is dspy.Predict
    assert len(result.program.demos) == len(result.report.candidate.parts["self"].demos) > 0
    assert result.program.compile_report is result.report


def test_nothing_is_written_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = compiled()
    assert result.artifact is None
    assert list(tmp_path.iterdir()) == []


def test_the_model_of_the_settings_is_the_default_and_settings_stay() -> None:
    with dspy.context(lm=FunctionLM(world())):
        before = dict(settings.config)
        assert compile_program(dspy.Predict(Colour), metric=right, trainset=TRAIN).verdict == "untested"
        assert dict(settings.config) == before


def test_a_compiler_without_a_metric_of_its_own_uses_that_of_the_call() -> None:
    result = compiled(compiler=ts.LabeledFewShot(4))
    assert result.report.compiler == "LabeledFewShot"
    assert result.report.compiled.n == len(VAL)


def test_without_validation_and_test_split_it_says_what_it_did() -> None:
    result = compiled(valset=None, testset=None)

    assert (result.verdict, result.tested, result.gain, result.opened) == ("untested", False, None, None)
    assert any("24 examples" in note and "16 select" in note for note in result.notes)
    assert any("No test split" in note for note in result.notes)
    assert result.to_json()["split"] == "validation"


@pytest.mark.parametrize("splits", [{"testset": None}, {"testset": None, "valset": None}])
def test_without_a_test_split_the_scores_are_those_of_validation_and_say_so(splits: dict[str, Any]) -> None:
    result = compiled(**splits)
    for report in (result.baseline, result.compiled):
        assert re.fullmatch(r".* on \d+ examples; on validation, as no test split was given", str(report))
    assert result.baseline.rows == result.report.baseline.rows
    assert result.compiled.mean == result.report.compiled.mean
    assert (result.tested, result.verdict, result.gain) == (False, "untested", None)
    assert result.to_json()["split"] == "validation"


def test_scores_on_the_test_split_say_nothing_else() -> None:
    result = compiled()
    assert result.tested
    assert re.fullmatch(r".* on 40 examples", str(result.baseline))


def test_who_watches_is_told_how_candidates_stand_under_the_numbers_of_the_report(tmp_path: Path) -> None:
    stood: list[Standing] = []
    result = compiled(watch=stood.append, run=tmp_path / "run")
    whole = {one.candidate.key: one for one in stood if one.is_whole}
    assert whole[result.report.candidate.key].report.mean == result.report.compiled.mean
    assert (stood[0].name, stood[0].report.rows, stood[0].size) == ("program as given", (), result.report.baseline.n)
    known = json.loads((tmp_path / "run" / "candidates.json").read_text())["candidates"]
    assert {one.candidate.key: one.number for one in stood if one.number} == {
        key: about["number"] for key, about in known.items()
    }


def test_progress_is_told_of_every_part() -> None:
    told: list[tuple[str, int, int]] = []
    compiled(progress=lambda *news: told.append(news))
    assert {
        ("program as given", 30, 30),
        ("program as given on test", 40, 40),
        ("compiled program on test", 40, 40),
    } <= {*told}


# Verdicts -----------------------------------------------------------------------------------------------------


def on_test(ability: Callable[[Sequence[int]], float]) -> Callable[[Seen], str]:
    """Return a model whom demos help on validation, and on the test split as `ability` says."""

    def answer(seen: Seen) -> str:
        thing, shown = number(seen.text), shown_in(seen)
        able = ability(shown) if thing >= 200 else min(0.95, 0.3 + 0.1 * len(shown))
        known = chance("difficulty", thing) < able
        truth = colour_of(thing)
        return written(seen, colour=truth if known else COLOURS[(COLOURS.index(truth) + 1) % 3])

    return answer


@pytest.mark.parametrize(
    ("ability", "verdict"),
    [
        (lambda shown: 0.95 if shown else 0.3, "ship"),
        (lambda shown: 0.5, "no evidence"),
        (lambda shown: 0.2 if shown else 0.9, "regression"),
    ],
)
def test_the_test_split_labels_what_validation_decided(ability: Callable[[Sequence[int]], float], verdict: str) -> None:
    result = compiled(FunctionLM(on_test(ability)))

    assert result.report.improved, "validation decides what comes back"
    assert result.verdict == verdict


def test_a_search_that_finds_nothing_is_no_evidence() -> None:
    result = compiled(FunctionLM(world(harmful)))

    assert not result.report.improved
    assert (result.verdict, result.gain.mean) == ("no evidence", 0.0)


def test_looking_at_a_test_split_is_counted_and_a_replay_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    model = FunctionLM(world(), cache=ReplyCache(tmp_path / "cache"))
    short = {"compiler": ts.LabeledFewShot(4), "valset": VAL[:10], "testset": TEST[:10]}

    assert compiled(model, **short, run=tmp_path / "a").opened == 1
    assert compiled(model, **short, run=tmp_path / "a").opened == 1
    assert compiled(model, **short, run=tmp_path / "elsewhere").opened == 1, "the same compile in another folder"
    assert compiled(model, **short, seed=5).opened == 2
    assert compiled(model, **{**short, "testset": things(*range(300, 310))}).opened == 1


# The same call again ----------------------------------------------------------------------------------------


def test_a_second_call_pays_nothing_and_ends_in_the_same_artifact(tmp_path: Path) -> None:
    first = compiled(FunctionLM(world(), cache=ReplyCache(tmp_path / "cache")), run=tmp_path / "run")
    again = FunctionLM(world(), cache=ReplyCache(tmp_path / "cache"))

    second = compiled(again, run=tmp_path / "run")

    assert again.requests == []
    assert second.paid.calls == 0
    assert second.charged.calls == first.charged.calls
    assert second.artifact.sha256 == first.artifact.sha256
    elsewhere = compiled(again, run=tmp_path / "elsewhere")
    assert elsewhere.artifact.sha256 == first.artifact.sha256


def test_an_artifact_does_not_depend_on_slots_or_cache(tmp_path: Path) -> None:
    cached = compiled(FunctionLM(world(), cache=ReplyCache(tmp_path / "cache")), run=tmp_path / "a")
    for slots in (1, 8):
        plain = compiled(FunctionLM(world(), slots=slots), run=tmp_path / f"b{slots}")
        assert cached.artifact.sha256 == plain.artifact.sha256


def stops(after: int, error: BaseException) -> Callable[[Seen], str]:
    left, answer = iter(range(after)), world()

    def function(seen: Seen) -> str:
        if next(left, None) is None:
            raise error
        return answer(seen)

    return function


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    return compiled(FunctionLM(world(), version="1"), run=tmp_path_factory.mktemp("undisturbed") / "run")


PRESSED, GONE = (KeyboardInterrupt(), Interrupted), (ModelUnavailable("gone"), ModelUnavailable)
STOPS = [(0, *PRESSED), (70, *PRESSED), (150, *GONE)]
"""After how many calls what stops a compile; `make test-slow` takes each number with each reason."""


@pytest.mark.parametrize(
    ("after", "error", "kind"),
    [(after, *why) for after in (0, 70, 150) for why in (PRESSED, GONE)] if FULL else STOPS,
    ids=repr,
)
def test_a_compile_that_was_stopped_goes_on_to_the_same_artifact(
    tmp_path: Path, undisturbed: CompileResult, after: int, error: BaseException, kind: type[Exception]
) -> None:
    def version(function: Callable[[Seen], str]) -> LM:
        return FunctionLM(function, cache=ReplyCache(tmp_path / "cache"), version="1")

    with pytest.raises(kind):
        compiled(version(stops(after, error)), run=tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()
    model = version(world())

    result = compiled(model, run=tmp_path / "run")

    assert result.artifact.sha256 == undisturbed.artifact.sha256
    assert result.charged.calls == undisturbed.charged.calls
    assert len(model.requests) <= undisturbed.charged.calls - after, "no finished call is repeated"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody may go on with but the same compile."""
    run = tmp_path_factory.mktemp("finished") / "run"
    compiled(run=run)
    return run


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "compiler, seed"),
        ({"metric": lambda example, prediction, trace=None: True}, "metric"),
        ({"valset": VAL[1:]}, "valset"),
        ({"testset": None}, "testset"),
        ({"budget": 10_000}, "budget"),
        ({"program": dspy.Predict("thing -> colour")}, "candidate, program"),
        ({"lm": FunctionLM(world(), name="another")}, "lm"),
        ({"compiler": ts.LabeledFewShot(3)}, "compiler"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else str(value),
)
def test_a_run_of_something_else_is_refused_and_told_apart(finished: Path, change: Any, named: str) -> None:
    kept = (finished / "result.json").read_bytes()

    with pytest.raises(RunMismatch, match=rf"another {named}\."):
        compiled(run=finished, **change)
    assert (finished / "result.json").read_bytes() == kept


def test_another_instruction_or_other_demos_are_another_program(finished: Path) -> None:
    student = dspy.Predict(Colour.with_instructions("Name the colour."))
    with pytest.raises(RunMismatch, match=r"another candidate\."):
        compiled(run=finished, program=student)


# The budget -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 8])
def test_search_and_test_together_keep_the_budget(slots: int) -> None:
    rng = random.Random(slots)
    for _ in range(scaled(20)):
        cap = rng.randint(2 * len(TEST) + len(VAL), 500)
        model = FunctionLM(world(), slots=slots)

        result = compiled(model, budget=cap)

        assert result.charged.calls == len(model.requests) <= cap
        assert result.compiled is not None
        assert result.compiled.n == len(TEST), "room for testing was kept back"


def test_a_budget_of_the_compiler_holds_where_the_call_names_none() -> None:
    compiler = ts.RandomSearch(metric=right, num_candidates=6, budget=130)
    assert compiled(compiler=compiler).charged.calls <= 130
    assert compiled(compiler=compiler, budget=200).charged.calls > 130


def test_a_budget_without_room_is_refused_before_any_call(tmp_path: Path) -> None:
    model = FunctionLM(world())
    splits = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "lm": model}
    for budget, message in (
        (80, "testing on 40 examples alone takes 80"),
        (109, "80 are kept for testing on 40 examples twice, and scoring the program as given on 30 .* takes 30"),
    ):
        with pytest.raises(UsageError, match=message):
            compiled(model, budget=budget, run=tmp_path / "run")
        with pytest.raises(UsageError, match=message):
            plan(dspy.Predict(Colour), **splits, budget=budget)
    with pytest.raises(UsageError, match="of 29 calls has no room for a search: scoring the program"):
        compiled(model, budget=29, testset=None)
    assert model.requests == []
    assert list(tmp_path.iterdir()) == []
    assert compiled(model, budget=110).charged.calls <= 110


def test_equal_validation_examples_are_one_call_of_a_budget() -> None:
    assert compiled(valset=[*VAL[:5], *VAL[:5]], testset=None, budget=5).report.baseline.n == 10


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"tokens": 1}, "1 tokens"), ({"seconds": 0}, "0 seconds"), ({"wall_seconds": 0.0}, "0.0 wall_seconds")],
    ids=str,
)
def test_a_budget_that_ends_before_the_first_score_is_named_and_can_be_raised(
    tmp_path: Path, limits: dict[str, Any], said: str
) -> None:
    def attempt(budget: Budget | None, **options: Any) -> CompileResult:
        return compiled(FunctionLM(world(), version="1"), budget=budget, **options)

    ends = f"The budget of {said} is too small: it ended before .* on 30 validation examples. Raise it"
    with pytest.raises(BudgetExceeded, match=f"{ends}; what was paid"):
        attempt(Budget(calls=500, **limits))
    with pytest.raises(BudgetExceeded, match=f"{ends}, with --fork NAME .* or --new "):
        attempt(Budget(calls=500, **limits), run=tmp_path / "run")
    with pytest.raises(RunMismatch, match="--fork NAME"):
        attempt(None, run=tmp_path / "run")

    result = attempt(None, run=tmp_path / "run", fork=tmp_path / "two")

    assert result.charged.calls - result.paid.calls == (limits == {"tokens": 1}), "what was evaluated is not paid again"


def test_a_budget_of_calls_that_a_loop_uses_up_says_what_was_kept_of_it() -> None:
    class Twice(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = dspy.Predict(Colour)

        def forward(self, thing: str) -> dspy.Prediction:
            self.step(thing=f"{thing}0")
            return self.step(thing=thing)

    with pytest.raises(
        BudgetExceeded, match=r"The budget of 120 calls is too small: 80 are kept .* and the rest ended"
    ):
        compiled(program=Twice(), budget=120)


def test_a_test_that_the_budget_cannot_pay_leaves_the_result_untested() -> None:
    result = compiled(budget=Budget(tokens=1_000))

    assert result.verdict == "untested"
    assert any("The budget ended while testing" in note for note in result.notes)
    assert "on validation, as the budget ended before the test did" in str(result.compiled)


@each("kind", ["tokens", "usd"] if FULL else ["usd"])
@each(
    "compiler",
    [
        ts.RandomSearch(metric=right, num_candidates=6, max_labeled_demos=16),
        ts.RandomSearch(metric=right, num_candidates=3, race="full", sampler="tpe"),
        ts.LabeledFewShot(12),
        ts.BootstrapFewShot(metric=right),
    ],
    ids=["race", "one by one", "labelled", "bootstrapped"],
)
def test_a_search_that_uses_up_its_tokens_or_dollars_leaves_enough_for_the_test(compiler: Any, kind: str) -> None:
    def done(limit: float | None) -> CompileResult:
        model = FunctionLM(world(), price=(1.0, 2.0))
        budget = None if limit is None else Budget(**{kind: limit if kind == "usd" else int(limit)})
        return compiled(model, compiler=compiler, budget=budget)

    whole = done(None)
    spent = getattr(whole.charged, kind)
    tokens = sum(row.tokens for row in whole.report.baseline.rows)  # of the program as given on validation
    least = tokens * spent / whole.charged.tokens * (1.1 + 2.5 * len(TEST) / len(VAL))
    for share in (0.0, 0.15, 0.4, 0.7, 0.95) if FULL else (0.0, 0.4):
        limit = least + share * (spent - least)
        result = done(limit)
        assert result.verdict != "untested", (share, result.notes)
        assert getattr(result.charged, kind) <= limit * 1.01


def test_a_run_with_a_reserve_is_repeated_as_it_was(tmp_path: Path) -> None:
    free = compiled(compiler=ts.LabeledFewShot(12))
    options: dict[str, Any] = {"compiler": ts.LabeledFewShot(12), "budget": Budget(tokens=free.charged.tokens // 2)}
    whole = compiled(run=tmp_path / "run", **options)
    again = compiled(run=tmp_path / "run", **options)
    assert whole.verdict != "untested"
    assert (again.charged, again.report.candidate) == (whole.charged, whole.report.candidate)
    assert any("kept for the test" in note for note in whole.notes)


# No candidate ---------------------------------------------------------------------------------------------------

ROOM = {  # program, model, compiler, budget, what the plan says
    "a pipeline whose bootstrapping takes the calls": (
        Pipeline(), plain_model, ts.RandomSearch(metric=right), 2 * 60 + 2 * 2 * 40 + 20, "Probably no candidate",
    ),
    "a race without room": (dspy.Predict(Colour), world(), ts.RandomSearch(metric=right), 30 + 80 + 20, "No candidate"),
    "labelled demos without room": (dspy.Predict(Colour), world(), ts.LabeledFewShot(4), 30 + 80 + 5, "No candidate"),
    "bootstrapped ones": (
        dspy.Predict(Colour), world(), ts.BootstrapFewShot(metric=right), 30 + 80 + 32, "Probably no candidate"
    ),
    "one at a time": (
        dspy.Predict(Colour), world(), ts.RandomSearch(metric=right, sampler="tpe"), 30 + 80 + 9, "No candidate",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "answer", "compiler", "budget", "said"), ROOM.values(), ids=list(ROOM))
def test_where_no_candidate_is_tried_it_is_said_before_and_after(
    program: dspy.Module, answer: Any, compiler: Any, budget: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"program": program, "compiler": compiler, "budget": budget}
    splits = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST}
    planned = plan(**given, **splits, lm=FunctionLM(answer))["notes"]
    assert any(note.startswith(said) and "Raise the budget by" in note for note in planned), planned

    result = compiled(FunctionLM(answer), **given)

    assert said in caplog.text
    assert not result.report.improved
    assert "no candidate was" in result.finding.sentence
    assert "beat" not in result.finding.sentence
    assert not any("better" in note for note in result.notes)
    assert any("candidate was tried: after" in note or "search ended early" in note for note in result.notes)


def test_a_space_of_one_says_what_would_give_candidates() -> None:
    alone = ts.RandomSearch(metric=right, formats=["bare"], max_labeled_demos=0, max_bootstrapped_demos=0)
    result = compiled(compiler=alone)
    assert "no candidate was tried" in result.finding.sentence
    assert any("Give `formats` or `instructions` to try" in note for note in result.notes)


def test_a_plan_with_room_says_nothing_of_it() -> None:
    splits = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "lm": FunctionLM(world())}
    for compiler in (ts.LabeledFewShot(4), ts.RandomSearch(metric=right), ts.BootstrapFewShot(metric=right)):
        found = plan(dspy.Predict(Colour), compiler=compiler, budget=30 + 80 + 60, **splits)
        assert not any("candidate will be tried" in note for note in found["notes"])


def test_candidates_that_were_tried_and_lost_are_told_as_before() -> None:
    result = compiled(FunctionLM(world(harmful)))
    assert "no candidate beat the program as given" in result.finding.sentence


# The plan -------------------------------------------------------------------------------------------------------


@each(
    "compiler",
    [
        ts.LabeledFewShot(4),
        ts.BootstrapFewShot(metric=right, max_rounds=2),
        ts.RandomSearch(metric=right, num_candidates=6, race="full"),
        ts.RandomSearch(metric=right, num_candidates=4, sampler="tpe"),
        *([ts.RandomSearch(metric=right, num_candidates=6), None] if FULL else []),
    ],
    ids=lambda c: "default" if c is None else f"{c.name} {getattr(c, 'race', '')} {getattr(c, 'sampler', '')}",
)
def test_a_plan_makes_no_call_and_is_never_too_small(compiler: Any) -> None:
    one, two = (dspy.Predict(Colour), world()), (Pipeline(), plain_model)
    cases = [(one, {"budget": 200}), (one, {"valset": None}), (two, {"testset": None})]
    if isinstance(compiler, ts.RandomSearch) and not FULL:  # which is dear: the cases are shared among its kinds
        cases = cases[:1] if compiler.sampler == "random" else cases[1:]
    for (program, answer), more in cases:
        model = FunctionLM(answer)
        given = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "compiler": compiler, **more}
        found = plan(program, lm=model, **given)
        assert model.requests == []

        result = compile_program(program, lm=model, **given)

        assert result.charged.calls <= found["calls"]["worst"]
        assert found["calls"]["expected"] <= found["calls"]["worst"]
        tried = [trial for trial in result.report.trials if "calibrated" not in trial.origin]
        assert len(tried) <= found["candidates"]
        assert found["examples"]["val"] == result.report.baseline.n


# What is refused ------------------------------------------------------------------------------------------------


def test_a_plan_says_which_limits_it_does_not_count() -> None:
    def notes(budget: Budget) -> list[str]:
        given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world())}
        found = plan(dspy.Predict(Colour), **given, budget=budget)["notes"]
        return [note for note in found if "test split" not in note]

    assert notes(Budget(calls=90)) == []
    assert notes(Budget(calls=90, tokens=1, seconds=0.1)) == [
        "Only calls are planned: the budget of 1 tokens and 0.1 seconds may end the compile earlier."
    ]


@pytest.mark.parametrize(("one", "other"), [("trainset", "valset"), ("trainset", "testset"), ("valset", "testset")])
def test_splits_that_share_examples_are_refused(one: str, other: str) -> None:
    model = FunctionLM(world())
    splits = {"trainset": TRAIN, "valset": VAL, "testset": TEST}
    splits[other] = [*splits[other], splits[one][0]]

    with pytest.raises(SplitError, match=f"`{one}` and `{other}` share 1"):
        compiled(model, **splits)
    assert model.requests == []


@each(
    ("change", "message"),
    [
        ({"program": dspy.Predict}, "Pass an instance"),
        ({"program": dspy.Module()}, "no predictors"),
        ({"compiler": dspy.BootstrapFewShot(metric=right)}, "one of tunesmith's"),
        ({"compiler": ts.RandomSearch}, "one of tunesmith's"),
        ({"metric": "accuracy"}, "metric"),
        ({"metric": None}, "metric"),
        ({"trainset": "train.jsonl"}, "`trainset`"),
        ({"testset": "test.jsonl"}, "`testset`"),
        ({"budget": -1}, "budget"),
        ({"budget": "100"}, "budget"),
        ({"lm": "embedded"}, "LM"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else str(value),
)
def test_what_cannot_be_used_is_refused_before_any_call(tmp_path: Path, change: Any, message: str) -> None:
    model = FunctionLM(world())
    with pytest.raises(UsageError, match=message):
        compiled(**{"lm": model, "run": tmp_path / "run", **change})
    assert model.requests == []


def test_there_must_be_a_model() -> None:
    with dspy.context(lm=None), pytest.raises(UsageError, match="There is no model"):
        compile_program(dspy.Predict(Colour), metric=right, trainset=TRAIN)


def test_a_run_that_another_compile_holds_is_refused(tmp_path: Path) -> None:
    def nested(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        with pytest.raises(UsageError, match="held by process"):
            compiled(run=tmp_path / "run")
        return True

    compiled(
        run=tmp_path / "run",
        metric=nested,
        trainset=TRAIN[:6],
        valset=VAL[:2],
        testset=None,
        compiler=ts.LabeledFewShot(2),
    )


def test_where_nothing_better_was_found_testing_costs_one_program() -> None:
    model = FunctionLM(world(harmful))

    result = compiled(model, compiler=ts.LabeledFewShot(4))

    assert not result.report.improved
    assert len(model.requests) == 2 * len(VAL) + len(TEST)
    assert result.compiled.rows == result.baseline.rows


def test_a_program_that_fails_does_not_win_under_a_metric_below_zero() -> None:
    def penalty(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
        return 0.0 if prediction.colour == example.colour else -1.0

    def reply(seen: Seen) -> str:
        return "none of them" if len(seen.messages) > 2 or "{" in seen.text else "red"

    result = compiled(FunctionLM(reply), metric=penalty, compiler=ts.RandomSearch(metric=penalty, num_candidates=6))

    assert result.verdict != "ship"
    assert result.compiled is not None
    assert result.compiled.errors == 0


@each("seed", [-1, 2**32, 1.5, "a", True])
def test_a_seed_no_generator_takes_is_refused_before_any_call(seed: Any) -> None:
    model = FunctionLM(world())

    with pytest.raises(UsageError, match="seed"):
        compiled(model, seed=seed, compiler=None)
    with pytest.raises(UsageError, match="seed"):
        ts.RandomSearch(metric=right, seed=seed)


def test_a_program_with_best_of_n_inside_is_evaluated() -> None:
    best = dspy.BestOfN(dspy.Predict(Colour), N=2, reward_fn=lambda inputs, prediction: 1.0, threshold=0.5)

    report = ts.evaluate(best, TEST, right, lm=FunctionLM(world()))

    assert report.errors == 0


def test_calls_from_threads_that_know_nothing_of_the_run_are_told() -> None:
    class Threaded(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Colour)
            self.predict.lm = FunctionLM(world())

        def forward(self, **inputs: Any) -> Any:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self.predict, **inputs).result()

    with pytest.warns(UserWarning, match="not counted"):
        ts.evaluate(Threaded(), TEST[:2], right, lm=FunctionLM(world()))


def test_a_metric_that_changes_the_examples_is_refused() -> None:
    data = [dspy.Example(thing=f"object {i}", colour="red").with_inputs("thing") for i in range(12)]

    def vandal(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
        example.colour = "blue"
        return 1.0

    with pytest.raises(UsageError, match="changed the examples"):
        compiled(metric=vandal, valset=data, testset=None)


def test_a_home_that_cannot_be_written_loses_no_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the folder should be")
    monkeypatch.setenv("TUNESMITH_HOME", str(home))

    result = compiled(run=tmp_path / "run")

    assert result.opened is None
    assert result.artifact is not None


def test_a_program_that_always_fails_is_told(tmp_path: Path) -> None:
    class Broken(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Colour)

        def forward(self, **inputs: Any) -> Any:
            raise LookupError("no such view")

    result = compiled(program=Broken())

    assert any("no such view" in note for note in result.notes)


# Related examples -------------------------------------------------------------------------------------------


def families(examples: Sequence[dspy.Example], size: int, group: str | None) -> ts.Dataset:
    rows = [dspy.Example(**example, family=i // size).with_inputs("thing") for i, example in enumerate(examples)]
    return ts.Dataset.load(rows, group=group)


def test_where_examples_are_related_the_verdict_counts_groups(tmp_path: Path) -> None:
    def made(group: str | None, **options: Any) -> CompileResult:
        return compiled(valset=families(VAL, 3, group), testset=families(TEST, 10, group), **options)

    alone, related = made(None), made("family", run=tmp_path / "run")
    assert alone.gain is not None
    assert related.gain is not None
    assert (alone.gain.mean, alone.finding.observations) == (related.gain.mean, 40)
    assert related.finding.observations == 4
    assert (alone.verdict, related.verdict) == ("ship", "no evidence"), "four families prove nothing"
    assert related.gain.low == 0.0
    assert related.report.gain != alone.report.gain
    assert related.report.candidate == alone.report.candidate, "what is chosen stays"
    assert "on 40 test examples in 4 groups" in related.finding.sentence
    with pytest.raises(RunMismatch, match="another group"):
        made(None, run=tmp_path / "run")


def test_the_result_says_how_many_more_examples_would_settle_it() -> None:
    result = compiled(testset=TEST[:8])
    found = result.to_json()
    assert (found["verdict"], found["sentence"]) == (result.verdict, result.finding.sentence)
    assert result.verdict == "no evidence"
    assert found["more_examples"] > 0
