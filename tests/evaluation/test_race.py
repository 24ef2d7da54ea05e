"""Races: the budget is kept, the field is ranked, and the best arm is found for less."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scale import scaled
from tunesmith.evaluation import RACES, Standing, paired_halving
from tunesmith.evaluation.race import full


@dataclass
class Table:
    """Scores of every candidate on every example, and what was asked of them."""

    scores: Sequence[Sequence[float]]
    asked: dict[int, int] = field(default_factory=dict)

    def extend(self, candidate: int, n: int) -> list[float]:
        assert 0 <= n <= len(self.scores[candidate]), "a race asked for more examples than there are"
        assert n >= self.asked.get(candidate, 0), "a race asked for less than it had"
        self.asked[candidate] = n
        return list(self.scores[candidate][:n])

    @property
    def spent(self) -> int:
        return sum(self.asked.values())


def table(count: int, total: int, seed: int) -> Table:
    rng = random.Random(seed)
    return Table([[float(rng.random() < 0.5) for _ in range(total)] for _ in range(count)])


races = st.sampled_from(sorted(RACES))


@given(races, st.integers(1, 30), st.integers(1, 80), st.integers(0, 3000), st.integers(0, 99))
def test_a_race_never_spends_more_than_its_budget(race: str, count: int, total: int, budget: int, seed: int) -> None:
    world = table(count, total, seed)

    RACES[race](count, world.extend, total, budget)

    assert world.spent <= budget


@given(races, st.integers(1, 30), st.integers(1, 80), st.integers(0, 3000), st.integers(0, 99))
def test_a_race_ranks_every_candidate_it_saw_once(race: str, count: int, total: int, budget: int, seed: int) -> None:
    world = table(count, total, seed)

    standings = RACES[race](count, world.extend, total, budget)

    seen = {candidate for candidate, n in world.asked.items() if n}
    assert sorted(s.candidate for s in standings) == sorted(seen)
    for standing in standings:
        scores = world.scores[standing.candidate][: standing.n]
        assert standing.n == world.asked[standing.candidate]
        assert standing.mean == sum(scores) / len(scores)
    assert standings == sorted(standings, key=lambda s: (-s.n, -s.mean, s.candidate))


@given(races, st.integers(2, 12), st.integers(8, 40), st.integers(0, 99))
def test_enough_budget_finds_the_best_candidate_of_all(race: str, count: int, total: int, seed: int) -> None:
    world = table(count, total, seed)
    budget = 2 * count * total

    winner = RACES[race](count, world.extend, total, budget)[0]

    assert winner.n == total
    if race == "full":
        best = max(range(count), key=lambda k: (sum(world.scores[k]), -k))
        assert winner.candidate == best


@pytest.mark.parametrize("race", sorted(RACES))
def test_a_race_without_candidates_or_budget_spends_nothing(race: str) -> None:
    world = table(5, 20, 0)

    assert RACES[race](0, world.extend, 20, 100) == []
    assert RACES[race](5, world.extend, 20, 0) == []
    assert world.spent == 0


def test_scores_follow_the_number_of_a_candidate_not_its_place_in_the_field() -> None:
    # Candidate 5 is best; after the first halving it stands at another place among the survivors.
    world = Table([[0.1 * k if k != 5 else 1.0] * 64 for k in range(8)])

    standings = paired_halving(8, world.extend, 64, 400)

    assert standings[0] == Standing(5, 64, 1.0)
    assert [s.candidate for s in standings[:3]] == [5, 7, 6]
    assert {s.candidate for s in standings} == set(range(8))


def test_ties_go_to_the_earlier_candidate() -> None:
    for race in RACES.values():
        world = Table([[1.0] * 32 for _ in range(6)])
        assert race(6, world.extend, 32, 10_000)[0].candidate == 0


def test_halving_asks_the_losers_for_less_than_the_winner() -> None:
    world = Table([[k / 16] * 100 for k in range(16)])

    paired_halving(16, world.extend, 100, 800)

    assert world.asked[15] == 100
    assert world.asked[0] < 15
    assert world.spent <= 800


def test_all_candidates_are_compared_on_the_same_prefix() -> None:
    asked: list[tuple[int, int]] = []
    world = table(8, 64, 3)

    def extend(candidate: int, n: int) -> list[float]:
        asked.append((candidate, n))
        return world.extend(candidate, n)

    paired_halving(8, extend, 64, 300)

    rounds: dict[int, list[int]] = {}
    for candidate, n in asked:
        rounds.setdefault(n, []).append(candidate)
    sizes = [len(set(candidates)) for _, candidates in sorted(rounds.items())]
    assert sizes == [8, 4, 2, 1][: len(sizes)]


# The synthetic world of the published comparison: 20 prompts, 200 items, a fixed outcome per pair ---------------

ARMS, ITEMS = 20, 200


def world_of(seed: int) -> tuple[Table, list[float]]:
    """Return scores, and each arm's true accuracy: logistic in skill minus difficulty."""
    rng = random.Random(seed)
    skills = [rng.gauss(0.3, 0.4) for _ in range(ARMS)]
    difficulty = [rng.gauss(0, 1.5) for _ in range(ITEMS)]
    chance = [[1 / (1 + math.exp(d - s)) for d in difficulty] for s in skills]
    scores = [[float(rng.random() < p) for p in row] for row in chance]
    return Table(scores), [sum(row) / ITEMS for row in chance]


def chosen(race: Callable[..., list[Standing]], seed: int, budget: int) -> tuple[float, float]:
    """Return the true accuracy of the race's winner and that of the best arm."""
    world, truth = world_of(seed)
    winner = race(ARMS, world.extend, ITEMS, budget)[0]
    assert world.spent <= budget
    return truth[winner.candidate], max(truth)


@pytest.mark.parametrize("budget", [512, 2048])
def test_halving_finds_the_best_arm_at_least_as_often_as_full_at_the_same_budget(budget: int) -> None:
    seeds = range(scaled(2_000))
    found = {race: [chosen(RACES[race], seed, budget) for seed in seeds] for race in ("full", "paired-halving")}
    hits = {race: sum(got == best for got, best in pairs) for race, pairs in found.items()}
    means = {race: sum(got for got, _ in pairs) / len(pairs) for race, pairs in found.items()}

    assert hits["paired-halving"] >= hits["full"]
    assert means["paired-halving"] >= means["full"]


def test_halving_loses_little_against_scoring_everything() -> None:
    seeds = range(scaled(1_000))
    halved = [chosen(paired_halving, seed, 2048)[0] for seed in seeds]
    whole = [chosen(full, seed, ARMS * ITEMS)[0] for seed in seeds]

    near = sum(got >= best - 0.05 for got, best in zip(halved, whole, strict=True)) / len(halved)
    assert near >= 0.9
    assert sum(halved) / len(halved) >= sum(whole) / len(whole) - 0.01
