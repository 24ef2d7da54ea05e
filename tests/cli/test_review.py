"""`docs/review.md`: its commands run, and print what the page shows."""

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPORTS, name_the_server, rows, run
from tests.cli.server import Server, served

PAGE = Path(__file__).parents[2] / "docs" / "review.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
FEEDBACK = Path("feedback/program.jsonl")
HARD = ("sprayed", "tap", "lid")  # words of reports that the model gets right only if a demo is like them


class Model(Server):
    """Knows the easy reports; answers a hard one as the demo that shares most words with it, if two or more."""

    def reply(self, body: dict[str, Any]) -> str:
        self.requests.append(body)
        messages = [message["content"] for message in body["messages"] if message["role"] != "system"]
        demos, asked = list(zip(messages[:-1:2], messages[1::2], strict=True)), messages[-1]
        known = [team for report, team in self.answers.items() if report in asked]
        if known and demos and not words(asked) & set(HARD):
            return known[0]
        near = max(demos, key=lambda demo: len(words(demo[0]) & words(asked)), default=("", self.habit))
        return near[1] if len(words(near[0]) & words(asked)) > 2 else self.habit


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower())) - {"report", "team", "the"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNESMITH_LM", raising=False)
    with served(Model({row["report"]: row["team"] for row in rows(REPORTS)}, habit="streets")) as server:
        assert run("init").exit_code == 0
        name_the_server(Path(), server)
        toml = Path("tunesmith.toml")
        toml.write_text(toml.read_text(encoding="utf-8").replace("num_candidates = 3\n", ""), encoding="utf-8")
        yield


@contextmanager
def serving(arguments: list[str]) -> Iterator[str]:
    """Run `tunesmith serve` at a free port until the end of the block, and give its address."""
    command = [sys.executable, "-m", "tunesmith", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            started = next(json.loads(line) for line in child.stderr if '"started"' in line)
            yield started["url"]
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=60)
    assert child.returncode == 0


def curl(arguments: list[str], url: str) -> str:
    """Send what `curl ADDRESS/PATH -H HEADER -d BODY` would, to the service at `url`."""
    assert arguments[1:3] == ["-H", "Content-Type: application/json"]
    asked = urllib.request.Request(
        url + arguments[0].removeprefix("localhost:8000"), arguments[4].encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.read().decode()


@pytest.mark.usefixtures("project")
def test_the_walk_from_a_wrong_answer_to_a_reviewed_artifact() -> None:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    printed: list[str] = []
    with ExitStack() as service:
        url = ""
        for language, block in BLOCKS:
            if language == "jsonl":
                wanted, kept = (map(json.loads, text.splitlines()) for text in (block, FEEDBACK.read_text()))
                assert list(wanted) == list(kept)
                service.close()
                continue
            if language == "text":
                assert [line for line in block.splitlines() if line not in printed] == []
                continue
            for program, *arguments in map(shlex.split, re.split(r"\n(?! )", block.strip())):
                if program == "curl":
                    printed = [curl(arguments, url)]
                elif "--feedback" in arguments:
                    url = service.enter_context(serving(arguments))
                else:
                    done = run(*arguments)
                    assert done.exit_code == 0, (arguments, done.stdout, done.stderr)
                    printed = done.stdout.splitlines()
    assert "parks" in "".join(printed)
