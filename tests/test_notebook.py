"""What a notebook shows of results: HTML that a text of the data cannot break out of."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tunesmith.evaluation import Report
from tunesmith.experiments import Leaderboard, compare_runs
from tunesmith.notebook import changes_html, details_html, paragraphs_html, table_html, text_html

EVIL = "</pre></td><script>alert(1)</script><img src=x onerror=alert(1)>"
OURS = {"table", "thead", "tbody", "tr", "th", "td", "p", "pre", "details", "summary", "ins", "del"}


class Checked(HTMLParser):
    """Counts open tags, and knows only ours, without attributes but `style`."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in OURS, tag
        assert {name for name, _ in attrs} <= {"style"}, attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> str:
    parser = Checked()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    fixed = re.findall(r"(?<![-\w])color:|#[0-9a-f]{3}", page)
    assert not fixed, "the notebook's own colours are for dark and light"
    return page


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = [{"text": f"{word} {n} {EVIL}", "label": word} for n in range(20) for word in ("good", "bad")]
    data = ts.Dataset.load(rows, signature=ts.Signature("text -> label", f"Judge. {EVIL}"))
    lm = ts.FunctionLM(lambda seen: ("bad" if "bad 1" in seen.text else EVIL) if len(seen.messages) > 2 else EVIL)
    metric = ts.metrics.exact_match("label")
    program = ts.Predict(ts.Signature("text -> label", f"Judge. {EVIL}"))
    run = tmp_path_factory.mktemp("notebook") / EVIL.replace("/", "|")
    train, val, test = data[:16], data[16:28], data[28:]
    return ts.compile(
        program, metric=metric, trainset=train, valset=val, testset=test, compiler=ts.LabeledFewShot(4), lm=lm,
        run=run, mirror=False,
    )  # fmt: skip


def test_results_are_shown_whole_and_escaped(result: Any, tmp_path: Path) -> None:
    page = check(result._repr_html_())
    assert f"<p>{result.verdict}. " in page
    assert f"{result.compiled.mean:.3f} [" in page
    assert "What compiling changed" in page
    report = check(result.compiled._repr_html_())
    assert "&lt;script&gt;" in report
    assert report.count("<tr>") == 2 + 1 + min(10, len(result.compiled.rows))
    candidate = check(result.report.candidate._repr_html_())
    assert "Judge. &lt;/pre&gt;" in candidate
    given, found = result.report.baseline_candidate, result.report.candidate
    assert "demo" in check(given.changes(found)._repr_html_())
    check(compare_runs([result.artifact.path.parent])._repr_html_())
    cell = {"cell": [EVIL, EVIL, 0], "mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    check(Leaderboard.of([cell])._repr_html_())


def test_a_diff_marks_what_was_added_and_removed(result: Any, tmp_path: Path) -> None:
    before = ts.save(tmp_path / "a", ts.Predict(ts.Signature("text -> label", f"Name the bad label. {EVIL}")))
    after = ts.save(tmp_path / "b", ts.Predict(ts.Signature("text -> label", f"Name the one label. {EVIL}")))
    page = check(ts.diff(before, after)._repr_html_())
    assert re.search(r"<ins [^>]*>one", page)
    assert re.search(r"<del [^>]*>bad", page)


def test_what_is_empty_is_shown_too() -> None:
    empty = ts.Candidate.of(ts.Predict("text -> label"))
    assert "Nothing differs." in check(empty.changes(empty)._repr_html_())
    assert check(Report(())._repr_html_()).startswith("<table>")


def test_every_part_escapes() -> None:
    for page in (
        table_html([["a"], [EVIL]]),
        text_html(EVIL),
        changes_html("{+" + EVIL + "+}"),
        paragraphs_html([EVIL]),
    ):
        check(page)
    check(details_html(EVIL, text_html(EVIL)))
