"""Each race against its published definition, recomputed here."""

import math
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_race import Table, table
from tests.heavy import stats
from tunesmith.evaluation import RACES
from tunesmith.evaluation.race import RaceState
from tunesmith.evaluation.races.bandits import hardness
from tunesmith.evaluation.races.eliminations import beaten
from tunesmith.evaluation.races.halving import sizes_of
from tunesmith.evaluation.races.multistage import stages_of

LONG = 2_000  # examples enough that no race comes to their end
few = settings(max_examples=40)
fields = st.tuples(st.integers(2, 24), st.integers(0, 50))


@few
@given(fields, st.integers(2, 40))
def test_successive_rejects_pulls_as_audibert_bubeck_and_munos_2010_say(drawn: tuple[int, int], factor: int) -> None:
    count, seed = drawn
    budget = count * factor
    log = 0.5 + sum(1 / i for i in range(2, count + 1))
    ends = [math.ceil((budget - count) / log / (count + 1 - k)) for k in range(1, count)]
    world = table(count, LONG, seed)

    results = RACES["sr"](count, world.extend, LONG, budget)

    # One candidate leaves after each phase; the last two leave and stay after the last.
    assert sorted(world.asked.values()) == sorted([*ends, ends[-1]])
    assert world.spent <= budget
    gone: list[int] = []
    for end in ends:
        alive = [k for k in range(count) if k not in gone]
        gone.append(min(alive, key=lambda k: (np.mean(world.scores[k][:end]), -k)))
    (left,) = set(range(count)) - set(gone)
    assert [s.candidate for s in results] == [left, *reversed(gone)]


@few
@given(fields, st.integers(1, 40))
def test_successive_halving_pulls_as_karnin_koren_and_somekh_2013_say(drawn: tuple[int, int], factor: int) -> None:
    count, seed = drawn
    rounds = math.ceil(math.log2(count))
    budget = count * rounds * factor
    world = table(count, LONG, seed)

    results = RACES["sh"](count, world.extend, LONG, budget)

    alive, start, pulls = list(range(count)), 0, Counter[int]()
    for _ in range(rounds):
        share = budget // (len(alive) * rounds)
        pulls.update(dict.fromkeys(alive, share))
        means = {k: np.mean(world.scores[k][start : start + share]) for k in alive}
        alive = sorted(sorted(alive, key=lambda k: (-means[k], k))[: math.ceil(len(alive) / 2)])
        start += share
    assert world.asked == dict(pulls)
    assert [results[0].candidate] == alive
    assert sum(pulls.values()) <= budget


@few
@given(st.integers(3, 24), st.integers(0, 50), st.integers(2, 12), st.integers(1, 20))
def test_random_subsets_of_successive_rejects_have_the_published_size(
    count: int, seed: int, prompts: int, share: int
) -> None:
    budget = (count - 1) * prompts * share
    world = table(count, LONG, seed)

    results = RACES["s-sr"](count, world.extend, LONG, budget, prompts=prompts, seed=seed)

    rounds = [min(prompts, count - gone) for gone in range(count - 1)]
    assert world.spent == share * sum(rounds) <= budget
    assert len(world.order) == sum(rounds)
    assert all(n % share == 0 for n in world.asked.values())
    assert results[0].candidate in {candidate for candidate, _ in world.order[-2:]}


@few
@given(st.integers(2, 20), st.integers(0, 50), st.integers(1, 8), st.integers(1, 6))
def test_ucb_picks_the_highest_indices_of_auer_and_others_2002(
    count: int, seed: int, prompts: int, samples: int
) -> None:
    budget = count * samples * 4
    world = table(count, LONG, seed)

    results = RACES["ucb"](
        count, world.extend, LONG, budget, prompts=prompts, samples=samples, c=math.sqrt(2), bounds=(0, 1)
    )

    replayed(world, count, prompts, lambda n, total: math.sqrt(2 * math.log(max(2, total)) / n))
    best = max(world.asked, key=lambda k: (np.mean(world.scores[k][: world.asked[k]]), world.asked[k], -k))
    assert results[0].candidate == best
    assert world.spent == budget


@few
@given(st.integers(2, 20), st.integers(0, 50), st.floats(0.1, 50))
def test_ucb_e_picks_the_highest_indices_of_audibert_bubeck_and_munos_2010(count: int, seed: int, a: float) -> None:
    world = table(count, LONG, seed)

    RACES["ucb-e"](count, world.extend, LONG, count * 8, prompts=1, samples=2, a=a, bounds=(0, 1))

    replayed(world, count, 1, lambda n, total: math.sqrt(a / n))


def replayed(world: Table, count: int, prompts: int, bonus: Callable[[int, int], float]) -> None:
    """Check that every pick of every round has one of the highest indices, whoever was not seen first."""
    seen, at = [0] * count, 0
    while at < len(world.order):
        index = [
            float(np.mean(world.scores[k][: seen[k]])) + bonus(seen[k], sum(seen)) if seen[k] else math.inf
            for k in range(count)
        ]
        least = sorted(index, reverse=True)[min(prompts, count) - 1]
        for candidate, n in world.order[at : at + prompts]:
            assert index[candidate] >= least - 1e-9
            seen[candidate] = n
        at += min(prompts, count)


def test_hardness_is_the_sorted_gaps_of_audibert_bubeck_and_munos_2010() -> None:
    means = [0.9, 0.5, 0.8, 0.1]
    state = RaceState(4, lambda k, n: [float(i < means[k] * n) for i in range(n)], 1000, 4000)
    state.show(range(4), 1000)

    gaps = sorted(0.9 - mean for mean in means)
    assert hardness(state, [0, 1, 2, 3]) == pytest.approx(max(i / gaps[i - 1] ** 2 for i in (2, 3, 4)))


@few
@given(st.integers(4, 30), st.integers(0, 20), st.integers(1, 9))
def test_the_stages_of_ape_are_disjoint_and_the_scores_a_running_average(count: int, seed: int, block: int) -> None:
    total = 400
    world = table(count, total, seed)

    results = RACES["multistage"](count, world.extend, total, count * total, share=0.5, few=3, block=block)

    alive, n = list(range(count)), 0
    sizes = stages_of(count, 0.5, 3)
    for size, following in zip(sizes, [*sizes[1:], 3], strict=True):
        assert len(alive) == size
        n += block
        means = {k: np.mean(world.scores[k][:n]) for k in alive}
        alive = sorted(alive, key=lambda k: (-means[k], k))[:following]
    assert sorted(s.candidate for s in results[:3]) == sorted(alive)
    assert [s.n for s in results[:3]] == [total] * 3
    assert Counter(world.asked.values())[block] == count - (sizes[1] if len(sizes) > 1 else 3)


def test_a_stage_leaves_room_to_score_the_last_few_whole() -> None:
    for budget in (900, 1500, 2500):
        world = table(20, 200, 1)
        results = RACES["multistage"](20, world.extend, 200, budget)
        assert [s.n for s in results[:3]] == [200] * 3


def test_halving_has_the_sizes_of_rounded_down_halves() -> None:
    assert sizes_of(20) == [20, 10, 5, 2]
    assert sizes_of(20, 4) == [20, 10, 5]
    assert sizes_of(1) == [1]


@few
@given(st.integers(0, 500), st.integers(2, 8), st.integers(2, 60), st.sampled_from([0.2, 0.05, 0.01]), st.booleans())
def test_a_beaten_candidate_is_one_that_scipys_paired_t_test_says_is(
    seed: int, count: int, n: int, alpha: float, missing: bool
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.5, 1.0], size=(count, n)) if seed % 2 else rng.normal(size=(count, n))
    if missing:
        scores[rng.random(scores.shape) < 0.1] = math.nan

    found = beaten(scores, alpha)

    for k in range(count):
        wins = 0
        for j in range(count):
            both = np.isfinite(scores[j]) & np.isfinite(scores[k])
            differences = (scores[j] - scores[k])[both]
            if len(differences) < 2 or differences.mean() <= 0:
                continue
            if np.ptp(differences) == 0:
                wins += 1
                continue
            wins += stats.ttest_rel(scores[j][both], scores[k][both], alternative="greater").pvalue < alpha
        assert found[k] == wins


def test_a_block_race_drops_whoever_is_beaten_often_enough_and_remembers_every_block() -> None:
    """The released code forgets blocks or fails once candidate 0 is out; 200 races, indexed by candidate."""
    for seed in range(200):
        rng = random.Random(seed)
        skills = [0.1, *(rng.uniform(0.3, 0.8) for _ in range(9))]
        world = Table([[float(rng.random() < skill) for _ in range(120)] for skill in skills])

        results = RACES["block-race"](10, world.extend, 120, 1200, block=12, alpha=0.2, keep=6)

        alive, asked = list(range(10)), {}
        for end in range(12, 121, 12):
            asked.update(dict.fromkeys(alive, end))
            scores = np.array([world.scores[k][:end] for k in alive], dtype=float)
            alive = [k for k, wins in zip(alive, beaten(scores, 0.2), strict=True) if wins < 6]
            if len(alive) <= 6:
                break
        assert world.asked == asked
        assert all(s.mean == pytest.approx(np.mean(world.scores[s.candidate][: s.n])) for s in results)


def test_a_wilcoxon_race_drops_by_scipys_test_and_not_before_the_start() -> None:
    rng = random.Random(2)
    world = Table([[rng.gauss(k / 4, 1) for _ in range(100)] for k in range(8)])

    RACES["wilcoxon"](8, world.extend, 100, 800, p_threshold=0.1, start=14, block=5)

    alive, n = list(range(8)), 0
    asked: dict[int, int] = {}
    while len(alive) > 1 and n < 100:
        n += 5
        asked.update(dict.fromkeys(alive, n))
        leader = max(alive, key=lambda k: (np.mean(world.scores[k][:n]), -k))
        if n >= 14:
            alive = [
                k
                for k in alive
                if k == leader
                or stats.wilcoxon(
                    np.subtract(world.scores[k][:n], world.scores[leader][:n]), alternative="less", zero_method="zsplit"
                ).pvalue
                >= 0.1
            ]
    assert world.asked == asked
    assert min(asked.values()) >= 15
