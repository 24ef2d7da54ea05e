from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import program
from tunesmith.artifacts import Exported, export_kinds, export_summary
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, register_export
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.options import option


def test_every_target_says_in_one_line_what_it_writes_and_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/export.md").read_text(encoding="utf-8")
    for name, kind in export_kinds().items():
        assert export_summary(kind).endswith(".")
        assert f"| `{name}` |" in page


def test_an_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"There is no export 'mesages'. Use one of: .*messages"):
        ts.export(program(), to="mesages")


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"`indnt` is not an option of the export messages. Did you mean `indent`"):
        ts.export(program(), to="messages", indnt=3)
    with pytest.raises(UsageError, match="`indent` must be at most 8"):
        ts.export(program(), to="messages", indent=9)


def test_two_targets_cannot_have_one_name() -> None:
    @dataclass(frozen=True)
    class Again(Export):
        """Write nothing."""

        name: ClassVar[str] = "messages"

        def files(self, source: Source) -> Exported:
            return Exported({})

    with pytest.raises(UsageError, match="unique name"):
        register_export(Again)


def test_an_option_cannot_have_the_name_of_an_argument() -> None:
    with pytest.raises(UsageError, match="names of these options: allow"):

        @register_export
        @dataclass(frozen=True)
        class Odd(Export):
            """Write nothing."""

            name: ClassVar[str] = "odd"
            allow: str = option("", "A name that is taken.")

            def files(self, source: Source) -> Exported:
                return Exported({})


def test_one_file_goes_to_the_path_or_into_the_folder(tmp_path: Path) -> None:
    found = Exported({"a.txt": "one\r\n"})
    assert found.write(str(tmp_path / "new" / "b.txt")) == (tmp_path / "new" / "b.txt",)
    assert found.write(tmp_path) == (tmp_path / "a.txt",)
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "new/b.txt").read_bytes() == b"one\r\n"


def test_several_files_go_into_a_folder(tmp_path: Path) -> None:
    found = Exported({"a.txt": "one", "data/b.txt": "two"})
    found.write(tmp_path / "new")
    assert (tmp_path / "new/data/b.txt").read_text() == "two"
    with pytest.raises(UsageError, match=r"2 files, and .* is a file"):
        found.write(tmp_path / "new/a.txt")
    with pytest.raises(UsageError, match=r"has 2 files: a.txt, data/b.txt"):
        found.text  # noqa: B018


def test_a_path_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="could not be written: "):
        Exported({"a": "1"}).write(tmp_path / "file" / "below")
    with pytest.raises(ArtifactError, match="surrogates not allowed"):
        Exported({"a": "\ud800"}).write(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_an_export_is_not_written_into_an_artifact(tmp_path: Path) -> None:
    ts.save(tmp_path / "topics", ts.Predict("text -> topic"))
    before = ts.verify(tmp_path / "topics")
    for target, out in (("dspy", "topics"), ("messages", "topics"), ("messages", "topics/state.json")):
        with pytest.raises(UsageError, match="is an artifact"):
            ts.export(tmp_path / "topics", to=target, out=tmp_path / out)
    assert ts.verify(tmp_path / "topics").sha256 == before.sha256
    assert len(list((tmp_path / "topics").iterdir())) == 2
