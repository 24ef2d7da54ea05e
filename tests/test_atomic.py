"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from tests.each import each
from tunesmith.atomic import write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_who_may_read_a_file_stays_and_is_as_usual_for_a_new_one(tmp_path: Path) -> None:
    usual, private, new = tmp_path / "usual", tmp_path / "private", tmp_path / "new"
    usual.write_text("")
    private.write_text("")
    private.chmod(0o640)
    write_atomically(private, "text")
    write_atomically(new, "text")
    assert private.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode == usual.stat().st_mode


def test_lines_end_alike_everywhere(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"


def test_a_pipe_a_device_and_the_own_output_are_written_into_and_stay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe, output = tmp_path / "pipe", tmp_path / "output"
    os.mkfifo(pipe)
    output.symlink_to("/dev/stdout")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "piped")
    assert (os.read(reader, 100), pipe.is_fifo()) == (b"piped", True)
    os.close(reader)
    write_atomically(output, "shown")
    assert (capfd.readouterr().out, output.is_symlink()) == ("shown", True)


@each("name", ["", ".", "..", "/"])
def test_a_folder_is_refused_as_one(name: str) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomically(Path(name), "text")
