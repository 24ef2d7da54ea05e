"""`docs/review.md`: its commands run, and print what the page shows."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPORTS, name_the_server, rows, run
from tests.cli.server import Server, served

PAGE = Path(__file__).parents[2] / "docs" / "review.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
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


@pytest.mark.usefixtures("project")
def test_the_walk_from_a_wrong_answer_to_a_reviewed_artifact() -> None:
    printed: list[str] = []
    for language, block in BLOCKS:
        if language == "jsonl":
            Path("wrong.jsonl").write_text(block, encoding="utf-8")
        elif language == "text":
            assert [line for line in block.splitlines() if line not in printed] == []
        else:
            assert language == "sh"
            for line in block.splitlines():
                done = run(*shlex.split(line)[1:])
                assert done.exit_code == 0, (line, done.stdout, done.stderr)
                printed = done.stdout.splitlines()
