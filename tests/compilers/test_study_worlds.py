"""The comparison of samplers in synthetic worlds, and its committed figures."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.scale import scaled
from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "sampler_worlds.json"
PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return benchmark("sampler_worlds")


def test_the_page_shows_the_committed_figures(worlds: ModuleType) -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))

    assert found["seeds"] == 200
    kinds = {(row["world"], row["candidates"]) for row in found["rows"]}
    assert kinds == {(kind, trials) for kind in worlds.KINDS for trials in worlds.TRIALS}
    assert {"random", "tpe", "nsga-ii", "grid", worlds.RACED} <= {row["sampler"] for row in found["rows"]}
    assert worlds.rendered(PAGE, found) == PAGE, "run `python benchmarks/sampler_worlds.py --table`"


def test_a_world_gives_a_candidate_the_same_outcomes_whenever_it_is_asked(worlds: ModuleType) -> None:
    for kind in worlds.KINDS:
        one, other = worlds.World(kind, 3), worlds.World(kind, 3)
        point = dict.fromkeys(one.kind.space, 1)
        assert (one.scores(point) == other.scores(point)).all()
        assert one.truth(point) == other.truth(point) == one.truth(point)
        assert one.truth(point) != worlds.World(kind, 4).truth(point)


@pytest.mark.slow
def test_where_no_choice_matters_by_itself_no_sampler_can_learn(worlds: ModuleType) -> None:
    """Equal seeds give equal figures, and a world without structure favours nobody by much."""
    kind, seeds = "three predictors, no choice matters by itself", range(scaled(20))
    rows = worlds.measured(kind, seeds, ["random", "tpe"])

    assert rows == worlds.measured(kind, seeds, ["random", "tpe"])
    assert all(abs(row["over_random"][0]) < 0.15 for row in rows)
