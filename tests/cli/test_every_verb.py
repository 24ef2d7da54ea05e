"""What holds for every verb: one JSON document, the right exit code, one message, no traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run, run_process
from tests.scale import FULL
from tunesmith.cli.application import VERBS

A = Workspace.artifact

GOOD: list[tuple[str, ...]] = [
    ("init", "new"),
    ("config",),
    ("doctor",),
    ("models", "ls"),
    ("models", "show", "embedded"),
    ("models", "pull", "embedded"),
    ("data", "check"),
    ("data", "split", "data/reports.jsonl", "--train", "0.5", "--test", "0.5", "--out", "parts"),
    ("data", "sample", "data/reports.jsonl", "-n", "5"),
    ("data", "convert", "data/reports.jsonl", "--to", "rows.jsonl", "--yes"),
    ("data", "mine", "first"),
    ("label", "data/reports.jsonl", "--write"),
    ("predict", A, "report=The bin is full."),
    ("serve", A, "--port", "0", "--ask", "report=The bin is full."),
    ("eval",),
    ("check", A, "--min-gain", "0", "--max-errors", "0"),
    ("compile",),
    ("experiment",),
    ("experiment", "sizes", "--dry-run"),
    ("show", A),
    ("show", A, "--messages"),
    ("diff", A, "runs/first"),
    ("verify", A),
    ("sign", A, "--new-key", "new.pem"),
    ("export", A, "--to", "messages"),
    ("report",),
    ("compare", "first"),
    ("completion", "bash"),
    ("runs", "ls"),
    ("runs", "show", "first"),
    ("runs", "resume", "first"),
    ("runs", "rm", "first", "--yes"),
    ("runs", "gc", "--keep", "0", "--dry-run"),
    ("cache", "stats"),
    ("cache", "verify"),
    ("cache", "prune", "--older-than", "10w"),
    ("demo", "--limit", "5"),
]
NEEDS_WEIGHTS = {("models", "show", "embedded"), ("models", "pull", "embedded")}

BAD: list[tuple[int, tuple[str, ...]]] = [
    (2, ("init", "tunesmith.toml")),  # a file
    (2, ("init",)),  # there is a project already
    (2, ("init", "tunesmith.toml/below")),
    (2, ("init", "one", "two")),
    (2, ("config", "--compiler", "magic")),
    (2, ("config", "--set", "k=3")),
    (2, ("config", "compile")),
    (2, ("doctor", "--probe", "--lm", "nonsense")),
    (2, ("doctor", "--probe", "--lm", "gguf:/not/there.gguf")),
    (2, ("doctor", "--probee")),
    (2, ("models", "pull", "huge")),
    (2, ("models", "show", "huge")),
    (2, ("models", "pull")),
    (2, ("models", "steal", "embedded")),
    (2, ("data", "check", "missing.jsonl")),
    (1, ("data", "split", "bad.jsonl", "--train", "9", "--out", "parts")),
    (2, ("data", "sample", "bad.jsonl", "-n", "none")),
    (2, ("data", "convert", "data/reports.jsonl", "--to", "bad.jsonl", "--yes")),  # it exists
    (2, ("data", "mine", "nothing")),
    (1, ("data", "synth", "data/reports.jsonl", "--to", "more.jsonl")),  # the server writes no list
    (2, ("label", "missing.jsonl")),
    (2, ("label", "bad.jsonl", "--hard", "nothing")),
    (2, ("label", "bad.jsonl", "--out", "bad.jsonl", "--write")),
    (1, ("label", "bad.jsonl", "--signature", "question -> answer", "--write")),
    (1, ("predict", "nowhere", "report=x")),
    (2, ("predict", A, "reprot=x")),
    (2, ("predict", A, "report")),
    (2, ("predict", A, "report=x", "report=y")),
    (2, ("predict", A)),  # nothing on stdin
    (2, ("predict", A, "report=x", "--lm", "")),
    (2, ("predict", A, "report=x", "--slots", "0")),
    (2, ("predict", A, "report=x", "--allow", "no_such_module:Thing")),
    (1, ("predict", "damaged", "report=x")),
    (2, ("serve", A, "--host", "0.0.0.0")),  # without a token
    (2, ("serve", A, A)),
    (1, ("serve", "damaged")),
    (2, ("serve", A, "--token-file", "missing")),
    (2, ("serve", A, "--token-file", "/dev/zero")),  # it has no end
    (2, ("eval", "--metric", "exactmatch:team")),
    (2, ("eval", "--metric", "program:nothing")),
    (2, ("eval", "--data", "missing.jsonl")),
    (1, ("eval", "--data", "bad.jsonl")),
    (2, ("eval", "--data", "bad.jsonl", "--split", "val")),
    (2, ("eval", "program:RouteReport")),
    (2, ("eval", "program")),
    (2, ("eval", "--split", "dev")),
    (2, ("eval", "--models", "openai/tiny")),
    (1, ("eval", "damaged")),
    (2, ("check", A)),
    (2, ("check", A, "--min-gain", "much")),
    (2, ("check", "--min-gain", "0")),
    (1, ("check", "nowhere", "--min-gain", "0")),
    (1, ("check", "damaged", "--min-gain", "0")),
    (1, ("check", A, "--against", "damaged", "--min-gain", "0")),
    (1, ("check", A, "--data", "bad.jsonl", "--min-gain", "0")),
    (2, ("compile", "--compiler", "magic")),
    (2, ("compile", "--budget-calls", "0")),
    (2, ("compile", "--budget-calls", "20", "--run", "small")),  # no room beside the test
    (2, ("compile", "--budget-calls", "30", "--run", "small", "--dry-run")),  # nor for one score of the program
    (2, ("compile", "--run", "nothing", "--rescore")),
    (2, ("compile", "--train", "missing.jsonl")),
    (1, ("compile", "--train", "data/reports.jsonl", "--run", "leak")),
    (2, ("compile", "--seed", "7")),  # the run `first` is of another seed
    (2, ("compile", "--seed", "x")),
    (2, ("compile", "--set", "k=3", "--run", "other")),  # `k` is an option of another compiler
    (2, ("compile", "--program", "broken:program")),
    (2, ("experiment", "nothing")),
    (2, ("experiment", "sizes", "--only", "first")),
    (2, ("experiment", "sizes", "--by", "colour")),
    (1, ("show", "data")),
    (2, ("show", A, "report=x")),
    (2, ("show", A, "--messages", "nothing=x")),
    (2, ("show",)),
    (1, ("show", "damaged")),
    (1, ("verify", "nowhere")),
    (2, ("verify",)),
    (2, ("verify", A, "--data", "missing.jsonl")),
    (2, ("verify", A, "--lm", "nonsense")),
    (2, ("verify", A, "--trusted", "missing.pub")),
    (1, ("diff", A, "nowhere")),
    (1, ("diff", "damaged", A)),
    (2, ("diff", A)),
    (2, ("diff", A, A, A)),
    (2, ("sign", A)),
    (2, ("sign", A, "--key", "missing.pem")),
    (2, ("sign", "--key", "missing.pem")),
    (1, ("sign", "damaged", "--new-key", "new.pem")),
    (2, ("export", A, "--to", "nothing")),
    (2, ("export", A)),
    (2, ("export", A, "--to", "messages", "--set", "colour=red")),
    (1, ("export", "damaged", "--to", "messages")),
    (2, ("compile", "--run", "first", "--fork", "first")),
    (2, ("compile", "--run", "nothing", "--fork", "second")),
    (2, ("report", "nothing")),
    (2, ("report", "first", "second")),
    (2, ("report", "first", "--out", "no/such/folder/report.html")),
    (2, ("report", "first", "--out", "-", "--json")),
    (2, ("compare", "nothing")),
    (2, ("compare", "first", "--by", "colour")),
    (1, ("compare", "damaged/manifest.json")),  # no file of results
    (2, ("compare", "first", "first")),
    (2, ("compare", "first", "--against", "nothing")),
    (2, ("completion",)),
    (2, ("completion", "cmd")),
    (2, ("completion", "bash", "zsh")),
    (2, ("runs", "show")),
    (2, ("runs", "show", "nothing")),
    (2, ("runs", "show", "..")),
    (2, ("runs", "resume", "nothing")),
    (2, ("runs", "rm", "nothing")),
    (2, ("runs", "rm", "first")),  # nobody answers
    (2, ("runs", "export", "first")),  # to where?
    (2, ("runs", "export", "first", "--to", "excel")),
    (2, ("runs", "export", "nothing", "--to", "mlflow")),
    (2, ("runs", "gc", "--older-than", "long")),
    (2, ("runs", "gc", "--keep", "-1")),
    (2, ("runs", "gc", "--keep", "0")),  # nobody answers
    (2, ("runs", "walk")),
    (2, ("cache", "prune")),
    (2, ("cache", "prune", "--older-than", "soon")),
    (2, ("cache", "prune", "--max-size", "-1MB")),
    (2, ("cache", "clear")),  # nobody answers
    (2, ("cache", "burn")),
    (2, ("demo", "--limit", "2")),
    (2, ("demo", "--lm", "nonsense")),
    (2, ("demo", "--lm", "gguf:/not/there.gguf")),
    (2, ("demo", "--seed", "lucky")),
    (2, ("dance",)),
]


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """The compiled project, with things beside it that go wrong."""
    found = workspace.folder
    (found / "bad.jsonl").write_text('{"report": "A", "team": "streets"}\n{"report": 7}\n', encoding="utf-8")
    with (found / "tunesmith.toml").open("a", encoding="utf-8") as file:
        file.write('\n[experiments.sizes]\ncompilers = ["labeled-few-shot", "random-search"]\n')
    (found / "broken.py").write_text("import json\njson.loads('')\n", encoding="utf-8")
    damaged = found / "damaged"
    damaged.mkdir()
    for name in ("manifest.json", "state.json"):
        (damaged / name).write_bytes((found / A / name).read_bytes())
    state = (damaged / "state.json").read_text(encoding="utf-8")
    (damaged / "state.json").write_text(state.replace("report", "rapport", 1), encoding="utf-8")
    return found


@pytest.fixture
def server_for_demo(server: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_LM", "openai/tiny")
    monkeypatch.setenv("OPENAI_API_BASE", server.address)  # type: ignore[attr-defined]


def names(case: object) -> str:
    return " ".join(case) if isinstance(case, tuple) else str(case)


def prepare(arguments: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    if arguments in NEEDS_WEIGHTS and not json.loads(run("models", "ls", "--json").stdout)["models"]:
        pytest.skip("needs the embedded model")
    if arguments[0] == "demo":
        request.getfixturevalue("server_for_demo")


QUICK = [case for case in GOOD if case[0] != "demo"]  # which is in test_demo.py, on the real model
OWN_PROCESS = [("compile",)]  # it reads data, asks the model, searches and writes an artifact
"""Cases that a process of its own runs always; `make test-slow` runs all of them both ways, from a wheel too, and one bad
input of six."""
OWN_PROCESS_BAD = [(2, ("dance",))]  # a failure inside a verb is that of Ctrl-C in test_application.py


@pytest.mark.parametrize("arguments", GOOD if FULL else [case for case in QUICK if case not in OWN_PROCESS], ids=names)
def test_json_is_one_document_and_all_there_is_on_stdout(
    arguments: tuple[str, ...], folder: Path, request: pytest.FixtureRequest
) -> None:
    prepare(arguments, request)
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    assert isinstance(json.loads(found.stdout), dict)


@pytest.mark.parametrize(("code", "arguments"), BAD if FULL else BAD[::2], ids=names)
def test_a_bad_input_ends_in_its_code_with_one_message(code: int, arguments: tuple[str, ...], folder: Path) -> None:
    check_failure(run(*arguments), code, as_json="--json" in arguments)


@pytest.mark.parametrize(("code", "arguments"), BAD if FULL else BAD[1::2], ids=names)
def test_with_json_a_failure_is_one_document_too(code: int, arguments: tuple[str, ...], folder: Path) -> None:
    check_failure(run(*arguments, "--json"), code, as_json=True)


@pytest.mark.parametrize("arguments", GOOD if FULL else OWN_PROCESS, ids=names)
def test_a_process_of_its_own_does_the_same(
    arguments: tuple[str, ...], folder: Path, request: pytest.FixtureRequest
) -> None:
    prepare(arguments, request)
    found = run_process(*arguments, "--json")
    assert found.returncode == 0, found.stderr
    assert isinstance(json.loads(found.stdout), dict)


@pytest.mark.parametrize(("code", "arguments"), BAD[::6] if FULL else OWN_PROCESS_BAD, ids=names)
def test_a_process_of_its_own_fails_the_same(code: int, arguments: tuple[str, ...], folder: Path) -> None:
    check_failure(run_process(*arguments), code, as_json="--json" in arguments)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_explains_itself_and_takes_json(verb: str) -> None:
    found = run(verb, "--help")
    assert found.exit_code == 0
    assert "Commands:" in found.stdout or "--json" in found.stdout


def test_there_is_a_good_and_three_bad_cases_for_each_verb() -> None:
    count: Callable[[str], int] = lambda verb: sum(arguments[0] == verb for _, arguments in BAD)  # noqa: E731
    assert {verb: count(verb) for verb in VERBS if count(verb) < 3} == {}
    assert {case[0] for case in GOOD} == set(VERBS)
