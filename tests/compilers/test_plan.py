"""How many LM calls an example takes: one of each predictor and judge, and whether that is known."""

from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.test_random_search import TwoSteps, two_steps
from tests.compilers.worlds import Colour, right, things, world
from tests.each import each
from tests.evaluation.replies import number, written
from tunesmith.compilers import APE, BootstrapFewShot, Compiler, JointSearch, LabeledFewShot, Portfolio, RandomSearch
from tunesmith.compilers._effort import Effort, planned
from tunesmith.compilers._plan import calls_of_example
from tunesmith.experiments import compile_program, plan
from tunesmith.lm import Budget, FunctionLM, Seen

TRAIN, VAL, TEST = things(*range(9)), things(*range(100, 108)), things(*range(200, 204))
POLITE = ts.metrics.judge("It is polite.")
PAIRS = ts.metrics.judge("It is polite.", pairwise=True)


class Looping(TwoSteps):
    def forward(self, thing: str) -> Any:
        for _ in range(3):
            found = super().forward(thing)
        return found


@pytest.mark.parametrize("program", [dspy.Predict(Colour), ts.Predict(Colour), ts.ChainOfThought(Colour)])
def test_one_predictor_makes_one_call(program: dspy.Module) -> None:
    found = calls_of_example(program, right)
    assert (found.program, found.judge, found.known, found.note) == (1, 0, True, "")


@pytest.mark.parametrize("program", [TwoSteps(), Looping()])
def test_what_a_program_of_several_calls_is_taken_to_be_one_of_each_and_said_so(program: dspy.Module) -> None:
    found = calls_of_example(program, right)
    assert (found.program, found.known) == (2, False)
    assert "only a budget of calls bounds them" in found.note


def polite(example: Any, prediction: Any, trace: Any = None) -> float:
    return float(POLITE(example, prediction, trace).value) if prediction.colour else 0.0


def short(example: Any, prediction: Any, trace: Any = None, *, limit: int = 9) -> bool:
    return all(len(value) < limit for value in prediction.values())


@each(
    ("metric", "calls", "known"),
    [
        (right, 0, True),
        (short, 0, True),
        (lambda example, prediction, trace=None: POLITE(example, prediction), 1, False),
        (ts.metrics.exact_match("colour"), 0, True),
        (POLITE, 1, True),
        (PAIRS, 2, True),
        (PAIRS.against("colour"), 2, False),
        (ts.metrics.weighted([(POLITE, 1.0), (right, 2.0), (PAIRS, 1.0)]), 3, True),
        (ts.metrics.weighted([(POLITE, 1.0), (polite, 1.0)]), 2, False),
        (ts.metrics.gated(right, POLITE), 1, True),
        (polite, 1, False),
    ],
)
def test_the_calls_of_a_metrics_judge_are_counted(metric: Any, calls: int, known: bool) -> None:
    found = calls_of_example(dspy.Predict(Colour), metric)
    assert (found.program, found.judge, found.known, found.total) == (1, calls, known, 1 + calls)
    assert (f"taken as {1 + calls}: 1 of the program, {calls} of the metric" in found.note) is (calls > 0)


def test_an_adapter_of_the_callers_own_may_call_more_often() -> None:
    for adapter, known in ((None, True), (dspy.ChatAdapter(), False), (ts.formats.get_format("chat"), True)):
        with dspy.context(adapter=adapter):
            assert calls_of_example(dspy.Predict(Colour), right).known is known


# In a plan --------------------------------------------------------------------------------------------------


def judged(seen: Seen) -> str:
    """The world's model, and a judge that likes red."""
    if "polite" in seen.system + seen.text:
        return written(seen, verdict="good" if "red" in seen.text else "bad")
    return written(seen, colour=("red", "blue")[number(seen.text) % 2])


def given(compiler: Compiler | None, **more: Any) -> dict[str, Any]:
    return {"trainset": TRAIN, "valset": VAL, "testset": TEST, "compiler": compiler, **more}


@pytest.mark.parametrize(
    "compiler",
    [LabeledFewShot(4), BootstrapFewShot(metric=POLITE, max_rounds=2), RandomSearch(metric=POLITE, num_candidates=3)],
    ids=lambda compiler: compiler.name,
)
def test_a_judges_calls_are_in_the_plan_and_its_test_is_kept_room_for(compiler: Compiler) -> None:
    for budget in (None, 70):
        model, options = FunctionLM(judged), given(compiler, metric=POLITE, budget=budget)
        found = plan(dspy.Predict(Colour), lm=model, **options)
        assert model.requests == []
        assert found["calls_per_example"] == {"program": 1, "judge": 1, "known": True}
        assert found["notes"][-1] == "Calls per example are taken as 2: 1 of the program, 1 of the metric."

        result = compile_program(dspy.Predict(Colour), lm=model, **options)

        assert result.charged.calls <= found["calls"]["worst"]
        assert result.verdict != "untested"


def test_a_plan_is_of_the_budget_that_the_compile_is_given_less_what_is_kept_for_the_test() -> None:
    free, bound = RandomSearch(metric=right, num_candidates=6), RandomSearch(metric=right, num_candidates=6, budget=50)
    for compiler, budget in ((free, 50), (bound, None), (bound, 50)):
        found = plan(dspy.Predict(Colour), lm=FunctionLM(world()), **given(compiler, metric=right, budget=budget))
        search = RandomSearch(metric=right, num_candidates=6, budget=50 - 2 * len(TEST)).plan(train=9, val=8)
        assert found["calls"] == {kind: calls + 2 * len(TEST) for kind, calls in search["calls"].items()}
        assert found["calls"]["worst"] == 50
    assert (
        plan(dspy.Predict(Colour), lm=FunctionLM(world()), **given(bound, metric=right, budget=500))["calls"]
        == (plan(dspy.Predict(Colour), lm=FunctionLM(world()), **given(free, metric=right))["calls"])
    )
    assert bound.budget.calls == 50, "the compiler is not changed"


def test_a_worst_case_that_stands_on_an_estimate_is_within_the_budget_and_says_so() -> None:
    model, options = FunctionLM(two_steps), given(RandomSearch(metric=right, num_candidates=3), metric=right)
    free = plan(Looping(), lm=model, **options)
    assert free["calls_per_example"] == {"program": 2, "judge": 0, "known": False}
    assert "only a budget of calls bounds them" in free["notes"][-1]
    assert plan(Looping(), lm=model, **options, budget=60)["calls"]["worst"] == 60


class Thrice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict(Colour)

    def forward(self, thing: str) -> Any:
        return [self.step(thing=f"{thing} {again}") for again in range(3)][0]


def test_where_a_run_shows_more_calls_than_the_code_the_test_still_has_its_room() -> None:
    for budget in (50, 60, 100):
        options = given(RandomSearch(metric=right, num_candidates=4), metric=right, budget=budget)
        result = compile_program(Thrice(), lm=FunctionLM(world()), **options)
        assert result.charged.calls <= budget
        assert result.verdict != "untested"
        assert result.compiled is not None
        assert result.compiled.n == len(TEST)


def test_an_effort_of_several_races_is_planned_by_its_evaluations() -> None:
    effort = Effort(
        candidates=20, race="bf", races=3, evaluations=100, proposals=90, runs=70, most_runs=70, start=(10, 5)
    )

    found = planned(effort, Budget(calls=2000), val=100, calls=1.0)
    short = planned(effort, Budget(calls=200), val=100, calls=1.0)

    assert found["calls"] == {"expected": 760, "worst": 760}
    assert found["notes"] == []
    assert "runs on training examples about 10, proposals 5" in short["notes"][0]
    assert planned(effort, Budget(calls=215), val=100, calls=1.0)["notes"] == []


@each(
    ("compiler", "budget"),
    [
        (JointSearch(num_candidates=4, proposals=0, formats=["bare"]), Budget(calls=160)),
        (JointSearch(num_candidates=4, proposals=0, formats=["bare"]), Budget(tokens=100_000)),
        (Portfolio(num_candidates=4, proposals=0), Budget(tokens=100_000)),
    ],
)
def test_the_worst_case_holds_where_a_search_goes_on_while_there_is_room(compiler: Compiler, budget: Budget) -> None:
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world()), "compiler": compiler}
    worst = plan(dspy.Predict(Colour), **given, budget=budget)["calls"]["worst"]
    charged = compile_program(dspy.Predict(Colour), **given, budget=budget, mirror=False).charged.calls
    alone = plan(dspy.Predict(Colour), **given)["calls"]["worst"]
    assert charged <= worst == (alone if budget.calls is None else budget.calls)


def test_a_portfolio_ends_at_its_candidates_however_large_the_budget() -> None:
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world())}
    given |= {"compiler": Portfolio(num_candidates=4, proposals=0)}
    worst = plan(dspy.Predict(Colour), **given, budget=5000)["calls"]["worst"]
    assert worst == plan(dspy.Predict(Colour), **given)["calls"]["worst"] < 100
    assert compile_program(dspy.Predict(Colour), **given, budget=5000, mirror=False).charged.calls <= worst


def test_a_plan_of_a_race_of_very_many_is_as_quick_as_one_of_some() -> None:
    few, many = (APE(metric=right, questions=count).plan(train=10, val=20)["calls"] for count in (400, 10**9))
    assert few["expected"] / 2000 == pytest.approx(many["expected"] / (5 * 10**9), rel=0.1)
