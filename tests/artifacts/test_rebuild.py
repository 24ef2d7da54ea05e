"""A program that is defined in a script is loaded again as the errors and warnings advise."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, List, Tuple  # noqa: UP035 - as many write types

import dspy
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

import tunesmith as ts
from tunesmith.artifacts.rebuild import find_program
from tunesmith.cli import main
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.signatures import type_text

ROOT = Path(__file__).parents[2]
SCRIPT = """
import dspy
import tunesmith as ts


class Triage(dspy.Module):
    def __init__(self):
        super().__init__()
        self.mood = ts.Predict("text -> mood")
        self.team = ts.Predict("text, mood -> team")

    def forward(self, text):
        return self.team(text=text, mood=self.mood(text=text).mood)


def say(seen):
    return "x"


def main():
    data = [dspy.Example(text=f"t{i}", team="x").with_inputs("text") for i in range(24)]
    metric = ts.metrics.exact_match("team")
    ts.compile(
        Triage(), metric=metric, trainset=data[:8], valset=data[8:16], testset=data[16:], lm=ts.FunctionLM(say),
        compiler=ts.LabeledFewShot(k=1), run="first", mirror=False,
    )


if __name__ == "__main__":
    main()
"""
ARTIFACT = "runs/first/artifact"


def python(*arguments: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def manifest(folder: Path) -> Any:
    return json.loads((folder / ARTIFACT / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("script")
    (folder / "two.py").write_text(SCRIPT, encoding="utf-8")
    done = python("two.py", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "cannot be loaded by the name of its class" not in done.stderr
    return folder


def test_a_class_of_a_script_is_stored_under_the_name_that_others_import(compiled: Path) -> None:
    assert manifest(compiled)["program"]["class"] == "two:Triage"


def test_the_command_that_the_error_advises_works(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(compiled)
    command = ["show", ARTIFACT, "--messages", "text=hello"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    advised = re.search(r"`(--allow [^`]+)`", refused.stderr)
    assert advised is not None
    done = python("-m", "tunesmith", *command, *shlex.split(advised[1]), folder=compiled)
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout


@pytest.mark.slow
def test_python_loads_it_as_the_error_advises(compiled: Path) -> None:
    ways = ["allow=('two:Triage',)", "program=two.Triage()", "program=two.Triage", "program=lambda: two.Triage()"]
    loads = "; ".join(f"print(type(ts.load({ARTIFACT!r}, {way})).__name__)" for way in ways)
    done = python("-c", f"import tunesmith as ts, two; {loads}", folder=compiled)
    assert (done.stdout, done.returncode) == ("Triage\n" * 4, 0), done.stderr


@pytest.mark.slow
def test_the_script_itself_loads_it_without_being_imported_again(compiled: Path) -> None:
    load = f"ts.load({str(compiled / ARTIFACT)!r}, allow=('two:Triage',))"
    again = SCRIPT.replace("    main()\n", f"    print(type({load}) is Triage)\n") + "\nprint('once')\n"
    folder = compiled / "again"
    folder.mkdir()
    (folder / "two.py").write_text(again, encoding="utf-8")
    done = python("two.py", folder=folder)
    assert done.stdout == "True\nonce\n", done.stderr


@pytest.mark.slow
def test_a_module_that_is_run_by_name_has_that_name(compiled: Path) -> None:
    package = compiled / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "three.py").write_text(SCRIPT.replace('run="first"', 'run="third"'), encoding="utf-8")
    done = python("-m", "shop.three", folder=compiled)
    assert done.returncode == 0, done.stderr
    found = json.loads((compiled / "runs/third/artifact/manifest.json").read_text(encoding="utf-8"))
    assert found["program"]["class"] == "shop.three:Triage"


@pytest.mark.parametrize(
    ("arguments", "given", "why"),
    [
        (["-"], SCRIPT, "a notebook, in standard input"),
        pytest.param(["my-script.py"], None, "a script whose name cannot be imported", marks=pytest.mark.slow),
    ],
)
def test_a_class_that_nobody_can_import_is_warned_about_when_it_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: str | None, why: str
) -> None:
    (tmp_path / "my-script.py").write_text(SCRIPT, encoding="utf-8")
    done = python(*arguments, folder=tmp_path, given=given)
    assert done.returncode == 0, done.stderr
    assert "cannot be loaded by the name of its class" in done.stderr
    assert why in done.stderr
    assert any("ts.load(folder, program=...)" in note for note in manifest(tmp_path)["notes"])

    with pytest.raises(ArtifactError, match="--allow my_module:Triage"):
        ts.load(tmp_path / ARTIFACT)
    (tmp_path / "my_module.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert type(ts.load(tmp_path / ARTIFACT, allow=("my_module:Triage",))).__module__ == "my_module"
    monkeypatch.delitem(sys.modules, "my_module")


class Wide(dspy.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = ts.Predict("a -> b")
        self.width = width


class Plain(Wide):
    def __init__(self) -> None:
        super().__init__(3)


def test_a_script_of_a_package_may_be_allowed_under_its_whole_name(tmp_path: Path) -> None:
    ts.save(tmp_path / "a", Plain())
    described = json.loads((tmp_path / "a" / "manifest.json").read_text(encoding="utf-8"))["program"]
    short = {**described, "class": f"{__name__.rpartition('.')[2]}:Plain"}
    assert type(find_program(short, None, (f"{__name__}:Plain",), "here")) is Plain
    with pytest.raises(ArtifactError, match="not imported without permission"):
        find_program(short, None, (f"{__name__}:Wide", "tests.other:Plain"), "here")


def test_a_class_that_is_made_with_arguments_is_warned_about(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"made with arguments \(width\)"):
        ts.save(tmp_path / "a", Wide(3))


def test_a_class_that_is_made_without_arguments_is_not(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    ts.save(tmp_path / "a", Plain())
    assert not recwarn.list


def test_a_class_inside_a_function_is_warned_about_and_not_advised_to_be_imported(tmp_path: Path) -> None:
    class Local(Plain):
        pass

    with pytest.warns(UserWarning, match="inside a function"):
        ts.save(tmp_path / "a", Local())
    with pytest.raises(ArtifactError) as caught:
        ts.load(tmp_path / "a")
    assert "--allow" not in str(caught.value)
    assert type(ts.load(tmp_path / "a", program=Local)) is Local


def test_a_class_that_its_module_has_lost_is_warned_about(tmp_path: Path) -> None:
    gone = type("Gone", (Plain,), {"__module__": __name__})
    with pytest.warns(UserWarning, match="cannot be imported"):
        ts.save(tmp_path / "a", gone())


def test_a_predictor_needs_no_import_and_no_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    ts.save(tmp_path / "a", ts.ChainOfThought("question -> answer"))
    assert not recwarn.list


class Booking(ts.Signature):
    """Read the booking."""

    sent: date | None = ts.InputField()
    photo: dspy.Image = ts.InputField()
    history: dspy.History = ts.InputField()
    prices: List[Tuple[str, Decimal]] = ts.OutputField()  # noqa: UP006
    rest: dict[str, Any] = ts.OutputField()


def test_dates_media_and_lists_as_typing_writes_them_need_no_program(tmp_path: Path) -> None:
    saved = ts.save(tmp_path / "one", ts.ChainOfThought(Booking))
    found = ts.load(saved.path)
    kinds = {name: type_text(info.annotation) for name, info in Booking.fields.items()}
    assert {name: type_text(found.predict.signature.fields[name].annotation) for name in kinds} == kinds
    # What was loaded and is saved again is the same artifact, with the name of its signature.
    assert ts.save(tmp_path / "two", found).sha256 == saved.sha256


def test_a_class_of_ones_own_does_not_pass_for_a_type_of_the_same_name(tmp_path: Path) -> None:
    class date(BaseModel):
        day: int

    signature: Any = dspy.Signature({"text": (str, dspy.InputField()), "day": (date, dspy.OutputField())})
    with pytest.warns(UserWarning, match="cannot be loaded"):
        saved = ts.save(tmp_path / "one", ts.Predict(signature))
    assert not saved.manifest["program"]["rebuildable"]


PROGRAMS = """
import pydantic

import tunesmith as ts


class Person(pydantic.BaseModel):
    name: str


class Find(ts.Signature):
    text: str = ts.InputField()
    person: Person = ts.OutputField()


def look(name: str) -> str:
    return name


finder = ts.Predict(Find)
agent = ts.ReAct("text -> answer", tools=[look])


def make():
    return ts.Predict(Find)
"""


def test_a_program_with_types_or_tools_of_its_own_is_loaded_by_the_name_that_the_error_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "desk_of_rebuild.py").write_text(PROGRAMS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    desk: Any = importlib.import_module("desk_of_rebuild")
    names = [f"desk_of_rebuild:{name}" for name in ("agent", "finder", "make")]
    for name, program in (("agent", desk.agent), ("finder", desk.finder)):
        with pytest.warns(UserWarning, match="--allow my_module:program"):
            path = ts.save(tmp_path / name, program).path
        with pytest.raises(ArtifactError, match="--allow my_module:program"):
            ts.load(path)
        # Of several names, the one that fits is taken.
        assert [type(ts.load(path, allow=given)) for given in (names, names[::-1])] == [type(program)] * 2
        assert ts.load(path, allow=names) is not program
    with pytest.raises(ArtifactError, match="the program has extract, step"):
        ts.load(tmp_path / "finder", allow=names[:1])


def look(name: str) -> str:
    return name


def test_an_allowed_name_that_is_no_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyless_of_rebuild.py").write_text("raise OSError('no key')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match="--allow my_module:program"):
        path = ts.save(tmp_path / "agent", ts.ReAct("text -> answer", tools=[look])).path
    with pytest.raises(ArtifactError, match=r"the tools look.*'keyless_of_rebuild:agent' cannot be imported.*no key"):
        ts.load(path, allow=["keyless_of_rebuild:agent"])
    with pytest.raises(UsageError, match="The allowed 'json:decoder' must be a program"):
        ts.load(path, allow=["json:decoder"])


REWARDED = """
import tunesmith as ts

best = ts.BestOf(ts.Predict("question -> answer"), lambda example, found: len(found.answer))
other = ts.Predict("text -> label")
"""


def test_a_function_that_an_artifact_lacks_comes_from_the_program_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best_of_rebuild.py").write_text(REWARDED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    best: Any = importlib.import_module("best_of_rebuild").best
    path = ts.save(tmp_path / "best", best).path
    with pytest.warns(UserWarning, match="--allow my_module:program"):
        ts.load(path, allow=["best_of_rebuild:other"])
    found = ts.load(path, allow=["best_of_rebuild:other", "best_of_rebuild:best"], lm=ts.ScriptedLM("four"))
    assert found(question="2 + 2?").reward == len("four")
