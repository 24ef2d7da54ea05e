"""Run folders: one owner, one run, files whole or not at all."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.each import each
from tests.evaluation.ledgers import entry_of
from tunesmith import errors
from tunesmith.errors import ArtifactError, LedgerError, RunMismatch, UsageError
from tunesmith.evaluation import RunFolder, RunInfo, read_entries, run_path

WRITE = """
import sys
from pathlib import Path
from tunesmith.atomic import write_atomically
from tunesmith.evaluation import RunFolder
with RunFolder(Path(sys.argv[1]), {"seed": 0}) as folder:
    print("held", flush=True)
    sys.stdin.readline()
    n = 0
    while True:
        write_atomically(folder.path / "result.json", str(n % 10) * 200_000)
        n += 1
        if n == 20:
            print("going", flush=True)
"""


def test_a_run_is_a_folder_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with RunFolder("first", {"seed": 0}) as folder:
        assert folder.path == Path("runs/first")
        assert folder.read("run.json") == {"seed": 0}
        if os.name == "posix":
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_taken_as_it_is(tmp_path: Path, kind: type) -> None:
    with RunFolder(kind(tmp_path / "elsewhere" / "mine"), {}) as folder:
        assert folder.path == tmp_path / "elsewhere" / "mine"


@pytest.mark.whole
def test_a_run_of_another_process_is_refused_and_free_with_whole_files_when_that_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"held by process {holder.pid}\b"), RunFolder(run, {}):
            pytest.fail("two processes hold one run")
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "going\n"
    finally:
        holder.kill()
        holder.communicate(timeout=60)

    text = (run / "result.json").read_text()
    assert len(text) == 200_000
    assert len(set(text)) == 1
    with RunFolder(run, {"seed": 0}) as folder:
        assert folder.read("run.json") == {"seed": 0}


def test_a_run_that_is_a_link_is_not_removed(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", {"seed": 0}):
        pass
    (tmp_path / "link").symlink_to("run")
    with pytest.raises(UsageError, match=rf"a link to '{tmp_path}/run', so nothing was removed\. Delete the link"):
        RunInfo.of(tmp_path / "link").remove()
    assert (tmp_path / "run" / "run.json").is_file()


def test_the_same_process_cannot_open_a_run_twice(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run", {}),
        pytest.raises(UsageError, match=f"held by process {os.getpid()}"),
        RunFolder(tmp_path / "run", {}),
    ):
        pytest.fail("it was opened twice")


def test_a_run_can_be_opened_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "run", {}):
        1 / 0  # noqa: B018
    with RunFolder(tmp_path / "run", {}):
        pass


def test_a_run_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", {"metric": "a", "seed": 0, "lm": {"model": "x"}, "old": 1}):
        pass
    other = {"metric": "b", "seed": 0, "lm": {"model": "y"}, "new": 2}

    with (
        pytest.raises(RunMismatch, match=r"another lm, metric, new, old\.") as caught,
        RunFolder(tmp_path / "run", other),
    ):
        pytest.fail("another run was let in")

    assert "seed" not in str(caught.value)
    with RunFolder(tmp_path / "run", {"metric": "a", "seed": 0, "lm": {"model": "x"}, "old": 1}):
        pass


def test_an_identity_is_compared_as_the_json_it_becomes(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", {"formats": ("bare", "json"), 1: None}):
        pass
    with RunFolder(tmp_path / "run", {"formats": ["bare", "json"], "1": None}):
        pass


UNREADABLE = ["", " \n", "{", "[1, 2]", '"text"', "null", "7", "[" * 100_000, "\0", "gone", "a folder"]


def harmed(run: Path, identity: str) -> Path:
    """Make a run with one row in its ledger, and harm its run.json."""
    with RunFolder(run, {"seed": 0}) as folder, folder.ledger() as ledger:
        ledger.put(entry_of(1))
    (run / "run.json").unlink()
    if identity == "a folder":
        (run / "run.json").mkdir()
    elif identity != "gone":
        (run / "run.json").write_text(identity)
    return run


@each("identity", UNREADABLE)
def test_a_run_that_does_not_say_what_it_is_of_is_never_taken_over(tmp_path: Path, identity: str) -> None:
    run = harmed(tmp_path / "run", identity)

    with pytest.raises(RunMismatch, match=r"its run\.json .*Put that file back.*--new.*--fork"), RunFolder(run, {}):
        pytest.fail("another run was let in")

    assert len(read_entries(run / "run.db")) == 1
    with RunFolder(run, {"seed": 1}, new=True) as folder, folder.ledger() as ledger:
        assert len(ledger) == 0
    assert len(read_entries(tmp_path / "run.old-1" / "run.db")) == 1


@each("identity", UNREADABLE)
def test_another_run_starts_from_what_a_damaged_one_has_evaluated(tmp_path: Path, identity: str) -> None:
    run = harmed(tmp_path / "run", identity)
    with RunFolder(tmp_path / "other", {"seed": 1}) as folder, folder.ledger() as ledger:
        folder.copy_ledger(ledger, run)
        assert len(ledger) == 1


def test_a_run_that_was_killed_while_its_folder_was_made_begins_again(tmp_path: Path) -> None:
    for name in (".lock", ".owner", ".run.json-0123456789ab"):
        (tmp_path / name).write_text("")
    with RunFolder(tmp_path, {"seed": 0}) as folder:
        assert folder.read("run.json") == {"seed": 0}


@each("new", [False, True])
@each("name", ["rows.csv", "result.json", ".env", "sub/notes.txt", "artifact/state.json"])
def test_a_folder_with_other_files_is_not_taken(tmp_path: Path, name: str, new: bool) -> None:
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")

    with (
        pytest.raises(UsageError, match=f"it holds {name.partition('/')[0]}.*Nothing was written"),
        RunFolder(tmp_path / "mine", {}, new=new),
    ):
        pytest.fail("it was taken")

    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [file]


@each("name", ["run.db", "run.db-wal", "run.db-shm", ".run.db.new"])
def test_a_folder_in_the_place_of_the_ledger_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    with RunFolder(tmp_path / "run", {}) as folder:
        (folder.path / name / "inside").mkdir(parents=True)
        with pytest.raises(LedgerError, match=rf"{name} is a folder and has to be a file: rename or remove") as caught:
            folder.ledger()
    assert "ake room" not in str(caught.value)


def test_a_name_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")

    with pytest.raises(UsageError, match="cannot be used"), RunFolder(tmp_path / "run", {}):
        pytest.fail("a file was taken for a folder")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_no_folder_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="run="), RunFolder(name, {}):
        pytest.fail("it was taken")
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", {}) as folder:
        value = {"text": "Grüße\n", "list": [1, 2.5, None, True]}
        assert json.loads(folder.write("value.json", value).read_text(encoding="utf-8")) == value
        assert folder.read("value.json") == value
        assert folder.read("absent.json") is None
        (folder.path / "torn.json").write_text('{"a": 1')
        assert folder.read("torn.json") is None


@each("name", ["", " ", ".", "..", "a/..", "a\0b", 5, None])
def test_a_name_that_is_no_folder_of_the_runs_own_is_refused(name: object) -> None:
    with pytest.raises(UsageError, match="folder of its own"):
        run_path(name)  # type: ignore[arg-type]


def test_a_name_that_is_too_long_for_a_file_system_is_refused() -> None:
    assert run_path("x" * 200)
    with pytest.raises(UsageError, match=r"at most 200 bytes\. Given: 202"):
        run_path("ü" * 101)


@pytest.mark.parametrize("name", ["result.json", "compile.json", "run.json"])
def test_a_folder_in_the_place_of_a_file_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    with RunFolder(tmp_path / "run", {}) as folder:
        (folder.path / name).unlink(missing_ok=True)
        (folder.path / name).mkdir()
        with pytest.raises(ArtifactError, match="is a folder and has to be a file: rename or remove") as caught:
            folder.write(name, {})
    assert "make room" not in str(caught.value)


def test_a_full_disk_is_told_to_make_room(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert errors.refusal_advice(tmp_path / "result.json", full) == "Make room"
    assert "this user" in errors.refusal_advice(tmp_path / "result.json", OSError(errno.EACCES, "Permission denied"))
    missing = OSError(errno.ENOENT, "No such file or directory")
    assert errors.refusal_advice(tmp_path / "no" / "result.json", missing) == "Make its folder first"
