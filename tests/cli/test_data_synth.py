"""`tunesmith data synth`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, rows, run
from tests.lm.front import Act, chat_reply, front

SEEDS = [{"text": f"{thing} {n}", "label": thing} for thing in ("food", "room") for n in range(3)]


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A server that makes up another text each time, as the project's teacher."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    numbers = iter(range(100))
    reply = lambda asked: Act(body=chat_reply(json.dumps([{"text": f"text{next(numbers)}"}])))  # noqa: E731
    with front(reply) as server:
        table = f'[teacher_lm]\nspec = "openai/m"\nhost = "{server.url}"\n'
        Path("tunesmith.toml").write_text(table, encoding="utf-8")
        yield


@pytest.fixture
def seeds() -> str:
    text = "".join(f"{json.dumps(row)}\n" for row in SEEDS)
    Path("seeds.jsonl").write_text(text, encoding="utf-8")
    Path("bare.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    return "seeds.jsonl"


def synth(*options: str) -> tuple[str, ...]:
    return ("data", "synth", "seeds.jsonl", "--signature", "text -> label", *options)


def test_new_rows_are_written_with_their_provenance(teacher: None, seeds: str) -> None:
    found = run(*synth("--to", "more.jsonl", "-n", "4", "--quiet"))
    assert found.exit_code == 0, found.stderr
    assert "wrote more.jsonl: 4 rows, in 4 rounds\nleft out: nothing\n4 calls, 4 of them paid" in found.stdout
    made = rows(Path("more.jsonl"))
    assert [row["label"] for row in made] == ["food", "room", "food", "room"]
    assert made[0]["provenance"]["model"]["name"] == "openai/m"


def test_the_same_command_goes_on_from_the_cache_with_a_larger_budget(teacher: None, seeds: str) -> None:
    first = json.loads(run(*synth("--to", "a.jsonl", "-n", "4", "--budget-calls", "2", "--json")).stdout)
    assert (first["ended"], first["rows"]) == ("budget", 2)
    second = json.loads(run(*synth("--to", "b.jsonl", "-n", "4", "--json")).stdout)
    assert (second["ended"], second["rows"], second["paid"]["calls"]) == ("count", 4, 2)
    assert rows(Path("b.jsonl"))[:2] == rows(Path("a.jsonl"))


def test_signature_and_model_are_those_of_the_project(workspace: Workspace) -> None:
    found = run("data", "synth", "data/reports.jsonl", "--to", "more.jsonl", "--json")
    assert "Nothing was made in 5 rounds" in check_failure(found, 1, as_json=True)  # the server writes no list


BAD = [
    (2, ("missing.jsonl", "--lm", "openai/m"), "does not exist"),
    (1, ("seeds.jsonl", "--lm", "openai/m"), "field `instruction`: A seed needs its task"),
    (1, ("bare.jsonl", "--lm", "openai/m", "--signature", "text -> label"), "bare.jsonl:1: field `label`"),
    (2, ("seeds.jsonl", "--signature", "text -> label"), "There is no model"),
    (2, ("seeds.jsonl", "--lm", "openai/m", "--to", "seeds.jsonl"), "exists"),
    (2, ("seeds.jsonl", "--lm", "openai/m", "-n", "0"), "-n"),
]


@pytest.mark.parametrize(("code", "arguments", "message"), BAD, ids=[" ".join(case[1]) for case in BAD])
def test_a_wrong_use_is_told(
    code: int, arguments: tuple[str, ...], message: str, seeds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNESMITH_LM", raising=False)
    to = () if "--to" in arguments else ("--to", "more.jsonl")
    assert message in check_failure(run("data", "synth", *arguments, *to), code)
    assert not Path("more.jsonl").exists()
