"""One compile in progress: what is paid once, what is compared, what wins."""

from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.each import each
from tunesmith.compilers import Session, few_shot_candidate
from tunesmith.data import example_key
from tunesmith.errors import BudgetExceeded, MetricError
from tunesmith.lm import Budget, FunctionLM, Meter
from tunesmith.modules import Candidate


def session_of(**options: Any) -> Session:
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world()), "meter": Meter(), "seed": 0}
    return Session(dspy.Predict(Colour), **{**given, **options})


def candidates(count: int) -> list[Candidate]:
    return [few_shot_candidate(dspy.Predict(Colour), TRAIN, 3, seed) for seed in range(count)]


def test_a_score_is_asked_for_once() -> None:
    model = FunctionLM(world())
    session = session_of(lm=model)

    few = session.report(session.baseline, 10)
    more = session.report(session.baseline, 25)
    again = session.report(session.baseline, 5)

    assert len(model.requests) == 25
    assert more.rows[:10] == few.rows
    assert again.rows == few.rows[:5]
    assert session.seen(session.baseline) == (25, more.mean)


def test_all_candidates_meet_the_same_examples_in_one_shuffled_order() -> None:
    session, other = session_of(seed=1), session_of(seed=2)
    first, second = candidates(2)

    keys = [row.key for row in session.report(first, 8).rows]

    assert keys == [row.key for row in session.report(second, 8).rows]
    assert keys == [row.key for row in session_of(seed=1).report(first, 8).rows]
    assert keys != [row.key for row in other.report(first, 8).rows]
    assert keys != [example_key(example) for example in VAL[:8]]


def test_only_candidates_that_were_scored_whole_can_win() -> None:
    session = session_of()
    base = session.report(session.baseline)
    session.record(session.baseline, "given", base.mean, base.n)
    for candidate in candidates(6):
        report = session.report(candidate, 29)
        session.record(candidate, "draw", 1.0, report.n)

    chosen, report, _ = session.best()

    assert chosen == session.baseline
    assert report.rows == base.rows


def test_the_best_by_paired_gain_wins_and_the_student_wins_ties() -> None:
    session = session_of()
    base = session.report(session.baseline)
    session.record(session.baseline, "given", base.mean, base.n)
    tried = candidates(6)
    for candidate in tried:
        report = session.report(candidate)
        session.record(candidate, "draw", report.mean, report.n)

    chosen, report, _ = session.best()
    means = [session.report(candidate).mean or 0.0 for candidate in tried]
    assert report.mean == max(*means, base.mean or 0.0)
    assert chosen == tried[means.index(max(means))]

    same = session_of(metric=lambda example, prediction, trace=None: 0.5)
    for candidate in (same.baseline, *tried):
        found = same.report(candidate)
        same.record(candidate, "any", found.mean, found.n)
    assert same.best()[0] == same.baseline


@each(
    ("budget", "room"),
    [
        (Budget(), None),
        (Budget(calls=100), 70),
        (Budget(calls=30), 0),
        (Budget(usd=5.0), None),
    ],
)
def test_room_is_how_many_evaluations_the_budget_still_pays(budget: Budget, room: int | None) -> None:
    session = session_of(meter=Meter(budget))
    session.report(session.baseline)
    assert session.room() == room


def test_room_is_judged_by_the_dearest_candidate() -> None:
    session = session_of(meter=Meter(Budget(tokens=5_000)))
    session.report(session.baseline)
    before = session.room()
    session.report(few_shot_candidate(dspy.Predict(Colour), TRAIN, 12, 0), 4)
    after = session.room()

    assert before is not None
    assert after is not None
    assert after < before / 2


def test_the_end_of_the_budget_keeps_what_was_scored_before() -> None:
    session = session_of(meter=Meter(Budget(calls=45)))
    base = session.report(session.baseline)
    (candidate,) = candidates(1)
    session.report(candidate, 10)

    with pytest.raises(BudgetExceeded):
        session.report(candidate)
    assert session.seen(candidate)[0] == 10
    assert session.report(session.baseline).rows == base.rows


def test_failures_of_the_metric_are_counted_over_the_whole_validation_set() -> None:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        if example.thing in broken:
            raise KeyError("label")
        return True

    many = [example.copy(thing=f"thing {500 + i}") for i, example in enumerate(VAL * 2)]
    for count in (1, 2):
        session = session_of(metric=metric, valset=many)
        broken = {example.thing for example in session.valset[:count]}
        for n in (1, 2, 60) if count == 1 else ():
            assert session.report(session.baseline, n).metric_errors == 1
        if count == 2:  # 2 of 60 are more than 2 %, although they come one by one
            session.report(session.baseline, 1)
            with pytest.raises(MetricError, match="2 examples, more than 2% of 60"):
                session.report(session.baseline, 2)
