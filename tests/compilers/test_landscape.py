"""The simulated landscape does what it says, and its committed figures are those of the docs."""

import json
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.scale import FULL, scaled
from tests.scripts import benchmark
from tunesmith.compilers import compilers, few_shot_candidate
from tunesmith.evaluation import evaluate
from tunesmith.lm import role

ROOT = Path(__file__).parents[2]
SEED_TEXT = "Read the text and answer. Work in the careful way: guka."
FORMATS = ("bare", "json", "chat", "lines", "markdown", "xml")


@pytest.fixture(scope="module")
def worlds() -> ModuleType:
    return benchmark("landscape_world")


@pytest.fixture(scope="module")
def grid() -> ModuleType:
    return benchmark("landscape")


class Better(ts.Signature):
    """Write a better instruction."""

    now: str = ts.InputField()
    examples: list[str] = ts.InputField()
    reasoning: str = ts.OutputField()
    better: str = ts.OutputField()


def asked(worlds: ModuleType, skill: float, now: str, *, count: int = 100, seed: int = 0) -> list[Any]:
    """Return what each of `count` proposals is worth; `None` of one that is no instruction."""
    world, found = worlds.Landscape("one", seed, skill), []
    step = ts.Predict(Better)
    for draw in range(count):
        with dspy.context(lm=world.lm().rolled(draw)), role("prompt"):
            try:
                texts = worlds.texts_in(step(now=now, examples=[]).better)
            except ts.errors.ParseError:
                texts = []
        found.append(world.worth(texts[0]) if texts else None)
    return found


def climbed(worlds: ModuleType, start: str, seed: int, steps: int = 12) -> float:
    """Return what the best instruction is worth after `steps` improvements by an able writer, each of the best."""
    world, step, best = worlds.Landscape("one", seed, 1.0), ts.Predict(Better), start
    for draw in range(steps):
        with dspy.context(lm=world.lm().rolled(draw)), role("prompt"):
            found = step(now=best, examples=[]).better
        best = max([best, found], key=lambda text: max(map(world.worth, worlds.texts_in(text)), default=-9.0))
    return float(world.worth(worlds.texts_in(best)[0]))


@each(
    ("kind", "name"), [("near", "json"), ("three", "lines"), *(("one", name) for name in FORMATS[: 6 if FULL else 1])]
)
def test_the_truth_is_what_evaluations_come_to(worlds: ModuleType, kind: str, name: str) -> None:
    world = worlds.Landscape(kind, 3)
    program = world.program()
    candidate = few_shot_candidate(program, world.train, 6, 0).with_setting("self", "style", "brief")
    changed = candidate.with_part(list(candidate.parts)[0], format=name).apply(program)
    items = [item for seed in range(20, 20 + scaled(100)) for item in worlds.Landscape(kind, seed).train]

    found = evaluate(changed, items, worlds.right, lm=world.lm())

    assert found.errors == 0
    assert found.mean == pytest.approx(world.truth(changed), abs=0.09)
    assert world.truth(changed) == worlds.Landscape(kind, 3).truth(changed) != worlds.Landscape(kind, 4).truth(changed)


def test_a_more_able_writer_proposes_better_instructions(worlds: ModuleType) -> None:
    given = worlds.Landscape("one", 0).worth(worlds.texts_in(SEED_TEXT)[0])
    found = {skill: asked(worlds, skill, SEED_TEXT) for skill in worlds.SKILLS}
    better = {skill: sum(value is not None and value > given for value in found[skill]) for skill in found}

    assert better[0.0] < 15 < better[0.3] < 50 < 70 < better[1.0]
    assert 5 < found[0.0].count(None) < 40, "some are empty or cannot be read"
    assert None not in found[1.0]


def test_the_seed_is_deceptive(worlds: ModuleType) -> None:
    seeds = range(24)
    local = [climbed(worlds, SEED_TEXT, seed) for seed in seeds]
    fresh = [climbed(worlds, "", seed) for seed in seeds]

    assert max(local) <= 0.45, "whoever improves on it ends at the limit of its way"
    assert fmean(fresh) > 0.8
    first = [value for value in asked(worlds, 1.0, "", count=40) if value is not None]
    assert min(first) < 0.2 < fmean(first) < 0.9, "a first text is better on average only"


def test_an_able_writer_blames_the_weakest_predictor(worlds: ModuleType) -> None:
    world = worlds.Landscape("three", 0, 1.0)
    weakest = min(world.base, key=world.base.__getitem__).replace("shade", "join")
    step = ts.Predict("trace -> reason, module: Literal['kind', 'size', 'join']")
    with dspy.context(lm=world.lm()), role("prompt"):
        assert step(trace="all of it").module == weakest


@pytest.mark.whole
@each("name", sorted(compilers()))
def test_every_compiler_walks_in_it(grid: ModuleType, name: str) -> None:
    if name not in grid.makeable([name]):
        pytest.skip("it needs options")
    row = grid.compiled((name, "one", 100, 1.0, 0))
    assert 0 < row["score"] < 1
    assert row["calls"] <= 100


def test_a_grid_goes_on_where_it_was_stopped(grid: ModuleType, tmp_path: Path) -> None:
    file, names = tmp_path / "rows.jsonl", ["labeled-few-shot"]
    grid.run(names, 1, {}, 1, file)
    lines = file.read_text(encoding="utf-8")
    assert len(lines.splitlines()) == len(grid.BUDGETS) * 3, "no proposals: the skill of the writer changes nothing"
    file.write_text(lines[: len(lines) - 9], encoding="utf-8")

    rows = grid.known(file)
    grid.run(names, 1, rows, 1, file)

    assert len(rows) == 27
    assert len(grid.known(file)) == 9
    assert grid.summary(names, 1, rows)["rows"][0]["compiler"] == "labeled-few-shot"


def test_the_docs_show_the_committed_figures(grid: ModuleType) -> None:
    found = json.loads(grid.OUT.read_text(encoding="utf-8"))
    page = grid.PAGE.read_text(encoding="utf-8")

    assert found["version"] == benchmark("landscape_world").VERSION
    assert found["seeds"] >= 8, "fewer say too little"
    assert grid.rendered(page, found) == page, "run `python benchmarks/landscape.py --table`"
    assert grid.plot(found) == grid.PLOT.read_text(encoding="utf-8"), "run `python benchmarks/landscape.py --table`"
    for row in found["rows"]:
        assert row["mean"] >= min(found["given"].values())


def test_it_tells_a_search_from_one_draw(grid: ModuleType) -> None:
    rows = json.loads(grid.OUT.read_text(encoding="utf-8"))["rows"]
    found = {row["compiler"]: row["mean"] for row in rows if (row["skill"], row["budget"]) == (0.0, 400)}
    assert found["random-search"] > found["labeled-few-shot"] + 0.02
