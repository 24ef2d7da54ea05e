"""A compile that cannot help seldom ships, one that can often does: a few runs of each, and the committed figures."""

import json
import math
from pathlib import Path

import pytest

from tests.scale import FULL
from tests.scripts import benchmark

aa = benchmark("aa_power")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("setting", aa.SETTINGS, ids=lambda one: one.name)
def test_a_setting_keeps_its_promise(setting: object) -> None:
    """With 25 runs of the 400 of the committed figures, whose promises the last test below holds."""
    row = aa.row_of(setting, [aa.shipped(seed, setting) for seed in range(aa.RUNS // 16)])
    if setting.better:  # type: ignore[attr-defined]
        assert row["high"] >= aa.LEAST_POWER, row
        assert row["shipped"] > row["runs"] / 2, row
    else:
        assert binomial(row["shipped"], row["runs"], aa.MOST_SHIPPED) > 0.001, row


def binomial(least: int, runs: int, rate: float) -> float:
    """Return how likely so many of the runs, or more, are at that rate."""
    return sum(math.comb(runs, n) * rate**n * (1 - rate) ** (runs - n) for n in range(least, runs + 1))


def test_the_simulated_model_has_the_chances_it_says() -> None:
    for graded in (False, True) if FULL else (True,):
        setting = aa.Setting(400, graded, better=True)
        result = aa.compiled(0, setting)
        means = sorted(trial.mean for trial in result.report.trials if trial.n == aa.VALIDATION)
        assert means[-1] == pytest.approx(aa.BETTER, abs=0.1)
        assert result.tested
        assert result.baseline.mean == pytest.approx(aa.AS_GIVEN, abs=0.08)


@pytest.mark.slow
def test_equal_seeds_give_equal_compiles() -> None:
    setting = aa.SETTINGS[1]
    one, other = (aa.compiled(3, setting).to_json() for _ in range(2))
    assert {**one, "seconds": None} == {**other, "seconds": None}


def test_a_row_that_breaks_a_promise_is_named() -> None:
    lucky, unlucky = [("ship", 1, 0.0)] * 30, [("no evidence", 1, 0.0)] * 370
    assert aa.broken(aa.row_of(aa.SETTINGS[0], lucky + unlucky))
    assert aa.broken(aa.row_of(aa.SETTINGS[-1], lucky + unlucky))
    assert not aa.broken(aa.row_of(aa.SETTINGS[0], lucky[:19] + unlucky + [unlucky[0]] * 11))


def test_the_committed_figures_keep_every_promise_and_stand_in_the_docs() -> None:
    found = json.loads(aa.OUT.read_text(encoding="utf-8"))
    assert [row["setting"] for row in found["rows"]] == [setting.name for setting in aa.SETTINGS]
    for row in found["rows"]:
        assert row["runs"] == aa.RUNS
        assert not aa.broken(row)
    page = aa.PAGE.read_text(encoding="utf-8")
    assert aa.rendered(page, found) == page, "run `python benchmarks/aa_power.py --table`"
