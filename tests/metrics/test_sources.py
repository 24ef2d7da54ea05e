"""What a metric's identity sees of the code it uses."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tunesmith.metrics import metric_fingerprint

METRIC = """
import math
import json as other

import helper
from helper import strict
from constants import LIMIT

WEIGHT = 1.0
PAIR = (1, "a")
SEEN = []
calls = 0


class Rule:
    def holds(self, value):
        return value > LIMIT


def same(one, other):
    return inner(one) == inner(other)


def inner(value):
    return helper.cleaned(value) if value else same("", value)


def metric(example, prediction, trace=None):
    global calls
    calls += 1
    SEEN.append(math.sqrt(2))
    return WEIGHT * same(example, prediction) * Rule().holds(len(PAIR)) * strict(example)
"""
FILES = {
    "graded.py": METRIC,
    "helper.py": "def cleaned(value):\n    return value\n\n\ndef strict(value):\n    return True\n\n\ndef unused():\n    return 1\n",
    "constants.py": "LIMIT = 1\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def fresh() -> ModuleType:
    """Import the metric as another process would."""
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)
    importlib.invalidate_caches()
    return importlib.import_module("graded")


def fingerprint() -> str:
    return metric_fingerprint(fresh().metric)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("helper.py", "return value\n", "return value  + 0\n"),
        ("helper.py", "return True", "return False"),
        ("constants.py", "1", "22"),
        ("graded.py", "WEIGHT = 1.0", "WEIGHT = 0.55"),
        ("graded.py", '(1, "a")', '(1, "bc")'),
        ("graded.py", "value > LIMIT", "value >= LIMIT"),
        ("graded.py", "inner(one) ==", "inner(one) !="),
    ],
)
def test_what_a_metric_uses_of_its_authors_code_is_part_of_it(place: Path, file: str, old: str, new: str) -> None:
    before = fingerprint()
    assert fingerprint() == before
    text = (place / file).read_text(encoding="utf-8")
    assert old in text
    (place / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert fingerprint() != before


def test_what_it_does_not_use_and_what_changes_while_it_runs_is_not(place: Path) -> None:
    before, module = fingerprint(), fresh()
    module.metric("x", "x")
    module.SEEN.append(1)
    assert module.calls == 1
    assert metric_fingerprint(module.metric) == before
    helper = place / "helper.py"
    helper.write_text(helper.read_text(encoding="utf-8").replace("return 1", "return 222"), encoding="utf-8")
    assert fingerprint() == before
