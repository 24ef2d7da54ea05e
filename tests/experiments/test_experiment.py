"""Experiments: a matrix of compiles, each a run of its own."""

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith import Experiment, FunctionLM
from tunesmith.compilers import BootstrapFewShot, LabeledFewShot
from tunesmith.data import Dataset
from tunesmith.errors import Interrupted, MetricError, ModelUnavailable, RunMismatch, UsageError
from tunesmith.evaluation import RunFolder
from tunesmith.experiments import Cell, Project, compare_runs, project_experiment
from tunesmith.lm import Seen
from tunesmith.metrics import exact_match
from tunesmith.modules import ChainOfThought, Predict
from tunesmith.signatures.declaring import Signature

ROWS = [{"text": f"{word} {n}", "label": word} for n in range(9) for word in ("good", "bad")]
DATA = Dataset.load(ROWS, signature=Signature("text -> label")).split(train=6, val=6, test=6)
GIVEN: dict[str, Any] = {
    "metric": exact_match("label"),
    "trainset": DATA.train,
    "valset": DATA.val,
    "testset": DATA.test,
}


def matrix(folder: Path, **given: Any) -> Experiment:
    common = {"programs": Predict("text -> label"), "compilers": LabeledFewShot(2), "models": FunctionLM(answer)}
    return Experiment.matrix("grid", **{**common, **GIVEN, "root": folder, **given})


def answer(seen: Seen) -> str:
    return "bad" if "bad" in seen.text and len(seen.messages) > 2 else "good"


def test_runs_are_grouped_by_program_and_compiler_as_the_experiment_calls_them(tmp_path: Path) -> None:
    programs = {"plain": Predict("text -> label"), "told": Predict(Signature("text -> label", "Good or bad?"))}
    compilers = {"two": LabeledFewShot(2), "four": LabeledFewShot(4)}
    experiment = matrix(tmp_path, programs=programs, compilers=compilers, mirror=False)
    experiment.run()
    for axis, names in (("program", programs), ("compiler", compilers)):
        found = experiment.compare(by=[axis])
        assert {(row.run, getattr(row, axis), row.runs) for row in found.rows} == {(name, name, 2) for name in names}
        assert len(found.notes) == 1, "nothing but the axis sets the groups apart"
    both = experiment.compare(by=["program", "compiler"])
    assert {row.run for row in both.rows} == {"plain, two", "plain, four", "told, two", "told, four"}

    notes = experiment.path(experiment.cells[1]) / "candidates.json"
    content = json.loads(notes.read_text(encoding="utf-8"))
    content["about"]["program"] = "as another version called it"
    notes.write_text(json.dumps(content), encoding="utf-8")
    paths = [experiment.path(cell) for cell in experiment.cells]
    assert {row.run for row in compare_runs(paths, by=["program"]).rows} == {"plain", "told"}
    alone = compare_runs(paths, by=["program"], called={})
    assert [(row.run.partition(" of ")[2], row.runs) for row in alone.rows] == [
        ("grid_plain_two", 2),
        ("grid_told_two", 2),
    ]
    assert alone.cells()[0][:2] == ["run", "program"]


def test_every_combination_is_a_run_and_the_runs_are_compared(tmp_path: Path) -> None:
    asked: list[str] = []

    def recorded(seen: Seen) -> str:
        asked.append(seen.text)
        return answer(seen)

    experiment = matrix(
        tmp_path,
        programs={"plain": Predict("text -> label"), "short": Predict("text -> label")},
        models=[FunctionLM(recorded)],
        seeds=[0],
        mirror=False,
    )
    outcomes = experiment.run()
    assert [(one.cell.run, one.state) for one in outcomes] == [
        ("grid_plain_function_seed0", "done"),
        ("grid_short_function_seed0", "done"),
    ]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [one.cell.run for one in outcomes]
    assert {row.run for row in experiment.compare().rows} == {one.cell.run for one in outcomes}
    del asked[:]
    again = matrix(
        tmp_path,
        programs={"plain": Predict("text -> label"), "short": Predict("text -> label")},
        models=[FunctionLM(recorded)],
        seeds=[0, 1],
        mirror=False,
    )
    assert [one.state for one in again.run(only=[cell.run for cell in experiment.cells])] == ["was done", "was done"]
    assert asked == []
    assert [again.state(cell) for cell in again.cells] == ["done", "new", "done", "new"]


def test_the_model_changes_last_so_that_each_is_loaded_once(tmp_path: Path) -> None:
    models = {"one": FunctionLM(answer), "two": FunctionLM(answer)}
    compilers = [LabeledFewShot(2), BootstrapFewShot()]
    experiment = matrix(tmp_path, compilers=compilers, models=models, seeds=[3, 4])
    assert [(cell.model, cell.compiler, cell.seed) for cell in experiment.cells] == [
        (model, compiler, seed)
        for model in ("one", "two")
        for compiler in ("LabeledFewShot", "BootstrapFewShot")
        for seed in (3, 4)
    ]
    assert experiment.cells[0].arguments()["compiler"].seed == 3


def test_a_cell_that_fails_stops_no_other(tmp_path: Path) -> None:
    def broken(example: Any, prediction: Any, trace: Any = None) -> float:
        raise ValueError("no score")

    def away(seen: Seen) -> str:
        raise ModelUnavailable("The server went away.")

    models = {"away": FunctionLM(away), "there": FunctionLM(answer)}
    first, second = matrix(tmp_path, models=models, mirror=False).run()
    assert (first.state, type(first.error), second.state) == ("failed", ModelUnavailable, "done")
    other = matrix(tmp_path, models={"there": FunctionLM(answer)}, seeds=5, mirror=False)
    (changed,) = other.run()
    assert (changed.state, type(changed.error)) == ("failed", RunMismatch)
    (failed,) = matrix(tmp_path, programs=[Predict("text -> label")], metric=broken, mirror=False).run()
    assert isinstance(failed.error, MetricError)


def test_a_run_of_another_process_is_left_to_it(tmp_path: Path) -> None:
    experiment = matrix(tmp_path, seeds=[0, 1], mirror=False)
    with contextlib.ExitStack() as others:

        def taken(cell: Cell, arguments: Any) -> contextlib.nullcontext[None]:
            if cell.seed == 0:  # at the last moment
                others.enter_context(RunFolder(experiment.path(cell), {}))
            return contextlib.nullcontext()

        assert [one.state for one in experiment.run(watch=taken)] == ["running", "done"]


def test_a_run_says_the_fields_of_its_program(tmp_path: Path) -> None:
    reply = FunctionLM(lambda seen: '{"reasoning": "?", "label": "good"}' if "reasoning" in seen.text else "good")
    programs = {kind.__name__: kind("text -> label") for kind in (Predict, ChainOfThought)}
    experiment = matrix(tmp_path, programs=programs, models=reply, mirror=False)
    experiment.run()
    for cell, name in zip(experiment.cells, programs, strict=True):
        about = json.loads((experiment.path(cell) / "candidates.json").read_text(encoding="utf-8"))["about"]
        assert about["program"] == f"tunesmith.modules.predict:{name}, text -> label"


def test_an_interrupt_stops_all(tmp_path: Path) -> None:
    def stop(seen: Seen) -> str:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        matrix(tmp_path, models=[FunctionLM(stop)], seeds=[0, 1], mirror=False).run()
    assert len(list((tmp_path / "runs").iterdir())) == 1


@each(
    ("given", "words"),
    [
        ({"seeds": []}, "`seeds` of an experiment are one or more of int. Given: none."),
        ({"seeds": [True]}, "Given: True."),
        ({"models": ["embedded"]}, "`models` of an experiment are one or more of BaseLM. Given: 'embedded'."),
        ({"programs": [Predict("a -> b"), Predict("a -> b")]}, "would share the run 'grid_Predict'"),
        ({"seeds": [0, 0]}, "would share the run 'grid_seed0'"),
    ],
)
def test_a_wrong_matrix_is_refused(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        matrix(tmp_path, **given)
    assert words in str(caught.value)


def test_a_name_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no run 'grid_x'\. It has: grid"):
        matrix(tmp_path).run(only=["grid_x"])
    with pytest.raises(UsageError, match="The name of an experiment"):
        Experiment("a/b", ())


# In the project file --------------------------------------------------------------------------------------------

TOML = """program = "text -> label"
metric = "exact_match:label"
[data]
file = "rows.jsonl"
split = { train = 6, val = 6, test = 6 }
[lm]
spec = "openai/a"
base_url = "http://127.0.0.1:1/v1"
[compile]
compiler = "labeled-few-shot"
k = 3
budget_calls = 90
[experiments.grid]
programs = ["text -> label", { name = "cot", signature = "text -> label", module = "ChainOfThought" }]
compilers = ["labeled-few-shot", { compiler = "bootstrap-few-shot", name = "boot", max_rounds = 2 }]
models = ["openai/a", { spec = "openai/b", temperature = 0.5 }]
seeds = [0, 7]
compile = { budget_calls = 80 }
[experiments.small]
metric = "contains:label"
seeds = [1]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "tunesmith.toml").write_text(TOML, encoding="utf-8")
    with contextlib.chdir(tmp_path):
        yield Project.load()


def test_an_experiment_of_the_file_has_a_cell_for_each_combination(project: Project) -> None:
    found = project_experiment(project, "grid")
    assert len(found.cells) == 16
    assert [cell.run for cell in found.cells][:3] == [
        "grid_text-label_labeled-few-shot_openai-a_seed0",
        "grid_text-label_labeled-few-shot_openai-a_seed7",
        "grid_text-label_boot_openai-a_seed0",
    ]
    assert [cell.model for cell in found.cells] == ["openai/a"] * 8 + ["openai/b"] * 8
    first, last = found.cells[0].arguments(), found.cells[-1].arguments()
    assert (first["compiler"].k, first["seed"], first["budget"].calls) == (3, 0, 80)
    assert (last["compiler"].max_rounds, last["compiler"].seed, last["budget"].calls) == (2, 7, 80)
    assert isinstance(first["program"], Predict)
    assert isinstance(last["program"], ChainOfThought)
    assert found.cells[1].arguments()["trainset"] is found.cells[2].arguments()["trainset"]  # read once
    (small,) = project_experiment(project, "small").cells
    assert (small.run, small.seed, small.arguments()["metric"].metric_name) == ("small_seed1", 1, "contains(label)")


def test_what_the_file_says_of_one_model_is_of_that_one_in_every_cell(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setenv("TUNESMITH_LM", "openai/c")  # a cell is of its own model
    monkeypatch.setenv("TUNESMITH_COMPILE_BUDGET_CALLS", "70")
    project = Project.load()
    assert project.settings.lm.spec == "openai/c"
    found = project_experiment(project, "grid")
    monkeypatch.setattr("tunesmith.experiments.project.lm", lambda spec, **given: made.append((spec, given)))
    for cell in found.cells:
        cell.models()
    assert made == [
        ("openai/a", {"cache": True, "base_url": "http://127.0.0.1:1/v1"}),
        ("openai/b", {"cache": True, "temperature": 0.5}),
    ]
    assert found.cells[0].arguments()["budget"].calls == 70


@each(
    ("toml", "words"),
    [
        (
            "[experiments.a]\nmodles = ['x']",
            "tunesmith.toml, line 2: there is no key `experiments.a.modles`. Did you mean",
        ),
        ("[experiments.a]\nseeds = []", "tunesmith.toml, line 2: `experiments.a.seeds`: List should have at least 1"),
        ("[experiments.a]\nseeds = [1,\n'2']", "tunesmith.toml, line 3: `experiments.a.seeds.1`: Input should be"),
        (
            "[experiments.a]\nmodels = [{spec = 'x'},\n{slots = 1}]",
            "tunesmith.toml, line 3: `experiments.a.models.1.spec`",
        ),
        (
            "[experiments.a]\nmodels = [{spec = 'x',  slts = 1}]",
            "there is no key `experiments.a.models.0.slts`. Did you",
        ),
        (
            "[experiments.a]\nseeds = [1]\ncompile = {seed = 2}",
            "tunesmith.toml, lines 2 and 3: `experiments.a`: `seeds` and",
        ),
        (
            "[experiments.a]\ncompile = {run = 'x'}",
            "tunesmith.toml, line 2: `experiments.a`: `compile.run` and `compile`",
        ),
        (
            "[experiments.a]\n[experiments.a.compile]\nbuget_calls = 2",
            "tunesmith.toml, line 3: there is no key `compile.buge",
        ),
        ("[experiments.'a/b']\nseeds = [1]", "tunesmith.toml, line 1: `experiments`: 'a/b' cannot be an experiment"),
    ],
)
def test_a_mistake_in_an_experiment_is_told_with_its_line(toml: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "tunesmith.toml").write_text(toml, encoding="utf-8")
    with contextlib.chdir(tmp_path), pytest.raises(UsageError) as caught:
        Project.load()
    assert words in str(caught.value)


def test_an_option_that_a_compiler_of_the_list_lacks_is_told_with_its_line(tmp_path: Path) -> None:
    text = "[experiments.a]\ncompilers = [\n  'labeled-few-shot',\n  {compiler = 'gepa', k = 3},\n]"
    (tmp_path / "tunesmith.toml").write_text(text, encoding="utf-8")
    with contextlib.chdir(tmp_path), pytest.raises(UsageError) as caught:
        project_experiment(Project.load(), "a")
    assert str(caught.value).startswith("tunesmith.toml, line 4: [compile] `k` is not an option of the compiler GEPA")


def test_an_unknown_experiment_names_those_there_are(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is: grid, small\. Did you mean 'small'\?"):
        project_experiment(project, "smal")
    (tmp_path / "tunesmith.toml").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"It is a table \[experiments.NAME\]"):
        project_experiment(Project.load(), "grid")


PIECES = (
    "3",
    "'x'",
    "[]",
    "{}",
    "[{}]",
    "{name = 3}",
    "true",
    "1979-05-27",
    "\n",
    "[",
    "]",
    ".",
    "=",
    "x",
    "experiments",
    "[[lm]]",
)


@given(st.integers(0, len(TOML)), st.integers(0, 30), st.sampled_from(PIECES), st.integers(0, 40))
def test_whatever_the_file_says_it_is_read_or_the_message_is_ours(
    start: int, length: int, piece: str, line: int
) -> None:
    lines = TOML.splitlines(keepends=True)
    line %= len(lines)
    whole = "".join([*lines[:line], re.sub("= .*", f"= {piece}", lines[line]), *lines[line + 1 :]])
    for text in (whole, TOML[:start] + piece + TOML[start + length :]):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tunesmith.toml").write_text(text, encoding="utf-8")
            with contextlib.suppress(UsageError):
                project = Project.load(folder)
                project.resolved()
                for name in project.settings.experiments:
                    project_experiment(project, name)
