"""A run on an Ollama server that is repeated, scored again, or refused: what the server's log says of it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.cli.conftest import REPORTS, check_failure, rows, run
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL
from tunesmith.errors import RunMismatch
from tunesmith.lm import ReplyCache
from tunesmith.metrics import contains, exact_match

_LOOKS = ("/api/version", "/api/tags", "/api/show", "/api/ps")  # what a server is asked about itself
_PROGRAM = '''
import dspy
from typing import Literal
import tunesmith as ts


class RouteReport(ts.Signature):
    """Send a citizen's report to the team that can do something about it."""

    report: str = ts.InputField()
    team: Literal["streets", "waste", "water", "parks"] = ts.OutputField()


class Router(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = ts.Predict(RouteReport)

    def forward(self, report):
        return self.step(report=report)


program = Router()
'''
_PROJECT = """
program = "program:program"
metric = "exact_match:team"

[data]
train = "data/train.jsonl"
val = "data/val.jsonl"
test = "data/test.jsonl"

[lm]
spec = "ollama/m"
max_tokens = 64

[compile]
budget_calls = 120
num_candidates = 3
max_labeled_demos = 4
run = "first"
"""

Change = Callable[[Path, ProtocolServer], tuple[str, ...]]


def answer(messages: list[dict[str, Any]], _options: dict[str, Any]) -> str:
    """Know every team where the messages hold a worked example; else say what is asked most."""
    known = {row["report"]: row["team"] for row in rows(REPORTS)}
    text, shown = messages[-1]["content"], any(message["role"] == "assistant" for message in messages)
    team = next((label for report, label in known.items() if report in text), "streets") if shown else "streets"
    in_object = shown and next(m["content"] for m in messages if m["role"] == "assistant").startswith("{")
    return json.dumps({"team": team} if in_object else team)


def fake_model(**options: Any) -> FakeModel:
    return FakeModel("m", reply=answer, **options)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ProtocolServer]:
    with ProtocolServer([fake_model()]) as found:
        yield found


@pytest.fixture
def server(shared_server: ProtocolServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolServer]:
    monkeypatch.setenv("OLLAMA_HOST", shared_server.url)
    yield shared_server
    shared_server.world.library.remove("m")
    shared_server.world.library.add(fake_model())


@pytest.fixture(scope="module")
def compiled(shared_server: ProtocolServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "data").mkdir()
    (folder / "program.py").write_text(_PROGRAM, encoding="utf-8")
    (folder / "tunesmith.toml").write_text(_PROJECT, encoding="utf-8")
    lines = REPORTS.read_text(encoding="utf-8").splitlines()
    for number, name in enumerate(("train", "val", "test")):
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(lines[number:30:3]) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLLAMA_HOST", shared_server.url)
        patch.chdir(folder)
        done = run("compile", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture
def project(compiled: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the compiled project as the current folder, its run started in it."""
    folder = tmp_path / "project"
    shutil.copytree(compiled[0], folder)
    file = folder / "runs" / "first" / "run.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored["command"]["folder"] = str(folder)
    file.write_text(json.dumps(stored), encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def asked(server: ProtocolServer) -> int:
    """Return how many requests asked for work of a model, rather than what there is."""
    return sum(entry.path not in _LOOKS for entry in server.requests)


def contents(run_folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a run; what SQLite and locks leave beside them says nothing."""
    files = [path for path in run_folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {
        str(path.relative_to(run_folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.endswith(("-wal", "-shm"))
    }


# Again ----------------------------------------------------------------------------------------------------------


def test_a_replay_asks_the_model_nothing(
    project: Path, server: ProtocolServer, compiled: tuple[Path, dict[str, Any]]
) -> None:
    assert (before := asked(server)) > 30
    again = json.loads(run("compile", "--json", "--quiet").stdout)
    assert asked(server) == before
    assert again["artifact"]["sha256"] == compiled[1]["artifact"]["sha256"]
    assert again["calls"] == {"charged": compiled[1]["calls"]["charged"], "paid": 0}


@pytest.mark.parametrize("lost", ["replies", "ledger"])
def test_a_stopped_run_is_resumed_from_what_is_left_without_a_request(
    lost: str,
    project: Path,
    server: ProtocolServer,
    compiled: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = project / "runs" / "first"
    shutil.rmtree(folder / "artifact")
    (folder / "result.json").unlink()
    if lost == "replies":
        monkeypatch.setenv("TUNESMITH_HOME", str(project / "home"))
    else:
        for path in folder.glob("run.db*"):
            path.unlink()
    before = asked(server)
    found = run("runs", "resume", "first", "--json")
    assert found.exit_code == 0, found.stderr
    assert asked(server) == before
    again = json.loads(found.stdout)
    assert again["artifact"]["sha256"] == compiled[1]["artifact"]["sha256"]
    assert again["calls"]["paid"] == 0


def test_a_new_metric_scores_what_is_stored_without_a_request(
    project: Path, server: ProtocolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(project / "home"))  # no reply is cached: the ledger has all it takes
    before = asked(server)
    changed = ("compile", "--metric", "contains:team", "--json", "--quiet")
    found = run(*changed, "--rescore")
    assert found.exit_code == 0, found.stderr
    assert asked(server) == before
    found = run(*changed)
    assert found.exit_code == 0, found.stderr
    assert asked(server) == before, "the new metric orders the candidates alike, so nothing new is needed"
    assert "another metric." in check_failure(run("compile", "--quiet"), 2)


# Something else -------------------------------------------------------------------------------------------------


def edited(file: str, old: str, new: str) -> Change:
    def change(folder: Path, _server: ProtocolServer) -> tuple[str, ...]:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return ()

    return change


def shortened(file: str) -> Change:
    def change(folder: Path, _server: ProtocolServer) -> tuple[str, ...]:
        path = folder / "data" / file
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
        return ()

    return change


def other_weights(_folder: Path, server: ProtocolServer) -> tuple[str, ...]:
    server.world.library.remove("m")
    server.world.library.add(fake_model(weights="pulled again"))
    return ()


def given(*arguments: str) -> Change:
    return lambda _folder, _server: arguments


CHANGES: dict[str, tuple[str, Change]] = {
    "program's code": ("source", edited("program.py", "report=report", "report=report.strip()")),
    "program's fields": ("program", edited("program.py", '"waste", ', '"waste", "noise", ')),
    "program's instruction": ("candidate", edited("program.py", "Send a", "Forward a")),
    "training data": ("trainset", shortened("train.jsonl")),
    "validation data": ("valset", shortened("val.jsonl")),
    "test data": ("testset", shortened("test.jsonl")),
    "metric": ("metric", given("--metric", "contains:team")),
    "digest": ("lm digest", other_weights),
    "option of the model": ("lm option max_tokens", edited("tunesmith.toml", "max_tokens = 64", "max_tokens = 65")),
    "context": ("lm option num_ctx", edited("tunesmith.toml", "[lm]\n", "[lm]\nnum_ctx = 4096\n")),
    "option of the compiler": ("compiler", edited("tunesmith.toml", "num_candidates = 3", "num_candidates = 4")),
    "seed": ("compiler, seed", given("--seed", "1")),
    "budget": ("budget", given("--budget-calls", "119")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_of_something_else_is_refused_by_name_and_kept(name: str, project: Path, server: ProtocolServer) -> None:
    wanted, change = CHANGES[name]
    arguments = change(project, server)
    kept, before = contents(project / "runs" / "first"), asked(server)

    found = check_failure(run("compile", *arguments, "--quiet", "--json"), 2, as_json=True)

    assert f"holds a run with another {wanted}. " in found
    assert "--new" in found
    assert "--fork NAME" in found
    assert ("--rescore" in found) == (name == "metric")
    assert asked(server) == before
    assert contents(project / "runs" / "first") == kept


@pytest.mark.parametrize("name", ["validation data", "metric", "digest"] if FULL else ["digest"])
def test_it_can_be_forked_or_set_aside(name: str, project: Path, server: ProtocolServer) -> None:
    arguments = CHANGES[name][1](project, server)
    kept = contents(project / "runs" / "first")

    forked = run("compile", *arguments, "--fork", "second", "--json", "--quiet")
    assert forked.exit_code == 0, forked.stderr
    assert Path(json.loads(forked.stdout)["artifact"]["path"]).parts[-3:] == ("runs", "second", "artifact")
    assert contents(project / "runs" / "first") == kept

    before = asked(server)
    anew = run("compile", *arguments, "--new", "--json", "--quiet")
    assert anew.exit_code == 0, anew.stderr
    assert asked(server) == before, "the fork has paid for it"
    assert contents(project / "runs" / "first.old-1") == kept
    assert run("compile", *arguments, "--json", "--quiet").exit_code == 0


# From Python ----------------------------------------------------------------------------------------------------


def test_the_same_holds_from_python(server: ProtocolServer, tmp_path: Path) -> None:
    examples = [dspy.Example(**row).with_inputs("report") for row in rows(REPORTS)]

    def compiled_once(metric: Any = None, **options: Any) -> Any:
        metric = exact_match("team") if metric is None else metric
        lm_options = options.pop("lm_options", {})
        return ts.compile(
            ts.Predict("report -> team"),
            metric=metric,
            trainset=examples[:12],
            valset=options.pop("valset", examples[12:24]),
            compiler=ts.RandomSearch(metric=metric, num_candidates=3, max_labeled_demos=4),
            lm=ts.lm("ollama/m", host=server.url, cache=ReplyCache(tmp_path / "cache"), **lm_options),
            run=tmp_path / "run",
            mirror=False,
            **options,
        )

    first = compiled_once()
    before = asked(server)
    assert compiled_once().artifact.sha256 == first.artifact.sha256
    assert compiled_once(contains("team"), rescore=True).paid.calls == 0
    assert compiled_once(rescore=True).artifact.sha256 == first.artifact.sha256
    for options, named in (
        ({"metric": contains("team")}, "metric"),
        ({"valset": examples[12:23]}, "valset"),
        ({"lm_options": {"temperature": 0.5}}, "lm option temperature"),
        ({"budget": 500}, "budget"),
    ):
        with pytest.raises(RunMismatch, match=rf"another {named}\. .*--new.*--fork"):
            compiled_once(**options)
    other_weights(tmp_path, server)
    with pytest.raises(RunMismatch, match=r"another lm digest\. "):
        compiled_once()
    assert asked(server) == before
