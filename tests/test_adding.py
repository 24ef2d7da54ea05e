"""One new file adds a metric, a format, an engine, a compiler, a module, an executor, an export or a shape of data.

Each file below is put into its package of tunesmith without touching another one. The command line, tunesmith.toml, the
plan and the artifact then find what it registers.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ADDED = {
    "metrics/added_metric.py": """
from tunesmith.metrics.metric import named

@named
def initials(field):
    def metric(example, prediction, trace=None):
        return float(example[field][:1] == prediction[field][:1])
    return metric
""",
    "formats/added_format.py": """
from tunesmith.formats.lines import LinesFormat
from tunesmith.formats.registry import register

class Added(LinesFormat):
    name = "added"

register(Added())
""",
    "lm/engines/added_engine.py": """
import importlib
from tunesmith.lm.engines.registry import EngineKind, EngineOptions, option, register_engine

class AddedOptions(EngineOptions):
    answer: str | None = option("a text", "what it answers to everything")

def make(spec, given, slots):
    scripted = importlib.import_module("tunesmith.lm.doubles")
    def reply(seen):
        # The program as given is wrong; what the compiler tries is right, in the added format.
        return f"Topic: {given['answer']}" if " the topic" in seen.system else "apples"
    return scripted.FunctionLM(reply)._stack.engine, given

register_engine(EngineKind(name="added", spec="added/<name>", help="always the same", options=AddedOptions,
                           make=make, takes=lambda spec, _: spec.startswith("added/")))
""",
    "compilers/added_compiler.py": '''
from dataclasses import dataclass
from tunesmith.compilers import Compiler, Effort, Search, option

@dataclass(frozen=True)
class AddedCompiler(Compiler):
    """Try one sentence."""

    sentence: str = option("Be brief.", "The sentence.")

    def effort(self, *, train, calls):
        return Effort(candidates=1, race="full")

    def search(self, search: Search) -> None:
        tried = [search.base.with_part(path, instruction=self.sentence, format="added") for path in search.paths]
        search.race(tried)
''',
    "modules/added_module.py": """
from tunesmith.modules.module import Module
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting

@register_module
class Twice(Module):
    times: int = Setting(2, choices=(1, 2), low=1)

    def __init__(self, step):
        super().__init__()
        self.step = step

    def spec(self):
        return {"step": self.step}

    def calls(self):
        return {"step": self.times}

    def forward(self, **inputs):
        for _ in range(self.times):
            found = self.step(**inputs)
        return found
""",
    "artifacts/export/added_export.py": """
from dataclasses import dataclass
from typing import ClassVar
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export
from tunesmith.options import option

@register_export
@dataclass(frozen=True)
class Shout(Export):
    \"\"\"The instruction, loud.\"\"\"

    name: ClassVar[str] = "shout"
    marks: int = option(1, "How many marks follow.", low=0)

    def files(self, source: Source) -> Exported:
        return Exported({"shout.txt": source.prompts[0].signature.instructions.upper() + "!" * self.marks})
""",
    "data/shapes/added_shape.py": """
from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Shape

@register_shape
class AddedShape(Shape):
    name = "added"
    about = "questions called q"

    def fits(self, row, path):
        return "q" in row

    def convert(self, row, path):
        yield {"text": row.text("q"), "topic": row.text("a")}
""",
    "evaluation/executors/added_executor.py": """
from contextlib import contextmanager
from tunesmith.evaluation.executor import Executor, register_executor

@register_executor
class Here(Executor):
    name = "here"

    @contextmanager
    def seat(self, subject):
        yield subject.evaluate
""",
}

# The packages look for further files in the folders of ADDED_TO, as if they stood beside their own.
START = """
import os, sys
from importlib import import_module
PACKAGES = "metrics formats lm.engines compilers modules evaluation.executors artifacts.export data.shapes"
for name in PACKAGES.split():
    import_module("tunesmith." + name).__path__.append(os.path.join(os.environ["ADDED_TO"], *name.split(".")))
from tunesmith.cli import main
main(sys.argv[1:], prog_name="tunesmith")
"""

TOML = """
program = "program:program"
metric = "initials:topic"

[data]
train = "rows.jsonl"
val = "more.jsonl"
test = "tests.jsonl"

[lm]
spec = "added/x"
answer = "oranges"

[compile]
compiler = "added-compiler"
sentence = "Name the topic."
executor = "here"
budget_calls = 300
"""

PROGRAM = """
import tunesmith as ts
from tunesmith.modules.added_module import Twice

program = Twice(ts.Predict(ts.Signature("text -> topic", "Say it.")))
"""


@dataclass
class Project:
    folder: Path

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ADDED_TO": str(self.folder / "added")}
        found = subprocess.run(
            [sys.executable, "-c", START, *arguments],
            cwd=self.folder,
            env={**environment, "TUNESMITH_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("adding")
    for path, code in ADDED.items():
        file = folder / "added" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    (folder / "tunesmith.toml").write_text(TOML, encoding="utf-8")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    for name, first in (("rows", 0), ("more", 20), ("tests", 50)):
        rows = [{"text": f"text {number}", "topic": "orange"} for number in range(first, first + 6)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return Project(folder)


def test_the_plan_counts_the_calls_of_the_module(project: Project) -> None:
    plan = json.loads(project.run("compile", "--dry-run", "--json"))
    assert plan["calls_per_example"] == {"program": 2, "judge": 0, "known": True}
    assert plan["candidates"] == 2


def test_an_evaluation_uses_metric_engine_and_executor(project: Project) -> None:
    assert "0.000" in project.run("eval")


@pytest.fixture(scope="module")
def compiled(project: Project) -> str:
    """What a compile says in `runs/one`, with an option set on the command line."""
    return project.run("compile", "--run", "runs/one", "--set", "sentence=Say the topic.")


def test_a_compile_uses_all_of_them_and_the_artifact_loads_without_leave(project: Project, compiled: str) -> None:
    assert "1.000" in compiled
    shown = project.run("show", "runs/one/artifact")
    assert "added_module:Twice" in shown
    assert "format: added" in shown
    assert "Say the topic." in shown, "the option on the command line goes before that of the project file"
    assert "oranges" in project.run("predict", "runs/one/artifact", "text=What is it?", "--lm", "added/x")


@pytest.mark.usefixtures("compiled")
def test_an_export_writes_the_artifact_with_its_option(project: Project) -> None:
    assert project.run("export", "runs/one/artifact", "--to", "shout", "--set", "marks=3") == "SAY THE TOPIC.!!!"
    assert "shout: The instruction, loud." in project.run("export")


def test_a_file_of_the_added_shape_is_known_and_converted(project: Project) -> None:
    (project.folder / "q.jsonl").write_text('{"q": "one", "a": "orange"}\n', encoding="utf-8")
    found = json.loads(project.run("data", "convert", "q.jsonl", "--to", "converted.jsonl", "--yes", "--json"))
    assert (found["shape"], found["preview"]) == ("added", [{"text": "one", "topic": "orange"}])
