"""docs/formats.md says what the committed results say, and its code runs."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tunesmith.formats import format_names, registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("formats_table")


def test_the_tables_are_the_committed_results(script: ModuleType) -> None:
    assert script.rendered(PAGE) == PAGE, "run `python benchmarks/formats_table.py --render`"


def test_every_format_is_there() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)[: len(format_names())]
    assert sorted(rows) == list(format_names())


def test_the_tables_can_be_rendered(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"task": "t", "demos": 2, "low": 0.1, "high": 0.9, "n": 4, "errors": 1, "tokens_in": 80, "tokens_out": 8}
    cells = [{**cell, "format": "bare", "mean": mean, "calls": 4} for mean in (0.25, 0.75)]
    kinds = [{"format": "chat", "calls": 10, "errors": 4, "rate": 0.4, "where": {"Due: invalid": 4}, "fit": False}]
    monkeypatch.setattr(script, "OUT", tmp_path / "formats.json")
    script.OUT.write_text(json.dumps({"cells": cells, "kinds": kinds}), encoding="utf-8")

    page = script.rendered(PAGE)
    assert "| t | 2 | `bare` | 0.500 (0.250 to 0.750) | [0.100, 0.900] | 4 | 2 | 8 | 20 | 2.0 | 25.0% |" in page
    assert "| `chat` | 10 | 4 (40.0%) | Due: invalid (4) | **unfit** |" in page
    assert script.rendered(page) == page


def test_the_twelve_kinds_are_twelve(script: ModuleType) -> None:
    assert len(script.KINDS) == 12
    assert len(script.TEXTS) == len(set(script.TEXTS)) == 10


def test_the_code_runs() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "docs/formats.md", "exec"), {})
    assert "dashes" in format_names()
    del registry._FORMATS["dashes"]


def test_the_table_of_ways_of_holding_is_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    holding = importlib.import_module("holding")
    assert holding.rendered(PAGE) == PAGE, "run `python benchmarks/holding.py --render`"
    assert PAGE.count("| ollama | `bare` |") == PAGE.count("| embedded | `bare` |") == 8
