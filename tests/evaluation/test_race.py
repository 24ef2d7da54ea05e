"""Races: the budget is kept, the field is ranked, ties and failures are handled, and what each promises."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.evaluation import RACES, RaceResult

paired_halving = RACES["paired-halving"]
BY_LENGTH = ("full", "bf", "bound", "sr", "multistage", "paired-halving", "block-race", "wilcoxon")
BY_MEAN = ("ucb", "ucb-e")


@dataclass
class Table:
    """Scores of every candidate on every example, and what was asked of them."""

    scores: Sequence[Sequence[float | None]]
    asked: dict[int, int] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)

    def extend(self, candidate: int, n: int) -> list[float | None]:
        assert 0 <= n <= len(self.scores[candidate]), "a race asked for more examples than there are"
        assert n > self.asked.get(candidate, 0), "a race asked for what it had"
        self.asked[candidate] = n
        self.order.append((candidate, n))
        return list(self.scores[candidate][:n])

    @property
    def spent(self) -> int:
        return sum(self.asked.values())


def table(count: int, total: int, seed: int, kind: str = "binary") -> Table:
    rng = random.Random(seed)
    draws = {
        "binary": lambda: float(rng.random() < 0.5),
        "graded": lambda: rng.choice([0.0, 0.25, 0.5, 1.0]),
        "unbounded": lambda: rng.gauss(-3, 20),
        "failing": lambda: rng.choice([None, 0.0, 1.0]),
        "equal": lambda: 0.7,
        "failed": lambda: None,
    }
    draw = draws[kind]
    return Table([[draw() for _ in range(total)] for _ in range(count)])


def mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


races = st.sampled_from(sorted(RACES))
kinds = st.sampled_from(["binary", "graded", "unbounded", "failing", "equal", "failed"])
counts, totals, budgets, seeds = st.integers(1, 30), st.integers(1, 80), st.integers(0, 3000), st.integers(0, 99)


@given(races, counts, totals, budgets, seeds, kinds, st.booleans())
def test_a_race_never_spends_more_than_its_budget_and_ranks_whoever_it_saw(
    race: str, count: int, total: int, budget: int, seed: int, kind: str, bounded: bool
) -> None:
    world = table(count, total, seed, kind)
    bounds = (0.0, 1.0) if bounded and kind != "unbounded" else None

    results = RACES[race](count, world.extend, total, budget, bounds=bounds, seed=seed)

    assert world.spent <= budget
    assert sorted(s.candidate for s in results) == sorted(world.asked)
    for result in results:
        assert result.n == world.asked[result.candidate]
        expected = mean(world.scores[result.candidate][: result.n])
        assert result.mean == (None if expected is None else pytest.approx(expected))
    assert bool(results) == (budget >= count)


@given(races, counts, totals, budgets, seeds)
@example("s-sr", 3, 29, 6, 40)
@example("s-sr", 4, 79, 6, 14)
def test_scores_from_before_cost_a_race_nothing(race: str, count: int, total: int, budget: int, seed: int) -> None:
    world, rng = table(count, total, seed), random.Random(seed)
    known = [rng.choice([0, 3, total]) for _ in range(count)]

    results = RACES[race](count, world.extend, total, budget, seed=seed, known=known)

    assert sum(max(0, n - known[candidate]) for candidate, n in world.asked.items()) <= budget
    assert budget >= known.count(0) or not results
    assert results or budget < count


def worth(result: RaceResult) -> float:
    return float("-inf") if result.mean is None else result.mean


@given(st.sampled_from(BY_LENGTH + BY_MEAN), counts, totals, budgets, seeds, kinds)
def test_the_order_is_the_longest_seen_and_then_the_best_and_of_bandits_the_best(
    race: str, count: int, total: int, budget: int, seed: int, kind: str
) -> None:
    results = RACES[race](count, table(count, total, seed, kind).extend, total, budget)

    if race in BY_LENGTH:
        assert results == sorted(results, key=lambda s: (-s.n, -worth(s), s.candidate))
    else:
        assert results == sorted(results, key=lambda s: (-worth(s), -s.n, s.candidate))


@given(races, counts, totals, budgets, seeds)
def test_the_same_scores_and_seed_give_the_same_race(race: str, count: int, total: int, budget: int, seed: int) -> None:
    one, two = (table(count, total, seed) for _ in range(2))

    first = RACES[race](count, one.extend, total, budget, seed=seed)
    again = RACES[race](count, two.extend, total, budget, seed=seed)

    assert (first, one.order) == (again, two.order)


@given(races, st.integers(2, 12), st.integers(8, 40), seeds)
def test_a_candidate_that_is_right_where_all_others_are_wrong_wins(
    race: str, count: int, total: int, seed: int
) -> None:
    best = seed % count
    world = Table([[float(k == best)] * total for k in range(count)])

    assert RACES[race](count, world.extend, total, count * total, seed=seed)[0].candidate == best


@each("race", sorted(RACES))
def test_a_race_without_candidates_or_budget_spends_nothing(race: str) -> None:
    world = table(5, 20, 0)

    assert RACES[race](0, world.extend, 20, 100) == []
    assert RACES[race](5, world.extend, 20, 0) == []
    assert RACES[race](5, world.extend, 20, 4) == []
    assert world.spent == 0


@each("race", sorted(RACES))
def test_one_candidate_is_shown_what_the_budget_allows(race: str) -> None:
    world = table(1, 20, 0)

    assert [s.n for s in RACES[race](1, world.extend, 20, 13)] == [13]


@each("race", sorted(RACES))
def test_scores_follow_the_number_of_a_candidate_not_its_place_in_the_field(race: str) -> None:
    # Candidate 0 goes first, so every later place in the field differs from the number that stands there.
    worths = [0.0, 0.1, 0.2, 0.3, 0.4, 1.0, 0.6, 0.7]
    rng = random.Random(4)
    world = Table([[worth + rng.uniform(-0.02, 0.02) for _ in range(64)] for worth in worths])

    results = RACES[race](8, world.extend, 64, 400)

    assert results[0].candidate == 5
    for result in results:
        assert result.mean == pytest.approx(worths[result.candidate], abs=0.03)


@each("race", sorted(set(RACES) - {"s-sr"}))
def test_ties_go_to_the_earlier_candidate(race: str) -> None:
    world = Table([[1.0] * 32 for _ in range(6)])

    assert RACES[race](6, world.extend, 32, 10_000)[0].candidate == 0


@each("race", sorted(RACES))
def test_a_race_of_scaled_and_shifted_scores_is_the_same_race(race: str) -> None:
    plain = table(8, 60, 1, "graded")
    moved = Table([[None if s is None else 8 * s - 64 for s in row] for row in plain.scores])

    one = RACES[race](8, plain.extend, 60, 300)
    two = RACES[race](8, moved.extend, 60, 300)

    assert plain.order == moved.order
    assert [s.candidate for s in one] == [s.candidate for s in two]


@each("race", ["full", "bf", "bound", "multistage", "paired-halving", "sh", "sr", "block-race", "wilcoxon"])
def test_a_block_is_finished_by_everybody_before_the_next_begins(race: str) -> None:
    world = table(8, 64, 3)

    RACES[race](8, world.extend, 64, 300)

    ends = [n for _, n in world.order]
    assert ends == sorted(ends)
    assert len(set(world.order)) == len(world.order)


def test_halving_asks_the_losers_for_less_than_the_winner() -> None:
    world = Table([[k / 16] * 100 for k in range(16)])

    paired_halving(16, world.extend, 100, 800, alpha=None)

    assert [world.asked[k] for k in range(16)] == [25] * 8 + [50] * 4 + [100] * 4
    assert world.spent == 800


def test_halving_drops_at_once_who_is_clearly_beaten() -> None:
    world = Table([[k / 16] * 100 for k in range(16)])

    results = paired_halving(16, world.extend, 100, 800)

    assert results[0].candidate == 15
    assert set(world.asked.values()) == {results[0].n}


def test_halving_halves_on_common_prefixes() -> None:
    world = table(8, 64, 3)

    paired_halving(8, world.extend, 64, 300)

    rounds: dict[int, list[int]] = {}
    for candidate, n in world.order:
        rounds.setdefault(n, []).append(candidate)
    assert [len(set(found)) for _, found in sorted(rounds.items())] == [8, 4, 2]


@given(st.integers(2, 30), st.integers(8, 200), st.integers(1, 100))
def test_halving_uses_its_budget(count: int, total: int, percent: int) -> None:
    budget = count * total * percent // 100
    world = table(count, total, 0)

    paired_halving(count, world.extend, total, budget, alpha=None)

    # What is left does not reach for one more example of everybody, round by round.
    assert budget - world.spent <= max(count, 2 * count) or world.spent == count * total or budget < 8 * count


# The arithmetic bound ------------------------------------------------------------------------------------------


@given(st.integers(1, 20), totals, seeds, st.sampled_from(["binary", "graded", "failing"]), st.integers(1, 3))
def test_the_arithmetic_bound_alone_never_changes_who_is_best(
    count: int, total: int, seed: int, kind: str, keep: int
) -> None:
    world, whole = (table(count, total, seed, kind) for _ in range(2))

    bounded = RACES["bound"](count, world.extend, total, count * total, bounds=(0, 1), keep=keep, block=3)
    full = RACES["full"](count, whole.extend, total, count * total)

    assert [s.candidate for s in bounded[:keep]] == [s.candidate for s in full[:keep]]
    assert [s.mean for s in bounded[:keep]] == [s.mean for s in full[:keep]]
    assert world.spent <= whole.spent


def test_a_candidate_that_cannot_catch_up_stops_at_once() -> None:
    # After 30 of 40 examples, 0.25 more at best is not enough against 0.7 at worst.
    world = Table([[1.0] * 30 + [0.0] * 10, [0.0] * 30 + [1.0] * 10])

    RACES["bound"](2, world.extend, 40, 80, bounds=(0, 1), block=1)

    assert world.asked[1] == 21, "20 wrong of 40 could still tie"
    assert world.asked[0] == 40


@pytest.mark.parametrize("race", ["paired-halving", "block-race", "wilcoxon"])
def test_bounds_only_ever_save_calls(race: str) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        rows = [[float(rng.random() < k / 10) for _ in range(60)] for k in range(10)]
        open_, bounded = Table(rows), Table(rows)
        RACES[race](10, open_.extend, 60, 600)
        RACES[race](10, bounded.extend, 60, 600, bounds=(0, 1))
        assert bounded.spent <= open_.spent


def test_bounds_that_do_not_hold_are_refused() -> None:
    world = table(3, 20, 0, "unbounded")

    with pytest.raises(UsageError, match="outside the bounds 0 to 1"):
        RACES["bound"](3, world.extend, 20, 60, bounds=(0, 1))
    with pytest.raises(UsageError, match="lowest and the highest"):
        RACES["bound"](3, world.extend, 20, 60, bounds=(1, 0))


def test_too_few_scores_are_an_error_not_a_short_race() -> None:
    with pytest.raises(ValueError, match="3 scores where"):
        RACES["full"](2, lambda candidate, n: [1.0] * 3, 20, 40)


@each("rule", ["paired-halving", "full", "ucb", "sr"])
def test_scores_that_are_known_are_planned_with_and_cost_nothing(rule: str) -> None:
    """Four of eight candidates were seen on 30 examples: the others share the 60 evaluations that there are."""
    shown = dict.fromkeys(range(8), 0)

    def extend(candidate: int, n: int) -> list[float | None]:
        shown[candidate] = n
        return [float((candidate * 7 + index) % 3 == 0) for index in range(n)]

    RACES[rule](8, extend, 40, 60, known=[30] * 4 + [0] * 4)

    assert sum(max(0, n - 30) for n in [*shown.values()][:4]) + sum([*shown.values()][4:]) <= 60
    assert min([*shown.values()][4:]) >= 8
