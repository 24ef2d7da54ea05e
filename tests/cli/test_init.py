"""`tunesmith init`."""

from collections import Counter
from pathlib import Path

from tests.cli.conftest import REPORTS, check_failure, rows, run
from tunesmith.experiments import Project

FILES = {"tunesmith.toml", "program.py", "data/reports.jsonl"}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_project_is_written_and_loads(tmp_path: Path) -> None:
    found = run("init", "deep/er")
    assert found.exit_code == 0
    assert files(tmp_path / "deep" / "er") == FILES
    project = Project.load(tmp_path / "deep" / "er")
    program = project.program()
    splits = project.data(program)
    assert [len(part) for part in (splits.train, splits.val, splits.test) if part is not None] == [16, 12, 12]
    assert project.compiler(project.metric()).name == "Portfolio"
    assert project.settings.lm.spec == "embedded"


def test_an_existing_file_is_never_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("mine = 1\n", encoding="utf-8")
    message = check_failure(run("init"), 2)
    assert "program.py" in message
    assert "--force" in message
    assert files(tmp_path) == {"program.py"}
    assert run("init", "--force").exit_code == 0
    assert "mine" not in (tmp_path / "program.py").read_text(encoding="utf-8")
    assert files(tmp_path) == FILES


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep", encoding="utf-8")
    assert run("init").exit_code == 0
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "keep"


def test_the_examples_are_forty_different_ones_ten_of_each_label() -> None:
    found = rows(REPORTS)
    assert len({row["report"] for row in found}) == len(found) == 40
    assert set(Counter(row["team"] for row in found).values()) == {10}


def test_every_key_in_the_comments_is_a_real_one(tmp_path: Path) -> None:
    run("init")
    file = tmp_path / "tunesmith.toml"
    text = file.read_text(encoding="utf-8")
    assert '"ollama/NAME"' in text
    for key in (
        "num_ctx",
        "slots",
        "max_tokens",
        "num_candidates",
        "max_labeled_demos",
        "formats",
        "instructions",
        "inputs",
    ):
        assert f"\n# {key} = " in text
        text = text.replace(f"\n# {key} = ", f"\n{key} = ")
    file.write_text(text, encoding="utf-8")
    settings = Project.load(file).settings
    assert settings.data.inputs == ["report"]
    assert settings.compile.formats == ["bare", "json"]


def test_the_next_commands_can_be_pasted() -> None:
    assert "  cd 'my project'\n" in run("init", "my project").stdout
