"""Runs side by side: common examples, paired differences, correction for many comparisons."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunFolder, RunInfo, paired_gain
from tunesmith.experiments import RunRecord, compare_runs

LABELS = ("good", "bad")


def examples(count: int, first: int = 0) -> ts.Dataset:
    rows = [{"text": f"{LABELS[n % 2]} {n}", "label": LABELS[n % 2]} for n in range(first, first + count)]
    return ts.Dataset.load(rows, signature=ts.Signature("text -> label"))


def made(
    folder: Path, name: str, right: int, *, metric: Any = None, tested: ts.Dataset | None = None, **options: Any
) -> Path:
    """Make a run whose compiled program is right on the first `right` of ten."""

    def answer(seen: Any) -> str:
        number = int(seen.text.split()[-2 if seen.text.endswith("Label:") else -1])
        good = LABELS[number % 2]
        return good if len(seen.messages) > 1 and number % 10 < right else "neither"

    given = {
        "metric": metric or ts.metrics.exact_match("label"),
        "trainset": examples(20, 100),
        "valset": examples(20, 200),
        "testset": examples(40, 300) if tested is None else tested,
        "compiler": ts.LabeledFewShot(2),
        "lm": ts.FunctionLM(answer),
        "run": folder / name,
        "mirror": False,
    }
    ts.compile(ts.Predict("text -> label"), **{**given, **options})
    return folder / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: made(folder, name, right) for name, right in (("weak", 3), ("best", 9), ("middle", 8))}


def test_the_best_stands_first_and_the_others_are_paired_with_it(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()))
    assert [row.run for row in found.rows] == ["best", "middle", "weak"]
    assert (found.split, found.reference) == ("test", "best")
    best, middle, weak = found.rows
    assert (best.difference, best.p, best.score.mean) == (None, None, pytest.approx(0.9))
    assert (middle.wins, middle.ties, middle.losses) == (0, 36, 4)
    assert weak.difference is not None
    before, after = (
        [row.score or 0.0 for row in RunRecord.of(RunInfo.of(runs[name])).tried[0].test.rows]
        for name in ("best", "weak")
    )
    assert weak.difference == paired_gain(before, after)
    assert weak.p is not None
    assert weak.p < 1e-4
    assert weak.gain is not None
    assert weak.calls_per_point == pytest.approx((weak.calls or 0) / (100 * (weak.gain.mean or 0)))


def test_scores_are_those_of_the_results(runs: dict[str, Path]) -> None:
    for row in compare_runs(list(runs.values())).rows:
        result = json.loads((runs[row.run] / "result.json").read_text())
        wanted = result["compiled"]
        assert (row.score.mean, row.score.low, row.score.high) == (wanted["mean"], wanted["low"], wanted["high"])
        assert row.calls == result["calls"]["charged"]


def test_another_run_may_be_the_reference(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()), reference="weak", split="validation")
    assert [row.run for row in found.rows if row.difference is None] == ["weak"]
    assert found.rows[0].wins > 0
    assert "flatter" in found.notes[0]


def test_the_table_is_csv_markdown_json_and_html(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()))
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["run"] for row in rows] == ["best", "middle", "weak"]
    assert float(rows[0]["score"]) == found.to_json()["rows"][0]["score"]
    assert found.to_markdown().splitlines()[2].startswith("| best | LabeledFewShot | function | 0 | 0.900 [")
    assert found._repr_html_().count("<tr>") == 4


def test_only_examples_that_all_have_are_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    other = made(tmp_path, "other", 9, tested=examples(30, 320))
    found = compare_runs([runs["best"], other])
    assert {row.score.n for row in found.rows} == {20}
    assert found.notes == ("Compared on the 20 test examples that all runs have scores for.",)


def test_related_examples_count_as_one_even_if_the_run_keeps_no_texts(tmp_path: Path) -> None:
    """Ten examples of each of four customers: the runs differ on every example of one customer, and on no other."""
    rows = [{"text": f"good {10 * (n % 4)}{n // 4}0", "label": "good", "customer": n % 4} for n in range(40)]
    data = {kind: ts.Dataset.load(rows, signature=ts.Signature("text -> label"), **given)
            for kind, given in (("alone", {}), ("related", {"group": "customer"}))}  # fmt: skip

    def model(lost: str) -> ts.FunctionLM:
        return ts.FunctionLM(lambda seen: "good" if f"good {lost}" not in seen.text.rsplit("\n\n")[-1] else "bad")

    found = {}
    for kind, tested in data.items():
        for name, lost in (("all", "none"), ("some", "20")):
            made(tmp_path, f"{kind}-{name}", 0, tested=tested, lm=model(lost), store=kind == "alone")
        found[kind] = compare_runs([tmp_path / f"{kind}-all", tmp_path / f"{kind}-some"])
    alone, related = (found[kind].rows[1] for kind in ("alone", "related"))
    assert (alone.losses, related.losses) == (10, 10)
    assert (alone.p, related.p) == (2 * 0.5**10, 1.0)
    assert alone.difference.high < 0 == related.difference.high  # type: ignore[union-attr,operator]
    assert found["related"].notes == ()

    for name in ("all", "some"):  # as a run of an earlier version without texts
        (tmp_path / f"related-{name}" / "trials.json").unlink()
    unknown = compare_runs([tmp_path / "related-all", tmp_path / "related-some"])
    assert unknown.rows[1].difference == alone.difference
    assert "their groups are not known" in unknown.notes[0]


def test_runs_of_a_group_are_one_row_with_the_mean_score_of_each_example(runs: dict[str, Path], tmp_path: Path) -> None:
    found = compare_runs(list(runs.values()), by=["compiler", "seed"])
    (row,) = found.rows
    assert (row.run, row.runs, row.seed, row.model) == ("LabeledFewShot, seed 0", 3, 0, "")
    single = {one.run: one for one in compare_runs(list(runs.values())).rows}
    assert row.score.mean == pytest.approx(sum(one.score.mean or 0.0 for one in single.values()) / 3)
    assert row.calls == pytest.approx(sum(one.calls or 0 for one in single.values()) / 3)
    assert found.cells()[0][4] == "runs"
    with pytest.raises(UsageError, match="Given: 'colour'"):
        compare_runs(list(runs.values()), by=["colour"])
    with pytest.raises(UsageError, match="no group 'best' among those that are compared: function"):
        compare_runs(list(runs.values()), by=["model"], reference="best")


def test_runs_are_called_as_in_their_experiment_unless_different_ones_are_called_alike(tmp_path: Path) -> None:
    compilers = {"few": ts.LabeledFewShot(2), "more": ts.LabeledFewShot(3)}
    data = ts.Dataset.load(
        [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")],
        signature=ts.Signature("text -> label"),
    )
    given: dict[str, Any] = {
        "programs": ts.Predict("text -> label"),
        "models": ts.FunctionLM(lambda seen: "good"),
        "metric": ts.metrics.exact_match("label"),
        "trainset": data,
        "root": tmp_path,
    }
    for name, named in (("one", compilers), ("two", {"few": ts.LabeledFewShot(4)})):
        assert all(one.error is None for one in ts.Experiment.matrix(name, compilers=named, **given).run(mirror=False))
    runs = tmp_path / "runs"
    found = compare_runs([runs / "one_few", runs / "one_more"], by=["compiler"])
    assert {row.run for row in found.rows} == {"few", "more"}
    found = compare_runs([runs / "one_few", runs / "one_more", runs / "two_few"])
    assert {row.run: row.compiler for row in found.rows} == {
        "one_few": "LabeledFewShot",
        "one_more": "more",
        "two_few": "LabeledFewShot",
    }


def test_a_group_of_runs_with_different_budgets_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs["best"], other)
    identity = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**identity, "budget": {"calls": 9999}}))
    found = compare_runs([runs["best"], other], by=["compiler"])
    assert found.notes[-1] == "Runs of one group have different options or budgets: LabeledFewShot."


def test_groups_that_are_not_of_the_same_models_and_seeds_are_said(runs: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs["best"], other)
    identity = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**identity, "seed": 1, "compiler": {"name": "Other"}}))
    found = compare_runs([runs["best"], other], by=["compiler"])
    assert found.notes[-1] == (
        "The groups do not have the same programs, models and seeds, so these may be what sets them apart."
    )
    (other / "run.json").write_text(json.dumps({**identity, "compiler": {"name": "Other"}}))
    assert len(compare_runs([runs["best"], other], by=["compiler"]).notes) == 1


def test_a_run_without_its_files_is_named(runs: dict[str, Path], tmp_path: Path) -> None:
    for name, message in (
        ("candidates.json", "The run 'gone' is done, and what it returned is not known: its candidates.json"),
        ("run.json", "The run 'gone' cannot be compared: its run.json is gone"),
    ):
        shutil.copytree(runs["best"], tmp_path / name / "gone")
        (tmp_path / name / "gone" / name).unlink()
        with pytest.raises(UsageError, match=message):
            compare_runs([runs["best"], tmp_path / name / "gone"])


def test_what_cannot_be_compared_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished run"):
        compare_runs([])
    same = {"metric": RunInfo.of(runs["best"]).identity["metric"]}
    nothing = r"nothing yet: it is running\. Wait for it, or leave"
    with RunFolder(tmp_path / "running", same), pytest.raises(UsageError, match=nothing):
        compare_runs([runs["best"], tmp_path / "running"])
    with pytest.raises(UsageError, match="given twice"):
        compare_runs([runs["best"], runs["best"]])
    with pytest.raises(UsageError, match="no run 'none'"):
        compare_runs(list(runs.values()), reference="none")
    with pytest.raises(UsageError, match="no test example in common"):
        compare_runs([runs["best"], made(tmp_path, "apart", 9, tested=examples(10, 900))])
    metrics = r"different metrics.* exact_match\(label\): best; contains\(label\): other\. Name runs of one"
    with pytest.raises(UsageError, match=metrics):
        compare_runs([runs["best"], made(tmp_path, "other", 9, metric=ts.metrics.contains("label"))])
