"""An artifact in a git repository: `.gitattributes` of docs/artifacts.md keeps its bytes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.artifacts.programs import saved
from tunesmith.artifacts import verify
from tunesmith.errors import ArtifactError

PAGE = (Path(__file__).parents[2] / "docs" / "artifacts.md").read_text(encoding="utf-8")
(ATTRIBUTES,) = re.findall(r"In `\.gitattributes`:\n\n```text\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def cloned(folder: Path, attributes: str) -> Path:
    """Commit an artifact on a system with line ends of Windows, and return it as another such system checks it out."""
    origin, copy = folder / "origin", folder / "copy"
    saved(origin / "artifacts" / "triage")
    (origin / ".gitattributes").write_text(attributes, encoding="utf-8")
    windows = ("-c", "core.autocrlf=true", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "artifact")):
        subprocess.run(["git", *windows, *command], cwd=origin, check=True, capture_output=True)
    subprocess.run(["git", *windows, "clone", "-q", origin, copy], check=True, capture_output=True)
    return copy / "artifacts" / "triage"


def test_the_attributes_keep_every_byte(tmp_path: Path) -> None:
    copy = cloned(tmp_path, ATTRIBUTES)
    assert verify(copy).sha256 == verify(tmp_path / "origin" / "artifacts" / "triage").sha256


def test_without_them_other_line_ends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        verify(cloned(tmp_path, ""))
