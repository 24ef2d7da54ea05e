"""What a run's folder says to somebody who only looks."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tests.evaluation.ledgers import entry_of
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunFolder, RunInfo, count_ledger, runs_in

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["arguments", "folder", "calls", "verdict"]), inner)
), max_leaves=5)  # fmt: skip


def made(path: Path) -> Path:
    with RunFolder(path, {"seed": 0}, command={"arguments": ["compile"], "folder": "."}) as folder:
        with folder.ledger() as ledger:
            ledger.put(entry_of(1))
        folder.write("result.json", {"verdict": "ship"})
    return path


def test_a_whole_run_says_what_it_is(tmp_path: Path) -> None:
    (found,) = runs_in(made(tmp_path / "run").parent)
    assert (found.state, found.identity, found.verdict, found.problem) == ("done", {"seed": 0}, "ship", None)
    assert found.arguments == ("compile",)


@each("identity", [None, "", "{", "[1]", "null"])
def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path: Path, identity: str | None) -> None:
    run = made(tmp_path / "run")
    (run / "run.json").unlink()
    if identity is not None:
        (run / "run.json").write_text(identity)

    (found,) = runs_in(tmp_path)

    assert (found.state, found.identity, found.command) == ("damaged", {}, None)
    assert found.problem is not None
    assert found.problem.startswith("its run.json is ")


def test_a_folder_without_a_run_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a")
    (tmp_path / "file").write_text("a")
    assert runs_in(tmp_path) == []
    with pytest.raises(UsageError, match="There is no run"):
        RunInfo.of(tmp_path / "data")


@given(JSON, JSON, JSON)
def test_values_of_any_type_are_read_as_what_they_can_be(
    tmp_path_factory: pytest.TempPathFactory, command: Any, budget: Any, result: Any
) -> None:
    run = tmp_path_factory.mktemp("any")
    (run / "run.json").write_text(json.dumps({"command": command, "budget": budget}))
    (run / "result.json").write_text(json.dumps(result))

    found = RunInfo.of(run)

    assert found.problem is None
    assert found.arguments is None or all(isinstance(part, str) for part in found.arguments)
    assert found.verdict is None or isinstance(found.verdict, str)
    assert all(isinstance(limit, int | float) for limit in found.budget.values())


def test_who_looks_changes_nothing(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (run / ".lock").unlink(missing_ok=True)
    for file in run.iterdir():
        os.utime(file, (1e9, 1e9))
    for _ in range(2):
        found = RunInfo.of(run)
        assert found.ledger is not None
        assert count_ledger(found.ledger).rows == 1
        assert found.changed == 1e9
    assert RunInfo.of(run).changed == 1e9
    assert not (run / ".lock").exists()


def test_a_damaged_run_is_removed_unless_something_else_is_in_its_folder(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (run / "run.json").write_text("")
    (run / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"there is thesis\.txt in it\. Nothing was removed"):
        RunInfo.of(run).remove()
    (run / "thesis.txt").unlink()
    RunInfo.of(run).remove()
    assert not run.exists()
