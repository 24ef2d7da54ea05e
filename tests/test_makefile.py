"""What `make` passes from pip's settings to uv."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.each import each

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@each(
    ("listed", "options"),
    [
        ("global.cert='/x'", ""),
        (":env:.find-links='/wheels'", "--find-links /wheels"),
        (r"global.find-links='\n/a\nhttps://b/c?d=e'", "--find-links /a --find-links https://b/c?d=e"),
    ],
)
def test_uv_finds_links_where_pip_does(listed: str, options: str, tmp_path: Path) -> None:
    extra = tmp_path / "extra.mk"
    extra.write_text("links:\n\t@$(LINKS) listed\n", encoding="utf-8")
    (tmp_path / "listed").write_text(f"{listed}\n", encoding="utf-8")
    # Under `make check` this make would be a sub-make, which names the folder it works in.
    apart = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", "--no-print-directory", "-f", ROOT / "Makefile", "-f", extra, "links"]
    done = subprocess.run(command, cwd=tmp_path, env=apart, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == options
