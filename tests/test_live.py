"""The live suite works: it is run against the protocol server with the embedded model behind it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol import ServerProcess

ROOT = Path(__file__).parents[1]
SEPARATE = "not every_verb and not every_example"  # see `tests/cli/test_ollama.py` and `tests/test_examples.py`


def run_live(**named: str) -> str:
    """Run the live suite in a process of its own; return its last lines."""
    kept = {name: value for name, value in os.environ.items() if name not in ("TUNESMITH_SLOW", "OLLAMA_HOST")}
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "live", "-k", SEPARATE, "tests/live"],
        cwd=ROOT, env={**kept, **named}, capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
    return found.stdout


@pytest.mark.slow
def test_without_a_server_the_live_suite_is_skipped_with_a_reason() -> None:
    assert "needs OLLAMA_HOST and TUNESMITH_LIVE_MODEL" in run_live()


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_live_suite_passes_on_a_server_without_a_network() -> None:
    with ServerProcess("--embedded", "--offline") as server:
        said = run_live(OLLAMA_HOST=server.url, TUNESMITH_LIVE_MODEL="smollm2")
        asked = [entry for entry in server.requests() if entry["path"] == "/api/chat"]
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed.group(1)) > 80
    assert len(asked) > 80
