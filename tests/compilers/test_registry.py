"""Compilers by name: one file is all that a new one takes."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest

import tunesmith.compilers
from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tunesmith.compilers import (
    BootstrapFewShot,
    DSPyCompiler,
    LabeledFewShot,
    RandomSearch,
    Search,
    compiler_named,
    compilers,
    options_text,
)
from tunesmith.errors import UsageError
from tunesmith.experiments import Project, find_object
from tunesmith.lm import FunctionLM, Seen
from tunesmith.options import option_names

PAGE = Path(__file__).parents[2] / "docs" / "compilers.md"
FENCE = re.compile(r"```python\n(from dataclasses .*?)```", re.DOTALL)


def test_a_name_is_that_of_the_class() -> None:
    found = compilers()
    assert found["bootstrap-few-shot"] is BootstrapFewShot
    assert found["labeled-few-shot"] is LabeledFewShot
    assert found["random-search"] is RandomSearch
    assert found["dspy"] is DSPyCompiler, "it has a `command_name`"


def test_the_page_holds_the_options_that_are_declared() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition("<!-- options -->\n\n")[2] == options_text()


def test_the_page_says_of_each_compiler_what_it_plans_to_call() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Which one\n")[2].partition("\n### ")[0]
    shown = dict(re.findall(r"^\| \[`(.+?)`\]\(.+?\) \|.+?\|.+?\| (.+?) \|", text, re.MULTILINE))
    planned = {name: kind().plan(train=60, val=60)["calls"] for name, kind in compilers().items() if name != "dspy"}

    assert shown == {
        **{name: f"{calls['expected']}, at most {calls['worst']}" for name, calls in planned.items()},
        "dspy": "-",
    }


def test_the_page_of_races_names_the_compilers_that_take_one() -> None:
    page = (PAGE.parent / "racing.md").read_text(encoding="utf-8")
    for option, sentence in {
        "race": r"those\. (.*?) have the option",
        "bounds": r"(`random[^.]*?) take `bounds=`",
    }.items():
        (names,) = re.findall(sentence, page, re.DOTALL)
        assert set(re.findall(r"`(.+?)`", names)) == {
            name for name, kind in compilers().items() if option in option_names(kind) and name != "joint-search"
        }


def test_the_page_names_every_member_of_a_search() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("The members of `Search`:")[2].partition("\n\nIf ")[0]
    own = vars(Search).keys() - {"finish", "keep_for_test", "keeps"}  # what the compile calls
    members = sorted(name for name in own if not name.startswith("_"))
    assert [name for name in members if not re.search(rf"`{name}\b", table)] == []


def test_an_unknown_name_lists_all() -> None:
    with pytest.raises(UsageError, match=r"Use one of: .*labeled-few-shot, .*random-search"):
        compiler_named("magic", lambda name: None)
    with pytest.raises(UsageError, match="is not a compiler"):
        compiler_named("fractions:Fraction", lambda name: find_object(name, Path()))


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The compiler of the page, as one further file of the package."""
    (code,) = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "throwaway.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(tunesmith.compilers, "__path__", [*tunesmith.compilers.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield "rewrite"
    sys.modules.pop("tunesmith.compilers.throwaway", None)


def test_one_file_is_found_by_its_name_by_the_project_and_by_the_table(added: str, tmp_path: Path) -> None:
    kind = compilers()[added]
    assert tunesmith.compilers.Rewrite is kind
    assert "| `proposals` | `int` | `8` | Instructions that are asked for, for each predictor. At least 1. |" in (
        options_text()
    )

    (tmp_path / "tunesmith.toml").write_text("[compile]\ncompiler = 'rewrite'\nproposals = 3\n", encoding="utf-8")
    project = Project.load(tmp_path)
    made = project.with_options(["proposals=4"]).compiler(lambda example, prediction, trace=None: 1.0)
    assert (type(made), made.proposals) == (kind, 4)
    assert made.options()["proposals"] == 4
    assert made.plan(train=9, val=20)["proposals"] == 4
    with pytest.raises(UsageError, match=r"`proposals` must be at least 1. Given: 0"):
        project.with_options(["proposals=0"])


def test_the_compiler_of_the_page_compiles(added: str) -> None:
    def answer(seen: Seen) -> str:
        if "Write one instruction" in seen.system:
            return f"Wording {seen.request.config.seed or 0}."
        return world()(seen)

    compiler = compilers()[added](metric=right, proposals=3)
    with dspy.context(lm=FunctionLM(answer)):
        report = compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL).compile_report

    assert len(report.trials) == 4
    assert any(trial.candidate.parts["self"].instruction == "Wording 2." for trial in report.trials)


def test_a_compiler_of_the_users_own_is_named_by_module_and_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "own_compilers.py").write_text(code, encoding="utf-8")
    (tmp_path / "tunesmith.toml").write_text(
        "[compile]\ncompiler = 'own_compilers:Rewrite'\nproposals = 3\n", encoding="utf-8"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = Project.load(tmp_path).compiler(lambda example, prediction, trace=None: 1.0)
    assert (made.name, made.proposals) == ("Rewrite", 3)
