"""The budget is a contract: no call above the cap, a plan that holds, the best so far at the cap, room for its test."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.compilers import worlds
from tests.compilers.test_random_search import TwoSteps, two_steps
from tests.compilers.worlds import Colour, chance, right, things, world
from tests.experiments.plain_programs import Pipeline
from tests.experiments.worlds import model as plain_model
from tests.scale import FULL, scaled
from tunesmith.compilers import BootstrapFewShot, Compiler, CompileResult, LabeledFewShot, RandomSearch
from tunesmith.errors import BudgetExceeded, ContextOverflow, ModelUnavailable, RequestRefused, UsageError
from tunesmith.evaluation import RACES
from tunesmith.experiments import compile_program, plan
from tunesmith.lm import LM, Budget, FunctionLM, ReplyCache, Seen

TRAIN, VAL, TEST = things(*range(9)), things(*range(100, 108)), things(*range(200, 204))
CALLS = {dspy.Predict: 1, TwoSteps: 2}  # of one run of a program


@dataclass(frozen=True)
class Case:
    """One compile, drawn at random."""

    program: dspy.Module
    answer: Callable[[Seen], str]
    compiler: Compiler
    slots: int
    test: bool
    faults: float

    @classmethod
    def of(cls, rng: random.Random, *, faults: Sequence[float], idle: bool = True) -> "Case":
        """Draw one; with `idle`, also of compilers that have nothing to try, as labelled demos without labels."""
        one, two = (dspy.Predict(Colour), world()), (TwoSteps(), two_steps)
        program, answer = rng.choice([one, two])
        made = compiler(rng, kinds=KINDS if idle or program is one[0] else KINDS[1:], fewest=0 if idle else 1)
        return cls(program, answer, made, rng.randint(1, 8), rng.random() < 0.8, rng.choice(faults))

    def given(self) -> dict[str, Any]:
        return {
            "metric": right,
            "trainset": TRAIN,
            "valset": VAL,
            "testset": TEST if self.test else None,
            "compiler": self.compiler,
        }


KINDS = (LabeledFewShot, BootstrapFewShot, RandomSearch)


def compiler(rng: random.Random, *, kinds: Sequence[Any], fewest: int) -> Compiler:
    kind, rounds = rng.choice([*kinds, RandomSearch, RandomSearch]), rng.randint(1, 3)
    if kind is LabeledFewShot:
        return LabeledFewShot(rng.randint(fewest, 8), metric=right)
    if kind is BootstrapFewShot:
        return BootstrapFewShot(metric=right, max_bootstrapped_demos=rng.randint(fewest, 4), max_rounds=rounds)
    race = rng.choice(["paired-halving", rng.choice(list(RACES))])
    return RandomSearch(
        metric=right,
        num_candidates=rng.randint(1, 6),
        max_labeled_demos=6,
        max_bootstrapped_demos=rng.randint(fewest, 2),
        max_rounds=rounds,
        race=race,
        sampler=rng.choice(["random"] * 4 + ["grid"]),
        bounds=(0, 1) if race == "bound" else None,
        seed=rng.randrange(1000),
    )


class Watched:
    """A model that is slow now and then, fails now and then, goes away once, and notes what it answered."""

    def __init__(self, case: Case, *, away_after: int | None = None) -> None:
        self.answered: set[str] = set()
        self._case, self._left, self._lock = case, away_after, threading.Lock()

    def answer(self, seen: Seen) -> str:
        name = repr((seen.system, seen.messages, seen.request.config))
        if chance("slow", name) > 0.9:
            time.sleep(chance("slow", name) ** 8 / 1000)
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise ModelUnavailable("the server is gone")
        fault = chance("fault", name) / self._case.faults if self._case.faults else 1.0
        if fault < 0.3:
            raise RequestRefused("the engine does not like it")
        if fault < 0.4:
            raise OSError("the wire broke")
        with self._lock:
            self.answered.add(name)
        if fault < 0.7:
            raise ContextOverflow("too long", prompt_tokens=9, context_tokens=8)
        return "neither this nor that" if fault < 1 else self._case.answer(seen)

    def back(self) -> None:
        self._left = None


def run(case: Case, model: LM, **options: Any) -> CompileResult:
    return compile_program(case.program, lm=model, **case.given(), **options)


@pytest.mark.timeout(900)
def test_never_is_one_call_charged_above_the_cap() -> None:
    """Random caps, compilers, races, programs, one to eight threads, replies that fail."""
    for number in range(scaled(240)):
        rng = random.Random(number)
        case, cap = Case.of(rng, faults=(0.0, 0.05, 0.3)), rng.randint(0, 110)
        watched = Watched(case)
        model = FunctionLM(watched.answer, slots=case.slots)
        if cap < CALLS[type(case.program)] * (len(VAL) + 2 * len(TEST) * case.test + 1):
            with contextlib.suppress(BudgetExceeded, UsageError):  # one or the other is right: there is no room
                run(case, model, budget=cap)
        else:
            most = plan(case.program, lm=model, **case.given(), budget=cap)["calls"]["worst"]
            result = run(case, model, budget=cap)
            assert result.charged.calls == len(watched.answered) <= most <= cap
            assert_the_best_so_far_is_tested(case, result)
        assert len(watched.answered) <= cap


def assert_the_best_so_far_is_tested(case: Case, result: CompileResult) -> None:
    report = result.report
    whole = {trial.candidate: trial.mean for trial in report.trials if trial.n == len(VAL)}
    assert report.compiled.mean == max(mean for mean in whole.values() if mean is not None)
    assert report.candidate in whole
    if case.test:
        assert result.tested
        assert result.baseline.n == result.compiled.n == len(TEST), "room for testing was kept back"


def test_an_outage_in_between_makes_room_for_nothing_more(tmp_path: Path) -> None:
    for number in range(scaled(40)):
        rng = random.Random(f"outage {number}")
        case, cap = Case.of(rng, faults=(0.0,)), rng.randint(40, 110)
        watched = Watched(case, away_after=rng.randint(0, 60))
        model = FunctionLM(watched.answer, slots=case.slots, cache=ReplyCache(tmp_path / str(number)))
        try:
            run(case, model, budget=cap)
        except ModelUnavailable:
            assert len(watched.answered) <= cap
            watched.back()
            charged = run(case, model, budget=cap).charged.calls
            assert charged == len(watched.answered) <= cap, "what was answered before is asked for again"
        else:
            assert len(watched.answered) <= cap


@pytest.mark.parametrize("tokens", [9_000, 16_000])
def test_what_a_budget_of_tokens_finds_does_not_depend_on_the_slots(tokens: int) -> None:
    """With eight, what was kept for calls under way left no room for a candidate that one slot had room for."""

    def found(slots: int) -> tuple[Any, ...]:
        result = compile_program(
            Pipeline(),
            metric=right,
            trainset=worlds.TRAIN[:20],
            valset=worlds.VAL,
            testset=worlds.TEST,
            lm=FunctionLM(plain_model, slots=slots),
            compiler=RandomSearch(metric=right, num_candidates=4, max_labeled_demos=4),
            budget=Budget(tokens=tokens),
        )
        charged = result.charged
        return result.report.candidate, len(result.report.trials), charged.calls, charged.tokens, result.notes

    assert found(8) == found(1)


def planned_and_charged(number: int) -> tuple[dict[str, int], int]:
    """Return what a plan says of one compile drawn at random, half of them with a budget, and what it is charged."""
    rng = random.Random(f"plan {number}")
    case = Case.of(rng, faults=(0.0, 0.05), idle=False)
    watched, budget = Watched(case), rng.choice([None, rng.randint(40, 110)])
    model = FunctionLM(watched.answer, slots=case.slots)
    found = plan(case.program, lm=model, **case.given(), budget=budget)["calls"]
    assert not watched.answered
    return found, run(case, model, budget=budget).charged.calls


def near(found: dict[str, int], charged: int) -> bool:
    return abs(charged - found["expected"]) <= 0.3 * found["expected"]


@pytest.mark.timeout(900)
def test_the_worst_case_of_a_plan_is_never_exceeded_and_its_expectation_is_near() -> None:
    runs = [planned_and_charged(number) for number in range(scaled(200))]
    assert all(charged <= found["worst"] for found, charged in runs)
    assert all(found["expected"] <= found["worst"] for found, _ in runs)
    assert sum(near(found, charged) for found, charged in runs) >= 0.8 * len(runs)


@pytest.mark.parametrize("race", sorted(RACES) if FULL else ["block-race", "paired-halving"])
def test_the_expectation_of_a_race_is_what_it_takes(race: str) -> None:
    runs, bounds = [], (0, 1) if race == "bound" else None
    for seed in range(scaled(20)):
        search = RandomSearch(metric=right, num_candidates=6, race=race, seed=seed, bounds=bounds)
        with dspy.context(lm=FunctionLM(world())):
            program = search.compile(dspy.Predict(Colour), trainset=things(*range(30)), valset=things(*range(100, 120)))
        runs.append((search.plan(train=30, val=20)["calls"], program.compile_report.charged.calls))
    assert sum(near(found, charged) for found, charged in runs) >= 0.8 * len(runs)


def test_a_budget_of_calls_limits_both_cases_of_every_plan() -> None:
    budget = Budget(calls=37)
    for made in (
        LabeledFewShot(4, metric=right, budget=budget),
        BootstrapFewShot(metric=right, budget=budget),
        RandomSearch(metric=right, budget=budget),
        RandomSearch(metric=right, budget=budget, sampler="tpe"),
    ):
        found = made.plan(train=100, val=50, calls=2.0)["calls"]
        assert found == {"expected": 37, "worst": 37}


def test_a_plan_counts_baseline_race_leaders_and_bootstrapping() -> None:
    full = RandomSearch(metric=right, num_candidates=5, race="full", max_rounds=3)
    assert full.plan(train=10, val=20)["calls"] == {"expected": 6 * 20, "worst": 6 * 20 + 30}
    assert full.plan(train=10, val=20, calls=2.0)["calls"] == {"expected": 2 * (120 + 20), "worst": 2 * (120 + 30)}

    raced = RandomSearch(metric=right, num_candidates=16).plan(train=10, val=200)["calls"]
    assert 200 * 4 < raced["expected"] < 200 * 17 * 0.8, "three leaders are scored whole, most candidates are not"
    boot = BootstrapFewShot(metric=right, max_bootstrapped_demos=4, max_rounds=2, slots=3)
    assert boot.plan(train=100, val=20)["calls"] == {"expected": 40 + 12, "worst": 40 + 200}
    assert BootstrapFewShot(metric=right, max_bootstrapped_demos=0).plan(train=100, val=20)["calls"]["worst"] == 40


def test_a_plan_is_the_same_every_time() -> None:
    plans = [RandomSearch(metric=right, race="block-race", seed=seed).plan(train=9, val=70) for seed in (0, 1, 0)]
    assert plans[0] == plans[2]
