"""A child against its parent: how many examples it takes, and when it is dropped."""

from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compilers.worlds import TRAIN, VAL, Colour, right
from tests.each import each
from tests.evaluation.replies import number, written
from tunesmith.compilers import RandomSearch, Search, job_of
from tunesmith.compilers._gates import gains_on_train, leaning, scored_whole
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate


def search_of(answers: Any) -> Search:
    """Return a search whose model answers with what `answers` gives for an instruction and a thing."""
    model = FunctionLM(lambda seen: written(seen, colour=_colour(seen, answers)))
    return Search(job_of(dspy.Predict(Colour), RandomSearch(metric=right), trainset=TRAIN, valset=VAL, lm=model))


def _colour(seen: Seen, answers: Any) -> str:
    thing = number(seen.text)
    truth = next(e.colour for e in (*TRAIN, *VAL) if e.thing == f"thing {thing}")
    return truth if answers("Child." in seen.system, thing) else {"red": "blue"}.get(truth, "red")


def child_of(search: Search) -> Candidate:
    return search.base.with_part("self", instruction="Child.")


@each(
    ("differences", "wanted"),
    [
        ([], 0),
        ([0, 0, 0], 0),
        ([1, 0, 0], 0),
        ([1, 1, 0], 1),
        ([-1, 0, 0], -1),
        ([1, -1, 0], 0),
        ([1, 1, 1, -1], 0),
        ([0.02, 0.02, 0.01], 1),
        ([-0.01, 0.02, -0.02], 0),
    ],
)
def test_a_child_is_ahead_with_two_wins_and_behind_with_one_loss(differences: list[float], wanted: int) -> None:
    assert leaning(differences) == wanted


@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), max_size=20), st.sampled_from([0.001, 7.0]))
def test_the_scale_of_the_metric_does_not_matter(differences: list[float], scale: float) -> None:
    assert leaning([scale * difference for difference in differences]) == leaning(differences)


@each(
    ("answers", "looked", "better"),
    [
        (lambda child, thing: child, 3, True),
        (lambda child, thing: not child, 3, False),
        (lambda child, thing: thing % 2, 12, False),
    ],
    ids=["better", "worse", "equal"],
)
def test_more_examples_are_looked_at_while_the_first_do_not_tell(answers: Any, looked: int, better: bool) -> None:
    search = search_of(answers)
    gains = gains_on_train(search, search.base, child_of(search), start=5, step=3, most=12)
    assert (len(gains), sum(gains) > 0) == (looked, better)
    assert len(gains_on_train(search, search.base, child_of(search), start=5, step=3, most=3)) == 3


@each(
    ("answers", "options", "seen"),
    [
        (lambda child, thing: not child, {"parts": 3}, 10),
        (lambda child, thing: not child, {"parts": 1}, 30),
        (lambda child, thing: True, {"parts": 3}, 30),
        (lambda child, thing: not child, {"parts": 30, "highest": 1.0}, 1),
        (lambda child, thing: not child or thing % 2, {"parts": 30, "highest": 1.0}, 2),
    ],
)
def test_a_child_that_falls_behind_is_not_scored_to_the_end(answers: Any, options: dict[str, Any], seen: int) -> None:
    search = search_of(answers)
    search.score(search.base)

    report = scored_whole(search, search.base, child_of(search), origin="child", **options)

    assert search.seen(child_of(search)) == pytest.approx(seen, abs=3 if seen == 2 else 0)
    assert (report is None) == (seen < len(VAL))
