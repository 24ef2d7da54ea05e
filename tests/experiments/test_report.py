"""The report of a run: its record, and the page."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.browser import least_contrast, opened
from tests.each import each
from tunesmith.compilers import OBJECTIVES
from tunesmith.errors import UsageError
from tunesmith.evaluation import Report, Row, RunInfo, count_ledger
from tunesmith.experiments import RunOutline, RunRecord, Tried, report_page, write_report
from tunesmith.experiments.report.charts import bars, points

RIGHT = {"loud": "room", "cold": "room", "soup": "food", "fish": "food"}


def rows(words: list[str], count: int) -> list[dict[str, str]]:
    found = [(words[n % len(words)], n) for n in range(count)]
    return [{"text": f"{word} <b>{n}</b>", "label": RIGHT[word], "guest": f"guest {n % 11}"} for word, n in found]


def answer(seen: Any) -> str:
    """Be right with a demo in the prompt; without one answer `room`, and fail on every seventh example."""
    text = seen.text
    if len(seen.messages) > 2:
        return next(label for word, label in RIGHT.items() if word in text)
    return "" if re.search(r"<b>\d*7</b>", text) else "room"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "first"
    signature = ts.Signature("text -> label: Literal['room', 'food']")
    data = ts.Dataset.load(rows(list(RIGHT), 120), signature=signature, group="guest")
    splits = data[:40], data[40:70], data[70:]
    compiler = ts.RandomSearch(num_candidates=5)
    lm = ts.FunctionLM(answer)
    metric = ts.metrics.exact_match("label")
    train, val, test = splits
    ts.compile(
        ts.Predict(signature),
        metric=metric,
        trainset=train,
        valset=val,
        testset=test,
        compiler=compiler,
        lm=lm,
        run=folder,
        mirror=False,
    )
    return folder


def test_the_record_knows_every_candidate_what_it_was_and_what_it_scored(run: Path) -> None:
    record, result = RunRecord.of(RunInfo.of(run)), json.loads((run / "result.json").read_text())
    assert record.chosen is not None
    assert record.given is not None
    assert record.tried[:2] == (record.chosen, record.given)
    for one, name in ((record.given, "baseline"), (record.chosen, "compiled")):
        assert one.test.mean == pytest.approx(result[name]["mean"])
        assert one.validation.mean == pytest.approx(result["validation"][name]["mean"])
    assert record.chosen.choices()["demos"] != "0"
    assert all(one.origin and one.lines() for one in record.tried)
    assert len(record.tried) == result["candidates"]
    assert [len(record.examples[name]) for name in ("validation", "test")] == [30, 50]
    assert record.examples["test"][0].labels.keys() == {"guest", "label"}


def test_an_outline_says_of_candidates_what_the_record_says(run: Path) -> None:
    record, outline = RunRecord.of(RunInfo.of(run)), RunOutline.of(RunInfo.of(run))
    assert outline.counts == count_ledger(run / "run.db")
    assert outline.has_splits
    for one, whole in zip(outline.candidates, record.tried, strict=True):
        same = ("key", "name", "differs", "given", "chosen")
        assert [getattr(one, name) for name in same] == [getattr(whole, name) for name in same]
        for side, report in ((one.validation, whole.validation), (one.test, whole.test)):
            failed = sum(row.failure is not None for row in report.rows)
            assert (side.rows, side.n, side.errors) == (len(report.rows), report.n, failed)
            assert side.mean == pytest.approx(report.mean)


def test_a_failure_by_a_metric_below_zero_counts_as_in_the_result(tmp_path: Path) -> None:
    signature = ts.Signature("text -> label: Literal['room', 'food']")
    data = ts.Dataset.load(rows(list(RIGHT), 60), signature=signature)
    ts.compile(
        ts.Predict(signature),
        metric=lambda example, prediction, trace=None: 1.0 if example.label == prediction.label else -1.0,
        trainset=data[:20],
        valset=data[20:40],
        testset=data[40:],
        compiler=ts.LabeledFewShot(1),
        lm=ts.FunctionLM(lambda seen: "room" if "soup" not in seen.text.rsplit("<b>")[-2] else ""),
        run=tmp_path / "first",
        mirror=False,
    )
    info = RunInfo.of(tmp_path / "first")
    result, record, outline = info.result or {}, RunRecord.of(info), RunOutline.of(info)
    assert result["validation"]["baseline"]["errors"] == 5
    for side, wanted in (("validation", result["validation"]), ("test", result)):
        for one in (record.given, outline.candidates[[found.given for found in outline.candidates].index(True)]):
            assert getattr(one, side).mean == pytest.approx(wanted["baseline"]["mean"])
        assert wanted["compiled"]["mean"] - wanted["baseline"]["mean"] == pytest.approx(wanted["gain"]["mean"])
        assert wanted["baseline"]["error_score"] == -1.0


def test_the_page_needs_the_texts_of_both_ends_alone(run: Path) -> None:
    info = RunInfo.of(run)
    assert report_page(RunRecord.of(info, texts="ends")) == report_page(RunRecord.of(info))
    assert not any(row.outputs for one in RunRecord.of(info, texts="none").tried for row in one.test.rows)


def test_each_candidate_but_the_first_has_an_earlier_one_that_it_differs_least_from(run: Path) -> None:
    record = RunRecord.of(RunInfo.of(run))
    order, parents = [one.key for one in record.by_time], record.parents()
    assert set(parents) == {one.key for one in record.tried if not one.given}
    assert all(order.index(parent.key) < order.index(child) for child, parent in parents.items())


def test_the_page_says_the_verdict_first_and_the_numbers_of_the_result(run: Path) -> None:
    page, result = write_report(run).read_text(encoding="utf-8"), json.loads((run / "result.json").read_text())
    words = re.sub(r"<[^>]+>", " ", page[page.index("<main>") :])
    assert re.match(r"\s*first\s+ship\s+" + re.escape(result["sentence"]), words)
    for name in ("baseline", "compiled"):
        assert f"{result[name]['mean']:.3f}" in words
        assert f"[{result[name]['low']:.3f}, {result[name]['high']:.3f}]" in words
    gain = result["gain"]
    assert f"Paired gain {gain['mean']:.3f} [{gain['low']:.3f}, {gain['high']:.3f}] on 50 examples of test" in words
    for part in (
        "Scores by group",
        "Errors by kind",
        "Answers by label",
        "Lineage",
        "What mattered",
        "Score against calls",
    ):
        assert part in words, part
    task = result["roles"]["task"]
    assert f"task {task['calls']:,} {task['tokens']:,} 100.0 %" in re.sub(r"\s+", " ", words)


def test_texts_of_the_data_cannot_become_markup_and_nothing_is_fetched(run: Path) -> None:
    page = report_page(RunRecord.of(RunInfo.of(run)))
    assert "&lt;b&gt;" in page
    assert not re.search(r"<b>\d", page)
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)


def test_the_prompt_is_the_one_that_the_artifact_sends(run: Path) -> None:
    record = RunRecord.of(RunInfo.of(run))
    first = record.examples["test"][0].inputs
    sent = ts.render(ts.load(run / "artifact"), **first)
    page = report_page(record)
    for message in sent.messages:
        assert message["content"].replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in page


def test_the_prompt_of_the_program_as_given_is_there_too(run: Path) -> None:
    record = RunRecord.of(RunInfo.of(run))
    sent = ts.render(ts.Predict("text -> label: Literal['room', 'food']"), **record.examples["test"][0].inputs)
    page = report_page(record)
    part = page[page.index("What the program as given sends") :]
    for message in sent.messages:
        assert message["content"].replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in part


def test_every_step_of_a_program_has_its_prompt(tmp_path: Path) -> None:
    data = ts.Dataset.load(rows(list(RIGHT), 24), signature=ts.Signature("text -> label"))
    program = ts.Chain(first=ts.Predict("text -> guess"), second=ts.Predict("guess -> label"))
    metric, lm = ts.metrics.exact_match("label"), ts.FunctionLM(lambda seen: "room")
    given = {"metric": metric, "lm": lm, "trainset": data, "compiler": ts.LabeledFewShot(k=1), "mirror": False}
    ts.compile(program, run=tmp_path / "run", **given)
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    for path, _ in program.named_predictors():
        assert f"<summary>Prompt of {path}</summary>" in page


def test_examples_are_grouped_by_every_column_with_few_values(run: Path) -> None:
    record = RunRecord.of(RunInfo.of(run))
    subject = {one.key: ("law", "art")[n % 2] for n, one in enumerate(record.examples["test"])}
    test = [
        dataclasses.replace(one, labels={**one.labels, "subject": subject[one.key], "id": n})
        for n, one in enumerate(record.examples["test"])
    ]
    page = report_page(dataclasses.replace(record, examples={**record.examples, "test": test}))
    assert "Scores by group" in page
    assert "Scores by id" not in page, "it names rows"
    assert "Scores by label" not in page, "that is what is answered"
    part = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<h3>Scores by subject") :]))
    assert record.chosen is not None
    means = []
    for name in ("art", "law"):
        scores = [row.score or 0.0 for row in record.chosen.test.rows if subject[row.key] == name]
        means.append(sum(scores) / len(scores))
        assert re.search(rf" {name} 25 [0-9.]+ \[[^]]+\] {means[-1]:.3f} ", part)
    assert re.search(rf"average over 2 [0-9.]+ {sum(means) / 2:.3f} ", part)


@pytest.mark.parametrize("gone", ["result.json", "trials.json", "candidates.json", "artifact", "run.db"])
def test_a_run_with_a_file_less_has_a_report_all_the_same(run: Path, tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "other"
    shutil.copytree(run, folder)
    target = folder / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert "<h1>other</h1>" in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["[]", '{"verdict": 3, "roles": 5, "notes": 1, "calls": 7, "gain": []}', '{"trials": 1}']
)
@pytest.mark.parametrize("name", ["result.json", "trials.json"])
def test_a_damaged_file_of_a_run_is_left_out(run: Path, tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "other"
    shutil.copytree(run, folder)
    (folder / name).write_text(text, encoding="utf-8")
    assert "<h1>other</h1>" in write_report(folder).read_text(encoding="utf-8")


def test_a_private_run_has_scores_and_no_text_of_the_data(tmp_path: Path) -> None:
    data = ts.Dataset.load(rows(list(RIGHT), 40), signature=ts.Signature("text -> label"))
    ts.compile(
        ts.Predict("text -> label"),
        metric=ts.metrics.exact_match("label"),
        trainset=data,
        lm=ts.FunctionLM(answer),
        compiler=ts.LabeledFewShot(2),
        run=tmp_path / "quiet",
        mirror=False,
        store=False,
    )
    shutil.rmtree(tmp_path / "quiet" / "artifact")  # the demos of a program are its own
    page = write_report(tmp_path / "quiet").read_text(encoding="utf-8")
    assert "Score against calls" in page
    assert "loud" not in page
    assert "soup" not in page


def test_where_it_cannot_be_written_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(run, tmp_path / "no" / "such.html")
    with pytest.raises(UsageError, match="There is no run"):
        write_report(tmp_path)


def test_a_run_of_a_hundred_candidates_and_two_hundred_examples_fits_into_a_megabyte(run: Path) -> None:
    long = "The corridor was loud all night and nobody at the desk wanted to hear of it. " * 3
    demos = [{"inputs": {"text": f"{n} {long}"}, "outputs": {"label": "room"}} for n in range(40)]

    def tried(number: int) -> Tried:
        keys = [f"{n:064d}" for n in range(200)]
        report = Report(tuple(Row(key, {"label": "room"}, float((n * number) % 3 == 0)) for n, key in enumerate(keys)))
        part = {"instruction": f"{number} {long}", "demos": demos[number % 24 :][:16], "format": "bare", "settings": {}}
        content = {"parts": {"self": part}, "sampling": {}}
        first = number == 0
        return Tried(f"{number:064d}", f"candidate {number}", "16 demos", "draws", first, number == 1, content, report,
                     report if number < 2 else Report(()), number)  # fmt: skip

    record = RunRecord(RunInfo.of(run), tuple(map(tried, range(100))), RunRecord.of(RunInfo.of(run)).examples)
    assert len(report_page(record).encode()) < 1_000_000


def test_a_chart_has_its_text_and_no_script_and_no_date() -> None:
    found = points({"a": [(1.0, 0.5, "one")]}, x="calls", y="score", text='one "point" <at> 0.5')
    assert 'role="img" aria-label="one &quot;point&quot; &lt;at> 0.5"' in found
    assert not re.search(r"<script|<!--|https?://(?!www\.w3\.org)", found)
    assert found == points({"a": [(1.0, 0.5, "one")]}, x="calls", y="score", text='one "point" <at> 0.5')
    assert bars({"format": 0.6, "demos": 0.4}, x="share", text="t").count("<rect") >= 2


@pytest.mark.whole
@pytest.mark.parametrize("width", [390, 1100])
def test_a_browser_shows_it_at_the_width_of_a_phone_and_of_a_desk(run: Path, tmp_path: Path, width: int) -> None:
    path = write_report(run, tmp_path / "report.html")
    with opened(path.as_uri(), width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (
            "the page itself does not scroll sideways"
        )
        candidates = page.get_by_role("region", name="Candidates", exact=True)
        assert width < 1000 or candidates.evaluate("it => it.scrollWidth <= it.clientWidth"), (
            "at a desk no column is cut"
        )
        assert page.locator(".verdict b").inner_text() == "ship"
        for heading in ("Scores", "Candidates", "Validation examples", "Examples that flipped", "Prompt"):
            assert page.get_by_role("heading", name=heading, exact=True).is_visible()
        assert page.locator("svg[role=img]").count() >= 3
        assert all(chart.is_visible() for chart in page.locator("svg[role=img]").all())
        change = page.get_by_text("change").first
        change.focus()
        page.keyboard.press("Enter")
        assert page.locator("details[open] pre").first.is_visible(), "a key opens what changed"
        for scheme in ("light", "dark"):
            assert least_contrast(page, scheme) > (4.5, ""), "as WCAG AA asks for"
        unnamed = "svg:not([aria-label]), [role=region]:not([aria-label]), pre.map:not([aria-label])"
        assert page.locator(unnamed).count() == 0, "what is drawn has a text that says the same"


def test_every_objective_that_costs_has_a_chart(tmp_path: Path) -> None:
    data = ts.Dataset.load(rows(["loud", "soup"], 40), signature=ts.Signature("text -> label"))
    compiler = ts.JointSearch(objectives=tuple(OBJECTIVES), num_candidates=3)
    given = {"metric": ts.metrics.exact_match("label"), "lm": ts.FunctionLM(answer), "run": tmp_path / "run"}
    ts.compile(ts.Predict("text -> label"), trainset=data[:20], valset=data[20:], compiler=compiler, **given)
    page = write_report(tmp_path / "run").read_text()
    for name in OBJECTIVES:
        assert (f"Score against {name}" in page) == (name != "score")


def test_an_answer_that_stays_worth_nothing_has_not_flipped(tmp_path: Path) -> None:
    """Without a demo every answer is wrong, with one every reply is empty: both count as zero."""
    data = ts.Dataset.load(rows(["loud", "soup"], 40), signature=ts.Signature("text -> label"))
    lm = ts.FunctionLM(lambda seen: "" if len(seen.messages) > 2 else "wrong")
    given = {"metric": ts.metrics.exact_match("label"), "lm": lm, "run": tmp_path / "run"}
    ts.compile(ts.Predict("text -> label"), trainset=data[:20], compiler=ts.LabeledFewShot(k=2), **given)
    record = RunRecord.of(RunInfo.of(tmp_path / "run"))
    tried = [dataclasses.replace(one, chosen=not one.given) for one in record.tried]
    page = report_page(dataclasses.replace(record, tried=tuple(tried)))
    assert sorted(one.validation.errors > 0 for one in tried) == [False, True]
    assert "0 of 8 validation examples are better than before, 0 are worse." in page


@each(
    "damage",
    [
        {"settings": 3},
        {"sampling": [1]},
        {"parts": {"self": {"demos": []}}},
        {"parts": {"self": {"format": "bare", "instruction": "", "settings": {"offsets": 1}, "demos": []}}},
        {"parts": {"self": {"format": "bare", "instruction": "", "settings": {}, "demos": [{"inputs": True}]}}},
    ],
)
def test_a_candidate_that_is_damaged_in_the_notes_is_as_one_that_is_not_kept(
    run: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(run, copy)
    notes = json.loads((copy / "trials.json").read_text())
    for row in notes["trials"]:
        row["candidate"] |= damage
    notes["trials"].append({"key": {}})
    (copy / "trials.json").write_text(json.dumps(notes))
    assert write_report(copy).is_file()
    assert all(one.content is None for one in RunRecord.of(RunInfo.of(copy)).tried)
