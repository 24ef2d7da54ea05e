"""Worker processes: what they can be given, and what happens if one dies."""

import json
import re
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.contracts.executor import ExecutorContract, chats, plain
from tests.each import each
from tests.evaluation.executors.programs import AlwaysDies, Colour, Dies, TwoSteps, examples, named, right
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ModelUnavailable, UsageError
from tunesmith.evaluation.job import job_json, subject_of
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import FunctionLM, Meter, ReplyCache


class TestProcesses(ExecutorContract):
    name = "processes"

    def test_a_killed_worker_loses_nothing_and_nothing_is_paid_twice(
        self, server: ProtocolServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TUNESMITH_TEST_DEATH", str(tmp_path / "died"))
        meter = Meter()

        report = ts.evaluate(
            Dies(), examples(6), right, lm=self.model(server, tmp_path), slots=2, meter=meter, executor=self.name
        )

        assert (tmp_path / "died").exists()
        assert [row.score for row in report.rows] == [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
        assert meter.charged.calls == meter.paid.calls == chats(server) == 6

    def test_an_example_that_kills_every_worker_ends_the_run_with_an_error(
        self, server: ProtocolServer, tmp_path: Path
    ) -> None:
        with pytest.raises(ModelUnavailable, match=r"ended 3 times.*SIGKILL"):
            ts.evaluate(AlwaysDies(), examples(2), right, lm=self.model(server, tmp_path), executor=self.name)

    @pytest.mark.model
    @pytest.mark.slow
    def test_on_the_embedded_model_rows_are_those_of_threads(self, tmp_path: Path) -> None:
        found = []
        for name in ("threads", self.name):
            lm = ts.lm("embedded", cache=ReplyCache(tmp_path / name), threads=1)
            report = ts.evaluate(ts.Predict(Colour), examples(4), right, lm=lm, slots=2, executor=name)
            found.append((plain(report), report.charged.calls, report.paid.calls))

        assert found[0] == found[1]


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "executors.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with ProtocolServer(models=[FakeModel("m", reply="red")]) as server:
        lm = ts.lm("ollama/m", host=server.url, cache=ReplyCache(tmp_path / "cache"))
        given = {"program": ts.Predict(Colour), "metric": right, "data": examples(1), "train": examples(20), "lm": lm}
        code = code.replace("ts.compile(", "ts.compile(compiler=ts.LabeledFewShot(1), program=")  # the quickest
        exec(compile(code, "executors.md", "exec"), given)
    assert (tmp_path / "runs" / "first" / "result.json").is_file()


def in_a_function() -> type[dspy.Module]:
    class Hidden(TwoSteps):
        pass

    return Hidden


class NeedsArguments(dspy.Module):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.step = ts.Predict(Colour)

    def forward(self, thing: str) -> Any:
        return self.step(thing=thing)


class Changeable(NeedsArguments):
    def __init__(self, limit: int = 3) -> None:
        super().__init__(limit)


at_the_top = NeedsArguments(5)


def a_model(server: ProtocolServer) -> ts.LM:
    return ts.lm("ollama/m", host=server.url, cache=False)


@pytest.fixture(scope="module")
def server() -> Any:
    with ProtocolServer(models=[FakeModel("m", reply="red")]) as server:
        yield server


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda: in_a_function()(), "it is defined inside a function"),
        (lambda: NeedsArguments(5), "it is made with arguments"),
        (lambda: _changed(), "it was changed after it was made"),
    ],
)
def test_a_program_that_cannot_be_named_is_refused_with_what_to_do(
    server: ProtocolServer, program: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=rf"{words}.*top of a module.*`threads`"):
        ts.evaluate(program(), examples(1), right, lm=a_model(server), executor="processes")


def _changed() -> Changeable:
    found = Changeable()
    found.limit = 7
    return found


def test_a_metric_without_a_name_is_refused_with_what_to_do(server: ProtocolServer) -> None:
    with pytest.raises(UsageError, match=r"The metric `lambda`.*top of a module"):
        ts.evaluate(ts.Predict(Colour), examples(1), lambda *_: True, lm=a_model(server), executor="processes")


def test_a_model_that_is_an_object_of_this_process_is_refused() -> None:
    with pytest.raises(UsageError, match=r"not made by `ts.lm`.*`threads`"):
        ts.evaluate(ts.Predict(Colour), examples(1), right, lm=FunctionLM(lambda seen: "red"), executor="processes")


def test_an_adapter_of_the_callers_is_refused(server: ProtocolServer) -> None:
    with dspy.context(adapter=dspy.ChatAdapter()), pytest.raises(UsageError, match=r"dspy\.settings\.adapter"):
        ts.evaluate(ts.Predict(Colour), examples(1), right, lm=a_model(server), executor="processes")


PROGRAMS = [
    ts.Predict(Colour),
    ts.Predict("question, context: list[str] -> answer: int"),
    ts.ChainOfThought(Colour),
    dspy.ChainOfThought("question -> answer"),
    ts.SelfConsistency(ts.ChainOfThought(Colour), samples=3),
    ts.Chain(second=ts.Predict(Colour), first=ts.Predict("colour -> mood")),
    ts.Team("question -> colour", {"one": "You ask.", "two": "You answer."}),
    TwoSteps(),
    named,
    at_the_top,
]
METRICS = [right, ts.metrics.exact_match("colour")]


@each(("program", "metric"), [(program, METRICS[at % 2]) for at, program in enumerate(PROGRAMS)])
def test_a_job_makes_the_same_subject_again(server: ProtocolServer, program: Any, metric: Any) -> None:
    changed = ts.Candidate.of(program)
    changed = changed.with_part(next(iter(changed.parts)), instruction="Another one.")
    subject = Subject(program, metric, lm=a_model(server), candidate=changed)

    again = subject_of(job_json(subject))

    assert job_json(again) == job_json(subject)
    assert ts.Candidate.of(again.program) == changed


def test_a_worker_without_a_module_says_which_and_what_to_do(server: ProtocolServer) -> None:
    job, name = (
        json.dumps(job_json(Subject(ts.Predict(Colour), right, lm=a_model(server)))),
        f"{right.__module__}:right",
    )
    assert name in job
    with pytest.raises(UsageError, match=r"`absent:right` cannot be imported: No module named 'absent'.*PYTHONPATH"):
        subject_of(json.loads(job.replace(name, "absent:right")))
