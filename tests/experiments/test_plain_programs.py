"""Programs written without tunesmith compile as they are, and run where tunesmith is not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import right, state_of
from tests.experiments import plain_programs
from tests.experiments.plain_programs import PROGRAMS
from tests.experiments.worlds import TEST, TRAIN, VAL, model
from tests.scale import FULL
from tunesmith.evaluation import evaluate
from tunesmith.lm import FunctionLM

OUTSIDE = """
import importlib.util, json, sys
from importlib.abc import MetaPathFinder
from pathlib import PurePath

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tunesmith":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
try:
    import tunesmith
except ImportError:
    pass
else:
    sys.exit("tunesmith can be imported here")

import dspy
from dspy.utils import DummyLM

spec = importlib.util.spec_from_file_location("plain_programs", sys.argv[1])
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
found = {}
for path in sys.argv[2:]:
    name = PurePath(path).stem
    program = plain.PROGRAMS[name]()
    program.load(path)
    lm = DummyLM(list(plain.ANSWERS[name]))
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        prediction = program(thing="thing 500")
    found[path] = {"colour": prediction.colour, "calls": [entry["messages"] for entry in lm.history]}
print(json.dumps(found))
"""


def outside(states: list[Path]) -> dict[str, Any]:
    """Return what the states say and send in a process without tunesmith."""
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(plain_programs.__file__), *map(str, states)],
        cwd=states[0].parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Compile each program in DSPy's form and in the full form; keep the students and where the states lie."""
    folder, found = tmp_path_factory.mktemp("states"), {}
    for name, make in PROGRAMS.items():
        student, lm = make(), FunctionLM(model)
        before = state_of(student)
        with dspy.context(lm=lm):
            small = {"trainset": TRAIN[:12], "valset": VAL[:10]}
            large = {"trainset": TRAIN, "valset": VAL}
            short = ts.RandomSearch(metric=right, num_candidates=2).compile(student, **small)
            full = ts.compile(
                student,
                metric=right,
                **(large if FULL else small),
                testset=TEST,
                compiler=ts.RandomSearch(metric=right, num_candidates=2),
                run=folder / f"run-{name}",
                mirror=False,
            )
        (folder / "short").mkdir(exist_ok=True)
        (folder / "full").mkdir(exist_ok=True)
        short.save(folder / "short" / f"{name}.json")
        state = full.artifact.path / "state.json"
        (folder / "full" / f"{name}.json").write_bytes(state.read_bytes())
        found[name] = {
            "student": student,
            "before": before,
            "short": short,
            "full": full,
            "states": [folder / "short" / f"{name}.json", folder / "full" / f"{name}.json"],
        }
    return found


@pytest.fixture(scope="module")
def said(compiled: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return outside([state for one in compiled.values() for state in one["states"]])


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_student_is_untouched(compiled: dict[str, Any], name: str) -> None:
    assert state_of(compiled[name]["student"]) == compiled[name]["before"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_classes_and_paths_stay_as_they_are(compiled: dict[str, Any], name: str) -> None:
    student = compiled[name]["student"]
    for program in (compiled[name]["short"], compiled[name]["full"].program):
        assert type(program) is type(student)
        assert [(path, type(p)) for path, p in program.named_predictors()] == [
            (path, type(p)) for path, p in student.named_predictors()
        ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiling_helps_and_the_test_split_says_so(compiled: dict[str, Any], name: str) -> None:
    student, result = compiled[name]["student"], compiled[name]["full"]

    assert result.report.improved
    assert result.gain.mean > 0.1
    assert result.verdict == "ship"
    lm, some = FunctionLM(model), TEST[:10]
    for program, report in ((result.program, result.compiled), (student, result.baseline)):
        found = [(row.key, row.score) for row in evaluate(program, some, right, lm=lm).rows]
        assert found == [(row.key, row.score) for row in report.rows[: len(some)]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_state_runs_without_tunesmith_and_sends_its_demos(
    compiled: dict[str, Any], said: dict[str, Any], name: str
) -> None:
    for path in compiled[name]["states"]:
        state = json.loads(path.read_text(encoding="utf-8"))
        calls = said[str(path)]["calls"]
        assert said[str(path)]["colour"] == "red"
        sent = [(len(messages), json.dumps(messages)) for messages in calls]
        demos = [demo for part in state.values() if isinstance(part, dict) for demo in part.get("demos", ())]
        assert demos, "there is nothing to see"
        for demo in demos:
            values = [v for k, v in demo.items() if isinstance(v, str) and k not in ("augmented", "trajectory")]
            assert any(all(json.dumps(value)[1:-1] in text for value in values) for _, text in sent)
        assert max(count for count, _ in sent) >= 3


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_artifact_loads_and_predicts_the_same(compiled: dict[str, Any], name: str) -> None:
    result, lm = compiled[name]["full"], FunctionLM(model)

    loaded = ts.load(result.artifact.path, lm=lm, program=PROGRAMS[name]())

    with dspy.context(lm=lm):
        for example in TEST[:5]:
            assert loaded(**example.inputs()).colour == result.program(**example.inputs()).colour
    assert ts.verify(result.artifact.path).sha256 == result.artifact.sha256
