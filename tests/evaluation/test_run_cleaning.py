"""What `runs gc` may remove, and what never."""

import os
from pathlib import Path

import pytest

from tests.evaluation.test_run_info import made
from tunesmith.atomic import write_atomically
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunFolder, removable, runs_in

NOW = 2e9


def aged(run: Path, age: float) -> Path:
    for file in (run, *run.rglob("*")):
        os.utime(file, (NOW - age, NOW - age))
    return run


def names(folder: Path, older_than: float | None = None, keep: int | None = None) -> list[str]:
    return sorted(one.path.name for one in removable(folder, now=NOW, older_than=older_than, keep=keep))


def left_by_a_kill(path: Path) -> str:
    """Return the name of the file that a process leaves if it is killed while it writes `path`."""
    before, process = {file.name for file in path.parent.iterdir()}, os.fork()
    if not process:
        os.fsync = lambda _: os._exit(0)  # type: ignore[assignment]  # of the child alone
        write_atomically(path, "new")
        os._exit(1)
    assert os.waitpid(process, 0)[1] == 0
    (left,) = {file.name for file in path.parent.iterdir()} - before
    return left


def test_finished_runs_go_by_age_or_number_and_with_both_only_if_both_say_so(tmp_path: Path) -> None:
    for number in range(4):
        aged(made(tmp_path / f"run{number}"), 100.0 * number)
    assert names(tmp_path) == []
    assert names(tmp_path, older_than=150) == ["run2", "run3"]
    assert names(tmp_path, keep=1) == ["run1", "run2", "run3"]
    assert names(tmp_path, older_than=150, keep=3) == ["run3"]
    assert names(tmp_path, older_than=250, keep=0) == ["run3"]


def test_a_run_that_is_held_not_finished_damaged_linked_or_no_run_stays(tmp_path: Path) -> None:
    (made(tmp_path / "stopped") / "result.json").unlink()
    (made(tmp_path / "damaged") / "run.json").write_text("{")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a")
    (tmp_path / "linked").symlink_to(made(tmp_path.parent / f"{tmp_path.name}-elsewhere" / "run"))
    made(tmp_path / "held")
    with RunFolder(tmp_path / "held", {"seed": 0}):
        assert names(tmp_path, keep=0) == []
    (one,) = removable(tmp_path, now=NOW, keep=0)
    assert (one.path.name, one.why) == ("held", "old run")
    assert one.bytes == sum(file.stat().st_size for file in one.path.rglob("*") if file.is_file())


def test_runs_set_aside_and_temporary_files_of_killed_processes_go(tmp_path: Path) -> None:
    made(tmp_path / "first")
    with RunFolder(tmp_path / "first", {"seed": 1}, new=True):
        pass
    run = made(tmp_path / "second")
    while_written = left_by_a_kill(run / "result.json")
    report_written = left_by_a_kill(run / "report.html")
    for name in (while_written, report_written, "run.db.repair", "notes.json-abcd1234", ".notes.json-backup"):
        (run / name).write_text("x")
        os.utime(run / name, (NOW - 7200, NOW - 7200))
    young = run / left_by_a_kill(run / "run.json")
    os.utime(young, (NOW - 60, NOW - 60))  # it may be being written
    assert names(tmp_path) == [report_written, while_written, "first.old-1", "run.db.repair"]
    for one in removable(tmp_path, now=NOW):
        one.remove()
    assert names(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second"}


def test_files_of_yours_keep_a_run_and_so_does_a_name_that_only_looks_set_aside(tmp_path: Path) -> None:
    (made(tmp_path / "first") / "notes.md").write_text("mine")
    made(tmp_path / "model.old-1")
    assert names(tmp_path) == []
    assert names(tmp_path, keep=0) == ["model.old-1"]


def test_a_run_that_was_set_aside_and_is_used_again_or_renamed_stays(tmp_path: Path) -> None:
    for seed in range(3):
        with RunFolder(tmp_path / "first", {"seed": seed}, new=True):
            pass
    assert names(tmp_path) == ["first.old-1", "first.old-2"]
    with RunFolder(tmp_path / "first.old-1", {"seed": 0}):
        pass
    (tmp_path / "first.old-2").rename(tmp_path / "second")
    assert names(tmp_path) == []


def test_a_run_that_goes_on_after_it_was_found_stays(tmp_path: Path) -> None:
    run = made(tmp_path / "first")
    (found,) = removable(tmp_path, now=NOW, keep=0)
    os.utime(run / "run.json", (NOW, NOW))
    with pytest.raises(UsageError, match="just now"):
        found.remove()
    assert (run / "result.json").is_file()


def test_two_at_once_remove_each_run_once(tmp_path: Path) -> None:
    for number in range(4):
        made(tmp_path / f"run{number}")
    one, other = (removable(tmp_path, now=NOW, keep=0) for _ in range(2))
    assert [run.remove() for run in one] == [True] * 4
    assert [run.remove() for run in other] == [False] * 4
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_was_interrupted_is_finished_and_is_no_run(tmp_path: Path) -> None:
    run = made(tmp_path / "first")
    run.rename(tmp_path / ".first.removed-0123abcd")
    assert runs_in(tmp_path) == []
    (found,) = removable(tmp_path, now=NOW)
    assert (found.why, found.remove(), found.remove()) == ("temporary file", True, False)
    assert list(tmp_path.iterdir()) == []
