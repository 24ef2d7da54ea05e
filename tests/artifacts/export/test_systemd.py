import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import program
from tests.each import each
from tunesmith.cli.verbs.serve import command
from tunesmith.errors import UsageError


def saved(folder: Path) -> Any:
    return ts.save(folder, program("lines", "Sort."))


def unit(text: str) -> dict[str, str]:
    """Return the entries of `[Service]` that are there once."""
    found = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return dict(found["Service"])


def arguments(start: str) -> list[str]:
    """Return the arguments of `ExecStart`, all of which stand in double quotes, as systemd reads them."""
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', start)
    return [re.sub(r"\\(.)", r"\1", one).replace("%%", "%").replace("$$", "$") for one in quoted]


@each("name", ["plain", 'with "quotes" and blanks', "50% of $HOME", "back\\slash"])
def test_the_unit_starts_the_service_on_loopback(name: str, tmp_path: Path) -> None:
    artifact = saved(tmp_path / name)
    (file,) = ts.export(artifact, to="systemd").files.values()
    program_, verb, *given = arguments(unit(file)["ExecStart"])
    with command.make_context(verb, given) as context:
        assert context.params["artifacts"] == (str(artifact.path),)
        assert (context.params["host"], context.params["token_file"]) == ("127.0.0.1", None)
    assert program_ == "/usr/local/bin/tunesmith"


def test_with_a_token_it_may_listen_anywhere_and_reads_systemds_copy(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "run")
    with pytest.raises(UsageError, match="Without a token"):
        ts.export(artifact, to="systemd", host="0.0.0.0")
    found = unit(ts.export(artifact, to="systemd", host="0.0.0.0", token_file="/etc/my token").text)
    assert found["LoadCredential"] == "token:/etc/my token"
    assert arguments(found["ExecStart"])[-2:] == ["--token-file", "%d/token"]


def test_the_user_is_one_of_its_own_or_the_given_one(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "run")
    assert unit(ts.export(artifact, to="systemd").text)["DynamicUser"] == "yes"
    assert unit(ts.export(artifact, to="systemd", user="sorter").text)["User"] == "sorter"
    assert "readable by its owner alone" in ts.export(artifact, to="systemd").notes[0]


def test_what_a_unit_cannot_hold_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "run")
    with pytest.raises(UsageError, match="must be an absolute path"):
        ts.export(artifact, to="systemd", executable="bin/tunesmith")
    with pytest.raises(UsageError, match="control character"):
        ts.export(saved(tmp_path / "a\nb"), to="systemd")
    with pytest.raises(UsageError, match="name of a user"):
        ts.export(artifact, to="systemd", user="a b")


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    found = ts.export(saved(tmp_path / "run"), to="systemd", executable=shutil.which("true"))
    (path,) = found.write(tmp_path)
    ran = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
