"""Credit in programs of several predictors: which one is to blame for a failure."""

from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import right
from tests.each import each
from tests.evaluation.replies import number, object_names, written
from tunesmith.compilers import RandomSearch, Search, job_of
from tunesmith.errors import UsageError
from tunesmith.evaluation import Ledger
from tunesmith.lm import FunctionLM, Meter, Seen

COLOURS = ("red", "green", "blue")


class Paint(ts.Signature):
    """Name the colour of the kind."""

    kind: str = ts.InputField()
    colour: Literal["red", "green", "blue"] = ts.OutputField()


class Chain(dspy.Module):
    """Finds the kind of a thing, asks a step that changes nothing for some, and then for the colour of the kind."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict("thing -> kind")
        self.extra = dspy.Predict("kind -> remark")
        self.paint = dspy.Predict(Paint)

    def forward(self, thing: str) -> dspy.Prediction:
        kind = self.sort(thing=thing).kind
        if number(thing) % 2:
            self.extra(kind=kind)
        return self.paint(kind=kind)


def things(*numbers: int, **more: Any) -> list[dspy.Example]:
    """Return examples; the kind of thing n is `kind n`, and its colour the n-th."""
    return [dspy.Example(thing=f"thing {n}", colour=COLOURS[n % 3], **more).with_inputs("thing") for n in numbers]


def model(*, sorts: Any = lambda n: n, paints: Any = lambda n: n, name: str = "m") -> Any:
    """Return a model that sorts thing n as kind `sorts(n)` and paints kind n in colour `paints(n)`."""

    def answer(seen: Seen) -> str:
        n = number(seen.text)
        if "module" in (object_names(seen) or []):
            return written(seen, evidence="It shows.", fix="Look twice.", module="paint")
        if "remark" in seen.system:
            return written(seen, remark="none")
        if "colour" in seen.system:
            return written(seen, colour=COLOURS[paints(n) % 3])
        return written(seen, kind=f"kind {sorts(n)}")

    return FunctionLM(answer, name=name)


def search_of(lm: Any, train: Any = None, **options: Any) -> Search:
    given = {"trainset": things(*range(8)) if train is None else train, "valset": things(20, 21), "lm": lm}
    meter = options.pop("meter", None)
    return Search(job_of(Chain(), RandomSearch(metric=right), **given, **options), meter=meter)


def blamed(search: Search, **options: Any) -> dict[str, list[str]]:
    wrong = search.failures(search.base, 8)
    found = search.credit(search.base, wrong, **options)
    return {path: sorted(one.example.thing for one in outcomes) for path, outcomes in found.items()}


SORTS_WRONG, PAINTS_WRONG = ({"sorts": lambda n: n + (n in (2, 3))}, {"paints": lambda n: n + (n in (2, 3))})
BOTH = ["thing 2", "thing 3"]


def test_a_predictor_that_did_not_run_is_not_to_blame() -> None:
    found = blamed(search_of(model(**SORTS_WRONG)), by=())
    assert found == {"sort": BOTH, "extra": ["thing 3"], "paint": BOTH}


@each(
    ("wrong", "expected"),
    [
        (SORTS_WRONG, {"sort": BOTH, "extra": [], "paint": []}),
        # The labels say nothing of `extra`, which ran for thing 3 and may be to blame.
        (PAINTS_WRONG, {"sort": ["thing 3"], "extra": ["thing 3"], "paint": BOTH}),
    ],
)
def test_replay_blames_the_predictor_whose_better_output_makes_it_right(wrong: Any, expected: Any) -> None:
    train = [one.copy(kind=f"kind {number(one.thing)}").with_inputs("thing") for one in things(*range(8))]
    assert blamed(search_of(model(**wrong), train), by=("replay",)) == expected


def test_only_what_comes_after_the_replayed_predictor_is_run_again() -> None:
    train = [one.copy(kind=f"kind {number(one.thing)}", remark="x").with_inputs("thing") for one in things(*range(8))]
    lm = model(**PAINTS_WRONG)
    search = search_of(lm, train)
    wrong = search.failures(search.base, 8)
    asked = len(lm.requests)

    found = search.credit(search.base, wrong)

    assert sorted(one.example.thing for one in found["paint"]) == BOTH
    # Thing 2: `paint` after a right kind. Thing 3: `extra` and `paint` after a right kind, `paint` after a remark.
    assert len(lm.requests) - asked == 1 + 2 + 1
    assert search.meter.paid.calls == len(lm.requests)
    (note,) = [note for note in search.finish().notes if "blamed" in note]
    assert note == "Failures were blamed on predictors: paint 2 (by replay 2)."


def test_a_run_that_passed_shows_the_first_difference_and_is_what_replay_takes() -> None:
    lm = model(**SORTS_WRONG)
    search = search_of(lm)
    better = search.base.with_part("sort", instruction="Sort it well.")
    wrong = search.failures(search.base, 8)
    assert search.credit(search.base, wrong, by=("variability",))["extra"], "nothing passed yet: all that ran"

    good = model()
    lm._stack.engine._function = good._stack.engine._function
    assert search.failures(better, 8) == []

    for method in ("variability", "replay"):
        found = search.credit(search.base, wrong, by=(method,))
        assert {path: len(outcomes) for path, outcomes in found.items()} == {"sort": 2, "extra": 0, "paint": 0}


def test_a_teacher_shows_better_outputs() -> None:
    search = search_of(model(**SORTS_WRONG), teacher=model(name="teacher"))
    assert blamed(search, by=("replay",)) == {"sort": BOTH, "extra": [], "paint": []}
    assert search.meter.by_role()["charged"]["teacher"].calls == 2 + 3


def test_the_prompt_model_names_a_step_that_ran_and_says_what_to_do() -> None:
    lm = model(**PAINTS_WRONG)
    search = search_of(lm)
    found = search.credit(search.base, search.failures(search.base, 8), by=("lm",))
    assert sorted(one.example.thing for one in found["paint"]) == BOTH
    assert all("It shows. Look twice." in one.feedback for one in found["paint"])
    assert found["sort"] == found["extra"] == []


def test_replay_is_left_out_if_it_would_take_much_of_what_is_left() -> None:
    train = [one.copy(kind=f"kind {number(one.thing)}").with_inputs("thing") for one in things(*range(8))]
    search = search_of(model(**PAINTS_WRONG), train, meter=Meter(ts.Budget(calls=32)))
    search.score(search.base)
    assert blamed(search) == {"sort": BOTH, "extra": ["thing 3"], "paint": BOTH}
    assert any("Failures were not replayed" in note for note in search.notes)


def test_a_frozen_predictor_gets_no_failures() -> None:
    search = search_of(model(**SORTS_WRONG), freeze=["sort"])
    assert set(blamed(search, by=())) == {"extra", "paint"}


def test_one_predictor_is_to_blame_for_all_and_nothing_is_run() -> None:
    lm = model(sorts=lambda n: n)
    job = job_of(
        dspy.Predict("thing -> colour"), RandomSearch(metric=right), trainset=things(1), valset=things(2), lm=lm
    )
    search = Search(job)
    wrong = search.failures(search.base, 1)
    asked = len(lm.requests)
    assert list(search.credit(search.base, wrong, by=("replay", "lm"))) == ["self"]
    assert len(lm.requests) == asked


def test_replays_come_from_the_ledger_when_a_run_goes_on(tmp_path: Path) -> None:
    train = [one.copy(kind=f"kind {number(one.thing)}").with_inputs("thing") for one in things(*range(8))]
    lms = model(**PAINTS_WRONG), model(**PAINTS_WRONG)
    found = []
    for lm in lms:
        with Ledger(tmp_path / "ledger.db") as ledger:
            given = {"trainset": train, "valset": things(20), "lm": lm}
            search = Search(job_of(Chain(), RandomSearch(metric=right), **given), ledger=ledger)
            found.append(search.credit(search.base, search.failures(search.base, 8), by=("replay",)))
    assert found[0] == found[1]
    assert lms[0].requests
    assert not lms[1].requests


def test_a_metric_of_five_arguments_speaks_of_each_predictor() -> None:
    def metric(example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        if pred_name is None:
            return ts.Score(float(right(example, prediction)), "the whole")
        if pred_name == "extra":
            raise KeyError("no words")
        ((_, inputs, outputs),) = pred_trace
        assert len(trace) > 1
        return dspy.Prediction(score=0.0, feedback=f"{pred_name} of {list(inputs.values())} is {outputs.toDict()}")

    given = {"trainset": things(*range(8)), "valset": things(20), "lm": model(**PAINTS_WRONG)}
    search = Search(job_of(Chain(), RandomSearch(metric=metric), **given))
    wrong = sorted(search.failures(search.base, 8), key=lambda one: one.example.thing)
    assert [one.feedback for one in wrong] == ["the whole"] * 2

    found = search.credit(search.base, wrong, by=())

    assert found["sort"][0].feedback == "sort of ['thing 2'] is {'kind': 'kind 2'}"
    assert found["paint"][0].feedback == "paint of ['kind 2'] is {'colour': 'red'}"
    assert found["extra"][0].feedback == "the whole"
    assert any("failed on a single predictor (KeyError)" in note for note in search.notes)


def test_an_unknown_method_is_refused() -> None:
    search = search_of(model())
    with pytest.raises(UsageError, match=r"no credit by 'guess'\. Use any of: replay, variability, lm"):
        search.credit(search.base, [], by=("guess",))
